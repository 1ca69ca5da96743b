"""How a stage is carried out: folder, logs, and the processes and devices that accelerate spreads it over."""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from fgvr_bench.core.names import did_you_mean
from fgvr_bench.errors import FgvrError, UsageError
from finedefics.batches import make_plan
from finedefics.presets import Recipe
from finedefics.sharding import plugins

PATIENCE = timedelta(days=1)
"""How long processes wait for one another."""


TRACKERS = ("aim", "clearml", "comet_ml", "dvclive", "mlflow", "swanlab", "tensorboard", "trackio", "wandb")
"""What accelerate can log to, by its names, which are the libraries' too."""


@dataclass(frozen=True, slots=True)
class Conduct:
    """How a stage is carried out; nothing here changes what comes of it."""

    output: Path | None = None
    """Folder of the run; None leaves nothing on disk (and cannot be resumed)."""
    save_every: int = 100
    """Steps between checkpoints; the last step has one in any case."""
    keep: int = 2
    """Checkpoints that are kept."""
    log_every: int = 10
    """Steps between logged ones; the first and the last step are logged in any case."""
    workers: int = 0
    """Processes that read images ahead."""
    trackers: tuple[str, ...] = ()
    """Some of `TRACKERS`."""
    sharding: str | None = None
    """One of `finedefics.sharding.SHARDINGS`; None leaves it to accelerate's configuration."""


class Processes:
    """The processes that accelerate or torchrun launched; one, where nobody did.

    They may wait for the first one as long as an evaluation takes, hence the patience.
    """

    def __init__(self, device: str) -> None:
        from fgvr_bench.engines import torchvision_ops

        torchvision_ops.ensure()
        from accelerate.state import PartialState

        self._state = PartialState(cpu=device == "cpu", timeout=PATIENCE)
        self.is_first: bool = self._state.is_main_process
        self.count: int = self._state.num_processes

    @contextlib.contextmanager
    def first_alone(self) -> Iterator[None]:
        """Let nobody on before every process, the first one with its own work, is through the block."""
        yield
        with peers_named():
            self._state.wait_for_everyone()


PEER_GONE = ("gloo", "Connection closed by peer", "Connection reset by peer", "Socket Timeout", "NCCL")
"""What stands in the messages of a collective operation that another process has left."""


class PeerGone(FgvrError):
    """Another process of this training has ended."""


@contextlib.contextmanager
def peers_named() -> Iterator[None]:
    """Put into words that another process of this training is gone.

    Raises:
        PeerGone: it is.
    """
    from torch import distributed

    try:
        yield
    except RuntimeError as error:
        text = " ".join(str(error).split())
        if not isinstance(error, distributed.DistError) and not any(sign in text for sign in PEER_GONE):
            raise
        raise PeerGone(
            f"another process of this training has ended ({text[:200]}).",
            hint="Look at what it said. The same command goes on from the last checkpoint.",
        ) from error


def make_accelerator(recipe: Recipe, device: str, conduct: Conduct) -> Any:
    """Return accelerate's object for one stage; a process may make one after the other, of different precision.

    Args:
        recipe: gives precision and accumulation.
        device: ``auto`` or ``cpu``.
        conduct: gives trackers and the folder that they write to.

    Raises:
        UsageError: the batch cannot be shared by the processes that were launched; no such tracker.
        FgvrError: a tracker is not installed.
    """
    _check_trackers(conduct.trackers)
    from accelerate import Accelerator
    from accelerate.state import AcceleratorState, GradientState, PartialState
    from accelerate.utils import DistributedDataParallelKwargs, GradientAccumulationPlugin

    AcceleratorState._reset_state(reset_partial_state=True)  # FSDP and DeepSpeed leave their mark on it
    GradientState._reset_state()
    count = Processes(device).count
    precision = resolve_precision(recipe, PartialState().device.type)
    parts = make_plan(1, recipe, count).accumulated
    return Accelerator(
        cpu=device == "cpu",
        mixed_precision={"bfloat16": "bf16", "float16": "fp16"}.get(precision, "no"),
        gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=parts, sync_with_dataloader=False),
        log_with=list(conduct.trackers) or None,
        project_dir=str(conduct.output) if conduct.output is not None else None,
        # Without a term of the loss some parameters get no gradient, which data-parallel training has to expect.
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=bool(recipe.without))],
        **plugins(conduct.sharding, recipe, precision, parts),
    )


def resolve_precision(recipe: Recipe, device_type: str) -> str:
    """Return the precision that a recipe computes in on a kind of device."""
    if recipe.precision != "auto":
        return recipe.precision
    return "bfloat16" if device_type == "cuda" else "float32"


def _check_trackers(trackers: Sequence[str]) -> None:
    """Refuse trackers that are not there; accelerate leaves them out without a word."""
    for name in trackers:
        if name not in TRACKERS:
            raise UsageError(f"there is no tracker {name!r}. {did_you_mean(name, TRACKERS)}")
        if importlib.util.find_spec(name) is None:
            raise FgvrError(f"tracker {name} is not installed.", hint=f"Install it with: pip install {name}")
