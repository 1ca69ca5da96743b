"""Nothing is wrong with the dataset, and a model can be run on it."""

from pathlib import Path

from fgvr_bench import evaluate
from fgvr_bench.testing import checks_of, host_with

import fgvr_paint_6

test_nothing_is_wrong = checks_of(fgvr_paint_6)


def test_a_model_is_run_on_it(tmp_path: Path) -> None:
    plugins = host_with(fgvr_paint_6)
    evaluation = evaluate("random", "paint-6", plugins=plugins, results_dir=tmp_path)
    assert [(result.questions, result.failed) for result in evaluation.results] == [(24, 0)]
