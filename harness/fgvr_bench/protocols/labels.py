"""Finding labels in text: up to case, accents, underscores, hyphens and a plural, the longest name first."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

_ARTICLE = re.compile(r"(?:the|a|an)[ _]+(?=\S)", re.IGNORECASE)
UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff"
_WITHOUT_SPACES = re.compile(f"[{UNSPACED}]")
"""Scripts that run words together: there a name has no boundary."""

_TOKEN = re.compile(rf"[^\W\d_{UNSPACED}]+(?:'[^\W\d_{UNSPACED}]+)*|\d+")

AMBIGUOUS = -1
"""In place of an index: two choices are spelt alike up to the differences that do not count."""

MAX_GAP = 3
"""Most characters between two words of one name."""


class Found(NamedTuple):
    """One mention of a label."""

    start: int
    end: int
    label: int
    """Index of the label, or `AMBIGUOUS`."""


class Token(NamedTuple):
    """One word or number of a text, folded."""

    word: str
    start: int
    end: int


@lru_cache(maxsize=16384)
def fold(word: str) -> str:
    """Return the word without case, accents and apostrophes.

    >>> fold("Éléphant's")
    'elephants'
    """
    if not word.isascii():
        word = "".join(char for char in unicodedata.normalize("NFKD", word) if not unicodedata.combining(char))
    return word.casefold().replace("'", "")


@lru_cache(maxsize=8192)
def words_of(label: str) -> tuple[str, ...]:
    """Return the folded words and numbers of a label, without a leading article.

    >>> words_of("F-16A/B"), words_of("The Black_footed-Albatross")
    (('f', '16', 'a', 'b'), ('black', 'footed', 'albatross'))
    """
    label = unicodedata.normalize("NFC", label)
    article = _ARTICLE.match(label)
    return tuple([fold(word) for word in _TOKEN.findall(label, article.end() if article else 0)])


@lru_cache(maxsize=4096)
def _by_first_word(labels: tuple[str, ...]) -> dict[str, list[tuple[tuple[str, ...], int]]]:
    """Return the labels under their first word (and its plural, where it is the only one), longest first."""
    table: dict[str, list[tuple[tuple[str, ...], int]]] = {}
    for index, label in enumerate(labels):
        words = words_of(label)
        if not words:
            continue
        keys = [words[0]] if len(words) > 1 else [words[0], *_plurals(words[0])]
        for key in keys:
            table.setdefault(key, []).append((words, index))
    for entries in table.values():
        entries.sort(key=lambda entry: -len(entry[0]))
    return table


def tokens(text: str) -> list[Token]:
    """Return the words and numbers of a text, folded, with their places."""
    return [Token(fold(match[0]), match.start(), match.end()) for match in _TOKEN.finditer(text)]


def find_labels(text: str, labels: Sequence[str]) -> list[Found]:
    """Return the mentions of `labels` in `text`, from left to right, none inside another.

    Where names nest the longest one is meant: ``mexican petunia`` is no mention of ``petunia``.  A word joined to
    the name by a hyphen or an underscore makes another name of it (``desert-rose`` is no ``rose``).
    """
    table = _by_first_word(tuple(labels))
    text_tokens = tokens(text)
    found: list[Found] = []
    position = 0
    while position < len(text_tokens):
        entries = table.get(text_tokens[position].word)
        length = 0
        if entries is not None:
            matched = _longest(text, text_tokens, position, entries)
            if matched:
                length = len(matched[0][0])
                start, end = text_tokens[position].start, text_tokens[position + length - 1].end
                found.append(Found(start, end, _which([index for _, index in matched], labels, text[start:end])))
        position += max(length, 1)
    if _WITHOUT_SPACES.search(text):
        found += _in_running_script(text, labels)
        found.sort()
    return found


def _longest(
    text: str, text_tokens: list[Token], position: int, entries: list[tuple[tuple[str, ...], int]]
) -> list[tuple[tuple[str, ...], int]]:
    matched: list[tuple[tuple[str, ...], int]] = []
    for words, index in entries:
        if matched and len(words) < len(matched[0][0]):
            break
        if _matches(text, text_tokens, position, words):
            matched.append((words, index))
    return matched


def _matches(text: str, text_tokens: list[Token], position: int, words: tuple[str, ...]) -> bool:
    last = position + len(words) - 1
    if last >= len(text_tokens):
        return False
    for offset, word in enumerate(words):
        token = text_tokens[position + offset]
        if token.word != word and not (offset == len(words) - 1 and token.word in _plurals(word)):
            return False
        if offset:
            gap = text[text_tokens[position + offset - 1].end : token.start]
            if len(gap) > MAX_GAP or "\n\n" in gap:
                return False
    numbered = any(word.isdigit() for word in words)
    return not (
        _joined(text, text_tokens[position].start - 1, -1, numbered)
        or _joined(text, text_tokens[last].end, 1, numbered)
    )


def _joined(text: str, at: int, step: int, numbered: bool) -> bool:
    """Say whether the character beside a name makes it part of a longer word.

    A name with a number may have more of a designation behind a hyphen (``C-47-DL``), but no word.
    """
    if not 0 <= at < len(text):
        return False
    if text[at].isalnum():
        return _WITHOUT_SPACES.match(text[at]) is None
    beyond = at + step
    if text[at] not in "-_" or not 0 <= beyond < len(text):
        return False
    return text[beyond].islower() if numbered else text[beyond].isalnum()


@lru_cache(maxsize=8192)
def _plurals(word: str) -> tuple[str, ...]:
    if len(word) < 3 or word.isdigit():
        return ()
    return (word + "s", word + "es", word[:-1] + "ies") if word.endswith("y") else (word + "s", word + "es")


def _which(indices: list[int], labels: Sequence[str], verbatim: str) -> int:
    if len(indices) == 1:
        return indices[0]
    exact = [index for index in indices if labels[index] == verbatim]
    return exact[0] if len(exact) == 1 else AMBIGUOUS


def _in_running_script(text: str, labels: Sequence[str]) -> list[Found]:
    found = []
    for index, label in enumerate(labels):
        if _WITHOUT_SPACES.search(label) is None:
            continue
        start = text.find(label)
        while start >= 0:
            found.append(Found(start, start + len(label), index))
            start = text.find(label, start + len(label))
    longest = sorted(found, key=lambda each: (each.start, -each.end))
    kept: list[Found] = []
    for each in longest:
        if not kept or each.start >= kept[-1].end:
            kept.append(each)
    return kept
