"""The moths of moth-24: attributes, six genera, twenty-four species, and their descriptions in words.

Each genus has a wing shape and a ground colour and two attributes of its own, of two values each, that
tell its four species apart.  One further attribute varies between individuals and says nothing; the rest
are the same throughout the genus.  What tells species apart in one genus is noise in another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace


@dataclass(frozen=True, slots=True)
class Attributes:
    """Everything that is drawn of a moth beside chance: nine attributes, each one of `VALUES`."""

    wing: str
    """Outline of the wings."""
    ground: str
    """Ground colour of the wings."""
    spot: str
    """The spot on each forewing."""
    bands: str
    """Number of lines across each forewing."""
    band_form: str
    """Course of these lines."""
    fringe: str
    """Hairs along the outer margin of the wings."""
    hindwing: str
    """Colour of the hindwings; plain is a paler ground colour."""
    abdomen: str
    antennae: str

    def __post_init__(self) -> None:
        for name, values in VALUES.items():
            if getattr(self, name) not in values:
                raise ValueError(f"{name} is {getattr(self, name)!r}, not one of {', '.join(values)}")

    def as_mapping(self) -> dict[str, str]:
        """Return the attributes by name, in the order of `VALUES`."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


VALUES: Mapping[str, tuple[str, ...]] = {
    "wing": ("pointed", "hooked", "narrow", "scalloped", "rounded"),
    "ground": ("cream", "grey", "green", "rufous", "ochre"),
    "spot": ("dot", "ring", "bar"),
    "bands": ("one", "two", "three"),
    "band_form": ("straight", "wavy"),
    "fringe": ("plain", "chequered", "dark"),
    "hindwing": ("plain", "yellow", "crimson"),
    "abdomen": ("plain", "ringed"),
    "antennae": ("thread", "feathered"),
}
"""The values of each attribute; anonymous moths take any combination."""


@dataclass(frozen=True, slots=True)
class Genus:
    """Four species that look alike."""

    name: str
    typical: Attributes
    """What is common to the genus (the values that differ or vary are placeholders)."""
    diagnostic: tuple[str, str]
    """The two attributes that tell its species apart."""
    varies: str
    """The attribute that differs between individuals of one species."""
    variants: tuple[str, ...]
    """Its values."""


@dataclass(frozen=True, slots=True)
class Species:
    """One class of the dataset."""

    label: str
    """Epithet and genus, as published: ``Arden Wainscot``."""
    genus: Genus
    values: tuple[str, str]
    """Values of the genus's diagnostic attributes, in that order."""

    @property
    def slug(self) -> str:
        """The name as a key of examples: ``arden-wainscot``."""
        return self.label.lower().replace(" ", "-")

    def attributes(self, variant: str) -> Attributes:
        """Return the attributes of an individual whose varying attribute is `variant`."""
        first, second = self.genus.diagnostic
        changed = {first: self.values[0], second: self.values[1], self.genus.varies: variant}
        return replace(self.genus.typical, **changed)


WAINSCOT = Genus(
    "Wainscot",
    Attributes("pointed", "cream", "dot", "one", "straight", "plain", "plain", "plain", "thread"),
    ("spot", "bands"),
    "fringe",
    ("plain", "chequered", "dark"),
)
DAGGER = Genus(
    "Dagger",
    Attributes("hooked", "grey", "dot", "two", "straight", "plain", "plain", "plain", "thread"),
    ("fringe", "spot"),
    "band_form",
    ("straight", "wavy"),
)
FOOTMAN = Genus(
    "Footman",
    Attributes("narrow", "grey", "dot", "one", "straight", "plain", "yellow", "plain", "thread"),
    ("hindwing", "abdomen"),
    "bands",
    ("one", "two", "three"),
)
CARPET = Genus(
    "Carpet",
    Attributes("scalloped", "green", "dot", "two", "straight", "plain", "plain", "plain", "thread"),
    ("bands", "band_form"),
    "spot",
    ("dot", "ring", "bar"),
)
TUSSOCK = Genus(
    "Tussock",
    Attributes("rounded", "rufous", "ring", "one", "wavy", "plain", "plain", "plain", "thread"),
    ("spot", "antennae"),
    "abdomen",
    ("plain", "ringed"),
)
SALLOW = Genus(
    "Sallow",
    Attributes("rounded", "ochre", "dot", "one", "straight", "plain", "plain", "plain", "thread"),
    ("fringe", "band_form"),
    "bands",
    ("one", "two", "three"),
)

GENERA: tuple[Genus, ...] = (WAINSCOT, DAGGER, FOOTMAN, CARPET, TUSSOCK, SALLOW)

# Epithets are places, dealt out without order, so that a name says nothing of what its bearer looks like.
# A third begins with A-D, which look like answer letters, and "Dale Carpet" is part of "Dove Dale Carpet":
# both have misled parsers of answers.
SPECIES: tuple[Species, ...] = (
    Species("Arden Wainscot", WAINSCOT, ("ring", "one")),
    Species("Fowey Wainscot", WAINSCOT, ("dot", "two")),
    Species("Kielder Wainscot", WAINSCOT, ("ring", "two")),
    Species("Romney Wainscot", WAINSCOT, ("dot", "one")),
    Species("Bexley Dagger", DAGGER, ("chequered", "dot")),
    Species("Exmoor Dagger", DAGGER, ("plain", "bar")),
    Species("Malvern Dagger", DAGGER, ("plain", "dot")),
    Species("Tenby Dagger", DAGGER, ("chequered", "bar")),
    Species("Cotswold Footman", FOOTMAN, ("crimson", "plain")),
    Species("Harlech Footman", FOOTMAN, ("yellow", "ringed")),
    Species("Orkney Footman", FOOTMAN, ("crimson", "ringed")),
    Species("Skye Footman", FOOTMAN, ("yellow", "plain")),
    Species("Dale Carpet", CARPET, ("three", "straight")),
    Species("Dove Dale Carpet", CARPET, ("two", "wavy")),
    Species("Galloway Carpet", CARPET, ("two", "straight")),
    Species("Purbeck Carpet", CARPET, ("three", "wavy")),
    Species("Bodmin Tussock", TUSSOCK, ("bar", "thread")),
    Species("Iona Tussock", TUSSOCK, ("ring", "feathered")),
    Species("Lomond Tussock", TUSSOCK, ("bar", "feathered")),
    Species("Selkirk Tussock", TUSSOCK, ("ring", "thread")),
    Species("Cheviot Sallow", SALLOW, ("dark", "wavy")),
    Species("Dunster Sallow", SALLOW, ("plain", "straight")),
    Species("Jarrow Sallow", SALLOW, ("plain", "wavy")),
    Species("Ludlow Sallow", SALLOW, ("dark", "straight")),
)

BY_LABEL: Mapping[str, Species] = {species.label: species for species in SPECIES}
BY_SLUG: Mapping[str, Species] = {species.slug: species for species in SPECIES}

_PHRASES: Mapping[str, str] = {
    "spot": "a {} on each forewing",
    "bands": "{} across the forewing",
    "band_form": "{} bands across the forewing",
    "fringe": "a {} fringe",
    "hindwing": "{} hindwings",
    "abdomen": "a {} abdomen",
    "antennae": "{} antennae",
}


def phrase(attribute: str, value: str) -> str:
    """Put one attribute into words (not wing and ground, which open every description).

    >>> phrase("bands", "one"), phrase("antennae", "thread")
    ('one band across the forewing', 'thread-like antennae')
    """
    if attribute == "bands":
        value = f"{value} band" if value == "one" else f"{value} bands"
    return _PHRASES[attribute].format("thread-like" if value == "thread" else value)


def differences(species: Species) -> tuple[str, ...]:
    """Return the phrases that tell a species from its siblings.

    >>> differences(BY_LABEL["Purbeck Carpet"])
    ('three wavy bands across the forewing',)
    """
    values = dict(zip(species.genus.diagnostic, species.values, strict=True))
    if {"bands", "band_form"} <= values.keys():
        return (phrase("bands", values["bands"]).replace(" ", f" {values['band_form']} ", 1),)
    return tuple(phrase(name, value) for name, value in values.items())


def describe(species: Species) -> str:
    """Return the description of a species: wings, ground colour and what tells it from its siblings.

    >>> describe(BY_LABEL["Arden Wainscot"])
    'A moth with pointed cream wings, a ring on each forewing and one band across the forewing.'
    """
    typical = species.genus.typical
    opening = f"{typical.wing} {typical.ground} wings"
    *before, last = differences(species)
    return f"A moth with {', '.join([opening, *before])} and {last}."
