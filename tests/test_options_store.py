"""The store: one set for one collection of inputs, made once, whoever asks."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import tiny
from option_toys import LABELS, Pictures, draw_pictures

from fgvr_bench.core import options as store
from fgvr_bench.core.host import Host
from fgvr_bench.core.options import OptionSet, find_or_build, resolve
from fgvr_bench.errors import DataInvalid, OptionsInvalid, UnknownName
from fgvr_bench.interfaces import MiningSettings, OptionMiner
from fgvr_bench.types import Example, Options


@pytest.fixture
def pictures(tmp_path: Path) -> Pictures:
    return draw_pictures(tmp_path / "pictures")


class Neighbour(OptionMiner):
    """Offers the next labels of the list; counts how often it mines, and errs on demand."""

    name = "neighbour"
    seeded = False

    def __init__(self, error: str = "") -> None:
        self.error, self.mined = error, 0

    def identify(self, dataset: Any, settings: MiningSettings) -> Mapping[str, Any]:
        return {"rule": "neighbour-1"}

    def mine(
        self, dataset: Any, examples: Sequence[Example], settings: MiningSettings, progress: Any
    ) -> Iterator[Options]:
        self.mined += 1
        labels = list(dataset.labels())
        for place, example in enumerate(examples):
            if self.error == "stops" and place == 5:
                return
            at = labels.index(example.label) + (self.error == "other truth")
            yield Options(example.example_id, tuple(labels[(at + n) % len(labels)] for n in range(settings.k)))
            progress(1)
        if self.error == "goes on":
            yield Options("pictures/test/~", tuple(labels[:4]))


@pytest.fixture
def neighbour(monkeypatch: pytest.MonkeyPatch) -> Neighbour:
    miner = Neighbour()
    made = Host()
    made.miners.add(miner, "test")
    monkeypatch.setattr(store, "host", lambda: made)
    return miner


def test_what_was_mined_is_found(pictures: Pictures, neighbour: Neighbour) -> None:
    first = find_or_build(pictures, "test", "neighbour", MiningSettings(k=3))
    assert find_or_build(pictures, "test", "neighbour", MiningSettings(k=3, seed=9)).digest == first.digest
    assert neighbour.mined == 1
    find_or_build(pictures, "test", "neighbour", MiningSettings(k=4))
    assert neighbour.mined == 2


def test_a_changed_dataset_is_mined_anew(pictures: Pictures, neighbour: Neighbour) -> None:
    find_or_build(pictures, "test", "neighbour")
    Path(pictures.examples()[0].image.path).write_bytes(b"other")
    find_or_build(pictures, "test", "neighbour")
    pictures.names = (*LABELS[:-1], "Ghost moth")
    find_or_build(pictures, "test", "neighbour")
    assert neighbour.mined == 3


def test_a_damaged_set_in_the_store_is_mined_again(pictures: Pictures, neighbour: Neighbour) -> None:
    made = find_or_build(pictures, "test", "neighbour")
    whole = made.path.read_bytes()
    made.path.write_bytes(whole[:-50])
    assert find_or_build(pictures, "test", "neighbour").digest == made.digest
    assert made.path.read_bytes() == whole


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("stops", "gave options for 5 of 21 examples"),
        ("goes on", "where no more was due"),
        ("other truth", "where pictures/test/0000.png with 'Amber_moth' first was due"),
    ],
)
def test_a_miner_that_errs_is_caught_and_nothing_is_stored(
    pictures: Pictures, neighbour: Neighbour, error: str, words: str, tmp_path: Path
) -> None:
    neighbour.error = error
    with pytest.raises(OptionsInvalid, match=words):
        find_or_build(pictures, "test", "neighbour", folder=tmp_path / "store")
    assert not list((tmp_path / "store").glob("*.jsonl"))


def test_datasets_that_allow_no_question_are_refused(pictures: Pictures, neighbour: Neighbour) -> None:
    pictures.names = ("Only moth",)
    with pytest.raises(DataInvalid, match="1 labels"):
        find_or_build(pictures, "test", "neighbour")
    pictures.names = ("One moth", "Two moth", "One moth")
    with pytest.raises(DataInvalid, match="lists 'One moth' twice"):
        find_or_build(pictures, "test", "neighbour")
    pictures.names = LABELS
    for example in pictures.examples():
        Path(example.image.path).unlink()
    with pytest.raises(DataInvalid, match="no examples"):
        find_or_build(pictures, "test", "neighbour")


def test_a_spec_is_a_miner_a_file_or_the_datasets_own(pictures: Pictures, tmp_path: Path) -> None:
    mined = resolve(pictures, "test", "random", seed=4)
    assert (mined.header["miner"], mined.header["seed"]) == ("random", 4)
    copy = tmp_path / "copy.jsonl"
    copy.write_bytes(mined.path.read_bytes())
    assert resolve(pictures, "test", str(copy)).digest == mined.digest
    pictures.clip_checkpoint = tiny.clip(tmp_path / "clip")
    assert resolve(pictures, "test").header["miner"] == "clip"


def test_a_spec_that_is_nothing_says_what_there_is(pictures: Pictures) -> None:
    with pytest.raises(UnknownName, match="Did you mean random"):
        resolve(pictures, "test", "randon")
    with pytest.raises(OptionsInvalid, match=r"mine\.jsonl does not exist.*options build"):
        resolve(pictures, "test", "mine.jsonl")


def test_a_file_of_another_version_of_the_data_is_refused(pictures: Pictures, tmp_path: Path) -> None:
    copy = tmp_path / "copy.jsonl"
    copy.write_bytes(resolve(pictures, "test", "random").path.read_bytes())
    Path(pictures.examples()[0].image.path).write_bytes(b"other")
    with pytest.raises(OptionsInvalid, match=r"other images or labels.*options build --dataset pictures"):
        resolve(pictures, "test", str(copy))


TWO = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from option_toys import Pictures
from fgvr_bench.core.options import find_or_build
from fgvr_bench.interfaces import MiningSettings
pictures = Pictures(Path(sys.argv[2]), Path(sys.argv[3]))
made = find_or_build(pictures, "test", "clip", MiningSettings(device="cpu", workers=0))
print(made.path, made.digest)
"""


def test_two_processes_end_with_the_same_file(pictures: Pictures, tmp_path: Path) -> None:
    clip = tiny.clip(tmp_path / "clip")
    command = [sys.executable, "-c", TWO, str(Path(__file__).parent), str(pictures.root), str(clip)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=120)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert said[0] == said[1]
    path = Path(said[0].split()[0])
    assert len(OptionSet.load(path)) == 21
    assert json.loads(path.read_bytes().splitlines()[0])["examples"] == 21
    assert [each.suffix for each in path.parent.iterdir()] == [".jsonl"]
