"""Nothing is wrong with the miner, and questions can be made of its options."""

from pathlib import Path

from fgvr_bench import evaluate
from fgvr_bench.testing import checks_of, host_with

import fgvr_alphabet

test_nothing_is_wrong = checks_of(fgvr_alphabet)


def test_questions_are_made_of_its_options(tmp_path: Path) -> None:
    plugins = host_with(fgvr_alphabet)
    evaluation = evaluate("random", "moth-24", plugins=plugins, limit=8, options="alphabet", results_dir=tmp_path)
    assert [result.failed for result in evaluation.results] == [0]
