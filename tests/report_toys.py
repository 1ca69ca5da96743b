"""Runs for reports: classes, models and answers that want to break a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from toy import Picture, Script, ToyModel, ToyPlugin, toy_host

import fgvr_bench
from fgvr_bench.core.host import Host
from fgvr_bench.interfaces import Dataset, DatasetCard, ModelCard
from fgvr_bench.types import Example, Prompt, Response, ScoreKind, Stop

HOSTILE = (
    "<script>window.broken = 'label'</script>",
    '"><img src=x onerror="window.broken = \'attribute\'">',
    "\u202eevil \u2066right to left",
    "Plain_finch",
)
ANSWERS = (
    "</script><script>window.broken = 'answer'</script>",
    "\x1b[31mred\x1b[2J <b>bold</b> & \u202ereversed",
    "A",
    "<!-- <script> ]]> ' \" `",
)
COLOURS = ((150, 40, 40), (60, 120, 50), (90, 150, 220), (220, 160, 30))


class HostileDataset(Dataset):
    """Four classes whose names are code; two of them are siblings."""

    root = None

    def __init__(self, card: DatasetCard, each: int) -> None:
        self.card = card
        self._examples = sorted(
            (
                Example(
                    f"{card.name}/test/{number}/{i:04}", Picture(COLOURS[number], i == 0 and number == 3), label, "test"
                )
                for number, label in enumerate(HOSTILE)
                for i in range(each)
            ),
            key=lambda example: example.example_id,
        )

    def labels(self) -> Sequence[str]:
        return list(HOSTILE)

    def examples(self, split: str = "test") -> Sequence[Example]:
        return self._examples

    def source_digest(self, split: str) -> str:
        return "0" * 64

    def taxonomy(self, label: str) -> tuple[str, ...]:
        return ("<i>Genus</i>",) if label in HOSTILE[:2] else ()


class HostilePlugin(ToyPlugin):
    """Declares it."""

    def __init__(self, each: int = 8) -> None:
        super().__init__("hostile")
        self.card = DatasetCard(
            "hostile", "Names that are code", "<u>things</u>", 4, {"test": 4 * each}, options="random"
        )
        self.dataset = HostileDataset(self.card, each)  # type: ignore[assignment]


class Speaker(Script):
    """Answers with code, with what is no answer, or with a letter, by turns."""

    def _one(self, prompt: Prompt, image: Any) -> Response:
        turn = int(prompt.question_id.partition("#")[0].rpartition("/")[2]) % len(ANSWERS)
        return Response(prompt.question_id, ANSWERS[turn], stop=Stop.EOS, tokens=3)


class Ranker(Script):
    """Gives log-probabilities: right three times in four, and a little surer than it should be."""

    def _one(self, prompt: Prompt, image: Any) -> Response:
        number = int(prompt.question_id.partition("#")[0].rpartition("/")[2])
        pixel = COLOURS.index(image.getpixel((0, 0)))
        truth = prompt.choices.index(HOSTILE[pixel])
        chosen = truth if number % 4 else (truth + 1) % len(prompt.choices)
        scores = [-3.0 - 0.1 * number] * len(prompt.choices)
        scores[chosen] = -0.1 * (number + 1)
        return Response(prompt.question_id, scores=tuple(scores), score_kind=ScoreKind.LOGPROB)


def hostile_host(dataset: HostilePlugin | None = None) -> Host:
    """Return a host with the dataset; models are registered run by run."""
    return toy_host([], [dataset or HostilePlugin()])


def play_hostile(folder: Path, each: int = 8) -> None:
    """Run two models on the hostile dataset: one that speaks code, one that ranks letters."""
    dataset = HostilePlugin(each)
    speaker = ToyModel("speaker", Speaker())
    ranker = ToyModel("ranker", Ranker())
    ranker.card = ModelCard("ranker", "<b>Ranks</b> letters", exposure="zero-shot", decodings=("logprob",))
    for model in (speaker, ranker):
        host = toy_host([model], [dataset])
        fgvr_bench.evaluate(model.card.name, "hostile", plugins=host, workers=0, results_dir=folder)
