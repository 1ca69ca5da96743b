"""Parsing and scoring stored responses again: no model, no dataset, any protocol."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fgvr_bench import __version__
from fgvr_bench.core.asked import Asker
from fgvr_bench.core.host import Host
from fgvr_bench.core.judged import judged, task_of
from fgvr_bench.core.locks import lock
from fgvr_bench.core.run_folder import SEAL, RunFolder, sealed
from fgvr_bench.core.scoring import Scorer, metrics_of
from fgvr_bench.core.settings import RunSettings
from fgvr_bench.core.tasks import find_task
from fgvr_bench.errors import DataInvalid, FgvrError, UsageError
from fgvr_bench.interfaces import Scored, Task
from fgvr_bench.types import Stop


@dataclass(frozen=True, slots=True)
class Rescored:
    """A run's figures as stored, and as its responses give them now."""

    folder: RunFolder
    model: str
    dataset: str
    protocol: str
    task: str
    stored: Mapping[str, float | None]
    metrics: Mapping[str, float | None]
    positions: Mapping[str, list[int]]
    """For each letter: how often the truth stood there, was then given, and how often it was given at all."""
    rules: Mapping[str, int]
    """How many answers each rule of the parser decided."""
    problems: tuple[str, ...]
    same_protocol: bool
    """Whether this is the protocol and task that the run was asked with."""

    @property
    def changed(self) -> list[str]:
        """Names of the stored metrics whose figure is another now."""
        return [name for name, value in self.stored.items() if self.metrics.get(name) != value]


def rescore(host: Host, path: Path, protocol: str | None = None, task: str | None = None) -> Rescored:
    """Judge every response of a complete run again.

    Args:
        host: plugins, for the protocol and its metrics.
        path: the run's folder.
        protocol: None takes the one that the run was asked with.
        task: likewise.

    Raises:
        UsageError: another parser is asked for, and rows were stopped once the first one's verdict was settled.
        FgvrError: the run is not complete or damaged, or its responses are gone or not those that it was scored from.
    """
    folder = RunFolder(path)
    content = folder.read_run()
    if content is None or not content.get("complete"):
        raise FgvrError(f"{path} holds no complete run.", hint="Finish it: type its run command again.")
    try:
        return _rescore(host, folder, content, protocol, task)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise DataInvalid(
            f"{folder.run_file} is damaged ({type(error).__name__}: {error}).",
            hint="Restore it, or run again with --fresh.",
        ) from error


def _rescore(
    host: Host, folder: RunFolder, content: Mapping[str, Any], protocol: str | None, task: str | None
) -> Rescored:
    asked = content["inputs"]
    same = protocol in {None, asked["protocol"]} and task in {None, asked["task"]}
    chosen = protocol or asked["protocol"]
    kept = asked["task"] if asked["task"] in host.protocols[chosen].tasks else None
    found = task_of(host, content) if same else find_task(host, RunSettings(protocol=chosen, task=task or kept))
    scorer = Scorer(found, metrics_of(host, found))
    rules: Counter[str] = Counter()
    for scored in judged(host, folder, content, found):
        if not same:
            _check_readable(folder, content, scored, chosen, found)
        scorer.count(scored)
        rules[scored.answer.rule] += 1
    return Rescored(
        folder=folder,
        model=content["model"],
        dataset=content["dataset"],
        protocol=chosen,
        task=found.name,
        stored={name: _number(value) for name, value in content["metrics"].items()},
        metrics=scorer.results(),
        positions=scorer.positions,
        rules=rules,
        problems=tuple(scorer.problems),
        same_protocol=same,
    )


def _number(value: Any) -> float | None:
    """Return a stored figure; what is no number is none, so that it comes out and can be mended."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _check_readable(folder: RunFolder, content: Mapping[str, Any], scored: Scored, protocol: str, task: Task) -> None:
    """Make sure that an answer can be read as one to another task.

    Raises:
        UsageError: that task asks another kind of question, or the answer is not whole.
    """
    asked = content["inputs"]
    answered_by = asked.get("decoding", {}).get("name")
    if answered_by not in {None, *task.decodings} or not Asker.of(task, content).like(scored.question):
        raise UsageError(
            f"{folder.path} was asked as {asked['protocol']} {asked['task']}; {protocol} {task.name} asks another kind "
            "of question, so the answers cannot be read as answers to it.",
            hint=f"Ask it: fgvr-bench run --protocol {protocol} --task {task.name} --help",
        )
    if scored.response.stop is Stop.SETTLED:
        raise UsageError(
            f"{folder.path} was stopped early where its own protocol's verdict was settled, so another parser "
            "would not see whole answers.",
            hint="Run it again with --full-text.",
        )


def write_scores(rescored: Rescored) -> None:
    """Put the new figures in the place of the stored ones.

    Raises:
        DataInvalid: the ``run.json`` was changed in more than its figures, which a new digest would hide.
        UsageError: they are another protocol's; a run keeps the figures of the protocol that it was asked with.
    """
    if not rescored.same_protocol:
        raise UsageError(
            f"{rescored.folder.path} was asked with another protocol or task; its figures are not replaced.",
            hint="Leave --write out to see the new ones.",
        )
    folder = rescored.folder
    with lock(folder.lock_file, f"scoring {rescored.model} on {rescored.dataset}"):
        before = folder.read_run() or {}
        figures = {"metrics": dict(rescored.metrics), "positions": dict(rescored.positions), "scored_by": __version__}
        after = sealed({**before, **figures})
        if before.get(SEAL) not in {None, sealed(before)[SEAL], after[SEAL]}:
            raise DataInvalid(
                f"{folder.run_file} was changed since it was written, and not in its figures alone: they are not "
                "replaced.",
                hint="Restore it, or run again.",
            )
        folder.write_run(after)
