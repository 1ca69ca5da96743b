"""What models write and people edit: attribute lists, prompts, one clean line."""

from __future__ import annotations

import configparser
from pathlib import Path

import pytest
from finedefics.data.attribute_lists import lists_in, read_lists
from finedefics.data.steps import Groups, attribute_questions
from finedefics.data.texts import LONGEST_ATTRIBUTE, attributes_in, one_line
from finedefics.data.wordings import PLACES, draw, filled, read_prompt, read_wordings, write_prompts
from hypothesis import given
from hypothesis import strategies as st

from fgvr_bench.errors import DataInvalid, DataNotFound, FgvrError
from fgvr_bench.types import Response


@given(st.text(), st.integers(1, 50))
def test_whatever_a_model_writes_becomes_one_printable_line(text: str, most: int) -> None:
    line = one_line(text, most)
    assert len(line) <= most
    assert line == " ".join(line.split())
    assert not any(char in line for char in "\t\n\r\x1b\x00\u202e\u200b")
    line.encode()  # no lone surrogate
    assert one_line(line, most) == line


@given(st.text(), st.integers(1, 10))
def test_attributes_are_few_short_and_different(answer: str, most: int) -> None:
    found = attributes_in(answer, most)
    assert len(found) <= most
    assert all(1 < len(each) <= LONGEST_ATTRIBUTE for each in found)
    assert len({each.casefold() for each in found}) == len(found)


@pytest.mark.parametrize(
    ("answer", "attributes"),
    [
        ("1. Bill shape\n2. Crown colour\n", ("bill shape", "crown colour")),
        (
            "Sure! Here are the attributes:\n\n* **Bill shape** - hooked or straight\n* Eye ring.",
            ("bill shape", "eye ring"),
        ),
        ("a) tail length\nb) tail length\nc) wing bars", ("tail length", "wing bars")),
        ("bill shape, crown colour, wing bars.", ("bill shape", "crown colour", "wing bars")),
        ("• size\n• " + "very " * 30 + "long prose that is no attribute", ("size",)),
        ("", ()),
        ("...\n---\n1.\n", ()),
    ],
)
def test_lists_are_read_as_models_write_them(answer: str, attributes: tuple[str, ...]) -> None:
    assert attributes_in(answer, 8) == attributes


def test_values_with_braces_or_backslashes_are_not_places() -> None:
    assert filled("{group}: {attribute}", group="{attribute} \\1", attribute="x") == "{attribute} \\1: x"


def test_prompts_and_page_are_listed_for_the_wheel() -> None:
    project = Path(__file__).parents[1]
    setup = configparser.ConfigParser()
    setup.read(project / "setup.cfg")
    folder = project / "src" / "finedefics" / "data"
    patterns = setup["options.package_data"]["finedefics.data"].split(", ")
    listed = {file for pattern in patterns for file in folder.glob(pattern)}
    assert listed == {file for file in folder.rglob("*") if file.is_file() and file.suffix not in {".py", ".pyc"}}
    assert {file.stem for file in listed} >= set(PLACES)


@pytest.mark.parametrize("name", PLACES)
def test_every_default_prompt_is_whole(name: str) -> None:
    if name.endswith("questions"):
        assert all("{noun}" in wording for wording in read_wordings(name))
    else:
        assert "{group}" in read_prompt(name)


def test_prompts_are_copied_to_be_edited_and_never_overwritten(tmp_path: Path) -> None:
    made = write_prompts(tmp_path / "p")
    assert sorted(path.stem for path in made) == sorted(PLACES)
    (tmp_path / "p" / "read.txt").write_text("My {attribute}?\n")
    (tmp_path / "p" / "describe.txt").unlink()
    assert [path.stem for path in write_prompts(tmp_path / "p")] == ["describe"]
    assert read_prompt("read", tmp_path / "p") == "My {attribute}?"
    (tmp_path / "p" / "describe.txt").unlink()
    assert read_prompt("describe", tmp_path / "p") == read_prompt("describe")


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("read", "What is its {atribute}?", "Did you mean attribute"),
        ("read", "What is it?", "no place {attribute}"),
        ("describe", "  \n", "no place {attributes}"),
        ("attributes", "\n", "is empty"),
        ("open_questions", "# only a remark\n", "holds no wording"),
        ("open_questions", "What {label} is it?", "place {label}"),
    ],
)
def test_a_prompt_that_cannot_ask_is_named(tmp_path: Path, name: str, text: str, says: str) -> None:
    path = tmp_path / f"{name}.txt"
    path.write_text(text)
    with pytest.raises(DataInvalid) as error:
        (read_wordings if name.endswith("questions") else read_prompt)(name, tmp_path)
    assert says in str(error.value)
    assert str(path) in str(error.value)


def test_a_prompt_in_another_encoding_and_an_absent_folder_are_named(tmp_path: Path) -> None:
    (tmp_path / "read.txt").write_bytes(b"\xff\xfe\x00{attribute}")
    with pytest.raises(DataInvalid, match="UTF-8"):
        read_prompt("read", tmp_path)
    with pytest.raises(DataNotFound, match="--write-prompts"):
        read_prompt("read", tmp_path / "nowhere")


def test_wordings_are_drawn_by_seed_and_all_of_them() -> None:
    wordings = ("a", "b", "c")
    drawn = [draw(wordings, 0, str(key)) for key in range(60)]
    assert drawn == [draw(wordings, 0, str(key)) for key in range(60)]
    assert drawn != [draw(wordings, 1, str(key)) for key in range(60)]
    assert set(drawn) == set(wordings)


BIRDS = Groups.make("birds", ["tern", "gull", "crow", "kiwi"], {"tern": ("Sea",), "gull": ("Sea",), "crow": ("Land",)})


def test_categories_alone_in_their_rank_are_told_from_all_others() -> None:
    assert BIRDS.members == {"Sea": ("tern", "gull"), "birds": ("crow", "kiwi")}
    asked = attribute_questions("{group} of {noun}: {names} ({count})", BIRDS, "b/train", 5)
    assert [each.text for each in asked] == ["Sea birds of birds: tern, gull (5)", "birds of birds: crow, kiwi (5)"]
    assert len({each.question_id for each in asked}) == 2


def test_attributes_of_a_file_go_to_all_groups_or_to_their_own(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("bill # its shape\ncrown\n\n[Sea]\nlegs\n")
    assert read_lists(path, BIRDS) == {"Sea": ("legs",), "birds": ("bill", "crown")}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[See]\nlegs\n", "Did you mean Sea"),
        ("bill\nBill\n", "line 2: 'Bill' stands twice"),
        ("[Sea]\nlegs\n", "no attribute for birds"),
        ("x" * 200, "200 characters"),
    ],
)
def test_a_wrong_file_of_attributes_is_named(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "a.txt"
    path.write_text(text)
    with pytest.raises(DataInvalid) as error:
        read_lists(path, BIRDS)
    assert says in str(error.value)


def test_an_answer_without_a_list_is_shown_and_a_way_out_offered() -> None:
    answers = [Response("a/b/c", "bill\ncrown"), Response("a/b/d", error="model: it broke")]
    with pytest.raises(FgvrError, match=r"tell birds apart, the model answered: model: it broke.*--attributes FILE"):
        lists_in(answers, BIRDS, 8)
