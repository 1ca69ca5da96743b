"""Checkpoints of a running stage: each appears whole or not at all, and the newest whole one is found by itself.

``checkpoint-000060/`` holds what was trained (``weights.safetensors``: parameters by their names in the stage's
module), the states of optimiser, learning rate and random numbers as accelerate writes them, and ``checkpoint.json``,
which is written last.  FSDP's and DeepSpeed's optimiser states are in their own formats, a part a process.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from fgvr_bench.core.files import read_json, sync_folder, write_json
from fgvr_bench.errors import FgvrError
from finedefics.launching import PeerGone, peers_named
from finedefics.sharding import gathered_weights, load_optimizer, save_optimizer, scatter_weights, sharding_of

FORMAT, VERSION = "finedefics/checkpoint", 1
WEIGHTS = "weights.safetensors"
FACTS = "checkpoint.json"
_NAME = re.compile(r"checkpoint-(\d{6,})")


def found(folder: Path) -> list[tuple[int, Path]]:
    """Return the whole checkpoints of a run, step and folder, oldest first."""
    named = [(match, path) for path in folder.glob("checkpoint-*") if (match := _NAME.fullmatch(path.name))]
    return sorted((int(match[1]), path) for match, path in named if (path / FACTS).is_file())


def choose(folder: Path, step: int | None = None) -> tuple[int, Path]:
    """Return the newest whole checkpoint of a run, or that of a step.

    Raises:
        FgvrError: there is none; names those that there are.
    """
    whole = found(folder)
    if not whole:
        raise FgvrError(
            f"{folder} holds no whole checkpoint.",
            hint="Name the --output of fgvr-bench finedefics align or tune, once it has reached its first checkpoint.",
        )
    chosen = whole[-1] if step is None else dict(zip((number for number, _ in whole), whole, strict=True)).get(step)
    if chosen is None:
        raise FgvrError(f"{folder} has no checkpoint of step {step}.", hint=f"It has {_listed(whole)}.")
    read_json(chosen[1] / FACTS, FORMAT, (VERSION,))
    return chosen


def drop(checkpoint: Path) -> None:
    """Remove a checkpoint, which is none from the first moment on."""
    hidden = checkpoint.with_name(f".{checkpoint.name}.tmp")
    os.replace(checkpoint, hidden)
    shutil.rmtree(hidden)


def clear_unfinished(folder: Path) -> None:
    """Remove what killed executions had not finished writing, or removing."""
    for left in folder.glob(".checkpoint-*.tmp"):
        shutil.rmtree(left)


def _listed(whole: Sequence[tuple[int, Path]]) -> str:
    return ", ".join(str(step) for step, _ in whole)


class Checkpoints:
    """The checkpoints of one run of one stage, for all its processes.

    Args:
        accelerator: prepared with module and optimiser.
        module: the stage's module as accelerate wrapped it.
        optimizer: likewise.
        trained: names of the parameters that are trained, as the module has them before it is wrapped.
        folder: the run's folder.
        keep: how many are kept; older ones go once a newer one is whole.
    """

    def __init__(
        self, accelerator: Any, module: Any, optimizer: Any, trained: Sequence[str], folder: Path, keep: int
    ) -> None:
        self._accelerator, self._module, self._optimizer = accelerator, module, optimizer
        self._trained, self._folder, self._keep = list(trained), folder, keep
        sharding = sharding_of(accelerator)
        self._fsdp, self._deepspeed = sharding == "fsdp", sharding is not None and sharding != "fsdp"
        accelerator.register_save_state_pre_hook(lambda models, weights, where: weights.clear())
        accelerator.register_load_state_pre_hook(self._load_trained)

    def save(self, step: int) -> None:
        """Write the checkpoint of a step; called by every process.

        Raises:
            PeerGone: another process could not; it says why.
            FgvrError: the disk is full or the folder cannot be written to; the last whole checkpoint stays.
        """
        main = self._accelerator.is_main_process
        unfinished = self._folder / f".checkpoint-{step:06d}.tmp"
        try:
            if main:
                clear_unfinished(self._folder)
                unfinished.mkdir(parents=True)
            with peers_named():
                self._accelerator.wait_for_everyone()
                self._write(unfinished, step)
                self._accelerator.wait_for_everyone()
            if main:
                _sync(unfinished)
                os.replace(unfinished, self._folder / f"checkpoint-{step:06d}")
                sync_folder(self._folder)
                self.drop_surplus()
        except PeerGone:  # it says why, and what is unfinished is cleared away by the next execution
            raise
        except Exception as error:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise self._explained(step, error) from error

    def drop_surplus(self) -> None:
        """Remove the oldest checkpoints, all but those that are kept; for the main process."""
        for _, old in found(self._folder)[: -self._keep]:
            drop(old)

    def _write(self, unfinished: Path, step: int) -> None:
        from safetensors.torch import save_file

        gather = gathered_weights if self._fsdp else self._accelerator.get_state_dict
        state = gather(self._module)  # every process takes part, the first one gets it
        if self._accelerator.is_main_process:
            save_file({name: state[name].contiguous() for name in self._trained}, unfinished / WEIGHTS)
        with self._frozen_aside():
            self._accelerator.save_state(
                str(unfinished), **({"exclude_frozen_parameters": True} if self._deepspeed else {})
            )
        if self._fsdp:
            save_optimizer(self._accelerator, self._module, self._optimizer, unfinished)
        if self._accelerator.is_main_process:
            facts = {"format": FORMAT, "version": VERSION, "step": step}
            write_json(unfinished / FACTS, {**facts, "processes": self._accelerator.num_processes})

    def load(self, step: int) -> None:
        """Bring module, optimiser, learning rate and random numbers to where they stood after a step.

        Raises:
            FgvrError: the checkpoint cannot be read.
        """
        folder = self._folder / f"checkpoint-{step:06d}"
        try:
            with self._frozen_aside():
                self._accelerator.load_state(str(folder), **({"load_module_strict": False} if self._deepspeed else {}))
            if self._fsdp:
                scatter_weights(self._module, read_trained(folder))
                load_optimizer(self._accelerator, self._module, self._optimizer, folder)
        except Exception as error:
            raise FgvrError(
                f"{folder} cannot be read: {_one_line(error)}.",
                hint="Delete that folder to go on from the checkpoint before it, or give --fresh.",
            ) from error

    @contextlib.contextmanager
    def _frozen_aside(self) -> Iterator[None]:
        """Keep FSDP's whole model out of a checkpoint, of which only a small part may be trained.

        Accelerate has no other way to leave it out; its optimiser, which is saved by the model, goes with it.
        """
        models, optimizers = self._accelerator._models, self._accelerator._optimizers
        if self._fsdp:
            self._accelerator._models, self._accelerator._optimizers = [], []
        try:
            yield
        finally:
            self._accelerator._models, self._accelerator._optimizers = models, optimizers

    def _load_trained(self, models: list[Any], folder: str) -> None:
        """Load what `_write` kept in place of what accelerate would have (DeepSpeed's models stay its own)."""
        if models:
            load_trained(self._accelerator.unwrap_model(models[0]), Path(folder))
            models.clear()

    def _explained(self, step: int, error: Exception) -> FgvrError:
        whole = found(self._folder)
        kept = f"The last good one, of step {whole[-1][0]}, is kept" if whole else "There is none before it"
        then = "goes on from there" if whole else "starts anew"
        return FgvrError(
            f"the checkpoint of step {step} cannot be written to {self._folder}: {_one_line(error)}.",
            hint=f"{kept}. Free some space and type the same command again: it {then}.",
        )


def read_trained(folder: Path) -> dict[str, Any]:
    """Return a checkpoint's trained parameters by name.

    Raises:
        FgvrError: the file is damaged.
    """
    from safetensors.torch import load_file

    try:
        return dict(load_file(folder / WEIGHTS))
    except Exception as error:
        raise FgvrError(f"{folder / WEIGHTS} cannot be read: {_one_line(error)}.") from error


def load_trained(module: Any, folder: Path) -> None:
    """Copy a checkpoint's trained parameters into a module.

    Raises:
        FgvrError: the file is damaged, or does not fit the module.
    """
    import torch

    own = dict(module.named_parameters())
    for name, tensor in read_trained(folder).items():
        if name not in own or own[name].shape != tensor.shape:
            raise FgvrError(f"{folder / WEIGHTS} holds {name}, which the model does not have in that shape.")
        with torch.no_grad():
            own[name].copy_(tensor)


def _sync(folder: Path) -> None:
    """Have the disk hold every file of a folder before it is shown as whole."""
    for path in folder.rglob("*"):
        if path.is_file():
            with contextlib.suppress(OSError), path.open("rb") as file:
                os.fsync(file.fileno())


def _one_line(error: Exception) -> str:
    return (" ".join(str(error).split()) or type(error).__name__)[:300]
