"""``results merge``: runs that were made in parts, or on several machines, brought into one results folder.

Runs are the same where their ids are: an id digests all that was declared.  Nothing is chosen between answers that
differ; such a run is refused by name, and the others are merged.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

from fgvr_bench.core.checking import check_identity
from fgvr_bench.core.files import atomic_writer
from fgvr_bench.core.host import Host, host
from fgvr_bench.core.judged import check_responses, task_of
from fgvr_bench.core.locks import lock
from fgvr_bench.core.parts import StoredAnswers, remove_leftovers, write_canonical
from fgvr_bench.core.progress import Progress, quiet
from fgvr_bench.core.results import run_files
from fgvr_bench.core.run_folder import RunFolder
from fgvr_bench.core.runner import complete_run
from fgvr_bench.core.scoring import Scorer, metrics_of
from fgvr_bench.core.scratch import Pile
from fgvr_bench.errors import FgvrError

SAME_WAY = ("plan", "batch_size", "alike", "threads")
"""What two unfinished runs of one id have to share so that their answers may stand in one file."""


@dataclass(slots=True)
class Merged:
    """What became of the runs."""

    done: Pile[tuple[Path, str]] = field(default_factory=Pile)
    """Folder of each run in its new place, and ``copied``, ``completed``, ``joined`` or ``there already``."""
    notes: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    """A sentence for each run that was left out."""


@dataclass(frozen=True, slots=True)
class _Source:
    folder: RunFolder
    content: Mapping[str, Any]

    @property
    def complete(self) -> bool:
        return bool(self.content["complete"])

    def answers(self) -> StoredAnswers:
        content = self.content
        return StoredAnswers(self.folder.parts, content["questions"], content.get("plan"), tuple(content["labels"]))


def merge(places: Sequence[Path], into: Path, progress: Progress = quiet, plugins: Host | None = None) -> Merged:
    """Bring all runs at or below `places` into the results folder `into`; what is read is left as it is.

    A run whose answers are all there then is scored and completed.

    Args:
        places: results folders, or folders of runs.
        into: where they go; it may hold runs, and may be one of `places`.
        progress: told of each run.
        plugins: for the protocols of runs that are completed here; None takes all installed ones.

    Raises:
        FgvrError: there is no such place, or `into` cannot be written to.
    """
    merged = Merged()
    folders = Pile[Path]()
    for path in (file.parent for place in places for file in run_files(place)):
        try:
            folders.add(path, *_headed(path))
        except FgvrError as error:
            merged.refused += [str(error)] if str(error) not in merged.refused else []
    with progress("merging runs", len(folders)) as advance:
        for numbers in folders.alike():
            sources = _whole([folders[number] for number in numbers], merged.refused)
            if sources:
                _merge_into(into, sources, merged, plugins)
            advance(len(numbers))
    return merged


def _headed(path: Path) -> tuple[str, str, str]:
    """Return dataset, model and id that a run is headed with."""
    content = _content(RunFolder(path))
    return content["dataset"], content["model"], content["run_id"]


def _whole(paths: Iterable[Path], refused: list[str]) -> list[_Source]:
    """Read the runs of one id; those that are damaged are refused."""
    sources = []
    for path in dict.fromkeys(paths):
        try:
            sources.append(_read(path))
        except FgvrError as error:
            refused.append(str(error))
    return sources


def _merge_into(into: Path, sources: list[_Source], merged: Merged, plugins: Host | None) -> None:
    """Bring the runs of one id to their place, and complete them where all is answered."""
    dataset, model, run = (sources[0].content[name] for name in ("dataset", "model", "run_id"))
    target = RunFolder.of(into, dataset, model, run)
    with lock(target.lock_file, f"merging {model} on {dataset}"):
        try:
            done = _merge_one(sources, target, merged.notes)
            if _is_answered(target) and _complete(plugins or host(), target, merged.notes):
                done = "completed"
            merged.done.add((target.path, done))
        except _Refused as error:
            merged.refused.append(error.message)
        except FileNotFoundError as error:  # whoever works on a run removes its parts once it is complete
            gone = f"{error.filename} was taken away while {model} on {dataset} was merged."
            merged.refused.append(f"{gone} Merge again.")


def _is_answered(target: RunFolder) -> bool:
    """Say whether a run is unfinished only because nobody has put its answers together."""
    source = _read(target.path)
    return not source.complete and bool(source.answers().done.all())


def _complete(plugins: Host, target: RunFolder, notes: list[str]) -> bool:
    """Put all answers in order and score them; a run whose protocol is not here stays as it is."""
    source = _read(target.path)
    content, labels = dict(source.content), tuple(source.content["labels"])
    try:
        task = task_of(plugins, content)
    except FgvrError as error:
        notes.append(f"{target.path} has all its answers, but cannot be scored here: {error}")
        return False
    scorer = Scorer(task, metrics_of(plugins, task))
    for line in write_canonical(source.answers(), target.responses_file):
        scorer.add_line(line, labels)
    notes += scorer.problems
    complete_run(target, content, scorer)
    return True


class _Refused(FgvrError):
    """This run is left out; the others are merged."""


def _read(path: Path) -> _Source:
    """Read a run and make sure that it is whole.

    Raises:
        FgvrError: it is not; says what is wrong.
    """
    folder = RunFolder(path)
    content = _content(folder)
    if content["complete"]:
        check_responses(folder, content)
    return _Source(folder, content)


def _content(folder: RunFolder) -> Mapping[str, Any]:
    """Return a ``run.json`` that is as it was written.

    Raises:
        FgvrError: it is not; says what is wrong.
    """
    try:
        content = folder.read_run() or {}
        check_identity(folder, content)
        return content
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise FgvrError(f"{folder.run_file} is damaged ({type(error).__name__}: {error}).") from error


def _merge_one(sources: list[_Source], target: RunFolder, notes: list[str]) -> str:
    """Bring the runs of one id to `target`, whose lock is held; say what was done."""
    others = [source for source in sources if source.folder.path.resolve() != target.path.resolve()]
    there: list[_Source] = []
    if target.run_file.exists():
        try:
            there = [_read(target.path)]
        except FgvrError as error:
            raise _Refused(f"{error} {others[0].folder.path if others else target.path} was not merged.") from error
    everything = there + others
    for one, other in combinations(everything, 2):
        _check_agree(one, other)
    whole = [source for source in everything if source.complete]
    done = _take_whole(whole[0], target, bool(there)) if whole else _join(everything, target, bool(there))
    _note_figures(whole, notes)
    for source in others:
        _add_executions(source.folder, target)
    return done


def _check_agree(one: _Source, other: _Source) -> None:
    """Make sure that what both answered, they answered alike.

    Raises:
        _Refused: they did not; names the first question.
    """
    if one.complete and other.complete and one.content["responses_sha256"] == other.content["responses_sha256"]:
        return
    if not (one.complete or other.complete):
        differing = [name for name in SAME_WAY if one.content.get(name) != other.content.get(name)]
        if differing:
            said = ", ".join(f"{name} {one.content.get(name)} and {other.content.get(name)}" for name in differing)
            raise _Refused(
                f"{one.folder.path} and {other.folder.path} are unfinished and were asked in different batches "
                f"({said}); neither was merged.",
                hint="Finish one of them: type its run command again.",
            )
    unlike = next((mine for mine, theirs in _common(one, other) if mine != theirs), None)
    if unlike is not None or (one.complete and other.complete):
        first = f", first to {json.loads(unlike)['question_id']}" if unlike else ""
        raise _Refused(
            f"{one.folder.path} and {other.folder.path} claim the id {one.content['run_id']} with different answers"
            f"{first}; neither was merged.",
            hint="Keep them in two folders: where their machine.json name different versions, a board shows both.",
        )


def _common(one: _Source, other: _Source) -> Iterator[tuple[bytes, bytes]]:
    """Yield the lines of the questions that both answered, in canonical order."""
    if one.complete and other.complete:
        with open(one.folder.responses_file, "rb") as mine, open(other.folder.responses_file, "rb") as theirs:
            yield from zip(mine, theirs, strict=False)
    elif one.complete or other.complete:
        whole, part = (one, other) if one.complete else (other, one)
        answers = part.answers()
        with open(whole.folder.responses_file, "rb") as file:
            lines = (line for line, done in zip(file, answers.done.tolist(), strict=False) if done)
            yield from zip(lines, answers.lines(answers.done.nonzero()[0].tolist()), strict=False)
    else:
        mine_too, theirs_too = one.answers(), other.answers()
        both = (mine_too.done & theirs_too.done).nonzero()[0].tolist()
        yield from zip(mine_too.lines(both), theirs_too.lines(both), strict=True)


def _take_whole(source: _Source, target: RunFolder, there: bool) -> str:
    if source.folder.path.resolve() == target.path.resolve():
        return "there already"
    for file, copy in (
        (source.folder.responses_file, target.responses_file),
        (source.folder.run_file, target.run_file),  # last: a run file that says complete has its responses
    ):
        with open(file, "rb") as old, atomic_writer(copy) as new:
            shutil.copyfileobj(old, new, 1 << 20)
    remove_leftovers(target.path, target.parts)
    return "completed" if there else "copied"


def _join(sources: list[_Source], target: RunFolder, there: bool) -> str:
    """Bring the parts of unfinished runs together; a part that adds no answer is left out."""
    if not there:
        target.write_run(sources[0].content)
    answered = _Source(target, sources[0].content).answers().done
    added = 0
    for source in sources:
        if source.folder.path.resolve() == target.path.resolve():
            continue
        answers = source.answers()
        if not (answers.done & ~answered).any():
            continue
        for path in answers.paths:
            _copy_part(path, target.parts)
        answered |= answers.done
        added += 1
    if there:
        return "joined" if added else "there already"
    return "joined" if added > 1 else "copied"


def _copy_part(path: Path, parts: Path) -> None:
    numbers = [int(each.stem) for each in parts.glob("*.jsonl") if each.stem.isdigit()]
    with open(path, "rb") as old, atomic_writer(parts / f"{max(numbers, default=-1) + 1}.jsonl") as new:
        shutil.copyfileobj(old, new, 1 << 20)


def _note_figures(whole: list[_Source], notes: list[str]) -> None:
    """Say where copies of one run state other figures; those of the first are kept."""
    notes += [
        f"{source.folder.path} states other figures than {whole[0].folder.path} for the same answers (scored by "
        f"{source.content.get('scored_by')} and {whole[0].content.get('scored_by')}); the latter's were kept."
        for source in whole[1:]
        if source.content["metrics"] != whole[0].content["metrics"]
    ]


def _add_executions(source: RunFolder, target: RunFolder) -> None:
    known = target.read_executions()
    for entry in source.read_executions():
        if entry not in known:
            target.add_execution(entry)
