"""csv:PATH, images that a table lists."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import pytest
from click.testing import CliRunner
from fuzz_tools import Spoil, in_time, inputs, spoils, spoilt
from hypothesis import strategies as st
from layouts import draw

from fgvr_bench.cli.main import fgvr_bench
from fgvr_bench.core.host import host
from fgvr_bench.errors import DataInvalid, DataNotFound, FgvrError, UsageError
from fgvr_bench.interfaces import Dataset

ROWS = [("images/1.jpg", "Tree Sparrow"), ("images/2.jpg", "House Sparrow"), ("images/deep/3.jpg", "Tree Sparrow")]
PLAIN = "path,label\n" + "".join(f"{path},{label}\n" for path, label in ROWS)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number, (path, label) in enumerate(ROWS):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(draw(number, label))
    return tmp_path


def opened(argument: str) -> Dataset:
    plugin, found = host().datasets.find(f"csv:{argument}")
    return plugin.open([], found)


def table(root: Path, content: str | bytes, name: str = "birds.csv") -> Path:
    path = root / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def images(dataset: Dataset, split: str = "test") -> list[tuple[str, str]]:
    return [(example.example_id, example.label) for example in dataset.examples(split)]


LISTED = [(f"csv:birds.csv/test/{path}", label) for path, label in ROWS]


def test_a_table_of_paths_and_labels_is_a_dataset(root: Path) -> None:
    dataset = opened(str(table(root, PLAIN)))
    assert images(dataset) == LISTED
    assert list(dataset.labels()) == ["House Sparrow", "Tree Sparrow"]
    assert dataset.examples()[0].image.read() == (root / "images/1.jpg").read_bytes()
    assert [example.label for example in pickle.loads(pickle.dumps(dataset.examples()))] == [row[1] for row in ROWS]
    assert list(dataset.remarks()) == [
        "images from column 'path', labels from 'label', no splits, so all of it is test",
    ]
    assert (dataset.card.noun, dataset.card.options, dataset.card.in_all) == ("objects", "clip", False)


@pytest.mark.parametrize(
    "spelling",
    [
        PLAIN.replace("\n", "\r\n").encode(),
        b"\xef\xbb\xbf" + PLAIN.encode(),
        PLAIN.replace(",", ";").encode(),
        PLAIN.replace(",", "\t").encode(),
        PLAIN.replace(",", "|").rstrip().encode(),
        "\n".join(["Class Name,note,File-Name", *(f'{label},"a, b",./{path}' for path, label in ROWS)]).encode(),
        ("\n\n" + PLAIN.replace("\n", "\n\n").replace("images/", "images\\")).encode(),
    ],
    ids=["windows", "bom", "semicolons", "tabs", "bars", "other names, quoted", "blank lines, backslashes"],
)
def test_tables_come_in_many_spellings(root: Path, spelling: bytes) -> None:
    assert images(opened(str(table(root, spelling)))) == LISTED


def test_json_lines_and_parquet_are_tables_too(root: Path) -> None:
    lines = "".join(json.dumps({"image": path, "species": label}) + "\n" for path, label in ROWS)
    assert images(opened(str(table(root, lines, "birds.jsonl")))) == [
        (example_id.replace(".csv", ".jsonl"), label) for example_id, label in LISTED
    ]
    import pandas as pd

    pd.DataFrame(ROWS, columns=["filepath", "category"]).to_parquet(root / "birds.parquet")
    dataset = opened(str(root / "birds.parquet"))
    assert [label for _, label in images(dataset)] == [label for _, label in ROWS]
    assert dataset.remarks()[0].startswith("images from column 'filepath', labels from 'category'")


def test_splits_are_read_and_the_usual_ones_found_whatever_their_case(root: Path) -> None:
    rows = ["file,label,set", *(f"{path},{label},{split}" for (path, label), split in zip(ROWS, SETS, strict=True))]
    dataset = opened(str(table(root, "\n".join(rows))))
    assert [len(dataset.examples(split)) for split in ("test", "validation", "fold-3")] == [1, 1, 1]
    assert list(dataset.labels()) == ["House Sparrow", "Tree Sparrow"], "labels are those of all splits"
    with pytest.raises(UsageError, match="has no split 'train'; it has fold-3 and test and validation"):
        dataset.examples("train")


SETS = ["Test", "val", "fold-3"]


def test_columns_folder_and_noun_may_be_named(root: Path) -> None:
    (root / "lists").mkdir()
    file = table(root / "lists", "id,latin,english\n1.jpg,Passer,Sparrow\n2.jpg,Sitta,Nuthatch\n")
    dataset = opened(f"{file}#birds, path=id,label=english,images=../images")
    assert dataset.card.noun == "birds"
    assert [label for _, label in images(dataset)] == ["Sparrow", "Nuthatch"]
    plugin, argument = host().datasets.find(f"csv:{root}/lists/../lists/birds.csv#birds,path=id,label=english")
    assert argument is not None
    assert plugin.spelling(argument) == f"{file}#label=english,path=id"
    with pytest.raises(UsageError, match=r"'labl=x' is no setting. Did you mean label"):
        opened(f"{file}#labl=x")
    with pytest.raises(DataInvalid, match=r"has no column 'englisch' for labels. Did you mean english"):
        opened(f"{file}#path=id,label=englisch")


def test_labels_that_are_numbers_are_remarked_on(root: Path) -> None:
    dataset = opened(str(table(root, "path,label\nimages/1.jpg,0\nimages/2.jpg,1\n")))
    assert "its labels are numbers" in dataset.remarks()[1]


BAD = {
    "path,label\nimages/1.jpg,a\n\nimages/1.jpg,b\n": r"line 4 names images/1.jpg, which line 2 has named already",
    "path,label\nimages/1.jpg,a\nimages/./1.jpg,a\n": r"line 3 names images/1.jpg, which line 2 has named already",
    "path,label\nimages/1.jpg,a\nimages/9.jpg,b\nx.jpg,b\n": r"line 3 names images/9.jpg, which is no .*\(2 of 3 are",
    "path,label\nimages,a\n": r"line 2 names images, which is no file",
    "path,label\n/etc/passwd,a\n": r"line 2 names /etc/passwd, which does not lie in",
    "path,label\nimages/../../secret.jpg,a\n": r"line 2 names images/../../secret.jpg, which does not lie in",
    "path,label\nC:\\secret.jpg,a\n": r"which does not lie in",
    "path,label\nhttps://example.org/1.jpg,a\n": r"a web address. Download the images",
    "path,label\n,a\n": r"line 2 has no path under 'path'",
    "path,label\nimages/1.jpg,\n": r"line 2 has no label under 'label'",
    "path,label,split\nimages/1.jpg,a,\n": r"line 2 has '' for a split",
    "path,label\nimages/1.jpg,a,b\n": r"line 2 has 3 fields; the first line names 2 columns",
    'path,label\nimages/1.jpg,"a\n': r"line 2 is no line of a CSV file: a quotation mark is not closed",
    "path,path\n1,2\n": r"two columns 'path'",
    "images/1.jpg,Sparrow\n": r"has the columns images/1.jpg, Sparrow; none of them is known to hold an image's path",
    "path,kind\nimages/1.jpg,Sparrow\n": r"none of them is known to hold labels.*#label=COLUMN",
    "path,label\n": r"names columns, but lists no image",
    "\n \n": r"is empty",
    "path,label\nimages/1.jpg,\xe9\n".encode("latin-1"): r"line 2 is not UTF-8 text \(byte 14\)",
    "path,label\n".encode("utf-16"): r"line 1 is UTF-16 text. Save the file as UTF-8",
    b"path,label\nimages/1.jpg,a\0b\n": r"line 2 is not text",
}


@pytest.mark.parametrize("content", BAD, ids=range(len(BAD)))
def test_what_is_wrong_with_a_table_is_named_by_file_and_line(root: Path, content: str | bytes) -> None:
    file = table(root, content)
    with pytest.raises(DataInvalid, match=BAD[content]) as told:
        opened(str(file)).examples()
    assert str(file) in str(told.value)


def test_what_is_wrong_with_json_lines_is_named_too(root: Path) -> None:
    for content, match in (
        ('{"path": "images/1.jpg", "label": "a"}\n{"path": 3, "label": "a"}', "line 2 has the path 3 under 'path'"),
        ('{"path": "images/1.jpg", "label": "a"}\n{"path": "images/2.jpg"}', "line 2 has no label"),
        ('[{"path": "x"}]', "line 1 is no JSON object"),
        ('{"path": "x", ', "line 1 is no JSON: "),
    ):
        with pytest.raises(DataInvalid, match=match):
            opened(str(table(root, content, "birds.jsonl"))).examples()
    with pytest.raises(DataInvalid, match="is no Parquet file"):
        opened(str(table(root, PLAIN, "birds.parquet")))
    with pytest.raises(UsageError, match=r"no table that is known by its name. Tables end with .csv"):
        opened(str(table(root, PLAIN, "birds.xlsx")))
    with pytest.raises(DataNotFound, match="there is no file"):
        opened(str(root / "absent.csv"))


def test_an_absolute_path_below_the_folder_is_one_of_its_images(root: Path) -> None:
    file = table(root, f"path,label\n{root}/images/1.jpg,a\nimages/2.jpg,b\n")
    assert [example_id for example_id, _ in images(opened(str(file)))] == [
        "csv:birds.csv/test/images/1.jpg",
        "csv:birds.csv/test/images/2.jpg",
    ]


@inputs(0.06, how=spoils, name=st.sampled_from(["t.csv", "t.jsonl"]))
def test_any_table_is_read_or_refused_in_words(
    tmp_path_factory: pytest.TempPathFactory, how: list[Spoil], name: str
) -> None:
    root = tmp_path_factory.getbasetemp()
    content = PLAIN if name == "t.csv" else '{"path": "a.jpg", "label": "x"}\n{"path": "b.jpg", "label": "y"}\n'
    file = table(root, spoilt(content.encode(), how), name)
    try:
        with in_time():
            listing = opened(str(file)).examples()
    except FgvrError:
        return
    assert all(os.path.normpath(listing.path(place)).startswith(str(root)) for place in range(len(listing)))


def test_a_run_on_a_table_says_how_it_was_read(root: Path) -> None:
    labels = ["Tree Sparrow", "House Sparrow", "Crow", "Rook"] * 2
    for number, label in enumerate(labels):
        (root / f"{number}.jpg").write_bytes(draw(number, label))
    file = table(root, "file,species\n" + "".join(f"{number}.jpg,{label}\n" for number, label in enumerate(labels)))
    words = ["run", "--model", "always-a", "--dataset", f"csv:{file}#birds", "--options", "random", "--workers", "0"]
    done = CliRunner().invoke(fgvr_bench, [*words, "--results-dir", str(root / "results")])
    assert done.exit_code == 0, done.output
    assert f"csv:{file}: images from column 'file', labels from 'species', no splits" in done.output
    (run,) = (root / "results").rglob("run.json")
    inputs = json.loads(run.read_text())["inputs"]
    assert inputs["dataset"]["name"] == f"csv:{file}"
    assert inputs["dataset"]["noun"] == "birds"
    checked = CliRunner().invoke(fgvr_bench, ["datasets", "verify", f"csv:{file}"])
    assert checked.exit_code == 0, checked.output
    assert "note: images from column 'file', labels from 'species'" in checked.output
