"""Settings that users give to a model as ``--model-arg key=value``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from fgvr_bench.core.names import did_you_mean
from fgvr_bench.errors import UsageError

__all__ = ["read_arg", "refuse_unknown", "yes_or_no"]

T = TypeVar("T")


def refuse_unknown(args: Mapping[str, str], known: Iterable[str], model: str) -> None:
    """Check the keys of ``--model-arg``: that each of `args` is among the `known`.

    Raises:
        UsageError: `model` does not have one of them; names those that it has.
    """
    names = sorted(known)
    for key in args:
        if key not in names:
            offered = did_you_mean(key, names) if names else "It has none."
            raise UsageError(f"{model} has no setting {key!r}. {offered}")


def read_arg(args: Mapping[str, str], key: str, convert: Callable[[str], T], default: T) -> T:
    """Return the value of one `key` of `args` as `convert` reads it, or the `default` where it is not given.

    Raises:
        UsageError: the value cannot be read.
    """
    if key not in args:
        return default
    try:
        return convert(args[key])
    except ValueError as error:
        raise UsageError(f"{key}={args[key]} cannot be read: {error}.") from error


def yes_or_no(text: str) -> bool:
    """Read a switch off the `text` that was typed.

    >>> yes_or_no("yes"), yes_or_no("0")
    (True, False)

    Raises:
        ValueError: neither.
    """
    lowered = text.lower()
    if lowered in {"yes", "true", "on", "1"}:
        return True
    if lowered in {"no", "false", "off", "0"}:
        return False
    raise ValueError("write yes or no")
