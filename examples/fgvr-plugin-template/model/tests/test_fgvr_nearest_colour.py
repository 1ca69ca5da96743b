"""Nothing is wrong with the model, and it gets through a run."""

from pathlib import Path

from fgvr_bench import evaluate
from fgvr_bench.testing import checks_of, host_with

import fgvr_nearest_colour

test_nothing_is_wrong = checks_of(fgvr_nearest_colour)


def test_it_answers_a_run(tmp_path: Path) -> None:
    plugins = host_with(fgvr_nearest_colour)
    evaluation = evaluate("nearest-colour", "moth-24", plugins=plugins, limit=8, options="random", results_dir=tmp_path)
    assert [result.failed for result in evaluation.results] == [0]
