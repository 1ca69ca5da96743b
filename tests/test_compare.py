"""Comparing two runs: on the same questions or not at all, and with every change named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from test_run_story import play
from toy import Script, ToyModel, ToyPlugin, toy_host

from fgvr_bench.cli import compare as command
from fgvr_bench.core.compare import Comparison, compare
from fgvr_bench.core.compare_formats import to_json, to_markdown, to_text
from fgvr_bench.core.find_run import find_run
from fgvr_bench.core.results import StoredRun, read_runs
from fgvr_bench.core.statistics import mcnemar_exact
from fgvr_bench.errors import DataInvalid, FgvrError, UsageError

SAYS_A = "always-a"


def says_a() -> ToyModel:
    return ToyModel("says-a", Script(SAYS_A))


@pytest.fixture
def two(tmp_path: Path) -> tuple[StoredRun, StoredRun]:
    """The model that knows, and the one that says A, on forty questions."""
    play(tmp_path)
    play(tmp_path, says_a())
    by_model = {run.model: run for run in read_runs(tmp_path)[0]}
    return by_model["oracle"], by_model["says-a"]


def compared(two: tuple[StoredRun, StoredRun]) -> Comparison:
    return compare(toy_host(), *two)


def targets(run: StoredRun) -> list[int]:
    return [json.loads(line)["target"] for line in (run.folder / "responses.jsonl").read_text().splitlines()]


def test_the_difference_is_that_of_the_same_questions(two: tuple[StoredRun, StoredRun]) -> None:
    found = compared(two)
    behind_a = [target == 0 for target in targets(two[0])]
    assert (found.questions, found.a.right, found.b.right) == (40, 40, sum(behind_a))
    assert found.difference == pytest.approx(1 - sum(behind_a) / 40)
    assert found.interval.low < found.difference < found.interval.high
    assert found.mcnemar == mcnemar_exact([True] * 40, behind_a)
    assert 0 < found.sign_flip <= 1
    assert found.detectable is not None
    assert found.detectable > 0


def test_the_other_way_round_everything_is_turned_round(two: tuple[StoredRun, StoredRun]) -> None:
    one, other = compared(two), compared((two[1], two[0]))
    assert other.difference == -one.difference
    assert (other.only_a, other.only_b) == (one.only_b, one.only_a)
    assert (other.sign_flip, other.mcnemar) == (one.sign_flip, one.mcnemar)


def test_changed_questions_and_classes_are_named_in_both_directions(two: tuple[StoredRun, StoredRun]) -> None:
    found = compared((two[1], two[0]))
    wrong = [
        line for line in (two[1].folder / "responses.jsonl").read_text().splitlines() if json.loads(line)["target"]
    ]
    assert [flip.question_id for flip in found.flips] == [json.loads(line)["question_id"] for line in wrong]
    assert {(flip.a.correct, flip.b.correct) for flip in found.flips} == {(False, True)}
    assert found.flips[0].b.given == found.flips[0].label != found.flips[0].a.given
    assert sum(each.only_b for each in found.classes) == len(wrong) == found.only_b
    assert all(each.right_a - each.right_b == each.only_a - each.only_b for each in found.classes)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"seed": 1}, "seed 0 and 1"),
        ({"protocol": "foci"}, "protocol fgvr-1 and foci"),
        ({"task": "yes-no"}, "task multiple-choice and yes-no"),
    ],
)
def test_runs_that_were_asked_otherwise_are_refused_by_what_differs(
    tmp_path: Path, settings: dict[str, Any], named: str
) -> None:
    play(tmp_path / "a")
    play(tmp_path / "b", says_a(), **settings)
    with pytest.raises(UsageError, match=named):
        compare(toy_host(), read_runs(tmp_path / "a")[0][0], read_runs(tmp_path / "b")[0][0])


def test_other_images_are_refused(tmp_path: Path) -> None:
    play(tmp_path / "a")
    play(tmp_path / "b", says_a(), ToyPlugin(each=9))
    with pytest.raises(UsageError, match=r"dataset digest \w{12} and \w{12}; option set"):
        compare(toy_host(), read_runs(tmp_path / "a")[0][0], read_runs(tmp_path / "b")[0][0])


def test_a_run_may_be_held_against_its_control_with_blank_pictures(tmp_path: Path) -> None:
    play(tmp_path, says_a())
    play(tmp_path, says_a(), blank_images=True)
    found = compare(toy_host(), *read_runs(tmp_path)[0])
    assert found.difference == 0
    assert [(each.name, {each.a, each.b}) for each in found.apart] == [("images", {"shown", "blank"})]


def test_questions_that_differ_under_one_digest_are_found_out(two: tuple[StoredRun, StoredRun]) -> None:
    from fgvr_bench.core.run_folder import RunFolder, file_digest

    folder = RunFolder(two[1].folder)
    lines = folder.responses_file.read_text().splitlines()
    lines[3] = lines[3].replace('"letters":"ABCD"', '"letters":"ABDC"')
    folder.responses_file.write_text("\n".join(lines) + "\n")
    content = json.loads(folder.run_file.read_text())
    folder.run_file.write_text(json.dumps(content | {"responses_sha256": file_digest(folder.responses_file)}))
    with pytest.raises(DataInvalid, match=r"were not: .* is not the same question in both"):
        compared(two)


def test_what_differs_beside_the_answers_is_named(tmp_path: Path) -> None:
    play(tmp_path)
    play(tmp_path, batch_size=3)
    found = compare(toy_host(), *read_runs(tmp_path)[0])
    assert {each.name: {each.a, each.b} for each in found.apart} == {
        "batch_plan.batch_size": {"auto", "3"},
        "batch size used": {"4", "3"},
    }


def test_library_versions_of_the_executions_are_among_it(two: tuple[StoredRun, StoredRun]) -> None:
    machine = two[1].folder / "machine.json"
    content = json.loads(machine.read_text())
    content["executions"][0]["versions"]["torch"] = "0.1"
    machine.write_text(json.dumps(content))
    versions = {each.name: each.b for each in compared(two).apart if each.name.startswith("version")}
    assert versions == {"version of torch": "0.1"}


@pytest.fixture
def run_command(two: tuple[StoredRun, StoredRun], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The command, on the results of the two."""
    dataset = ToyPlugin()
    monkeypatch.setattr(command, "host", lambda: toy_host([], [dataset]))

    def run(*words: str) -> Result:
        return CliRunner().invoke(command.compare, [*words, "--results-dir", str(tmp_path)])

    return run


def test_runs_are_named_by_model_and_dataset_by_id_or_by_folder(
    two: tuple[StoredRun, StoredRun], tmp_path: Path
) -> None:
    for named in ("oracle@toy", two[0].run_id, two[0].run_id[:6], str(two[0].folder)):
        assert find_run(named, tmp_path).folder == two[0].folder
    with pytest.raises(UsageError, match="Did you mean oracle@toy"):
        find_run("orakle@toy", tmp_path)
    with pytest.raises(UsageError, match=r"may be any of 2 runs: .*oracle on toy.*says-a on toy"):
        find_run(str(tmp_path), tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="holds no complete run"):
        find_run(str(tmp_path / "empty"), tmp_path)
    with pytest.raises(FgvrError, match="no results folder"):
        find_run("oracle@toy", tmp_path / "nowhere")


def test_a_model_with_two_runs_is_not_chosen_from_silently(tmp_path: Path) -> None:
    play(tmp_path)
    play(tmp_path, batch_size=3)
    with pytest.raises(UsageError, match=r"batch size 3.*batch size auto|batch size auto.*batch size 3"):
        find_run("oracle@toy", tmp_path)


def test_a_name_means_the_run_that_saw_pictures_not_its_control(tmp_path: Path) -> None:
    play(tmp_path)
    play(tmp_path, ToyModel("oracle", Script(SAYS_A)), blank_images=True)
    assert find_run("oracle@toy", tmp_path).column.shown == "shown"


def test_a_regression_fails_a_build_and_says_how_sure_it_is(run_command: Any, two: tuple[StoredRun, StoredRun]) -> None:
    failed = run_command("says-a@toy", "--baseline", "oracle@toy", "--fail-if-worse", "1.0")
    assert isinstance(failed.exception, FgvrError)
    assert failed.exception.exit_status == 1
    assert "worse than allowed (1 points): −" in failed.exception.message
    assert "sign-flip p" in failed.exception.message
    passed = run_command("oracle@toy", "--baseline", "says-a@toy", "--fail-if-worse", "0")
    assert passed.exit_code == 0, passed.output
    lost = 100 * (two[0].questions - targets(two[0]).count(0)) / two[0].questions
    exactly = run_command("says-a@toy", "oracle@toy", "--fail-if-worse", repr(lost))
    assert exactly.exit_code == 0, "a limit that is met exactly is not exceeded"


def test_one_run_alone_or_three_are_wrong_usage(run_command: Any) -> None:
    for words in (("oracle@toy",), ("oracle@toy", "says-a@toy", "--baseline", "says-a@toy")):
        assert isinstance(run_command(*words).exception, UsageError)
    same = run_command("oracle@toy", "oracle@toy").exception
    assert isinstance(same, UsageError)
    assert "both are the run" in same.message


def test_every_format_tells_the_same(two: tuple[StoredRun, StoredRun]) -> None:
    found = compared(two)
    read = json.loads(to_json(found))
    assert (read["format"], read["version"]) == ("fgvr-bench/comparison", 1)
    assert read["difference"] == found.difference
    assert len(read["flips"]) == found.only_a + found.only_b
    assert read["a"]["right"] == 40
    for write in (to_text, to_markdown):
        assert f"{100 * found.difference:+.2f} points" in write(found)
        assert found.flips[0].question_id.replace("_", "&#95;" if write is to_markdown else "_") in write(found)
        assert "the first 1)" in write(found, 1)


def test_the_page_shows_both_answers_beside_the_picture(run_command: Any, tmp_path: Path) -> None:
    page = tmp_path / "flips.html"
    done = run_command("oracle@toy", "says-a@toy", "--page", str(page))
    assert done.exit_code == 0, done.output
    text = page.read_text()
    flips = compare(toy_host(), find_run("oracle@toy", tmp_path), find_run("says-a@toy", tmp_path)).flips
    assert text.count('src="data:image/webp;base64,') == len(flips)
    assert text.count("<article") == len(flips)
    assert "<script" not in text


def test_a_page_without_its_dataset_says_so_and_is_written(
    run_command: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "host", lambda: toy_host([], []))
    page = tmp_path / "flips.html"
    done = run_command("oracle@toy", "says-a@toy", "--page", str(page))
    assert done.exit_code == 0, done.output
    assert "no pictures: there is no dataset &#39;toy&#39;" in page.read_text()
    assert "no pictures" in done.stderr


def test_a_page_is_never_written_over_another_file(run_command: Any, tmp_path: Path) -> None:
    notes = tmp_path / "notes.html"
    notes.write_text("my notes")
    done = run_command("oracle@toy", "says-a@toy", "--page", str(notes))
    assert isinstance(done.exception, FgvrError)
    assert notes.read_text() == "my notes"
