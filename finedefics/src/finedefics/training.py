"""The training loop of both stages: one linear recipe on accelerate, any number of processes.

What is trained and how is not decided here: a module gives the losses of a batch (`Stage`), accelerate spreads it over
devices as its configuration says (one GPU, data-parallel, FSDP, DeepSpeed).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fgvr_bench.core.interrupts import ECHO, first_interrupt
from fgvr_bench.core.ranks import launched
from fgvr_bench.errors import FgvrError, Stopped
from finedefics.batches import PassSource, Plan, Prepared, make_plan, prepared_passes
from finedefics.checkpoints import Checkpoints, found
from finedefics.launching import Conduct
from finedefics.logbook import Logbook, StepRecord, TrainingWatcher
from finedefics.presets import TERMS, Recipe
from finedefics.sharding import clip_gradients

if TYPE_CHECKING:
    import torch
    from torch import nn

    from finedefics.rows import TrainingRow


@dataclass(frozen=True, slots=True)
class Stage:
    """What one stage trains."""

    name: str
    """``align`` or ``tune``."""
    module: nn.Module
    """Called with a batch; gives 0-dimensional tensors by name: ``total``, which is minimised, and each of `TERMS`
    that was computed."""
    collate: Callable[[Sequence[TrainingRow]], Any]
    """Makes a batch of rows; travels to worker processes."""
    temperatures: nn.Module | None = None
    """Stage I's, inside `module`."""
    tokens: Callable[[Any], int] | None = None
    """Counts the learnt tokens of a batch, by which its generation loss is weighed among those of its step; None
    weighs all passes alike, as the published script did."""


class Training:
    """One stage being trained, in one of its processes."""

    def __init__(
        self, stage: Stage, rows: Sequence[TrainingRow], recipe: Recipe, accelerator: Any, conduct: Conduct
    ) -> None:
        self.stage, self.rows, self.recipe, self.conduct = stage, rows, recipe, conduct
        self.accelerator = accelerator
        self.plan: Plan = make_plan(len(rows), recipe, accelerator.num_processes)
        self.trained = [name for name, parameter in stage.module.named_parameters() if parameter.requires_grad]
        optimizer, self.schedule = _optimiser(stage, recipe, self.plan.steps, accelerator.device.type)
        self.module, self.optimizer = accelerator.prepare(stage.module, optimizer)
        accelerator.register_for_checkpointing(self.schedule)
        self.checkpoints = (
            Checkpoints(accelerator, self.module, self.optimizer, self.trained, conduct.output, conduct.keep)
            if conduct.output is not None
            else None
        )

    def run(self, watcher: TrainingWatcher) -> list[StepRecord]:
        """Train to the last step, from the newest checkpoint on; return what was logged.

        Raises:
            FgvrError: a loss that is not finite, an image that cannot be read, a full disk; says which row or folder.
            Stopped: at the user's request, with a checkpoint.
        """
        first = self._resumed()
        book = Logbook(self.conduct.output if self.accelerator.is_main_process else None, first)
        done = first * self.plan.accumulated
        source = PassSource(self.rows, self.plan, self.accelerator.process_index, self.stage.collate, done)
        passes = prepared_passes(source, self.conduct.workers)
        self.module.train()
        window: list[dict[str, torch.Tensor]] = []
        watcher.started(self.stage.name, first, self.plan.steps)
        told = "Finishing this step and saving; Ctrl-C once more stops at once."
        try:
            with first_interrupt(lambda: watcher.note(told), ECHO if launched() else 0.0) as interrupted:
                for step in range(first + 1, self.plan.steps + 1):
                    rate = self.schedule.get_last_lr()[0]
                    norm = self._step(passes, window)
                    watcher.stepped(step)
                    if step % self.conduct.log_every == 0 or step in {1, self.plan.steps}:
                        record = self._record(step, rate, norm, window)
                        book.add(record)
                        watcher.logged(record)
                        self.accelerator.log(record.flat(), step=step)
                    stop = self._anywhere(interrupted())
                    if self.checkpoints and (stop or step % self.conduct.save_every == 0 or step == self.plan.steps):
                        self.checkpoints.save(step)
                    if stop and step < self.plan.steps:
                        raise Stopped(f"stopped after step {step} of {self.plan.steps}.", hint=self._how_to_go_on())
        finally:
            watcher.finished()
            for tracker in self.accelerator.trackers:
                tracker.finish()
        return book.records

    def _anywhere(self, here: bool) -> bool:
        """Say whether something is so in any of the processes; each of them asks at the same place."""
        import torch

        if self.accelerator.num_processes == 1:
            return here
        return bool(self.accelerator.reduce(torch.tensor(float(here), device=self.accelerator.device), "sum"))

    def _resumed(self) -> int:
        """Go on from the newest checkpoint; return its step, 0 where there is none."""
        whole = found(self.conduct.output) if self.conduct.output is not None else []
        if not whole or self.checkpoints is None:
            return 0
        step = whole[-1][0]
        self.checkpoints.load(step)
        if self.accelerator.is_main_process:
            self.checkpoints.drop_surplus()  # an execution may have been killed before it came to that
        return step

    def _how_to_go_on(self) -> str:
        where = self.conduct.output
        return f"Type the same command again to go on from there ({where})." if where else "Nothing was kept."

    def _step(self, passes: Iterator[Prepared], window: list[dict[str, torch.Tensor]]) -> torch.Tensor | None:
        """Take one optimiser step; return the length of the gradient (DeepSpeed keeps it to itself: None)."""
        from accelerate.utils import send_to_device

        taken: list[tuple[Prepared, torch.Tensor]] = []
        norm: torch.Tensor | None = None
        waiting = [next(passes) for _ in range(self.plan.accumulated)]
        for prepared, share in zip(waiting, self._shares(waiting), strict=True):
            with self.accelerator.accumulate(self.module):
                losses = self.module(send_to_device(prepared.batch, self.accelerator.device, non_blocking=True), share)
                self.accelerator.backward(losses["total"])
                window.append({name: value.detach() for name, value in losses.items()})
                taken.append((prepared, losses["total"].detach()))
                if self.accelerator.sync_gradients:
                    self._refuse_not_finite(taken)
                    most = self.recipe.max_grad_norm or math.inf
                    norm = clip_gradients(self.accelerator, self.module.parameters(), most)
                    self._refuse_not_finite(taken, norm)
                self.optimizer.step()
                self.optimizer.zero_grad()
        if not self.accelerator.optimizer_step_was_skipped:  # float16's first steps overflow, and count for nothing
            self.schedule.step()
        return norm

    def _shares(self, waiting: Sequence[Prepared]) -> list[float]:
        """Return what each pass's generation loss counts: its share of the step's learnt tokens, 1 on average.

        The loss of a step is then the mean over its tokens, however many passes it is cut into.
        """
        import torch

        if self.stage.tokens is None or len(waiting) == 1:
            return [1.0] * len(waiting)
        own = [float(self.stage.tokens(prepared.batch)) for prepared in waiting]
        counts = self.accelerator.reduce(torch.tensor(own, device=self.accelerator.device), reduction="sum")
        mean = counts.mean()
        return [float(count / mean) if count else 1.0 for count in counts]  # without tokens the loss is 0 anyhow

    def _refuse_not_finite(self, taken: Sequence[tuple[Prepared, torch.Tensor]], norm: Any = None) -> None:
        """Stop before weights are spoilt, naming the rows.

        Under float16 gradients overflow as a matter of course, and the scaler leaves those steps out; so there only
        the loss is looked at.
        """
        import torch

        if norm is not None:
            if self.accelerator.scaler is not None or torch.isfinite(torch.as_tensor(norm)):
                return
            bad, what = [index for prepared, _ in taken for index in prepared.rows], "gradient"
        else:
            finite = torch.isfinite(torch.stack([loss for _, loss in taken])).tolist()
            bad = [
                index for (prepared, _), fine in zip(taken, finite, strict=True) if not fine for index in prepared.rows
            ]
            what = "loss"
        if bad:
            named = "; ".join(self.rows[index].where for index in bad[:64])
            raise FgvrError(
                f"the {what} of stage {self.stage.name} is not finite. The batch's rows: {named}.",
                hint="Nothing of this step was kept. Look at these rows, or lower --learning-rate; "
                "--precision float32 tells whether rounding is the cause.",
            )

    def _record(self, step: int, rate: float, norm: Any, window: list[dict[str, torch.Tensor]]) -> StepRecord:
        """Put the passes since the last logged step together, over all processes, and forget them."""
        means = _means(self.accelerator, ("total", *(name.replace("-", "_") for name in TERMS)), window)
        window.clear()
        loss = means.pop("total")
        return StepRecord(
            step=step,
            epoch=step * self.plan.batch_size / self.plan.rows,
            loss=loss,
            learning_rate=rate,
            gradient_norm=_finite(norm),
            terms=means,
            temperatures=temperatures_of(self.stage.temperatures),
        )


def _means(accelerator: Any, names: Sequence[str], window: Sequence[Mapping[str, torch.Tensor]]) -> dict[str, float]:
    """Return the mean of each loss over passes and processes; one that no pass had is left out."""
    import torch

    absent = torch.full((), math.nan, device=accelerator.device)
    table = torch.stack([torch.stack([each.get(name, absent).float() for name in names]) for each in window])
    sums = torch.stack([table.nansum(dim=0), (~table.isnan()).sum(dim=0).float()])
    total, count = accelerator.reduce(sums, reduction="sum").tolist()
    return {name: total[place] / count[place] for place, name in enumerate(names) if count[place]}


def temperatures_of(module: nn.Module | None) -> dict[str, float]:
    """Return stage I's temperatures by name."""
    parameters = module.named_parameters() if module is not None else ()
    return {name: float(parameter.detach()) for name, parameter in parameters}


def _finite(norm: Any) -> float | None:
    value = None if norm is None else float(norm)
    return value if value is not None and math.isfinite(value) else None


def _optimiser(stage: Stage, recipe: Recipe, steps: int, device_type: str) -> tuple[Any, Any]:
    """Return AdamW, with weight decay for matrices only, and the course of its learning rate.

    Temperatures are a group of their own: fused AdamW takes no sharded and whole parameters at once.
    """
    import torch
    from transformers import get_scheduler

    whole = [each for each in (stage.temperatures.parameters() if stage.temperatures else ()) if each.requires_grad]
    kept = set(map(id, whole))
    trained = [each for each in stage.module.parameters() if each.requires_grad and id(each) not in kept]
    groups = [
        {"params": [each for each in trained if each.ndim >= 2], "weight_decay": recipe.weight_decay},
        {"params": [each for each in trained if each.ndim < 2], "weight_decay": 0.0},
        {"params": whole, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=recipe.learning_rate,
        betas=(recipe.beta1, recipe.beta2),
        eps=recipe.epsilon,
        fused=device_type == "cuda" or None,  # weights go there later; unfused, a copy of all of them is made
    )
    schedule = get_scheduler(recipe.schedule, optimizer, recipe.warmup_steps, steps)
    return optimizer, schedule
