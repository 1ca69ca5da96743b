"""A text with every mention of a letter or a label put into one character, so that rules can be short patterns.

``Answer: (C) Cardinal`` becomes ``answer: ␣`` where ␣ is the character of choice C.  The characters are of
Unicode's private use area: `LETTER` + i for letter i, `LISTED` + i where the text only lists the options,
`LABEL` + i for label i, `RENAMED` + i for label i with a word before it that may make it another name,
and `NOT_OFFERED`, `MISMATCH` for what names no choice.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from fgvr_bench.protocols.clean import unmarked
from fgvr_bench.protocols.labels import AMBIGUOUS, UNSPACED, Found, find_labels, words_of
from fgvr_bench.protocols.vocabulary import GENERIC_WORDS, PLAIN_WORDS

LETTER, LABEL, LISTED, RENAMED = 0xE000, 0xE100, 0xE900, 0xF100
NOT_OFFERED, MISMATCH = "\ue0ff", "\ue0fe"
MAX_CHOICES = 0x700
"""Most labels that a skeleton can tell apart."""

_LETTERS = "[\ue000-\ue01f\ue0ff]"
_LABELS = "[\ue100-\ue8ff\uf100-\uf8ff\ue0fe]"

_CANDIDATE = re.compile(
    rf"(?<![^\W_{UNSPACED}])[A-Za-z](?![^\W_{UNSPACED}]|[\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff])"
)
_CUE = re.compile(
    r"(?:\b(?:answer|option|choice|letter|select|choose|pick|antwort|réponse|respuesta|resposta)|答案|[选選]|正解|答え|정답|답)"
    r"\s*(?:\bis\b|\bist\b|\best\b|\bes\b|[是为為はè은])?[\s:=\"'(\[{*_<|$\\-]*$",
    re.IGNORECASE,
)
_NAMED_BY_LETTER = re.compile(
    r"\b(?:vitamin|type|class|model|series|grade|hepatitis|figure|fig|image|picture|photo|plate|section|part|group|mark"
    r"|plan|team|version|phase|stage|level|panel|exhibit|appendix)\.? $",
    re.IGNORECASE,
)
_OPENS, _CLOSES = "([{<\"'*_`|", ")]}>\"'*_`|"
_LINE_START = re.compile(r"(?:^|\n)[^\w\n]*(?:\d+[.)]\s*)?$")
_NO_ARTICLE = re.compile(
    r"\s*(?:$|[.,:;!?()\]}*\"'|>\n/&=+-])"
    r"|\s+(?:is|are|was|or|and|nor|because|since|as|for|given|due|seems?|appears?|looks?|match(?:es)?|fits?|would|could|can"
    r"|has|have|does|do|it|in|with|which|that|vs|versus|but|so|not|rather|over|than)\b"
    r"|\s+(?:[A-Z](?![\w'-])|\d+(?:\.\d+)?\s?%)"
)
_END = re.compile(r"\s*(?:$|[.,:;!?)\]}*\"'|>\n$])")

_DECORATION = str.maketrans(dict.fromkeys('*_`"()[]{}<>|$\\#~^•·', " "))
_ARROW = re.compile(r"[-=]+>|⇒|➡")
_BLANK = re.compile(r"\s+")
_HEADING = re.compile(
    r"(?:^|(?<=\n))(?:the |my )?(?:final |correct )?(?:answer|choice|option|conclusion|verdict|response) ?\n"
)
_COLON = re.compile(r": ?\n")
_PAIR = re.compile(
    rf"({_LETTERS})(\s?(?:[.:),=/-]+\s?|\b(?:is|for)\s)?(?:(?:an?|the|is|which is|namely)\s){{0,2}}"
    rf"(?:[a-z'-]+ ){{0,2}}?)({_LABELS})"
)
_PAIR_BACK = re.compile(
    rf"({_LABELS})(\s?[,:-]?\s?(?:(?:which is|is)\s)?(?:(?:option|choice|letter|answer)\s?)?)({_LETTERS})"
    r"(?=\s?(?:$|[.,;!?\n]))"
)
_FULL_STOP = re.compile(r"\s?(?:$|[.,;!?\n])")
_OTHER_NAME = re.compile(rf"(?:^|(?<=\n)|(?<=: ))({_LETTERS})\s?[.):-]\s?([^\n\ue000-\uf8ff]{{1,80}})(?=\n|$)")
_ITEM = re.compile(
    rf"(?:^|(?<=\n))(?:[-+] |\d{{1,2}}[.)] ?)?({_LETTERS}|{_LABELS})(?=\s?[.:)-])|(?<=[,;.] )({_LETTERS})(?=\s?:)"
)


def skeleton(text: str, letters: Sequence[str], choices: Sequence[str]) -> str:
    """Return the skeleton of a cleaned text (see `clean.plain`), in lower case, its blanks single.

    ``letters`` may be empty (then only labels are looked for).
    """
    text = unmarked(text)
    offered = {letter: index for index, letter in enumerate(letters)}
    pieces: list[str] = []
    done = 0
    for found in find_labels(text, choices):
        _without_labels(text, done, found.start, offered, pieces)
        pieces.append(_label_sign(text, found, choices, offered))
        done = found.end
    _without_labels(text, done, len(text), offered, pieces)
    shape = _tidied("".join(pieces))
    if not offered:
        return shape
    shape = _PAIR.sub(lambda match: _pair(match, shape), shape)
    shape = _PAIR_BACK.sub(_pair_back, shape)
    shape = _OTHER_NAME.sub(lambda match: _other_name(match, choices), shape)
    if len({match[0][-1] for match in _ITEM.finditer(shape)}) > 1:
        shape = _ITEM.sub(lambda match: match[0][:-1] + _listed(match[0][-1]), shape)
    return shape


def index_of(sign: str) -> int | None:
    """Return the choice that a mention's character means, or None where it means none that is offered."""
    code = ord(sign)
    if LETTER <= code < LETTER + 26:
        return code - LETTER
    if LABEL <= code < LABEL + MAX_CHOICES:
        return code - LABEL
    if LISTED <= code < LISTED + MAX_CHOICES:
        return code - LISTED
    return None


def is_letter(sign: str) -> bool:
    """Say whether a mention is a letter, offered or not."""
    return LETTER <= ord(sign) < LETTER + 26 or sign == NOT_OFFERED


def is_listed(sign: str) -> bool:
    """Say whether a mention only lists an option."""
    return LISTED <= ord(sign) < LISTED + MAX_CHOICES


def _tidied(text: str) -> str:
    text = _ARROW.sub("→", text).translate(_DECORATION)
    text = _BLANK.sub(lambda match: "\n" if "\n" in match[0] else " ", text).strip()
    return _COLON.sub(": ", _HEADING.sub("answer: ", text))


def _without_labels(text: str, start: int, end: int, offered: dict[str, int], pieces: list[str]) -> None:
    """Append the text from start to end, lower-cased, its letters as signs."""
    done = start
    if offered:
        for match in _CANDIDATE.finditer(text, start, end):
            sign = _letter_sign(text, match.start(), offered)
            if sign is not None:
                pieces += (text[done : match.start()].lower(), sign)
                done = match.end()
    pieces.append(text[done:end].lower())


def _label_sign(text: str, found: Found, choices: Sequence[str], offered: dict[str, int]) -> str:
    start, index = found.start, found.label
    if index == AMBIGUOUS or index >= MAX_CHOICES:
        return MISMATCH
    if found.end - start == 1 and offered.get(text[start].upper(), index) != index:
        return MISMATCH
    before = text[max(0, start - 40) : start]
    word = before.rstrip(" ").rpartition(" ")[2].rpartition("\n")[2] if before.endswith(" ") else ""
    word = word.strip(_OPENS + _CLOSES + "#").lower()
    plain = (
        not offered  # then all names there are stand before the reader
        or len(word) < 2
        or not word.isascii()  # the words below are of a few languages only
        or not word[-1].isalpha()
        or word in PLAIN_WORDS
        or word.endswith("ly")
        or any(each.isdigit() for each in words_of(choices[index]))
    )
    return chr((LABEL if plain else RENAMED) + index)


def _letter_sign(text: str, at: int, offered: dict[str, int]) -> str | None:
    """Return the sign of the single letter at `at` where it is meant as one, else None."""
    char = text[at]
    if _part_of_word(text, at, offered):
        return None
    index = offered.get(char.upper())
    if not (index is not None and char.isupper() and char not in "AI") and not _anchored(text, at):
        if not (char == "A" and index is not None and _NO_ARTICLE.match(text, at + 1)):
            return None
    elif char.isupper() and _NAMED_BY_LETTER.search(text[max(0, at - 20) : at]):
        return None
    return NOT_OFFERED if index is None else chr(LETTER + index)


def _part_of_word(text: str, at: int, offered: dict[str, int]) -> bool:
    """Say whether signs join the letter at `at` to more (``C-Class``, ``U.S.A.``, ``N/A``), a list of letters apart."""
    before, after = text[at - 1 : at], text[at + 1 : at + 2]
    if before == "°":
        return True
    if before and before in "-'&+./@#_" and at >= 2 and text[at - 2].isalnum():
        return not (before == "/" and _single(text, at - 2, offered))
    beyond = text[at + 2 : at + 3]
    if after and after in "+#":
        return True
    if after == ".":
        return beyond.isalpha() and not text[at + 3 : at + 4].isalpha()
    if after and after in "-'&+/@#_" and beyond.isalnum():
        return not (after == "/" and _single(text, at + 2, offered))
    return False


def _single(text: str, at: int, offered: dict[str, int]) -> bool:
    return text[at] in offered and _CANDIDATE.match(text, at) is not None


def _anchored(text: str, at: int) -> bool:
    """Say whether the letter at `at` stands where only an answer's letter stands, whatever its case."""
    before, after = text[max(0, at - 40) : at], text[at + 1 : at + 3]
    left, right = before.rstrip(" ")[-1:], after.lstrip(" ")[:1]
    if left and left in _OPENS and right and right in _CLOSES:
        return True
    if _LINE_START.search(before) is not None and (at < 40 or "\n" in before):
        if not after.strip() and len(text) == at + 1 + len(after):
            return True
        if (right and right in ".):") or after[:1] == "\n" or (not right and not text[at + 1 :].strip()):
            return True
    cue = _CUE.search(before)
    if cue is None:
        return False
    if text[at].isupper():
        return True
    return _END.match(text, at + 1) is not None and not (
        text[at] == "a" and cue[0].rstrip().lower().endswith("is") and not right
    )


def _pair(match: re.Match[str], shape: str) -> str:
    """Join a letter and the label after it where they agree; where they do not, mark that, or leave them apart."""
    letter, between, label = match[1], match[2], match[3]
    index = index_of(letter)
    if index is None:
        return NOT_OFFERED
    words = sum(word.isalpha() for word in between.split())
    ends = _FULL_STOP.match(shape, match.end()) is not None
    if "\n" in between and not ends:
        return match[0]
    if label != MISMATCH and (ord(label) - LABEL == index or ord(label) - RENAMED == index):
        return letter
    opens = match.start() == 0 or shape[match.start() - 1] == "\n"
    if (ends or opens) and words == 0:
        return MISMATCH
    return match[0]


def _pair_back(match: re.Match[str]) -> str:
    label, between, letter = match[1], match[2], match[3]
    index = index_of(letter)
    if index is not None and label != MISMATCH and ord(label) - LABEL == index:
        return label
    return match[0] if "," in between else MISMATCH


def _other_name(match: re.Match[str], choices: Sequence[str]) -> str:
    """Mark a letter that comes with a name which is not its label's (``B. Eagle``)."""
    index = index_of(match[1])
    words = [word for word in re.findall(r"[^\W_]+", match[2]) if word not in PLAIN_WORDS and word not in GENERIC_WORDS]
    if index is None or not words or len(words) > 5 or len(words) < len(match[2].split()):
        return match[0]
    shares = [_shared(words, words_of(choice)) for choice in choices]
    if shares[index] and shares[index] == max(shares):
        return match[0]
    return MISMATCH


def _shared(words: Sequence[str], label: Sequence[str]) -> int:
    starts = {word[:4] for word in label}
    return sum(word[:4] in starts for word in words)


def _listed(sign: str) -> str:
    index = index_of(sign)
    return sign if index is None else chr(LISTED + index)
