"""Boards from results: what stands in one column, and what is never hidden."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from boards import to_csv, to_html, to_json, to_latex, to_markdown, to_text
from click.testing import CliRunner
from test_run_story import play
from toy import Script, ToyModel, ToyPlugin, toy_host

from fgvr_bench.cli.leaderboard import leaderboard
from fgvr_bench.core.board import Table
from fgvr_bench.core.index import Found, Index
from fgvr_bench.core.leaderboard import build_tables
from fgvr_bench.core.placing import MARKERS
from fgvr_bench.core.rescoring import rescore, write_scores
from fgvr_bench.core.results import read_runs
from fgvr_bench.core.run_folder import SEAL, run_id
from fgvr_bench.core.subset import import_subset
from fgvr_bench.errors import FgvrError


def read(*folders: Path) -> Found:
    with Index() as index:
        return index.read(folders, toy_host())


def tables(*folders: Path) -> list[Table]:
    return build_tables(read(*folders).runs)


def board(folder: Path) -> str:
    return to_markdown(tables(folder))


def body(markdown: str) -> list[list[str]]:
    """Return head and rows of models: name and figures, without intervals, marks, ranks and headings of blocks."""
    rows = [line.strip("|").split("|") for line in markdown.splitlines() if line.startswith("| ")]
    rows = [[re.sub(r"<br><sub>.*?</sub>|[*≈]", "", cell).strip() for cell in row] for row in rows]
    head = rows[0]
    kept = [place for place, name in enumerate(head) if name not in {"rank", "parameters", "tokens", "from"}]
    bare = {"options alone (naive Bayes)", "chance"}
    return [[row[place] for place in kept] for row in rows if row[0] not in bare and (any(row[1:]) or row is head)]


def test_models_stand_in_rows_and_datasets_in_columns_with_counts(tmp_path: Path) -> None:
    play(tmp_path)
    play(tmp_path, dataset=ToyPlugin("toy-2", each=5))
    play(tmp_path, ToyModel("says-a", Script("always-a")))
    head, first, second = body(board(tmp_path))
    assert head == ["model", "toy<br>n = 40", "toy-2<br>n = 20", "mean<br>of datasets", "micro<br>all questions"]
    assert first == ["oracle", "100.00", "100.00", "100.00", "100.00"]
    assert second[0] == "says-a"
    assert second[2:] == ["", "", ""], "a missing cell is empty and keeps the model out of the averages"
    play(tmp_path, ToyModel("again"))
    ranks = {line.label: line.rank for line in tables(tmp_path)[0].lines}
    assert (ranks.get("oracle"), ranks.get("says-a")) == (None, None), "and out of their ranking"


def test_unfinished_and_partial_runs_are_counted_and_left_out(tmp_path: Path) -> None:
    play(tmp_path, limit=8)
    assert read_runs(tmp_path) == ([], [], 1)
    result = CliRunner().invoke(leaderboard, ["build", str(tmp_path)])
    assert "1 unfinished or partial run left out." in result.stderr
    assert result.stdout == "No complete run yet.\n"


def test_other_seeds_and_option_sets_are_other_columns(tmp_path: Path) -> None:
    play(tmp_path)
    play(tmp_path, seed=1)
    head = body(board(tmp_path))[0]
    assert head[1:] == ["toy<br>seed 0<br>n = 40", "toy<br>seed 1<br>n = 40"], "and no mean: they asked one dataset"


def test_seen_and_unseen_classes_stand_with_their_harmonic_mean(tmp_path: Path) -> None:
    dataset = ToyPlugin()
    file = tmp_path / "seen.txt"
    file.write_text("Amber\nSky_blue\n")
    import_subset(file, dataset.dataset, "test", "seen")
    for name in ("seen", "unseen"):
        play(tmp_path / "r", ToyModel("says-a", Script("always-a")), dataset, subset=name)
    head, row = body(board(tmp_path / "r"))
    assert head == ["model", "toy seen<br>n = 20", "toy unseen<br>n = 20", "toy<br>harmonic mean"]
    seen, unseen = (run.metrics["accuracy"] or 0 for run in read_runs(tmp_path / "r")[0])
    assert float(row[3]) == pytest.approx(100 * 2 * seen * unseen / (seen + unseen), abs=0.006)


def test_runs_of_one_cell_that_differ_are_rows_labelled_by_what_differs(tmp_path: Path) -> None:
    play(tmp_path)
    play(tmp_path, batch_size=3)
    labels = [row[0] for row in body(board(tmp_path))[1:]]
    assert sorted(labels) == ["oracle (batch size 3)", "oracle (batch size auto)"]


def rows_of_runs(text: str) -> list[dict[str, str]]:
    return [row for row in csv.DictReader(io.StringIO(text)) if row["run_id"]]


def labels_of(folder: Path) -> list[str]:
    return sorted(row[0] for row in body(board(folder))[1:])


def edited(folder: Path, **changes: Any) -> None:
    """Change the run.json of a folder, as files from elsewhere may differ; the id follows the inputs.

    It carries no digest of itself, as none did at first.
    """
    content = {**json.loads((folder / "run.json").read_text()), **changes}
    if "run_id" not in changes:
        content["run_id"] = run_id(content["inputs"])
    content.pop(SEAL, None)
    (folder / "run.json").write_text(json.dumps(content))


def copied(folder: Path, **inputs: Any) -> None:
    """Add a run with other inputs beside that of `folder`."""
    content = json.loads((folder / "run.json").read_text())
    content["inputs"] |= inputs
    name = run_id(content["inputs"])
    shutil.copytree(folder, folder.parent / name)
    edited(folder.parent / name, inputs=content["inputs"])


def test_checkpoints_of_one_model_on_different_datasets_never_share_a_row(tmp_path: Path) -> None:
    for dataset, digest in (("toy", "a" * 64), ("toy-2", "b" * 64)):
        folder = play(tmp_path, dataset=ToyPlugin(dataset)).results[0].folder
        inputs = json.loads((folder / "run.json").read_text())["inputs"]
        edited(folder, inputs={**inputs, "model": {**inputs["model"], "sha256": digest}})
    assert labels_of(tmp_path) == ["oracle (sha256 aaaaaaaa)", "oracle (sha256 bbbbbbbb)"]
    assert all(row[-1] == "" for row in body(board(tmp_path))[1:]), "no mean over two checkpoints"


def test_a_row_is_not_split_by_what_differs_with_the_dataset_alone(tmp_path: Path) -> None:
    play(tmp_path)
    folder = play(tmp_path, dataset=ToyPlugin("toy-2")).results[0].folder
    inputs = json.loads((folder / "run.json").read_text())["inputs"]
    edited(folder, batch_size=2, inputs={**inputs, "task_facts": {"taxonomy": "c" * 64}})
    assert labels_of(tmp_path) == ["oracle"]


def test_a_batch_size_found_and_the_same_one_asked_for_are_two_rows(tmp_path: Path) -> None:
    play(tmp_path)
    play(tmp_path, batch_size=4)
    assert labels_of(tmp_path) == ["oracle (batch size 4)", "oracle (batch size auto)"]


def test_two_imports_of_one_cell_are_two_rows(tmp_path: Path) -> None:
    folder = play(tmp_path).results[0].folder
    for name in ("one.json", "two.json"):
        copied(folder, imported={"format": "foci", "file": name})
    shutil.rmtree(folder)
    assert labels_of(tmp_path) == ["oracle (file one.json)", "oracle (file two.json)"]


def test_a_run_that_is_found_twice_counts_once(tmp_path: Path) -> None:
    folder = play(tmp_path / "a").results[0].folder
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    found = read(tmp_path)
    assert (len(found.runs), found.copies, found.problems) == (1, 1, [])
    assert len(read(tmp_path / "a", tmp_path / "a", folder).runs) == 1, "a folder named twice is one folder"


def test_labels_that_differ_only_where_they_are_cut_stay_two_rows(tmp_path: Path) -> None:
    folder = play(tmp_path).results[0].folder
    for last in "01":
        copied(folder, model={"name": "oracle", "sha256": "a" * 63 + last})
    shutil.rmtree(folder)
    assert len(set(labels_of(tmp_path))) == 2


@pytest.mark.parametrize(
    ("changes", "heads"),
    [
        ({"permutations": 4}, ["1 order", "4 orders"]),
        ({"dataset": {"name": "toy", "split": "test", "digest": "f" * 64}}, ["images ffffffff"]),
        ({"options": {"digest": "e" * 64, "miner": "clip", "k": 4}}, ["clip, k = 4 eeeeeeee", "random, k = 4"]),
    ],
)
def test_columns_say_at_their_head_in_what_they_differ(
    tmp_path: Path, changes: dict[str, Any], heads: list[str]
) -> None:
    folder = play(tmp_path).results[0].folder
    copied(folder, **changes)
    found = body(board(tmp_path))[0][1:]
    assert len(found) == len(set(found)) == 2
    assert all(any(head in one for one in found) for head in heads), found
    assert not any("seed" in one for one in found), "what they share is not said"


def test_the_board_shows_the_main_metric_that_the_run_names(tmp_path: Path) -> None:
    folder = play(tmp_path).results[0].folder
    edited(folder, main_metric="truth-rank", metrics={"accuracy": 1.0, "a-first": 0.5, "truth-rank": 0.25})
    assert "truth-rank in %" in board(tmp_path)
    assert body(board(tmp_path))[1] == ["oracle", "25.00"]
    assert "interval" not in board(tmp_path), "its bits say nothing of that figure"
    edited(folder, main_metric="gone")
    assert "its main metric 'gone' is none of its metrics" in read_runs(tmp_path)[1][0]


def test_a_run_that_names_no_main_metric_shows_accuracy_or_its_first(tmp_path: Path) -> None:
    folder = play(tmp_path).results[0].folder
    content = json.loads((folder / "run.json").read_text())
    for name in ("main_metric", SEAL):
        content.pop(name, None)
    for metrics, shown in (({"a": 0.5, "accuracy": 1.0}, "100.00"), ({"b": 0.5, "c": 0.25}, "50.00")):
        (folder / "run.json").write_text(json.dumps({**content, "metrics": metrics}))
        assert body(board(tmp_path))[1][1] == shown


@pytest.mark.parametrize(
    "damage",
    [
        {"metrics": {"accuracy": float("nan")}},
        {"metrics": {"accuracy": float("inf")}},
        {"metrics": {"accuracy": True}},
        {"questions": float("inf")},
        {"inputs": {"options": ["clip"]}},
        {"inputs": {"options": {"digest": "e" * 64}}},
        {"inputs": {"permutations": "many"}},
        {"inputs": {"seed": None}},
        {"inputs": {"dataset": "toy"}},
        {"inputs": {"subset": "seen"}},
    ],
)
def test_a_run_with_damaged_figures_or_inputs_costs_only_itself(tmp_path: Path, damage: dict[str, Any]) -> None:
    play(tmp_path)
    folder = play(tmp_path, ToyModel("says-a", Script("always-a"))).results[0].folder
    inputs = json.loads((folder / "run.json").read_text())["inputs"]
    edited(folder, **{**damage, "inputs": {**inputs, **damage.get("inputs", {})}})
    runs, (problem,), _ = read_runs(tmp_path)
    assert [run.model for run in runs] == ["oracle"]
    assert str(folder) in problem
    found = read(tmp_path)
    assert [each.run.model for each in found.runs] == ["oracle"]
    assert str(folder) in found.problems[0]
    assert "100.0" in board(tmp_path)


def test_failed_and_unparsed_answers_stand_under_the_table(tmp_path: Path) -> None:
    play(tmp_path, dataset=ToyPlugin(broken=frozenset({"Amber/0001"})))
    assert "oracle: toy 1 failed" in board(tmp_path)


def test_a_run_scored_by_another_version_says_so_until_it_is_scored_again(tmp_path: Path) -> None:
    path = play(tmp_path).results[0].folder / "run.json"
    edited(path.parent, scored_by="0.0.1")
    assert "oracle: toy scored by fgvr-bench 0.0.1." in board(tmp_path)
    write_scores(rescore(toy_host(), path.parent))
    assert "scored by" not in board(tmp_path)


def test_the_same_runs_give_the_same_bytes_in_whatever_order_they_come(tmp_path: Path) -> None:
    for seed in (0, 1):
        play(tmp_path, seed=seed)
        play(tmp_path, ToyModel("says-a", Script("always-a")), seed=seed)
    runs = read(tmp_path).runs
    for write in (to_markdown, to_text, to_csv, to_json, to_latex, to_html):
        assert write(build_tables(runs)) == write(build_tables(runs[::-1]))


def test_csv_has_a_row_a_run_and_figures_in_full(tmp_path: Path) -> None:
    play(tmp_path, ToyModel("says-a", Script("always-a")))
    (row,) = rows_of_runs(to_csv(tables(tmp_path)))
    stored = json.loads(next(tmp_path.rglob("run.json")).read_text())
    assert float(row["accuracy"]) == stored["metrics"]["accuracy"]
    assert (row["questions"], row["run_id"]) == ("40", stored["run_id"])


@pytest.mark.parametrize(
    "damage",
    ["", "{", "[]", '{"format": "fgvr-bench/run", "version": 1}', '{"format": "fgvr-bench/run", "version": 9}'],
)
def test_a_damaged_or_newer_run_is_named_and_the_rest_is_built(tmp_path: Path, damage: str) -> None:
    play(tmp_path)
    bad = tmp_path / "toy" / "bad" / "000000000000" / "run.json"
    bad.parent.mkdir(parents=True)
    bad.write_text(damage)
    result = CliRunner().invoke(leaderboard, ["build", str(tmp_path)])
    assert result.exit_code == 0
    assert str(bad) in result.stderr
    assert re.search(r"oracle +100\.00", result.stdout)
    strict = CliRunner().invoke(leaderboard, ["build", str(tmp_path), "--strict"])
    assert isinstance(strict.exception, FgvrError)
    assert strict.stdout == ""


def test_csv_says_what_each_run_was_asked_and_counts_failures_once(tmp_path: Path) -> None:
    play(tmp_path, dataset=ToyPlugin(broken=frozenset({"Amber/0001"})), seed=3)
    text = to_csv(tables(tmp_path))
    heads = text.splitlines()[0].split(",")
    assert len(heads) == len(set(heads))
    (row,) = rows_of_runs(text)
    asked = [row[name] for name in ("subset", "shown", "seed", "permutations", "failed", "main_metric")]
    assert asked == ["", "shown", "3", "1", "1", "accuracy"]
    assert len(row["images"]) == 64


def test_output_writes_between_markers_and_check_tells_whether_it_is_current(tmp_path: Path) -> None:
    play(tmp_path / "results")
    readme = tmp_path / "README.md"
    readme.write_text(f"# Mine\n\n{MARKERS.start}\nold\n{MARKERS.end}\n\nThe end.\n")
    build = ["build", str(tmp_path / "results"), "--output", str(readme)]
    stale = CliRunner().invoke(leaderboard, [*build, "--check"])
    assert isinstance(stale.exception, FgvrError)
    assert "-old" in stale.stdout
    assert CliRunner().invoke(leaderboard, build).exit_code == 0
    assert readme.read_text().startswith("# Mine\n")
    assert readme.read_text().endswith("\n\nThe end.\n")
    assert "| oracle | 100.00<br>" in readme.read_text()
    assert CliRunner().invoke(leaderboard, [*build, "--check"]).exit_code == 0


def test_a_file_without_a_place_for_the_board_is_left_as_it_is(tmp_path: Path) -> None:
    play(tmp_path / "results")
    mine = tmp_path / "README.md"
    mine.write_text("# Mine\n")
    done = CliRunner().invoke(leaderboard, ["build", str(tmp_path / "results"), "--output", str(mine)])
    assert isinstance(done.exception, FgvrError)
    assert MARKERS.start in str(done.exception)
    assert mine.read_text() == "# Mine\n"


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FgvrError, match="there is no results folder"):
        read_runs(tmp_path / "nowhere")
