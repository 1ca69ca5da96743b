"""torchvision:NAME, datasets that torchvision's own classes read."""

from __future__ import annotations

import functools
import gzip
import hashlib
import http.server
import json
import pickle
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner
from layouts import draw

from fgvr_bench.cli.main import fgvr_bench
from fgvr_bench.core.host import host
from fgvr_bench.core.images import decode_image
from fgvr_bench.errors import DataInvalid, DataNotFound, UsageError
from fgvr_bench.interfaces import Dataset
from fgvr_bench.testing import check_dataset
from fgvr_datasets._torchvision import Samples, below, kinds

LAND = ["Forest", "River", "SeaLake", "Highway"]


def write(folder: Path, files: Sequence[str]) -> None:
    for number, name in enumerate(files):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(draw(number, name))


def eurosat(root: Path) -> None:
    write(root / "eurosat" / "2750", [f"{name}/{name}_{place}.jpg" for name in LAND for place in (1, 2)])


def textures(root: Path) -> None:
    """DTD: lists of splits, in ten partitions."""
    base = root / "dtd" / "dtd"
    names = [f"{name}/{name}_{place:04}.jpg" for name in ("banded", "dotted", "zigzagged") for place in range(4)]
    write(base / "images", names)
    (base / "labels").mkdir()
    for partition, shift in ((1, 0), (2, 1)):
        for place, split in enumerate(("train", "val", "test")):
            rows = [name for number, name in enumerate(names) if (number + shift) % 4 == place]
            (base / "labels" / f"{split}{partition}.txt").write_text("".join(f"{row}\n" for row in rows))


def fashion(root: Path) -> None:
    """Fashion-MNIST: pixels and labels in files of numbers."""
    folder = root / "FashionMNIST" / "raw"
    folder.mkdir(parents=True)
    for split, count in (("train", 20), ("t10k", 10)):
        pixels = bytes((place * 7 + number) % 256 for number in range(count) for place in range(28 * 28))
        head = b"".join(size.to_bytes(4, "big") for size in (count, 28, 28))
        (folder / f"{split}-images-idx3-ubyte").write_bytes(b"\0\0\x08\x03" + head + pixels)
        labels = bytes(number % 10 for number in range(count))
        (folder / f"{split}-labels-idx1-ubyte").write_bytes(b"\0\0\x08\x01" + count.to_bytes(4, "big") + labels)


def signs(root: Path) -> None:
    """GTSRB: classes are numbers."""
    base = root / "gtsrb"
    write(base / "GTSRB" / "Final_Test" / "Images", [f"{number:05}.ppm" for number in range(3)])
    write(base / "GTSRB" / "Training", [f"{number:05}/00000_00000.ppm" for number in range(3)])
    rows = [f"{number:05}.ppm;48;36;0;0;9;9;{number}" for number in (0, 1, 2)]
    head = "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId"
    (base / "GT-final_test.csv").write_text("\n".join([head, *rows]))


SETS = {"EuroSAT": eurosat, "DTD": textures, "FashionMNIST": fashion, "GTSRB": signs}


def opened(argument: str, *roots: Path) -> Dataset:
    plugin, found = host().datasets.find(f"torchvision:{argument}")
    return plugin.open(roots, found)


@pytest.mark.parametrize("name", SETS)
def test_each_passes_the_conformance_kit(name: str, tmp_path: Path) -> None:
    SETS[name](tmp_path)
    may_read = 3 if name == "GTSRB" else 0  # its labels come with its pixels
    check_dataset(host().datasets["torchvision:x"], roots=[tmp_path], argument=name, may_read=may_read)


def test_images_that_are_files_go_by_their_paths(tmp_path: Path) -> None:
    eurosat(tmp_path / "EuroSAT")
    dataset = opened("eurosat#scenes", tmp_path / "absent", tmp_path)
    assert (dataset.card.name, dataset.card.noun) == ("torchvision:EuroSAT", "scenes")
    assert list(dataset.labels()) == sorted(LAND)
    found = {example.example_id: example.label for example in dataset.examples()}
    assert found["torchvision:EuroSAT/test/eurosat/2750/River/River_2.jpg"] == "River"
    assert len(found) == 8
    assert list(dataset.remarks()) == ["torchvision parts it into no splits, so all of it is test"]
    with pytest.raises(UsageError, match=r"torchvision:EuroSAT has no split 'train'; it has test"):
        dataset.examples("train")


def test_splits_and_settings_are_those_of_torchvisions_class(tmp_path: Path) -> None:
    textures(tmp_path)
    first, second = opened("DTD", tmp_path), opened("DTD#textures,partition=2", tmp_path)
    assert [len(first.examples(split)) for split in ("train", "validation", "test")] == [3, 3, 3]
    assert first.examples()[0].example_id.endswith("banded_0002.jpg")
    assert second.examples()[0].example_id.endswith("banded_0001.jpg")
    plugin, _ = host().datasets.find("torchvision:dtd")
    assert plugin.spelling("dtd#textures,partition=2") == "DTD#partition=2"
    for argument, match in {
        "DTD#partition=two": "partition=two: type a whole number",
        "DTD#part=2": "'part=2' is no setting. Did you mean partition",
        "DTDs": r"torchvision has no dataset 'DTDs' of images and labels. Did you mean DTD",
        "CocoDetection": r"torchvision has no dataset 'CocoDetection' of images and labels",
        "CIFAR100": r"the files of CIFAR100 are pickles.*hf:NAME",
        "Flowers102": r"Flowers102 of torchvision is flower-102 here. Type: --dataset flower-102",
        "": "torchvision: needs a name",
    }.items():
        with pytest.raises(UsageError, match=match):
            plugin.open([tmp_path], argument)


def test_images_in_memory_are_handed_on_as_pixels(tmp_path: Path) -> None:
    fashion(tmp_path)
    dataset = opened("FashionMNIST", tmp_path)
    assert list(dataset.labels())[:2] == ["T-shirt/top", "Trouser"]
    examples = pickle.loads(pickle.dumps(dataset.examples()))
    assert [examples[place].example_id for place in (0, -1)] == [
        f"torchvision:FashionMNIST/test/{number:06}" for number in (0, 9)
    ]
    image = decode_image(examples[3].image.read())
    assert image.size == (28, 28)
    assert image.getpixel((0, 0)) == (3, 3, 3)
    assert len(dataset.examples("train")) == 20


def test_classes_without_names_are_remarked_on(tmp_path: Path) -> None:
    signs(tmp_path)
    dataset = opened("GTSRB", tmp_path)
    assert [example.label for example in dataset.examples()] == ["0", "1", "2"]
    (remark,) = dataset.remarks()
    assert "its labels are numbers" in remark


def test_what_is_absent_damaged_or_leads_elsewhere_is_said(tmp_path: Path) -> None:
    with pytest.raises(
        DataNotFound, match=r"EuroSAT is not in .*torchvision says: Dataset not found.*fgvr-bench datasets fetch torch"
    ):
        opened("EuroSAT", tmp_path)
    textures(tmp_path)
    (tmp_path / "dtd/dtd/labels/test1.txt").write_text("../../../secret.jpg\n")
    with pytest.raises(DataInvalid, match=r"DTD in .* is damaged; torchvision says: too many values"):
        opened("DTD", tmp_path)
    with pytest.raises(DataInvalid, match=r"names ../secret.jpg, which does not lie in it"):
        below(tmp_path / "dtd", [str(tmp_path / "dtd" / "1.jpg"), str(tmp_path / "secret.jpg")])
    with pytest.raises(UsageError, match=r"no dataset of images with one label each"):
        Samples.of([(Path("1.jpg"), 0, 1)])


def test_torchvision_downloads_what_fetch_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fashion(tmp_path / "served")
    raw = tmp_path / "served/FashionMNIST/raw"
    for file in list(raw.iterdir()):
        (raw / f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes(), mtime=0))
    resources = [(file.name, hashlib.md5(file.read_bytes()).hexdigest()) for file in sorted(raw.glob("*.gz"))]
    kind = kinds()["FashionMNIST"]
    monkeypatch.setattr(kind, "resources", resources)
    words = ["datasets", "fetch", "torchvision:fashionmnist", "--data-root", str(tmp_path / "data")]
    monkeypatch.setenv("FGVR_OFFLINE", "1")
    off = CliRunner().invoke(fgvr_bench, words)
    assert off.exit_code == 1
    assert "has to be downloaded, but FGVR_OFFLINE" in str(off.exception)
    monkeypatch.delenv("FGVR_OFFLINE")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with served(raw) as address:
        monkeypatch.setattr(kind, "mirrors", [address])
        done = CliRunner().invoke(fgvr_bench, words)
    assert done.exit_code == 0, done.output
    assert f"torchvision:FashionMNIST is in {tmp_path}/data/FashionMNIST: 20 train, 10 test." in done.output
    assert len(opened("FashionMNIST", tmp_path / "data").examples()) == 10
    monkeypatch.setattr(kind, "mirrors", ["http://127.0.0.1:9/"])
    with pytest.raises(DataNotFound, match=r"cannot be downloaded; torchvision says: .*See: https://docs.pytorch.org"):
        host().datasets["torchvision:x"].fetch(tmp_path / "other", "FashionMNIST")


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder on this machine."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_run_and_a_verification_from_the_command_line(tmp_path: Path) -> None:
    eurosat(tmp_path)
    place = ["--data-root", str(tmp_path)]
    words = ["run", "--model", "always-a", "--dataset", "torchvision:eurosat#scenes", "--options", "random"]
    done = CliRunner().invoke(
        fgvr_bench, [*words, *place, "--workers", "1", "--results-dir", str(tmp_path / "results")]
    )
    assert done.exit_code == 0, done.output
    (run,) = (tmp_path / "results").rglob("run.json")
    inputs = json.loads(run.read_text())["inputs"]["dataset"]
    assert (inputs["name"], inputs["noun"]) == ("torchvision:EuroSAT", "scenes")
    checked = CliRunner().invoke(fgvr_bench, ["datasets", "verify", "torchvision:EuroSAT", *place])
    assert checked.exit_code == 0, checked.output
    assert "note: torchvision parts it into no splits" in checked.output
