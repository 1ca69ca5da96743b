"""The index: checked once, remembered, and never believed over the files."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_leaderboard import copied, edited
from test_run_story import play
from toy import Script, ToyModel, ToyPlugin, toy_host

from fgvr_bench.core import index as module
from fgvr_bench.core.host import Host
from fgvr_bench.core.index import Found, Index
from fgvr_bench.core.option_audit import image_blind_accuracy
from fgvr_bench.core.run_folder import file_digest


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Note every folder that is looked through."""
    folders: list[Path] = []
    real = module.check_run

    def check(host: Host, folder: Path, *rest: Any) -> Any:
        folders.append(folder)
        return real(host, folder, *rest)

    monkeypatch.setattr(module, "check_run", check)
    return folders


def aged(folder: Path) -> None:
    """Make it an hour since the files of a folder were changed, as far as that can be set."""
    for path in folder.rglob("*"):
        if path.is_file():
            os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns - 3_600_000_000_000))


def read(*folders: Path) -> Found:
    with Index() as index:
        return index.read(folders, toy_host())


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take files for settled at once, which otherwise takes two seconds."""
    monkeypatch.setattr(module, "SETTLED_NS", -3_600_000_000_000)


def test_bits_are_the_verdicts_and_clusters_the_classes(tmp_path: Path) -> None:
    folder = play(tmp_path, ToyModel("says-a", Script("always-a"))).results[0].folder
    (found,) = read(tmp_path).runs
    lines = [json.loads(line) for line in (folder / "responses.jsonl").read_text().splitlines()]
    assert found.correct.tolist() == [line["target"] == 0 for line in lines]
    classes = list(dict.fromkeys(line["label"] for line in lines))
    assert found.questions.clusters.tolist() == [classes.index(line["label"]) for line in lines]
    assert found.questions.chance == 0.25


def test_what_the_options_give_away_is_that_of_the_audit(tmp_path: Path) -> None:
    folder = play(tmp_path, dataset=ToyPlugin(each=30), options="random").results[0].folder
    (found,) = read(tmp_path).runs
    assert found.questions.blind is None, "four labels: every question has the same choices"
    labels = [f"label {number}" for number in range(12)]
    lines = []
    rows = []
    for number, line in enumerate(map(json.loads, (folder / "responses.jsonl").read_text().splitlines())):
        truth = number % 12
        others = [(truth + step) % 12 for step in (1, 2, 3 + number % 5)]
        rows.append([truth, *others])
        names = [labels[each] for each in (*others[:1], truth, *others[1:])]
        lines.append({**line, "choices": names, "label": labels[truth], "target": 1, "completion": "B"})
    (folder / "responses.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    digest = file_digest(folder / "responses.jsonl")
    edited(folder, labels=labels, responses_sha256=digest, metrics={"accuracy": 1.0})
    (found,) = read(tmp_path).runs
    assert found.questions.blind == round(image_blind_accuracy(np.array(rows)), 4)
    assert found.questions.blind > 0.5, "the truth stands out in such sets"


@pytest.mark.usefixtures("settled")
def test_a_run_is_looked_through_once(tmp_path: Path, counted: list[Path]) -> None:
    play(tmp_path)
    first, second = read(tmp_path), read(tmp_path)
    assert len(counted) == 1
    assert first.runs[0].run == second.runs[0].run
    assert first.runs[0].bits == second.runs[0].bits
    assert first.runs[0].questions.clusters.tolist() == second.runs[0].questions.clusters.tolist()


def test_a_run_that_was_written_this_moment_is_looked_through_again(tmp_path: Path, counted: list[Path]) -> None:
    """Within one tick of the clock a second change would leave size and times as they are."""
    play(tmp_path)
    read(tmp_path)
    read(tmp_path)
    assert len(counted) == 2


@pytest.mark.usefixtures("settled")
def test_a_changed_answer_is_seen_though_size_and_date_are_the_same(tmp_path: Path, counted: list[Path]) -> None:
    folder = play(tmp_path).results[0].folder
    aged(tmp_path)
    assert len(read(tmp_path).runs) == 1
    path = folder / "responses.jsonl"
    before = path.stat()
    path.write_text(path.read_text().replace('"completion":"A"', '"completion":"B"', 1))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_size == before.st_size
    found = read(tmp_path)
    assert list(found.runs) == []
    assert "its digest differs" in found.problems[0]


@pytest.mark.usefixtures("settled")
def test_another_judge_looks_at_every_run_anew(
    tmp_path: Path, counted: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    play(tmp_path)
    read(tmp_path)
    monkeypatch.setattr(module, "judge", lambda host, inputs: "another")
    read(tmp_path)
    assert len(counted) == 2


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("damage", ["garbage", "other version", "emptied", "a row"])
def test_a_damaged_index_is_made_anew(tmp_path: Path, counted: list[Path], damage: str) -> None:
    play(tmp_path)
    base = tmp_path / "runs.sqlite"
    with Index(base) as index:
        index.read([tmp_path], toy_host())
    if damage == "garbage":
        base.write_bytes(b"no database at all" * 100)
    elif damage == "emptied":
        base.write_bytes(b"")
    else:
        connection = sqlite3.connect(base)
        connection.execute("PRAGMA user_version = 99" if damage == "other version" else "UPDATE runs SET content = '{'")
        connection.commit()
        connection.close()
    for _ in range(2):
        with Index(base) as index:
            assert len(index.read([tmp_path], toy_host()).runs) == 1
    assert len(counted) == 2, "anew, and then remembered again"


def test_without_a_place_for_the_index_boards_are_built_all_the_same(tmp_path: Path) -> None:
    play(tmp_path / "results")
    (tmp_path / "file").write_text("in the way")
    with Index(tmp_path / "file" / "runs.sqlite") as index:
        assert len(index.read([tmp_path / "results"], toy_host()).runs) == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"metrics": {"accuracy": 0.99}}, "claims figures that its responses do not give: accuracy 0.99"),
        ({"metrics": {"accuracy": 1.0, "unparsed": 0.5}}, "unparsed 0.5"),
        ({"questions": 41}, "claims 41 answers"),
        ({"failed": 3}, "3 of them failed"),
        ({"run_id": "0123456789ab"}, "its id 0123456789ab is not that of its inputs"),
        ({"model": "gpt-9"}, "headed gpt-9 on toy"),
        ({"dataset": "bird-200"}, "headed oracle on bird-200"),
        ({"responses_sha256": "0" * 64}, "its digest differs"),
        ({"labels": "none"}, "labels"),
    ],
)
def test_what_was_changed_by_hand_is_named_and_left_out(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    play(tmp_path)
    folder = play(tmp_path, ToyModel("says-a", Script("always-a"))).results[0].folder
    shutil.rmtree(folder)
    folder = play(tmp_path, dataset=ToyPlugin("toy-2")).results[0].folder
    if "dataset" in change or "model" in change or "run_id" in change:
        folder = next(tmp_path.glob("toy/oracle/*/run.json")).parent
    edited(folder, **change)
    found = read(tmp_path)
    assert len(found.runs) == 1
    assert str(folder) in found.problems[0]
    assert said in found.problems[0]


def test_a_protocol_that_is_not_installed_costs_only_its_runs(tmp_path: Path) -> None:
    folder = play(tmp_path).results[0].folder
    copied(folder, protocol="theirs-2")
    found = read(tmp_path)
    assert len(found.runs) == 1
    assert "theirs-2" in found.problems[0]


def test_responses_that_are_gone_are_named(tmp_path: Path) -> None:
    folder = play(tmp_path).results[0].folder
    (folder / "responses.jsonl").unlink()
    (problem,) = read(tmp_path).problems
    assert "responses.jsonl cannot be read" in problem


def twin(folder: Path, place: Path, **versions: str) -> None:
    """Copy a run, with one answer changed and other versions named."""
    other = place / "toy" / "oracle" / folder.name
    shutil.copytree(folder, other)
    path = other / "responses.jsonl"
    path.write_text(path.read_text().replace('"completion":"A"', '"completion":"B"', 1))
    accuracy = 39 / 40
    edited(other, responses_sha256=file_digest(path), metrics={"accuracy": accuracy})
    machine = json.loads((other / "machine.json").read_text())
    machine["executions"][0]["versions"] |= versions
    (other / "machine.json").write_text(json.dumps(machine))


def test_two_runs_of_one_id_with_other_answers_are_refused_both(tmp_path: Path) -> None:
    folder = play(tmp_path / "a").results[0].folder
    play(tmp_path / "a", ToyModel("says-a", Script("always-a")))
    twin(folder, tmp_path / "b")
    found = read(tmp_path)
    assert [each.run.model for each in found.runs] == ["says-a"]
    assert f"2 runs claim the id {folder.name} with different answers" in found.problems[0]


def test_versions_that_differ_make_two_labelled_rows_of_one_id(tmp_path: Path) -> None:
    from test_leaderboard import labels_of

    folder = play(tmp_path / "a").results[0].folder
    twin(folder, tmp_path / "b", torch="9.9.9")
    found = read(tmp_path)
    assert found.problems == []
    labels = labels_of(tmp_path)
    assert len(labels) == 2
    assert "oracle (torch 9.9.9)" in labels


def test_runs_that_claim_one_column_and_were_asked_other_questions_stand_apart(tmp_path: Path) -> None:
    play(tmp_path)
    folder = play(tmp_path, ToyModel("says-a", Script("always-a"))).results[0].folder
    path = folder / "responses.jsonl"
    path.write_text(path.read_text().replace("Amber/0001#", "Amber/9999#"))
    edited(folder, responses_sha256=file_digest(path))
    runs = read(tmp_path).runs
    assert len({each.run.column for each in runs}) == 2
    assert len({each.run.column.options for each in runs}) == 1
