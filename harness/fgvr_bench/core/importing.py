"""Answers that others published, as runs of ours: they can be scored again and stand on a board."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from fgvr_bench import __version__
from fgvr_bench.core.files import atomic_writer, digest
from fgvr_bench.core.host import Host
from fgvr_bench.core.locks import lock
from fgvr_bench.core.records import to_line
from fgvr_bench.core.results import run_result
from fgvr_bench.core.run_folder import RunFolder, file_digest, run_id
from fgvr_bench.core.scoring import Scorer, metrics_of
from fgvr_bench.core.settings import RunSettings
from fgvr_bench.core.tasks import find_task
from fgvr_bench.errors import DataInvalid, FgvrError, UsageError
from fgvr_bench.interfaces import DatasetPlugin, RunResult
from fgvr_bench.types import Json, Question, Response

Reader = Callable[[str, str, str], Iterable[tuple[Question, Response]]]
"""``reader(text, dataset, split)``: the questions and responses of an answer file."""


@dataclass(frozen=True, slots=True)
class AnswerFormat:
    """A kind of answer file, and the protocol that it was made under."""

    name: str
    protocol: str
    task: str
    read: Reader


def import_run(
    host: Host, file: Path, kind: AnswerFormat, dataset: str, model: str, results: Path, split: str = "test"
) -> RunResult:
    """Import an answer file as a complete run.

    Args:
        host: plugins, for the protocol and the dataset's card.
        file: the answers, gzipped or not.
        kind: what kind of file it is.
        dataset: name of the dataset that was asked about; its images are not needed.
        model: name that the run goes by.
        results: folder for runs.
        split: the split that was asked about.

    Raises:
        UsageError: the name is empty.
        DataInvalid: the file is not such a file, or answers a question twice; names the row or the question.
    """
    if not model.strip() or not model.isprintable():
        raise UsageError(f"a run cannot go by the name {model!r}.", hint="Name the model that answered with --model.")
    plugin, _ = host.datasets.find(dataset)
    entries = list(kind.read(_text(file), plugin.card.name, split))
    if not entries:
        raise DataInvalid(f"{file} holds no answers.")
    entries.sort(key=lambda entry: entry[0].question_id)
    _check_unique(file, entries)
    labels = _labels(plugin, split, entries)
    task = find_task(host, RunSettings(protocol=kind.protocol, task=kind.task))
    inputs: dict[str, Json] = {
        "dataset": {"name": plugin.card.name, "split": split, "digest": "unknown"},
        "options": {"digest": _options_digest(question for question, _ in entries), "miner": "imported", "k": 4},
        "protocol": kind.protocol,
        "task": kind.task,
        "model": {"name": model},
        "imported": {"format": kind.name, "file": file.name, "sha256": file_digest(file)},
    }
    folder = RunFolder.of(results, plugin.card.name, model, run_id(inputs))
    scorer = Scorer(task, metrics_of(host, task))
    with lock(folder.lock_file, f"importing {model} on {plugin.card.name}"):
        with atomic_writer(folder.responses_file) as out:
            for question, response in entries:
                scorer.add(question, response)
                out.write(to_line(question, response, labels).encode() + b"\n")
        content = _content(model, plugin.card.name, inputs, labels, scorer, folder)
        folder.write_run(content)
    return run_result(folder.path, content)


def _content(
    model: str, dataset: str, inputs: dict[str, Json], labels: tuple[str, ...], scorer: Scorer, folder: RunFolder
) -> dict[str, Any]:
    """Return the ``run.json`` of the imported run, whose responses are written."""
    return {
        "run_id": run_id(inputs),
        "model": model,
        "dataset": dataset,
        "inputs": inputs,
        "labels": list(labels),
        "questions": scorer.answered,
        "batch_size": 1,
        "card": {"title": model, "exposure": "unknown", "parameters": None, "licence": "unknown"},
        "facts": {},
        "complete": True,
        "failed": scorer.failed,
        "metrics": scorer.results(),
        "positions": scorer.positions,
        "main_metric": scorer.task.metrics[0],
        "scored_by": __version__,
        "responses_sha256": file_digest(folder.responses_file),
    }


def _text(file: Path) -> str:
    try:
        data = file.read_bytes()
        return (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode()
    except FileNotFoundError as error:
        raise FgvrError(f"there is no file {file}.") from error
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        raise DataInvalid(f"{file} cannot be read: {error}.") from error


def _check_unique(file: Path, entries: list[tuple[Question, Response]]) -> None:
    for (one, _), (other, _) in pairwise(entries):  # they are sorted
        if one.question_id == other.question_id:
            raise DataInvalid(f"{file} answers {one.question_id} more than once.")


def _labels(plugin: DatasetPlugin, split: str, entries: list[tuple[Question, Response]]) -> tuple[str, ...]:
    """Return all labels: those that the card knows, else those that the answers name."""
    known = tuple(plugin.class_counts(split))
    strange = {question.example.label for question, _ in entries} - set(known)
    if known and strange:
        raise DataInvalid(
            f"these are no answers about {plugin.card.name}: it has no class {min(strange)!r}.",
            hint="Name the dataset that was asked about with --dataset.",
        )
    return known or tuple(sorted({choice for question, _ in entries for choice in question.choices}))


def _options_digest(questions: Iterable[Question]) -> str:
    return digest([[question.example.example_id, sorted(question.choices)] for question in questions])
