"""Reports: what they hold, what they leave out, and that nothing in them is taken for code."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from hashlib import sha256
from html import unescape
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from report_toys import HOSTILE, hostile_host, play_hostile
from test_run_story import play
from toy import Script, ToyModel, ToyPlugin, toy_host

from fgvr_bench.cli import report as command
from fgvr_bench.core.host import Host
from fgvr_bench.core.index import Index
from fgvr_bench.core.results import read_runs
from fgvr_bench.core.run_folder import RunFolder, file_digest
from fgvr_bench.errors import FgvrError
from fgvr_bench.report.build import Built, ReportSettings, build_report
from fgvr_bench.report.writing import script_json


def built(results: Path, out: Path, host: Host, **settings: Any) -> Built:
    with Index() as index:
        found = index.read([results], host)
        return build_report(host, found.runs, out, ReportSettings(**settings), notes=found.problems, index=index)


def data(out: Path, name: str) -> Any:
    """Return a piece of data as the page gets it."""
    text = (out / "data" / f"{name}.js").read_text()
    found = re.fullmatch(r'fgvr\.take\("[^"]*",(.*)\);\n', text, re.DOTALL)
    assert found
    return json.loads(found[1])


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """Results of two models on names that are code, and their report."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FGVR_CACHE", str(tmp_path_factory.mktemp("cache")))
        folder = tmp_path_factory.mktemp("hostile")
        play_hostile(folder / "results")
        built(folder / "results", folder / "report", hostile_host())
        yield folder / "results", folder / "report"


def key_of(results: Path, model: str) -> str:
    return next(run.run_id for run in read_runs(results)[0] if run.model == model)


def test_figures_are_those_of_the_run(hostile: tuple[Path, Path]) -> None:
    results, out = hostile
    run = next(run for run in read_runs(results)[0] if run.model == "ranker")
    figures = data(out, f"runs/{run.run_id}/figures")
    assert figures["right"] / figures["questions"] == run.metrics["accuracy"]
    assert sum(asked for _, asked, *_ in figures["classes"]) == run.questions == 32
    assert sum(right for _, _, right, _ in figures["classes"]) == figures["right"]
    bins = figures["calibration"]
    assert sum(count for _, count, *_ in bins) == run.questions - run.failed
    error = sum(abs(right - sure * count) for _, count, right, sure in bins) / sum(count for _, count, *_ in bins)
    assert error == pytest.approx(run.metrics["calibration-error"], abs=1e-4)


def test_positions_are_those_that_the_run_stores(hostile: tuple[Path, Path]) -> None:
    results, out = hostile
    for run in read_runs(results)[0]:
        stored = json.loads((run.folder / "run.json").read_text())["positions"]
        assert {letter: counts for letter, *counts in data(out, f"runs/{run.run_id}/figures")["positions"]} == stored


def test_confusions_count_what_was_taken_of_what_was_offered(hostile: tuple[Path, Path]) -> None:
    results, out = hostile
    key = key_of(results, "ranker")
    figures = data(out, f"runs/{key}/figures")
    wrong = sum(state == "w" for state in data(out, f"runs/{key}/verdicts")["states"])
    taken = sum(side[0] for pair in figures["pairs"] for side in pair["sides"])
    assert taken == wrong > 0
    assert all(count <= offered for pair in figures["pairs"] for count, offered, _ in pair["sides"])
    assert sum(count for truth, given, count in figures["matrix"] if truth != given) == wrong


def test_questions_are_written_once_for_all_runs_and_answers_stand_beside_them(hostile: tuple[Path, Path]) -> None:
    results, out = hostile
    (column,) = data(out, "report")["columns"]
    index = data(out, f"columns/{column['key']}/index")
    questions = data(out, f"columns/{column['key']}/0")
    assert len(questions) == len(index["classes"]) == 32
    assert index["names"] == list(HOSTILE)
    for run in read_runs(results)[0]:
        lines = [json.loads(line) for line in (run.folder / "responses.jsonl").read_text().splitlines()]
        said = data(out, f"runs/{run.run_id}/0")["said"]
        assert [line.get("completion") for line in lines] == said
        assert [[index["names"][place] for place in row[3]] for row in questions] == [line["choices"] for line in lines]


def test_siblings_are_named_by_the_rank_above_them(hostile: tuple[Path, Path]) -> None:
    (column,) = data(hostile[1], "report")["columns"]
    assert data(hostile[1], f"columns/{column['key']}/index")["groups"] == ["<i>Genus</i>", "<i>Genus</i>", "", ""]


def test_an_image_that_cannot_be_read_has_no_picture_and_is_counted(hostile: tuple[Path, Path], tmp_path: Path) -> None:
    found = built(hostile[0], tmp_path / "again", hostile_host())
    assert found.pictures == 31
    assert found.notes == ["1 images of hostile test cannot be read."]
    (column,) = data(tmp_path / "again", "report")["columns"]
    pictures = [row[8] for row in data(tmp_path / "again", f"columns/{column['key']}/0")]
    assert pictures.count(None) == 1
    assert len(list((tmp_path / "again" / "pictures").rglob("*.webp"))) == 31


def test_no_name_and_no_answer_stands_in_a_page_as_markup(hostile: tuple[Path, Path], tmp_path: Path) -> None:
    single = tmp_path / "single.html"
    built(hostile[0], single, hostile_host())
    for page in [*hostile[1].rglob("*.html"), *(hostile[1] / "data").rglob("*.js"), single]:
        text = page.read_text()
        for code in ("<script>window", "<img src=x", "</script><script>window", "<i>Genus", "<b>bold", "<b>Ranks"):
            assert code not in text, page


@given(
    st.recursive(
        st.text() | st.integers() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_data_in_a_script_come_back_as_they_were_and_open_no_tag(value: Any) -> None:
    text = "".join(script_json(value))
    assert json.loads(text) == value
    assert "<" not in text
    assert text.isascii()


def test_a_second_report_takes_the_place_of_the_first_and_keeps_no_stale_data(tmp_path: Path) -> None:
    play(tmp_path / "results")
    host = toy_host([], [ToyPlugin()])
    out = tmp_path / "report"
    built(tmp_path / "results", out, host)
    (out / "data" / "runs" / "gone").mkdir()
    before = {path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    built(tmp_path / "results", out, host)
    assert {path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    assert not (out / "data" / "runs" / "gone").exists()


def test_a_folder_or_file_that_is_no_report_is_left_alone(tmp_path: Path) -> None:
    play(tmp_path / "results")
    (tmp_path / "mine").mkdir()
    for path in (tmp_path / "mine" / "thesis.txt", tmp_path / "mine.html"):
        path.write_text("years of work")
    for out in (tmp_path / "mine", tmp_path / "mine.html", tmp_path / "mine" / "thesis.txt"):
        with pytest.raises(FgvrError):
            built(tmp_path / "results", out, toy_host())
    assert (tmp_path / "mine" / "thesis.txt").read_text() == (tmp_path / "mine.html").read_text() == "years of work"


def test_a_damaged_run_is_named_and_the_others_are_shown(tmp_path: Path) -> None:
    play(tmp_path / "results")
    says_a = play(tmp_path / "results", ToyModel("says-a", Script("always-a"))).results[0].folder
    lines = (says_a / "responses.jsonl").read_text().splitlines()
    (says_a / "responses.jsonl").write_text("\n".join(lines[:-1]) + "\n")
    found = built(tmp_path / "results", tmp_path / "report", toy_host([], [ToyPlugin()]))
    assert found.runs == 1
    (note,) = found.notes
    assert "left out" in note
    assert str(says_a) in note
    assert "is not the file that run.json was made from" in (tmp_path / "report" / "index.html").read_text()


def test_a_run_that_was_asked_something_else_than_it_claims_is_left_out(tmp_path: Path) -> None:
    play(tmp_path / "results")
    play(tmp_path / "results", ToyModel("says-a", Script("always-a")))
    last = read_runs(tmp_path / "results")[0][-1].folder
    responses = last / "responses.jsonl"
    responses.write_text(responses.read_text().replace('"letters":"ABCD"', '"letters":"ABDC"', 1))
    content = json.loads((last / "run.json").read_text()) | {"responses_sha256": file_digest(responses)}
    RunFolder(last).write_run(content)
    found = built(tmp_path / "results", tmp_path / "report", toy_host([], [ToyPlugin()]))
    assert found.runs == 1
    assert "claims to have been asked what the runs before it were" in found.notes[0]


def test_without_the_dataset_the_page_has_no_pictures_and_says_so(tmp_path: Path) -> None:
    play(tmp_path / "results")
    found = built(tmp_path / "results", tmp_path / "report", toy_host())
    assert (found.runs, found.pictures) == (1, 0)
    assert (
        "no pictures of toy test: there is no dataset &#39;toy&#39;" in (tmp_path / "report" / "index.html").read_text()
    )


def test_pictures_of_other_images_are_never_shown(tmp_path: Path) -> None:
    play(tmp_path / "results")
    found = built(tmp_path / "results", tmp_path / "report", toy_host([], [ToyPlugin(each=11)]))
    assert found.pictures == 0
    assert "is not what the runs saw" in found.notes[0]


def test_two_runs_of_one_model_stand_apart_by_what_differs(tmp_path: Path) -> None:
    play(tmp_path / "results")
    play(tmp_path / "results", batch_size=3)
    built(tmp_path / "results", tmp_path / "report", toy_host([], [ToyPlugin()]))
    (column,) = data(tmp_path / "report", "report")["columns"]
    assert sorted(run["label"] for run in column["runs"]) == ["oracle (batch size 3)", "oracle (batch size auto)"]
    assert len({run["key"] for run in column["runs"]}) == 2


def test_runs_of_one_id_with_other_answers_are_named_and_none_is_believed(tmp_path: Path) -> None:
    folder = play(tmp_path / "results").results[0].folder
    play(tmp_path / "results", ToyModel("says-a", Script("always-a")))
    shutil.copytree(folder, tmp_path / "results" / "copy")
    assert built(tmp_path / "results", tmp_path / "copies", toy_host([], [ToyPlugin()])).runs == 2, "a copy counts once"
    other = play(tmp_path / "other", ToyModel("oracle", Script("always-a"))).results[0].folder
    content = json.loads((folder / "run.json").read_text())
    for name in ("metrics", "positions", "responses_sha256"):
        content[name] = json.loads((other / "run.json").read_text())[name]
    RunFolder(tmp_path / "results" / "copy").write_run(content)
    shutil.copy(other / "responses.jsonl", tmp_path / "results" / "copy" / "responses.jsonl")
    found = built(tmp_path / "results", tmp_path / "report", toy_host([], [ToyPlugin()]))
    assert found.runs == 1
    assert f"claim the id {folder.name} with different answers" in found.notes[0]


def test_a_control_with_blank_pictures_stands_beside_the_run_that_saw_them(tmp_path: Path) -> None:
    play(tmp_path / "results", ToyModel("says-a", Script("always-a")))
    play(tmp_path / "results", ToyModel("says-a", Script("always-a")), blank_images=True)
    built(tmp_path / "results", tmp_path / "report", toy_host([], [ToyPlugin()]))
    (column,) = data(tmp_path / "report", "report")["columns"]
    assert [run["label"] for run in column["runs"]] == ["says-a", "says-a, blank images"]


def test_the_board_of_a_report_is_that_of_the_leaderboard(tmp_path: Path) -> None:
    from fgvr_bench.core.board_words import lay_out
    from fgvr_bench.core.leaderboard import build_tables

    play(tmp_path / "results")
    play(tmp_path / "results", ToyModel("says-a", Script("always-a")))
    built(tmp_path / "results", tmp_path / "report", toy_host([], [ToyPlugin()]))
    page = unescape((tmp_path / "report" / "index.html").read_text())
    with Index() as index:
        (table,) = build_tables(index.read([tmp_path / "results"], toy_host()).runs, index)
    for sentence in lay_out(table).caption:
        assert sentence in page
    for line in table.lines:
        assert line.label in page
        assert all(f">{100 * figure.share:.2f}<" in page for figure in line.figures if figure)


def test_thumbnails_are_made_once_and_shared_by_all_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fgvr_bench.report import pictures

    made = []
    usual = pictures.shrunk
    monkeypatch.setattr(
        pictures, "shrunk", lambda example, side: made.append(example.example_id) or usual(example, side)
    )
    play(tmp_path / "results")
    play(tmp_path / "results", ToyModel("says-a", Script("always-a")))
    for out in ("one", "two"):
        assert built(tmp_path / "results", tmp_path / out, toy_host([], [ToyPlugin()])).pictures == 40
    assert len(made) == len(set(made)) == 40


@pytest.mark.parametrize("task", ["yes-no", "zero-shot", "open-ended"])
def test_every_task_has_a_report(tmp_path: Path, task: str) -> None:
    from fgvr_bench.interfaces import ModelCard

    class Namer(Script):
        def _one(self, prompt: Any, image: Any) -> Any:
            from fgvr_bench.types import Response, ScoreKind

            if task == "zero-shot":
                scores = tuple(float(len(choice)) for choice in prompt.choices)
                return Response(prompt.question_id, scores=scores, score_kind=ScoreKind.SIMILARITY)
            return Response(prompt.question_id, "Yes" if task == "yes-no" else "It is amber.")

    model = ToyModel("namer", Namer())
    model.card = ModelCard("namer", "Names", decodings=("similarity" if task == "zero-shot" else "generate",))
    play(tmp_path / "results", model, task=task)
    (run,) = read_runs(tmp_path / "results")[0]
    found = built(tmp_path / "results", tmp_path / "report", toy_host([], [ToyPlugin()]))
    figures = data(tmp_path / "report", f"runs/{run.run_id}/figures")
    assert found.runs == 1
    assert figures["right"] == round((run.metrics["accuracy"] or 0) * run.questions)


def test_the_command_names_what_it_left_out_and_where_the_page_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = ToyPlugin()
    monkeypatch.setattr(command, "host", lambda: toy_host([], [dataset]))
    play(tmp_path / "results")
    play(tmp_path / "results", ToyModel("says-a", Script("always-a")), limit=8)
    done = CliRunner().invoke(command.report, [str(tmp_path / "results"), "-o", str(tmp_path / "out.html")])
    assert done.exit_code == 0, done.output
    assert done.stdout == f"{tmp_path / 'out.html'}\n"
    assert "1 unfinished or partial run left out." in done.stderr
    assert "1 unfinished or partial run left out." in (tmp_path / "out.html").read_text()


def test_an_empty_folder_makes_no_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "host", toy_host)
    (tmp_path / "empty").mkdir()
    done = CliRunner().invoke(command.report, [str(tmp_path / "empty"), "-o", str(tmp_path / "out")])
    assert isinstance(done.exception, FgvrError)
    assert "no whole run" in done.exception.message
    assert not (tmp_path / "out").exists()


def test_the_vendored_libraries_are_those_that_were_published() -> None:
    folder = files("fgvr_bench.report").joinpath("vendor")
    rows = re.findall(r"^\| `(\S+)` .* (\w{64}) \|$", folder.joinpath("README.md").read_text(), re.MULTILINE)
    assert {name for name, _ in rows} == {"d3.js", "plot.js"}
    for name, digest in rows:
        assert sha256(folder.joinpath(name).read_bytes()).hexdigest() == digest


def test_nothing_of_a_report_points_to_a_network(hostile: tuple[Path, Path]) -> None:
    for path in (*hostile[1].glob("*.html"), hostile[1] / "assets" / "report.js", hostile[1] / "assets" / "report.css"):
        assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//|url\(|@import|fetch\(""", path.read_text()), path
