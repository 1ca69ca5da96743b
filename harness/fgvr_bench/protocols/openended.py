"""Naming what is shown, with no options: read by the names of the dataset that the answer holds.

An answer is right if the one label that it names is the truth; where names nest, the longest one is meant.  A
label that ends with a year is also read without it, if no other label is the same but for the year.  Where the
dataset knows ranks above its labels, an answer that names only a rank gets credit for what it says rightly:
hierarchical precision, the share of what was named (the name and all ranks above it) that is true of the picture
(Silla and Freitas, 2011, "A survey of hierarchical classification across different application domains", sec. 5).
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from fgvr_bench.interfaces import AskContext, Task
from fgvr_bench.protocols.asking import BASIC, FAILED, once, target_of
from fgvr_bench.protocols.ordering import make_question_id
from fgvr_bench.types import Answer, Example, Json, Options, Prompt, Question, Reading, Response

Taxonomy = Mapping[str, tuple[str, ...]]

_YEAR = re.compile(r"[ _](?:19|20)\d\d$")


NEAREST = "nearest"
"""The rule of a label that the answer does not name (see `nearest`)."""


class Names(NamedTuple):
    """All names that an answer may hold."""

    spelt: tuple[str, ...]
    """Labels as published, then labels without their year, then ranks."""
    labels: tuple[int | None, ...]
    """Index of the label that each name means; None for a rank."""


class OpenEnded(Task):
    """What is shown, in the model's own words."""

    name = "open-ended"
    needs_options = False
    decodings = ("generate",)
    metrics = (*BASIC, "hierarchical-precision")

    def __init__(self, taxonomy: Taxonomy | None = None) -> None:
        self.taxonomy: Taxonomy = taxonomy or {}
        self._spellings = spellings_of(self.taxonomy)
        self._ranks = tuple(sorted(self._spellings))

    def ask(self, example: Example, options: Options | None, context: AskContext, permutation: int = 0) -> Question:
        """Ask about all labels, without showing them.

        Raises:
            UsageError: the example's label is not among the dataset's, or a permutation is asked for.
        """
        once(self.name, permutation)
        question_id = make_question_id(example.example_id, self.name)
        return Question(question_id, example, context.labels, target_of(example, context.labels))

    def prompt(self, question: Question, context: AskContext) -> Prompt:
        """Ask for the name; the labels are not shown."""
        text = f"Which of all {context.noun} is shown in the image? Answer with its exact name."
        return Prompt(question.question_id, question.example.image, text, (), ())

    def identify(self, context: AskContext) -> Mapping[str, Json]:
        """Return the ranks above the labels."""
        ranks: dict[str, Json] = {label: list(ranks) for label, ranks in context.taxonomy.items() if ranks}
        return {"taxonomy": ranks} if ranks else {}

    def bound(self, facts: Mapping[str, Json]) -> OpenEnded:
        """Return the task with the ranks that the run was asked with."""
        return OpenEnded(taxonomy_in(facts))

    def read(self, response: Response, letters: Sequence[str], choices: Sequence[str]) -> Reading:
        """Read the one label that the answer names; a rank is no label."""
        name, reading = self._named(response, tuple(choices))
        label = None if name is None else names_of(tuple(choices), self._ranks).labels[name]
        if name is None or reading.rule == NEAREST:
            return Reading(label, reading.rule)
        return Reading(label, "name" if label is not None else "generic")

    def judge(self, question: Question, response: Response) -> Answer:
        """Compare the name with the truth; credit is hierarchical precision where there are ranks."""
        name, reading = self._named(response, question.choices)
        if name is None:
            return Answer(question.question_id, None, False, reading.rule, 0.0 if self.taxonomy else None)
        names = names_of(question.choices, self._ranks)
        label = names.labels[name]
        truth = question.choices[question.target or 0]
        right = label is not None and label == question.target
        said = self._spellings[names.spelt[name]] if label is None else question.choices[label]
        credit = self._credit(said, truth)
        rule = "name" if right else "generic" if label is None else "sibling" if credit else "other-name"
        rule = NEAREST if reading.rule == NEAREST else rule
        return Answer(question.question_id, label, right, rule, credit)

    def settled(self, text: str, letters: Sequence[str], choices: Sequence[str]) -> bool:
        """Say whether the text writes out its own end."""
        from fgvr_bench.protocols.parser import is_over

        return is_over(text)

    def _named(self, response: Response, labels: tuple[str, ...]) -> tuple[int | None, Reading]:
        """Return the place in `names_of` of what the answer names, or None and why: a label, else a rank."""
        if response.error is not None or response.completion is None:
            return None, FAILED
        from fgvr_bench.protocols.parser import parse_choice

        reading = parse_choice(response.completion, (), names_of(labels).spelt)
        if reading.rule == "unread" and self.taxonomy:
            reading = parse_choice(response.completion, (), names_of(labels, self._ranks).spelt)
        return reading.choice, reading

    def _credit(self, named: str, truth: str) -> float | None:
        if not self.taxonomy:
            return None
        true = {truth, *self.taxonomy.get(truth, ())}
        said = {named, *(self.taxonomy[named] if named in self.taxonomy else _above(named, self.taxonomy))}
        return len(said & true) / len(said)


def taxonomy_in(facts: Mapping[str, Json]) -> Taxonomy:
    """Return the ranks that `OpenEnded.identify` said."""
    ranks = facts.get("taxonomy")
    if not isinstance(ranks, dict):
        return {}
    return {label: tuple(map(str, each)) for label, each in ranks.items() if isinstance(each, list)}


@lru_cache(maxsize=64)
def names_of(labels: tuple[str, ...], ranks: tuple[str, ...] = ()) -> Names:
    """Return the names that an answer may hold, each spelling once.

    >>> names_of(("Audi S4 Sedan 2012", "Audi S4 Sedan 2007", "Audi R8 Coupe 2012")).spelt[3:]
    ('Audi R8 Coupe',)
    """
    from fgvr_bench.protocols.labels import words_of

    spelt, meant = list(labels), list[int | None](range(len(labels)))
    known = {words_of(label) for label in labels}
    shorter = [_YEAR.sub("", label) for label in labels]
    times = Counter(map(words_of, shorter))
    for index, name in enumerate(shorter):
        words = words_of(name)
        if words and words not in known and times[words] == 1:
            spelt.append(name)
            meant.append(index)
    known |= {words_of(name) for name in spelt}
    for rank in ranks:
        if words_of(rank) and words_of(rank) not in known:
            spelt.append(rank)
            meant.append(None)
    return Names(tuple(spelt), tuple(meant))


def spellings_of(taxonomy: Taxonomy) -> dict[str, str]:
    """Return what an answer may call each rank: by its name, or with the name of a rank above it before that.

    >>> sorted(spellings_of({"F-16A/B": ("Lockheed Martin", "F-16")}))
    ['F-16', 'Lockheed Martin', 'Lockheed Martin F-16']
    """
    lineages = set(taxonomy.values())
    alone = {rank: rank for ranks in lineages for rank in ranks}
    pairs = {f"{high} {low}": low for ranks in lineages for high, low in itertools.combinations(ranks, 2)}
    return {**pairs, **alone}


def _above(rank: str, taxonomy: Taxonomy) -> set[str]:
    """Return the ranks above a rank."""
    for ranks in taxonomy.values():
        if rank in ranks:
            return set(ranks[: ranks.index(rank)])
    return set()
