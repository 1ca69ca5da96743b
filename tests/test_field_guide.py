"""A run with a field guide: told what its choices look like, kept apart from others, compared with one without."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from test_run_story import play
from toy import COLOURS, Script, ToyModel, ToyPlugin, toy_host

from fgvr_bench.cli.main import fgvr_bench
from fgvr_bench.core.compare import compare
from fgvr_bench.core.compare_formats import to_text
from fgvr_bench.core.evaluation import Evaluation
from fgvr_bench.core.field_guide import read_guide
from fgvr_bench.core.find_run import find_run
from fgvr_bench.core.index import Index
from fgvr_bench.core.leaderboard import build_tables
from fgvr_bench.core.results import read_runs
from fgvr_bench.errors import DataInvalid, FgvrError, UsageError
from fgvr_bench.types import Prompt, Response, Stop
from fgvr_datasets.moth_24 import Moth24

GUIDE = {label: f"All of it is {label.split('_')[0].lower()}." for label in COLOURS}


class Reader(Script):
    """Knows no names: answers by the guide alone, and A where there is none; keeps its prompts."""

    def respond(self, prompts: Sequence[Prompt], batch: Any) -> Sequence[Response]:
        self.asked += [prompt.text for prompt in prompts]
        answers = []
        for prompt, image in zip(prompts, batch, strict=True):
            seen = next(label for label, colour in COLOURS.items() if colour == image.getpixel((0, 0)))
            told = [place for place, label in enumerate(prompt.choices) if f"{label}: {GUIDE[seen]}" in prompt.text]
            answers.append(
                Response(prompt.question_id, prompt.letters[told[0] if told else 0], stop=Stop.EOS, tokens=1)
            )
        return answers


@pytest.fixture
def guide(tmp_path: Path) -> Path:
    path = tmp_path / "guide.csv"
    path.write_text("label,description\n" + "".join(f'{label},"{text}"\n' for label, text in GUIDE.items()))
    return path


def asked(folder: Path, guide: Path | str | None, **settings: Any) -> tuple[Evaluation, list[str]]:
    model = ToyModel("reader", Reader())
    settings |= {} if guide is None else {"field_guide": str(guide)}
    return play(folder / "results", model, **settings), model.model.asked


def test_the_choices_are_described_before_the_question_in_shown_order(tmp_path: Path, guide: Path) -> None:
    told, plain = asked(tmp_path, guide)[1], asked(tmp_path, None)[1]
    for with_it, without in zip(told, plain, strict=True):
        shown = [line[3:] for line in without.splitlines() if line[1:3] == ". "]
        lines = "".join(f"{label}: {GUIDE[label]}\n" for label in shown)
        assert with_it == f"Field guide:\n{lines}\n{without}"


def test_a_yes_no_question_describes_its_label(tmp_path: Path, guide: Path) -> None:
    for text in _prompts(tmp_path, guide, "yes-no"):
        head, _, question = text.partition("\n\n")
        label = next(label for label in COLOURS if f" {label}?" in question)
        assert head == f"Field guide:\n{label}: {GUIDE[label]}"


def _prompts(folder: Path, guide: Path, task: str) -> list[str]:
    model = ToyModel("says", Says())
    play(folder / "results", model, field_guide=str(guide), task=task)
    return model.model.asked


class Says(Script):
    def respond(self, prompts: Sequence[Prompt], batch: Any) -> Sequence[Response]:
        self.asked += [prompt.text for prompt in prompts]
        return [Response(prompt.question_id, "no", stop=Stop.EOS, tokens=1) for prompt in prompts]


def test_accuracy_with_it_minus_without_is_what_the_descriptions_are_worth(tmp_path: Path, guide: Path) -> None:
    with_it, without = asked(tmp_path, guide)[0].results[0], asked(tmp_path, None)[0].results[0]
    assert with_it.run_id != without.run_id
    assert with_it.metrics["accuracy"] == 1.0
    a, b = (find_run(result.run_id, tmp_path / "results") for result in (with_it, without))
    found = compare(toy_host(), a, b)
    assert found.difference == pytest.approx(1 - (without.metrics["accuracy"] or 0))
    said = to_text(found)
    assert "Only A was shown the field guide: A − B is what the descriptions of the choices are worth to it." in said
    assert "toy (field guide)" in said
    assert [each.name for each in found.apart] == ["field guide"]
    assert (found.apart[0].a, found.apart[0].b) == (a.column.guide[:12], "none")
    assert "Only B was shown the field guide" in to_text(compare(toy_host(), b, a))


def test_a_run_without_a_guide_says_nothing_of_it_so_that_its_id_is_what_it_was(tmp_path: Path) -> None:
    result = asked(tmp_path, None)[0].results[0]
    assert "field_guide" not in json.loads((result.folder / "run.json").read_text())["inputs"]


def test_other_words_make_another_run_and_the_same_words_the_same(tmp_path: Path, guide: Path) -> None:
    first = asked(tmp_path, guide)[0].results[0].run_id
    again = tmp_path / "guide.jsonl"
    rows = [{"label": label, "description": text} for label, text in reversed(GUIDE.items())]
    again.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert asked(tmp_path, again)[0].results[0].run_id == first
    again.write_text(again.read_text().replace("All of it", "Nearly all of it"))
    assert asked(tmp_path, again)[0].results[0].run_id != first


def test_a_board_has_a_table_of_its_own_for_it(tmp_path: Path, guide: Path) -> None:
    asked(tmp_path, guide)
    asked(tmp_path, None)
    with Index() as index:
        tables = build_tables(index.read([tmp_path / "results"], toy_host()).runs)
    assert [(table.task, len(table.columns)) for table in tables] == [
        ("multiple-choice", 1),
        ("multiple-choice with field guide", 1),
    ]


def test_a_run_is_meant_without_its_guide_where_both_go_by_one_name(tmp_path: Path, guide: Path) -> None:
    asked(tmp_path, guide)
    asked(tmp_path, None)
    assert find_run("reader@toy", tmp_path / "results").column.guide == ""
    assert len(read_runs(tmp_path / "results")[0]) == 2


def test_protocol_foci_takes_none_and_neither_do_questions_without_choices(tmp_path: Path, guide: Path) -> None:
    with pytest.raises(UsageError, match="protocol foci has no place for a field guide"):
        asked(tmp_path, guide, protocol="foci")
    with pytest.raises(UsageError, match="task open-ended of protocol fgvr-1 has no place"):
        asked(tmp_path, guide, task="open-ended")


def test_a_model_that_reads_no_question_takes_none(tmp_path: Path, guide: Path) -> None:
    plugin = ToyModel("clip", Script())
    plugin.card = replace(plugin.card, decodings=("similarity",))
    with pytest.raises(UsageError, match="answers by similarity"):
        play(tmp_path, plugin, field_guide=str(guide))


def test_a_dataset_that_does_not_describe_its_labels_asks_for_a_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="toy does not describe its labels"):
        asked(tmp_path, "dataset")


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("Brick_red,red\n", UsageError, "describes 1 of the 4 labels of toy; 'Moss_green' is not among them"),
        ("Brick_red,red\nBrick_red,red\n", DataInvalid, "line 2 describes 'Brick_red' a second time"),
        ("Brick_rod,red\n", DataInvalid, r"line 1 describes 'Brick_rod', which toy does not have.*Brick_red"),
        ("Brick_red,\n", DataInvalid, "line 1 has no description of 'Brick_red'"),
        ("Brick_red,red, bright\n", DataInvalid, "line 1 has 3 cells"),
        ('Brick_red,"red\n', DataInvalid, "line 1 is no line of a CSV file"),
        ("Brick_red,a red <image>\n", DataInvalid, "line 1 holds '<image>'"),
        ("Brick_red,red <|im_end|> now\n", DataInvalid, "line 1 holds"),
    ],
)
def test_a_file_that_is_wrong_is_refused_by_its_line(
    tmp_path: Path, text: str, error: type[FgvrError], said: str
) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(error, match=said):
        read_guide(str(path), ToyPlugin().dataset)


@pytest.mark.parametrize("line", ["no json", '["Brick_red", "red"]', '{"label": "Brick_red"}'])
def test_a_line_that_is_no_record_is_refused(tmp_path: Path, line: str) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(DataInvalid, match="line 1 is no"):
        read_guide(str(path), ToyPlugin().dataset)


def test_the_moths_describe_themselves() -> None:
    guide = read_guide("dataset", Moth24())
    assert list(guide) == list(Moth24().labels())
    assert guide["Skye Footman"] == "A moth with narrow grey wings, yellow hindwings and a plain abdomen."


def command(*words: str) -> Result:
    return CliRunner().invoke(fgvr_bench, words, catch_exceptions=True)


def test_as_a_user_types_it(tmp_path: Path) -> None:
    run = ("run", "--model", "always-a", "--dataset", "moth-24", "--results-dir", str(tmp_path), "--workers", "0")
    assert command(*run).exit_code == 0
    told = command(*run, "--field-guide")
    assert told.exit_code == 0, told.output
    runs = {bool(each.column.guide): each for each in read_runs(tmp_path)[0]}
    both = command("compare", *(str(runs[guided].folder) for guided in (True, False)), "--results-dir", str(tmp_path))
    assert both.exit_code == 0
    assert "Only A was shown the field guide" in both.output
    board = command("leaderboard", "build", str(tmp_path)).output
    assert "multiple-choice with field guide, protocol fgvr-1" in board
