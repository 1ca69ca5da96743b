"""One GPU against several of one machine: evaluation, mining and stage I, and where the rest of the time goes.

    python benchmarks/two_gpus.py                        # two GPUs, within eight minutes
    python benchmarks/two_gpus.py --gpus 8 --only evaluation
    python benchmarks/two_gpus.py --tiny                 # processors and gloo, to try the script

Each part runs as a user runs it, under torchrun, with one process and then with one a GPU, on the same files:

* ``evaluation``: Idefics2-8B's shape with random weights (`evaluation.py` says what is asked), ``logprob``, batches
  of 64.  A first run over other pictures loads and compiles; the second is timed from its first order to its last
  answer on disk, the wait for the slowest rank included.
* ``mining``: ViT-L-14, trained for some steps on drawn pictures, so that similarities spread; timed from
  nothing to the set on disk, with the loading of the model.
* ``training``: stage I on accelerate, LoRA on Idefics2-8B's shape, negatives gathered over ranks; whole steps.

The machine's cores are shared by its processes.  From a checkout that is not installed:
PYTHONPATH=harness:plugins/models:plugins/datasets:finedefics/src.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tabulate import tabulate

from fgvr_bench.core.ahead import cores
from fgvr_bench.core.ranks import join_launched, launched
from fgvr_bench.core.watching import Watcher

PARTS = ("evaluation", "training", "mining")
COPIES = 4
"""How often mining sees each of its pictures, under other names."""


@dataclass(frozen=True)
class Size:
    """How much is done."""

    shape: str
    questions: int
    batch: int
    warm_batches: int
    arch: str
    pictures: int
    clip_steps: int
    samples: int
    steps: int


FULL = Size("idefics2-8b", 6144, 64, 8, "ViT-L-14", 8192, 120, 8, 12)
TINY = Size("idefics2-tiny", 24, 2, 2, "tiny", 80, 2, 2, 2)


@dataclass
class Spans:
    """When this process worked on something: begin and end of each piece, and how much it was."""

    pieces: list[tuple[float, float, int]] = field(default_factory=list)

    def note(self, began: float, count: int) -> None:
        """Note a piece that ends now."""
        self.pieces.append((began, time.time(), count))

    def write(self, path: Path) -> None:
        """Leave them for who puts the table together."""
        path.write_text(json.dumps(self.pieces))


class Timed(Watcher):
    """Notes when the last run began to ask, and when its last answer was on disk."""

    def __init__(self) -> None:
        self.began = self.ended = 0.0

    def started(self, run: Any, target: int) -> None:
        self.began = time.time()

    def advanced(self, answered: int, judged: int, correct: int) -> None:
        self.ended = time.time()


def rank() -> int:
    """Return which process this is."""
    return int(os.environ.get("RANK", "0"))


def device(tiny: bool) -> str:
    """Return the device of this process."""
    return "cpu" if tiny else f"cuda:{os.environ.get('LOCAL_RANK', '0')}"


# The parts, in each of the processes.


def evaluation(work: Path, size: Size, tiny: bool, out: Path) -> None:
    """Evaluate with random weights: a run that warms up, then the one that is timed."""
    import evaluation as bench
    import torch
    from transformers import AutoConfig, AutoTokenizer

    from fgvr_bench.core.assisting import Assistant
    from fgvr_bench.core.evaluate import evaluate_all
    from fgvr_bench.core.experiment import Asked
    from fgvr_bench.core.host import host
    from fgvr_bench.core.settings import RunSettings
    from fgvr_bench.engines.huggingface import model as engine

    checkpoint = work / "checkpoint"
    config, words = AutoConfig.from_pretrained(checkpoint), AutoTokenizer.from_pretrained(checkpoint)

    def make(_: Any) -> Any:
        made = bench.build(config, device(tiny), torch.float32 if tiny else torch.bfloat16)
        bench.force(made, words.convert_tokens_to_ids("B"), words.eos_token_id)
        return made

    spans, respond = Spans(), engine.HuggingFaceModel.respond

    def noted(self: Any, prompts: Any, batch: Any) -> Any:
        began = time.time()
        found = respond(self, prompts, batch)
        spans.note(began, len(prompts))
        return found

    engine.load_weights, engine.HuggingFaceModel.respond = make, noted  # type: ignore[method-assign]
    place = launched()
    settings = RunSettings(
        options="random",
        checkpoint=str(checkpoint),
        decoding="logprob",
        batch_size=size.batch,
        device="cpu" if tiny else "auto",
        dtype="float32" if tiny else "bfloat16",
        results_dir=out.with_suffix(".results"),
        num_processes=None if place is None else "launched",
    )
    model = [Asked(bench.SHAPES[size.shape].plugin)]
    warm = f"warm-{1 if place is None else place.count}"
    datasets = [Asked(f"folder:{work / name}") for name in (warm, "pictures")]
    if place is not None and place.rank:
        Assistant(join_launched(place), host(), model, datasets, settings).serve()
    else:
        timed = Timed()
        done = evaluate_all(host(), model, datasets, settings, timed)
        for error in done.errors:
            raise error
        result = done.results[-1]
        digest = hashlib.sha256((result.folder / "responses.jsonl").read_bytes()).hexdigest()
        figures = {"began": timed.began, "ended": timed.ended, "count": result.questions, "digest": digest}
        out.write_text(json.dumps(figures))
    spans.write(out.with_suffix(f".{rank()}.spans"))


def mining(work: Path, size: Size, tiny: bool, out: Path) -> None:
    """Mine the options of drawn pictures."""
    import mining as bench

    from fgvr_bench.core.assisting import Assistant
    from fgvr_bench.core.digest import dataset_digest
    from fgvr_bench.core.host import host
    from fgvr_bench.core.launching import ranks_for
    from fgvr_bench.core.options import find_or_build
    from fgvr_bench.core.ranks import leading
    from fgvr_bench.core.settings import RunSettings
    from fgvr_bench.engines.open_clip import load_open_clip
    from fgvr_bench.interfaces import MiningSettings
    from fgvr_bench.miners.encoder import Encoder

    name = f"folder:{work / 'mined'}"
    plugin, argument = host().datasets.find(name)
    dataset = plugin.open([], argument)
    place, spans, begin = launched(), Spans(), Encoder.begin
    model = work / "clip"
    if not model.exists():
        bench.save_model(model, size.arch, dataset, size.clip_steps, device(tiny))  # type: ignore[arg-type]

    def noted(self: Encoder, pixels: Any) -> Any:
        began = time.time()
        found = begin(self, pixels)
        spans.note(began, len(pixels))
        return found

    Encoder.begin = noted  # type: ignore[method-assign]
    os.environ["FGVR_CACHE"] = str(out.with_suffix(".cache"))
    load_open_clip(str(model), device(tiny))  # what is imported and set up once a process is not what is measured
    spans.pieces.clear()
    if place is not None and place.rank:
        Assistant(join_launched(place), host(), [], [], RunSettings(num_processes="launched")).serve()
    else:
        ranks = ranks_for([], [], RunSettings(num_processes=None if place is None else "launched"))
        with leading(ranks):
            digest = dataset_digest(dataset, "test")
            phases, began = bench.Phases(), time.time()
            made = find_or_build(
                dataset,
                "test",
                "clip",
                MiningSettings(
                    device="cpu" if tiny else "auto",
                    args={"model": str(model), **({"precision": "fast"} if tiny else {})},
                    dataset_name=name,
                ),
                dataset_digest=digest,
                progress=phases.watch,
            )
        ended = time.time()
        figures = {
            "began": began,
            "ended": ended,
            "count": len(made),
            "digest": made.digest,
            "phases": [phases.first - phases.began, phases.last - phases.first],
            "in_doubt": made.header.get("found", {}).get("fast_pass", {}).get("in_doubt"),
        }
        out.write_text(json.dumps(figures))
    spans.write(out.with_suffix(f".{rank()}.spans"))


def training(work: Path, size: Size, tiny: bool, out: Path) -> None:
    """Take steps of stage I, on accelerate, as `finedefics align` does."""
    import training_shape as bench

    bench.torchvision_ops.ensure()
    import torch
    from accelerate import Accelerator
    from finedefics.modules import StageModule
    from finedefics.objective import Temperatures, Weights
    from finedefics.speed import compile_layers

    accelerator = Accelerator(cpu=tiny)
    place, dtype = accelerator.device, torch.float32 if tiny else torch.bfloat16
    adapted = bench.with_adapters(bench.random_model(tiny, place, dtype), place, dtype)
    if not tiny:
        compile_layers(adapted)
    module: Any = StageModule(adapted, Temperatures(), "paper", Weights()).to(place)
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    module, optimiser = accelerator.prepare(module, torch.optim.AdamW(trained, lr=0.0, fused=not tiny))
    shape = bench.TINY if tiny else bench.FULL
    batch = bench.make_batch(bench.configuration(tiny), shape, size.samples, place, dtype, "paper", "one")

    def wait() -> None:
        if place.type == "cuda":
            torch.cuda.synchronize(place)

    def step(apart: bool) -> float:
        """Take a step, and return its seconds; ``apart`` keeps each process's gradients to itself."""
        wait()
        accelerator.wait_for_everyone()
        began = time.perf_counter()
        with accelerator.no_sync(module) if apart else accelerator.accumulate(module):
            accelerator.backward(module(batch)["total"])
        optimiser.step()
        optimiser.zero_grad()
        wait()
        return time.perf_counter() - began

    for _ in range(3):
        step(False)
    seconds, apart = ([step(way) for _ in range(size.steps)] for way in (False, True))
    wait()
    accelerator.wait_for_everyone()
    began = time.time()
    for _ in range(size.steps):
        accelerator.backward(module(batch)["total"])
        optimiser.step()
        optimiser.zero_grad()
    wait()
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        figures = {
            "began": began,
            "ended": time.time(),
            "count": size.steps * size.samples * accelerator.num_processes,
            "step": float(np.median(seconds)),
            "apart": float(np.median(apart)),
        }
        out.write_text(json.dumps(figures))
    accelerator.end_training()


# Putting them together.


@dataclass
class Outcome:
    """One part with a number of processes."""

    figures: Mapping[str, Any]
    spans: list[list[tuple[float, float, int]]]
    """Of each rank, those of the run that was timed."""

    @property
    def seconds(self) -> float:
        return float(self.figures["ended"] - self.figures["began"])

    @property
    def rate(self) -> float:
        return float(self.figures["count"] / self.seconds)

    def of_rank(self, number: int) -> str:
        """Say what a rank did with the time."""
        pieces = self.spans[number]
        if not pieces:
            return f"rank {number}: nothing"
        busy, until = 0.0, 0.0
        for begin, end, _ in pieces:  # in the order of their ends; two may be under way at once
            busy += max(0.0, end - max(begin, until))
            until = max(until, end)
        first, last = min(piece[0] for piece in pieces) - self.figures["began"], self.figures["ended"] - until
        between = self.seconds - busy - first - last
        count = sum(count for _, _, count in pieces)
        return (
            f"rank {number}: {count:,} in {len(pieces)} batches; {busy:.2f} s at work "
            f"({1000 * busy / count:.2f} ms each), {first:.2f} s before the first, {between:.2f} s between, "
            f"{last:.2f} s after the last"
        )


@dataclass
class Bench:
    """What is measured, and when it has to be over."""

    given: argparse.Namespace
    size: Size
    work: Path
    ends: float
    outcomes: dict[tuple[str, int], Outcome] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def run(self, part: str, count: int) -> None:
        """Run a part with so many processes; tell what fails, and go on."""
        out, left = self.work / f"{part}-{count}.json", self.ends - time.time()
        if left < 20:
            self.failed[f"{part}, {count}"] = "left out: no time"
            return
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
        command += [__file__, "--part", part, "--out", str(out), "--work", str(self.work)]
        command += ["--tiny"] * self.given.tiny
        environment = {**os.environ, "NCCL_NVLS_ENABLE": os.environ.get("NCCL_NVLS_ENABLE", "0")}
        environment.setdefault("OMP_NUM_THREADS", "1")
        began = time.time()
        try:
            log = out.with_suffix(".log")
            with open(log, "w") as file:
                status = subprocess.run(command, env=environment, stdout=file, stderr=file, timeout=left).returncode
        except subprocess.TimeoutExpired:
            status = -1
        if status or not out.exists():
            tail = "\n".join(log.read_text().splitlines()[-40:])
            print(f"{part} with {count} failed ({status}):\n{tail}", flush=True)
            self.failed[f"{part}, {count}"] = f"exit status {status}"
            return
        figures = json.loads(out.read_text())
        spans = [json.loads(path.read_text()) for path in sorted(self.work.glob(f"{part}-{count}.*.spans"))]
        timed = [[piece for piece in each if piece[0] >= figures["began"]] for each in spans]
        outcome = self.outcomes[part, count] = Outcome(figures, timed)
        print(
            f"{part}, {count} of {self.given.gpus}: {outcome.rate:,.1f}/s over {outcome.seconds:.1f} s "
            f"({time.time() - began:.0f} s in all)",
            flush=True,
        )
        for number in range(len(outcome.spans)):
            print(f"   {outcome.of_rank(number)}", flush=True)
        if part == "mining":
            first, passed = figures["phases"]
            print(
                f"   {first:.1f} s until the first batch is embedded, {passed:.1f} s for the other batches, "
                f"{outcome.seconds - first - passed:.1f} s for what is in doubt ({figures['in_doubt']}) and for writing"
            )
        if part == "training":
            print(f"   a step {1000 * figures['step']:.1f} ms, gradients kept apart {1000 * figures['apart']:.1f} ms")

    def table(self) -> str:
        """Return the rates, and the gain."""
        many, rows = self.given.gpus, []
        for part in PARTS:
            one, all_of_them = self.outcomes.get((part, 1)), self.outcomes.get((part, many))
            if one is None and all_of_them is None:
                continue
            gain = f"{all_of_them.rate / one.rate:.2f}" if one and all_of_them else ""
            same = ""
            if one and all_of_them and "digest" in one.figures:
                same = "yes" if one.figures["digest"] == all_of_them.figures["digest"] else "NO"
            rates = [f"{each.rate:,.1f}" if each else "" for each in (one, all_of_them)]
            rows.append((f"{part}, {UNITS[part]}", *rates, gain, same))
        return tabulate(rows, ["", "one", str(many), "×", "same result"], tablefmt="github", disable_numparse=True)


UNITS = {"evaluation": "questions/s", "training": "samples/s", "mining": "images/s"}


def prepare(work: Path, size: Size, gpus: int, parts: Sequence[str]) -> None:
    """Draw the pictures, and save what models are made of."""
    import evaluation as bench
    import mining as drawn

    if "evaluation" in parts:
        (work / "checkpoint").mkdir()
        bench.SHAPES[size.shape].make(work / "checkpoint")
        (work / "checkpoint" / "model.safetensors").write_bytes(b"")
        paths = sorted(bench.draw(work / "pictures", size.questions).rglob("*.jpg"))
        np.random.default_rng(0).shuffle(paths)
        for count in {1, gpus}:
            for path in paths[: size.warm_batches * size.batch * count]:
                link(path, work / f"warm-{count}" / path.relative_to(work / "pictures"))
    if "mining" in parts:
        places = [work / "mined" / "test" / drawn.LABELS[i % len(drawn.LABELS)] for i in range(size.pictures)]
        for place in set(places):
            place.mkdir(parents=True)
        paths = [place / f"{i:06}-0.jpg" for i, place in enumerate(places)]
        with ProcessPoolExecutor(cores()) as pool:
            list(pool.map(drawn.draw_one, paths, range(size.pictures), [500] * size.pictures, chunksize=32))
        for path in paths:
            for copy in range(1, COPIES):
                link(path, path.with_name(path.name.replace("-0.", f"-{copy}.")))


def link(path: Path, other: Path) -> None:
    """Let a file go by another name too."""
    other.parent.mkdir(parents=True, exist_ok=True)
    os.link(path, other)


@contextmanager
def folder(given: Path | None) -> Iterator[Path]:
    """Yield the folder to work in: a new one, unless one is given."""
    if given is not None:
        yield given
        return
    with tempfile.TemporaryDirectory() as made:
        yield Path(made)


def main() -> None:
    """Measure all parts, or be one of the processes of one."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--gpus", type=int, default=2)
    parser.add_argument("--tiny", action="store_true", help="tiny models on processors")
    parser.add_argument("--only", default=",".join(PARTS), help=f"parts, of {', '.join(PARTS)}")
    parser.add_argument("--seconds", type=float, default=460.0, help="nothing goes on after this time")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    size = TINY if given.tiny else FULL
    if given.part:
        parts: dict[str, Callable[..., None]] = {"evaluation": evaluation, "mining": mining, "training": training}
        parts[given.part](given.work, size, given.tiny, given.out)
        return
    began = time.time()
    wanted = given.only.split(",")
    with folder(given.work) as work:
        bench = Bench(given, size, work, began + given.seconds)
        prepare(work, size, given.gpus, wanted)
        print(f"{describe(given.tiny)}; pictures drawn after {time.time() - began:.0f} s", flush=True)
        for part in PARTS:
            for count in (1, given.gpus) if part in wanted else ():
                bench.run(part, count)
        print(f"\n{bench.table()}\n")
    for what, why in bench.failed.items():
        print(f"not measured: {what}: {why}")
    print(f"all in {time.time() - began:.0f} s")


def describe(tiny: bool) -> str:
    """Name the machine and the versions."""
    import torch
    import transformers

    gpus = [] if tiny else [torch.cuda.get_device_name(each) for each in range(torch.cuda.device_count())]
    return f"{', '.join(gpus) or 'processors'}, {cores()} cores, torch {torch.__version__}, {transformers.__version__}"


if __name__ == "__main__":
    main()
