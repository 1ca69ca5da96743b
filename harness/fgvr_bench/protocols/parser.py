"""The parser of ``fgvr-1``: reads the choice that a careful human would read, and never guesses.

The common answers (a letter, a letter with its label, a label) are read at once.  All others are cut to the
model's own answer (`clean`), put into a skeleton of mentions (`skeleton`), and weighed (`verdict`).  The rule
that decided is part of the reading; where no single choice was given it names the reason.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from fgvr_bench.protocols import clean
from fgvr_bench.protocols.labels import tokens, words_of
from fgvr_bench.protocols.skeleton import skeleton
from fgvr_bench.protocols.verdict import decide
from fgvr_bench.protocols.vocabulary import GENERIC_WORDS
from fgvr_bench.types import LETTERS, Reading

_LETTER_FIRST = re.compile(r"(Answer: ?)?[*(\[\"']{0,3}([A-Z])(?:[.):*\]\"']{0,4}|[.:)] ?([^\n]+))")
_LEAD_IN = re.compile(
    r"(?:(?:the\s+)?(?:final\s+)?answer(?:\s+is)?\s*:?\s*|(?:it|this)(?:'s| is)\s+)?(?:(?:an?|the)\s+)?", re.IGNORECASE
)

_LETTER_ALONE = tuple(Reading(choice, "letter") for choice in range(len(LETTERS)))

MAX_FAST = 200
"""A longer answer is not one of the common ones."""


def parse_choice(completion: str, letters: Sequence[str], choices: Sequence[str]) -> Reading:
    """Return the choice that `completion` gives, and the rule that decided.

    ``letters`` has one letter for each choice, or is empty where only labels can be answered.  Time is linear in
    the length of the text; nothing is raised whatever it holds.

    >>> birds = ("Laysan Albatross", "Bohemian Waxwing", "Cardinal", "Downy Woodpecker")
    >>> parse_choice("It resembles a cardinal, but it is a bohemian waxwing.", "ABCD", birds)
    Reading(choice=1, rule='stated')
    >>> parse_choice("A. Bohemian Waxwing", "ABCD", birds)
    Reading(choice=None, rule='mismatch')
    """
    return _at_once(completion, letters, choices) or read_turn(clean.turn(completion)[0], letters, choices)


def is_over(text: str) -> bool:
    """Say whether no continuation of `text` changes what `parse_choice` returns.

    True only where the text writes out the end of the answer: an end-of-text sign, or the next turn's role.  An
    answer that could still be taken back is never settled.
    """
    return clean.turn(text)[1]


def read_turn(text: str, letters: Sequence[str], choices: Sequence[str]) -> Reading:
    """Read the one turn that is the model's answer."""
    text = text.strip()
    if len(text) > clean.MAX_CHARS:
        return Reading(None, "too-long")
    rest = clean.after_thinking(clean.plain(text))
    if rest is None:
        return Reading(None, "unfinished-thinking")
    for find, rule in ((clean.tagged_answer, "answer-tag"), (clean.boxed, "boxed")):
        found = find(rest)
        if found is not None:
            inside, after = found
            reading = read_inside(inside, rule, letters, choices)
            return _taken_back(inside, after, letters, choices) or reading if after.strip() else reading
    return _read(rest, letters, choices)


def _taken_back(inside: str, after: str, letters: Sequence[str], choices: Sequence[str]) -> Reading | None:
    """Return what a tag and the text behind it say together, where that is not what the tag says alone."""
    alone = _read(inside, letters, choices)
    both = _read(f"Answer: {inside.strip()}\n{after}", letters, choices)
    return None if both.choice == alone.choice else both


def read_inside(text: str, rule: str, letters: Sequence[str], choices: Sequence[str]) -> Reading:
    """Read what a tag or box holds; `rule` names it where it gives a choice."""
    if len(text) > clean.MAX_CHARS:
        return Reading(None, "too-long")
    text = clean.plain(text)
    box = clean.boxed(text)
    reading = _read(text if box is None else box[0], letters, choices)
    return reading if reading.choice is None else Reading(reading.choice, rule)


def _at_once(completion: str, letters: Sequence[str], choices: Sequence[str]) -> Reading | None:
    """Read a letter, a letter with its label verbatim, or a label verbatim; None for anything else."""
    if len(completion) > MAX_FAST:
        return None
    text = completion.strip()
    if text in choices:
        return Reading(choices.index(text), "label") if choices.count(text) == 1 and len(text) > 1 else None
    match = _LETTER_FIRST.fullmatch(text)
    if match is None or match[2] not in letters:
        return None
    choice, name = letters.index(match[2]), match[3]
    if name is None:
        if 1 in map(len, choices):  # a label may be a letter too
            return None
        return Reading(choice, "declared") if match[1] else _LETTER_ALONE[choice]
    if name == choices[choice] or (name[-1] == "." and name[:-1] == choices[choice]):
        return Reading(choice, "letter-and-label")
    return None


def _read(text: str, letters: Sequence[str], choices: Sequence[str]) -> Reading:
    reading = decide(skeleton(text, letters, choices))
    if reading.rule != "unread" or not letters:
        return reading
    part = _part_of_one(text, choices)
    return reading if part is None else Reading(part, "label-part")


def _part_of_one(text: str, choices: Sequence[str]) -> int | None:
    """Return the only choice whose name ends with all of the answer's words, or begins with them (two or more)."""
    if len(text) > MAX_FAST:
        return None
    text = text.strip()
    said = tuple([token.word for token in tokens(text[_LEAD_IN.match(text).end() :])])  # type: ignore[union-attr]
    if not said or all(word.isdigit() or word in GENERIC_WORDS for word in said):
        return None
    containing = []
    for index, choice in enumerate(choices):
        name = words_of(choice)
        if name[-len(said) :] == said or (len(said) > 1 and name[: len(said)] == said):
            containing.append(index)
        elif set(said) & set(name) - GENERIC_WORDS:
            return None
    return containing[0] if len(containing) == 1 else None
