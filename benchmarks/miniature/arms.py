"""Ways of tuning the base model: how many steps of which stage, on which rows, with what left out."""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
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
    length: float = 1.0
    """Steps, as a multiple of the usual number."""
    method: str = "full"
    """What is trained, in both stages: ``full``, ``lora`` or ``qlora``."""

    def counts(self, steps: int) -> dict[str, int]:
        """Return the steps of each stage, where so many are usual."""
        every = round(self.length * steps)
        aligned = round(self.align * every)
        return {"align": aligned, "tune": every - aligned}

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


FOUR_BIT_RATES = (1e-2, 3e-2)
"""Highest rates of stage II that adapters are tried at; stage I has half of each."""


def _adapters(method: str, title: str, rate: float, align: float = ALIGN_SHARE, length: float = 1.0) -> Arm:
    return Arm(f"{title}, rate {rate:g}", align, rates={"align": rate / 2, "tune": rate}, method=method, length=length)


FOUR_BITS = tuple(
    _adapters(method, title, rate)
    for rate in FOUR_BIT_RATES
    for method, title in (("lora", "LoRA"), ("qlora", "QLoRA"))
)
"""Adapters on weights as they are, and on weights in 4 bits."""


def _steps(align: int, tune: int, **more: Any) -> Arm:
    every = align + tune
    note = "".join(f", {value}" for value in more.pop("note", ()))
    return Arm(f"{align} + {tune}{note}", align / every, length=every / STEPS, **more)


def _lora(align: int, tune: int) -> Arm:
    every = align + tune
    return _adapters("lora", f"LoRA {align} + {tune}", FOUR_BIT_RATES[0], align / every, every / STEPS)


GENERATION_ALONE = {"without": ("object-attribute", "attribute-category", "category-category")}
EXPLORED = (
    *(_steps(0, tune) for tune in (96, 192, 288, 384)),
    *(_steps(96, tune) for tune in (96, 192, 288)),
    _steps(48, 144),
    _steps(96, 96, recipe=GENERATION_ALONE, note=("no contrast",)),
    _lora(0, 192),
    FOUR_BITS[0],  # 96 + 96
    _lora(96, 192),
    _lora(0, 288),
    _steps(24, 168),
    *(_steps(96, 96, recipe={"temperature": value}, note=(f"temperature {value:g}",)) for value in (0.02, 0.2)),
    *(_steps(96, 96, rates={"align": rate}, note=(f"rate of stage I {rate:g}",)) for rate in (2e-4, 1e-3)),
    _steps(96, 96, recipe={"contrastive_weight": 0.1}, note=("contrastive weight 0.1",)),
    _steps(192, 192),
    _steps(96, 480),
    _steps(0, 576),
)
"""Steps of stage I + stage II and other settings, on validation images only: does stage I pay, and when?"""


def alone_of(arm: Arm) -> Arm | None:
    """Return the explored arm of stage II alone that takes as many steps, trained likewise; None of such an arm."""
    others = (other for other in EXPLORED if (other.length, other.method) == (arm.length, arm.method))
    return next((other for other in others if not other.align), None) if arm.align else None


@dataclass(frozen=True, slots=True)
class Tuned:
    """A tuned model, and what it cost."""

    model: Any
    losses: dict[str, list[float]]
    """Logged losses of each stage."""
    seconds: float
    others: dict[str, Any] = field(default_factory=dict)
    """Other forms of the same model, by what tells them from it."""


def tune_arm(
    arm: Arm,
    rows: Rows,
    base: Any,
    processor: Any,
    seed: int,
    steps: int = STEPS,
    device: str = "cpu",
    cache: RowCache | None = None,
) -> Tuned:
    """Train a copy of the base model as an arm has it.

    Args:
        arm: full training, or adapters that are merged after each stage (``qlora``: see `tune_in_four_bits`).
        rows: of both stages.
        base: the model, on the device.
        processor: its processor.
        seed: of the order of rows and of adapters.
        steps: the usual number of optimiser steps.
        device: ``cpu`` or ``cuda``.
        cache: rows prepared already, of this processor and device.
    """
    from finedefics.joining import RowCache

    start, cache = time.time(), cache or RowCache(device)
    model, losses = copy.deepcopy(base), {}
    for stage, count in arm.counts(steps).items():
        if count:
            given = rows.align if stage == "align" else rows.tune
            done = train(stage, given, model, processor, count, seed, device, settings_of(arm, stage), cache=cache)
            model, losses[stage] = done.merged(), logged(done)
    return Tuned(model.eval(), losses, time.time() - start)


def tune_in_four_bits(
    arm: Arm, rows: Rows, base: Path, processor: Any, seed: int, steps: int, device: str, cache: RowCache
) -> Tuned:
    """Train adapters on a checkpoint's weights in 4 bits, stage by stage, each merged as ``finedefics merge`` does.

    Beside the merged model come ``before merging``: adapters on 4-bit weights, as they were trained, and ``merged into
    the original weights``: stage II's adapters on the weights before these were cut to 4 bits.
    """
    import finedefics
    from benchmarks.miniature.base import load

    start, losses, model, others = time.time(), {}, base, {}
    with TemporaryDirectory() as folder:
        for stage, count in arm.counts(steps).items():
            if not count:
                continue
            given, run = rows.align if stage == "align" else rows.tune, Path(folder) / f"run-{stage}"
            more = settings_of(arm, stage)
            done = train(stage, given, str(model), processor, count, seed, device, more, output=run, cache=cache)
            losses[stage] = logged(done)
            if stage == "tune":
                others["before merging"] = done.model.eval()
                into = finedefics.merge(run, Path(folder) / "original", into="original", dtype="float32")
                others["merged into the original weights"] = load(into, device)
            model = finedefics.merge(run, Path(folder) / f"merged-{stage}", dtype="float32")
        return Tuned(load(model, device), losses, time.time() - start, others)


def settings_of(arm: Arm, stage: str) -> dict[str, Any]:
    """Return the settings of a stage in which an arm differs from the others, rate and method included."""
    own = arm.recipe if stage == "align" else {}
    return {"learning_rate": arm.rates.get(stage, RATE[stage]), "method": arm.method, **own}


def logged(trained: Any) -> list[float]:
    """Return the losses that a stage logged."""
    return [round(record.loss, 4) for record in trained.records]


def train(
    stage: str,
    rows: Sequence[TrainingRow],
    model: Any,
    processor: Any,
    steps: int,
    seed: int,
    device: str,
    more: dict[str, Any],
    output: Path | None = None,
    cache: RowCache | None = None,
) -> Any:
    """Carry out a stage on a model in memory or a checkpoint's; return what `finedefics.align` or `tune` does."""
    import finedefics

    trained = finedefics.Recipe(
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
    conduct = finedefics.Conduct(log_every=8, save_every=steps)
    return carry_out(
        rows,
        model,
        recipe=trained,
        processor=processor,
        device=place,
        check=False,
        cache=cache,
        conduct=conduct,
        output=output,
    )
