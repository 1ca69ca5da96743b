"""Stored responses can be scored again, without model and dataset."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from test_run_story import play
from toy import Script, ToyModel, toy_host

from fgvr_bench.cli.score import score
from fgvr_bench.core.rescoring import rescore, write_scores
from fgvr_bench.errors import FgvrError


def test_scoring_again_gives_the_stored_figures(tmp_path: Path) -> None:
    folder = play(tmp_path, ToyModel("says-a", Script("always-a"))).results[0].folder
    found = rescore(toy_host(), folder)
    assert found.metrics == found.stored
    assert sum(found.rules.values()) == 40
    result = CliRunner().invoke(score, [str(tmp_path), "--rules"])
    assert result.exit_code == 0, result.output
    assert "says-a" in result.stdout


def test_a_figure_edited_by_hand_comes_out_and_can_be_mended(tmp_path: Path) -> None:
    folder = play(tmp_path, ToyModel("says-a", Script("always-a"))).results[0].folder
    before = (folder / "run.json").read_bytes()
    content = json.loads(before)
    content["metrics"]["accuracy"] = 0.99
    (folder / "run.json").write_text(json.dumps(content))
    assert rescore(toy_host(), folder).changed == ["accuracy"]
    assert isinstance(CliRunner().invoke(score, [str(tmp_path)]).exception, FgvrError)
    write_scores(rescore(toy_host(), folder))
    assert (folder / "run.json").read_bytes() == before


def test_responses_changed_by_one_byte_are_refused(tmp_path: Path) -> None:
    folder = play(tmp_path).results[0].folder
    path = folder / "responses.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"A"', b'"B"', 1))
    with pytest.raises(FgvrError, match="its digest differs"):
        rescore(toy_host(), folder)


def test_a_run_that_is_not_complete_is_not_scored(tmp_path: Path) -> None:
    folder = play(tmp_path, limit=8).results[0].folder
    with pytest.raises(FgvrError, match="no complete run"):
        rescore(toy_host(), folder)
