"""What the base model must see, know, and not know, measured on the validation split of the saved checkpoint."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import torch
from benchmarks.miniature.batches import prompt_text
from benchmarks.miniature.lessons import (
    ASK,
    OPEN,
    Lesson,
    choose,
    choose_name,
    choose_text,
    describe_parts,
    tell_attributes,
    tell_fact,
    tell_name,
    value_question,
)
from benchmarks.miniature.training import Pictures
from benchmarks.miniature.words import PARTS, siblings

from fgvr_bench.types import Example
from fgvr_datasets._moth_species import BY_LABEL, GENERA, SPECIES, VALUES, Attributes

SIGMAS = 1.96
"""Half the width of a 95 % interval, in standard errors."""


@dataclass(frozen=True, slots=True)
class Gate:
    """One figure and what is asked of it."""

    name: str
    right: int
    asked: int
    least: float | None = None
    """The share must be this much or more."""
    chance: float | None = None
    """The share must be this, within its 95 % interval."""

    @property
    def share(self) -> float:
        """Share of right answers."""
        return self.right / self.asked

    @property
    def passed(self) -> bool | None:
        """Whether the figure is what was asked; None where nothing was."""
        if self.least is not None:
            return self.share >= self.least
        if self.chance is not None:
            error = math.sqrt(self.chance * (1 - self.chance) / self.asked)
            return abs(self.share - self.chance) <= SIGMAS * error
        return None

    def wanted(self) -> str:
        """Say what is asked."""
        if self.least is not None:
            return f"at least {self.least:.0%}"
        if self.chance is not None:
            error = SIGMAS * math.sqrt(self.chance * (1 - self.chance) / self.asked)
            return f"{self.chance:.0%} ± {error:.1%}"
        return ""


def gate_table(gates: Sequence[Gate]) -> str:
    """Return the gates as a Markdown table."""
    said = {True: "passed", False: "MISSED", None: ""}
    rows = [f"| {g.name} | {g.right}/{g.asked} | {g.share:.1%} | {g.wanted()} | {said[g.passed]} |" for g in gates]
    return "\n".join(["| validation | right | share | asked | |", "|---|---|---|---|---|", *rows])


class Asker:
    """Asks a model lessons and compares its greedy answers, word for word."""

    def __init__(self, model: Any, tokenizer: Any, pictures: Pictures, batch: int = 480) -> None:
        self._model, self._tokenizer, self._pictures, self._batch = model, tokenizer, pictures, batch

    def right(self, lessons: Sequence[Lesson], places: Sequence[int] | None = None) -> list[bool]:
        """Say which lessons are answered rightly; `places` are their pictures."""
        found: list[bool] = []
        for start in range(0, len(lessons), self._batch):
            part = lessons[start : start + self._batch]
            answers = self.answers(part, None if places is None else places[start : start + self._batch])
            found += [answer == lesson.answer for answer, lesson in zip(answers, part, strict=True)]
        return found

    @torch.inference_mode()
    def answers(self, lessons: Sequence[Lesson], places: Sequence[int] | None) -> list[str]:
        """Return greedy answers to lessons with or without pictures."""
        prompts = [prompt_text(lesson.question, places is not None) for lesson in lessons]
        inputs = self._tokenizer(prompts, return_tensors="pt", padding=True).to(self._pictures.device)
        if places is not None:
            inputs["pixel_values"] = self._pictures.take(torch.tensor(places))[:, None]
        longest = max(len(self._tokenizer(lesson.answer)["input_ids"]) for lesson in lessons)
        out = self._model.generate(**inputs, do_sample=False, max_new_tokens=longest + 2)
        told = out[:, inputs["input_ids"].shape[1] :]
        return [text.strip() for text in self._tokenizer.batch_decode(told, skip_special_tokens=True)]


def measure(asker: Asker, examples: Sequence[Example], seed: int = 0) -> list[Gate]:
    """Return all gates; the asker's pictures are those of `examples`."""
    chance = Random(f"gates/{seed}")
    return [*_attributes(asker, examples, chance), *_guide(asker, chance), *_names(asker, examples, chance)]


def _attributes(asker: Asker, examples: Sequence[Example], chance: Random) -> list[Gate]:
    places, moths = list(range(len(examples))), [_moth(example) for example in examples]
    gates = []
    for name in VALUES:
        right = asker.right([value_question(chance, moth, name) for moth in moths], places)
        gates.append(Gate(f"attribute by letter: {PARTS[name]}", sum(right), len(right), least=0.9))
    total = Gate("attributes, all", sum(g.right for g in gates), sum(g.asked for g in gates), least=0.9)
    told = asker.right([_diagnostic(example, moth) for example, moth in zip(examples, moths, strict=True)], places)
    return [*gates, total, Gate("description with both diagnostic attributes, word for word", sum(told), len(told))]


def _diagnostic(example: Example, moth: Attributes) -> Lesson:
    """Ask for the description that the guide gives of the moth's species, without a name."""
    return describe_parts(moth, BY_LABEL[example.label].genus.diagnostic)


def _guide(asker: Asker, chance: Random) -> list[Gate]:
    gates = []
    for title, make, rounds in (
        ("attributes of a name, word for word", tell_attributes, 1),
        ("single attributes of a name", tell_fact, 10),
        ("name of a description", tell_name, 1),
        ("name of a description, by letter", choose_name, 20),
        ("description of a name, by letter", choose_text, 20),
    ):
        right = asker.right([make(chance, species) for species in SPECIES for _ in range(rounds)])
        gates.append(Gate(f"guide: {title}", sum(right), len(right), least=0.95))
    return gates


def _names(asker: Asker, examples: Sequence[Example], chance: Random) -> list[Gate]:
    places, genera, bare, family, named = list(range(len(examples))), [], [], [], []
    for example in examples:
        species = BY_LABEL[example.label]
        others = chance.sample([genus for genus in GENERA if genus is not species.genus], 3)
        strangers = [chance.choice([s.label for s in SPECIES if s.genus is genus]) for genus in others]
        genera.append(choose(chance, ASK.format("moths"), species.label, strangers))
        bare.append(choose(chance, ASK.format("moths"), species.genus.name, [genus.name for genus in others]))
        mates = [other.label for other in siblings(species) if other is not species]
        family.append(choose(chance, ASK.format("moths"), species.label, mates))
        named.append(Lesson(OPEN, species.genus.name))
    said = [answer.split()[-1:] for answer in asker.answers(named, places)]
    open_right = sum(words == [BY_LABEL[e.label].genus.name] for words, e in zip(said, examples, strict=True))
    count = len(examples)
    return [
        Gate("genus: names of four genera, by letter", sum(asker.right(genera, places)), count, least=0.95),
        Gate("genus: four genera, by letter", sum(asker.right(bare, places)), count, least=0.95),
        Gate("genus: in its own words", open_right, count),
        Gate("siblings: four names of a genus, by letter", sum(asker.right(family, places)), count, chance=0.25),
    ]


def _moth(example: Example) -> Attributes:
    return Attributes(**{name: str(example.metadata[name]) for name in VALUES})
