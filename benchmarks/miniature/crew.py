"""Who tunes and measures: a bench with base model and questions, and many processes that each have one."""

from __future__ import annotations

import argparse
import os
import time
import traceback
from collections.abc import Iterator, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import Any

from benchmarks.miniature import images
from benchmarks.miniature.arms import BOTH
from benchmarks.miniature.compare import EVERY, IN_FOUR_BITS, Books, Job, described, said
from benchmarks.miniature.material import Wish, rows_for

from fgvr_bench.core.options import resolve
from fgvr_bench.interfaces import MiningSettings
from fgvr_datasets.moth_24 import Moth24

PATIENCE = 3
"""Failures in a row after which a worker is let go; another takes up its jobs."""

Done = Set[tuple[str, str, int, int]]


class Bench:
    """The base model on a device, questions about each split, and rows prepared already."""

    def __init__(self, settings: argparse.Namespace, device: str) -> None:
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        from benchmarks.miniature import architecture, base
        from transformers import AutoTokenizer

        self.settings, self.device = settings, device
        self.processor = architecture.make_processor(AutoTokenizer.from_pretrained(settings.base))
        self.model = base.load(settings.base, device)
        self._exams: dict[str, Any] = {}
        self._prepared: tuple[Wish, Any] | None = None

    def exam(self, split: str) -> Any:
        """Return the questions about a split."""
        if split not in self._exams:
            from benchmarks.miniature.exam import Exam

            pixels, examples = images.named(split, self.settings.per_species, 1, self.settings.cache)
            self._exams[split] = Exam(examples, pixels, self.processor.tokenizer, self.device)
        return self._exams[split]

    def carry_out(self, job: Job, done: Done = frozenset()) -> Iterator[tuple[str, dict[str, Any]]]:
        """Tune a copy of the base model as a job has it, and measure it; yield a record a split and form of it."""
        from benchmarks.miniature import base

        if not job.shots:
            model = self.model if job.arm.name != IN_FOUR_BITS else self._in_four_bits()
            for split in job.splits:
                if (split, *job.key) not in done:
                    facts = {"device": base.device_name(self.device)} if job.arm.name == IN_FOUR_BITS else {}
                    yield split, {"arm": job.arm.name, "shots": 0, "seed": 0, **self._measured(model, split), **facts}
            return
        tuned = self._tuned(job)
        forms = {job.arm.name: tuned.model, **{f"{job.arm.name}, {name}": m for name, m in tuned.others.items()}}
        for name, model in forms.items():
            for split in job.splits:
                yield (
                    split,
                    {
                        "arm": name,
                        "shots": job.shots,
                        "seed": job.seed,
                        **self._measured(model, split),
                        "parameters": sum(parameter.numel() for parameter in model.parameters()),
                        "losses": tuned.losses,
                        **described(job, self.settings),
                        "device": base.device_name(self.device),
                        "seconds": round(tuned.seconds, 1),
                    },
                )
        if self.settings.keep is not None and job.arm == BOTH:
            base.save(tuned.model, self.processor, self.settings.keep / f"{job.shots}-{job.seed}")

    def _tuned(self, job: Job) -> Any:
        from benchmarks.miniature.arms import tune_arm, tune_in_four_bits
        from finedefics.joining import RowCache

        wish = job.arm.wished(job.shots, job.seed)
        if self._prepared is None or self._prepared[0] != wish:
            self._prepared = wish, RowCache()  # a GPU has better to do than to join many small tensors
        rows, cache, steps = rows_for(wish, self.settings.rows), self._prepared[1], self.settings.steps
        given = (job.seed, steps, self.device, cache)
        if job.arm.method == "qlora":
            return tune_in_four_bits(job.arm, rows, self.settings.base, self.processor, *given)
        return tune_arm(job.arm, rows, self.model, self.processor, *given)

    def _in_four_bits(self) -> Any:
        from finedefics.loading import four_bits, load_weights

        more = {"quantization_config": four_bits("float32"), "device_map": {"": self.device}}
        return load_weights(str(self.settings.base), "float32", **more).eval()

    def _measured(self, model: Any, split: str) -> dict[str, Any]:
        """Return what a model gets right: of siblings each question, of the rest how many of how many."""
        from benchmarks.miniature.alignment import alignment

        exam, every = self.exam(split), EVERY if split == "test" else 1
        papers = {"genera": (exam.genera, False), "blind": (exam.siblings, True)}
        if split == "test":
            papers |= {"mined": (exam.mined, False), "mined_blind": (exam.mined, True)}
        counts = {name: exam.right(model, paper, blind, every) for name, (paper, blind) in papers.items()}
        siblings = exam.right(model, exam.siblings)
        return {
            "asked": len(siblings),
            "siblings": "".join("01"[right] for right in siblings),
            **{name: [sum(found), len(found)] for name, found in counts.items()},
            "aligned": alignment(model, exam, every),
        }


class Queue:
    """Jobs that wait, handed out in their order, with regard to who asks.

    A worker gets jobs of the rows that it has prepared already, then such as nobody is at work on the rows of; each
    kind first from the suites that its device is better at.  A job that failed is tried once more, by another kind of
    device if one comes for it.
    """

    def __init__(self, jobs: Sequence[Job]) -> None:
        self.waiting = list(jobs)
        self._rows: dict[Any, Wish] = {}
        self._failed: list[tuple[Job, str]] = []

    def next(self, worker: Any, device: str) -> Job | None:
        """Take a job for a worker; None where there are no more."""
        own = self._rows.pop(worker, None)
        others = set(self._rows.values())

        def order(job: Job) -> tuple[bool, bool, bool, bool]:
            rows = job.arm.wished(job.shots, job.seed)
            failed_here = (job, device) in self._failed
            return failed_here, job.on_gpu is not (device == "cuda"), rows != own, rows in others

        if not self.waiting:
            return None
        chosen = min(self.waiting, key=order)  # the first of those that come first
        self.waiting.remove(chosen)
        self._rows[worker] = chosen.arm.wished(chosen.shots, chosen.seed)
        return chosen

    def back(self, job: Job, device: str) -> bool:
        """Take back a job that failed on a device; return whether it will be tried again."""
        again = all(job != other for other, _ in self._failed)
        self._failed.append((job, device))
        if again:
            self.waiting.append(job)
        return again


@dataclass(slots=True)
class Worker:
    """A process of the crew, and how it fares."""

    process: Any
    device: str
    job: Job | None = None
    failures: int = 0
    """In a row."""


def work_through(jobs: Sequence[Job], settings: argparse.Namespace, books: Books) -> int:
    """Let many processes carry out jobs until all are done or time is up; return how many are not."""
    start, queue = time.time(), Queue(jobs)
    devices = ["cuda"] * settings.gpu_workers + ["cpu"] * settings.workers
    _prepare(jobs, settings, len(devices))
    crew = dict(_hired(device, settings) for device in devices[: len(jobs)])
    lost = 0

    def tell(words: str) -> None:
        print(f"{time.time() - start:.0f} s, {words}", flush=True)

    tell("pictures and choices are there")
    while crew:
        left = None if settings.minutes is None else max(0.0, start + 60 * settings.minutes - time.time())
        ready = wait(list(crew), timeout=left)
        if not ready or left == 0:
            break
        pipe: Any
        for pipe in ready:
            kind, told = _heard(pipe)
            if kind == "record":
                books[told[0]].add(told[1])
                tell(said(*told))
                continue
            worker = crew[pipe]
            job, worker.job = worker.job, None
            worker.failures = worker.failures + 1 if kind in {"failed", "gone"} else 0
            if worker.failures:
                lost += job is not None and not queue.back(job, worker.device)
                tell(f"{job.key if job else 'a worker'} failed on {worker.device}: {told}")
            if kind != "gone" and worker.failures < PATIENCE:
                worker.job = queue.next(pipe, worker.device)
            if worker.job is None:
                worker.process.terminate()
                del crew[pipe]
            else:
                with suppress(OSError):  # one that died meanwhile is heard of next
                    pipe.send((worker.job, books.done()))
    lost += len(queue.waiting) + sum(worker.job is not None for worker in crew.values())
    if lost:
        tell(f"{lost} models are not done")
    for worker in crew.values():
        worker.process.terminate()
    return lost


def _prepare(jobs: Sequence[Job], settings: argparse.Namespace, processes: int) -> None:
    """Draw what is asked about and mine its choices before there are workers that would wait for it."""
    for split in dict.fromkeys(split for job in jobs for split in job.splits):
        images.named(split, settings.per_species, processes, settings.cache)
        if split == "test":
            resolve(Moth24(), split, "clip", MiningSettings(device="cpu", workers=processes))


def _hired(device: str, settings: argparse.Namespace) -> tuple[Any, Worker]:
    """Start a worker; return our end of the pipe to it, and the worker."""
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs, settings, device), daemon=True)
    process.start()
    theirs.close()
    return ours, Worker(process, device)


def _heard(worker: Any) -> tuple[str, Any]:
    try:
        heard: tuple[str, Any] = worker.recv()
    except (EOFError, OSError):
        return "gone", "its process ended"
    return heard


def _work(pipe: Connection, settings: argparse.Namespace, device: str) -> None:
    """Carry out jobs that come through the pipe, until ended from outside."""
    os.environ.update(OMP_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false")
    if device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    import torch

    torch.set_num_threads(1)
    try:
        bench = Bench(settings, device)
        pipe.send(("ready", ""))
        while True:
            given = pipe.recv()
            try:
                for record in bench.carry_out(*given):
                    pipe.send(("record", record))
                pipe.send(("done", ""))
            except Exception:
                pipe.send(("failed", traceback.format_exc(limit=-4)))
    except Exception:
        pipe.send(("gone", traceback.format_exc(limit=-4)))
