"""aircraft-102: FGVC-Aircraft, 100 variants (Maji et al. 2013)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from fgvr_bench import hookimpl
from fgvr_bench.core.annotations import read_fields, read_lines
from fgvr_bench.errors import DataInvalid, DataNotFound
from fgvr_bench.interfaces import DatasetCard, DatasetPlugin, Download
from fgvr_datasets._archives import ArchiveDataset, ArchivePlugin, Entry
from fgvr_datasets._facts import published

CARD = DatasetCard(
    name="aircraft-102",
    title="FGVC-Aircraft",
    noun="aircrafts",
    classes=100,
    images={"test": 3333, "train": 6667},
    licence="non-commercial research only",
    citation="""@techreport{maji13fine-grained,
  title       = {Fine-Grained Visual Classification of Aircraft},
  author      = {S. Maji and J. Kannala and E. Rahtu and M. Blaschko and A. Vedaldi},
  year        = {2013},
  archivePrefix = {arXiv},
  eprint      = {1306.5151}
}""",
    homepage="https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft/",
    aliases=("fgvc-aircraft",),
    options="published",
    downloads=(
        Download(
            "https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft/archives/fgvc-aircraft-2013b.tar.gz",
            "md5:d4acdd33327262359767eeaa97a4f732",
            2_753_340_328,
        ),
    ),
    published=published("aircraft-102", "872a31687310b08150fbbac2ea96f5e788bb20af81e460e28957ecca5ad72907"),
)


class Aircraft(ArchiveDataset):
    """Variants, with manufacturer and family where the archive's other lists are there."""

    image_folders: Mapping[str, tuple[str, ...]] = dict.fromkeys(("test", "train"), ("data/images", "images"))

    def read_labels(self) -> Sequence[tuple[str, str]]:
        """Read ``variants.txt``."""
        path = self.files[0]
        return [(line, f"{path}, line {number}") for number, line in read_lines(path)]

    def read_split(self, split: str) -> Iterator[Entry]:
        """Read lines ``image variant``."""
        path = self.files[1].with_name("images_variant_test.txt" if split == "test" else "images_variant_trainval.txt")
        if not path.is_file():
            raise DataNotFound(f"{self.card.name} {split} needs {path}, which is not there.")
        for number, (image, variant) in read_fields(path, 2, "an image number and a variant"):
            yield Entry(f"{image}.jpg", variant, f"{path}, line {number}")

    def taxonomy(self, label: str) -> tuple[str, ...]:
        """Return manufacturer and family, where the archive's lists of them are there."""
        return self._taxonomy.get(label, ())

    @functools.cached_property
    def _taxonomy(self) -> dict[str, tuple[str, ...]]:
        paths = [self.files[1].with_name(f"images_{rank}_test.txt") for rank in ("manufacturer", "family")]
        if not all(path.is_file() for path in paths):
            return {}
        variants = {entry.path: entry.label for entry in self.read_split("test")}
        manufacturers, families = (self._rank_of(path, variants) for path in paths)
        return {
            variant: (manufacturers[variant], families[variant])
            for variant in self.labels()
            if variant in manufacturers and variant in families
        }

    def _rank_of(self, path: Path, variants: Mapping[str, str]) -> dict[str, str]:
        """Return the name that a list of ``image name`` gives each variant; a variant has one alone."""
        names: dict[str, str] = {}
        for number, (image, name) in read_fields(path, 2, "an image number and a name"):
            variant = variants.get(f"{image}.jpg")
            if variant is not None and names.setdefault(variant, name) != name:
                raise DataInvalid(
                    f"{path}, line {number} puts {variant!r} under {name!r}, and an earlier line under "
                    f"{names[variant]!r}.",
                    hint="The file is of another version; fetch the dataset again.",
                )
        return names


class AircraftPlugin(ArchivePlugin):
    """FGVC-Aircraft, release 2013b."""

    card = CARD
    folders = ("fgvc-aircraft-2013b", "fgvc_aircraft", "fgvc-aircraft", "aircraft")
    needed = (
        ("data/variants.txt", "data/images_variant_test.txt"),
        ("variants.txt", "images_variant_test.txt"),
    )
    dataset = Aircraft


@hookimpl
def register_datasets(register: Callable[[DatasetPlugin], None]) -> None:
    """Register aircraft-102."""
    register(AircraftPlugin())
