"""Hold the demo's runs against the committed ones: same runs, same figures as a board prints them.

    python scripts/same_demo.py build/demo results

Answers may differ by rounding from one kind of processor to another; figures that show it would not be the demo's.
"""

from __future__ import annotations

import sys
from pathlib import Path

from fgvr_bench.core.results import StoredRun, read_runs


def figure(run: StoredRun) -> str:
    """Return a run's accuracy as a board prints it, or - where it has none."""
    value = run.metrics[run.main_metric]
    return "-" if value is None else f"{100 * value:.1f} %"


def differences(demo: Path, committed: Path) -> list[str]:
    """Return what is not the same, a sentence each: a run that is not committed, another figure, no run at all."""
    made, kept = ({run.run_id: run for run in read_runs(folder)[0]} for folder in (demo, committed))
    found = [] if made else [f"{demo} holds no run."]
    for run_id, run in made.items():
        if run_id not in kept:
            found.append(f"{run.model}, run {run_id}: there is no such run in {committed}.")
        elif figure(run) != figure(kept[run_id]):
            found.append(f"{run.model}, run {run_id}: {figure(run)}, committed {figure(kept[run_id])}.")
    return found


if __name__ == "__main__":
    told = differences(*map(Path, sys.argv[1:3]))
    sys.exit("The demo is not what is committed:\n" + "\n".join(told) if told else 0)
