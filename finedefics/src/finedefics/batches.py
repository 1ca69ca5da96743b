"""Which rows each optimiser step sees, on any number of processes, and the loader that prepares them ahead.

The order follows from the number of rows, the batch size and the seed alone: a step sees the same rows on one GPU as
on eight, and a resumed run goes on at the row where it stopped.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from fgvr_bench.core.ahead import read_ahead
from fgvr_bench.errors import FgvrError, UsageError
from finedefics.presets import Recipe

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from finedefics.rows import TrainingRow


@dataclass(frozen=True, slots=True)
class Plan:
    """Rows of every step: one permutation of all rows after the other, cut into steps of equal size.

    The last step of an epoch takes its missing rows from the next permutation, so every step has `batch_size` rows.
    """

    rows: int
    """Number of rows in the training file."""
    batch_size: int
    """Rows of an optimiser step, over all processes."""
    per_device: int
    """Rows of one forward pass of one process."""
    processes: int
    steps: int
    """Optimiser steps in all."""
    seed: int

    def __post_init__(self) -> None:
        at_once = self.per_device * self.processes
        if self.batch_size % at_once:
            near = max(1, round(self.batch_size / at_once)) * at_once
            raise UsageError(
                f"a batch of {self.batch_size} rows cannot be shared evenly by {self.processes} processes that take "
                f"{self.per_device} rows at once.",
                hint=f"Give --batch-size {near}, or another --per-device.",
            )

    @property
    def accumulated(self) -> int:
        """Forward passes of each process in one optimiser step."""
        return self.batch_size // (self.per_device * self.processes)

    def of_step(self, step: int) -> list[int]:
        """Return the indices of the rows of an optimiser step, counted from 0."""
        first = step * self.batch_size
        return [
            int(_permutation(self.rows, self.seed, place // self.rows)[place % self.rows])
            for place in range(first, first + self.batch_size)
        ]

    def of_pass(self, number: int, process: int) -> list[int]:
        """Return the indices of the rows of one forward pass of one process; passes are counted over all steps."""
        step, part = divmod(number, self.accumulated)
        first = (part * self.processes + process) * self.per_device
        return self.of_step(step)[first : first + self.per_device]


@functools.lru_cache(maxsize=4)
def _permutation(rows: int, seed: int, epoch: int) -> NDArray[np.int64]:
    import numpy as np

    return np.random.default_rng((seed, epoch)).permutation(rows)


def make_plan(rows: int, recipe: Recipe, processes: int = 1) -> Plan:
    """Return the plan of a stage.

    Raises:
        UsageError: the batch cannot be shared by so many processes.
    """
    steps = recipe.max_steps or math.ceil(recipe.epochs * rows / recipe.batch_size)
    return Plan(rows, recipe.batch_size, recipe.per_device, processes, steps, recipe.seed)


class Prepared(NamedTuple):
    """One forward pass's input; a named tuple, which torch's loader can pin in memory."""

    rows: list[int]
    """Indices of its rows."""
    batch: Any
    """What the collator made of them; None where it failed."""
    error: FgvrError | None = None
    """Why there is no batch.  It travels as a value: exceptions lose their words between processes."""


@dataclass(frozen=True, slots=True)
class PassSource:
    """What workers index: the forward passes that are left, by their numbers."""

    rows: Sequence[TrainingRow]
    plan: Plan
    process: int
    """Which of the processes this one is."""
    collate: Callable[[Sequence[TrainingRow]], Any]
    first: int = 0
    """Passes that are done."""

    def __len__(self) -> int:
        return self.plan.steps * self.plan.accumulated - self.first

    def __getitem__(self, number: int) -> Prepared:
        indices = self.plan.of_pass(self.first + number, self.process)
        rows = [self.rows[index] for index in indices]
        try:
            return Prepared(indices, self.collate(rows))
        except FgvrError as error:
            return Prepared(indices, None, error)
        except Exception as error:
            named = ", ".join(row.where for row in rows)
            reason = f"{type(error).__name__}: {error}"
            return Prepared(indices, None, FgvrError(f"a batch could not be prepared ({named}): {reason}."))


AHEAD = 4
"""Passes that each worker prepares ahead."""


def prepared_passes(source: PassSource, workers: int) -> Iterator[Prepared]:
    """Yield the forward passes, prepared in worker processes (0: in this one).

    Raises:
        FgvrError: an image could not be read, or a row not be put into tokens; names file and line.
    """
    import torch

    for prepared in read_ahead(source, workers, pin_memory=torch.cuda.is_available(), ahead=AHEAD):
        if prepared.error is not None:
            raise prepared.error
        yield prepared
