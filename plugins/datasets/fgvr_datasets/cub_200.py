"""bird-200: Caltech-UCSD Birds-200-2011 (Wah et al. 2011)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from fgvr_bench import hookimpl
from fgvr_bench.core.annotations import read_fields
from fgvr_bench.errors import DataInvalid, DataNotFound
from fgvr_bench.interfaces import DatasetCard, DatasetPlugin, Download
from fgvr_datasets._archives import ArchiveDataset, ArchivePlugin, Entry
from fgvr_datasets._facts import published

CARD = DatasetCard(
    name="bird-200",
    title="Caltech-UCSD Birds-200-2011",
    noun="birds",
    classes=200,
    images={"test": 5794, "train": 5994},
    licence="non-commercial research and education only",
    citation="""@techreport{WahCUB_200_2011,
  title       = {The Caltech-UCSD Birds-200-2011 Dataset},
  author      = {Wah, C. and Branson, S. and Welinder, P. and Perona, P. and Belongie, S.},
  year        = {2011},
  institution = {California Institute of Technology},
  number      = {CNS-TR-2011-001}
}""",
    homepage="https://www.vision.caltech.edu/datasets/cub_200_2011/",
    aliases=("cub-200-2011", "cub"),
    options="published",
    downloads=(
        Download(
            "https://data.caltech.edu/records/65de6-vp158/files/CUB_200_2011.tgz",
            "md5:97eceeb196236b17998738112f37df78",
            1_150_585_339,
        ),
    ),
    published=published("bird-200", "56219514808d0f3e91d876072c00c5b046b053ba566ad3abad7e9381211c4f01"),
)
OFFICIAL = ("images.txt", "image_class_labels.txt", "train_test_split.txt")


class Birds(ArchiveDataset):
    """Species; split by the archive's own list, or by the list of test images that others published."""

    image_folders: Mapping[str, tuple[str, ...]] = dict.fromkeys(("test", "train"), ("images",))

    def read_labels(self) -> Sequence[tuple[str, str]]:
        """Read lines ``number NNN.Name``."""
        path = self.files[0]
        lines = read_fields(path, 2, "a number and a class")
        return [(name.partition(".")[2] or name, f"{path}, line {line}") for line, (_, name) in lines]

    def read_split(self, split: str) -> Iterator[Entry]:
        """Read the archive's three lists, or ``test_with_labels.txt`` (``id path class``)."""
        if len(self.files) > 2:
            return self._official(split)
        if split != "test":
            raise DataNotFound(
                f"{self.card.name} {split} needs {', '.join(OFFICIAL)} in {self.files[0].parent}, "
                "which has the test list only."
            )
        return self._listed(self.files[1])

    def _listed(self, path: Path) -> Iterator[Entry]:
        what = "an id, a path and a class number"
        for number, (_, rest) in read_fields(path, 2, what):
            where = f"{path}, line {number}"
            image, _, label = rest.rpartition(" ")  # the path may hold spaces
            if not image:
                raise DataInvalid(f"{where} ends with {rest!r}; expected {what}.")
            yield Entry(image.strip().removeprefix("images/"), self._class(label, where), where)

    def _official(self, split: str) -> Iterator[Entry]:
        images, labels, splits = self.files[1:]
        class_of = dict(_pairs(labels, "an image number and a class number"))
        side_of = dict(_pairs(splits, "an image number and 0 or 1"))
        for number, (image, path) in read_fields(images, 2, "an image number and a path"):
            where = f"{images}, line {number}"
            if image not in class_of or image not in side_of:
                short = labels if image not in class_of else splits
                raise DataInvalid(f"{where} has image {image}, which {short} does not list.")
            if side_of[image] not in {"0", "1"}:
                raise DataInvalid(f"{splits} puts image {image} in split {side_of[image]!r}; expected 0 or 1.")
            if (side_of[image] == "0") == (split == "test"):
                yield Entry(path, self._class(class_of[image], where), where)

    def _class(self, number: str, where: str) -> str:
        labels = self.labels()
        if not number.isdecimal() or not 1 <= int(number) <= len(labels):
            raise DataInvalid(f"{where} has class {number!r}; expected a number from 1 to {len(labels)}.")
        return labels[int(number) - 1]


def _pairs(path: Path, what: str) -> Iterator[tuple[str, str]]:
    return ((first, second) for _, (first, second) in read_fields(path, 2, what))


class BirdsPlugin(ArchivePlugin):
    """Caltech-UCSD Birds-200-2011."""

    card = CARD
    folders = ("CUB_200_2011", "bird_200", "cub_200_2011", "cub")
    needed = (("classes.txt", *OFFICIAL), ("classes.txt", "test_with_labels.txt"))
    dataset = Birds


@hookimpl
def register_datasets(register: Callable[[DatasetPlugin], None]) -> None:
    """Register bird-200."""
    register(BirdsPlugin())
