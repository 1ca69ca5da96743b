"""The whole recipe: align, merge, tune, merge, with evaluation by the harness in between."""

from __future__ import annotations

import gc
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fgvr_bench.core.evaluate import evaluate_all, look_up
from fgvr_bench.core.host import host
from fgvr_bench.core.settings import RunSettings
from fgvr_bench.core.watching import Watcher
from fgvr_bench.errors import UsageError
from finedefics.launching import Conduct, Processes
from finedefics.logbook import TrainingWatcher
from finedefics.merging import merge
from finedefics.presets import Recipe, preset
from finedefics.stages import Rows, listed_rows, look_at, train_stage

if TYPE_CHECKING:
    from fgvr_bench.interfaces import RunResult

EVALUATED_BY = {"idefics2": "finedefics", "llava": "llava"}
"""Model plugin of the harness by the checkpoint's ``model_type``; ``hf:`` takes the others."""


@dataclass(frozen=True, slots=True)
class Examination:
    """What is evaluated between the stages."""

    datasets: tuple[str, ...] = ()
    """Datasets of the harness; none leaves evaluation out."""
    base: bool = False
    """Whether the starting model is evaluated too."""
    model: str | None = None
    """Model plugin that loads the checkpoints; None chooses by their architecture."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the harness's `RunSettings`, for example ``limit``, ``task``, ``data_roots``."""


@dataclass(frozen=True, slots=True)
class Made:
    """What the whole recipe made."""

    aligned: Path | None
    """Plain checkpoint after stage I; None without it."""
    tuned: Path
    """Plain checkpoint after stage II: the result."""
    evaluations: tuple[tuple[str, RunResult], ...]
    """``base``, ``aligned`` or ``tuned``, and the run of the harness; in the first process only."""


def train(
    align_rows: Rows | None,
    tune_rows: Rows,
    model: str | Path,
    output: Path | str,
    *,
    align_recipe: Recipe | None = None,
    tune_recipe: Recipe | None = None,
    without_stage_one: bool = False,
    images_root: Path | None = None,
    device: str = "auto",
    conduct: Conduct | None = None,
    examination: Examination | None = None,
    into: str = "trained-on",
    dtype: str = "auto",
    fresh: bool = False,
    watcher: TrainingWatcher | None = None,
    examiner: Watcher | None = None,
    **overrides: Any,
) -> Made:
    """Make a Finedefics: stage I, merge, stage II, merge; what was done already is not done again.

    Args:
        align_rows: rows of stage I; may be None without it.
        tune_rows: rows of stage II.
        model: checkpoint to start from.
        output: folder of everything: ``align`` and ``tune`` (runs), ``aligned`` and ``tuned`` (plain checkpoints),
            ``results`` (evaluations).
        align_recipe: how to align; by default preset ``paper``.
        tune_recipe: how to tune; likewise.
        without_stage_one: tune the starting model itself (ablation).
        images_root: folder that image paths of files start from.
        device: ``auto`` or ``cpu``.
        conduct: checkpoints, logs; its folder is not looked at.
        examination: what is evaluated, if anything.
        into: see `finedefics.merging.merge`.
        dtype: see `finedefics.merging.merge`.
        fresh: do everything anew.
        watcher: told how training goes.
        examiner: told how evaluation goes.
        overrides: fields of `Recipe`, for both stages.

    Raises:
        FgvrError: of the stages, of merging or of an evaluation; all that was finished stays.
    """
    output, conduct = Path(output), conduct or Conduct()
    exam, watcher = examination or Examination(), watcher or TrainingWatcher()
    recipes = {
        "align": (align_recipe or preset("paper", "align")).changed(**overrides),
        "tune": (tune_recipe or preset("paper", "tune")).changed(**overrides),
    }
    if align_rows is None and not without_stage_one:
        raise UsageError("stage I needs rows.", hint="Give --align-rows, or --without-stage-one.")
    processes = Processes(device)
    given = {"align": None if without_stage_one else align_rows, "tune": tune_rows}
    listed = {stage: listed_rows(rows, images_root) for stage, rows in given.items() if rows is not None}
    for stage, rows in listed.items():  # all of them, before the first is trained on
        if processes.is_first:
            look_at(rows, stage, watcher)
    shared: dict[str, Any] = {"check": False, "device": device, "fresh": fresh, "watcher": watcher}
    results: list[tuple[str, RunResult]] = []
    evaluate = _Evaluation(exam, output / "results", device, examiner or Watcher())
    if processes.is_first:
        evaluate.check(Path(model))
    with processes.first_alone():
        if processes.is_first and exam.base:
            results += evaluate("base", Path(model))
    current, aligned = Path(model), None
    for stage, rows in listed.items():
        merged = output / {"align": "aligned", "tune": "tuned"}[stage]
        run = replace(conduct, output=output / stage)
        train_stage(stage, rows, str(current), recipe=recipes[stage], conduct=run, **shared)
        _let_go()
        with processes.first_alone():
            if processes.is_first:
                merge(output / stage, merged, into=into, dtype=dtype, fresh=fresh)
                _let_go()
                results += evaluate(merged.name, merged)
        current = merged
        aligned = merged if stage == "align" else aligned
    return Made(aligned, current, tuple(results))


class _Evaluation:
    """Evaluates checkpoints on the datasets of an examination."""

    def __init__(self, exam: Examination, results: Path, device: str, watcher: Watcher) -> None:
        self._exam, self._results, self._device, self._watcher = exam, results, device, watcher

    def __call__(self, name: str, checkpoint: Path) -> list[tuple[str, RunResult]]:
        """Return the finished runs.

        Raises:
            FgvrError: a run failed.
        """
        if not self._exam.datasets:
            return []
        plugin, settings = self._asked(name, checkpoint)
        done = evaluate_all(host(), [plugin], list(self._exam.datasets), settings, self._watcher)
        if done.errors:
            raise done.errors[0]
        return [(name, result) for result in done.results]

    def check(self, model: Path) -> None:
        """Look datasets and settings up, with the starting model, before hours of training.

        Raises:
            FgvrError: a dataset is not there; a setting cannot be.
        """
        if self._exam.datasets:
            plugin, settings = self._asked("base", model)
            for error in look_up(host(), [plugin], list(self._exam.datasets), settings).errors:
                raise error

    def _asked(self, name: str, checkpoint: Path) -> tuple[str, RunSettings]:
        given = {"device": self._device, **self._exam.settings, "results_dir": self._results / name}
        plugin = self._exam.model or _plugin_for(str(checkpoint))
        settings = RunSettings(checkpoint=str(checkpoint), **given)
        return f"hf:{checkpoint}" if plugin == "hf:" else plugin, settings


def _plugin_for(checkpoint: str) -> str:
    import json

    from fgvr_bench.engines.checkpoints import find_checkpoint
    from fgvr_bench.engines.fetching import fetch

    config = json.loads((fetch(find_checkpoint(checkpoint)) / "config.json").read_bytes())
    return EVALUATED_BY.get(str(config.get("model_type")), "hf:")


def _let_go() -> None:
    """Give a stage's memory back before the next one loads its model."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
