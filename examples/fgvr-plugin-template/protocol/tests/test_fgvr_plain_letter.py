"""Nothing is wrong with the protocol, and a model can be asked by it."""

from pathlib import Path

from fgvr_bench import evaluate
from fgvr_bench.testing import checks_of, host_with

import fgvr_plain_letter

test_nothing_is_wrong = checks_of(fgvr_plain_letter)


def test_a_model_is_asked_by_it(tmp_path: Path) -> None:
    settings = {"protocol": "plain-letter", "limit": 8, "options": "random", "results_dir": tmp_path}
    evaluation = evaluate("always-a", "moth-24", plugins=host_with(fgvr_plain_letter), **settings)
    assert [result.metrics["unparsed"] for result in evaluation.results] == [0.0]
