"""Reading results back: every run below a results folder, with what is wrong with any."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fgvr_bench.core.run_folder import RunFolder
from fgvr_bench.errors import FgvrError


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A complete run as its ``run.json`` tells it."""

    folder: Path
    run_id: str
    model: str
    dataset: str
    inputs: Mapping[str, Any]
    questions: int
    failed: int
    metrics: Mapping[str, float | None]
    card: Mapping[str, Any]
    batch_size: int
    scored_by: str
    """Version of fgvr-bench whose parser and metrics gave the figures."""


def read_runs(folder: Path) -> tuple[list[StoredRun], list[str], int]:
    """Read all runs below `folder`, in the order of their paths.

    Returns:
        The complete runs, a sentence for each file that cannot be used, and the number of unfinished runs.

    Raises:
        FgvrError: there is no such folder.
    """
    if not folder.is_dir():
        raise FgvrError(f"there is no results folder {folder}.", hint="Make a first result: fgvr-bench run --help")
    runs: list[StoredRun] = []
    problems: list[str] = []
    unfinished = 0
    for path in _run_files(folder):
        try:
            content = RunFolder(path.parent).read_run() or {}
            if not content["complete"]:
                unfinished += 1
                continue
            runs.append(_stored_run(path.parent, content))
        except FgvrError as error:
            problems.append(f"left out: {error}")
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            problems.append(f"left out: {path} is damaged ({type(error).__name__}: {error}).")
    return runs, problems, unfinished


def run_folders(folder: Path) -> list[Path]:
    """Return the folders of all complete runs at or below `folder`, sorted."""
    return sorted(path.parent for path in folder.rglob("responses.jsonl") if (path.parent / "run.json").exists())


def _run_files(folder: Path) -> Iterator[Path]:
    """Yield every ``run.json`` at or below `folder`, sorted."""
    yield from sorted(folder.rglob("run.json"))


def _stored_run(folder: Path, content: Mapping[str, Any]) -> StoredRun:
    metrics = content["metrics"]
    if not isinstance(metrics, dict) or not metrics:
        raise ValueError("it has no metrics")
    for name, value in metrics.items():
        if value is not None and not isinstance(value, int | float):
            raise ValueError(f"metric {name} is no number")
    for name in ("dataset", "protocol", "task", "model"):
        content["inputs"][name]
    return StoredRun(
        folder=folder,
        run_id=str(content["run_id"]),
        model=str(content["model"]),
        dataset=str(content["dataset"]),
        inputs=content["inputs"],
        questions=int(content["questions"]),
        failed=int(content["failed"]),
        metrics=metrics,
        card=content.get("card", {}),
        batch_size=int(content["batch_size"]),
        scored_by=str(content["scored_by"]),
    )
