"""Stored responses can be scored again, without model and dataset; so can answers that others published."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from test_run_story import play
from toy import Script, ToyModel, toy_host

from fgvr_bench.cli.results import FORMATS, results
from fgvr_bench.cli.score import score
from fgvr_bench.core.host import host
from fgvr_bench.core.importing import import_run
from fgvr_bench.core.rescoring import rescore, write_scores
from fgvr_bench.core.results import read_runs
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


@pytest.mark.parametrize(("dataset", "accuracy"), [("bird-200", 0.47963410424577146), ("car-196", 0.23865190896654645)])
def test_published_answers_import_as_runs_with_exactly_their_figures(
    reference: Path, tmp_path: Path, dataset: str, accuracy: float
) -> None:
    file = reference / "rescoring" / f"{dataset}.jsonl.gz"
    words = ["import", str(file), "--format", "foci", "--dataset", dataset, "--model", "published"]
    done = CliRunner().invoke(results, [*words, "--results-dir", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert repr(accuracy) in done.stdout
    ((run,), _, _) = read_runs(tmp_path)
    found = rescore(host(), run.folder)
    assert found.metrics["accuracy"] == run.metrics["accuracy"] == accuracy
    assert found.changed == []
    careful = rescore(host(), run.folder, protocol="fgvr-1")
    assert careful.metrics["accuracy"] == pytest.approx(accuracy, abs=0.002), "these answers are plain letters"


def test_answers_of_another_kind_are_refused(tmp_path: Path) -> None:
    for content in ("", "{", '{"image": "a.jpg"}', "[]"):
        (tmp_path / "answers.json").write_text(content)
        with pytest.raises(FgvrError):
            import_run(host(), tmp_path / "answers.json", FORMATS["foci"], "bird-200", "m", tmp_path)
