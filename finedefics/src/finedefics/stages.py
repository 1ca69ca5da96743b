"""Stage I (`align`) and stage II (`tune`) as one calls them from Python: rows and a model in, a trained model out."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fgvr_bench.core.files import write_json
from fgvr_bench.engines.huggingface.loading import quiet
from fgvr_bench.errors import DataInvalid, UsageError
from finedefics.checkpoints import WEIGHTS, choose
from finedefics.launching import Conduct, Processes, make_accelerator, peers_named, resolve_precision
from finedefics.logbook import PLOT, StepRecord, TrainingWatcher, plot_losses
from finedefics.presets import Recipe, preset
from finedefics.row_checks import check_rows
from finedefics.rows import TrainingRow, read_rows
from finedefics.run_folders import ADAPTER, enter, facts_of, held
from finedefics.training import Training, temperatures_of

if TYPE_CHECKING:
    from finedefics.joining import RowCache
    from finedefics.loading import Start

TOLD = 5
"""Things noticed about rows that are shown; the others are counted."""

Rows = Path | str | Sequence[TrainingRow]
"""A training file, or rows in memory."""


@dataclass(slots=True)
class Trained:
    """A stage's outcome."""

    stage: str
    """``align`` or ``tune``."""
    recipe: Recipe
    model: Any
    """With its adapters, where there are any (`merged` takes them in); the object that was given, where one was."""
    processor: Any
    records: list[StepRecord]
    """What was logged, oldest first."""
    temperatures: Mapping[str, float]
    """Stage I's at the end; empty in stage II."""
    output: Path | None
    """Folder of the run, where it has one."""
    told: tuple[str, ...] = ()
    """What was noticed about the rows, a sentence each."""

    def merged(self) -> Any:
        """Return the plain model, adapters taken in; afterwards `model` is this too.

        Raises:
            UsageError: its weights are in 4 bits, which cannot take adapters in without loss.
        """
        if self.recipe.method == "qlora":
            raise UsageError(
                "4-bit weights cannot take adapters in without loss.", hint="Use finedefics.merge on the run's folder."
            )
        if hasattr(self.model, "merge_and_unload"):
            self.model = self.model.merge_and_unload()
        return self.model.eval()


def align(rows: Rows, model: Any, **settings: Any) -> Trained:
    """Carry out stage I, attribute-augmented contrastive alignment.

    Args:
        rows: a CSV file or rows in memory, with descriptions and categories.
        model: a checkpoint (folder or hub name), or a loaded model, which is then changed in place.
        settings: the arguments of `train_stage`, and any field of `finedefics.presets.Recipe`.

    Raises:
        FgvrError: see `train_stage`.
    """
    return train_stage("align", rows, model, **settings)


def tune(rows: Rows, model: Any, **settings: Any) -> Trained:
    """Carry out stage II, classification-centred instruction tuning; see `align`."""
    return train_stage("tune", rows, model, **settings)


def train_stage(
    stage: str,
    rows: Rows,
    model: Any,
    *,
    output: Path | str | None = None,
    recipe: Recipe | None = None,
    processor: Any = None,
    images_root: Path | None = None,
    device: str = "auto",
    conduct: Conduct | None = None,
    fresh: bool = False,
    check: bool = True,
    cache: RowCache | None = None,
    watcher: TrainingWatcher | None = None,
    **overrides: Any,
) -> Trained:
    """Carry out a stage in this process, or in this one of those that accelerate or torchrun launched.

    With a folder, a run that was cut off goes on from its newest checkpoint, and ends with the
    same weights as one that was not; a finished one is loaded.

    Args:
        stage: ``align`` or ``tune``.
        rows: a CSV file or rows in memory.
        model: a checkpoint (folder or hub name), or a loaded model, which is then changed in place.
        output: folder of the run; None leaves nothing on disk.
        recipe: how to train; by default preset ``paper``.
        processor: one in memory; a must with a model in memory.
        images_root: folder that image paths of a file start from; by default the file's own.
        device: ``auto`` (what accelerate finds) or ``cpu``.
        conduct: checkpoints, logs, workers; its folder is `output` where that is given.
        fresh: drop what an earlier execution left in the folder.
        check: whether all rows and their images are looked at first.
        cache: rows prepared once, for many short runs over the same rows.
        watcher: told how it goes.
        overrides: fields of `Recipe`.

    Raises:
        DataInvalid: the rows cannot be used; names file and line.
        ModelUnavailable, UsageError: the model is not there, or settings do not go together.
        FgvrError: the folder holds another run; a loss is not finite; the disk is full.
        Stopped: at the user's request.
    """
    recipe = (recipe or preset("paper", stage)).changed(**overrides)
    conduct, watcher = conduct or Conduct(), watcher or TrainingWatcher()
    if output is not None:
        conduct = replace(conduct, output=Path(output))
    listed = listed_rows(rows, images_root)
    processes = Processes(device)
    watcher = watcher if processes.is_first else TrainingWatcher()
    told = look_at(listed, stage, watcher) if check and processes.is_first else []
    accelerator = make_accelerator(recipe, device, conduct)
    precision = resolve_precision(recipe, accelerator.device.type)
    facts = facts_of(stage, recipe, precision, listed, model, accelerator)
    with _own_generators(), peers_named(), held(conduct.output, stage, accelerator):
        enter(conduct.output, facts, fresh, accelerator, watcher)
        start = _start(model, processor, recipe, precision, accelerator)
        return _train(stage, listed, recipe, start, accelerator, conduct, watcher, cache, tuple(told))


def _train(
    stage: str,
    rows: list[TrainingRow],
    recipe: Recipe,
    start: Start,
    accelerator: Any,
    conduct: Conduct,
    watcher: TrainingWatcher,
    cache: RowCache | None,
    told: tuple[str, ...],
) -> Trained:
    from accelerate.utils import set_seed

    from finedefics.loading import choose_trained
    from finedefics.modules import make_stage
    from finedefics.sharding import fit, let_go, sharding_of

    set_seed(recipe.seed)
    model = choose_trained(start.model, recipe)
    if recipe.recompute:
        with quiet():  # the name of this changed in transformers 5.23; the old one goes on to work
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    if compiles(recipe, accelerator.device.type, sharding_of(accelerator)):
        from finedefics.speed import compile_layers

        compile_layers(model)
    made = make_stage(stage, model, start.processor, recipe, cache)
    fit(accelerator, model, made.temperatures)
    training = Training(made, rows, recipe, accelerator, conduct)
    set_seed(recipe.seed, device_specific=True)  # processes drop different inputs
    if conduct.trackers and accelerator.is_main_process:
        accelerator.init_trackers("finedefics", config=_flat_recipe(stage, recipe))
    try:
        records = training.run(watcher)
    finally:
        let_go(accelerator)
    _as_it_was(model, recipe)
    trained = Trained(
        stage, recipe, model, start.processor, records, temperatures_of(made.temperatures), conduct.output, told
    )
    if conduct.output is not None and accelerator.is_main_process:
        plot_losses(records, conduct.output / PLOT)
        if recipe.method != "full":
            export_adapter(trained, conduct.output / ADAPTER)
        watcher.note(f"The run is in {conduct.output}.")
    return trained


def compiles(recipe: Recipe, device_type: str, sharding: str | None = None) -> bool:
    """Say whether a recipe compiles the layers on a kind of device; sharded ones only where it says so."""
    if recipe.compiled is not None:
        return recipe.compiled
    return device_type == "cuda" and recipe.method != "qlora" and sharding is None


def _as_it_was(model: Any, recipe: Recipe) -> None:
    """Take back what only training wants: recomputed activations, compiled layers."""
    if recipe.recompute:
        with quiet():
            model.gradient_checkpointing_disable()
    for module in model.modules():
        module._compiled_call_impl = None


def export_adapter(trained: Trained, folder: Path) -> None:
    """Write the adapters of a run's newest checkpoint as peft writes them, with stage I's temperatures beside."""
    from safetensors.torch import load_file

    from fgvr_bench.engines.huggingface.loading import quiet

    _, checkpoint = choose(folder.parent)
    kept = load_file(checkpoint / WEIGHTS)  # of all processes, whatever sharded them
    with quiet():
        adapters = {name.removeprefix("model."): tensor for name, tensor in kept.items() if name.startswith("model.")}
        trained.model.save_pretrained(folder, state_dict=adapters)
    (folder / "README.md").unlink(missing_ok=True)  # peft's card asks questions; the merged model's answers them
    if trained.temperatures:
        write_json(folder / "temperatures.json", dict(trained.temperatures))


def listed_rows(rows: Rows, images_root: Path | None) -> list[TrainingRow]:
    """Return the rows of a file, or those in memory.

    Raises:
        DataInvalid, DataNotFound: the file cannot be read; there are none.
    """
    listed = read_rows(Path(rows), images_root) if isinstance(rows, str | Path) else list(rows)
    if not listed:
        raise DataInvalid(
            f"there are no training rows in {rows if isinstance(rows, str | Path) else 'memory'}.",
            hint="Make them with: fgvr-bench finedefics build-data",
        )
    return listed


def look_at(rows: list[TrainingRow], stage: str, watcher: TrainingWatcher) -> list[str]:
    """Check rows and their images, and tell what was noticed; return it, a sentence each.

    Raises:
        DataInvalid: they cannot be used; names file and line.
    """
    images = len({path for row in rows for path in row.image_paths})
    with watcher.progress(f"Checking rows and images of stage {stage}", images) as advance:
        told = check_rows(rows, stage, checked=lambda number: advance(1))  # type: ignore[arg-type]
    for sentence in told[:TOLD]:
        watcher.note(sentence)
    if len(told) > TOLD:
        watcher.note(f"... and {len(told) - TOLD:,} more of this kind.")
    return told


def _start(model: Any, processor: Any, recipe: Recipe, precision: str, accelerator: Any) -> Start:
    from finedefics.loading import Start, load

    if isinstance(model, str | Path):
        return load(str(model), recipe, precision, str(accelerator.device), processor)
    if processor is None:
        raise UsageError("a model in memory needs its processor beside it.")
    if recipe.method == "qlora":
        raise UsageError("QLoRA loads its weights itself.", hint="Give the checkpoint's folder, or method='lora'.")
    return Start(model, processor, {}, "in memory")


def _flat_recipe(stage: str, recipe: Recipe) -> dict[str, Any]:
    """Return the recipe as trackers take it: plain values only."""
    flat = {
        name: value if isinstance(value, int | float | str) else str(value) for name, value in asdict(recipe).items()
    }
    return {"stage": stage, **flat}


@contextlib.contextmanager
def _own_generators() -> Iterator[None]:
    """Leave the caller's random numbers where they were: dropout draws from torch's global generators."""
    import random

    import numpy as np
    import torch

    plain, arrays = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(plain)
        np.random.set_state(arrays)
