"""Reading results back: every run below a results folder, with what is wrong with any."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fgvr_bench.core.files import canonical_json
from fgvr_bench.core.run_folder import RunFolder
from fgvr_bench.errors import FgvrError
from fgvr_bench.interfaces import RunResult

ASKED = ("dataset", "subset", "options", "protocol", "task", "images", "permutations", "seed", "field_guide")
"""Inputs that say what was asked: they make the column."""

OF_ONE_DATASET = ("task_facts", "imported")
"""Inputs that differ from dataset to dataset by themselves: they part runs of one column only."""


@dataclass(frozen=True, slots=True)
class Column:
    """What runs have to share to be compared."""

    dataset: str
    split: str
    images: str
    """Digest of the dataset."""
    shown: str
    """Whether models saw the images: ``shown``, or ``blank`` ones in their place."""
    subset: str
    """Name of the subset; empty for all."""
    members: str
    """Digest of the subset's classes or examples."""
    options: str
    """Digest of the option set, or ``none``."""
    miner: str
    protocol: str
    task: str
    permutations: int
    seed: int
    guide: str = ""
    """Digest of the descriptions before each question (``--field-guide``); empty without."""
    question_set: str = ""
    """Digest of the questions themselves, where somebody has looked (`core/index.py`)."""


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A complete run as its ``run.json`` tells it."""

    place: str
    """Path of its folder."""
    run_id: str
    model: str
    dataset: str
    column: Column
    identity: Mapping[str, str]
    """Who answered, and how: all inputs that are not what was asked, flat, as canonical JSON."""
    origin: Mapping[str, str]
    """The inputs of `OF_ONE_DATASET`, likewise."""
    questions: int
    failed: int
    metrics: Mapping[str, float | None]
    main_metric: str
    """Name of the metric that boards show."""
    card: Mapping[str, Any]
    batch_size: int
    scored_by: str
    """Version of fgvr-bench whose parser and metrics gave the figures."""
    responses_sha256: str
    parameters: int | None
    """Of the model as it was loaded, else as its card says."""

    @property
    def folder(self) -> Path:
        """Its folder."""
        return Path(self.place)

    @property
    def exposure(self) -> str:
        """``zero-shot``, ``tuned`` on train splits of these datasets, or ``unknown``."""
        found = self.card.get("exposure")
        return found if found in {"zero-shot", "tuned"} else "unknown"

    @property
    def imported(self) -> bool:
        """Whether others asked the model, and its answers were scored here."""
        return bool(self.origin) and any(name.startswith("imported") for name in self.origin)


def read_runs(folder: Path) -> tuple[list[StoredRun], list[str], int]:
    """Read all runs below `folder`, in the order of their paths.

    Returns:
        The complete runs, a sentence for each file that cannot be used, and the number of unfinished runs.

    Raises:
        FgvrError: there is no such folder.
    """
    runs: list[StoredRun] = []
    problems: list[str] = []
    unfinished = 0
    for path in run_files(folder):
        try:
            run = read_stored(path.parent)
        except FgvrError as error:
            problems.append(f"left out: {error}")
            continue
        if run is None:
            unfinished += 1
        else:
            runs.append(run)
    return runs, problems, unfinished


def run_result(folder: Path, content: Mapping[str, Any]) -> RunResult:
    """Return a run as `evaluate` and plugins see it, from what its ``run.json`` says; the main metric first."""
    figures = dict(content["metrics"])
    main = content.get("main_metric") or next(iter(figures))
    return RunResult(
        run_id=content["run_id"],
        model=content["model"],
        dataset=content["dataset"],
        folder=folder,
        complete=content["complete"],
        questions=content["questions"],
        failed=content["failed"],
        metrics={main: figures.pop(main, None), **figures},
        inputs=content["inputs"],
    )


def read_stored(folder: Path) -> StoredRun | None:
    """Return the complete run of a folder, or None where it is not complete.

    Raises:
        FgvrError: its ``run.json`` is damaged or of a version that this one does not read.
    """
    content = RunFolder(folder).read_run() or {}
    try:
        return stored_run(folder, content) if content["complete"] else None
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        path = RunFolder(folder).run_file
        raise FgvrError(f"{path} is damaged ({type(error).__name__}: {error}).") from error


def run_folders(folder: Path) -> list[Path]:
    """Return the folders of all runs at or below `folder` that should have responses, sorted.

    Left out are the runs that say themselves that they are not complete, and have none.
    """
    return [path.parent for path in run_files(folder) if not _has_yet_to_answer(RunFolder(path.parent))]


def _has_yet_to_answer(run: RunFolder) -> bool:
    if run.responses_file.exists():
        return False
    try:
        return (run.read_run() or {}).get("complete") is False
    except FgvrError:
        return False


def run_files(folder: Path) -> Iterator[Path]:
    """Yield every ``run.json`` at or below `folder`, sorted by path.

    Raises:
        FgvrError: there is no such folder.
    """
    if not folder.is_dir():
        if folder.exists():
            raise FgvrError(f"{folder} is a file, not a results folder.", hint="Name the folder that holds the runs.")
        raise FgvrError(f"there is no results folder {folder}.", hint="Make a first result: fgvr-bench run --help")
    for where, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name != "parts")
        if "run.json" in files:
            yield Path(where, "run.json")


def stored_run(folder: Path, content: Mapping[str, Any]) -> StoredRun:
    """Return a complete run from what its ``run.json`` holds.

    Raises:
        KeyError, TypeError, ValueError, AttributeError, OverflowError: it is damaged.
    """
    metrics, inputs = _checked_metrics(content["metrics"]), content["inputs"]
    card = content.get("card", {})
    canonical_json(card)  # refuses what is no number
    parameters = content.get("facts", {}).get("parameters") or card.get("parameters")
    return StoredRun(
        place=str(folder),
        run_id=str(content["run_id"]),
        model=str(content["model"]),
        dataset=str(content["dataset"]),
        column=_column(str(content["dataset"]), inputs),
        identity=_flat({name: inputs[name] for name in sorted({"model", *inputs} - {*ASKED, *OF_ONE_DATASET})}),
        origin=_flat({name: inputs[name] for name in OF_ONE_DATASET if name in inputs}),
        questions=int(content["questions"]),
        failed=int(content["failed"]),
        metrics=dict(metrics),
        main_metric=_main_metric(content, metrics),
        card=card,
        batch_size=int(content["batch_size"]),
        scored_by=str(content["scored_by"]),
        responses_sha256=str(content["responses_sha256"]),
        parameters=int(parameters) if isinstance(parameters, int | float) else None,
    )


def _checked_metrics(metrics: Any) -> Mapping[str, float | None]:
    if not isinstance(metrics, dict) or not metrics:
        raise ValueError("it has no metrics")
    for name, value in metrics.items():
        number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if value is not None and not number:
            raise ValueError(f"metric {name} is no number")
    return metrics


def _main_metric(content: Mapping[str, Any], metrics: Mapping[str, Any]) -> str:
    """Return the name that the run gives; runs of 0.1.0 give none and mean accuracy, where they have it."""
    name = content.get("main_metric", "accuracy" if "accuracy" in metrics else next(iter(metrics)))
    if name not in metrics:
        raise ValueError(f"its main metric {name!r} is none of its metrics")
    return str(name)


def _column(dataset: str, inputs: Mapping[str, Any]) -> Column:
    options, subset = inputs.get("options") or {}, inputs.get("subset") or {}
    return Column(
        dataset=dataset,
        split=str(inputs["dataset"]["split"]),
        images=str(inputs["dataset"]["digest"]),
        shown=str(inputs.get("images", "shown")),
        subset=str(subset.get("name", "")),
        members=str(subset.get("digest", "")),
        options=str(options.get("digest", "none")),
        miner=f"{options['miner']}, k = {options['k']}" if options else "none",
        protocol=str(inputs["protocol"]),
        task=str(inputs["task"]),
        permutations=int(inputs.get("permutations", 1)),
        seed=int(inputs.get("seed", 0)),
        guide=str((inputs.get("field_guide") or {}).get("digest", "")),
    )


def _flat(tree: Mapping[str, Any], above: str = "") -> dict[str, str]:
    """Return a tree's leaves as canonical JSON, named by their paths (``model.revision``)."""
    found: dict[str, str] = {}
    for key, value in tree.items():
        name = f"{above}{key}"
        found |= _flat(value, f"{name}.") if isinstance(value, dict) else {name: canonical_json(value)}
    return found
