"""food-101: Food-101 (Bossard et al. 2014)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from fgvr_bench import hookimpl
from fgvr_bench.core.annotations import read_lines
from fgvr_bench.errors import DataInvalid, DataNotFound
from fgvr_bench.interfaces import DatasetCard, DatasetPlugin, Download
from fgvr_datasets._archives import ArchiveDataset, ArchivePlugin, Entry

CARD = DatasetCard(
    name="food-101",
    title="Food-101",
    noun="dishes",
    classes=101,
    images={"test": 25_250, "train": 75_750},
    licence="not stated by its authors",
    citation="""@inproceedings{bossard14,
  author    = {Lukas Bossard and Matthieu Guillaumin and Luc {Van Gool}},
  title     = {Food-101 -- Mining Discriminative Components with Random Forests},
  booktitle = {European Conference on Computer Vision},
  year      = {2014}
}""",
    homepage="https://data.vision.ee.ethz.ch/cvl/datasets_extra/food-101/",
    aliases=("food101",),
    in_all=False,
    downloads=(
        Download(
            "https://data.vision.ee.ethz.ch/cvl/food-101.tar.gz",
            "md5:85eeb15f3717b99a5da872d97d918f87",
            4_996_278_331,
        ),
    ),
)


class Food(ArchiveDataset):
    """Dishes; a label is the class's name with spaces for underscores, as FOCI-Benchmark asks about it."""

    image_folders: Mapping[str, tuple[str, ...]] = dict.fromkeys(("test", "train"), ("images",))

    def read_labels(self) -> Sequence[tuple[str, str]]:
        """Read a class a line."""
        path = self.files[0]
        return [(_label(name), f"{path}, line {line}") for line, name in read_lines(path)]

    def read_split(self, split: str) -> Iterator[Entry]:
        """Read lines ``class/image``."""
        path = self.files[1].with_name(f"{split}.txt")
        if not path.is_file():
            raise DataNotFound(f"{self.card.name} {split} needs {path}, which is not there.")
        for line, text in read_lines(path):
            where = f"{path}, line {line}"
            name, slash, image = text.partition("/")
            if not (name and slash and image):
                raise DataInvalid(f"{where} is {text!r}; expected for example apple_pie/1011328.")
            yield Entry(f"{text}.jpg", _label(name), where)


def _label(name: str) -> str:
    return name.replace("_", " ")


class FoodPlugin(ArchivePlugin):
    """Food-101."""

    card = CARD
    folders = ("food101",)
    needed = (("meta/classes.txt", "meta/test.txt"),)
    dataset = Food


@hookimpl
def register_datasets(register: Callable[[DatasetPlugin], None]) -> None:
    """Register food-101."""
    register(FoodPlugin())
