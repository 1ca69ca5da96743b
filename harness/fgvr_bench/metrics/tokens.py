"""Tokens: the mean number of generated tokens of an answer."""

from __future__ import annotations

from fgvr_bench.interfaces import Metric, Scored


class Tokens:
    """Adds up the lengths of answers."""

    __slots__ = ("_count", "_tokens")

    def __init__(self) -> None:
        self._tokens = 0
        self._count = 0

    def add(self, scored: Scored) -> None:
        """Take one judged response in; one without a count of tokens does not count."""
        tokens = scored.response.tokens
        if tokens is not None:
            self._count += 1
            self._tokens += tokens

    def result(self) -> float | None:
        """Return the mean; None where no answer has a count."""
        return self._tokens / self._count if self._count else None


METRIC = Metric("tokens", "Tokens an answer", Tokens, higher_is_better=False, share=False)
