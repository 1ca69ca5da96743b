"""The other datasets of FOCI-Benchmark: Food-101, ImageNet and its kin, each in the layouts it is met in."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import shutil
import tarfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import loopback
import pytest
from click.testing import CliRunner
from fuzz_tools import Spoil, in_time, inputs, spoils, spoilt
from hypothesis import strategies as st
from layouts import draw
from toy import Script, ToyModel, toy_host

import fgvr_bench.cli.datasets as command
import fgvr_bench.cli.run as run_command
from fgvr_bench.cli.main import fgvr_bench
from fgvr_bench.core.fetch import fetch_dataset
from fgvr_bench.core.published import import_options
from fgvr_bench.errors import DataInvalid, DataNotFound, FgvrError, UsageError
from fgvr_bench.interfaces import Dataset, DatasetPlugin
from fgvr_bench.testing import check_dataset
from fgvr_datasets import food_101, imagenet_1k, imagenet_a, imagenet_r, imagenet_sketch
from fgvr_datasets._facts import published_classes
from fgvr_datasets._imagenet import SynsetPlugin, class_names

SYNSETS = {"n01443537": "goldfish", "n01498041": "stingray", "n04008634": "projectile"}
EACH = 2


def write(folder: Path, files: Sequence[str]) -> None:
    for number, name in enumerate(files):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(draw(number, name))


# --- the layouts, each at three classes with two images ------------------------------------------------


def rendition(root: Path) -> None:
    write(root / "imagenet-r", [f"{synset}/{kind}_{1 + place}.jpg" for synset in SYNSETS for place, kind in KINDS])
    (root / "imagenet-r" / "README.txt").write_text("ImageNet-R\n")


KINDS = list(enumerate(["sketch", "videogame"]))


def adversarial(root: Path) -> None:
    names = ["0.001489_shovel _ shovel_0.73690397.jpg", "0.003131_spatula _ spatula_0.9721848.JPEG"]
    write(root / "imagenet-a", [f"{synset}/{name}" for synset in SYNSETS for name in names])
    (root / "imagenet-a" / "README.txt").write_text("ImageNet-A\n")


def sketch(root: Path) -> None:
    write(root / "sketch", [f"{synset}/sketch_{place}.JPEG" for synset in SYNSETS for place in range(EACH)])


VALIDATION = [f"ILSVRC2012_val_{number:08d}.JPEG" for number in range(1, len(SYNSETS) * EACH + 1)]
SHOWN = dict(zip(VALIDATION, [*SYNSETS, *reversed(SYNSETS)], strict=True))


TRAIN = [f"{synset}/{synset}_{place}.JPEG" for synset in SYNSETS for place in (10, 7)]


def by_class(root: Path) -> None:
    write(root / "imagenet" / "val", [f"{synset}/{name}" for name, synset in SHOWN.items()])
    write(root / "imagenet" / "train", TRAIN)


def official(root: Path) -> None:
    import numpy as np
    from scipy.io import savemat

    write(root / "ILSVRC2012" / "val", VALIDATION)
    write(root / "ILSVRC2012" / "train", TRAIN)
    devkit = root / "ILSVRC2012" / "ILSVRC2012_devkit_t12" / "data"
    devkit.mkdir(parents=True)
    rows = [(number, synset, "words", 0) for number, synset in zip((3, 1, 2), SYNSETS, strict=True)]
    rows.append((1001, "n00001740", "entity", 3))  # inner nodes of the tree come after the classes
    fields = [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("words", "O"), ("num_children", "O")]
    savemat(
        devkit / "meta.mat", {"synsets": np.array([(float(row[0]), *row[1:]) for row in rows], fields).reshape(-1, 1)}
    )
    number_of = {synset: number for number, synset, _, _ in rows}
    truths = "".join(f"{number_of[synset]}\n" for synset in SHOWN.values())
    (devkit / "ILSVRC2012_validation_ground_truth.txt").write_text(truths)


def kaggle(root: Path) -> None:
    base = root / "imagenet-1k"
    write(base / "ILSVRC" / "Data" / "CLS-LOC" / "val", VALIDATION)
    write(base / "ILSVRC" / "Data" / "CLS-LOC" / "train", TRAIN)
    shown = sorted(SHOWN.items(), key=lambda item: item[1])  # its rows are in no order
    rows = [f"{name.removesuffix('.JPEG')},{synset} 85 1 499 272 {synset} 3 4 9 9" for name, synset in shown]
    (base / "LOC_val_solution.csv").write_text("\r\n".join(["ImageId,PredictionString", *rows]))


def food(root: Path) -> None:
    base = root / "food-101"
    for split, start in (("test", 100), ("train", 200)):
        images = [f"{name}/{start + 10 * number + place}" for number, name in enumerate(DISHES) for place in (0, 1)]
        write(base / "images", [f"{image}.jpg" for image in images])
        (base / "meta").mkdir(exist_ok=True)
        (base / "meta" / f"{split}.txt").write_text("".join(f"{image}\n" for image in images))
    (base / "meta" / "classes.txt").write_text("".join(f"{name}\n" for name in DISHES))
    (base / "meta" / "labels.txt").write_text("Apple pie\nCheesecake\nCheese plate\n")


DISHES = ("apple_pie", "cheesecake", "cheese_plate")


def small(plugin: type[SynsetPlugin]) -> SynsetPlugin:
    images = dict.fromkeys(plugin.card.images, len(SYNSETS) * EACH)
    return plugin(dataclasses.replace(plugin.card, classes=len(SYNSETS), images=images))


def small_food() -> DatasetPlugin:
    counts = {name.replace("_", " "): 2 for name in DISHES}
    card = dataclasses.replace(food_101.CARD, classes=3, images={"test": 6, "train": 6})
    return food_101.FoodPlugin(card, counts)


LAYOUTS: dict[str, tuple[Callable[[Path], None], Callable[[], DatasetPlugin]]] = {
    "food-101": (food, small_food),
    "imagenet-a": (adversarial, lambda: small(imagenet_a.ImageNetAPlugin)),
    "imagenet-r": (rendition, lambda: small(imagenet_r.ImageNetRPlugin)),
    "imagenet-sketch": (sketch, lambda: small(imagenet_sketch.ImageNetSketchPlugin)),
    "imagenet-1k by class": (by_class, lambda: small(imagenet_1k.ImageNetPlugin)),
    "imagenet-1k official": (official, lambda: small(imagenet_1k.ImageNetPlugin)),
    "imagenet-1k kaggle": (kaggle, lambda: small(imagenet_1k.ImageNetPlugin)),
}


def opened(name: str, root: Path) -> Dataset:
    lay_out, plugin = LAYOUTS[name]
    lay_out(root)
    return plugin().open([root / "absent", root])


def images(dataset: Dataset, split: str = "test") -> dict[str, str]:
    return {example.example_id: example.label for example in dataset.examples(split)}


@pytest.mark.parametrize("name", LAYOUTS)
def test_each_passes_the_conformance_kit_in_each_layout(name: str, tmp_path: Path) -> None:
    lay_out, plugin = LAYOUTS[name]
    lay_out(tmp_path)
    check_dataset(plugin(), roots=[tmp_path])


def test_labels_of_imagenet_are_those_that_foci_asks_about() -> None:
    names = class_names()
    assert len(names) == len(set(names.values())) == 1000
    assert list(names) == sorted(names), "the official order is that of the synsets"
    # where FOCI departs from the list of CLIP's authors, and where theirs departs from WordNet
    assert [names[synset] for synset in ("n03773504", "n04008634")] == ["missile", "projectile"]
    assert [names[synset] for synset in ("n04355933", "n04356056")] == ["sunglass", "sunglasses"]
    assert [names[synset] for synset in ("n02012849", "n03126707")] == ["crane bird", "construction crane"]
    assert [names[synset] for synset in ("n02109525", "n01641577")] == ["St. Bernard", "American bullfrog"]


def test_the_three_layouts_of_imagenet_are_one_dataset(tmp_path: Path) -> None:
    expected = {f"imagenet-1k/test/{name}": SYNSETS[synset] for name, synset in SHOWN.items()}
    for layout in ("by class", "official", "kaggle"):
        dataset = opened(f"imagenet-1k {layout}", tmp_path / layout)
        assert images(dataset) == expected, layout
        assert list(dataset.labels()) == list(SYNSETS.values())
        (remark,) = dataset.remarks()
        assert "official validation split" in remark
        assert images(dataset, "train")["imagenet-1k/train/n01443537_10.JPEG"] == "goldfish"
    with pytest.raises(UsageError, match="no split 'validation'; it has test and train"):
        dataset.examples("validation")
    shutil.rmtree(tmp_path / "kaggle/imagenet-1k/ILSVRC/Data/CLS-LOC/train")
    with pytest.raises(DataNotFound, match="without its train images"):
        small(imagenet_1k.ImageNetPlugin).open([tmp_path / "kaggle"]).examples("train")


def test_the_kin_of_imagenet_are_told_by_synset_and_name(tmp_path: Path) -> None:
    assert images(opened("imagenet-r", tmp_path))["imagenet-r/test/n01443537/sketch_1.jpg"] == "goldfish"
    adversarial = images(opened("imagenet-a", tmp_path))
    assert adversarial["imagenet-a/test/n01498041/0.003131_spatula _ spatula_0.9721848.JPEG"] == "stingray"
    assert images(opened("imagenet-sketch", tmp_path))["imagenet-sketch/test/n04008634/sketch_1.JPEG"] == "projectile"


@pytest.mark.parametrize("name", ["imagenet-a", "imagenet-r", "imagenet-sketch", "imagenet-1k by class"])
def test_the_folder_of_classes_itself_may_be_named(name: str, tmp_path: Path) -> None:
    lay_out, plugin = LAYOUTS[name]
    lay_out(tmp_path)
    inner = next(path for path in (tmp_path / "imagenet/val", *tmp_path.iterdir()) if (path / "n01443537").is_dir())
    assert len(images(plugin().open([inner]))) == 6
    for other, (_, others) in LAYOUTS.items():
        if other.split()[0] != name.split()[0]:
            assert others().present([inner]) is None, f"{other} takes the images of {name} for its own"


def test_food_is_read_from_its_lists(tmp_path: Path) -> None:
    dataset = opened("food-101", tmp_path)
    assert list(dataset.labels()) == ["apple pie", "cheesecake", "cheese plate"], "the order is the archive's"
    assert images(dataset)["food-101/test/120.jpg"] == "cheese plate"
    assert images(dataset, "train")["food-101/train/201.jpg"] == "apple pie"
    published = published_classes("food-101")
    assert (len(published), set(published.values())) == (101, {250})
    assert sum(published.values()) == food_101.CARD.images["test"]


def damage(name: str, root: Path) -> Iterator[tuple[Path, str, str]]:
    """Yield files with what they are made to hold, and what is said then."""
    if name == "food-101":
        meta = root / "food-101" / "meta"
        yield meta / "test.txt", "apple_pie/100\nno image\n", r"test.txt, line 2 is 'no image'; expected for example"
        yield meta / "test.txt", "apple_pie/../../../secret\n", r"is annotated for 1 images"
        yield meta / "classes.txt", "apple_pie\ncheesecake\nzebra\n", r"classes.txt, line 3 names the class 'zebra'"
        yield meta / "classes.txt", "apple_pie\n", r"has 1 of the 3 classes of food-101: 'cheesecake' is missing"
    elif name == "imagenet-1k official":
        data = root / "ILSVRC2012" / "ILSVRC2012_devkit_t12" / "data"
        truths = data / "ILSVRC2012_validation_ground_truth.txt"
        yield truths, "3\n1\n", r"val_00000003.JPEG is in no folder of a class"
        yield truths, "3\n1\nseven\n", r"ground_truth.txt, line 3 is 'seven'; .*meta.mat has no class of that number"
        yield truths, "1001\n" * 6, r"line 1 is of 'n00001740', which is no class of ImageNet"
        yield truths, "3\n" * 6, r"holds 6 images of 1 classes; imagenet-1k test has 6 of 3"
        yield data / "meta.mat", "MATLAB", r"meta.mat is truncated or no MATLAB file"
    elif name == "imagenet-1k kaggle":
        solution = root / "imagenet-1k" / "LOC_val_solution.csv"
        yield (
            solution,
            "ImageId,PredictionString\nILSVRC2012_val_00000001,cat\n",
            r"line 2 is .*expected an image",
        )
    elif name == "imagenet-r":
        yield root / "imagenet-r" / "n99999999" / "art_1.jpg", "", r"of 'n99999999', which is no class of ImageNet"
        yield root / "imagenet-r" / "n01443537" / "art_9.jpg", "", r"holds 7 images of 3 classes; imagenet-r test has"
        yield root / "imagenet-r" / "art_9.jpg", "", r"art_9.jpg is in no folder of a class"


@pytest.mark.parametrize("name", ["food-101", "imagenet-1k official", "imagenet-1k kaggle", "imagenet-r"])
def test_damage_is_refused_by_name(name: str, tmp_path: Path) -> None:
    for place, (path, content, match) in enumerate(damage(name, Path())):
        root = tmp_path / str(place)
        lay_out, plugin = LAYOUTS[name]
        lay_out(root)
        (root / path).parent.mkdir(exist_ok=True)
        (root / path).write_text(content)
        with pytest.raises(DataInvalid, match=match):
            plugin().open([root]).examples()


LISTS = {
    "food-101": ["food-101/meta/classes.txt", "food-101/meta/test.txt"],
    "imagenet-1k official": [
        "ILSVRC2012/ILSVRC2012_devkit_t12/data/meta.mat",
        "ILSVRC2012/ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt",
    ],
    "imagenet-1k kaggle": ["imagenet-1k/LOC_val_solution.csv"],
}


@inputs(0.05, which=st.sampled_from([(name, file) for name, files in LISTS.items() for file in files]), how=spoils)
def test_any_list_is_read_or_refused_in_words(
    tmp_path_factory: pytest.TempPathFactory, which: tuple[str, str], how: list[Spoil]
) -> None:
    name, file = which
    root = tmp_path_factory.getbasetemp() / f"lists of {name}"
    if not root.exists():
        LAYOUTS[name][0](root)
    whole = (root / file).read_bytes()
    (root / file).write_bytes(spoilt(whole, how))
    try:
        with in_time():
            listing = LAYOUTS[name][1]().open([root]).examples()
        assert all(Path(example.image.path).resolve().is_relative_to(root) for example in listing)
    except FgvrError:
        return
    finally:
        (root / file).write_bytes(whole)


def test_images_side_by_side_need_a_list(tmp_path: Path) -> None:
    write(tmp_path / "val", VALIDATION)
    with pytest.raises(DataNotFound, match=r"lie side by side, and nothing says.*ILSVRC2012_devkit_t12.tar.gz"):
        small(imagenet_1k.ImageNetPlugin).open([tmp_path]).examples()


@pytest.mark.parametrize("name", LAYOUTS)
def test_what_is_absent_is_told_with_what_to_do(name: str, tmp_path: Path) -> None:
    key = name.split()[0]
    with pytest.raises(DataNotFound, match=rf"{key} is not on this machine.*fgvr-bench datasets fetch {key}"):
        LAYOUTS[name][1]().open([tmp_path])


@pytest.mark.parametrize(
    ("name", "folder", "mode"),
    [("food-101", "food-101", "w:gz"), ("imagenet-a", "imagenet-a", "w"), ("imagenet-r", "imagenet-r", "w")],
)
def test_what_can_be_downloaded_is_found_where_fetch_puts_it(
    name: str, folder: str, mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("FGVR_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    lay_out, make = LAYOUTS[name]
    lay_out(tmp_path / "made")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode=mode) as archive:  # type: ignore[call-overload]
        archive.add(tmp_path / "made" / folder, arcname=folder)
    plugin, data = make(), packed.getvalue()
    (official,) = plugin.card.downloads
    with loopback.serve() as site:
        file = official.url.rpartition("/")[2]
        site.files[file] = data
        checksum = f"md5:{hashlib.md5(data).hexdigest()}"
        here = dataclasses.replace(official, url=site.url + file, checksum=checksum, size=len(data))
        fetch_dataset(dataclasses.replace(plugin.card, downloads=(here,)), tmp_path / "data" / name)
    assert len(plugin.open([tmp_path / "data"]).examples()) == 6
    assert official.checksum is not None
    assert official.checksum.startswith("md5:")


def test_a_published_set_is_matched_by_the_folder_where_names_repeat(tmp_path: Path) -> None:
    dataset = opened("imagenet-r", tmp_path)
    rows = {
        label: [
            {
                "image": f"{synset}/{kind}_{1 + place}.jpg",
                "options": [label, *(set(SYNSETS.values()) - {label})],
                "groundtruth": label,
            }
            for place, kind in KINDS
        ]
        for synset, label in SYNSETS.items()
    }
    file = tmp_path / "imagenet-rendition-ViT-L-14-laion2b_s32b_b82k-4.json"
    file.write_text(json.dumps(rows))
    made = import_options(file, dataset, "test", tmp_path / "set.jsonl")
    assert len(made) == 6
    file.write_text(json.dumps(rows).replace("n01443537/", ""))
    with pytest.raises(FgvrError, match=r"has more than one image called sketch_1.jpg"):
        import_options(file, dataset, "test", tmp_path / "other.jsonl")


@pytest.mark.parametrize("name", ["food-101", "imagenet-r", "imagenet-1k official"])
def test_a_run_and_a_verification_from_the_command_line(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lay_out, plugin = LAYOUTS[name]
    lay_out(tmp_path)
    key = name.split()[0]
    made = toy_host([ToyModel("says-a", Script("always-a"))], [plugin()])
    monkeypatch.setattr(command, "host", lambda: made)
    monkeypatch.setattr(run_command, "host", lambda: made)
    words = ["run", "-m", "says-a", "-d", key, "--options", "random", "--workers", "0"]
    place = ["--data-root", str(tmp_path)]
    done = CliRunner().invoke(fgvr_bench, [*words, *place, "--results-dir", str(tmp_path / "results")])
    assert done.exit_code == 0, done.output
    (run,) = (tmp_path / "results").rglob("run.json")
    noun = "dishes" if key == "food-101" else "choices"
    assert json.loads(run.read_text())["inputs"]["dataset"]["noun"] == noun
    checked = CliRunner().invoke(fgvr_bench, ["datasets", "verify", key, *place])
    assert f"{key}: good" in checked.output
