"""What a tuned model is asked: siblings and genera by letter, in the words and the order of protocol fgvr-1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from random import Random
from typing import Any

import torch
from benchmarks.miniature.batches import prompt_text
from benchmarks.miniature.training import Pictures

from fgvr_bench.core.host import host
from fgvr_bench.core.options import resolve
from fgvr_bench.interfaces import AskContext, MiningSettings
from fgvr_bench.types import Example, Options
from fgvr_datasets._moth_species import BY_LABEL, GENERA, SPECIES
from fgvr_datasets.moth_24 import Moth24

GREY = 128


@dataclass(frozen=True, slots=True)
class Paper:
    """Questions of one kind, in the order of the examples."""

    texts: list[str]
    targets: list[int]


class Exam:
    """Questions about the pictures of one split; a model answers by its likeliest letter."""

    def __init__(
        self, examples: Sequence[Example], pixels: Any, tokenizer: Any, device: str = "cpu", batch: int = 120
    ) -> None:
        """Prepare.

        Args:
            examples: of moth-24.
            pixels: their pictures, bytes of shape (n, 96, 96, 3).
            tokenizer: the model's.
            device: where the models are.
            batch: questions at once.
        """
        self.examples = list(examples)
        self.pictures, self.tokenizer, self._batch = Pictures(pixels, device), tokenizer, batch
        self._letters = torch.tensor(
            [tokenizer.convert_tokens_to_ids(f"▁{letter}") for letter in "ABCD"], device=device
        )

    @cached_property
    def siblings(self) -> Paper:
        """The four species of the genus: a closed set, which gives nothing away."""
        return self._paper(lambda example: [s.label for s in SPECIES if s.genus is BY_LABEL[example.label].genus])

    @cached_property
    def genera(self) -> Paper:
        """The truth and a species of each of three other genera."""
        return self._paper(_of_other_genera)

    @cached_property
    def mined(self) -> Paper:
        """The four species that moth-clip finds likest to the picture: the set may give the truth away."""
        split = self.examples[0].split
        options = resolve(Moth24(), split, "clip", MiningSettings(device="cpu", workers=0))
        rows = {row.example_id: row.choices for row in options.for_examples(self.examples)}
        return self._paper(lambda example: rows[example.example_id])

    def _paper(self, offered: Any) -> Paper:
        task = host().protocols["fgvr-1"].tasks["multiple-choice"]
        dataset = Moth24()
        context = AskContext(dataset.card.noun, tuple(dataset.labels()))
        texts, targets = [], []
        for example in self.examples:
            others = [label for label in offered(example) if label != example.label]
            question = task.ask(example, Options(example.example_id, (example.label, *others)), context)
            texts.append(prompt_text(task.prompt(question, context).text, picture=True))
            targets.append(question.choices.index(example.label))
        return Paper(texts, targets)

    @torch.inference_mode()
    def right(self, model: Any, paper: Paper, blind: bool = False, every: int = 1) -> list[bool]:
        """Say which questions the model answers rightly.

        Args:
            model: the model.
            paper: the questions.
            blind: whether it is shown grey pictures.
            every: ask of every so many pictures only.
        """
        model.eval()
        found: list[bool] = []
        asked = range(0, len(paper.texts), every)
        for start in range(0, len(asked), self._batch):
            part = asked[start : start + self._batch]
            inputs = self.tokenizer([paper.texts[place] for place in part], return_tensors="pt", padding=True)
            inputs = inputs.to(self.pictures.device)
            pixels = self.pictures.take(torch.tensor(part))
            if blind:
                pixels = torch.full_like(pixels, GREY / 127.5 - 1)
            logits = model(**inputs, pixel_values=pixels[:, None], logits_to_keep=1, use_cache=False).logits
            chosen = logits[:, -1, self._letters].argmax(1).tolist()
            found += [choice == paper.targets[place] for choice, place in zip(chosen, part, strict=True)]
        return found


def _of_other_genera(example: Example) -> list[str]:
    chance = Random(f"genera/{example.example_id}")
    others = chance.sample([genus for genus in GENERA if genus is not BY_LABEL[example.label].genus], 3)
    return [chance.choice([species.label for species in SPECIES if species.genus is genus]) for genus in others]
