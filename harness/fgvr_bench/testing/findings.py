"""Collecting what is wrong: all of it, each in a sentence, raised as one error at the end."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any


class PluginFault(AssertionError):
    """What a plugin gets wrong; its text is one sentence or two for each fault."""

    def __init__(self, subject: str, faults: tuple[str, ...]) -> None:
        self.subject = subject
        """The thing that was checked, for example ``model 'nearest-colour'``."""
        self.faults = faults
        """What is wrong with it, each as a text of its own: what, which, and what to do."""
        count = "one thing" if len(faults) == 1 else f"{len(faults)} things"
        super().__init__("\n".join([f"{subject} gets {count} wrong:", *(f"- {fault}" for fault in faults)]))


class Findings:
    """What was found wrong with one thing so far."""

    def __init__(self, subject: str) -> None:
        self.subject = subject
        self._faults: dict[str, str] = {}

    def wrong(self, fault: str, kind: str | None = None) -> None:
        """Note a fault, once; of those of one `kind` the first."""
        self._faults.setdefault(kind or fault, fault)

    def need(self, right: bool, fault: str) -> bool:
        """Note a fault unless all is `right`; return `right`."""
        if not right:
            self.wrong(fault)
        return right

    @contextlib.contextmanager
    def trying(self, what: str, kind: str | None = None) -> Iterator[None]:
        """Note what the block raises, and go on after it; of one `kind` each type of exception once."""
        try:
            yield
        except Exception as problem:
            self.wrong(f"{what} raises {described(problem)}.", kind and f"{kind} raises {type(problem).__name__}")

    def settle(self) -> None:
        """End the check.

        Raises:
            PluginFault: anything was found wrong.
        """
        __tracebackhide__ = True
        if self._faults:
            raise PluginFault(self.subject, tuple(self._faults.values()))


def described(problem: BaseException) -> str:
    """Return an exception's type and words in one line of readable length."""
    words = " ".join(str(problem).split()).rstrip(".")[:300]
    return f"{type(problem).__name__}: {words}" if words else type(problem).__name__


def first(things: list[Any], most: int = 3) -> str:
    """Return the first few of some things, and how many more there are.

    >>> first(["a", "b", "c", "d", "e"])
    "'a', 'b', 'c' and 2 more"
    """
    shown = ", ".join(map(repr, things[:most]))
    return f"{shown} and {len(things) - most} more" if len(things) > most else shown
