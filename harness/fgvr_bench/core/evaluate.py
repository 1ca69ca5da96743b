"""Any models on any datasets, one after the other: what ``fgvr-bench run`` and `fgvr_bench.evaluate` do."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from fgvr_bench.core.assembly import ReadyDataset, ReadyModel, assemble, ready_dataset, ready_model
from fgvr_bench.core.evaluation import Evaluation
from fgvr_bench.core.experiment import Asked
from fgvr_bench.core.host import Host
from fgvr_bench.core.interrupts import is_request
from fgvr_bench.core.launching import ranks_for
from fgvr_bench.core.ranked import Shared
from fgvr_bench.core.ranks import RankLost, leading
from fgvr_bench.core.runner import execute
from fgvr_bench.core.settings import RunSettings
from fgvr_bench.core.shelf import Shelf
from fgvr_bench.core.watching import Watcher
from fgvr_bench.errors import FgvrError, Stopped, UsageError
from fgvr_bench.interfaces import RunResult

Ready = TypeVar("Ready", ReadyModel, ReadyDataset)


def expand_datasets(plugins: Host, asked: Sequence[Asked]) -> list[Asked]:
    """Replace ``all`` by every dataset that belongs to it, with the settings that stand beside it."""
    everything = [plugin.card.name for plugin in plugins.datasets if plugin.card.in_all]
    return [Asked(name, each.own) for each in asked for name in (everything if each.name == "all" else [each.name])]


@dataclass(frozen=True, slots=True)
class Preflight:
    """What of a request can run, and what cannot."""

    pairs: tuple[tuple[ReadyModel, ReadyDataset], ...]
    errors: tuple[FgvrError, ...]


def look_up(
    plugins: Host, models: Sequence[str | Asked], datasets: Sequence[str | Asked], settings: RunSettings
) -> Preflight:
    """Look every model and dataset up; each that is not there costs an error of its own, not the others.

    Raises:
        UsageError: a name that does not exist, or a setting that cannot be.
    """
    wanted_models, wanted_datasets = as_asked(models), expand_datasets(plugins, as_asked(datasets))
    if not wanted_models or not wanted_datasets:
        raise UsageError("name at least one model and one dataset.", hint="See: fgvr-bench models, fgvr-bench datasets")
    for each in wanted_models:
        plugins.models.find(each.name)
    for each in wanted_datasets:
        plugins.datasets.find(each.name)
    errors: dict[str, FgvrError] = {}

    def kept(ready: Callable[[Host, str, RunSettings, Mapping[str, Any]], Ready], asked: list[Asked]) -> list[Ready]:
        found = []
        for place, each in enumerate(asked):
            if each in asked[:place]:
                continue
            try:
                found.append(ready(plugins, each.name, settings, each.own))
            except UsageError:
                raise
            except FgvrError as error:
                errors.setdefault(str(error), error)
            except BaseException as error:
                if is_request(error):
                    raise
                wrong = FgvrError(f"{each.name} broke: {type(error).__name__}: {error}.")
                wrong.__cause__ = error
                errors.setdefault(str(wrong), wrong)
        return found

    ready_models, ready_datasets = kept(ready_model, wanted_models), kept(ready_dataset, wanted_datasets)
    return Preflight(tuple(itertools.product(ready_models, ready_datasets)), tuple(errors.values()))


def as_asked(things: Sequence[str | Asked]) -> list[Asked]:
    """Return names as things without settings of their own."""
    return [Asked(each) if isinstance(each, str) else each for each in things]


def say_remarks(data: ReadyDataset, watcher: Watcher, told: set[str]) -> None:
    """Say what a user should know of how a dataset's files were read, unless it is `told` already."""
    if data.name not in told:
        told.add(data.name)
        for remark in data.dataset.remarks():
            watcher.note(f"{data.name}: {remark}")


def evaluate_all(
    plugins: Host,
    models: Sequence[str | Asked],
    datasets: Sequence[str | Asked],
    settings: RunSettings,
    watcher: Watcher,
) -> Evaluation:
    """Run every model on every dataset; what fails is kept as an error and the rest goes on.

    Work is shared with the ranks that `settings.num_processes` asks for, or that were launched beside this one.

    Ends at the user's request with `Stopped` as the last error.

    Raises:
        UsageError: a name that does not exist, before anything runs.
    """
    found = look_up(plugins, models, datasets, settings)
    results: list[RunResult] = []
    errors = {str(error): error for error in found.errors}
    shelf = Shelf()
    told: set[str] = set()
    asked = as_asked(models), expand_datasets(plugins, as_asked(datasets))
    ranks = ranks_for(*asked, settings)
    with leading(ranks):
        for model, dataset in found.pairs:
            try:
                say_remarks(dataset, watcher, told)
                assembly = assemble(plugins, model, dataset, settings, watcher.progress)
                shared = None
                if ranks is not None and assembly.settings.num_processes != 1:
                    own = Asked(model.requested, model.own), Asked(dataset.requested, dataset.own)
                    shared = Shared(ranks, asked[0].index(own[0]), asked[1].index(own[1]))
                results.append(execute(plugins, assembly, watcher, shelf, shared))
            except (Stopped, RankLost) as error:
                errors[str(error)] = error
                break
            except FgvrError as error:
                errors.setdefault(str(error), error)
            except BaseException as error:  # a defect of a plugin, or of ours, costs its own run alone
                if is_request(error):
                    raise
                wrong = FgvrError(f"{model.name} on {dataset.name} broke: {type(error).__name__}: {error}.")
                wrong.__cause__ = error
                errors.setdefault(str(wrong), wrong)
    shelf.close()
    return Evaluation(tuple(results), tuple(errors.values()), plugins)
