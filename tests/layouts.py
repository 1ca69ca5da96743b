"""Lays out the six published datasets, small or at full size, in every layout that a loader accepts.

Names and labels are the published ones; pictures are tiny drawings, and annotations that no published option
cache holds (the train splits, the boxes of cars) are made up in the published form and number.
"""

from __future__ import annotations

import dataclasses
import gzip
import io
import json
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fgvr_datasets import cub_200, fgvc_aircraft, oxford_flowers, oxford_pets, stanford_cars, stanford_dogs
from fgvr_datasets._archives import ArchivePlugin
from fgvr_datasets._facts import published_classes

PLUGINS: dict[str, type[ArchivePlugin]] = {
    "aircraft-102": fgvc_aircraft.AircraftPlugin,
    "bird-200": cub_200.BirdsPlugin,
    "car-196": stanford_cars.CarsPlugin,
    "dog-120": stanford_dogs.DogsPlugin,
    "flower-102": oxford_flowers.FlowersPlugin,
    "pet-37": oxford_pets.PetsPlugin,
}
KEYS = tuple(PLUGINS)
LAYOUTS = ("official", "loader", "cache")
ARCHIVE = {
    "aircraft-102": "fgvc-aircraft-2013b",
    "bird-200": "CUB_200_2011",
    "car-196": "stanford_cars",
    "dog-120": "stanford_dogs",
    "flower-102": "flowers-102",
    "pet-37": "oxford-iiit-pet",
}
"""The official archive's own folder (dogs have none; this is the name others give it)."""
SIZE = (48, 36)
BOX = (4, 3, 44, 33)
"""Every car's box: it fits a picture of `SIZE`."""

CATS = {"Abyssinian", "Bengal", "Birman", "Bombay", "British Shorthair", "Egyptian Mau", "Maine Coon"}
"""Breeds whose files are named with a capital (those of `small_plan` and a few more)."""

Drawing = Callable[[int, str], bytes]


@dataclass(frozen=True)
class Plan:
    """The images of a dataset: (path below the archive's image folder, label)."""

    key: str
    test: tuple[tuple[str, str], ...]
    train: tuple[tuple[str, str], ...]

    @property
    def labels(self) -> list[str]:
        """Labels in official order."""
        used = {label for _, label in self.test}
        return [label for label in published_classes(self.key) if label in used]

    def plugin(self) -> ArchivePlugin:
        """The dataset's plugin, with the facts of this plan for published ones."""
        card = dataclasses.replace(
            PLUGINS[self.key].card,
            classes=len(self.labels),
            images={"test": len(self.test), "train": len(self.train)},
        )
        counts = Counter(label for _, label in self.test)
        return PLUGINS[self.key](card, {label: counts[label] for label in self.labels})


def option_cache(reference: Path, key: str) -> bytes:
    """Return the published option cache of a dataset, byte for byte."""
    return gzip.decompress((reference / "option_caches" / f"{key}-ViT-L-14-laion2b_s32b_b82k-4.json.gz").read_bytes())


def published_plan(reference: Path, key: str) -> Plan:
    """Return the published test images, and train images in the published number."""
    rows = [(row["image"], label) for label, rows in json.loads(option_cache(reference, key)).items() for row in rows]
    test = [(image.removeprefix("images/"), label) for image, label in rows]
    if key == "dog-120":  # the cache has one image twice; the archive has this one in its first place
        test[0] = (test[0][0].replace("_1235", "_2650"), test[0][1])
    return Plan(key, tuple(test), tuple(_train(key, test)))


def small_plan(key: str, classes: int = 3, each: int = 4) -> Plan:
    """Return a dataset of the first few published classes, `each` test and train images of each."""
    labels = list(published_classes(key))[:classes]
    numbered = [(number, label) for number, label in enumerate(labels, 1) for _ in range(each)]
    test = [(_name(key, number, label, place), label) for place, (number, label) in enumerate(numbered, 1)]
    offset = 0 if key == "car-196" else len(test)
    train = [(_name(key, number, label, place + offset), label) for place, (number, label) in enumerate(numbered, 1)]
    return Plan(key, tuple(test), tuple(train))


def _name(key: str, number: int, label: str, place: int) -> str:
    if key == "bird-200":
        return f"{number:03d}.{label}/{label}_{place:04d}_{place}.jpg"
    if key == "dog-120":
        return f"n{2000000 + number:08d}-{label}/n{2000000 + number:08d}_{place}.jpg"
    if key == "pet-37":
        name = label.replace(" ", "_")
        return f"{name if label in CATS else name.lower()}_{place}.jpg"
    return {"aircraft-102": f"{place:07d}.jpg", "car-196": f"{place:05d}.jpg"}.get(key, f"image_{place:05d}.jpg")


def _train(key: str, test: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Make up train images in the published number, spread over the classes."""
    count = PLUGINS[key].card.images["train"]
    labels = list(published_classes(key))
    spread = sorted(range(count), key=lambda place: place % len(labels))
    if key == "flower-102":
        label_of = dict(test)
        last, train = test[0][1], []
        for number in range(1, len(test) + count + 1):
            name = f"image_{number:05d}.jpg"
            last = label_of.get(name, last)
            if name not in label_of:
                train.append((name, last))
        return train
    stem: dict[str, str] = {}
    for path, label in test:
        stem.setdefault(label, path.rpartition("_")[0])
    used = {path for path, _ in test}
    train = []
    for place in spread:
        label = labels[place % len(labels)]
        if key == "aircraft-102":
            name = f"9{place:06d}.jpg"
        elif key == "car-196":
            name = f"{len(train) + 1:05d}.jpg"
        elif key == "bird-200":
            name = f"{stem[label].rpartition('_')[0]}_9{place:03d}_{place}.jpg"
        else:
            name = f"{stem[label]}_9{place:05d}.jpg"
        assert key == "car-196" or name not in used
        train.append((name, label))
    return train


def draw(number: int, label: str) -> bytes:
    """Draw a picture of `SIZE`: a colour for its label, its number in a comment, so that no two are equal."""
    base = _base_picture(hash_of(label) % 997)
    text = f"{label} {number}".encode()
    return base[:2] + b"\xff\xfe" + (len(text) + 2).to_bytes(2, "big") + text + base[2:]


def hash_of(text: str) -> int:
    """Return the same number for the same text, whatever the process."""
    return sum(place * byte for place, byte in enumerate(text.encode(), 1))


_pictures: dict[tuple[int, tuple[int, int]], bytes] = {}


def _base_picture(shade: int, size: tuple[int, int] = SIZE) -> bytes:
    if (shade, size) not in _pictures:
        from PIL import Image

        file = io.BytesIO()
        Image.new("RGB", size, (shade * 37 % 256, shade * 91 % 256, shade * 13 % 256)).save(file, "JPEG", quality=80)
        _pictures[shade, size] = file.getvalue()
    return _pictures[shade, size]


def sized(size: tuple[int, int]) -> Drawing:
    """Return a drawing like `draw` of another size."""

    def drawing(number: int, label: str) -> bytes:
        base, text = _base_picture(hash_of(label) % 997, size), f"{label} {number} {size}".encode()
        return base[:2] + b"\xff\xfe" + (len(text) + 2).to_bytes(2, "big") + text + base[2:]

    return drawing


def lay_out(
    plan: Plan,
    root: Path,
    layout: str = "official",
    *,
    drawing: Drawing | None = draw,
    splits: Sequence[str] = ("test", "train"),
    own_folder: bool = True,
    pictures: Path | None = None,
) -> Path:
    """Write a dataset below `root` and return its folder.

    Args:
        plan: its images.
        root: an empty folder or none.
        layout: one of `LAYOUTS`.
        drawing: makes a picture of (number, label); None links all files to one picture, which is quick.
        splits: whose pictures and annotations are written (the layouts of loader and cache have test alone).
        own_folder: write into the archive's or the key's folder below `root`, or into `root` itself.
        pictures: a folder that holds the pictures already; it is linked to in place of writing them.
    """
    splits = splits if layout == "official" else ("test",)
    folder = root / (ARCHIVE[plan.key] if layout == "official" else plan.key) if own_folder else root
    folder.mkdir(parents=True, exist_ok=True)
    write = {
        "aircraft-102": _aircraft,
        "bird-200": _birds,
        "car-196": _cars,
        "dog-120": _dogs,
        "flower-102": _flowers,
        "pet-37": _pets,
    }[plan.key]
    image_folders = write(plan, folder, layout, splits)
    for split, images in image_folders.items():
        if pictures is not None:
            (folder / images).parent.mkdir(parents=True, exist_ok=True)
            (folder / images).symlink_to(pictures)
            continue
        _pictures_into(folder / images, getattr(plan, split), drawing, 0 if split == "test" else 100_000)
    return folder


def _pictures_into(folder: Path, items: Sequence[tuple[str, str]], drawing: Drawing | None, offset: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for parent in {os.path.dirname(path) for path, _ in items}:
        (folder / parent).mkdir(exist_ok=True)
    if drawing is not None:
        for number, (path, label) in enumerate(items):
            (folder / path).write_bytes(drawing(offset + number, label))
        return
    original: Path | None = None
    for number, (path, label) in enumerate(items):
        if original is None or number % 20_000 == 0:  # file systems limit the links of one file
            original = folder / path
            original.write_bytes(draw(0, label))
        else:
            os.link(original, folder / path)


def _lines(path: Path, lines: Sequence[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


def _mat(path: Path, **variables: Any) -> None:
    from scipy.io import savemat

    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, variables, do_compression=True)


def _cells(texts: Sequence[str], shape: tuple[int, int]) -> Any:
    import numpy as np

    made = np.empty(len(texts), object)
    made[:] = list(texts)
    return made.reshape(shape)


def _aircraft(plan: Plan, folder: Path, layout: str, splits: Sequence[str]) -> dict[str, str]:
    _lines(folder / "data" / "variants.txt", plan.labels)
    for split in splits:
        name = "test" if split == "test" else "trainval"
        images = [(path.removesuffix(".jpg"), label) for path, label in getattr(plan, split)]
        _lines(folder / f"data/images_variant_{name}.txt", [f"{image} {label}" for image, label in images])
        if layout == "official":
            makers = [f"{image} {label.split()[0]}" for image, label in images]
            _lines(folder / f"data/images_family_{name}.txt", [f"{image} {label} family" for image, label in images])
            _lines(folder / f"data/images_manufacturer_{name}.txt", makers)
    return dict.fromkeys(splits, "images" if layout == "cache" else "data/images")


def _birds(plan: Plan, folder: Path, layout: str, splits: Sequence[str]) -> dict[str, str]:
    numbers = {label: number for number, label in enumerate(published_classes(plan.key), 1)}
    _lines(folder / "classes.txt", [f"{numbers[label]} {numbers[label]:03d}.{label}" for label in plan.labels])
    if layout != "official":
        lines = [f"{place} {path} {numbers[label]}" for place, (path, label) in enumerate(plan.test, 1)]
        _lines(folder / "test_with_labels.txt", lines)
        return {"test": "images"}
    rows = sorted([(path, label, 0) for path, label in plan.test] + [(path, label, 1) for path, label in plan.train])
    _lines(folder / "images.txt", [f"{place} {path}" for place, (path, _, _) in enumerate(rows, 1)])
    lines = [f"{place} {numbers[label]}" for place, (_, label, _) in enumerate(rows, 1)]
    _lines(folder / "image_class_labels.txt", lines)
    _lines(folder / "train_test_split.txt", [f"{place} {train}" for place, (_, _, train) in enumerate(rows, 1)])
    return dict.fromkeys(splits, "images")


def car_annotations(items: Sequence[tuple[str, str]], labels: Sequence[str], box: tuple[int, ...] = BOX) -> Any:
    """Return the struct array of the devkit: box, class and file name of each image."""
    import numpy as np

    names = ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", "class", "fname")
    rows = np.empty((1, len(items)), dtype=[(name, object) for name in names])
    for place, (path, label) in enumerate(items):
        rows[0, place] = (*box, labels.index(label) + 1, path)
    return rows


def _cars(plan: Plan, folder: Path, layout: str, splits: Sequence[str]) -> dict[str, str]:
    labels = plan.labels
    _mat(folder / "devkit" / "cars_meta.mat", class_names=_cells(labels, (1, len(labels))))
    _mat(folder / "cars_test_annos_withlabels.mat", annotations=car_annotations(plan.test, labels))
    if "train" in splits:
        _mat(folder / "devkit" / "cars_train_annos.mat", annotations=car_annotations(plan.train, labels))
    return {split: "images" if layout == "cache" else f"cars_{split}" for split in splits}


def _dogs(plan: Plan, folder: Path, layout: str, splits: Sequence[str]) -> dict[str, str]:
    numbers = {label: number for number, label in enumerate(plan.labels, 1)}
    lists = folder / "lists" if layout == "official" else folder
    for name, items in (("file", plan.test + plan.train), ("test", plan.test), ("train", plan.train)):
        if name in {"file", *splits}:
            classes = [[numbers[label]] for _, label in items]
            _mat(
                lists / f"{name}_list.mat",
                file_list=_cells([path for path, _ in items], (-1, 1)),
                labels=classes or [0],
            )
    return dict.fromkeys(splits, "images" if layout == "cache" else "Images")


def _flowers(plan: Plan, folder: Path, layout: str, splits: Sequence[str]) -> dict[str, str]:
    import numpy as np

    numbers = {label: number for number, label in enumerate(plan.labels, 1)}
    label_of = {int(path[6:11]): numbers[label] for path, label in plan.test + plan.train}
    labels = np.array([[label_of[image] for image in range(1, max(label_of) + 1)]], dtype=np.uint8)
    _mat(folder / "imagelabels.mat", labels=labels)
    train = [[int(path[6:11]) for path, _ in plan.train]]
    half = len(plan.train) // 2
    test = [[int(path[6:11]) for path, _ in plan.test]]
    _mat(folder / "setid.mat", trnid=[train[0][:half]], valid=[train[0][half:]], tstid=test)
    return dict.fromkeys(splits, "images" if layout == "cache" else "jpg")


def _pets(plan: Plan, folder: Path, layout: str, splits: Sequence[str]) -> dict[str, str]:
    numbers = {label: number for number, label in enumerate(plan.labels, 1)}
    for split in splits:
        lines = []
        for path, label in getattr(plan, split):
            species = 1 if path[0].isupper() else 2
            lines.append(f"{path.removesuffix('.jpg')} {numbers[label]} {species} {numbers[label]}")
        _lines(folder / "annotations" / ("test.txt" if split == "test" else "trainval.txt"), lines)
    return dict.fromkeys(splits, "images")
