"""What a user asks of ``build-data``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from fgvr_bench.errors import UsageError
from fgvr_bench.interfaces import MiningSettings
from finedefics.data.selecting import Wanted

CHOICES = 4
"""Choices of stage II's questions, as the benchmark asks them."""

Stage = Literal["align", "tune"]


@dataclass(frozen=True, slots=True)
class BuildSettings:
    """Settings of `finedefics.data.building.build_data`; checked when they are made."""

    datasets: tuple[str, ...]
    out: Path
    descriptions: tuple[Path, ...] = ()
    """A file a dataset; not needed with `names` or without stage I."""
    names: bool = False
    """Names in place of descriptions (ablation)."""
    options: tuple[str, ...] = ("clip",)
    """Who chooses the wrong answers of stage II: a miner, or files of option sets."""
    negatives_from: tuple[str, ...] = ()
    """The same for stage I's negatives; by default as `options`."""
    negatives: int = 3
    """Negatives of an image in stage I."""
    split: str = "train"
    classes: Mapping[str, str] = field(default_factory=dict)
    """A list of classes by dataset (``""``: of all), as `Wanted.classes`."""
    hold_out: Mapping[str, str] = field(default_factory=dict)
    """The same of classes that are left out."""
    shots: int | None = None
    seed: int = 0
    stages: tuple[Stage, ...] = ("align", "tune")
    align_answer: Literal["name", "description"] = "name"
    """What stage I's question is answered by."""
    skip_missing: bool = False
    """Leave out images that have no description."""
    prompts: Path | None = None
    """Folder with ``align_questions.txt`` and ``open_questions.txt`` in place of the default ones."""
    mining: MiningSettings = field(default_factory=MiningSettings)
    """Device, batch size, workers and arguments of miners; k and seed are taken from here."""
    data_roots: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        if not self.datasets or not self.stages:
            raise UsageError("nothing is to be built: name a --dataset and a stage.")
        if len(set(self.datasets)) < len(self.datasets):
            raise UsageError(f"a dataset is named twice: {', '.join(self.datasets)}.")
        if not 1 <= self.negatives <= 25:
            raise UsageError(f"{self.negatives} negatives are not possible; give 1 to 25.")
        for name in sorted({*self.classes, *self.hold_out} - {*self.datasets, ""}):
            raise UsageError(f"a list of classes is given for {name}, which is none of {', '.join(self.datasets)}.")
        if "align" in self.stages and not self.names and not self.descriptions:
            raise UsageError(
                "stage I needs descriptions.",
                hint="Give --descriptions FILE (see: fgvr-bench finedefics describe), --names-for-descriptions, "
                "or --only finetune.",
            )

    def wanted(self, dataset: str) -> Wanted:
        """Return which images of a dataset are asked for."""
        return Wanted(
            self.split,
            self.classes.get(dataset, self.classes.get("")),
            self.hold_out.get(dataset, self.hold_out.get("")),
            self.shots,
            self.seed,
        )
