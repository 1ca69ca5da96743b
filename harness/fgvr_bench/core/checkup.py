"""What is wrong with an installation: what a look at it finds, and in which order one looks.

Each look is a function that returns `Finding`s and raises nothing for what it finds; a look that breaks is itself
a finding, so that a damaged installation is described as far as it goes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from fgvr_bench.types import Json


class State(StrEnum):
    """How a thing is."""

    GOOD = "good"
    NOTE = "note"
    """Worth knowing; nothing has to be done."""
    WRONG = "wrong"
    """Something will fail, or fails silently, until it is mended."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    area: str
    """What it belongs to: libraries, torch, machine, data, caches, plugins, environment."""
    state: State
    text: str
    """What was found, a sentence or less."""
    fix: str | None = None
    """What to type or do; None where nothing has to be done."""

    def as_json(self) -> dict[str, Json]:
        """Return it as JSON."""
        return {"area": self.area, "state": str(self.state), "text": self.text, "fix": self.fix}


def good(area: str, text: str) -> Finding:
    """Return a finding of something that is as it should be."""
    return Finding(area, State.GOOD, text)


def remark(area: str, text: str, fix: str | None = None) -> Finding:
    """Return a finding that is worth knowing."""
    return Finding(area, State.NOTE, text, fix)


def wrong(area: str, text: str, fix: str) -> Finding:
    """Return a finding that has to be mended."""
    return Finding(area, State.WRONG, text, fix)


Look = Callable[[], Iterable[Finding]]


def examine(looks: Iterable[tuple[str, Look]]) -> list[Finding]:
    """Take every look, one after the other; one that breaks is a finding of its own.

    Args:
        looks: area and function.
    """
    found: list[Finding] = []
    for area, look in looks:
        try:
            found += look()
        except Exception as error:
            text = " ".join(str(error).split())[:300]
            found.append(wrong(area, f"could not be looked at ({type(error).__name__}: {text}).", "Mend that first."))
    return found


def gigabytes(count: float) -> str:
    """Return a number of bytes as people say it.

    >>> gigabytes(3_221_225_472), gigabytes(41_000_000)
    ('3.2 GB', '41 MB')
    """
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
