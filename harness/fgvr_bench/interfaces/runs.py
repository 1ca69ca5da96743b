"""What runs tell plugins that listen to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fgvr_bench.types import Json


@dataclass(frozen=True, slots=True)
class RunInfo:
    """A run that is about to start, as the ``run_started`` event shows it."""

    run_id: str
    """The digest of all that can change an answer."""
    model: str
    """The model's name, as it was typed."""
    dataset: str
    """The dataset's name, as it was typed."""
    folder: Path
    """Where the files of the run are."""
    questions: int
    """Number of questions in all."""
    answered: int
    """How many of them an earlier execution has answered."""
    inputs: Mapping[str, Json]
    """Everything declared that the run's identity is made of."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """A finished run, as the ``run_finished`` event and `evaluate` show it."""

    run_id: str
    """The digest of all that can change an answer."""
    model: str
    """The model's name, as it was typed."""
    dataset: str
    """The dataset's name, as it was typed."""
    folder: Path
    """Where the files of the run are."""
    complete: bool
    """False under ``--limit``."""
    questions: int
    """Number of questions answered."""
    failed: int
    """Number of answers that failed."""
    metrics: Mapping[str, float | None]
    """The figure of each metric, by its name; None where the run gives none."""
    inputs: Mapping[str, Json]
    """Everything declared that the run's identity is made of."""
