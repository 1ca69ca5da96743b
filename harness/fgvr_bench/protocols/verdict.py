"""From a skeleton to the one choice that a text gives, or the reason why it gives none.

Each mention, or list of mentions, is an event with a weight: declared (``the answer is ␣``), stated (``it is ␣``),
or mentioned.  Mentions that are ruled out, compared with, supposed or asked about give nothing.  The heaviest
events decide; where they disagree, a later one wins only if the text takes the earlier one back or draws its
conclusion there.  Otherwise there is no answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from fgvr_bench.protocols import vocabulary as say
from fgvr_bench.protocols.skeleton import MISMATCH, NOT_OFFERED, index_of, is_letter, is_listed
from fgvr_bench.types import Reading

DECLARED, STATED, MENTIONED, NOTHING = 3, 2, 1, 0
RULES = {DECLARED: "declared", STATED: "stated", MENTIONED: "mentioned"}

MAX_MENTIONS = 1000
"""A text with more mentions is not read; none that a model writes within a token limit has as many."""

MAX_WORDS = 40
"""In a longer text the only mention of a choice is no answer unless the text states it."""

WINDOW = 160
"""Characters beside a mention that are looked at."""

_GROUP = re.compile(rf"{say.MENTION}(?:{say.JOINS}{say.MENTION})*")
_ONE = re.compile(say.MENTION)
_SENTENCE_END = re.compile(r"(?<=[.!?;])(?=\s|$)|\n")
_NEXT_ONE_NOT = re.compile(
    r"[\s,;-]*\b(?:and |but )?(?:is )?(?:definitely |certainly )?not(?: (?:an?|the|option|for))*\s*$"
)
_OPENING = re.compile(r"\s?(?:$|[.:),;!-]|because\b|since\b|as\b|due\b|for\b)")


@dataclass(frozen=True, slots=True)
class Event:
    """What a text says with one mention, or one list of mentions."""

    choice: int | None
    """The choice meant; None where it is none that is offered, or several."""
    weight: int
    reason: str
    """Why `choice` is None."""
    corrects: bool = False
    """Whether the text takes back something before it, or concludes."""
    ruled_out: bool = False
    """Whether the text says that it is not `choice`."""
    retracts: bool = False
    """Whether the text takes back what it said and names nothing."""


def decide(shape: str) -> Reading:
    """Return the choice that the skeleton gives, and the rule that decided."""
    mentions = _ONE.findall(shape)
    if not mentions:
        return Reading(None, "unread" if shape else "empty")
    if len(mentions) > MAX_MENTIONS:
        return Reading(None, "too-many-mentions")
    events = list(_events(shape))
    weight = max((event.weight for event in events if not event.ruled_out and not event.retracts), default=NOTHING)
    if weight == NOTHING:
        return Reading(None, "ruled-out" if any(event.ruled_out for event in events) else "only-compared")
    if weight == MENTIONED:
        return _only_mention(shape, events)
    first = next(place for place, event in enumerate(events) if event.weight == weight and not event.ruled_out)
    return _last_word(events[first:], weight)


def _last_word(events: list[Event], weight: int) -> Reading:
    """Follow the events of at least STATED weight to where the text ends up."""
    choice, reason, held = events[0].choice, events[0].reason, events[0].weight
    taken_back = False
    for event in events[1:]:
        if event.retracts:
            taken_back = True
        elif event.ruled_out:
            if event.choice is not None and event.choice == choice:
                choice, reason = None, "retracted"
        elif event.weight >= STATED:
            if event.choice == choice and event.reason == reason:
                taken_back = False
            elif event.corrects or taken_back or event.weight > held or reason in ("several", "retracted"):
                choice, reason, held, taken_back = event.choice, event.reason, event.weight, False
            else:
                choice, reason = None, "conflict"
    if taken_back:
        return Reading(None, "retracted")
    return Reading(choice, RULES[weight]) if choice is not None else Reading(None, reason)


def _only_mention(shape: str, events: list[Event]) -> Reading:
    """Accept the only choice that a short text mentions at all."""
    meant = {(event.choice, event.reason) for event in events if event.weight and not event.ruled_out}
    if len(meant) > 1:
        return Reading(None, "several")
    choice, reason = meant.pop()
    if choice is None:
        return Reading(None, reason)
    if any(event.retracts or (event.ruled_out and event.choice == choice) for event in events):
        return Reading(None, "retracted")
    if say.REFUSES.search(shape):
        return Reading(None, "refused")
    if len(shape.split()) > MAX_WORDS:
        return Reading(None, "not-stated")
    return Reading(choice, RULES[MENTIONED])


def _events(shape: str) -> Iterator[Event]:
    pending, begin = False, 0
    for end in [*(match.end() for match in _SENTENCE_END.finditer(shape)), len(shape)]:
        sentence, opens = shape[begin:end], begin == 0 or shape[begin - 1] == "\n"
        groups = list(_GROUP.finditer(sentence))
        rest = sentence[groups[-1].end() :] if groups else sentence
        for number, group in enumerate(groups):
            event = _event(_beside(sentence, groups, number), group, pending, opens, first=begin == 0)
            if event is not None:
                yield event
                pending = False
        if say.RETRACTS.search(rest[: 2 * WINDOW]):
            yield Event(None, NOTHING, "retracted", retracts=True)
            pending = True
        elif not groups and say.CORRECTS.search(rest[: 2 * WINDOW]):
            pending = True
        begin = end


@dataclass(frozen=True, slots=True)
class _Sides:
    """What stands beside a group of mentions, within its sentence."""

    left: str
    right: str
    ends: bool
    """Whether no other mention follows in the sentence."""
    alone: bool
    """Whether the rest of the sentence says nothing of its own."""
    asked: bool
    """Whether the sentence is a question of more than the mention."""


def _beside(sentence: str, groups: list[re.Match[str]], number: int) -> _Sides:
    group = groups[number]
    begin = groups[number - 1].end() if number else 0
    ends = number + 1 == len(groups)
    until = len(sentence) if ends else groups[number + 1].start()
    right = sentence[group.end() : min(until, group.end() + WINDOW)]
    alone = len(groups) == 1 and _bare(sentence[: group.start()]) and _bare(sentence[group.end() :])
    return _Sides(
        left=sentence[max(begin, group.start() - WINDOW) : group.start()],
        right=right if ends else _NEXT_ONE_NOT.sub("", right),
        ends=ends,
        alone=alone,
        asked=sentence.rstrip().endswith("?") and not _guessed(sentence, group),
    )


def _bare(words: str) -> bool:
    return len(words) < WINDOW and say.BARE.fullmatch(words) is not None


def _guessed(sentence: str, group: re.Match[str]) -> bool:
    """Say whether a question is no more than the mention with a doubt."""
    words = sentence[: group.start()] + sentence[group.end() :]
    return len(words) < WINDOW and say.GUESSES.fullmatch(words) is not None


def _event(sides: _Sides, group: re.Match[str], pending: bool, opens: bool, first: bool) -> Event | None:
    """Weigh one group of mentions by the words on its two sides."""
    if sides.asked or _contrary(sides.left) or say.CONTRARY_AFTER.match(sides.right):
        return None
    signs = _ONE.findall(group[0])
    choice, reason = _meaning(signs)
    left = sides.left
    since = max((match.end() for match in say.TURN.finditer(left)), default=0)
    if say.RULED_OUT_BEFORE.search(left[since:]) or say.RULED_OUT_AFTER.match(sides.right):
        return Event(choice, NOTHING, reason, ruled_out=True)
    weight = _weight(signs[0], sides)
    if weight is None:
        return None
    if weight == MENTIONED and opens and not left.strip(" -+") and (first or is_letter(signs[0])):
        ended = sides.ends or sides.right.strip()
        weight = STATED if ended and _OPENING.match(sides.right) else weight
    corrects = pending or say.CORRECTS.search(left) is not None or say.CONCLUDES.search(left) is not None
    return Event(choice, weight, reason, corrects)


def _contrary(left: str) -> bool:
    """Say whether a mention would be the answer only if the picture were another."""
    position = 0
    for pattern in say.CONTRARY:
        match = pattern.search(left, position)
        if match is None:
            return False
        position = match.end()
    return True


def _weight(sign: str, sides: _Sides) -> int | None:
    """Return how strongly the words say that this is the answer; None where they say something else."""
    left, right = sides.left, sides.right
    if say.DECLARED_AFTER.match(right):
        return DECLARED
    if is_listed(sign):
        return None
    if left.strip():
        if say.DECLARED_BEFORE.search(left):
            return DECLARED
        if say.SUPPOSED_BEFORE.search(left):
            return None
        if say.STATED_BEFORE.search(left):
            return STATED
        if say.LIKENED_BEFORE.search(left):
            return MENTIONED
        if say.COMPARED_BEFORE.search(left):
            return None
    if sides.alone or say.STATED_AFTER.match(right):
        return STATED
    if sides.ends and not right.strip(" .!;,\"'\n") and say.ENDS_STATEMENT.search(left):
        return STATED
    return None if say.SAID_OF.match(right) and not is_letter(sign) else MENTIONED


def _meaning(signs: list[str]) -> tuple[int | None, str]:
    """Return the one choice that the signs of a group mean, or None and why."""
    meant = {index_of(sign) for sign in signs}
    if len(meant) > 1:
        return None, "several"
    choice = meant.pop()
    if choice is not None:
        return choice, ""
    if signs[0] == NOT_OFFERED:
        return None, "not-offered"
    return None, "mismatch" if signs[0] == MISMATCH else "other-name"
