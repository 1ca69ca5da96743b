"""The questions of the three steps: what to look for, what is seen of it, and what that comes to.

Source: Finedefics (arXiv 2501.15140, section on attribute descriptions), after FineR (ICLR 2024).  Each step's
questions follow from the answers of the one before and are made when they are indexed.
"""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fgvr_bench.core.free_words import FreeQuestion
from fgvr_bench.core.inquiry_files import Answers
from fgvr_bench.types import Example
from finedefics.data.texts import LONGEST_DESCRIPTION, LONGEST_VALUE, one_line
from finedefics.data.wordings import filled

MOST_NAMES = 200
"""Names shown to the model that says what tells them apart; of more, so many spread evenly over the list."""


@dataclass(frozen=True, slots=True)
class Groups:
    """Which categories are told apart from each other: all of a dataset's, or those of each rank."""

    noun: str
    """What the dataset's categories are called together, for example ``birds``."""
    members: Mapping[str, tuple[str, ...]]
    """Categories by group, in published order; the group is the noun, or a rank."""
    of: Mapping[str, str] = field(default_factory=dict)
    """Group of each category."""

    @classmethod
    def make(cls, noun: str, labels: Sequence[str], ranks: Mapping[str, tuple[str, ...]]) -> Groups:
        """Group categories by their finest rank; those without one, and those alone in theirs, are the noun's own."""
        finest = {label: ranks[label][-1] if ranks.get(label) else noun for label in labels}
        sizes = {group: sum(each == group for each in finest.values()) for group in finest.values()}
        of = {label: group if sizes[group] > 1 else noun for label, group in finest.items()}
        members = {group: tuple(label for label in labels if of[label] == group) for group in of.values()}
        return cls(noun, members, of)

    def called(self, group: str) -> str:
        """Return a group in words: ``birds``, or ``Wainscot moths``."""
        return self.noun if group == self.noun else f"{group} {self.noun}"


def attribute_questions(prompt: str, groups: Groups, key: str, most: int) -> list[FreeQuestion]:
    """Return a question a group: which attributes tell its categories apart."""
    asked = []
    for number, (group, labels) in enumerate(groups.members.items()):
        names = ", ".join(one_line(label.replace("_", " "), LONGEST_VALUE) for label in _spread(labels))
        text = filled(prompt, group=groups.called(group), noun=groups.noun, names=names, count=str(most))
        asked.append(FreeQuestion(f"{key}/names#attributes.{number}", text))
    return asked


def _spread(labels: Sequence[str]) -> Sequence[str]:
    return labels if len(labels) <= MOST_NAMES else [labels[n * len(labels) // MOST_NAMES] for n in range(MOST_NAMES)]


class Readings(Sequence[FreeQuestion]):
    """For each image, in order, a question an attribute of its group."""

    def __init__(
        self, prompt: str, groups: Groups, lists: Mapping[str, tuple[str, ...]], examples: Sequence[Example]
    ) -> None:
        self._prompt, self._groups, self._lists, self._examples = prompt, groups, lists, examples
        counts = (len(lists[groups.of[examples[place].label]]) for place in range(len(examples)))
        self._starts = list(itertools.accumulate(counts, initial=0))
        self._last: tuple[int, Example] | None = None

    def __len__(self) -> int:
        return self._starts[-1]

    def __getitem__(self, index: Any) -> Any:
        """Return one question, or those of a slice."""
        if isinstance(index, slice):
            return [self[number] for number in range(len(self))[index]]
        number = range(len(self))[index]
        place = bisect.bisect_right(self._starts, number) - 1
        if self._last is None or self._last[0] != place:  # neighbours ask about one image
            self._last = place, self._examples[place]
        example = self._last[1]
        group = self._groups.of[example.label]
        attribute = self._lists[group][number - self._starts[place]]
        text = filled(self._prompt, group=self._groups.called(group), noun=self._groups.noun, attribute=attribute)
        return FreeQuestion(f"{example.example_id}#read.{number - self._starts[place]}", text, example.image)

    def values(self, place: int, answers: Answers) -> dict[str, str]:
        """Return what was read of an image, by attribute; what failed or is empty is left out."""
        attributes = self._lists[self._groups.of[self._examples[place].label]]
        given = answers[self._starts[place] : self._starts[place + 1]]
        read = {
            attribute: one_line(response.completion or "", LONGEST_VALUE)
            for attribute, response in zip(attributes, given, strict=True)
        }
        return {attribute: value for attribute, value in read.items() if value}


class Summaries(Sequence[FreeQuestion]):
    """For each image of which anything was read, the question that sums it up; the picture is not shown."""

    def __init__(
        self, prompt: str, groups: Groups, readings: Readings, answers: Answers, examples: Sequence[Example]
    ) -> None:
        self._prompt, self._groups, self._examples = prompt, groups, examples
        self._readings, self._answers = readings, answers
        self.places = [place for place in range(len(examples)) if readings.values(place, answers)]
        """Which examples these are."""

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: Any) -> Any:
        """Return one question, or those of a slice."""
        if isinstance(index, slice):
            return [self[number] for number in range(len(self))[index]]
        place = self.places[index]
        example = self._examples[place]
        values = self._readings.values(place, self._answers)
        text = filled(
            self._prompt,
            group=self._groups.called(self._groups.of[example.label]),
            noun=self._groups.noun,
            label=one_line(example.label, LONGEST_VALUE),
            attributes="\n".join(f"{name}: {value}" for name, value in values.items()),
        )
        return FreeQuestion(f"{example.example_id}#describe", text)

    def description(self, number: int, answers: Answers) -> str:
        """Return what an image was summed up to; empty where that failed."""
        return one_line(answers[number].completion or "", LONGEST_DESCRIPTION)
