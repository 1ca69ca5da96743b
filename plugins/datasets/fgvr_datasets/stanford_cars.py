"""car-196: Stanford Cars (Krause et al. 2013)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from fgvr_bench import hookimpl
from fgvr_bench.core.annotations import image_files, read_mat
from fgvr_bench.core.listing import FileListing
from fgvr_bench.errors import DataInvalid, DataNotFound
from fgvr_bench.interfaces import DatasetCard, DatasetPlugin
from fgvr_datasets._archives import ArchiveDataset, ArchivePlugin, Entry
from fgvr_datasets._facts import published

CARD = DatasetCard(
    name="car-196",
    title="Stanford Cars",
    noun="cars",
    classes=196,
    images={"test": 8041, "train": 8144},
    licence="non-commercial research only (ImageNet)",
    citation="""@inproceedings{KrauseStarkDengFei-Fei_3DRR2013,
  author    = {Jonathan Krause and Michael Stark and Jia Deng and Li Fei-Fei},
  title     = {3D Object Representations for Fine-Grained Categorization},
  booktitle = {4th International IEEE Workshop on 3D Representation and Recognition (3dRR-13)},
  year      = {2013}
}""",
    homepage="https://www.kaggle.com/datasets/jessicali9530/stanford-cars-dataset",
    aliases=("stanford-cars",),
    options="published",
    by_hand="""The authors' own download links no longer answer, so a person has to fetch three things:
1. the images: https://www.kaggle.com/datasets/jessicali9530/stanford-cars-dataset (an account is needed);
2. car_devkit.tgz: https://github.com/pytorch/vision/files/11644847/car_devkit.tgz
   (MD5 c3b158d763b6e2245038c8ad08e45376);
3. cars_test_annos_withlabels.mat: see https://github.com/pytorch/vision/issues/7545#issuecomment-1631441616
   (MD5 b0a2b23655a3edd16d84508592a98d10).
Put them side by side, as cars_test/, cars_train/, devkit/ and cars_test_annos_withlabels.mat, into""",
    published=published("car-196", "28e23c05cb277c044343c5aeb3bd92881d334f327f1f146a4926359ac971cd6c"),
)
SAMPLE = 64
"""So many images, evenly spread, are compared with the boxes that the annotations draw in them."""
MISFITS = 0.05
"""A greater share of them whose box reaches beyond the picture shows that the pictures are others."""
OTHER = {"test": "train", "train": "test"}
LONG_MAKES = ("AM General", "Aston Martin", "Land Rover")
"""Makes of more than one word among the 196 labels; every other make is a label's first word."""


class Cars(ArchiveDataset):
    """Makes, models and years.

    Every name of a test image is the name of a train image too, and the published answers to car-196 were
    given to train images under test names.  So the pictures are compared with the annotations: their number
    with the published one, their size with the annotated boxes, and with the other split's where it is there.
    """

    image_folders: Mapping[str, tuple[str, ...]] = {
        "test": ("cars_test/cars_test", "cars_test", "images"),
        "train": ("cars_train/cars_train", "cars_train"),
    }

    def read_labels(self) -> Sequence[tuple[str, str]]:
        """Read ``class_names`` of ``cars_meta.mat``."""
        path = self.files[0]
        (names,) = read_mat(path, "class_names")
        return [(str(name), f"{path}, class {number}") for number, name in enumerate(names, 1)]

    def read_split(self, split: str) -> Iterator[Entry]:
        """Read ``annotations``: file name, class number and box."""
        path = self.files[1] if split == "test" else self.files[0].with_name("cars_train_annos.mat")
        if not path.is_file():
            raise DataNotFound(f"{self.card.name} {split} needs {path}, which is not there.")
        (rows,) = read_mat(path, "annotations")
        fields = set(rows.dtype.names or ())
        if not {"fname", "class", "bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2"} <= fields:
            hint = "cars_test_annos.mat has no classes; cars_test_annos_withlabels.mat is needed."
            raise DataInvalid(f"{path} has the fields {', '.join(sorted(fields)) or 'none'} only.", hint=hint)
        labels = self.labels()
        for number, row in enumerate(rows, 1):
            where = f"{path}, entry {number}"
            label = int(row["class"])
            if not 1 <= label <= len(labels):
                raise DataInvalid(f"{where} is class {label}, not 1 to {len(labels)}.")
            box = " ".join(str(int(row[side])) for side in ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2"))
            yield Entry(str(row["fname"]), labels[label - 1], where, (("box", box),))

    def taxonomy(self, label: str) -> tuple[str, ...]:
        """Return the make, with which every label begins."""
        return (make_of(label),)

    def check_images(self, split: str, listing: FileListing) -> None:
        """Refuse the other split's images under this one's names."""
        folder = Path(os.path.dirname(listing.path(0)))
        held = sum(1 for _ in image_files(folder, depth=0))
        other = OTHER[split]
        hint = f"Put the {split} images there ({self.card.by_hand.splitlines()[1].partition(': ')[2]})."
        if held == self.card.images[other] != self.card.images[split]:
            raise DataInvalid(
                f"{folder} holds {held} images: that is the number of {self.card.name}'s {other} images, "
                f"whose names are the same, and not the {self.card.images[split]} of {split}.",
                hint=hint,
            )
        sample = [place * len(listing) // SAMPLE for place in range(SAMPLE)] if len(listing) > SAMPLE else None
        wrong, seen = self._misfits(listing, sample or range(len(listing)))
        if seen and len(wrong) > MISFITS * seen:
            raise DataInvalid(
                f"{folder} does not hold {self.card.name}'s {split} images in their published size: in {len(wrong)} "
                f"of {seen} compared the annotated box reaches beyond the picture, first in {wrong[0]}.",
                hint=f"They may be {other} images, whose names are the same. {hint}",
            )
        self._compare_with_other(split, listing, folder, sample or range(len(listing)))

    def _misfits(self, listing: FileListing, places: Sequence[int]) -> tuple[list[str], int]:
        from PIL import Image

        wrong: list[str] = []
        seen = 0
        for place in places:
            _, _, right, bottom = map(int, listing[place].metadata["box"].split())
            try:
                with Image.open(listing.path(place)) as image:
                    width, height = image.size
            except Exception:  # noqa: S112 - an unreadable picture is one failed answer, and `verify` names it
                continue
            seen += 1
            if right > width or bottom > height:
                wrong.append(f"{listing.path(place)} ({width} × {height}, box to {right}, {bottom})")
        return wrong, seen

    def _compare_with_other(self, split: str, listing: FileListing, folder: Path, places: Sequence[int]) -> None:
        for name in self.image_folders[OTHER[split]]:
            twin = self.root / name
            if name == "images" or not twin.is_dir():
                continue
            pairs = [(listing.path(place), twin / os.path.basename(listing.path(place))) for place in places]
            present = [(mine, theirs) for mine, theirs in pairs if theirs.is_file()]
            if present and all(_same_bytes(mine, theirs) for mine, theirs in present):
                raise DataInvalid(
                    f"{folder} and {twin} hold the same pictures under the same names ({len(present)} compared by "
                    f"their bytes), so one of them is not {self.card.name}'s.",
                    hint="Unpack the archives again.",
                )


def make_of(label: str) -> str:
    """Return the make of a car.

    >>> make_of("Rolls-Royce Ghost Sedan 2012"), make_of("Land Rover LR2 SUV 2012")
    ('Rolls-Royce', 'Land Rover')
    """
    return next((make for make in LONG_MAKES if label.startswith(f"{make} ")), label.split()[0])


def _same_bytes(mine: str, theirs: Path) -> bool:
    try:
        if os.path.getsize(mine) != os.path.getsize(theirs):
            return False
        return Path(mine).read_bytes() == theirs.read_bytes()
    except OSError:
        return False


class CarsPlugin(ArchivePlugin):
    """Stanford Cars."""

    card = CARD
    folders = ("stanford_cars", "stanford-cars", "StanfordCars")
    needed = tuple(
        (f"{devkit}/cars_meta.mat", labels)
        for devkit in ("devkit", "car_devkit/devkit")
        for labels in (
            "cars_test_annos_withlabels.mat",
            "devkit/cars_test_annos_withlabels.mat",
            "cars_test_annos_withlabels (1).mat",
        )
    )
    dataset = Cars


@hookimpl
def register_datasets(register: Callable[[DatasetPlugin], None]) -> None:
    """Register car-196."""
    register(CarsPlugin())
