"""What describing will cost: requests, words and time of each step, before anything much is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

CHARACTERS_A_TOKEN = 4
"""Of English text, about; only the model's own tokenizer knows."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one step will ask."""

    step: str
    model: str
    requests: int
    """In all."""
    open: int
    """Of these, the ones that have no answer on disk yet."""
    images: int
    """Requests, of the open ones, that show a picture."""
    text_tokens: int
    """Of the open requests' words, at `CHARACTERS_A_TOKEN`; pictures and chat templates come on top."""
    answer_tokens: int
    """Of the open requests' answers, at most."""
    at_most: bool = False
    """Whether the counts are upper bounds, for want of an earlier step's answers."""
    rate: float | None = None
    """Requests a second, timed on a sample; None where there was none."""

    def cells(self) -> tuple[str, ...]:
        """Return a row of a table."""
        most = "≤ " if self.at_most else ""
        return (
            self.step,
            self.model,
            f"{most}{self.requests:,}",
            f"{most}{self.open:,}",
            f"{most}{self.images:,}" if self.images else "0",
            f"≈ {self.text_tokens:,}",
            f"≤ {self.answer_tokens:,}",
            self.time(),
        )

    def time(self) -> str:
        """Return how long the open requests will take, as far as that is known."""
        if not self.open:
            return "none"
        if not self.rate:
            return "not known"
        return f"{'≤' if self.at_most else 'about'} {timedelta(seconds=max(1, round(self.open / self.rate)))}"


HEADS = ("step", "model", "requests", "to ask", "with a picture", "words, in tokens", "answers, in tokens", "time")
"""Of a table of `Cost.cells`."""


def tokens_of(texts: Sequence[str], count: int) -> int:
    """Return about how many tokens `count` texts have that are like these examples."""
    if not texts:
        return 0
    return round(count * sum(map(len, texts)) / len(texts) / CHARACTERS_A_TOKEN)
