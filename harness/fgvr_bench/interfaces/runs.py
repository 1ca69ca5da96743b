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
    model: str
    dataset: str
    folder: Path
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
    model: str
    dataset: str
    folder: Path
    complete: bool
    """False under ``--limit``."""
    questions: int
    """Number of questions answered."""
    failed: int
    metrics: Mapping[str, float | None]
    inputs: Mapping[str, Json]
