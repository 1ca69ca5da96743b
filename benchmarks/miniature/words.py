"""What can be said of a moth: phrases, sentences, names, all in the words of the field guide.

Parts of a moth are named as `fgvr_datasets._moth_species.VALUES` names them; wing and ground are one part, ``wings``,
as in the guide's descriptions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fgvr_datasets._moth_species import GENERA, SPECIES, VALUES, Attributes, Genus, Species, phrase

PARTS: Mapping[str, str] = {
    "wing": "shape of the wings",
    "ground": "colour of the wings",
    "spot": "spot",
    "bands": "number of bands",
    "band_form": "form of the bands",
    "fringe": "fringe",
    "hindwing": "hindwings",
    "abdomen": "abdomen",
    "antennae": "antennae",
}
"""How a question names each attribute."""

DETAILS = tuple(name for name in VALUES if name not in {"wing", "ground"})
"""The attributes that a description adds to the wings."""

EPITHETS = tuple(sorted({species.label.rsplit(" ", 1)[0] for species in SPECIES}))
"""Places in the names of species; no lesson shows one beside a picture."""

STRANGERS = (
    *("Alston", "Barnard", "Calder", "Denby", "Corfe", "Bude", "Alnwick", "Deal"),
    *("Elgin", "Filey", "Girvan", "Hexham", "Kendal", "Largs", "Morpeth", "Nairn"),
    *("Otley", "Penrith", "Ripon", "Settle", "Thirsk", "Usk", "Whitby", "Yarm"),
)
"""Places that no species is named after: with a genus they make names that a picture may be shown with."""

WORDS = tuple(
    dict.fromkeys(
        [
            *(value for values in VALUES.values() for value in values),
            *(word for part in PARTS.values() for word in part.split() if word not in {"of", "the"}),
        ]
    )
)
"""Words of the guide.  Before a genus they too make names that no species has; the guide has taught the model much of
them, as it has of real epithets and of strangers has not."""

GENUS_OF_WINGS: Mapping[tuple[str, str], Genus] = {(g.typical.wing, g.typical.ground): g for g in GENERA}
"""Wing shape and ground colour are the same throughout a genus, and no two genera share both."""


def value_phrase(name: str, value: str) -> str:
    """Put one attribute into words.

    >>> value_phrase("wing", "hooked"), value_phrase("spot", "ring")
    ('hooked wings', 'a ring on each forewing')
    """
    return f"{value} wings" if name in {"wing", "ground"} else phrase(name, value)


def detail_phrases(values: Mapping[str, str]) -> list[str]:
    """Put attributes other than the wings into words, in their order; bands and their form become one phrase.

    >>> detail_phrases({"fringe": "dark", "bands": "two", "band_form": "wavy"})
    ['a dark fringe', 'two wavy bands across the forewing']
    """
    phrases = []
    for name, value in values.items():
        other = {"bands": "band_form", "band_form": "bands"}.get(name, "")
        if other in values:
            if other in list(values)[: list(values).index(name)]:
                continue
            words = phrase("bands", values["bands"]).replace(" ", f" {values['band_form']} ", 1)
        else:
            words = phrase(name, value)
        phrases.append(words)
    return phrases


def listed(phrases: Sequence[str]) -> str:
    """Join phrases as a sentence does.

    >>> listed(["a", "b", "c"]), listed(["a"])
    ('a, b and c', 'a')
    """
    *before, last = phrases
    return f"{', '.join(before)} and {last}" if before else last


def sentence(attributes: Attributes, shown: Sequence[str]) -> str:
    """Describe a moth as the guide does: wings, then the attributes in `shown`, in that order.

    >>> from fgvr_datasets._moth_species import BY_LABEL
    >>> species = BY_LABEL["Arden Wainscot"]
    >>> sentence(species.attributes("plain"), species.genus.diagnostic)
    'A moth with pointed cream wings, a ring on each forewing and one band across the forewing.'
    """
    values = attributes.as_mapping()
    opening = f"{attributes.wing} {attributes.ground} wings"
    return f"A moth with {listed([opening, *detail_phrases({name: values[name] for name in shown})])}."


def species_values(species: Species) -> dict[str, str]:
    """Return what the field guide says of a species: wings, ground and the two attributes that tell it apart."""
    typical = species.genus.typical
    told = dict(zip(species.genus.diagnostic, species.values, strict=True))
    return {"wing": typical.wing, "ground": typical.ground, **told}


def siblings(species: Species) -> list[Species]:
    """Return the four species of a genus, this one included."""
    return [other for other in SPECIES if other.genus is species.genus]


def genus_of(attributes: Attributes) -> Genus | None:
    """Return the genus whose wings a moth has, if there is one."""
    return GENUS_OF_WINGS.get((attributes.wing, attributes.ground))
