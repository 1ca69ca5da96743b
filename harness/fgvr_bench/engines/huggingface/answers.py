"""Which tokens the answers are, so that one prefill can rank them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

TAIL = 64
"""So many characters of a prompt's end are tokenized along with an answer; tokens depend on their neighbours only."""


class NotDistinct(Exception):
    """Two answers begin with the same token, so that one prefill cannot tell them apart."""


@dataclass(slots=True)
class AnswerTokens:
    """Finds the token that each answer begins with, right after a given prompt.

    Answers may share a beginning (a tokenizer that writes the space as a token of its own); that is then a part of
    the prompt, and the tokens after it are what is ranked.
    """

    tokenizer: Any
    separator: str
    """What stands between prompt and answer: a space, or nothing."""
    _known: dict[tuple[str, tuple[str, ...]], tuple[list[int], list[int]]] = field(default_factory=dict)

    def find(self, prompt: str, answers: Sequence[str]) -> tuple[list[int], list[int]]:
        """Return the tokens that all answers share (mostly none), and then one token an answer.

        Raises:
            NotDistinct: two answers cannot be told apart by one token.
        """
        key = (prompt[-TAIL:], tuple(answers))
        if key not in self._known:
            if len(self._known) > 1000:
                self._known.clear()
            self._known[key] = self._find(*key)
        return self._known[key]

    def _find(self, tail: str, answers: tuple[str, ...]) -> tuple[list[int], list[int]]:
        if len(answers) < 2:
            raise NotDistinct("there are no answers to rank")
        continuations = [self._continuation(tail, answer) for answer in answers]
        for position, tokens in enumerate(continuations):
            if tokens in continuations[:position]:
                other = answers[continuations.index(tokens)]
                raise NotDistinct(f"{other!r} and {answers[position]!r} are the same tokens")
        shared = _shared_beginning(continuations)
        if any(len(tokens) <= len(shared) for tokens in continuations):
            raise NotDistinct(f"the tokenizer writes one of {', '.join(answers)} as the beginning of another")
        firsts = [tokens[len(shared)] for tokens in continuations]
        for position, token in enumerate(firsts):
            if token in firsts[:position]:
                other = answers[firsts.index(token)]
                raise NotDistinct(f"{other!r} and {answers[position]!r} begin with the same token")
        return shared, firsts

    def _continuation(self, tail: str, answer: str) -> list[int]:
        before = self._tokens(tail)
        whole = self._tokens(tail + self.separator + answer)
        if whole[: len(before)] == before:
            return whole[len(before) :]
        return self._tokens(self.separator + answer)

    def _tokens(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])


def _shared_beginning(sequences: list[list[int]]) -> list[int]:
    """Return the longest beginning that all sequences have in common."""
    shared = []
    for tokens in zip(*sequences, strict=False):
        if len(set(tokens)) > 1:
            break
        shared.append(tokens[0])
    return shared
