"""A complete run's questions, responses and verdicts, one by one, as a protocol judges them now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fgvr_bench.core.host import Host
from fgvr_bench.core.parts import StoredAnswers
from fgvr_bench.core.records import from_line
from fgvr_bench.core.run_folder import RunFolder, file_digest
from fgvr_bench.core.settings import RunSettings
from fgvr_bench.core.tasks import find_task
from fgvr_bench.errors import DataInvalid, FgvrError
from fgvr_bench.interfaces import Scored, Task


def task_of(host: Host, content: Mapping[str, Any]) -> Task:
    """Return the task that a run was asked with, bound to what it was asked about.

    Raises:
        FgvrError: no plugin brings that protocol or task.
    """
    asked = content["inputs"]
    task = find_task(host, RunSettings(protocol=asked["protocol"], task=asked["task"]))
    return task.bound(asked.get("task_facts", {}))


def judged(host: Host, folder: RunFolder, content: Mapping[str, Any], task: Task | None = None) -> Iterator[Scored]:
    """Yield every response of a complete run with its question and verdict, in canonical order.

    Args:
        host: plugins, for the run's protocol.
        folder: the run's folder.
        content: its ``run.json``.
        task: what judges; None takes the run's own (`task_of`).

    Raises:
        FgvrError: the responses are gone, or not those that the run was scored from; or a line is none.
    """
    check_responses(folder, content)
    task = task or task_of(host, content)
    labels = tuple(content["labels"])
    with open(folder.responses_file, "rb") as file:
        for number, line in enumerate(file, 1):
            try:
                question, response = from_line(line, labels)
            except ValueError as error:
                raise DataInvalid(f"{folder.responses_file}, line {number}: {error}.") from error
            yield Scored(question, response, task.judge(question, response))


def judged_so_far(host: Host, folder: RunFolder, content: Mapping[str, Any]) -> Iterator[Scored]:
    """Yield what `judged` does for a run that is not complete: the answers that are on disk."""
    task = task_of(host, content)
    labels = tuple(content["labels"])
    answers = StoredAnswers(folder.parts, content["questions"], content.get("plan"), labels)
    for line in answers.lines(answers.done.nonzero()[0].tolist()):
        question, response = from_line(line, labels)
        yield Scored(question, response, task.judge(question, response))


def check_responses(folder: RunFolder, content: Mapping[str, Any]) -> None:
    """Make sure that a run's responses are the file that its ``run.json`` was made from.

    Raises:
        FgvrError: they cannot be read, or their digest differs.
    """
    try:
        found = file_digest(folder.responses_file)
    except OSError as error:
        raise FgvrError(
            f"{folder.path} is a complete run, but its {folder.responses_file.name} cannot be read: "
            f"{error.strerror or error}.",
            hint="Restore it, or run again with --fresh.",
        ) from error
    if found != content["responses_sha256"]:
        raise FgvrError(
            f"{folder.responses_file} is not the file that {folder.run_file.name} was made from (its digest differs).",
            hint="Restore it, or run again with --fresh.",
        )
