"""``identify()`` of models, tasks and miners: what a run or an option set goes by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fgvr_bench.core.files import canonical_json
from fgvr_bench.errors import ModelUnavailable, UsageError
from fgvr_bench.testing.findings import Findings, described
from fgvr_bench.testing.generators import watched


def look_at_identity(found: Findings, identify: Callable[[], Any], whose: str = "") -> Mapping[str, Any] | None:
    """Check that it is a mapping of JSON values, and the same whenever it is asked for; return it where it is."""
    said: Mapping[str, Any] | None = None
    with found.trying(f"{whose}identify()"), watched() as moved:
        said = _asked_twice(found, identify, whose)
    if moved:
        found.wrong(
            f"{whose}identify() moves the global generator of {' and '.join(moved)}. Draw from one of your own."
        )
    return said


def _asked_twice(found: Findings, identify: Callable[[], Any], whose: str) -> Mapping[str, Any] | None:
    try:
        said = identify()
    except ModelUnavailable:  # it names a checkpoint that is not here; nothing is wrong with that
        return None
    if not isinstance(said, Mapping):
        found.wrong(f"{whose}identify() returns a {type(said).__name__}; it returns a mapping of JSON values.")
        return None
    try:
        text = canonical_json(dict(said))
    except (TypeError, ValueError) as problem:
        found.wrong(
            f"{whose}identify() returns what cannot be written as JSON ({problem}). Use texts and finite numbers."
        )
        return None
    if canonical_json(dict(identify())) != text:
        found.wrong(
            f"{whose}identify() says something else when it is asked again, so nothing made with it would ever be "
            "found again."
        )
    return said


def look_at_unknown_setting(found: Findings, identify: Callable[[], Any], typed: str) -> None:
    """Check that a setting which does not exist is refused; one that is misspelt would else be taken for set."""
    try:
        identify()
    except UsageError:
        return
    except Exception as problem:
        found.wrong(f"identify() raises {described(problem)} for a setting that it does not have. Raise UsageError.")
    else:
        found.wrong(f"identify() takes {typed} no-such-setting=1 without a word. Raise UsageError for unknown keys.")
