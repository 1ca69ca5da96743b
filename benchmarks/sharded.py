"""Does Idefics2-8B's shape load and train on several GPUs?  Three steps of stage I, sharded by FSDP and not.

Random weights (`training_shape.py`), read into the processor's memory as a checkpoint's are, the recipe's rows a GPU;
AdamW in 32 bits.  Every part goes through the training loop itself, with the settings that `--shard` gives.

    torchrun --nproc-per-node 2 benchmarks/sharded.py               # two GPUs of 80 GB, within two minutes
    torchrun --nproc-per-node 2 benchmarks/sharded.py --parts full  # some of it
    python benchmarks/sharded.py --tiny --parts whole               # a processor: that it runs

What a second GPU brings is the ratio of samples/s of these two:

    torchrun --nproc-per-node 1 benchmarks/sharded.py --parts whole --compiled --per-device 16 --steps 20
    torchrun --nproc-per-node 2 benchmarks/sharded.py --parts whole --compiled --per-device 16 --steps 20

| part | trains | on |
|---|---|---|
| `whole` | adapters, in bfloat16 | each GPU a whole model (data-parallel) |
| `fsdp` | the same, with the losses of `whole` to rounding | FSDP |
| `full` | all but the vision encoder, weights in 32 bits, activations recomputed | FSDP |
| `zero2`, `zero3` | as `full`; not by default | DeepSpeed, where it is installed |

What fails, or does not fit, is told, and the rest goes on.
From a checkout that is not installed: PYTHONPATH=harness:plugins/models:plugins/datasets:finedefics/src.
"""

from __future__ import annotations

import argparse
import functools
import gc
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fgvr_bench.engines import torchvision_ops

torchvision_ops.ensure()

import torch  # noqa: E402
from finedefics.launching import Conduct, Processes, make_accelerator  # noqa: E402
from finedefics.loading import choose_trained  # noqa: E402
from finedefics.logbook import StepRecord, TrainingWatcher  # noqa: E402
from finedefics.modules import StageModule, learnt_tokens, temperatures_for, weights_for  # noqa: E402
from finedefics.presets import Recipe, preset  # noqa: E402
from finedefics.sharding import fit, let_go  # noqa: E402
from finedefics.speed import compile_layers  # noqa: E402
from finedefics.training import Stage, Training  # noqa: E402
from training_shape import FULL, TINY, make_batch, random_model  # noqa: E402

from fgvr_bench.engines.huggingface.loading import quiet  # noqa: E402

USUAL = ("whole", "fsdp", "full")
DEEPSPEED = ("zero2", "zero3")
PARTS = (*USUAL, *DEEPSPEED)
KINDS_OF_BATCH = 4
"""Batches that are drawn, once each: drawing one takes about as long as a step."""


@dataclass
class Times(TrainingWatcher):
    """Keeps when each step ended, and what was logged."""

    ends: list[float]
    records: list[StepRecord]

    def stepped(self, step: int) -> None:
        """Note the time, the device being done."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.ends.append(time.perf_counter())

    def logged(self, record: StepRecord) -> None:
        """Keep the record."""
        self.records.append(record)


@dataclass(frozen=True, slots=True)
class Numbers(Sequence[Any]):
    """Rows that are their own numbers."""

    count: int

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: Any) -> Any:
        return range(self.count)[index]


def recipe_of(part: str, given: argparse.Namespace, processes: int) -> Recipe:
    """Return stage I's recipe for some steps of one pass on each GPU."""
    small = preset("paper", "align").changed(
        batch_size=given.per_device * processes,
        per_device=given.per_device,
        max_steps=given.steps,
        warmup_steps=1,
        lora_dropout=0.0,
        method="lora",
        compiled=given.compiled,
    )
    if part in {"full", *DEEPSPEED}:
        return small.changed(method="full", learning_rate=1e-5, recompute=True)
    return small


def train(part: str, given: argparse.Namespace) -> tuple[Times, float, float]:
    """Carry out a part; return its steps, the seconds until the first began, and the peak of this GPU's memory, GiB."""
    began = time.perf_counter()
    tiny, device = given.tiny, "cpu" if given.tiny else "auto"
    recipe = recipe_of(part, given, Processes(device).count)
    sharding = part if part in DEEPSPEED else None if part == "whole" else "fsdp"
    conduct = Conduct(log_every=1, sharding=sharding)
    accelerator = make_accelerator(recipe, device, conduct)
    dtype = torch.bfloat16 if recipe.method == "lora" and not tiny else torch.float32
    model = random_model(tiny, accelerator.device, dtype).to("cpu")
    model = choose_trained(model, recipe)
    if recipe.recompute:
        with quiet():
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    if recipe.compiled:
        compile_layers(model)
    shape, config = (TINY if tiny else FULL), model.config

    @functools.lru_cache(maxsize=KINDS_OF_BATCH)
    def drawn(count: int, seed: int) -> dict[str, torch.Tensor]:
        return make_batch(config, shape, count, "cpu", torch.float32, "paper", "one", seed=seed)

    def collate(rows: Sequence[int]) -> dict[str, torch.Tensor]:
        return drawn(len(rows), rows[0] % KINDS_OF_BATCH)

    temperatures = temperatures_for(recipe)
    module = StageModule(model, temperatures, recipe.reading, weights_for(recipe, True))
    stage = Stage("align", module, collate, temperatures, learnt_tokens)
    fit(accelerator, model, temperatures)
    training = Training(stage, Numbers(4096), recipe, accelerator, conduct)
    del model, module
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        torch.cuda.synchronize()
    times = Times([time.perf_counter()], [])
    loaded = times.ends[0] - began
    try:
        training.run(times)
    finally:
        let_go(accelerator)
    return times, loaded, torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else 0.0


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tiny", action="store_true", help="a tiny model on processors")
    parser.add_argument("--parts", default=",".join(USUAL), help=f"of {', '.join(PARTS)}")
    parser.add_argument("--steps", type=int, default=3, help="steps of each part")
    parser.add_argument("--per-device", type=int, default=2, help="samples that a GPU takes at once")
    parser.add_argument("--compiled", action="store_true", help="compile the layers")
    parser.add_argument("--seconds", type=float, default=100.0, help="no new part is begun after this time")
    return parser.parse_args()


def main() -> None:
    """Go through the parts and print what came of each."""
    started = time.perf_counter()
    given = arguments()
    wanted = given.parts.split(",")
    if strange := set(wanted) - set(PARTS):
        raise SystemExit(f"There is no part {sorted(strange)[0]}; parts are {', '.join(PARTS)}.")
    processes = Processes("cpu" if given.tiny else "auto")

    def say(text: str) -> None:
        if processes.is_first:
            print(text, flush=True)

    where = "processors" if given.tiny else torch.cuda.get_device_name()
    say(f"{processes.count} × {where}, torch {torch.__version__}")
    for part in wanted:
        if time.perf_counter() - started > given.seconds:
            say(f"{part}: left out, time is over")
            continue
        try:
            times, loaded, memory = train(part, given)
        except Exception as error:
            # On every process, so that whoever fails alone is seen too.
            print(f"{part}: failed, {type(error).__name__}: {' '.join(str(error).split())[:400]}", flush=True)
        else:
            steps = [after - before for before, after in zip(times.ends, times.ends[1:], strict=False)]
            median = sorted(steps[1:] or steps)[len(steps[1:] or steps) // 2]
            rate = given.per_device * processes.count / median
            say(f"{part}: loaded after {loaded:.1f} s, steps of {', '.join(f'{each:.2f}' for each in steps[:6])} s")
            say(f"   {rate:.2f} samples/s by the median step but the first, {memory:.1f} GiB at most on the first GPU")
            for record in times.records[:3]:
                say(f"   step {record.step}: loss {record.loss:.5f}, gradient {record.gradient_norm}")
            del times
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    say(f"all in {time.perf_counter() - started:.0f} s")
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
