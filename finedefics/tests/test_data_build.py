"""Training files: rows, negatives, choices, the guard against test images, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from finedefics.data import commands
from finedefics.row_checks import check_rows
from finedefics.rows import COLUMNS, TrainingRow, read_rows
from PIL import Image

from fgvr_bench.core.host import host
from fgvr_bench.core.option_files import OptionSet
from fgvr_bench.errors import DataInvalid, FgvrError, OptionsInvalid, UsageError
from fgvr_bench.interfaces import AskContext
from fgvr_bench.types import Example, FileImage, Options

HOSTILE = "<img src=x onerror=alert(1)>"
LABELS = ("Black_footed_Albatross", "Sooty_Albatross", "Arctic_Tern", "Common_Tern", "=1+1", HOSTILE)


def folder(root: Path, each: int = 5, labels: tuple[str, ...] = LABELS) -> Path:
    """Draw images of a few classes, none of them the same bytes as another."""
    generator = np.random.default_rng(list(root.name.encode()))
    for split, count in (("train", each), ("test", 2)):
        for label in labels:
            for number in range(count):
                path = root / split / label / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(generator.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(path)
    return root


def invoke(command: str, *arguments: object) -> Result:
    chosen = {"describe": commands.describe, "build-data": commands.build_data}[command]
    return CliRunner().invoke(chosen, [str(each) for each in arguments])


def described(root: Path, out: Path, texts: Mapping[str, str] | None = None, skip: str = "none") -> Path:
    """Write descriptions as ``describe`` would, two a class unless `texts` says otherwise."""
    from finedefics.data.descriptions import Described, write_descriptions
    from finedefics.data.selecting import Wanted, select

    plugin, argument = host().datasets.find(f"folder:{root}#birds")
    selected = select(plugin.open([], argument), Wanted())
    rows = [
        Described(
            example.example_id,
            example.label,
            {"back": "sooty"},
            (texts or {}).get(example.label) or f"looks no {LABELS.index(example.label)}, kind {place % 2}",
        )
        for place, example in enumerate(selected.examples)
        if skip not in example.example_id
    ]
    write_descriptions(out, {**selected.header(Wanted()), "source": "test", "missing": []}, rows)
    return out


@pytest.fixture
def birds(tmp_path: Path) -> Path:
    return folder(tmp_path / "birds")


def build(birds: Path, *more: object, out: str = "out", options: str = "random") -> Result:
    given = ["-d", f"folder:{birds}#birds", "--out", birds.parent / out, "--options", options, *more]
    if not {"--descriptions", "--names-for-descriptions"} & {str(each) for each in more} and "finetune" not in more:
        given += ["--descriptions", described(birds, birds.parent / "d.jsonl")]
    return invoke("build-data", *given)


def rows_of(birds: Path, name: str, out: str = "out") -> list[TrainingRow]:
    return read_rows(birds.parent / out / name)


def report_of(birds: Path, out: str = "out") -> dict[str, Any]:
    read: dict[str, Any] = json.loads((birds.parent / out / "report.json").read_text())
    return read


def label_of(row: TrainingRow) -> str:
    return row.image_paths[0].parent.name


def test_stage_one_has_a_row_an_image_with_descriptions_of_wrong_classes(birds: Path) -> None:
    done = build(birds)
    assert done.exit_code == 0, done.output
    head = (birds.parent / "out" / "pretrain.csv").read_text().splitlines()[0]
    assert head == ",".join(COLUMNS)
    rows = rows_of(birds, "pretrain.csv")
    assert Counter(map(label_of, rows)) == dict.fromkeys(LABELS, 5)
    for row in rows:
        assert (row.category, row.answer) == (label_of(row), label_of(row))
        assert (row.attribute or "").startswith(f"looks no {LABELS.index(label_of(row))}, ")
        assert len(set(row.neg_categories)) == 3
        assert row.category not in row.neg_categories
        for name, text in zip(row.neg_categories, row.neg_attributes, strict=True):
            assert text.startswith(f"looks no {LABELS.index(name)}, ")
    assert check_rows(rows, "align") == []


def test_stage_two_asks_openly_and_as_the_protocol_does(birds: Path) -> None:
    build(birds, "--seed", 7)
    rows = rows_of(birds, "finetune.csv")
    assert check_rows(rows, "tune") == []
    assert len(rows) == 2 * len(LABELS) * 5
    task = host().protocols["fgvr-1"].tasks["multiple-choice"]
    for opened, chosen in zip(rows[::2], rows[1::2], strict=True):
        assert opened.image_paths == chosen.image_paths
        assert opened.answer == label_of(opened)
        assert "birds" in opened.question
        lines = chosen.question.splitlines()
        choices = dict(line.split(". ", 1) for line in lines[2:6])
        assert choices[chosen.answer] == label_of(chosen)
        example_id = f"folder:birds/train/train/{label_of(chosen)}/{chosen.image_paths[0].name}"
        example = Example(example_id, FileImage("unused"), label_of(chosen), "train")
        others = [label for label in choices.values() if label != example.label]
        for order in ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)):
            options = Options(example_id, (example.label, *(others[place] for place in order)))
            context = AskContext("birds", LABELS, 7)
            question = task.ask(example, options, context)
            if task.prompt(question, context).text == chosen.question:
                break
        else:
            pytest.fail("no order of the options gives the protocol's question")
    wordings = {row.question for row in rows[::2]}
    assert len(wordings) == 2
    assert len({row.answer for row in rows[1::2]}) == 4


def test_the_same_command_gives_the_same_bytes_and_another_seed_others(birds: Path) -> None:
    files = ("pretrain.csv", "finetune.csv", "report.json", "examples.html")

    def made(*more: object, out: str) -> list[bytes]:
        assert build(birds, *more, out=out).exit_code == 0
        return [(birds.parent / out / name).read_bytes() for name in files]

    first = made("--shots", 3, out="a")
    assert made("--shots", 3, out="a") == first
    assert made("--shots", 3, out="b") == first
    other = made("--shots", 3, "--seed", 1, out="c")
    assert all(one != two for one, two in zip(first, other, strict=True))


def test_shots_are_so_many_of_each_class_and_nested(birds: Path) -> None:
    for shots in (1, 3):
        build(birds, "--shots", shots, out=f"out{shots}")
    few, more = (rows_of(birds, "pretrain.csv", f"out{shots}") for shots in (1, 3))
    assert Counter(map(label_of, more)) == dict.fromkeys(LABELS, 3)
    assert {row.image_paths for row in few} < {row.image_paths for row in more}


def test_classes_that_are_held_out_are_nowhere(birds: Path) -> None:
    (birds.parent / "held.txt").write_text("Arctic Tern\n")
    done = build(birds, "--hold-out", birds.parent / "held.txt", "--miner-arg", "by=letters", options="closed")
    assert done.exit_code == 0, done.output
    for name in ("pretrain.csv", "finetune.csv", "examples.html"):
        assert "Arctic" not in (birds.parent / "out" / name).read_text()
    assert report_of(birds)["datasets"]["folder:birds"]["left_out"] == ["Arctic_Tern"]


def test_only_the_named_classes_are_trained_on(birds: Path) -> None:
    (birds.parent / "some.txt").write_text("Arctic Tern\nCommon_Tern\n=1+1\n")
    build(birds, "--classes", f"folder:{birds}#birds={birds.parent / 'some.txt'}")
    assert {label_of(row) for row in rows_of(birds, "pretrain.csv")} == {"Arctic_Tern", "Common_Tern", "=1+1"}
    assert {len(row.neg_categories) for row in rows_of(birds, "pretrain.csv")} == {2}


def test_negatives_can_come_from_elsewhere_and_be_more(birds: Path) -> None:
    done = build(birds, "--negatives", 5, "--negatives-from", "random", "--miner-arg", "by=letters", options="closed")
    assert isinstance(done.exception, UsageError)  # random has no such setting, and says so
    done = build(birds, "--negatives", 5)
    assert done.exit_code == 0, done.output
    assert {len(row.neg_categories) for row in rows_of(birds, "pretrain.csv")} == {5}
    report = report_of(birds)["datasets"]["folder:birds"]
    assert (report["options"]["k"], report["negatives"]["k"]) == (4, 6)


def test_names_can_stand_for_descriptions(birds: Path) -> None:
    build(birds, "--names-for-descriptions")
    for row in rows_of(birds, "pretrain.csv"):
        assert row.attribute == row.category
        assert row.neg_attributes == row.neg_categories


def test_one_file_alone_takes_the_other_of_an_earlier_build_away(birds: Path) -> None:
    build(birds)
    assert build(birds, "--only", "finetune").exit_code == 0
    assert not (birds.parent / "out" / "pretrain.csv").exists()
    assert build(birds, "--only", "pretrain", "--align-answer", "description").exit_code == 0
    assert not (birds.parent / "out" / "finetune.csv").exists()
    assert all(row.answer == row.attribute for row in rows_of(birds, "pretrain.csv"))


def test_several_datasets_stand_in_one_file_each_with_its_own_classes(birds: Path) -> None:
    cars = folder(birds.parent / "cars", labels=("Audi", "BMW", "Fiat"))
    done = invoke(
        "build-data", "-d", f"folder:{birds}#birds", "-d", f"folder:{cars}#cars", "--out", birds.parent / "out",
        "--options", "random", "--only", "finetune", "--shots", 2,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    asked = [row.question for row in rows_of(birds, "finetune.csv")]
    assert sum("cars" in question for question in asked) == 3 * 2 * 2
    assert not any("Audi" in question and "Tern" in question for question in asked)


def test_wordings_of_ones_own_are_asked(birds: Path) -> None:
    prompts = birds.parent / "prompts"
    prompts.mkdir()
    (prompts / "open_questions.txt").write_text("# mine\nName it, of all {noun}!\n")
    build(birds, "--prompts", prompts)
    assert {row.question for row in rows_of(birds, "finetune.csv")[::2]} == {"Name it, of all birds!"}


def test_a_set_in_a_file_is_taken_as_it_is(birds: Path) -> None:
    from fgvr_bench.core.options import find_or_build

    plugin, argument = host().datasets.find(f"folder:{birds}")
    dataset = plugin.open([], argument)
    path = find_or_build(dataset, "train", "random").path
    assert build(birds, "--shots", 2, options=str(path)).exit_code == 0
    options = OptionSet.load(path)
    examples = dataset.examples("train")
    by_id = {row.example_id: row for row in options.for_examples(examples)}
    for row in rows_of(birds, "pretrain.csv"):
        example_id = f"folder:birds/train/train/{label_of(row)}/{row.image_paths[0].name}"
        assert row.neg_categories == by_id[example_id].choices[1:]
    (birds.parent / "held.txt").write_text("Arctic Tern\n")
    held = build(birds, "--hold-out", birds.parent / "held.txt", options=str(path), out="o")
    assert isinstance(held.exception, OptionsInvalid)
    assert "takes no part" in str(held.exception)
    (birds / "train" / "Arctic_Tern" / "0.png").write_bytes((birds / "train" / "Arctic_Tern" / "1.png").read_bytes())
    changed = build(birds, options=str(path), out="p")
    assert isinstance(changed.exception, OptionsInvalid)
    assert "other images or labels" in str(changed.exception)


def test_a_test_image_among_the_train_images_is_left_out_and_named(birds: Path) -> None:
    build(birds, "--shots", 4)
    chosen = next(row.image_paths[0] for row in rows_of(birds, "pretrain.csv") if label_of(row) == "Arctic_Tern")
    shutil.copy(birds / "test" / "Arctic_Tern" / "0.png", chosen)
    done = build(birds, "--shots", 4)
    assert done.exit_code == 0, done.output
    assert f"left out as test image: 1 (folder:birds/train/train/Arctic_Tern/{chosen.name})" in done.output
    rows = [*rows_of(birds, "pretrain.csv"), *rows_of(birds, "finetune.csv")]
    taken = {row.image_paths[0] for row in rows}
    assert chosen not in taken
    assert sum(path.parent.name == "Arctic_Tern" for path in taken) == 4  # another one took its place
    tested = {path.read_bytes() for path in (birds / "test").rglob("*.png")}
    assert not tested & {path.read_bytes() for path in taken}


def test_a_link_to_a_test_image_is_found_by_its_path(birds: Path) -> None:
    link = birds / "train" / "Common_Tern" / "9.png"
    link.symlink_to(birds / "test" / "Common_Tern" / "1.png")
    done = build(birds)
    assert "test image: 1 (folder:birds/train/train/Common_Tern/9.png)" in done.output
    assert link not in {row.image_paths[0] for row in rows_of(birds, "finetune.csv")}


def test_a_folder_of_test_images_is_refused(birds: Path) -> None:
    for number in range(2):
        shutil.copy(birds / "test" / "Arctic_Tern" / f"{number}.png", birds / "train" / "Arctic_Tern" / f"{number}.png")
    done = build(birds)
    assert isinstance(done.exception, DataInvalid)
    assert "2 of 30 train images of folder:birds are test images" in str(done.exception)
    assert not (birds.parent / "out").exists()


def test_choices_that_give_the_answer_away_are_named_and_closed_ones_offered(tmp_path: Path) -> None:
    birds = folder(tmp_path / "birds", each=8)
    plugin, argument = host().datasets.find(f"folder:{birds}")
    dataset = plugin.open([], argument)
    from fgvr_bench.core.digest import dataset_digest
    from fgvr_bench.core.option_files import write_options

    # every class is asked with a set that no other class has
    sets = {label: (label, *(LABELS[(place + step) % 6] for step in (1, 2, 4))) for place, label in enumerate(LABELS)}
    header = {
        "dataset": "folder:birds",
        "split": "train",
        "labels": list(dataset.labels()),
        "miner": "leaky",
        "k": 4,
        "dataset_digest": dataset_digest(dataset, "train"),
    }
    examples = dataset.examples("train")
    path = birds.parent / "leaky.jsonl"
    write_options(path, header, (Options(each.example_id, sets[each.label]) for each in examples))
    leaky = build(birds, options=str(path))
    assert "can be answered without the picture" in leaky.output
    assert "--options closed" in leaky.output
    assert report_of(birds)["datasets"]["folder:birds"]["audit"]["strongest"]["mean_class_accuracy"] > 0.9
    closed = build(birds, "--miner-arg", "by=letters", options="closed")
    assert "can be answered without" not in closed.output
    few = build(birds, "--shots", 4, options=str(path))  # each class as often as any: known by exclusion
    assert "too few questions to say how much their choices give away" in few.output


def test_hostile_names_are_inert_on_the_page_and_whole_in_the_rows(birds: Path) -> None:
    build(birds)
    page = (birds.parent / "out" / "examples.html").read_text()
    assert HOSTILE not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert "default-src 'none'" in page
    assert "http://" not in page and "https://" not in page  # noqa: PT018
    assert page.count('<img src="data:image/jpeg;base64,') == 24
    assert HOSTILE in {row.category for row in rows_of(birds, "pretrain.csv")}


def test_images_without_description_are_named_or_left_out(birds: Path) -> None:
    file = described(birds, birds.parent / "some.jsonl", skip="Tern/0.png")
    done = build(birds, "--descriptions", file)
    assert isinstance(done.exception, DataInvalid)
    assert "no description of folder:birds/train/train/Arctic_Tern/0.png, folder:birds" in str(done.exception)
    assert "(2 of 30 chosen images)" in str(done.exception)
    done = build(birds, "--descriptions", file, "--skip-missing")
    assert done.exit_code == 0, done.output
    assert "left out as without description: 2 (" in done.output
    assert Counter(map(label_of, rows_of(birds, "finetune.csv")))["Arctic_Tern"] == 2 * 4


def test_descriptions_of_another_version_of_the_dataset_are_refused(birds: Path) -> None:
    file = described(birds, birds.parent / "old.jsonl")
    shutil.copy(birds / "train" / "Arctic_Tern" / "0.png", birds / "train" / "Arctic_Tern" / "7.png")
    done = build(birds, "--descriptions", file)
    assert isinstance(done.exception, DataInvalid)
    assert "other images or labels of folder:birds train: the dataset digest was" in str(done.exception)


def test_equal_descriptions_are_no_negatives_of_each_other(birds: Path) -> None:
    texts = {"Arctic_Tern": "a small tern", "Common_Tern": "A small tern"}
    done = build(birds, "--negatives", 5, "--descriptions", described(birds, birds.parent / "same.jsonl", texts))
    assert "10 of 30 descriptions are those of images of other categories too" in done.output
    assert "10 negatives left out" in done.output
    for row in rows_of(birds, "pretrain.csv"):
        assert (row.attribute or "").casefold() not in {text.casefold() for text in row.neg_attributes}
    all_same = described(birds, birds.parent / "all.jsonl", dict.fromkeys(LABELS, "a bird"))
    done = build(birds, "--descriptions", all_same)
    assert isinstance(done.exception, DataInvalid)
    assert "every similar wrong category is described just as it is itself ('a bird')" in str(done.exception)


def test_descriptions_that_name_their_category_are_pointed_out(birds: Path) -> None:
    texts = {"Arctic_Tern": "an arctic tern with a red bill"}
    done = build(birds, "--descriptions", described(birds, birds.parent / "named.jsonl", texts))
    assert "5 of 30 descriptions hold the name of their own category" in done.output


@pytest.mark.parametrize(
    ("more", "error", "says"),
    [
        (["--shots", "6"], UsageError, "fewer than 6 images of"),
        (["--options", "clop"], UsageError, "Did you mean"),
        (["--options", "random", "--options", "closed"], UsageError, "named alone"),
        (["--negatives-from", "nope.jsonl"], UsageError, "neither an option miner nor the file"),
        (["--split", "validation"], UsageError, "no split 'validation'"),
        (["--split", "test"], UsageError, "nothing is trained on the test split"),
        (["-d", "moth-25"], FgvrError, "Did you mean moth-24"),
        (["-d", "moth-24"], UsageError, "no file of descriptions is of moth-24"),
        (["--descriptions", "absent.jsonl"], FgvrError, "absent.jsonl does not exist"),
        (["--classes", "cars=x.txt"], UsageError, "given for cars"),
        (["--classes", "one.txt"], UsageError, "1 classes of folder:birds are left"),
    ],
)
def test_bad_requests_are_refused_before_anything_is_written(
    birds: Path, more: list[str], error: type[FgvrError], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(birds.parent)
    Path("one.txt").write_text("Arctic Tern\n")
    file = described(birds, birds.parent / "d.jsonl")
    given = ["-d", f"folder:{birds}#birds", "--out", "out", "--descriptions", file]
    done = invoke("build-data", *given, *(["--options", "random"] if "--options" not in more else []), *more)
    assert isinstance(done.exception, error), done.output
    assert says in str(done.exception)
    assert not Path("out").exists()


def test_without_descriptions_stage_one_says_what_to_do(birds: Path) -> None:
    done = invoke("build-data", "-d", f"folder:{birds}", "--out", birds.parent / "out")
    assert isinstance(done.exception, UsageError)
    assert "--only finetune" in str(done.exception)


def test_files_that_were_not_made_here_are_left_alone(birds: Path) -> None:
    out = birds.parent / "out"
    out.mkdir()
    (out / "pretrain.csv").write_text("somebody's\n")
    done = build(birds)
    assert "was left as it is" in str(done.exception)
    assert (out / "pretrain.csv").read_text() == "somebody's\n"


def test_moths_from_their_metadata_to_both_files(tmp_path: Path) -> None:
    given = ["-d", "moth-24", "--shots", 2]
    assert invoke("describe", *given, "--from-metadata", "--out", tmp_path / "m.jsonl").exit_code == 0
    more = ["--descriptions", tmp_path / "m.jsonl", "--out", tmp_path / "out", "--workers", 0]
    done = invoke("build-data", *given, *more)
    assert done.exit_code == 0, done.output
    rows = read_rows(tmp_path / "out" / "pretrain.csv")
    assert check_rows(rows, "align") == []
    assert len(rows) == 48
    assert all(row.image_paths[0].is_relative_to(tmp_path / "out" / "images") for row in rows)
    siblings = [
        sum(name.split()[-1] == (row.category or "").split()[-1] for name in row.neg_categories) for row in rows
    ]
    assert sum(siblings) > 48  # the most similar wrong ones are mostly of the same genus
    dataset = host().datasets["moth-24"].open([])
    for row in rows:
        assert [dataset.description(name) for name in row.neg_categories] == list(row.neg_attributes)
    again = invoke("build-data", *given, *more)  # what was drawn and mined is kept
    assert again.exit_code == 0, again.output
    assert read_rows(tmp_path / "out" / "pretrain.csv") == rows
