"""`fgvr_bench.evaluate`: what ``fgvr-bench run`` does, at a call, from a script or a notebook."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeAlias

from fgvr_bench.core.evaluate import evaluate_all
from fgvr_bench.core.evaluation import Evaluation
from fgvr_bench.core.experiment import Asked, Experiment, combine, read_experiment
from fgvr_bench.core.host import Host, host
from fgvr_bench.core.paths import at_home
from fgvr_bench.core.settings import RunSettings
from fgvr_bench.core.showing import watcher_for
from fgvr_bench.errors import UsageError
from fgvr_bench.interfaces import Dataset, DatasetPlugin, ModelPlugin

Models: TypeAlias = "str | ModelPlugin | Iterable[str | ModelPlugin]"
Datasets: TypeAlias = "str | DatasetPlugin | Dataset | Iterable[str | DatasetPlugin | Dataset]"


def evaluate(
    model: Models = (),
    dataset: Datasets = (),
    *,
    config: str | os.PathLike[str] | None = None,
    plugins: Host | None = None,
    progress: bool = True,
    **settings: Any,
) -> Evaluation:
    """Run models on datasets as ``fgvr-bench run`` does, and return the finished runs.

    Args:
        model: a model's name or a `ModelPlugin`, or several.
        dataset: a dataset's name, ``all``, a `DatasetPlugin` or a `Dataset`, or several.
        config: a file that describes an experiment (``--config``); what is given here goes before what it says.
        plugins: a plugin host of your own; by default all installed plugins.
        progress: show how far it is, where somebody looks on: in a terminal or a notebook.
        settings: the fields of `fgvr_bench.core.settings.RunSettings` (``limit=100``, ``task="yes-no"``,
            ``results_dir="results"`` ...).

    A model that is given as an object may be another than it was at the last call, under one name: it is asked anew,
    unless ``fresh=False`` takes up what is on disk.

    Raises:
        FgvrError: a run failed; those before it are on disk and are found again by the same call.
    """
    given = _read_settings(settings)
    models, datasets = _listed(model, (ModelPlugin,), "model"), _listed(dataset, (DatasetPlugin, Dataset), "dataset")
    known = _with_objects(plugins or host(), models, datasets)
    names = [_name(each) for each in models], [_name(each) for each in datasets]
    experiment = Experiment(Path(), (), (), {}) if config is None else read_experiment(at_home(Path(config)), known)
    asked_models, asked_datasets, wanted = combine(experiment, *names, given)
    own = _of_objects([*models, *datasets], wanted, given)
    anew = {"fresh": True, **own} if "fresh" not in given else own
    evaluation = evaluate_all(
        known,
        _with_own(asked_models, {_name(each) for each in models if not isinstance(each, str)}, anew),
        _with_own(asked_datasets, {_name(each) for each in datasets if not isinstance(each, str)}, own),
        wanted,
        watcher_for(progress),
    )
    if evaluation.errors:
        raise evaluation.errors[0]
    return evaluation


def _read_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    known = {each.name for each in fields(RunSettings)}
    if unknown := sorted(settings.keys() - known):
        raise UsageError(f"evaluate() has no setting {unknown[0]!r}; it has {', '.join(sorted(known))}.")
    given = dict(settings)
    if "results_dir" in given:
        given["results_dir"] = Path(given["results_dir"])
    if given.get("batch_size") == "auto":
        given["batch_size"] = None
    if "data_roots" in given:
        roots = given["data_roots"]
        given["data_roots"] = tuple(map(Path, [roots] if isinstance(roots, str | os.PathLike) else roots))
    return given


def _listed(given: Any, kinds: tuple[type, ...], what: str) -> list[Any]:
    """Return names and objects as a list.

    Raises:
        UsageError: something is neither a name nor such an object.
    """
    single = isinstance(given, (str, *kinds))
    things = [given] if single or not isinstance(given, Iterable) else list(given)
    odd = [thing for thing in things if not isinstance(thing, (str, *kinds))]
    if odd:
        shown = f"the class {odd[0].__name__}" if isinstance(odd[0], type) else f"a {type(odd[0]).__name__}"
        raise UsageError(
            f"evaluate() was given {shown} for a {what}.",
            hint=f"Give a name, or an object of a class below fgvr_bench.interfaces.{what.capitalize()}Plugin.",
        )
    return things


def _name(thing: Any) -> str:
    return thing if isinstance(thing, str) else str(thing.card.name)


class _Opened(DatasetPlugin):
    """A dataset that is open already."""

    def __init__(self, dataset: Dataset) -> None:
        self.card = dataset.card
        self._dataset = dataset

    def open(self, roots: Sequence[Path], argument: str | None = None) -> Dataset:
        return self._dataset


def _with_objects(plugins: Host, models: Sequence[Any], datasets: Sequence[Any]) -> Host:
    """Return the host with the objects among the models and datasets, each once."""
    new_models = {id(each): each for each in models if not isinstance(each, str)}
    opened = {
        id(each): _Opened(each) if isinstance(each, Dataset) else each for each in datasets if not isinstance(each, str)
    }
    if not new_models and not opened:
        return plugins
    return plugins.beside(list(new_models.values()), list(opened.values()))


def _of_objects(things: Sequence[Any], wanted: RunSettings, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that follow from what only this process knows.

    Raises:
        UsageError: processes of their own would have to load it.
    """
    objects = [thing for thing in things if not isinstance(thing, str)]
    if objects and wanted.num_processes not in (None, 1):
        raise UsageError(
            "num_processes: what is given as an object is in this process alone.",
            hint="Make a plugin of it (fgvr-bench new-plugin), and give its name.",
        )
    by_hand = any(type(thing).__module__ == "__main__" for thing in objects)
    if by_hand and "workers" not in given and multiprocessing.get_start_method() != "fork":
        return {"workers": 0}  # a new process could not import what was typed into this one
    return {}


def _with_own(asked: Sequence[Asked], names: AbstractSet[str], own: Mapping[str, Any]) -> list[Asked]:
    return [Asked(each.name, {**own, **each.own}) if each.name in names else each for each in asked]
