"""Reading yes or no off a text, as a careful human would, without guessing."""

from __future__ import annotations

import re

from fgvr_bench.protocols import clean
from fgvr_bench.protocols.vocabulary import CONCLUDES
from fgvr_bench.types import Reading

_READINGS = {"yes": Reading(0, "word"), "no": Reading(1, "word")}

_YES = r"(?:yes|yeah|yep|yup|affirmative|correct|true|是|对|對|はい|네|예|ja|oui|sí|sim)"
_NO = r"(?:no|nope|nah|negative|incorrect|false|否|不是|いいえ|아니요|nein|non|não)"
_WHOLE = re.compile(rf"\W*(?:({_YES}|y)|({_NO}|n))\W*")
_FIRST = re.compile(
    r"\W*(?:(?:wait|actually|hmm+|well|oh|sorry|so|but)\b\W*){0,3}(?:(yes|yeah|yep|yup)|(no|nope|nah))(?:\b(?!\s+(?:and|or|doubt|question|idea|other|clue|way|matter)\b))(?!\s*/)"
)
_DECLARED = re.compile(
    r"\b(?:answer|conclusion|verdict)\b(?:[^,.;:]{0,40}?\b(?:is|be)\b|\s*[:=]+|)[\s\"'*(:]*"
    r"(?:(yes|true)|(no|false))\b(?! doubt)"
)
_LAST = re.compile(r"[:,-]\s*(?:(?:so|then|hence|thus|therefore)\b,?\s*)?(?:(yes|true)|(no|false))\W*$")
_TURNED = re.compile(
    r"\b(?:wait|actually|correction|sorry|scratch that|second thoughts?|reconsider\w*|mistake|mistaken|but|however"
    r"|rather|hmm+|in fact)\b"
)
_BOTH = re.compile(r"\b(?:yes\s*(?:and|or|/|,)\s*no|no\s*(?:and|or|/|,)\s*yes)\b")
_DENIAL = re.compile(
    r"\W*(?:it|this|that|the (?:image|picture|photo|photograph))\s+(?:does not|doesn't|is not|isn't|did not|didn't)\b"
    r"[^.,;!?\n]*\W*"
)
_SENTENCE_END = re.compile(r"(?<=[.!?;])(?=\s|$)|\n")


def parse_yes_no(completion: str) -> Reading:
    """Return 0 for yes, 1 for no, None for neither or both, and the rule that decided.

    A sentence that begins with the word says it, and so does ``the answer is``; where two say different things
    the later one counts only if the text takes the earlier one back or concludes.

    >>> parse_yes_no("No, it does not."), parse_yes_no("Not sure")
    (Reading(choice=1, rule='stated'), Reading(choice=None, rule='unread'))
    """
    quick = _READINGS.get(completion.strip().rstrip(".").lower())
    return quick or _read_turn(clean.turn(completion)[0].strip())


def _read_turn(text: str) -> Reading:
    if len(text) > clean.MAX_CHARS:
        return Reading(None, "too-long")
    rest = clean.after_thinking(clean.plain(text))
    if rest is None:
        return Reading(None, "unfinished-thinking")
    for inside, rule in ((clean.tagged_answer(rest), "answer-tag"), (clean.boxed(rest), "boxed")):
        if inside is not None:
            reading = _read(clean.unmarked(inside[0]))
            return reading if reading.choice is None else Reading(reading.choice, rule)
    return _read(clean.unmarked(rest))


def _read(text: str) -> Reading:
    text = text.lower()
    if not text.strip():
        return Reading(None, "empty")
    whole = _WHOLE.fullmatch(text)
    if whole is not None:
        return Reading(0 if whole[1] else 1, "word")
    if _BOTH.search(text):
        return Reading(None, "several")
    said: int | None = None
    rule, begin, turned = "unread", 0, False
    for end in [*(match.end() for match in _SENTENCE_END.finditer(text)), len(text)]:
        sentence, begin = text[begin:end], end
        found = _DECLARED.search(sentence) or _FIRST.match(sentence) or _LAST.search(sentence[-100:])
        turned = turned or _TURNED.search(sentence[:400]) is not None or CONCLUDES.search(sentence[:400]) is not None
        if found is None:
            continue
        choice = 0 if found[1] else 1
        if said is not None and choice != said and not turned:
            return Reading(None, "conflict")
        said, rule, turned = choice, "declared" if found.re is _DECLARED else "stated", False
    if said is None and _DENIAL.fullmatch(text):
        return Reading(1, "stated")
    return Reading(said, rule)
