"""The dataset digest: changes with any id, label or image, and costs a stat an image the second time."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from option_toys import Pictures, draw_pictures

from fgvr_bench.core.digest import dataset_digest, survey
from fgvr_bench.errors import DataInvalid
from fgvr_bench.types import Example, FileImage


@pytest.fixture
def pictures(tmp_path: Path) -> Pictures:
    return draw_pictures(tmp_path / "pictures", 8)


def test_the_digest_is_the_documented_one(pictures: Pictures) -> None:
    lines: list[Any] = [{"format": "fgvr-bench/dataset-digest", "source": None, "version": 1}]
    lines += [[e.example_id, e.label, hashlib.sha256(e.image.read()).hexdigest()] for e in pictures.examples()]
    text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
    assert dataset_digest(pictures, "test") == hashlib.sha256(text.encode()).hexdigest()


def test_it_changes_with_an_image_a_label_and_an_id(pictures: Pictures) -> None:
    before = dataset_digest(pictures, "test")
    image = Path(pictures.examples()[3].image.path)
    data = image.read_bytes()
    image.write_bytes(data + b"\0")
    changed = dataset_digest(pictures, "test")
    image.write_bytes(data)
    assert dataset_digest(pictures, "test") == before != changed
    pictures.names = (*pictures.names[:-1], "Ghost moth")
    relabelled = dataset_digest(pictures, "test")
    pictures.names = (*pictures.names[:-1], "Grey moth")
    image.rename(image.with_name("9999.png"))
    assert len({before, relabelled, dataset_digest(pictures, "test")}) == 3


def test_known_files_are_not_read_again(pictures: Pictures, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    original = FileImage.read

    def counting(image: FileImage) -> bytes:
        read.append(image.path)
        return original(image)

    monkeypatch.setattr(FileImage, "read", counting)
    first = dataset_digest(pictures, "test")
    assert len(read) == 8
    assert dataset_digest(pictures, "test") == first
    assert len(read) == 8
    os.utime(pictures.examples()[0].image.path, (1_600_000_001, 1_600_000_001))
    assert dataset_digest(pictures, "test") == first
    assert len(read) == 9


def test_a_file_modified_just_now_is_never_taken_from_the_cache(pictures: Pictures) -> None:
    image = Path(pictures.examples()[0].image.path)
    os.utime(image)
    status = image.stat()
    before = dataset_digest(pictures, "test")
    data = bytearray(image.read_bytes())
    data[-1] ^= 1
    image.write_bytes(bytes(data))
    os.utime(image, ns=(status.st_atime_ns, status.st_mtime_ns))  # as within one tick of a coarse clock
    assert dataset_digest(pictures, "test") != before


def test_an_unreadable_image_is_part_of_the_digest(pictures: Pictures) -> None:
    whole = survey(pictures, "test")

    class Lost(Pictures):
        def examples(self, split: str = "test") -> Sequence[Example]:
            first, *rest = super().examples(split)
            return [Example(first.example_id, FileImage("/nowhere/0.png"), first.label, split), *rest]

    lost = survey(Lost(pictures.root), "test")
    assert (whole.unreadable, lost.unreadable, lost.examples) == (0, 1, 8)
    assert lost.digest != whole.digest


def test_a_dataset_that_vouches_for_its_images_is_not_read(pictures: Pictures) -> None:
    class Vouched(Pictures):
        seal = "a"

        def source_digest(self, split: str) -> str:
            return self.seal

        def examples(self, split: str = "test") -> Sequence[Example]:
            return [Example(f"pictures/test/{n}", FileImage("/nowhere"), "Grey moth", split) for n in range(3)]

    vouched = Vouched(pictures.root)
    first = survey(vouched, "test")
    vouched.seal = "b"
    assert first.unreadable == 0
    assert survey(vouched, "test").digest != first.digest


@pytest.mark.parametrize("names", [["b", "a"], ["a", "a"]])
def test_examples_out_of_order_are_refused(pictures: Pictures, names: list[str]) -> None:
    class Disordered(Pictures):
        def examples(self, split: str = "test") -> Sequence[Example]:
            return [Example(f"pictures/test/{name}", FileImage("/nowhere"), "Grey moth", split) for name in names]

    with pytest.raises(DataInvalid, match="unique and sorted"):
        dataset_digest(Disordered(pictures.root), "test")


def test_a_damaged_cache_costs_time_only(pictures: Pictures) -> None:
    before = dataset_digest(pictures, "test")
    (cached,) = Path(os.environ["FGVR_CACHE"], "digests").glob("*.bin")
    cached.write_bytes(cached.read_bytes()[:-7])
    assert dataset_digest(pictures, "test") == before


def test_surveys_at_the_same_time_agree(pictures: Pictures) -> None:
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(dataset_digest(pictures, "test"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1
