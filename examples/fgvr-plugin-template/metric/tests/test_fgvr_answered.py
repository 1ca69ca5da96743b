"""Nothing is wrong with the metric, and every run reports it."""

from pathlib import Path

from fgvr_bench import evaluate
from fgvr_bench.testing import checks_of, host_with

import fgvr_answered

test_nothing_is_wrong = checks_of(fgvr_answered)


def test_a_run_reports_it(tmp_path: Path) -> None:
    plugins = host_with(fgvr_answered)
    evaluation = evaluate("always-a", "moth-24", plugins=plugins, limit=8, options="random", results_dir=tmp_path)
    assert [result.metrics["answered"] for result in evaluation.results] == [1.0]
