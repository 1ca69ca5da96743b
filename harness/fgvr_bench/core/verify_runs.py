"""``results verify``: is a run, byte for byte and figure for figure, what it claims to be?

Digests find damage, not fraud: whoever makes answers up can make their digests too.  So beside the digests
everything is derived again that can be: figures from answers, questions from option sets, right answers from datasets.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fgvr_bench.core.asked import Asker
from fgvr_bench.core.auditing import Audit
from fgvr_bench.core.checking import Questions, check_identity, check_run
from fgvr_bench.core.files import read_json, readable_json
from fgvr_bench.core.host import Host
from fgvr_bench.core.judged import task_of
from fgvr_bench.core.known import Knowledge
from fgvr_bench.core.progress import Progress, quiet
from fgvr_bench.core.results import StoredRun, run_files, stored_run
from fgvr_bench.core.run_folder import MACHINE_FORMAT, SEAL, VERSIONS, RunFolder
from fgvr_bench.core.scratch import Pile
from fgvr_bench.core.twins import settle_twins
from fgvr_bench.errors import FgvrError

FIELDS = frozenset(
    {
        "alike",
        "batch_size",
        "card",
        "complete",
        "content_sha256",
        "dataset",
        "facts",
        "failed",
        "format",
        "inputs",
        "labels",
        "main_metric",
        "metrics",
        "model",
        "plan",
        "positions",
        "questions",
        "responses_sha256",
        "run_id",
        "scored_by",
        "threads",
        "version",
    }
)
"""All that a ``run.json`` may say."""
FILES = frozenset({"run.json", "responses.jsonl", "machine.json"})
"""All that the folder of a complete run may hold."""


@dataclass(frozen=True, slots=True)
class Verified:
    """What was found of one run."""

    folder: Path
    run: StoredRun | None = None
    """None where it could not be read, or is not complete."""
    unfinished: bool = False
    problems: tuple[str, ...] = ()
    """What is wrong, a sentence each."""
    unchecked: tuple[str, ...] = ()
    """What could not be checked here, and what would be needed."""

    @property
    def state(self) -> str:
        """``ok``, ``wrong`` or ``unfinished``."""
        return "wrong" if self.problems else "unfinished" if self.unfinished else "ok"


@dataclass(slots=True)
class Verifier:
    """Verifies runs."""

    host: Host
    knowledge: Knowledge
    published: bool = False
    """Whether a run has to have been asked its dataset's own option set, and that to have been checked."""
    _questions: MutableMapping[str, Questions] = field(default_factory=dict)

    def verify(self, places: Sequence[Path], progress: Progress = quiet) -> Sequence[Verified]:
        """Verify all runs at or below `places`, in the order of their paths.

        Args:
            places: results folders, folders of runs, or files of a run.
            progress: told of each run.

        Raises:
            FgvrError: there is no such place, or no run there.
        """
        folders = _folders(places)
        if not folders:
            raise FgvrError(f"there is no run below {', '.join(map(str, places))}.", hint="See: fgvr-bench run --help")
        found = Pile[Verified]()
        with progress("verifying runs", len(folders)) as advance:
            for again in folders.alike():
                filed = any(folders[place][1] for place in again)
                each = self._verified(Path(folders[again[0]][0]), filed)
                found.add(each, *([each.run.run_id] if each.run else []))
                advance(len(again))
        _call_out_twins(found)
        return found

    def _verified(self, folder: Path, filed: bool) -> Verified:
        path = RunFolder(folder)
        try:
            problems = _wrong_files(path)
            content = path.read_run() or {}
            problems += _wrong_form(path, content)
            check_identity(path, content)
            if (
                filed
                and folder.parts[-3:]
                != RunFolder.of(Path(), content["dataset"], content["model"], content["run_id"]).path.parts
            ):
                problems.append(
                    "it does not lie in <dataset>/<model>/<run_id>; fgvr-bench results merge puts it there."
                )
            if not content["complete"]:
                if path.responses_file.exists():
                    problems.append("it has responses and says that it is not complete.")
                return Verified(
                    folder, None, True, tuple(problems), ("answers (finish it: type its run command again)",)
                )
            return self._verified_answers(path, content, problems)
        except FgvrError as error:
            return Verified(folder, problems=(str(error).replace(f"{folder}{os.sep}", ""),))
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError) as error:
            return Verified(folder, problems=(f"it is damaged ({type(error).__name__}: {error}).",))

    def _verified_answers(self, path: RunFolder, content: Mapping[str, Any], problems: list[str]) -> Verified:
        run = stored_run(path.path, content)
        task = task_of(self.host, content)
        audit = Audit(content, Asker.of(task, content), self.knowledge.of(content["inputs"]))
        checked = check_run(self.host, path.path, content, self._questions, audit.add)
        problems += audit.problems()
        if content["positions"] != checked.positions:
            problems.append("its answers do not give its counts by letter.")
        if content["main_metric"] != task.metrics[0]:
            problems.append(f"it is headed by its {content['main_metric']}, where its task has {task.metrics[0]}.")
        problems += self._wrong_exposure(run)
        unchecked = [*audit.unchecked]
        unknown = [name for name in run.metrics if name not in self.host.metrics]
        if unknown:
            unchecked.append(f"metrics of no plugin here ({', '.join(unknown)})")
        if self.published:
            problems += self._not_published(content["inputs"])
        return Verified(path.path, run, False, tuple(problems), tuple(unchecked))

    def _wrong_exposure(self, run: StoredRun) -> list[str]:
        """Compare what decides the block of a board with what the model's plugin says, where there is one."""
        try:
            plugin, _ = self.host.models.find(run.model)
        except FgvrError:
            return []
        due = plugin.card.exposure
        if run.imported or run.exposure == due:
            return []
        return [f"its card says that {run.model} is {run.exposure}; the model's plugin says {due}."]

    def _not_published(self, inputs: Mapping[str, Any]) -> list[str]:
        known = self.knowledge.of(inputs)
        name, options = inputs["dataset"]["name"], inputs.get("options")
        if known.truth is None or (options and known.options is None):
            return [f"its questions could not be held against the option set of {name}: {'; '.join(known.absent)}."]
        if options and "imported" not in inputs and options["miner"] != self.host.datasets.find(name)[0].card.options:
            return [f"it was asked about options of its own ({options['miner']}), not those of {name}."]
        return []


def _folders(places: Sequence[Path]) -> Pile[tuple[str, bool]]:
    """Return the folders of runs, and whether each was found below a results folder."""
    folders = Pile[tuple[str, bool]]()
    for place in places:
        if place.name in FILES and not place.is_dir():
            place = place.parent
        for file in run_files(place):
            folders.add((str(file.parent), file.parent != place), *file.parent.parts)
    return folders


def _wrong_files(path: RunFolder) -> list[str]:
    """Return what is wrong with the files as such."""
    problems = []
    for file in sorted(path.path.iterdir()):
        if not path.responses_file.exists() and (file.name == path.parts.name or file.suffix == ".tmp"):
            continue  # answers on their way
        if file.name not in FILES or file.is_symlink() or not file.is_file():
            problems.append(f"{file.name} is no file of a run.")
    if path.machine_file.exists():
        try:
            read_json(path.machine_file, MACHINE_FORMAT, VERSIONS)
        except FgvrError as error:
            problems.append(str(error))
    return problems


def _wrong_form(path: RunFolder, content: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with ``run.json`` as such."""
    problems = []
    if unknown := sorted(content.keys() - FIELDS):
        problems.append(f"its run.json has fields that this version does not know: {', '.join(unknown)}.")
    if SEAL not in content:
        problems.append(f"its run.json has no {SEAL}; fgvr-bench score {path.path} --write adds it.")
    if path.run_file.read_bytes() != readable_json(content).encode("utf-8", "surrogatepass"):
        problems.append("its run.json is not as fgvr-bench writes it (blanks, order or spelling).")
    return problems


def _call_out_twins(found: Pile[Verified]) -> None:
    """Call runs wrong that claim one id with different answers, where nothing says why they differ."""
    for places in found.alike():
        if len(places) < 2 or found[places[0]].run is None:
            continue
        twins = [(place, found[place]) for place in places]
        _, problem, _ = settle_twins([each.run for _, each in twins if each.run is not None])
        for place, each in twins if problem else ():
            found.replace(place, replace(each, problems=(*each.problems, problem.removeprefix("left out: "))))
