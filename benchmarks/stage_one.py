"""Training steps of both stages on one GPU, in one run: straightforward, packed, compiled, checkpointed, in 4 bits.

Idefics2-8B's shape with random weights (`training_shape.py` says what a sample is), adapters of rank 8 in bfloat16 on
the projections that the published recipe trains; with QLoRA the weights are in 4 bits (NF4, computed in bfloat16).
Stage I has the published loss (reading ``released``), stage II the recipe's (``paper``: answers only).

    python benchmarks/stage_one.py                       # one GPU, within four minutes
    python benchmarks/stage_one.py --only lora,largest   # some of it: lora, compiled, largest, checkpointed, qlora
    python benchmarks/stage_one.py --tiny                # a processor, a minute: that everything runs

Every part stands alone: what fails, or does not fit, is told and the others go on.  Losses and gradients of each way
are held against the straightforward step's; rates against the ceiling, a large matrix product in the same process.
From a checkout that is not installed: PYTHONPATH=harness:plugins/models:plugins/datasets:finedefics/src.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fgvr_bench.engines import torchvision_ops

torchvision_ops.ensure()
os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")

import torch  # noqa: E402
import transformers  # noqa: E402
from finedefics.objective import Reading  # noqa: E402
from finedefics.speed import compile_layers  # noqa: E402
from training_shape import (  # noqa: E402
    FULL,
    TINY,
    Step,
    make_batch,
    quantise,
    random_model,
    useful_flops,
    with_adapters,
)

PUBLISHED = 1.39
"""Samples a second of the published stage I step at 2 samples, LoRA without quantisation, on one H100 80 GB."""

READINGS: dict[str, Reading] = {"one": "released", "two": "paper"}
USUAL = {"one": 2, "two": 8}
"""Samples that a device takes at once, by the published recipe."""
USABLE = 0.965
"""Share of a GPU's memory that a batch is planned for."""
PARTS = ("lora", "compiled", "largest", "qlora", "checkpointed")
HEAD = ("stage", "step", "samples", "time", "samples/s", "× straight", "× published", "memory", "TFLOP/s", "of ceiling")


@dataclass(frozen=True, slots=True)
class Measured:
    """One line of the table."""

    stage: str
    what: str
    samples: int
    seconds: float
    """Median of the steps."""
    memory: float
    """Peak, in GiB."""
    flops: float
    """Useful floating-point operations of one sample."""

    @property
    def rate(self) -> float:
        return self.samples / self.seconds

    @property
    def achieved(self) -> float:
        """Useful floating-point operations a second."""
        return self.rate * self.flops


@dataclass
class Bench:
    """What is measured on, and what was found so far."""

    given: argparse.Namespace
    device: torch.device
    dtype: torch.dtype
    step: Step
    started: float
    limit: float = float("nan")
    """The ceiling, in floating-point operations a second."""
    lines: list[Measured] = field(default_factory=list)
    apart: dict[str, dict[str, float]] = field(default_factory=dict)
    """By way: the largest relative difference of a loss, and that of all gradients, from the straightforward step's."""
    failed: dict[str, str] = field(default_factory=dict)
    straight: dict[str, tuple[dict[str, float], dict[str, torch.Tensor]]] = field(default_factory=dict)
    """Losses and gradients of the straightforward step, by stage and weights."""

    @property
    def shape(self) -> Any:
        return TINY if self.given.tiny else FULL

    @property
    def config(self) -> Any:
        model: Any = self.step.model
        return model.config

    def passed(self) -> float:
        """Return the seconds since the script began."""
        return time.perf_counter() - self.started

    def batch(self, stage: str, samples: int) -> dict[str, torch.Tensor]:
        return make_batch(self.config, self.shape, samples, self.device, self.dtype, READINGS[stage], stage)

    @contextmanager
    def guarded(self, what: str) -> Iterator[None]:
        """Tell what fails in the block, and go on after it."""
        try:
            yield
        except torch.OutOfMemoryError:
            self.failed[what] = "does not fit"
        except Exception as error:
            self.failed[what] = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        if what in self.failed:
            print(f"   {what}: {self.failed[what]}", flush=True)
        self.step.zero_grad(set_to_none=True)
        self.step.train()
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def measure(self, stage: str, what: str, samples: int, packed: bool = True) -> Measured | None:
        """Measure whole training steps (forward, backward, AdamW); None where they fail or do not fit."""
        self.step.reading, self.step.packed = READINGS[stage], packed
        flops = useful_flops(self.config, self.shape, READINGS[stage], stage)
        found = len(self.lines)
        with self.guarded(f"stage {stage}, {what}, {samples} samples"):
            seconds, memory = self._timed_steps(self.batch(stage, samples))
            line = Measured(stage, what, samples, seconds, memory, flops)
            self.lines.append(line)
            print(
                f"{self.passed():>4.0f} s  stage {stage}  {what:<34}{samples:>4} samples {1000 * seconds:>9.1f} ms "
                f"{line.rate:>8.2f}/s {memory:>6.1f} GiB {line.achieved / self.limit:>7.1%}",
                flush=True,
            )
        return self.lines[-1] if len(self.lines) > found else None

    def _timed_steps(self, batch: Mapping[str, torch.Tensor]) -> tuple[float, float]:
        """Return the median time of a step, and the peak of memory in GiB."""
        trained = [parameter for parameter in self.step.parameters() if parameter.requires_grad]
        cuda = self.device.type == "cuda"
        # At a rate of 0 the optimiser does all its work and leaves the weights as they are, so that losses compare.
        optimiser = torch.optim.AdamW(trained, lr=0.0, weight_decay=0.0, fused=cuda)

        def step() -> None:
            self.step(batch).total.backward()
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)

        for _ in range(2):
            step()
        if cuda:
            torch.cuda.reset_peak_memory_stats(self.device)
        steps = self.given.steps
        seconds = sorted(timed(step, self.device) for _ in range(steps))[steps // 2]
        return seconds, torch.cuda.max_memory_allocated(self.device) / 2**30 if cuda else 0.0

    def compare(self, stage: str, what: str, samples: int, packed: bool, beside: str) -> None:
        """Hold losses and gradients against those of the straightforward step, which is the first that is given.

        Args:
            stage: ``one`` or ``two``.
            what: the way.
            samples: of the batch, the same for all.
            packed: whether it is packed.
            beside: names what is compared with one another.
        """
        self.step.reading, self.step.packed = READINGS[stage], packed
        with self.guarded(f"losses of stage {stage}, {what}"):
            losses = self.step(self.batch(stage, samples))
            losses.total.backward()
            values = {name: float(value) for name, value in losses.detached().items()}
            gradients = {
                name: parameter.grad.detach().to("cpu", torch.float32).flatten()
                for name, parameter in self.step.named_parameters()
                if parameter.grad is not None
            }
            if beside not in self.straight:
                self.straight[beside] = values, gradients
                return
            before, straight = self.straight[beside]
            squared = sum(float((straight[name] - gradients[name]).square().sum()) for name in straight)
            whole = sum(float(value.square().sum()) for value in straight.values())
            worst = max(abs(value - values[name]) / max(1.0, abs(value)) for name, value in before.items())
            self.apart[f"{beside}, {what}"] = {"losses": worst, "gradients": (squared / whole) ** 0.5}
            print(f"   {beside}, {what}: against the straightforward step")
            for name, value in before.items():
                print(f"      {name:<24}{value:>11.5f}{values[name]:>11.5f}{abs(value - values[name]):>10.1e}")
            print(f"      gradients of all adapters: relative distance {(squared / whole) ** 0.5:.1e}", flush=True)


def lora(bench: Bench) -> None:
    """Measure both stages uncompiled: straightforward and packed."""
    for stage, samples in counts(bench).items():
        for packed, what in ((False, "straightforward"), (True, "packed")):
            bench.compare(stage, what, samples, packed, f"stage {stage}")
            bench.measure(stage, what, samples, packed)


def compiled(bench: Bench) -> None:
    """Compile the layers; measure both stages at the recipe's samples."""
    if not bench.given.tiny:  # compiling takes longer than a try-out should
        with bench.guarded("compiling"):
            compile_layers(bench.step.model)
    for stage, samples in counts(bench).items():
        bench.measure(stage, "packed, compiled", samples)
        bench.compare(stage, "packed, compiled", samples, True, f"stage {stage}")


def largest(bench: Bench) -> None:
    """Measure growing batches, up to the largest that fits: memory grows evenly with the samples."""
    for stage in READINGS:
        ladder = [3] if bench.given.tiny else [8, 12] if stage == "one" else [16, 32]
        known = [line for line in (bench.measure(stage, "packed, compiled", count) for count in ladder) if line]
        if bench.device.type != "cuda" or len(known) < 2:
            continue
        slope = (known[-1].memory - known[-2].memory) / (known[-1].samples - known[-2].samples)
        room = USABLE * torch.cuda.get_device_properties(bench.device).total_memory / 2**30
        count = known[-1].samples + int((room - known[-1].memory) / slope)
        print(f"   stage {stage}: {slope:.2f} GiB a sample, so {count} samples should fit {room:.0f} GiB")
        for tried in (count, count - 1, count - 2):
            if tried > known[-1].samples and bench.measure(stage, "packed, compiled", tried):
                break


def checkpointed(bench: Bench) -> None:
    """Recompute decoder layers in the backward pass: less memory, so more samples; does it pay?"""
    model: Any = bench.step.model
    text = model.get_base_model().model.text_model
    text.gradient_checkpointing_enable({"use_reentrant": False})
    for count in (3,) if bench.given.tiny else (16, 48):
        bench.measure("one", "packed, compiled, checkpointed", count)
    text.gradient_checkpointing_disable()


def qlora(bench: Bench) -> None:
    """Put the weights in 4 bits and measure both stages, straightforward and packed; never compiled."""
    with bench.guarded("making a model in 4 bits"):
        bench.step.model = None  # type: ignore[assignment]  # its memory is wanted
        gc.collect()
        model = random_model(bench.given.tiny, bench.device, bench.dtype)
        quantise(model, bench.device, bench.dtype)
        bench.step.model = with_adapters(model, bench.device, bench.dtype)
    if bench.step.model is None:
        return
    for stage, samples in counts(bench).items():
        for packed, what in ((False, "straightforward"), (True, "packed")):
            bench.compare(stage, what, samples, packed, f"stage {stage}, QLoRA")
            bench.measure(stage, f"QLoRA, {what}", samples, packed)
    for stage, samples in (("one", 3),) if bench.given.tiny else (("one", 8), ("one", 16), ("two", 32)):
        bench.measure(stage, "QLoRA, packed", samples)


def counts(bench: Bench) -> dict[str, int]:
    """Return the recipe's samples by stage."""
    return {"one": 2, "two": 2} if bench.given.tiny else USUAL


def ceiling(device: torch.device, dtype: torch.dtype, side: int) -> float:
    """Return the operations a second of a large matrix product: the best of some, warmed up."""
    left, right = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    best = 0.0
    for _ in range(8):
        seconds = timed(lambda: [left @ right for _ in range(8)], device) / 8
        best = max(best, 2 * side**3 / seconds)
    return best


def timed(call: Callable[[], Any], device: torch.device) -> float:
    """Return the seconds that a call takes until the device is done."""
    synchronise(device)
    start = time.perf_counter()
    call()
    synchronise(device)
    return time.perf_counter() - start


def synchronise(device: torch.device) -> None:
    """Wait for the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def table(bench: Bench) -> str:
    """Return all lines as a table; each stage beside its own straightforward step in 16 bits."""
    from tabulate import tabulate

    straight = {line.stage: line.rate for line in reversed(bench.lines) if line.what == "straightforward"}
    rows = [
        (
            {"one": "I", "two": "II"}[line.stage],
            line.what,
            line.samples,
            f"{1000 * line.seconds:,.0f} ms",
            f"{line.rate:.2f}",
            f"{line.rate / straight[line.stage]:.1f}" if line.stage in straight else "",
            f"{line.rate / PUBLISHED:.1f}" if line.stage == "one" else "",
            f"{line.memory:.1f} GiB",
            f"{line.achieved / 1e12:.0f}",
            f"{line.achieved / bench.limit:.1%}",
        )
        for line in bench.lines
    ]
    return str(tabulate(rows, HEAD, tablefmt="github", disable_numparse=True))


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tiny", action="store_true", help="a tiny model on the processor")
    parser.add_argument("--only", default=",".join(PARTS), help=f"parts, of {', '.join(PARTS)}")
    parser.add_argument("--steps", type=int, default=5, help="steps measured of each, after two that are not")
    parser.add_argument("--dropout", type=float, default=0.0, help="of the adapters; losses then differ by chance")
    parser.add_argument("--seconds", type=float, default=200.0, help="no new part is begun after this time")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    return parser.parse_args()


def main() -> None:
    """Build the model, go through the parts, print the table."""
    started = time.perf_counter()
    given = arguments()
    if not given.tiny and not torch.cuda.is_available():
        raise SystemExit("This needs a GPU; --tiny runs on a processor.")
    wanted = given.only.split(",")
    if strange := set(wanted) - set(PARTS):
        raise SystemExit(f"There is no part {sorted(strange)[0]}; parts are {', '.join(PARTS)}.")
    if given.tiny:
        given.steps = 1
    device, dtype = (torch.device("cpu"), torch.float32) if given.tiny else (torch.device("cuda"), torch.bfloat16)
    name = "processor" if given.tiny else torch.cuda.get_device_name(device)
    print(f"{name}, torch {torch.__version__}, transformers {transformers.__version__}")

    step = Step(with_adapters(random_model(given.tiny, device, dtype), device, dtype, given.dropout)).to(device)
    bench = Bench(given, device, dtype, step, started)
    with bench.guarded("ceiling"):
        bench.limit = ceiling(device, dtype, 256 if given.tiny else 8192)
    for stage, reading in READINGS.items():
        flops = useful_flops(bench.config, bench.shape, reading, stage)
        print(f"stage {stage}: useful work {flops / 1e12:.2f} TFLOP a sample; ", end="")
        print(f"ceiling {bench.limit / 1e12:.1f} TFLOP/s, so at most {bench.limit / flops:.1f} samples/s")
    print(f"built after {bench.passed():.0f} s", flush=True)
    for part, call in (("lora", lora), ("compiled", compiled), ("largest", largest), ("checkpointed", checkpointed)):
        if part in wanted:
            enter(bench, part, call, 0.75 if part == "checkpointed" and "qlora" in wanted else 1.0)
    if "qlora" in wanted:  # last: it takes the 16-bit model's place
        enter(bench, "qlora", qlora)
    print(f"\n{table(bench)}\n")
    for what, each in bench.apart.items():
        print(
            f"{what}: losses within {each['losses']:.1e}, gradients within {each['gradients']:.1e} of straightforward"
        )
    for what, why in bench.failed.items():
        print(f"not measured: {what}: {why}")
    print(f"all in {bench.passed():.0f} s")
    if given.json:
        figures = {"ceiling": bench.limit, "apart": bench.apart, "failed": bench.failed, "gpu": name}
        given.json.write_text(json.dumps({**figures, "lines": [asdict(line) for line in bench.lines]}, indent=2))


def enter(bench: Bench, part: str, call: Callable[[Bench], None], share: float = 1.0) -> None:
    """Go through a part, unless time is over: `share` of what there is."""
    if bench.passed() > share * bench.given.seconds and not bench.given.tiny:
        bench.failed[part] = f"left out after {bench.passed():.0f} s"
        return
    with bench.guarded(part):
        call(bench)


if __name__ == "__main__":
    main()
