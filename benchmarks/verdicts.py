"""How often a verdict hangs on the batch size: one model on one dataset, at several sizes, against batch 1 and float32.

    python benchmarks/verdicts.py --model moth-finedefics --dataset moth-24 --dtype bfloat16

Sums of floating point numbers depend on their order, and kernels choose another order for another batch size.  In
float64 that never reaches a verdict (the tests show it for every family), in bfloat16 it can: where two letters are all
but equally likely.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from tabulate import tabulate

import fgvr_bench
from fgvr_bench.core.ahead import cores


def answers(given: argparse.Namespace, decoding: str, dtype: str, size: int, results: Path) -> pd.DataFrame:
    """Return the answers of one run, by the ids of the examples."""
    done = fgvr_bench.evaluate(
        given.model,
        given.dataset,
        decoding=decoding,
        dtype=dtype,
        batch_size=size,
        limit=given.limit,
        device=given.device,
        data_roots=given.data_root,
        results_dir=results,
        progress=False,
    )
    found = done.responses(0).set_index("example_id").sort_index()
    return found.assign(choice=found["choice"].fillna(""))


def row(name: str, found: pd.DataFrame, alone: pd.DataFrame, exact: pd.DataFrame) -> tuple[object, ...]:
    """Return what a run's answers are beside those of batch 1 (scores: largest difference) and those of float32.

    Of a part of the questions each batch size takes others; compared are those that all were asked.
    """
    found, alone, exact = (
        each.loc[found.index.intersection(alone.index).intersection(exact.index)] for each in (found, alone, exact)
    )
    other = int((found["choice"] != alone["choice"]).sum())
    differs = int((found["choice"] != exact["choice"]).sum())
    spread = ""
    if found["scores"].notna().all():
        spread = f"{np.abs(np.stack(found['scores']) - np.stack(alone['scores'])).max():.3f}"
    ties = int((found["choice"] == "").sum())
    return name, f"{found['correct'].mean():.2%}", ties, other, f"{other / len(found):.2%}", differs, spread


def near_ties(found: pd.DataFrame, within: float) -> float:
    """Return the share of questions whose best two letters are within so many nats."""
    scores = np.sort(np.stack(found["scores"]))
    return float((scores[:, -1] - scores[:, -2] < within).mean())


def main(arguments: Sequence[str] | None = None) -> None:
    """Run and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="moth-finedefics")
    parser.add_argument("--dataset", default="moth-24")
    parser.add_argument("--data-root", nargs="*", default=(), help="folders with datasets")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 3, 8, 32, 64])
    parser.add_argument("--decodings", nargs="+", default=["logprob", "generate"])
    parser.add_argument("--limit", type=int, default=None, help="questions")
    parser.add_argument("--device", default="auto")
    given = parser.parse_args(arguments)
    headers = [
        "batch size",
        "accuracy",
        "no verdict",
        "another than at batch 1",
        "share",
        "than in float32",
        "scores, nats",
    ]
    print(f"{shlex.join(['python', *sys.argv])}\n{fgvr_bench.__version__}, {cores()} cores, {given.device}\n")
    with tempfile.TemporaryDirectory() as folder:
        for decoding in given.decodings:
            exact = answers(given, decoding, "float32", 1, Path(folder))
            found = {size: answers(given, decoding, given.dtype, size, Path(folder)) for size in {1, *given.sizes}}
            rows = [row(f"{size}", found[size], found[1], exact) for size in given.sizes]
            print(f"{given.model} on {given.dataset}, {len(exact):,} questions, {given.dtype}, {decoding}")
            print(tabulate([*rows, row("float32, 1", exact, found[1], exact)], headers, disable_numparse=True))
            if decoding == "logprob":
                shares = ", ".join(f"{near_ties(exact, within):.1%} within {within:g}" for within in (0.01, 0.05, 0.2))
                print(f"best two letters of float32, nats: {shares}\n", flush=True)


if __name__ == "__main__":
    main()
