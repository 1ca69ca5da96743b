"""folder:PATH, images in folders by class."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from layouts import draw

from fgvr_bench.core.host import host
from fgvr_bench.errors import DataInvalid, DataNotFound, UsageError
from fgvr_bench.interfaces import Dataset


def write(root: Path, *paths: str) -> Path:
    for number, path in enumerate(paths):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(draw(number, path))
    return root


def opened(argument: str) -> Dataset:
    plugin, found = host().datasets.find(f"folder:{argument}")
    return plugin.open([], found)


def test_folder_names_are_labels(tmp_path: Path) -> None:
    root = write(tmp_path / "birds", "Tree Sparrow/1.jpg", "Tree Sparrow/2.JPG", "House_Sparrow/deep/er/1.png")
    (root / "Tree Sparrow" / "notes.txt").write_text("no image")
    (root / "empty").mkdir()
    dataset = opened(str(root))
    assert list(dataset.labels()) == ["House_Sparrow", "Tree Sparrow"]
    assert [(example.example_id, example.label) for example in dataset.examples()] == [
        ("folder:birds/test/House_Sparrow/deep/er/1.png", "House_Sparrow"),
        ("folder:birds/test/Tree Sparrow/1.jpg", "Tree Sparrow"),
        ("folder:birds/test/Tree Sparrow/2.JPG", "Tree Sparrow"),
    ]
    assert dataset.card.noun == "objects"
    assert not dataset.card.in_all
    assert dataset.card.options == "clip"


def test_folders_named_for_splits_are_splits(tmp_path: Path) -> None:
    root = write(tmp_path, "Train/a/1.jpg", "Train/b/1.jpg", "val/a/2.jpg", "test/a/3.jpg")
    dataset = opened(str(root))
    assert [len(dataset.examples(split)) for split in ("train", "validation", "test")] == [2, 1, 1]
    assert list(dataset.labels()) == ["a", "b"]
    assert dataset.examples("train")[0].image.read() == (root / "Train/a/1.jpg").read_bytes()


def test_a_class_may_be_called_test(tmp_path: Path) -> None:
    dataset = opened(str(write(tmp_path, "test/1.jpg", "exam/1.jpg")))
    assert list(dataset.labels()) == ["exam", "test"]


def test_the_question_may_name_what_the_objects_are(tmp_path: Path) -> None:
    root = write(tmp_path / "x", "a/1.jpg", "b/1.jpg")
    assert opened(f"{root}#mushrooms").card.noun == "mushrooms"


def test_a_folder_that_moves_keeps_its_ids(tmp_path: Path) -> None:
    root = write(tmp_path / "one" / "birds", "a/1.jpg", "b/1.jpg")
    before = [example.example_id for example in opened(str(root)).examples()]
    shutil.move(tmp_path / "one", tmp_path / "two")
    assert [example.example_id for example in opened(str(tmp_path / "two" / "birds")).examples()] == before


def test_what_is_no_folder_of_classes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataNotFound, match="there is no folder"):
        opened(str(tmp_path / "absent"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataInvalid, match="has no folders of images"):
        opened(str(tmp_path / "empty")).labels()
    flat = write(tmp_path / "flat", "1.jpg", "a/1.jpg")
    with pytest.raises(DataInvalid, match=r"1\.jpg lies in no class folder"):
        opened(str(flat)).examples()
    twice = write(tmp_path / "twice", "val/a/1.jpg", "valid/a/1.jpg")
    with pytest.raises(DataInvalid, match="two folders for the split validation"):
        opened(str(twice))
    split = write(tmp_path / "split", "train/a/1.jpg", "test/a/1.jpg")
    with pytest.raises(UsageError, match="has no split 'validation'; it has test and train"):
        opened(str(split)).examples("validation")
