"""Everything from nothing by one command: the base model, then all that is tuned from it and measured."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the settings."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    parser.add_argument(
        "--out", type=Path, required=True, help="folder of the base model and of results, a file a split"
    )
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--processes", type=int, default=cores, help="processes at once")
    parser.add_argument("--gpu-workers", type=int, default=8, help="of these on the GPU, where there is one")
    parser.add_argument("--suite", nargs="+", default=["all"], help="what is measured, in this order")
    parser.add_argument("--minutes", type=float, default=None, help="stop then; the same command goes on later")
    parser.add_argument("--short", action="store_true", help="a few steps of everything, to see that it works")


SHORT_BASE = (
    *("--moths=64", "--see-steps=2", "--learn-steps=2", "--batch=16"),
    *("--hidden=32", "--layers=1", "--validation=1"),
)
SHORT_COMPARE = ("--steps=4", "--shots=1", "--seeds=0", "--per-species=1", "--split=validation")


def run(settings: argparse.Namespace) -> int:
    """Carry everything out; return 0, or 1 where a gate was missed, something failed or time was up."""
    start, made = time.time(), settings.out / "base"
    passed = True
    if not (made / "made.json").exists():
        words = ["base", "--out", str(made), "--device", settings.device, "--processes", str(settings.processes)]
        passed = _step([*words, *(SHORT_BASE if settings.short else ())]) == 0 or settings.short  # which no gate is for
    if not (made / "made.json").exists():
        return 1
    gpu = min(settings.gpu_workers, settings.processes) if settings.device == "cuda" else 0
    words = ["compare", "--base", str(made), "--out", str(settings.out), "--suite", *settings.suite]
    words += ["--gpu-workers", str(gpu), "--workers", str(settings.processes - gpu)]
    if settings.minutes is not None:
        words += ["--minutes", str(settings.minutes - (time.time() - start) / 60)]
    done = _step([*words, *(SHORT_COMPARE if settings.short else ())]) == 0
    return 0 if passed and done else 1


def _step(words: list[str]) -> int:
    """Carry out a step of the benchmark in a process of its own; return its exit status."""
    command = [sys.executable, "-m", "benchmarks.miniature", *words]
    return subprocess.run(command, env={**os.environ, "PYTHONUNBUFFERED": "1"}, check=False).returncode
