"""File listings: sorted, compact, lazy, and the same wherever they travel."""

from __future__ import annotations

import pickle
import sys
import tracemalloc
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fgvr_bench.core.listing import FileListing, FileRow, Texts, example_ids, select
from fgvr_bench.errors import DataInvalid, OptionsInvalid
from fgvr_bench.types import FileImage

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="/\0~"), min_size=1, max_size=12).filter(
    lambda name: name not in {".", ".."}
)


@given(st.lists(st.text(max_size=8)))
def test_joined_texts_are_a_list_of_texts(texts: list[str]) -> None:
    encodable = [text.encode("utf-8", "ignore").decode() for text in texts]
    joined = Texts(encodable)
    assert list(joined) == encodable
    assert joined[1:] == encodable[1:]
    for index in range(-len(encodable), len(encodable)):
        assert joined[index] == encodable[index]
    with pytest.raises(IndexError):
        joined[len(encodable)]


@given(st.dictionaries(NAMES, st.sampled_from("ab"), min_size=1, max_size=30))
def test_examples_come_sorted_and_can_be_found(files: dict[str, str]) -> None:
    normal = {unicodedata.normalize("NFC", name): label for name, label in files.items()}
    rows = [FileRow("x y", name, label) for name, label in normal.items()]
    listing = FileListing("set", "test", "/data", rows, ["a", "b"])
    ids = list(example_ids(listing))
    assert ids == sorted(ids) == [example.example_id for example in listing]
    assert {example.example_id: example.label for example in listing} == {
        f"set/test/{name}": label for name, label in normal.items()
    }
    for place, example_id in enumerate(ids):
        assert listing.find(example_id) == place
        assert listing[place - len(ids)] == listing[place]
    assert listing.find("set/test/~") is None


def test_keys_are_base_names_or_paths() -> None:
    rows = [FileRow("b", "1.jpg", "b"), FileRow("a", "2.jpg", "a")]
    named = FileListing("set", "test", "/data", rows, ["a", "b"])
    assert list(example_ids(named)) == ["set/test/1.jpg", "set/test/2.jpg"]
    pathed = FileListing("set", "test", "/data", rows, ["a", "b"], keyed_by_path=True)
    assert list(example_ids(pathed)) == ["set/test/a/2.jpg", "set/test/b/1.jpg"]
    assert pathed[0].image == FileImage("/data/a/2.jpg")
    assert [example.label for example in pathed[:1]] == ["a"]


def test_the_name_on_disk_may_be_spelt_otherwise_than_the_key() -> None:
    rows = [FileRow("", "1.jpg", "a", spelt="1.JPG"), FileRow("", "2.jpg", "a")]
    listing = FileListing("set", "test", "/data", rows, ["a"])
    assert listing[0].example_id == "set/test/1.jpg"
    assert listing[0].image == FileImage("/data/1.JPG")
    assert listing[-2] == listing[0]
    assert listing[1].image == FileImage("/data/2.jpg")


def test_ids_are_in_normal_form_and_paths_as_on_disk() -> None:
    decomposed = "e\N{COMBINING ACUTE ACCENT}.jpg"
    example = FileListing("set", "test", "/data", [FileRow("", decomposed, "a")], ["a"])[0]
    assert example.example_id == "set/test/\N{LATIN SMALL LETTER E WITH ACUTE}.jpg"
    assert example.image == FileImage(f"/data/{decomposed}")


def test_one_name_for_two_images_is_refused() -> None:
    rows = [FileRow("a", "1.jpg", "a", "list, line 1"), FileRow("b", "1.jpg", "b", "list, line 2")]
    with pytest.raises(DataInvalid, match=r"a/1.jpg \(a, list, line 1\) and b/1.jpg \(b, list, line 2\) are both"):
        FileListing("set", "test", "/data", rows, ["a", "b"])


def test_a_name_that_is_no_text_is_refused() -> None:
    with pytest.raises(DataInvalid, match="UTF-8"):
        FileListing("set", "test", "/data", [FileRow("", "\udcff.jpg", "a")], ["a"])


def test_a_repeated_image_is_an_example_of_its_own() -> None:
    rows = [FileRow("a", "1.jpg", "a")] * 3 + [FileRow("a", "10.jpg", "a")]
    listing = FileListing("set", "test", "/data", rows, ["a"])
    assert list(example_ids(listing)) == [
        "set/test/1.jpg",
        "set/test/1.jpg~2",
        "set/test/1.jpg~3",
        "set/test/10.jpg",
    ]
    assert listing[0].image == listing[2].image


def test_metadata_travels_with_its_image() -> None:
    rows = [FileRow("", f"{name}.jpg", "a", metadata={"box": name}) for name in "cab"]
    listing = FileListing("set", "test", "/data", rows, ["a"])
    assert [example.metadata["box"] for example in listing] == ["a", "b", "c"]


def test_a_listing_survives_the_way_to_another_process() -> None:
    rows = [FileRow("a", "1.jpg", "a", metadata={"box": "1"}), FileRow("a", "1.jpg", "a", metadata={"box": "1"})]
    listing = FileListing("set", "test", "/data", rows, ["a"])
    chosen = select(listing, ["set/test/1.jpg~2"])
    assert list(pickle.loads(pickle.dumps(listing))) == list(listing)
    assert list(pickle.loads(pickle.dumps(chosen))) == list(chosen)


def test_an_image_takes_less_than_eighty_bytes() -> None:
    count = 20_000
    labels = [f"Class_{number}" for number in range(200)]
    rows = (
        FileRow(f"images/{number % 200:03d}.Black_footed", f"Black_Footed_Albatross_{number:04d}_18.jpg", label)
        for number, label in zip(range(count), labels * 100, strict=True)
    )
    tracemalloc.start()
    try:
        listing = FileListing("bird-200", "test", "/data", rows, labels)
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert len(listing) == count
    assert held / count < 80
    assert sys.getsizeof(listing) < 1000


def test_a_selection_follows_the_ids_and_repeats_images() -> None:
    listing = FileListing("set", "test", "/data", [FileRow("", f"{name}.jpg", "a") for name in "abc"], ["a"])
    ids = list(example_ids(listing))
    assert select(listing, ids) is listing
    chosen = select(listing, [ids[0], ids[2], f"{ids[2]}~2"])
    assert [example.example_id for example in chosen] == [ids[0], ids[2], f"{ids[2]}~2"]
    assert [example.image for example in chosen[1:]] == [FileImage("/data/c.jpg")] * 2
    assert chosen[-1].example_id == f"{ids[2]}~2"
    assert len(chosen) == 3
    with pytest.raises(OptionsInvalid, match=r"set/test/d.jpg, which the dataset does not hold \(2 of 3\)"):
        select(listing, [ids[0], "set/test/d.jpg", "set/test/e.jpg~2"])


def test_the_root_may_hold_spaces(tmp_path: Path) -> None:
    root = tmp_path / "my data"
    root.mkdir()
    (root / "a b.jpg").write_bytes(b"x")
    assert FileListing("set", "test", root, [FileRow("", "a b.jpg", "a")], ["a"])[0].image.read() == b"x"
