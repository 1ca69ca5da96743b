"""Who tunes and measures: a bench with base model and questions, and many processes that each have one."""

from __future__ import annotations

import argparse
import os
import time
import traceback
from collections.abc import Iterator, Sequence, Set
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import Any

from benchmarks.miniature import images
from benchmarks.miniature.arms import BOTH
from benchmarks.miniature.compare import EVERY, IN_FOUR_BITS, Books, Job, described, said
from benchmarks.miniature.material import Wish, rows_for

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
            self._prepared = wish, RowCache(self.device)
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
    kind first from the suites that its device is better at.
    """

    def __init__(self, jobs: Sequence[Job]) -> None:
        self.waiting = list(jobs)
        self._rows: dict[Any, Wish] = {}

    def next(self, worker: Any, device: str) -> Job | None:
        """Take a job for a worker; None where there are no more."""
        own = self._rows.pop(worker, None)
        others = set(self._rows.values())

        def order(job: Job) -> tuple[bool, bool, bool]:
            rows = job.arm.wished(job.shots, job.seed)
            return job.on_gpu is not (device == "cuda"), rows != own, rows in others

        if not self.waiting:
            return None
        chosen = min(self.waiting, key=order)  # the first of those that come first
        self.waiting.remove(chosen)
        self._rows[worker] = chosen.arm.wished(chosen.shots, chosen.seed)
        return chosen


def work_through(jobs: Sequence[Job], settings: argparse.Namespace, books: Books) -> int:
    """Let many processes carry out jobs until all are done or time is up; return how many are not."""
    start, queue = time.time(), Queue(jobs)
    devices = ["cuda"] * settings.gpu_workers + ["cpu"] * settings.workers
    crew = dict(_hired(device, settings) for device in devices[: len(jobs)])
    busy: dict[Any, Job] = {}
    failed = 0

    def tell(words: str) -> None:
        print(f"{time.time() - start:.0f} s, {words}", flush=True)

    while crew:
        left = None if settings.minutes is None else max(0.0, start + 60 * settings.minutes - time.time())
        ready = wait(list(crew), timeout=left)
        if not ready or left == 0:
            tell(f"time is up: {len(busy) + len(queue.waiting)} models are not done")
            break
        for worker in ready:
            kind, told = _heard(worker)
            if kind == "record":
                books[told[0]].add(told[1])
                tell(said(*told))
                continue
            job = busy.pop(worker, None)
            if kind in {"failed", "gone"}:
                failed += job is not None
                tell(f"{job.key if job else 'a worker'} failed: {told}")
            following = None if kind == "gone" else queue.next(worker, crew[worker][1])
            if following is not None:
                busy[worker] = following
                worker.send((following, books.done()))
                continue
            if kind != "gone":
                worker.send(None)
            del crew[worker]
    for process, _ in crew.values():
        process.terminate()
    return failed + len(busy) + len(queue.waiting)


def _hired(device: str, settings: argparse.Namespace) -> tuple[Any, tuple[Any, str]]:
    """Start a worker; return our end of the pipe to it, the process and its device."""
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_work, args=(theirs, settings, device), daemon=True)
    process.start()
    theirs.close()
    return ours, (process, device)


def _heard(worker: Any) -> tuple[str, Any]:
    try:
        heard: tuple[str, Any] = worker.recv()
    except (EOFError, OSError):
        return "gone", "its process ended"
    return heard


def _work(pipe: Connection, settings: argparse.Namespace, device: str) -> None:
    """Carry out jobs that come through the pipe until there are no more."""
    os.environ.update(OMP_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false")
    if device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    os.nice(settings.nice)
    import torch

    torch.set_num_threads(1)
    try:
        bench = Bench(settings, device)
        pipe.send(("ready", ""))
        while (given := pipe.recv()) is not None:
            try:
                for record in bench.carry_out(*given):
                    pipe.send(("record", record))
                pipe.send(("done", ""))
            except Exception:
                pipe.send(("failed", traceback.format_exc(limit=-4)))
    except Exception:
        pipe.send(("gone", traceback.format_exc(limit=-4)))
