"""What goes away warns for a release before it does.

::

    @deprecated(use="Model.respond", goes="0.3")
    def ask(...): ...

A name that moved is offered under its old one by its module's ``__getattr__``, see `moved`; a hook that goes is
marked with ``hookspec(warn_on_impl=FgvrDeprecationWarning(...))``.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

__all__ = ["FgvrDeprecationWarning"]

P = ParamSpec("P")
R = TypeVar("R")


class FgvrDeprecationWarning(FutureWarning):
    """Something still works and will not in a release that the message names.

    A `FutureWarning`, because Python hides the other kind from all but the script that is run, and whoever
    has installed a plugin has to hear of it in time.
    """


@dataclass(frozen=True, slots=True)
class Deprecation:
    """One thing that goes."""

    what: str
    use: str
    """What takes its place."""
    goes: str
    """The release of fgvr-bench in which it is gone."""

    def __str__(self) -> str:
        return f"{self.what} is deprecated and goes with fgvr-bench {self.goes}; use {self.use}."


DEPRECATED: dict[str, Deprecation] = {}
"""Everything that was marked, by name; a test finds in it what ought to be gone."""

_told: set[str] = set()


def deprecated(*, use: str, goes: str, what: str = "") -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Mark a function or method that goes; it warns at its first call of a process and works as before.

    Args:
        use: what takes its place.
        goes: the release in which it is gone, at least one release after the one that warns.
        what: its name in the warning; by default the function's own.
    """

    def mark(function: Callable[P, R]) -> Callable[P, R]:
        going = _remember(Deprecation(what or f"{function.__qualname__}()", use, goes))

        @functools.wraps(function)
        def warned(*args: P.args, **kwargs: P.kwargs) -> R:
            warn(going, stacklevel=3)
            return function(*args, **kwargs)

        return warned

    return mark


def moved(module: str, names: Mapping[str, str], goes: str) -> Callable[[str], Any]:
    """Return a ``__getattr__`` for a module whose names are found elsewhere.

    Args:
        module: the module's ``__name__``.
        names: old name → new place, as ``package.module.name``.
        goes: the release in which the old names are gone.

    >>> __getattr__ = moved("fgvr_bench.example", {"Old": "fgvr_bench.types.Example"}, goes="9.0")
    """
    going = {old: _remember(Deprecation(f"{module}.{old}", new, goes)) for old, new in names.items()}

    def find(name: str) -> Any:
        if name not in going:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        import importlib

        warn(going[name], stacklevel=3)
        place, _, new = names[name].rpartition(".")
        return getattr(importlib.import_module(place), new)

    return find


def warn(going: Deprecation, stacklevel: int = 2) -> None:
    """Warn of something that goes, once in a process, in the name of whoever uses it."""
    if going.what not in _told:
        _told.add(going.what)
        warnings.warn(str(going), FgvrDeprecationWarning, stacklevel=stacklevel)


def _remember(going: Deprecation) -> Deprecation:
    DEPRECATED[going.what] = going
    return going
