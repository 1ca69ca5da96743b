"""A toy benchmark: tiny pictures in three colours, and models that know, guess or break."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fgvr_bench import hookimpl
from fgvr_bench.core.host import Host
from fgvr_bench.interfaces import (
    Dataset,
    DatasetCard,
    DatasetPlugin,
    Model,
    ModelCard,
    ModelPlugin,
    ModelSettings,
)
from fgvr_bench.types import Example, Prompt, Response, ScoreKind, Stop

COLOURS = {"Brick_red": (150, 40, 40), "Moss_green": (60, 120, 50), "Sky_blue": (90, 150, 220), "Amber": (220, 160, 30)}


@dataclass(frozen=True, slots=True)
class Picture:
    """Eight by eight pixels of one colour, or bytes that are no picture."""

    colour: tuple[int, int, int]
    broken: bool = False

    def read(self) -> bytes:
        return b"no picture" if self.broken else b"P6 8 8 255\n" + bytes(self.colour) * 64


class ToyDataset(Dataset):
    root = None

    def __init__(self, card: DatasetCard, each: int, broken: frozenset[str] = frozenset()) -> None:
        self.card = card
        self._examples = sorted(
            (
                Example(f"{card.name}/test/{label}/{i:04}", Picture(colour, f"{label}/{i:04}" in broken), label, "test")
                for label, colour in COLOURS.items()
                for i in range(each)
            ),
            key=lambda example: example.example_id,
        )

    def labels(self) -> Sequence[str]:
        return list(COLOURS)

    def examples(self, split: str = "test") -> Sequence[Example]:
        return self._examples

    def source_digest(self, split: str) -> str:
        return hashlib.sha256(repr([e.image for e in self._examples]).encode()).hexdigest()


class ToyPlugin(DatasetPlugin):
    def __init__(self, name: str = "toy", each: int = 10, broken: frozenset[str] = frozenset()) -> None:
        self.card = DatasetCard(name, "Toy colours", "colours", len(COLOURS), {"test": 4 * each}, options="random")
        self.dataset = ToyDataset(self.card, each, broken)

    def open(self, roots: Sequence[Path], argument: str | None = None) -> Dataset:
        return self.dataset


@dataclass
class Script(Model):
    """Answers by looking at the picture's colour; counts what it is asked and may fail on demand."""

    mode: str = "oracle"
    batch_size: int = 4
    asked: list[str] = field(default_factory=list)
    fail_on: frozenset[str] = frozenset()

    def respond(self, prompts: Sequence[Prompt], batch: Any) -> Sequence[Response]:
        self.asked += [prompt.question_id for prompt in prompts]
        if any(prompt.question_id in self.fail_on for prompt in prompts) or self.mode == "broken":
            raise RuntimeError("the toy broke")
        if self.mode == "short":
            return []
        return [self._one(prompt, image) for prompt, image in zip(prompts, batch, strict=True)]

    def _one(self, prompt: Prompt, image: Any) -> Response:
        if self.mode == "nan":
            return Response(
                prompt.question_id, scores=(float("nan"),) * len(prompt.choices), score_kind=ScoreKind.LOGPROB
            )
        if self.mode == "always-a":
            return Response(prompt.question_id, "A", stop=Stop.EOS, tokens=1)
        pixel = image.getpixel((0, 0))
        label = next(label for label, colour in COLOURS.items() if colour == pixel)
        return Response(prompt.question_id, prompt.letters[prompt.choices.index(label)], stop=Stop.EOS, tokens=1)


class ToyModel(ModelPlugin):
    def __init__(self, name: str = "oracle", model: Script | None = None) -> None:
        self.card = ModelCard(name, f"Toy {name}", exposure="zero-shot", parameters=1, decodings=("generate",))
        self.model = model or Script()
        self.loads = 0

    def identify(self, settings: ModelSettings) -> Mapping[str, Any]:
        return {"mode": self.model.mode}

    def load(self, settings: ModelSettings) -> Model:
        self.loads += 1
        return self.model


class Registration:
    """A plugin object as a module would be."""

    def __init__(self, models: Sequence[ModelPlugin] = (), datasets: Sequence[DatasetPlugin] = ()) -> None:
        self._models, self._datasets = models, datasets

    @hookimpl
    def register_models(self, register: Any) -> None:
        for model in self._models:
            register(model)

    @hookimpl
    def register_datasets(self, register: Any) -> None:
        for dataset in self._datasets:
            register(dataset)


def toy_host(models: Sequence[ModelPlugin] = (), datasets: Sequence[DatasetPlugin] = ()) -> Host:
    """Return a fresh host with the built-in protocols, metrics and miners and these toys."""
    from fgvr_bench import metrics, miners, protocols

    made = Host()
    for name, module in (("protocols", protocols), ("metrics", metrics), ("miners", miners)):
        info = made.add(module, name, "fgvr-bench", "test")
        assert info.error is None, info.error
    info = made.add(Registration(models, datasets), "toys")
    assert info.error is None, info.error
    return made
