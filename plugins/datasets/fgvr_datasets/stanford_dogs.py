"""dog-120: Stanford Dogs (Khosla et al. 2011)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from fgvr_bench import hookimpl
from fgvr_bench.core.annotations import read_mat
from fgvr_bench.errors import DataInvalid, DataNotFound
from fgvr_bench.interfaces import DatasetCard, DatasetPlugin, Download
from fgvr_datasets._archives import ArchiveDataset, ArchivePlugin, Entry
from fgvr_datasets._facts import published

CARD = DatasetCard(
    name="dog-120",
    title="Stanford Dogs",
    noun="dogs",
    classes=120,
    images={"test": 8580, "train": 12000},
    licence="non-commercial research and education only (ImageNet)",
    citation="""@inproceedings{KhoslaYaoJayadevaprakashFeiFei_FGVC2011,
  author    = {Aditya Khosla and Nityananda Jayadevaprakash and Bangpeng Yao and Li Fei-Fei},
  title     = {Novel Dataset for Fine-Grained Image Categorization},
  booktitle = {First Workshop on Fine-Grained Visual Categorization, CVPR},
  year      = {2011}
}""",
    homepage="http://vision.stanford.edu/aditya86/ImageNetDogs/",
    aliases=("stanford-dogs",),
    options="published",
    downloads=(
        Download(
            "http://vision.stanford.edu/aditya86/ImageNetDogs/images.tar",
            "md5:1bb1f2a596ae7057f99d7d75860002ef",
            793_579_520,
        ),
        Download(
            "http://vision.stanford.edu/aditya86/ImageNetDogs/lists.tar",
            "md5:edbb9f16854ec66506b5f09b583e0656",
            481_280,
        ),
    ),
    published=published("dog-120", "00c69027ea2fc06e653552d29af10ea1780619a246cb58661e3cd586e4752ae8"),
)
LISTS = {"test": "test_list.mat", "train": "train_list.mat"}


class Dogs(ArchiveDataset):
    """Breeds; a label is what follows the WordNet number in the name of an image's folder."""

    image_folders: Mapping[str, tuple[str, ...]] = dict.fromkeys(("test", "train"), ("Images", "images"))

    def read_labels(self) -> Sequence[tuple[str, str]]:
        """Return the breeds in the order of their WordNet numbers, which is the archive's."""
        folders: dict[str, tuple[str, str]] = {}
        for entry in self.read_split("test"):
            folders.setdefault(entry.path.rpartition("/")[0], (entry.label, entry.where))
        return [folders[folder] for folder in sorted(folders)]

    def read_split(self, split: str) -> Iterator[Entry]:
        """Read ``file_list``: ``n02085620-Chihuahua/n02085620_2650.jpg``."""
        path = self.files[0].with_name(LISTS[split])
        if not path.is_file():
            raise DataNotFound(f"{self.card.name} {split} needs {path}, which is not there.")
        for number, image in enumerate(self._file_list(path), 1):
            folder, _, name = image.rpartition("/")
            number_of_breed, _, breed = folder.rpartition("/")[2].partition("-")
            where = f"{path}, entry {number}"
            if not breed or not name or not number_of_breed.startswith("n"):
                raise DataInvalid(f"{where} is {image!r}; expected nNNNNNNNN-breed/image.jpg.")
            yield Entry(f"{number_of_breed}-{breed}/{name}", breed, where)

    def _file_list(self, path: Path) -> tuple[str, ...]:
        if path not in self._lists:
            (files,) = read_mat(path, "file_list")
            self._lists[path] = tuple(str(file) for file in files)
        return self._lists[path]

    @functools.cached_property
    def _lists(self) -> dict[Path, tuple[str, ...]]:
        return {}

    def display(self, label: str) -> str:
        """Return the breed with spaces and a capital."""
        return label[:1].upper() + label[1:].replace("_", " ")


class DogsPlugin(ArchivePlugin):
    """Stanford Dogs."""

    card = CARD
    folders = ("stanford_dogs", "StanfordDogs", "stanford-dogs", "dogs_120", "dog_120")
    needed = (("test_list.mat",), ("lists/test_list.mat",))
    dataset = Dogs


@hookimpl
def register_datasets(register: Callable[[DatasetPlugin], None]) -> None:
    """Register dog-120."""
    register(DogsPlugin())
