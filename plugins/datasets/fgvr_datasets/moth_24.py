"""moth-24: a dataset that draws itself.  24 species in 6 genera, siblings one or two attributes apart.

No download, no licence to ask for, and no model can have been trained on it: every picture follows, pixel
for pixel and on every platform, from its split, species and number.  The scheme is in `_moth_species`, the
drawing in `_moth_drawing`; ``docs/moth-24.md`` is the field guide.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, overload

from fgvr_bench import hookimpl
from fgvr_bench.errors import UsageError
from fgvr_bench.interfaces import Dataset, DatasetCard, DatasetPlugin
from fgvr_bench.types import Example, Split, make_example_id
from fgvr_datasets._moth_kept import Kept
from fgvr_datasets._moth_outlines import SIZE
from fgvr_datasets._moth_species import BY_LABEL, BY_SLUG, SPECIES, VALUES, Attributes, describe

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

NAME = "moth-24"
PER_SPECIES = {Split.TRAIN: 100, Split.VALIDATION: 20, Split.TEST: 50}
"""Images of each species and split; train has as many as are asked for (`Moth24.train`)."""
MOST = 100_000
"""Numbers have five digits, so that their order as text is their order."""
ANONYMOUS = "anonymous"
KEPT = {str(split): PER_SPECIES[split] for split in (Split.VALIDATION, Split.TEST)}
"""Images of each species that are kept in memory once they are drawn: 53 and 133 MB in all."""
HEAD = b"P6\n%d %d\n255\n" % (SIZE, SIZE)
_SLUGS = sorted(BY_SLUG)

T = TypeVar("T")

CARD = DatasetCard(
    name=NAME,
    title="moth-24, the dataset that draws itself",
    noun="moths",
    classes=len(SPECIES),
    images={str(split): count * len(SPECIES) for split, count in PER_SPECIES.items()},
    licence="MIT",
    citation="fgvr-bench: moth-24, drawn by this project",
    options="clip",
    in_all=False,
)


@dataclass(frozen=True, slots=True)
class MothImage:
    """One moth's picture, drawn when it is read."""

    split: str
    """The split, or ``anonymous``."""
    species: str
    """Slug of the species, or ``anonymous``."""
    number: int

    def attributes(self) -> Attributes:
        """Return what the moth looks like."""
        from fgvr_datasets._moth_draws import Draws

        draws = Draws("attributes", self.split, self.species, str(self.number))
        if self.species == ANONYMOUS:
            return Attributes(**{name: draws.pick(values) for name, values in VALUES.items()})
        species = BY_SLUG[self.species]
        return species.attributes(draws.pick(species.genus.variants))

    def pixels(self) -> npt.NDArray[np.uint8]:
        """Draw the moth: RGB, shape (192, 192, 3)."""
        from fgvr_datasets._moth_drawing import draw
        from fgvr_datasets._moth_draws import Draws

        return draw(self.attributes(), Draws("individual", self.split, self.species, str(self.number)))

    def read(self) -> bytes:
        """Return the moth as a binary PPM file, whose bytes, unlike PNG's, depend on no library.

        It is drawn, unless this command has drawn it before (see `_moth_kept`).
        """
        if self.number >= KEPT.get(self.split, 0):
            return self._drawn()
        kept, place = _kept(self.split), _SLUGS.index(self.species) * KEPT[self.split] + self.number
        data = kept.get(place)
        if data is None:
            data = self._drawn()
            kept.put(place, data)
        return data

    def _drawn(self) -> bytes:
        return HEAD + self.pixels().tobytes()


@functools.cache
def _kept(split: str) -> Kept:
    return Kept(KEPT[split] * len(_SLUGS), len(HEAD) + 3 * SIZE * SIZE)


@dataclass(frozen=True, slots=True)
class AnonymousMoth:
    """A moth of no species: any combination of attributes."""

    image: MothImage
    attributes: Attributes


class _Lazy(Sequence[T]):
    """A sequence whose items are made when they are indexed."""

    def __len__(self) -> int:
        raise NotImplementedError

    def _make(self, index: int) -> T:
        raise NotImplementedError

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[T]: ...
    def __getitem__(self, index: int | slice) -> T | Sequence[T]:
        if isinstance(index, slice):
            return [self._make(position) for position in range(len(self))[index]]
        return self._make(range(len(self))[index])


@dataclass(frozen=True, slots=True)
class _NamedMoths(_Lazy[Example]):
    split: str
    per_species: int

    def __len__(self) -> int:
        return self.per_species * len(_SLUGS)

    def _make(self, index: int) -> Example:
        slug = _SLUGS[index // self.per_species]
        image = MothImage(self.split, slug, index % self.per_species)
        species = BY_SLUG[slug]
        return Example(
            make_example_id(NAME, self.split, f"{slug}/{image.number:05d}"),
            image,
            species.label,
            self.split,
            {"genus": species.genus.name, **image.attributes().as_mapping()},
        )


@dataclass(frozen=True, slots=True)
class _AnonymousMoths(_Lazy[AnonymousMoth]):
    length: int
    start: int

    def __len__(self) -> int:
        return self.length

    def _make(self, index: int) -> AnonymousMoth:
        image = MothImage(ANONYMOUS, ANONYMOUS, self.start + index)
        return AnonymousMoth(image, image.attributes())


def anonymous_moths(count: int, start: int = 0) -> Sequence[AnonymousMoth]:
    """Return moths with random attributes and no name, to teach an encoder to see without teaching it names.

    The same number is always the same moth; ``start`` skips the first ones (to keep some for validation).
    """
    return _AnonymousMoths(count, start)


class Moth24(Dataset):
    """The dataset; opening it costs nothing."""

    card = CARD
    root = None

    @property
    def clip_checkpoint(self) -> Path | None:
        """Folder of the bundled CLIP that has been taught these moths; options are mined with it by default."""
        spec = importlib.util.find_spec("fgvr_models")
        folders = list(spec.submodule_search_locations or ()) if spec else []
        return next((path for folder in folders if (path := Path(folder, "moth_clip")).is_dir()), None)

    def labels(self) -> Sequence[str]:
        """Return the 24 names, genus by genus."""
        return [species.label for species in SPECIES]

    def examples(self, split: str = "test") -> Sequence[Example]:
        """Return a split, built as it is indexed: 2,400 train, 480 validation, 1,200 test images.

        Raises:
            UsageError: there is no such split.
        """
        if split not in set(Split):
            raise UsageError(f"moth-24 has no split {split!r}; it has {', '.join(Split)}.")
        if split in KEPT:
            _kept(str(split))  # here, before any worker process is forked, which then shares it
        return _NamedMoths(str(split), PER_SPECIES[Split(split)])

    def train(self, per_species: int) -> Sequence[Example]:
        """Return the first `per_species` train images of each species: as few as one, as many as 100,000.

        Raises:
            UsageError: the number is out of this range.
        """
        if not 1 <= per_species <= MOST:
            raise UsageError(f"moth-24 draws 1 to {MOST:,} train images a species, not {per_species:,}.")
        return _NamedMoths(str(Split.TRAIN), per_species)

    def description(self, label: str) -> str:
        """Return the exact description: wings, ground colour and what tells the species from its siblings."""
        return describe(BY_LABEL[label])

    def taxonomy(self, label: str) -> tuple[str, ...]:
        """Return the genus."""
        return (BY_LABEL[label].genus.name,)

    def source_digest(self, split: str) -> str | None:
        """Return the pinned digest of a split's labels and pixels (a test draws all of them and compares)."""
        return pinned_digests().get(split)


def pinned_digests() -> dict[str, str]:
    """Return the digest of each split from ``moth_24.sha256``, which is laid out as ``sha256sum`` does."""
    text = Path(__file__).with_suffix(".sha256").read_text(encoding="utf-8")
    return {name: digest for digest, name in (line.split() for line in text.splitlines())}


def draw_digest(examples: Sequence[Example]) -> str:
    """Return SHA-256 over a line an example: id, label and SHA-256 of its file, in order."""
    import hashlib

    total = hashlib.sha256()
    for example in examples:
        drawn = hashlib.sha256(example.image.read()).hexdigest()
        total.update(f"{example.example_id}\t{example.label}\t{drawn}\n".encode())
    return total.hexdigest()


class Moth24Plugin(DatasetPlugin):
    """How moth-24 is declared."""

    card = CARD

    def open(self, roots: Sequence[Path], argument: str | None = None) -> Moth24:
        """Return the dataset; it needs no folder."""
        return Moth24()


@hookimpl
def register_datasets(register: Callable[[DatasetPlugin], None]) -> None:
    """Register moth-24."""
    register(Moth24Plugin())
