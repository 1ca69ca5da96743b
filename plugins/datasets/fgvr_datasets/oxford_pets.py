"""pet-37: Oxford-IIIT Pet (Parkhi et al. 2012)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence

from fgvr_bench import hookimpl
from fgvr_bench.core.annotations import read_fields
from fgvr_bench.errors import DataInvalid, DataNotFound
from fgvr_bench.interfaces import DatasetCard, DatasetPlugin, Download
from fgvr_datasets._archives import ArchiveDataset, ArchivePlugin, Entry
from fgvr_datasets._facts import published

PAGE = "https://www.robots.ox.ac.uk/~vgg/data/pets/"
CARD = DatasetCard(
    name="pet-37",
    title="Oxford-IIIT Pet",
    noun="pets",
    classes=37,
    images={"test": 3669, "train": 3680},
    licence="CC BY-SA 4.0",
    citation="""@inproceedings{parkhi12a,
  author    = {Omkar M. Parkhi and Andrea Vedaldi and Andrew Zisserman and C. V. Jawahar},
  title     = {Cats and Dogs},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition},
  year      = {2012}
}""",
    homepage=PAGE,
    aliases=("oxford-pets", "oxford-iiit-pet"),
    options="published",
    downloads=(
        Download(PAGE + "data/images.tar.gz", "md5:5c4f3ee8e5d25df40f4fd59a7f44e54c", 791_918_971),
        Download(PAGE + "data/annotations.tar.gz", "md5:95a8c909bbe2e81eed6a22bccdf3f68f", 19_173_078),
    ),
    published=published("pet-37", "74d57ceb84b734bee7312b762ab0edebbd4d3d041b45345e10fa27309a00f62f"),
)
LISTS = {"test": "test.txt", "train": "trainval.txt"}
SPECIES = {"1": "Cat", "2": "Dog"}


class Pets(ArchiveDataset):
    """Breeds of cats and dogs; a label is the image's name in title case, without its number."""

    image_folders: Mapping[str, tuple[str, ...]] = dict.fromkeys(("test", "train"), ("images",))

    def read_labels(self) -> Sequence[tuple[str, str]]:
        """Return the breeds in the order of their class numbers."""
        numbers: dict[int, tuple[str, str]] = {}
        for where, _, breed, number, _ in self._lines("test"):
            known = numbers.setdefault(number, (breed, where))
            if known[0] != breed:
                raise DataInvalid(f"{where} gives class {number} to {breed!r}; {known[1]} gives it to {known[0]!r}.")
        return [numbers[number] for number in sorted(numbers)]

    def read_split(self, split: str) -> Iterator[Entry]:
        """Read lines ``image_id class species breed``."""
        for where, image, breed, _, species in self._lines(split):
            yield Entry(f"{image}.jpg", breed, where, (("species", species),))

    def _lines(self, split: str) -> Iterator[tuple[str, str, str, int, str]]:
        path = self.files[0].with_name(LISTS[split])
        if not path.is_file():
            raise DataNotFound(f"{self.card.name} {split} needs {path}, which is not there.")
        for line, fields in read_fields(path, 4, "an image, a class, a species and a breed number"):
            where = f"{path}, line {line}"
            image, number, species, _ = fields
            name, _, ordinal = image.rpartition("_")
            if not (name and ordinal.isdecimal() and number.isdecimal() and species in SPECIES):
                raise DataInvalid(f"{where} is {' '.join(fields)!r}; expected for example Abyssinian_201 1 1 1.")
            breed = " ".join(part.title() for part in name.split("_"))
            yield where, image, breed, int(number), SPECIES[species]

    def taxonomy(self, label: str) -> tuple[str, ...]:
        """Return ``("Cat",)`` or ``("Dog",)``."""
        return self._species.get(label, ())

    @functools.cached_property
    def _species(self) -> dict[str, tuple[str, ...]]:
        return {breed: (species,) for _, _, breed, _, species in self._lines("test")}


class PetsPlugin(ArchivePlugin):
    """Oxford-IIIT Pet."""

    card = CARD
    folders = ("oxford-iiit-pet", "oxford_iiit_pet", "oxford_pets", "oxford-pets")
    needed = (("annotations/test.txt",), ("annotations/annotations/test.txt",))
    dataset = Pets


@hookimpl
def register_datasets(register: Callable[[DatasetPlugin], None]) -> None:
    """Register pet-37."""
    register(PetsPlugin())
