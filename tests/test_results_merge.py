"""``results merge``: runs of several machines in one folder; nothing is chosen between answers that differ."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_results_verify import forged
from test_run_story import files_of, play
from toy import Script, ToyModel, ToyPlugin, toy_host

from fgvr_bench.cli.results import results
from fgvr_bench.core import merging
from fgvr_bench.core.known import Knowledge
from fgvr_bench.core.merging import merge
from fgvr_bench.core.parts import PartWriter, StoredAnswers
from fgvr_bench.core.run_folder import RunFolder
from fgvr_bench.core.verify_runs import Verifier
from fgvr_bench.errors import FgvrError, UsageError


def done_of(*places: Path, into: Path) -> list[str]:
    found = merge(places, into)
    assert found.refused == []
    return [done for _, done in found.done]


def refused(*places: Path, into: Path) -> str:
    found = merge(places, into)
    assert len(found.refused) == 1
    return found.refused[0]


def content_of(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "run.json").read_text())
    return content


def test_runs_of_two_folders_come_together_and_are_what_they_were(tmp_path: Path) -> None:
    play(tmp_path / "a")
    play(tmp_path / "b", ToyModel("says-a", Script("always-a")))
    play(tmp_path / "b")
    assert done_of(tmp_path / "a", tmp_path / "b", into=tmp_path / "all") == ["copied", "copied"]
    assert files_of(tmp_path / "all") == files_of(tmp_path / "a") | files_of(tmp_path / "b")
    assert done_of(tmp_path / "a", tmp_path / "b", into=tmp_path / "all") == ["there already", "there already"]
    plugins = toy_host([], [ToyPlugin()])
    found = Verifier(plugins, Knowledge(plugins)).verify([tmp_path / "all"])
    assert [each.state for each in found] == ["ok", "ok"]


def test_every_machine_that_worked_on_a_run_is_remembered_once(tmp_path: Path) -> None:
    for name in ("a", "b"):
        play(tmp_path / name)
    done_of(tmp_path / "a", tmp_path / "b", into=tmp_path / "all")
    done_of(tmp_path / "b", into=tmp_path / "all")
    (file,) = (tmp_path / "all").rglob("machine.json")
    assert len(RunFolder(file.parent).read_executions()) == 2


@pytest.mark.parametrize("first", ["whole", "part"])
def test_of_a_complete_and_an_unfinished_run_the_complete_one_is_taken(tmp_path: Path, first: str) -> None:
    play(tmp_path / "whole")
    play(tmp_path / "part", limit=8)
    other = "part" if first == "whole" else "whole"
    done_of(tmp_path / first, into=tmp_path / "all")
    last = done_of(tmp_path / other, into=tmp_path / "all")
    assert last == ["completed" if other == "whole" else "there already"]
    assert files_of(tmp_path / "all") == files_of(tmp_path / "whole")


def part(whole: Path, start: Path, questions: list[int], into: Path) -> Path:
    """Make an unfinished run that has answered these questions, as another execution would have."""
    shutil.copytree(start, into)
    (run,) = (file.parent for file in into.rglob("run.json"))
    shutil.rmtree(run / "parts")
    lines = (whole / "responses.jsonl").read_text().splitlines()
    versions = json.loads((start / run.relative_to(into) / "parts" / "0.jsonl").read_text().splitlines()[0])["versions"]
    content = content_of(run)
    writer = PartWriter(run / "parts", {"run_id": run.name, "versions": versions, "plan": content["plan"]})
    writer.append(questions, [lines[number] for number in questions])
    writer.close()
    return run


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shares=st.lists(st.lists(st.integers(0, 39), max_size=40, unique=True), min_size=1, max_size=4))
def test_parts_joined_hold_every_answer_once_and_the_run_goes_on_to_the_same_bytes(
    tmp_path_factory: pytest.TempPathFactory, shares: list[list[int]]
) -> None:
    place = tmp_path_factory.mktemp("joined")
    whole = play(place / "whole").results[0].folder
    play(place / "start", limit=4)
    for number, share in enumerate(shares):
        part(whole, place / "start", share, place / f"part {number}")
    merge([place / f"part {number}" for number in range(len(shares))], place / "all")
    (run,) = (file.parent for file in (place / "all").rglob("run.json"))
    content = content_of(run)
    if content["complete"]:
        assert set().union(*shares) == set(range(40))
    else:
        answers = StoredAnswers(run / "parts", 40, content["plan"], tuple(content["labels"]))
        assert set(answers.done.nonzero()[0].tolist()) == set().union(*shares)
    model = ToyModel()
    play(place / "all", model)
    assert files_of(place / "all") == files_of(place / "whole")
    assert len(model.model.asked) < 40 + model.model.batch_size
    if set().union(*shares) == set(range(40)):
        assert model.loads == 0


def test_unfinished_runs_join_in_a_folder_that_has_one(tmp_path: Path) -> None:
    whole = play(tmp_path / "whole").results[0].folder
    play(tmp_path / "start", limit=4)
    part(whole, tmp_path / "start", [0, 1, 2], tmp_path / "a")
    part(whole, tmp_path / "start", [2, 3], tmp_path / "b")
    part(whole, tmp_path / "start", [1, 3], tmp_path / "c")
    assert done_of(tmp_path / "a", into=tmp_path / "all") == ["copied"]
    assert done_of(tmp_path / "b", into=tmp_path / "all") == ["joined"]
    assert done_of(tmp_path / "c", into=tmp_path / "all") == ["there already"], "it adds no answer"
    assert done_of(tmp_path / "all", into=tmp_path / "all") == ["there already"]


def test_complete_runs_that_differ_are_refused_by_name_and_the_others_are_merged(tmp_path: Path) -> None:
    folder = play(tmp_path / "a").results[0].folder
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    other = tmp_path / "b" / folder.relative_to(tmp_path / "a")
    forged(other, lambda content, lines: lines[7].update(completion="Z"))
    play(tmp_path / "b", ToyModel("says-a", Script("always-a")))
    done = CliRunner().invoke(
        results, ["merge", str(tmp_path / "a"), str(tmp_path / "b"), "--into", str(tmp_path / "all")]
    )
    assert isinstance(done.exception, FgvrError)
    question = json.loads((folder / "responses.jsonl").read_text().splitlines()[7])["question_id"]
    assert f"{folder} and {other} claim the id {folder.name} with different answers, first to {question}" in done.stderr
    assert [path.parent.parent.name for path in (tmp_path / "all").rglob("run.json")] == ["says-a"]


def test_an_unfinished_run_that_answered_otherwise_is_refused(tmp_path: Path) -> None:
    whole = play(tmp_path / "whole").results[0].folder
    play(tmp_path / "start", limit=4)
    run = part(whole, tmp_path / "start", [5, 6], tmp_path / "a")
    file = run / "parts" / "0.jsonl"
    file.write_text(file.read_text().replace('"completion":"', '"completion":"Z'))
    assert "with different answers, first to" in refused(tmp_path / "whole", tmp_path / "a", into=tmp_path / "all")
    part(whole, tmp_path / "start", [6, 7], tmp_path / "b")
    assert "with different answers, first to" in refused(tmp_path / "a", tmp_path / "b", into=tmp_path / "all")
    assert not [*(tmp_path / "all").rglob("run.json")]


def test_unfinished_runs_of_other_batches_are_refused(tmp_path: Path) -> None:
    whole = play(tmp_path / "whole").results[0].folder
    play(tmp_path / "start", limit=4)
    part(whole, tmp_path / "start", [5], tmp_path / "a")
    run = part(whole, tmp_path / "start", [6], tmp_path / "b")
    RunFolder(run).write_run(content_of(run) | {"threads": 64})
    said = refused(tmp_path / "a", tmp_path / "b", into=tmp_path / "all")
    assert "were asked in different batches (threads " in said


def test_damaged_runs_are_named_and_a_damaged_run_in_the_way_is_left_as_it_is(tmp_path: Path) -> None:
    folder = play(tmp_path / "a").results[0].folder
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    path = tmp_path / "b" / folder.relative_to(tmp_path / "a") / "responses.jsonl"
    path.write_text(path.read_text()[:-5])
    assert f"{path} is not the file" in refused(tmp_path / "b", into=tmp_path / "all")
    before = path.read_bytes()
    assert "was not merged" in refused(tmp_path / "a", into=tmp_path / "b")
    assert path.read_bytes() == before


def test_other_figures_for_the_same_answers_are_said(tmp_path: Path) -> None:
    folder = play(tmp_path / "a").results[0].folder
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    other = tmp_path / "b" / folder.relative_to(tmp_path / "a")
    content = content_of(folder)
    RunFolder(other).write_run({**content, "scored_by": "0.0.1", "metrics": {**content["metrics"], "accuracy": 0.5}})
    found = merge([tmp_path / "a", tmp_path / "b"], tmp_path / "all")
    assert "(scored by 0.0.1 and" in found.notes[0]
    assert files_of(tmp_path / "all") == files_of(tmp_path / "a")


def test_names_of_folders_come_from_what_a_run_says_and_never_lead_outside(tmp_path: Path) -> None:
    """A run may be headed by anything; its place is made of slugs and of a digest."""
    folder = play(tmp_path / "a").results[0].folder

    def elsewhere(content: dict[str, Any], lines: list[dict[str, Any]]) -> None:
        content["model"] = content["inputs"]["model"]["name"] = "../../../out"
        content["dataset"] = content["inputs"]["dataset"]["name"] = "/etc"

    forged(folder, elsewhere)
    (place,) = (path for path, _ in merge([tmp_path / "a"], tmp_path / "deep" / "all").done)
    assert place.resolve().is_relative_to((tmp_path / "deep" / "all").resolve())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "deep"]


def test_a_run_that_is_completed_while_it_is_merged_is_named_and_the_others_are_merged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    play(tmp_path / "a", limit=8)
    play(tmp_path / "b", limit=16)
    play(tmp_path / "b", ToyModel("says-a", Script("always-a")))
    copy = merging._copy_part

    def completed_meanwhile(path: Path, parts: Path) -> None:
        if tmp_path / "b" in path.parents:
            play(tmp_path / "b")
        copy(path, parts)

    monkeypatch.setattr(merging, "_copy_part", completed_meanwhile)
    found = merge([tmp_path / "a", tmp_path / "b"], tmp_path / "all")
    [left_out] = found.refused
    assert "was taken away while oracle on toy was merged. Merge again." in left_out
    assert [done for _, done in found.done] == ["copied"]
    assert done_of(tmp_path / "a", tmp_path / "b", into=tmp_path / "all") == ["completed", "there already"]
    assert files_of(tmp_path / "all") == files_of(tmp_path / "b")


def test_nothing_to_merge_is_said(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = CliRunner().invoke(results, ["merge", str(tmp_path / "empty"), "--into", str(tmp_path / "all")])
    assert "there is no run below" in str(done.exception)


@pytest.mark.parametrize("count", [1, 3])
def test_shards_that_are_merged_are_the_bytes_of_one_run(tmp_path: Path, count: int) -> None:
    play(tmp_path / "whole", batch_size=4)
    asked: list[str] = []
    for number in range(1, count + 1):
        model = ToyModel()
        [result] = play(tmp_path / "all", model, batch_size=4, shard=(number, count)).results
        assert result.complete is (count == 1)
        assert result.questions == len(model.model.asked)
        asked += model.model.asked
    assert len(set(asked)) == len(asked) == 40
    assert done_of(tmp_path / "all" / "shards", into=tmp_path / "all") == ["copied" if count == 1 else "completed"]
    shutil.rmtree(tmp_path / "all" / "shards")
    assert files_of(tmp_path / "all") == files_of(tmp_path / "whole")


def test_a_shard_that_was_cut_off_goes_on_and_a_missing_one_leaves_the_run_unfinished(tmp_path: Path) -> None:
    play(tmp_path, batch_size=4, shard=(1, 2), limit=16)
    model = ToyModel()
    [result] = play(tmp_path, model, batch_size=4, shard=(1, 2)).results
    assert result.questions == 20
    assert len(model.model.asked) == 12
    assert done_of(tmp_path / "shards", into=tmp_path / "all") == ["copied"]
    rest = ToyModel()
    play(tmp_path / "all", rest, batch_size=4)
    assert len(rest.model.asked) == 20


def test_shards_are_cut_by_a_stated_batch_size(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--batch-size N beside --shard"):
        play(tmp_path, shard=(1, 2))
    with pytest.raises(UsageError, match="is not a part"):
        play(tmp_path, batch_size=4, shard=(3, 2))
