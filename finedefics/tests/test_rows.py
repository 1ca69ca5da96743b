"""Training files: what is written comes back, and what is wrong is named by file and line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from finedefics.row_checks import check_rows
from finedefics.rows import COLUMNS, MULTIPLE, SEPARATOR, SINGLE, TrainingRow, read_rows, write_rows
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from fgvr_bench.errors import DataInvalid, DataNotFound, FgvrError

HEAD = ",".join(COLUMNS)
WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), min_size=1, max_size=20)
NEGATIVE = st.text("abc ,\"'\n", min_size=1, max_size=12).filter(lambda text: text.strip())
NAMES = st.text("abcde_-1", min_size=1, max_size=12)


@st.composite
def rows(draw: st.DrawFn) -> TrainingRow:
    several = draw(st.booleans())
    count = draw(st.integers(2, 4)) if several else 1
    return TrainingRow(
        question=draw(st.one_of(st.just(""), WORDS)),
        answer=draw(WORDS),
        type=MULTIPLE if several else SINGLE,
        image_paths=tuple(Path("/pictures") / f"{draw(NAMES)}.jpg" for _ in range(count)),
        attribute=draw(st.one_of(st.none(), WORDS)),
        neg_attributes=tuple(draw(st.lists(NEGATIVE, max_size=3))),
        category=draw(st.one_of(st.none(), WORDS)),
        neg_categories=tuple(draw(st.lists(NEGATIVE, max_size=3))),
    )


@given(given_rows=st.lists(rows(), max_size=4))
def test_what_is_written_comes_back(tmp_path_factory: pytest.TempPathFactory, given_rows: list[TrainingRow]) -> None:
    path = tmp_path_factory.mktemp("rows") / "train.csv"
    write_rows(path, given_rows, Path("/pictures"))
    back = read_rows(path, Path("/pictures"))
    assert [replace(row, source="", line=0) for row in back] == given_rows
    lines = path.read_bytes().split(b"\n")
    assert all(row.source == str(path) for row in back)
    assert all(1 < row.line <= len(lines) for row in back)


def test_a_row_knows_the_line_on_which_it_begins(tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    path.write_text(f'{HEAD}\n"two\nlines",a,{SINGLE},1.png,,,,\nq,a,{SINGLE},2.png,,,,\n')
    first, second = read_rows(path)
    assert (first.line, second.line) == (2, 4)
    assert second.where == f"{path}, line 4"
    assert second.image_paths == (tmp_path / "2.png",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("answer,type,image_path\n", "has no column question"),
        ("question,answer,type\n", "has no column image_path"),
        ("", "has no column"),
        (f"{HEAD}\nq,a,{SINGLE},1.png,,,\n", "line 2: 7 cells, but the head has 8"),
        (f"{HEAD}\nq,a,picture,1.png,,,,\n", "line 2: type is 'picture'"),
        (f"{HEAD}\nq,a,{SINGLE},,,,,\n", "line 2: a row of type single-image names no image"),
        (f'{HEAD}\nq,"a,{SINGLE},1.png,,,,\n', "not CSV"),
    ],
)
def test_a_file_that_is_wrong_is_refused_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "train.csv"
    path.write_text(text)
    with pytest.raises(DataInvalid, match=said) as caught:
        read_rows(path)
    assert "train.csv" in str(caught.value)


def test_an_absent_file_and_one_in_another_encoding_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataNotFound, match=r"none\.csv does not exist"):
        read_rows(tmp_path / "none.csv")
    (tmp_path / "latin.csv").write_bytes(HEAD.encode() + b"\nq\xe9,a,single-image,1.png,,,,\n")
    with pytest.raises(DataInvalid, match=r"latin\.csv cannot be read as UTF-8"):
        read_rows(tmp_path / "latin.csv")


def test_a_negative_that_could_not_be_told_from_two_is_not_written(tmp_path: Path) -> None:
    row = TrainingRow("q", "a", SINGLE, (Path("1.png"),), neg_attributes=(f"one{SEPARATOR}two",))
    with pytest.raises(DataInvalid, match="holds a TAB"):
        write_rows(tmp_path / "train.csv", [row])
    assert not (tmp_path / "train.csv").exists()


def pictured(folder: Path, count: int = 4) -> list[TrainingRow]:
    made = []
    for number in range(count):
        path = folder / f"{number}.png"
        Image.new("RGB", (4, 4), (number * 9, 0, 0)).save(path)
        own, other = ("tern", "crow") if number % 2 else ("crow", "tern")
        row = TrainingRow("q", own, SINGLE, (path,), "white", ("black",), own, (other,), "train.csv", number + 2)
        made.append(row)
    return made


def test_good_rows_pass_without_a_word(tmp_path: Path) -> None:
    seen: list[int] = []
    assert check_rows(pictured(tmp_path), checked=seen.append) == []
    assert seen == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"attribute": None}, "line 4: no attribute"),
        ({"category": " "}, "line 4: no category"),
        ({"neg_attributes": ("black", "")}, "line 4: an empty negative in neg_attribute"),
        ({"neg_categories": (" ",)}, "line 4: an empty negative in neg_category"),
        ({"answer": ""}, "line 4: no answer"),
        ({"image_paths": (Path("none.png"),)}, "line 4: image none.png: there is no such file"),
    ],
)
def test_a_faulty_row_is_named_before_training(tmp_path: Path, change: dict[str, object], said: str) -> None:
    given_rows = pictured(tmp_path)
    given_rows[2] = replace(given_rows[2], **change)
    with pytest.raises(DataInvalid, match=said) as caught:
        check_rows(given_rows)
    assert "train.csv" in str(caught.value)


def test_a_picture_that_cannot_be_decoded_is_named(tmp_path: Path) -> None:
    given_rows = pictured(tmp_path)
    (tmp_path / "1.png").write_bytes((tmp_path / "1.png").read_bytes()[:45])
    with pytest.raises(DataInvalid, match=r"line 3: image .*1\.png: damaged image"):
        check_rows(given_rows)
    assert check_rows(given_rows, decode=False) == []


def test_one_picture_in_two_rows_is_refused_in_stage_one_but_two_questions_may_share_it(tmp_path: Path) -> None:
    first, *others = pictured(tmp_path)
    twin = replace(first, question="another", line=9)
    with pytest.raises(DataInvalid, match=r"line 9: the same image as train\.csv, line 2"):
        check_rows([first, *others, twin])
    assert check_rows([first, *others, twin], "tune") == []
    with pytest.raises(DataInvalid, match="line 9: the same image and question"):
        check_rows([first, *others, replace(twin, question="q")], "tune")


def test_what_is_odd_but_allowed_is_told(tmp_path: Path) -> None:
    given_rows = pictured(tmp_path, 3)
    given_rows[0] = replace(given_rows[0], neg_categories=("tern", "crow"))
    told = check_rows(given_rows)
    assert told == [
        "train.csv, line 2: 1 negative descriptions, 2 negative categories; they are not paired.",
        "train.csv, line 2: crow is its own negative; it is left out of the sums.",
        "train.csv, line 3: tern has one image only.",
    ]


def test_many_faults_are_counted_and_none_at_all_is_said() -> None:
    row = TrainingRow("q", "a", SINGLE, (Path("none.png"),), None, (), "tern")
    with pytest.raises(DataInvalid, match="and 26 more"):
        check_rows([replace(row, line=number, image_paths=(Path(f"{number}.png"),)) for number in range(2, 19)] + [row])
    with pytest.raises(FgvrError, match="no training rows"):
        check_rows([])


def test_the_published_files_load_unchanged(reference: Path) -> None:
    folder = reference / "collate"
    found = {path.name: read_rows(path, folder / "images") for path in sorted(folder.glob("*.csv"))}
    assert len(found) == 10
    assert found["1_with_negatives.csv"][0].neg_categories == ("crow", "brown thrasher")
    assert found["3_negatives_in_some_rows.csv"][0].neg_attributes == ("a black bird", "")
    assert [len(row.image_paths) for row in found["4_finetune_multi_image.csv"]] == [2, 1, 2]
    with pytest.raises(DataInvalid, match=r"3_negatives_in_some_rows\.csv, line 2: an empty negative"):
        check_rows(found["3_negatives_in_some_rows.csv"])
