"""What a run would do, without doing it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from fgvr_bench.core.assembly import Assembly, ReadyDataset, ReadyModel, assemble
from fgvr_bench.core.evaluate import look_up, say_remarks
from fgvr_bench.core.experiment import Asked
from fgvr_bench.core.host import Host
from fgvr_bench.core.names import slug
from fgvr_bench.core.options import NotMined
from fgvr_bench.core.parts import StoredAnswers
from fgvr_bench.core.run_folder import RunFolder
from fgvr_bench.core.settings import RunSettings
from fgvr_bench.core.watching import Watcher
from fgvr_bench.errors import FgvrError


@dataclass(frozen=True, slots=True)
class Outlook:
    """What one run would do."""

    model: str
    dataset: str
    questions: int
    """How many it would have answered at its end."""
    answered: int
    """How many of them are on disk already."""
    options: str
    estimate: str
    """Time, from the rate of earlier executions of this model; or that it is not known."""
    run_id: str | None
    own: Mapping[str, Any]
    """Settings that model and dataset have for themselves."""

    @property
    def to_ask(self) -> int:
        """Questions still to ask."""
        return self.questions - self.answered


def look_ahead(
    plugins: Host,
    models: Sequence[str | Asked],
    datasets: Sequence[str | Asked],
    settings: RunSettings,
    watcher: Watcher,
) -> tuple[list[Outlook], list[FgvrError]]:
    """Say for each model and dataset what a run would do; errors are collected, as a run would meet them."""
    found = look_up(plugins, models, datasets, settings)
    rows: list[Outlook] = []
    errors = {str(error): error for error in found.errors}
    told: set[str] = set()
    for model, dataset in found.pairs:
        own = {**dataset.own, **model.own}
        try:
            say_remarks(dataset, watcher, told)
            rows.append(_outlook(assemble(plugins, model, dataset, settings, watcher.progress, mine=False), own))
        except NotMined:
            rows.append(_before_mining(model, dataset, replace(settings, **own), own))
        except FgvrError as error:
            errors.setdefault(str(error), error)
    return rows, list(errors.values())


def _before_mining(model: ReadyModel, data: ReadyDataset, settings: RunSettings, own: Mapping[str, Any]) -> Outlook:
    count = len(data.dataset.examples(settings.split)) * (
        int(settings.permutations) if str(settings.permutations).isdecimal() else 1
    )
    questions = min(settings.limit or count, count)
    estimate = _estimate(settings, model.name, questions)
    return Outlook(model.name, data.name, questions, 0, "to be mined first", estimate, None, own)


def _outlook(assembly: Assembly, own: Mapping[str, Any]) -> Outlook:
    book, settings = assembly.book, assembly.settings
    questions = min(settings.limit or len(book), len(book))
    answered = 0 if settings.fresh else _answered(assembly.folder, len(book), assembly.labels)
    options = assembly.inputs["options"]
    to_ask = max(0, questions - answered)
    return Outlook(
        assembly.model_name,
        assembly.dataset_name,
        questions,
        min(answered, questions),
        f"{options['miner']}, k = {options['k']}" if isinstance(options, dict) else "none",
        _estimate(settings, assembly.model_name, to_ask),
        assembly.run_id,
        own,
    )


def _estimate(settings: RunSettings, model: str, to_ask: int) -> str:
    if not to_ask:
        return "no time"
    rate = _known_rate(settings.results_dir, model)
    return str(timedelta(seconds=max(1, round(to_ask / rate)))) if rate else "not known before a first run"


def _answered(folder: RunFolder, questions: int, labels: tuple[str, ...]) -> int:
    stored = folder.read_run()
    if stored is not None and stored["complete"]:
        return questions
    return int(StoredAnswers(folder.parts, questions, stored["plan"] if stored else None, labels).done.sum())


def _known_rate(results: Path, model: str) -> float | None:
    """Return questions a second of the last execution of this model below the results folder."""
    last: tuple[str, float] | None = None
    for path in results.glob(f"*/{slug(model)}/*/machine.json"):
        for entry in RunFolder(path.parent).read_executions():
            try:
                found = (str(entry["ended"]), entry["answered"] / entry["seconds"])
            except (KeyError, TypeError, ZeroDivisionError):
                continue
            last = max(last or found, found)
    return last[1] if last and last[1] > 0 else None
