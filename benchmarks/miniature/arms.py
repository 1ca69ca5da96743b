"""Ways of tuning the base model: how many steps of which stage, on which rows, with what left out."""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from benchmarks.miniature.material import Rows, Wish

if TYPE_CHECKING:
    from finedefics.joining import RowCache
    from finedefics.rows import TrainingRow

BATCH = 32
"""Rows of an optimiser step, in both stages."""
RATE = {"align": 5e-4, "tune": 1e-3}
"""Highest learning rate of each stage; chosen on validation images of seed 0 (docs/miniature.md)."""
STEPS = 192
"""Optimiser steps of an arm, both stages together."""
ALIGN_SHARE = 0.5
"""Of these, stage I's where an arm has one."""
WARMUP = 8


@dataclass(frozen=True, slots=True)
class Arm:
    """One way of tuning."""

    name: str
    align: float = ALIGN_SHARE
    """Share of the steps that stage I has; stage II has the rest."""
    wish: Wish = field(default_factory=Wish)
    recipe: dict[str, Any] = field(default_factory=dict)
    """Settings of stage I that differ."""
    rates: dict[str, float] = field(default_factory=dict)
    """Learning rates that differ, by stage."""

    def aligned(self, steps: int) -> int:
        """Return how many of so many steps are stage I's."""
        return round(self.align * steps)

    def wished(self, shots: int, seed: int) -> Wish:
        """Return the rows it wants for some shots and a seed."""
        wish = self.wish
        return Wish(shots, seed, wish.options, wish.negatives, wish.names, wish.hold_out)


BOTH = Arm("both stages")
ALONE = Arm("stage II alone", align=0.0)
ABLATIONS = (
    Arm("without object-attribute", recipe={"without": ("object-attribute",)}),
    Arm("without attribute-category", recipe={"without": ("attribute-category",)}),
    Arm("without category-category", recipe={"without": ("category-category",)}),
    Arm("without generation", recipe={"without": ("generation",)}),
    Arm("random negatives", wish=Wish(negatives="random")),
    Arm("names for descriptions", wish=Wish(names=True)),
    Arm("released objective", recipe={"reading": "released"}),
    Arm("closed options in stage II", wish=Wish(options="closed")),
)
HELD_OUT = (
    Arm("both stages, a species of each genus held out", wish=Wish(hold_out=True)),
    Arm("stage II alone, a species of each genus held out", align=0.0, wish=Wish(hold_out=True)),
)


@dataclass(frozen=True, slots=True)
class Tuned:
    """A tuned model, and what it cost."""

    model: Any
    losses: dict[str, list[float]]
    """Logged losses of each stage."""
    seconds: float


def tune_arm(
    arm: Arm, rows: Rows, base: Any, processor: Any, seed: int, steps: int = STEPS, device: str = "cpu"
) -> Tuned:
    """Train a copy of the base model as an arm has it."""
    from finedefics.joining import RowCache

    start, cache = time.time(), RowCache(device)
    model, losses = copy.deepcopy(base), {}
    for stage, count in (("align", arm.aligned(steps)), ("tune", steps - arm.aligned(steps))):
        if count:
            more = {"learning_rate": arm.rates.get(stage, RATE[stage]), **(arm.recipe if stage == "align" else {})}
            given = rows.align if stage == "align" else rows.tune
            losses[stage] = train(stage, given, model, processor, cache, count, seed, device, more)
    return Tuned(model.eval(), losses, time.time() - start)


def train(
    stage: str,
    rows: Sequence[TrainingRow],
    model: Any,
    processor: Any,
    cache: RowCache,
    steps: int,
    seed: int,
    device: str,
    more: dict[str, Any],
) -> list[float]:
    """Carry out a stage on a model in memory; return the logged losses."""
    import finedefics

    trained = finedefics.Recipe(
        method="full",
        precision="float32",
        batch_size=BATCH,
        per_device=BATCH,
        max_steps=steps,
        compiled=False,
        warmup_steps=min(WARMUP, steps // 4),
        seed=seed,
    ).changed(**more)
    carry_out = finedefics.align if stage == "align" else finedefics.tune
    place = "cpu" if device == "cpu" else "auto"
    conduct = finedefics.Conduct(log_every=8)
    done = carry_out(
        rows, model, recipe=trained, processor=processor, device=place, check=False, cache=cache, conduct=conduct
    )
    return [round(record.loss, 4) for record in done.records]
