"""flower-102: Oxford 102 Flowers (Nilsback and Zisserman 2008)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from fgvr_bench import hookimpl
from fgvr_bench.core.annotations import read_mat
from fgvr_bench.errors import DataInvalid
from fgvr_bench.interfaces import DatasetCard, DatasetPlugin, Download
from fgvr_datasets._archives import ArchiveDataset, ArchivePlugin, Entry
from fgvr_datasets._facts import published

PAGE = "https://www.robots.ox.ac.uk/~vgg/data/flowers/102/"
CARD = DatasetCard(
    name="flower-102",
    title="Oxford 102 Flowers",
    noun="flowers",
    classes=102,
    images={"test": 6149, "train": 2040},
    licence="not stated by its authors",
    citation="""@inproceedings{Nilsback08,
  author    = {Maria-Elena Nilsback and Andrew Zisserman},
  title     = {Automated Flower Classification over a Large Number of Classes},
  booktitle = {Indian Conference on Computer Vision, Graphics and Image Processing},
  year      = {2008}
}""",
    homepage=PAGE,
    aliases=("oxford-flowers", "flowers-102"),
    options="published",
    downloads=(
        Download(PAGE + "102flowers.tgz", "md5:52808999861908f626f3c1f4e79d11fa", 344_862_509),
        Download(PAGE + "imagelabels.mat", "md5:e0620be6f572b9609742df49c70aed4d", 502, unpack=False),
        Download(PAGE + "setid.mat", "md5:a5357ecc9cb78c4bef273ce3793fc85c", 14_989, unpack=False),
    ),
    published=published("flower-102", "94da4227f4ada72c03c920478d87278cab0e18a49ba0cf06ebcf9c2063e1abbb"),
)
SPLITS = {"test": ("tstid",), "train": ("trnid", "valid")}


class Flowers(ArchiveDataset):
    """Flowers by number; their names are not in the archive and come from the published list."""

    image_folders: Mapping[str, tuple[str, ...]] = dict.fromkeys(("test", "train"), ("jpg", "images"))

    def read_labels(self) -> Sequence[tuple[str, str]]:
        """Return the names in the order of the class numbers."""
        return [(label, f"{self.files[1]}, class {number}") for number, label in enumerate(self.classes, 1)]

    def read_split(self, split: str) -> Iterator[Entry]:
        """Read ``setid.mat`` (numbers of images) and ``imagelabels.mat`` (a class number an image)."""
        setid, imagelabels = self.files
        (numbers,) = read_mat(imagelabels, "labels")
        labels = self.labels()
        for name, members in zip(SPLITS[split], read_mat(setid, *SPLITS[split]), strict=True):
            for place, image in enumerate(map(int, members), 1):
                where = f"{setid}, {name} entry {place}"
                if not 1 <= image <= len(numbers):
                    raise DataInvalid(f"{where} is image {image}, but {imagelabels} has {len(numbers)} labels.")
                label = int(numbers[image - 1])
                if not 1 <= label <= len(labels):
                    raise DataInvalid(f"{imagelabels}, entry {image} is class {label}, not 1 to {len(labels)}.")
                yield Entry(f"image_{image:05d}.jpg", labels[label - 1], where)

    def display(self, label: str) -> str:
        """Return the name with a capital."""
        return label[:1].upper() + label[1:]


class FlowersPlugin(ArchivePlugin):
    """Oxford 102 Flowers."""

    card = CARD
    folders = ("flowers-102", "oxford_flowers102", "flowers102", "oxford-flowers-102")
    needed = (("setid.mat", "imagelabels.mat"),)
    dataset = Flowers


@hookimpl
def register_datasets(register: Callable[[DatasetPlugin], None]) -> None:
    """Register flower-102."""
    register(FlowersPlugin())
