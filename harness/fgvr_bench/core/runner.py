"""Running a model over a dataset: resume, ask, store, and at the end the canonical files.

::

    plan → open batches → worker processes → model → part on disk → events → responses.jsonl → run.json
"""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from fgvr_bench import __version__
from fgvr_bench.core.answering import UNSURE
from fgvr_bench.core.assembly import Assembly
from fgvr_bench.core.host import Host
from fgvr_bench.core.interrupts import ECHO, first_interrupt
from fgvr_bench.core.likeness import likeness_of
from fgvr_bench.core.locks import lock
from fgvr_bench.core.order import BatchPlan, OpenBatches, plan_batches
from fgvr_bench.core.parts import PartWriter, StoredAnswers, remove_leftovers, write_canonical
from fgvr_bench.core.ranks import launched
from fgvr_bench.core.recording import Recorder
from fgvr_bench.core.results import run_result
from fgvr_bench.core.run_folder import RunFolder, describe_machine, file_digest
from fgvr_bench.core.scoring import Scorer, metrics_of
from fgvr_bench.core.shelf import Shelf
from fgvr_bench.core.versions import changes
from fgvr_bench.core.watching import Watcher
from fgvr_bench.core.workforce import Workforce, one_process
from fgvr_bench.errors import FgvrError, OutOfMemory, Stopped
from fgvr_bench.interfaces import RunInfo, RunResult

if TYPE_CHECKING:
    from fgvr_bench.core.ranked import Shared


def complete_run(folder: RunFolder, content: dict[str, Any], scorer: Scorer) -> None:
    """Write the figures of a run whose ``responses.jsonl`` stands, and remove its parts.

    Args:
        folder: of the run.
        content: its ``run.json``; the figures are put into it.
        scorer: has seen every response.
    """
    content |= {
        "complete": True,
        "failed": scorer.failed,
        "metrics": scorer.results(),
        "positions": scorer.positions,
        "scored_by": __version__,
        "responses_sha256": file_digest(folder.responses_file),
    }
    folder.write_run(content)
    remove_leftovers(folder.path, folder.parts)


def execute(
    host: Host, assembly: Assembly, watcher: Watcher, shelf: Shelf | None = None, shared: Shared | None = None
) -> RunResult:
    """Run to the end, or on from where an earlier execution stopped; a complete run is returned as it is.

    With a `shelf` the model is taken from there, if it is the same, and left there for the next run.  `shared` says
    with which other ranks the work is shared.

    Raises:
        Stopped: at the user's request; everything answered is on disk.
        FgvrError: whatever keeps the run from ending; what is on disk stays.
    """
    folder = assembly.folder
    what = f"running {assembly.model_name} on {assembly.dataset_name}"
    with lock(folder.lock_file, what, waiting=watcher.note):
        stored = None if assembly.settings.fresh else folder.read_run()
        if stored is not None and stored["inputs"] != assembly.inputs:
            raise FgvrError(f"{folder.run_file} is of another run: its inputs differ.", hint="Start over with --fresh.")
        if stored is not None and stored["complete"] and folder.responses_file.exists():
            remove_leftovers(folder.path, folder.parts)
            watcher.note(f"{what}: complete already, nothing to ask (--fresh asks again)")
            limit, count = assembly.settings.limit, stored["questions"]
            if limit is not None and limit < count:
                watcher.note(f"{what}: --limit {limit:,} has no effect, the figures are those of all {count:,} answers")
            return run_result(folder.path, stored)
        return _Execution(host, assembly, watcher, stored, shelf, shared).run()


class _Execution:
    """One execution of one run, under the run's lock."""

    def __init__(
        self,
        host: Host,
        assembly: Assembly,
        watcher: Watcher,
        stored: dict[str, Any] | None,
        shelf: Shelf | None,
        shared: Shared | None,
    ) -> None:
        self.host, self.assembly, self.watcher, self.shelf, self.shared = host, assembly, watcher, shelf, shared
        self.folder, self.book, self.settings = assembly.folder, assembly.book, assembly.settings
        self.content: dict[str, Any] = stored or {}
        self.answers = StoredAnswers(self.folder.parts, len(self.book), self.content.get("plan"), assembly.labels)
        self.limit = min(self.settings.limit or len(self.book), len(self.book))
        self.target = self.limit
        """Questions that will have been answered at the end."""
        self.answered_before = int(self.answers.done.sum())
        self.started = time.monotonic()
        self.told = False
        self._likeness: Any = None

    def run(self) -> RunResult:
        self._check_versions()
        plan = self._plan(self.content["batch_size"], self.content.get("alike", False)) if self.content else None
        if plan is not None and plan.digest() != self.content["plan"]:
            raise FgvrError(
                f"{self.folder.run_file} was begun with another plan of batches.", hint="Start over with --fresh."
            )
        if plan is None or self._open(plan):
            plan = self._ask(plan)
        return self._finish(plan)

    def _open(self, plan: BatchPlan) -> OpenBatches:
        shard = self.settings.shard
        self.target = self.limit if shard is None else sum(map(len, plan.of_shard(self.limit, shard)))
        return plan.open_batches(self.answers.done, self.limit, shard)

    def _wanted(self, plan: BatchPlan) -> list[int]:
        """Return the numbers of the questions that this execution is about, rising."""
        shard = self.settings.shard
        if shard is None:
            return sorted(plan.order[: self.limit].tolist())
        return sorted(itertools.chain.from_iterable(plan.of_shard(self.limit, shard)))

    def _check_versions(self) -> None:
        """Refuse to mix answers of different library versions in one run unless told to."""
        if self.settings.resume_across or not self.answered_before:
            return
        for header in self.answers.headers:
            if differences := changes(header.get("versions", {}), self.assembly.versions):
                raise FgvrError(
                    f"{self.answered_before:,} answers of this run were given under other versions: "
                    f"{', '.join(differences)}.",
                    hint="Go on with --resume-across, or start over with --fresh.",
                )

    def _plan(self, batch_size: int, alike: bool) -> BatchPlan:
        if alike and self._likeness is None:
            self._likeness = likeness_of(self.book, self.watcher.progress)
        likeness = self._likeness if alike else None
        return plan_batches(self.book.examples, self.book.permutations, self.settings.seed, batch_size, likeness)

    def _ask(self, plan: BatchPlan | None) -> BatchPlan:
        """Load the model and ask all that is open; return the plan that was followed."""
        with self.watcher.progress(f"loading {self.assembly.model_name}", None):
            work = self._workforce()
        with contextlib.ExitStack() as stack:
            stack.callback(lambda: work.close())  # the one that is at work then
            stopping = stack.enter_context(first_interrupt(self._say_stopping, ECHO if launched() else 0.0))
            batch_size = plan.batch_size if plan else self.settings.batch_size or work.batch_size
            while True:
                plan = plan or self._plan(batch_size, work.alike)
                if not self.content:
                    self._write_start(plan, work)
                before = bool(self.answers.done.any())
                try:
                    self._ask_all(plan, work, stopping)
                except UNSURE as error:
                    if self.answers.done.any() and not before:  # the model does answer: now it is known to all
                        work = work.again()
                        continue
                    if not isinstance(error, OutOfMemory):
                        raise
                    batch_size = self._smaller(batch_size, error)
                    plan, self.content = None, {}
                    work = work.again()
                    continue
                return plan

    def _smaller(self, batch_size: int, error: OutOfMemory) -> int:
        """Return half the batch size, where the size is ours to choose and nothing was answered yet."""
        if self.settings.batch_size is None and batch_size > 1 and not self.answers.done.any():
            self.watcher.note(f"a batch of {batch_size} does not fit the memory; trying {batch_size // 2}")
            return batch_size // 2
        raise FgvrError(
            f"a batch of {batch_size} does not fit the memory: {error.message}",
            hint=f"Type the command again with --batch-size {max(1, batch_size // 2)} (a run of its own).",
        ) from error

    def _workforce(self) -> Workforce:
        if self.shared is None:
            return one_process(self.assembly, self.shelf)
        from fgvr_bench.core.ranked import SeveralRanks

        place = self.shared.ranks.place
        return SeveralRanks(self.assembly, self.shared, lambda: one_process(self.assembly, self.shelf, place))

    def _write_start(self, plan: BatchPlan, work: Workforce) -> None:
        card = self.assembly.plugin.card
        self.content = {
            "run_id": self.assembly.run_id,
            "model": self.assembly.model_name,
            "dataset": self.assembly.dataset_name,
            "inputs": self.assembly.inputs,
            "labels": list(self.assembly.labels),
            "questions": len(self.book),
            "batch_size": plan.batch_size,
            "alike": work.alike,
            "threads": work.threads,
            "plan": plan.digest(),
            "card": {
                "title": card.title,
                "exposure": card.exposure,
                "parameters": card.parameters,
                "licence": card.licence,
            },
            "facts": dict(work.facts),
            "complete": False,
            "failed": None,
            "metrics": None,
            "positions": {},
            "main_metric": self.book.task.metrics[0],
            "scored_by": None,
            "responses_sha256": None,
        }
        self.folder.clear()
        self.folder.write_run(self.content)

    def _ask_all(self, plan: BatchPlan, work: Workforce, stopping: Any) -> None:
        open_batches = self._open(plan)
        header = {"run_id": self.assembly.run_id, "versions": self.assembly.versions, "plan": plan.digest()}
        info = self._info()
        writer = PartWriter(self.folder.parts, header)
        recorder = Recorder(self.host, self.book, self.answers, writer, self.watcher)
        ended = False
        try:
            self.watcher.started(info, self.target)
            if not self.told:
                recorder.emit("run_started", run=info)
                self.told = True
            before = bool(self.answers.done.any())
            for answered in work.answers(open_batches, stopping, before, self.content["threads"]):
                recorder.record(answered)
            ended = True
        finally:
            try:
                recorder.close()
            finally:
                if not ended:
                    self.watcher.stopped()
                self._write_execution(recorder.recorded)
        if stopping():
            self.watcher.stopped()
            saved = int(self.answers.done.sum())
            raise Stopped(
                f"stopped as asked: {saved:,} of {self.target:,} answers are saved in {self.folder.path}.",
                hint="Type the same command again to go on.",
            )

    def _info(self) -> RunInfo:
        return RunInfo(
            run_id=self.assembly.run_id,
            model=self.assembly.model_name,
            dataset=self.assembly.dataset_name,
            folder=self.folder.path,
            questions=len(self.book),
            answered=int(self.answers.done.sum()),
            inputs=self.assembly.inputs,
        )

    def _say_stopping(self) -> None:
        self.watcher.note("stopping after the batch at hand; Ctrl-C again ends at once")

    def _write_execution(self, answered: int) -> None:
        seconds = time.monotonic() - self.started
        self.folder.add_execution(
            {
                **describe_machine(),
                "ended": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "seconds": round(seconds, 3),
                "answered": answered,
                "versions": self.assembly.versions,
                "processes": self.shared.ranks.place.count if self.shared else 1,
                "workers": self.settings.workers,
            }
        )

    def _finish(self, plan: BatchPlan) -> RunResult:
        """Score what was asked; write the canonical files if that is all."""
        scorer = Scorer(self.book.task, metrics_of(self.host, self.book.task))
        complete = self.target == len(self.book)
        for line in self._final_lines(plan, complete):
            scorer.add_line(line, self.assembly.labels)
        metrics = scorer.results()
        for problem in scorer.problems:
            self.watcher.note(problem)
        if complete:
            complete_run(self.folder, self.content, scorer)
        counts = {"complete": complete, "questions": scorer.answered, "failed": scorer.failed, "metrics": metrics}
        result = run_result(self.folder.path, {**self.content, **counts})
        self.watcher.finished(result)
        Recorder.emit_to(self.host, self.watcher, "run_finished", result=result)
        return result

    def _final_lines(self, plan: BatchPlan, complete: bool) -> Iterator[bytes]:
        if complete:
            return write_canonical(self.answers, self.folder.responses_file)
        return self.answers.lines(self._wanted(plan))
