"""Stored responses can be scored again, without model and dataset; so can answers that others published."""

from __future__ import annotations

import gzip
import json
import threading
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from test_run_story import play
from toy import Script, ToyModel, toy_host

from fgvr_bench.cli.results import FORMATS, results
from fgvr_bench.cli.score import score
from fgvr_bench.core.host import host
from fgvr_bench.core.importing import import_run
from fgvr_bench.core.locks import lock
from fgvr_bench.core.rescoring import rescore, write_scores
from fgvr_bench.core.results import read_runs
from fgvr_bench.core.run_folder import RunFolder, file_digest
from fgvr_bench.errors import DataInvalid, FgvrError, UsageError


def test_scoring_again_gives_the_stored_figures(tmp_path: Path) -> None:
    folder = play(tmp_path, ToyModel("says-a", Script("always-a"))).results[0].folder
    found = rescore(toy_host(), folder)
    assert found.metrics == found.stored
    assert sum(found.rules.values()) == 40
    result = CliRunner().invoke(score, [str(tmp_path), "--rules"])
    assert result.exit_code == 0, result.output
    assert "says-a" in result.stdout


def test_each_letter_s_accuracy_and_share_are_part_of_the_results(tmp_path: Path) -> None:
    folder = play(tmp_path, ToyModel("says-a", Script("always-a")), permutations="cyclic").results[0].folder
    positions = json.loads((folder / "run.json").read_text())["positions"]
    assert positions == {"A": [40, 40, 160], "B": [40, 0, 0], "C": [40, 0, 0], "D": [40, 0, 0]}
    done = CliRunner().invoke(score, [str(tmp_path), "--positions"])
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[-4].split()[3:] == ["A", "40", "100.0", "%", "100.0", "%"]


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
    assert f"accuracy {100 * accuracy:.1f} %," in done.stdout
    ((run,), _, _) = read_runs(tmp_path)
    found = rescore(host(), run.folder)
    assert found.metrics["accuracy"] == run.metrics["accuracy"] == accuracy
    assert found.changed == []
    careful = rescore(host(), run.folder, protocol="fgvr-1")
    assert careful.metrics["accuracy"] == pytest.approx(accuracy, abs=0.002), "these answers are plain letters"


@pytest.mark.parametrize("model", ["", "  ", "a\nb"])
def test_published_answers_need_a_name_to_go_by(tmp_path: Path, model: str) -> None:
    file = tmp_path / "answers.jsonl"
    file.write_text("")
    with pytest.raises(UsageError, match="cannot go by the name"):
        import_run(host(), file, FORMATS["foci"], "bird-200", model, tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_published_answers_that_are_no_better_than_chance_are_imported_with_a_caution(tmp_path: Path) -> None:
    rows = [
        {
            "image": f"{number}.jpg",
            "predicted_raw": "A",
            "predicted": options[0],
            "correct": options[number % 4],
            "options": options,
        }
        for number in range(40)
        for options in [["Cardinal", "Bobolink", "Mallard", "Ovenbird"]]
    ]
    file = tmp_path / "answers.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    words = ["import", str(file), "--dataset", "bird-200", "--model", "m", "--results-dir", str(tmp_path / "results")]
    done = CliRunner().invoke(results, words)
    assert done.exit_code == 0, done.output
    assert "accuracy 25.0 %, 40 questions" in done.stdout
    assert "Caution, m on bird-200: Accuracy (25.0 %)" in done.stderr


@pytest.mark.parametrize(
    ("asked", "task"),
    [
        ("multiple-choice", "yes-no"),
        ("multiple-choice", "open-ended"),
        ("multiple-choice", "zero-shot"),
        ("yes-no", "multiple-choice"),
        ("open-ended", "multiple-choice"),
        ("open-ended", "zero-shot"),
    ],
)
def test_answers_are_not_read_as_answers_to_another_kind_of_question(tmp_path: Path, asked: str, task: str) -> None:
    folder = play(tmp_path, ToyModel("says-a", Script("always-a")), task=asked).results[0].folder
    with pytest.raises(UsageError, match=f"was asked as fgvr-1 {asked}; fgvr-1 {task} asks another kind of question"):
        rescore(toy_host(), folder, task=task)
    assert isinstance(CliRunner().invoke(score, [str(tmp_path), "--task", task]).exception, FgvrError)


def test_another_protocol_reads_a_run_as_its_task_of_the_same_name(tmp_path: Path) -> None:
    folder = play(tmp_path, ToyModel("says-a", Script("always-a")), task="yes-no").results[0].folder
    assert rescore(toy_host(), folder, protocol="foci").task == "yes-no"


def scored(folder: Path, *words: str) -> tuple[str, str, str]:
    """Return stdout, stderr and the error of ``score`` over a folder where it has to end with exit status 1."""
    done = CliRunner().invoke(score, [str(folder), *words])
    assert isinstance(done.exception, FgvrError), done.output
    assert done.exception.exit_status == 1
    return done.stdout, done.stderr, str(done.exception)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        ({"labels": None}, "damaged"),
        ({"inputs": {}}, "damaged"),
        ({"metrics": None}, "damaged"),
        ({"inputs": {"protocol": "foci-9", "task": "multiple-choice"}}, "foci-9"),
        ({"format": "another"}, "not a fgvr-bench/run file"),
        ({"complete": False}, "no complete run"),
    ],
)
def test_a_run_that_cannot_be_scored_is_named_and_the_others_are_scored(
    tmp_path: Path, damage: dict[str, Any], reason: str
) -> None:
    folder = play(tmp_path, ToyModel("aaa-first")).results[0].folder
    play(tmp_path, ToyModel("says-a", Script("always-a")))
    path = folder / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **damage}))
    shown, said, error = scored(tmp_path)
    assert "says-a" in shown
    assert "aaa-first" not in shown
    assert reason in said
    assert error.startswith("1 of 2 runs could not be scored:")
    assert str(folder) in error


def test_a_complete_run_whose_responses_are_gone_is_named(tmp_path: Path) -> None:
    folder = play(tmp_path).results[0].folder
    play(tmp_path, ToyModel("says-a", Script("always-a")))
    (folder / "responses.jsonl").unlink()
    shown, said, error = scored(tmp_path)
    assert "says-a" in shown
    assert "its responses.jsonl cannot be read" in said
    assert str(folder) in error


def test_a_row_settled_early_keeps_only_its_run_from_another_parser(tmp_path: Path) -> None:
    folder = play(tmp_path).results[0].folder
    play(tmp_path, ToyModel("says-a", Script("always-a")))
    responses, run = folder / "responses.jsonl", folder / "run.json"
    responses.write_bytes(responses.read_bytes().replace(b'"stop":"eos"', b'"stop":"settled"', 1))
    run.write_text(json.dumps({**json.loads(run.read_text()), "responses_sha256": file_digest(responses)}))
    shown, said, error = scored(tmp_path, "--protocol", "foci")
    assert "says-a" in shown
    assert "stopped early" in said
    assert str(folder) in error


def test_writing_mends_the_runs_that_can_be_scored_beside_one_that_cannot(tmp_path: Path) -> None:
    gone = play(tmp_path, ToyModel("aaa-first")).results[0].folder
    (gone / "responses.jsonl").unlink()
    path = play(tmp_path).results[0].folder / "run.json"
    before = path.read_bytes()
    path.write_text(json.dumps({**json.loads(before), "metrics": {"accuracy": True}}))
    scored(tmp_path, "--write")
    assert path.read_bytes() == before
    assert not list(tmp_path.rglob(".*.lock"))


def test_a_run_that_has_yet_to_answer_is_no_failure(tmp_path: Path) -> None:
    play(tmp_path)
    play(tmp_path, ToyModel("says-a", Script("always-a")), limit=8)
    assert CliRunner().invoke(score, [str(tmp_path)]).exit_code == 0


def test_a_mistyped_protocol_is_one_error_of_usage(tmp_path: Path) -> None:
    play(tmp_path)
    done = CliRunner().invoke(score, [str(tmp_path), "--protocol", "focy"])
    assert isinstance(done.exception, UsageError)


def answers(*images: str) -> bytes:
    row = {
        "predicted_raw": "A",
        "predicted": "American_Crow",
        "correct": "American_Crow",
        "options": ["American_Crow", "Rook"],
    }
    return "".join(json.dumps({"image": image, **row}) + "\n" for image in images).encode()


def test_damaged_gzip_is_refused_as_damaged_data(tmp_path: Path) -> None:
    whole = gzip.compress(answers(*(f"{number}.jpg" for number in range(99))))
    file = tmp_path / "answers.json.gz"
    for damaged in (whole[:-9], whole[:10] + b"\xff" * 20 + whole[30:], whole[:-6] + bytes(6)):
        file.write_bytes(damaged)
        with pytest.raises(DataInvalid, match="cannot be read"):
            import_run(host(), file, FORMATS["foci"], "bird-200", "m", tmp_path)


def test_a_question_answered_twice_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "answers.json"
    file.write_bytes(answers("a.jpg", "a.jpg", "a.jpg~2"))  # the second is called a.jpg~2 too
    with pytest.raises(DataInvalid, match=r"a\.jpg~2.* more than once"):
        import_run(host(), file, FORMATS["foci"], "bird-200", "m", tmp_path)


def test_an_import_names_its_main_metric_and_waits_for_whoever_writes_the_run(tmp_path: Path) -> None:
    file = tmp_path / "answers.json"
    file.write_bytes(answers("a.jpg"))
    made = import_run(host(), file, FORMATS["foci"], "bird-200", "m", tmp_path / "results")
    folder = RunFolder(made.folder)
    assert (folder.read_run() or {})["main_metric"] == "accuracy"
    before = folder.responses_file.stat().st_mtime_ns
    ended = threading.Event()

    def again() -> None:
        import_run(host(), file, FORMATS["foci"], "bird-200", "m", tmp_path / "results")
        ended.set()

    other = threading.Thread(target=again)
    with lock(folder.lock_file, "at work"):
        other.start()
        assert not ended.wait(0.5)
        assert folder.responses_file.stat().st_mtime_ns == before
    other.join(60)
    assert ended.is_set()


def test_answers_about_another_dataset_are_refused(reference: Path, tmp_path: Path) -> None:
    with pytest.raises(FgvrError, match="no answers about bird-200"):
        import_run(host(), reference / "rescoring" / "car-196.jsonl.gz", FORMATS["foci"], "bird-200", "m", tmp_path)


def test_answers_of_another_kind_are_refused(tmp_path: Path) -> None:
    for content in ("", "{", '{"image": "a.jpg"}', "[]"):
        (tmp_path / "answers.json").write_text(content)
        with pytest.raises(FgvrError):
            import_run(host(), tmp_path / "answers.json", FORMATS["foci"], "bird-200", "m", tmp_path)
