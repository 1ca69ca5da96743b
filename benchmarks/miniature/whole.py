"""Everything from nothing by one command: the base model, then all that is tuned from it and measured.

With ``--base`` models are tuned from that checkpoint while another base model is trained beside, to see whether it
comes out again; without, from the one that was just trained.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

GRACE = 1.0
"""Minutes that a base model which is trained beside has longer than the others."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the settings."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    parser.add_argument("--out", type=Path, required=True, help="folder of results, a file a split")
    parser.add_argument("--base", type=Path, default=None, help="tune this base model; train another one beside")
    parser.add_argument("--made", type=Path, default=None, help="folder of the trained base model (OUT/base)")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--processes", type=int, default=cores, help="processes at once")
    parser.add_argument("--gpu-workers", type=int, default=5, help="of these on the GPU, where there is one")
    parser.add_argument("--suite", nargs="+", default=["all"], help="what is measured, in this order")
    parser.add_argument("--minutes", type=float, default=None, help="stop then; the same command goes on later")
    parser.add_argument("--short", action="store_true", help="a few steps of everything, to see that it works")


SHORT_BASE = (
    *("--moths=64", "--see-steps=2", "--learn-steps=2", "--batch=16"),
    *("--hidden=32", "--layers=1", "--validation=1"),
)
SHORT_COMPARE = ["--steps=4", "--shots=1", "--seeds=0", "--per-species=1", "--split=validation"]


def run(settings: argparse.Namespace) -> int:
    """Carry everything out; return 0, or 1 where a gate was missed, something failed or time was up."""
    start = time.time()
    made = settings.made or settings.out / "base"
    settings.out.mkdir(parents=True, exist_ok=True)
    log = settings.out / "base.log"
    with log.open("w", encoding="utf-8") as file:
        making = None if (made / "made.json").exists() else _train(made, settings, file)
        if making is not None and settings.base is None:
            making.wait()
        if making is not None and settings.base is None and not (made / "made.json").exists():
            print(f"no base model was made, see {log}", flush=True)
            return 1
        status = _tune(settings, settings.base or made, start)
        if making is not None and making.poll() is None:
            left = None if settings.minutes is None else start + 60 * (settings.minutes + GRACE) - time.time()
            with contextlib.suppress(subprocess.TimeoutExpired):
                making.wait(left)
            making.kill()
    missed = making is not None and making.wait() != 0 and not settings.short  # which no gate is for
    if missed:
        print(f"the base model missed a gate or was not finished, see {log}", flush=True)
    return 1 if missed else status


def _train(made: Path, settings: argparse.Namespace, log: object) -> subprocess.Popen[str]:
    words = ["base", "--out", str(made), "--device", settings.device, "--processes", str(settings.processes)]
    return _step([*words, *(SHORT_BASE if settings.short else [])], log)


def _tune(settings: argparse.Namespace, base: Path, start: float) -> int:
    """Tune and measure beside the base model's training, or after it."""
    beside = settings.base is not None
    gpu = settings.gpu_workers if settings.device == "cuda" else 0
    words = ["compare", "--base", str(base), "--out", str(settings.out), "--suite", *settings.suite]
    words += ["--gpu-workers", str(gpu), "--workers", str(max(0, settings.processes - gpu - 2 * beside))]
    words += ["--nice", "10"] if beside else []  # the base model's training waits for nothing but itself
    if settings.minutes is not None:
        words += ["--minutes", str(settings.minutes - (time.time() - start) / 60)]
    return _step([*words, *(SHORT_COMPARE if settings.short else [])], None).wait()


def _step(words: list[str], log: object) -> subprocess.Popen[str]:
    """Start a step of the benchmark as a process of its own."""
    command = [sys.executable, "-m", "benchmarks.miniature", *words]
    given = {} if log is None else {"stdout": log, "stderr": subprocess.STDOUT}
    return subprocess.Popen(command, env={**os.environ, "PYTHONUNBUFFERED": "1"}, text=True, **given)  # type: ignore[call-overload]
