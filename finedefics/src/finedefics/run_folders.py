"""The folder of a run: what it says of the run, who may go on with it, and one execution at a time."""

from __future__ import annotations

import contextlib
import hashlib
import platform
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fgvr_bench.core.files import canonical_json, comes_to_sight, read_json, write_json
from fgvr_bench.core.locks import lock
from fgvr_bench.core.run_folder import RunFolder, describe_machine, file_digest
from fgvr_bench.core.versions import changes, library_versions
from fgvr_bench.errors import FgvrError, UsageError
from fgvr_bench.types import Json
from finedefics.checkpoints import clear_unfinished, drop, found
from finedefics.logbook import LOG, PLOT, TrainingWatcher
from finedefics.presets import Recipe
from finedefics.rows import TrainingRow
from finedefics.sharding import sharding_of

FORMAT, VERSION = "finedefics/training", 1
FACTS = "training.json"
ADAPTER = "adapter"
LIBRARIES = ("finedefics", "accelerate", "peft", "bitsandbytes")


def facts_of(
    stage: str, recipe: Recipe, precision: str, rows: list[TrainingRow], model: Any, accelerator: Any
) -> dict[str, Json]:
    """Return what a run is made of; another execution may go on with it only where all of it is the same."""
    from finedefics.loading import identify

    named = isinstance(model, str | Path)
    return {
        "stage": stage,
        "recipe": {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(recipe).items()},
        "precision": precision,
        "device": accelerator.device.type,
        "processes": accelerator.num_processes,
        "sharding": sharding_of(accelerator),
        "model": identify(str(model)) if named else {"checkpoint": "in memory"},
        "model_name": str(model) if named else "in memory",
        "rows": len(rows),
        "rows_sha256": _rows_digest(rows),
    }


def _rows_digest(rows: Sequence[TrainingRow]) -> str:
    """Return a digest of rows as they are written, images by their file names."""
    whole = hashlib.sha256()
    for row in rows:
        texts = [row.question, row.answer, row.type, row.attribute, row.category]
        several = [list(row.neg_attributes), list(row.neg_categories), [path.name for path in row.image_paths]]
        whole.update(canonical_json([*texts, *several]).encode() + b"\n")
    return whole.hexdigest()


def enter(
    output: Path | None, facts: Mapping[str, Json], fresh: bool, accelerator: Any, watcher: TrainingWatcher
) -> None:
    """Make a run's folder, or see that what it holds is this very run.

    Raises:
        FgvrError: it holds another; names what differs.
    """
    _agree(facts)
    if output is None:
        return
    if accelerator.is_main_process:
        clear_unfinished(output)
        before = read_facts(output) if (output / FACTS).exists() else None
        if before is not None and (fresh or not found(output)):  # without a checkpoint there is nothing to go on with
            _clear(output)
            before = None
        elif before is not None:
            _refuse_another(output, before, facts)
        elif output.exists() and any(path.name[0] != "." for path in output.iterdir()):
            raise UsageError(f"{output} holds something else already.", hint="Give a new folder as --output.")
        if before is None:
            write_json(output / FACTS, {"format": FORMAT, "version": VERSION, **facts})
        _note_execution(output, watcher)
    accelerator.wait_for_everyone()
    _see_the_same(output)


def _agree(facts: Mapping[str, Json]) -> None:
    """Make sure that all processes would train the same, with the same libraries.

    Raises:
        FgvrError: one would not; names it, its host and what differs.
    """
    said = {"host": platform.node(), "facts": {**facts, "model_name": None}, "versions": _libraries()}
    first, *others = _from_all(said)
    for rank, other in enumerate(others, 1):
        if differing := changes(first["versions"], other["versions"]) + _differing(first["facts"], other["facts"]):
            raise FgvrError(
                f"process {rank} on {other['host']} would train something else than process 0 on {first['host']}: "
                f"{'; '.join(differing[:4])}.",
                hint="Give all machines the same rows, checkpoint and libraries, and start all again.",
            )


def _see_the_same(output: Path) -> None:
    """Make sure that all processes see the folder that the first one has made, and the same checkpoints in it.

    Raises:
        FgvrError: one does not; names it and its host.
    """

    def view() -> list[Any]:
        facts = output / FACTS
        return [file_digest(facts) if facts.is_file() else None, [step for step, _ in found(output)]]

    first, *_ = _from_all(view())
    for rank, (host, sees) in enumerate(_from_all((platform.node(), comes_to_sight(lambda: view() == first)))):
        if not sees:
            raise FgvrError(
                f"process {rank} on {host} does not see what process 0 has written to {output}.",
                hint="Name a folder that all machines share (--output).",
            )


def _from_all(said: Any) -> list[Any]:
    """Return what each process says, in their order."""
    from accelerate.utils import gather_object

    whole: list[Any] = gather_object([said])
    return whole


def read_facts(output: Path) -> dict[str, Any]:
    """Return what a run's folder says of it.

    Raises:
        FgvrError: there is no such run, or of a version that this one does not read.
    """
    if not (output / FACTS).is_file():
        raise FgvrError(
            f"{output} is no folder of a training run.", hint="Give the --output of finedefics align or tune."
        )
    return read_json(output / FACTS, FORMAT, (VERSION,))


def _clear(output: Path) -> None:
    for _, checkpoint in found(output):
        drop(checkpoint)
    shutil.rmtree(output / ADAPTER, ignore_errors=True)
    for name in (LOG, PLOT, "machine.json", FACTS):  # what says whose folder it is goes last
        (output / name).unlink(missing_ok=True)


def _refuse_another(output: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    def flat(facts: Mapping[str, Any]) -> dict[str, Any]:
        kept = {name: facts.get(name) for name in now if name not in {"recipe", "model_name"}}
        return {**kept, **dict(facts.get("recipe", {}))}

    if differing := _differing(flat(before), flat(now), "now "):
        raise UsageError(
            f"{output} holds a run with other settings ({'; '.join(differing[:4])}).",
            hint="Give another --output, the same settings to go on, or --fresh to start over.",
        )


def _differing(old: Mapping[str, Any], new: Mapping[str, Any], now: str = "there ") -> list[str]:
    return [f"{name} {_short(old.get(name))}, {now}{_short(new[name])}" for name in new if old.get(name) != new[name]]


def _short(value: Any) -> str:
    text = canonical_json(value) if isinstance(value, dict | list) else str(value)
    return text if len(text) < 60 else text[:57] + "..."


def _note_execution(output: Path, watcher: TrainingWatcher) -> None:
    """Add this execution to ``machine.json``; say where library versions changed since the last."""
    folder = RunFolder(output)
    before = folder.read_executions()
    now = _libraries()
    if before and (changed := changes(before[-1].get("versions", {}), now)):
        watcher.note(f"Other library versions than before: {', '.join(changed)}. Last digits may differ.")
    folder.add_execution({**describe_machine(), "versions": now})


def _libraries() -> dict[str, str]:
    return library_versions(*(f"{name} {_version(name)}" for name in LIBRARIES))


def _version(name: str) -> str:
    import importlib.metadata

    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(name)
    return ""


@contextlib.contextmanager
def held(output: Path | None, stage: str, accelerator: Any) -> Iterator[None]:
    """Let one execution at a time work in a folder."""
    if output is None or not accelerator.is_main_process:
        yield
        return
    with lock(output.parent / f".{output.name}.lock", f"training stage {stage} in {output}", timeout=0):
        yield
