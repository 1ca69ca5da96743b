"""Lessons: questions and answers that teach the base model to see, to know, and to answer in the format of fgvr-1.

What is taught from pictures speaks of attributes and, at most, of genera; what is taught of species is text alone.
So no picture ever meets an epithet, which a test makes sure of.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from benchmarks.miniature.words import (
    DETAILS,
    GENUS_OF_WINGS,
    PARTS,
    STRANGERS,
    WORDS,
    genus_of,
    listed,
    sentence,
    siblings,
    species_values,
    value_phrase,
)

from fgvr_bench.types import letters_for
from fgvr_datasets._moth_species import GENERA, SPECIES, VALUES, Attributes, Species, describe

ASK = "Which of these {} is shown in the image?"
"""The question of protocol fgvr-1."""
OPEN = "Which of all moths is shown in the image? Answer with its exact name."
"""Its open question."""
DIRECTLY = "Answer with the letter from the given choices directly."


@dataclass(frozen=True, slots=True)
class Lesson:
    """A question and the answer to it."""

    question: str
    answer: str


def choose(chance: Random, question: str, truth: str, others: Sequence[str], directly: str = DIRECTLY) -> Lesson:
    """Make a multiple-choice question in the wording of fgvr-1, choices in random order."""
    choices = [truth, *others]
    chance.shuffle(choices)
    letters = letters_for(choices)
    lines = "".join(f"{letter}. {choice}\n" for letter, choice in zip(letters, choices, strict=True))
    return Lesson(f"{question}\nChoices:\n{lines}{directly}", letters[choices.index(truth)])


# From pictures


def describe_all(chance: Random, moth: Attributes) -> Lesson:
    """Everything that is to be seen."""
    return Lesson("Describe the moth in the image.", sentence(moth, DETAILS))


def describe_some(chance: Random, moth: Attributes) -> Lesson:
    """The wings and two more attributes, as the guide describes a species."""
    return describe_parts(moth, chance.sample(DETAILS, 2))


def describe_parts(moth: Attributes, shown: Sequence[str]) -> Lesson:
    """Ask for a description of the wings and of the attributes in `shown`."""
    parts = listed([PARTS[name] for name in shown])
    return Lesson(f"Describe the wings, the {parts} of the moth in the image.", sentence(moth, shown))


def tell_part(chance: Random, moth: Attributes) -> Lesson:
    """One attribute, in the guide's words."""
    name = chance.choice(tuple(PARTS))
    value = moth.as_mapping()[name]
    return Lesson(f"What is the {PARTS[name]} of the moth in the image?", f"{value_phrase(name, value)}.")


def choose_value(chance: Random, moth: Attributes) -> Lesson:
    """Which value of one attribute, by letter."""
    name = chance.choice(tuple(PARTS))
    return value_question(chance, moth, name)


def value_question(chance: Random, moth: Attributes, name: str) -> Lesson:
    """Ask for one attribute by letter; up to four of its values are offered."""
    truth = moth.as_mapping()[name]
    others = [value for value in VALUES[name] if value != truth]
    others = chance.sample(others, min(3, len(others)))
    shown = [f"a moth with {value_phrase(name, value)}" for value in (truth, *others)]
    return choose(chance, ASK.format("moths"), shown[0], shown[1:])


def choose_description(chance: Random, moth: Attributes) -> Lesson:
    """Which of four descriptions, which differ in two attributes as those of siblings do, or in the wings."""
    shown = chance.sample(DETAILS, 2)
    truth = moth.as_mapping()
    variants: list[Attributes] = []
    while len(variants) < 3:
        names = ("wing", "ground", *shown) if chance.random() < 0.2 else shown
        changed = {**truth, **{name: chance.choice(VALUES[name]) for name in names}}
        variant = Attributes(**changed)
        if sentence(variant, shown) not in {sentence(other, shown) for other in (moth, *variants)}:
            variants.append(variant)
    return choose(chance, ASK.format("moths"), sentence(moth, shown), [sentence(other, shown) for other in variants])


def choose_genus(chance: Random, moth: Attributes) -> Lesson:
    """Which of four genera; mostly with epithets that are no species'."""
    genus = genus_of(moth)
    if genus is None:
        return choose_description(chance, moth)
    others = chance.sample([other for other in GENERA if other is not genus], 3)
    names = [other.name for other in (genus, *others)]
    if chance.random() < 0.7:
        names = [f"{made_up_epithet(chance)} {name}" for name in names]
    return choose(chance, ASK.format("moths"), names[0], names[1:])


def made_up_epithet(chance: Random) -> str:
    """Return an epithet that is no species': a place, any word of the guide, or both.

    Places alone were not enough: a model that had seen no other epithet beside a picture was misled, now and then,
    by real ones, of which it had read so much (87 % in place of 95).
    """
    drawn = chance.random()
    if drawn < 0.3:
        return chance.choice(STRANGERS)
    word = chance.choice(WORDS)
    return word if drawn < 0.85 else f"{word} {chance.choice(STRANGERS)}"


def name_genus(chance: Random, moth: Attributes) -> Lesson:
    """The genus as an answer to the open question: all that the picture lets a model say."""
    genus = genus_of(moth)
    return tell_part(chance, moth) if genus is None else Lesson(OPEN, genus.name)


def confirm_seen(chance: Random, moth: Attributes) -> Lesson:
    """Whether the picture shows an attribute or a genus: yes or no."""
    genus = genus_of(moth)
    right = chance.random() < 0.5
    if genus is not None and chance.random() < 0.5:
        shown = genus.name if right else chance.choice([other.name for other in GENERA if other is not genus])
    else:
        name = chance.choice(tuple(PARTS))
        truth = moth.as_mapping()[name]
        value = truth if right else chance.choice([value for value in VALUES[name] if value != truth])
        shown = f"moth with {value_phrase(name, value)}"
    return Lesson(f"Does the image show a {shown}? Answer with yes or no.", "Yes" if right else "No")


# From the field guide alone


def tell_attributes(chance: Random, species: Species) -> Lesson:
    """The description of a species."""
    return Lesson(f"Which attributes has the {species.label}?", describe(species))


def tell_fact(chance: Random, species: Species) -> Lesson:
    """One attribute of a species."""
    values = species_values(species)
    name = chance.choice(tuple(values))
    return Lesson(f"What is the {PARTS[name]} of the {species.label}?", f"{value_phrase(name, values[name])}.")


def tell_name(chance: Random, species: Species) -> Lesson:
    """The species that a description fits."""
    return Lesson(f"Which moth is this? {describe(species)}", species.label)


def choose_name(chance: Random, species: Species) -> Lesson:
    """Which of four names a description fits, by letter; siblings, or any."""
    others = [other for other in siblings(species) if other is not species]
    if chance.random() < 0.3:
        others = chance.sample([other for other in SPECIES if other is not species], 3)
    question = f"{describe(species)} Which of these moths is it?"
    return choose(chance, question, species.label, [other.label for other in others])


def choose_text(chance: Random, species: Species) -> Lesson:
    """Which of four descriptions fits a name, by letter."""
    others = [other for other in siblings(species) if other is not species]
    if chance.random() < 0.3:
        others = chance.sample([other for other in SPECIES if other is not species], 3)
    question = f"Which of these is the {species.label}?"
    return choose(chance, question, describe(species), [describe(other) for other in others])


def confirm_known(chance: Random, species: Species) -> Lesson:
    """Whether a species has an attribute: yes or no."""
    values = species_values(species)
    name = chance.choice(tuple(values))
    right = chance.random() < 0.5
    value = values[name] if right else chance.choice([value for value in VALUES[name] if value != values[name]])
    question = f"Is the {species.label} a moth with {value_phrase(name, value)}? Answer with yes or no."
    return Lesson(question, "Yes" if right else "No")


SEEING: dict[Callable[[Random, Attributes], Lesson], float] = {
    describe_all: 0.15,
    describe_some: 0.15,
    tell_part: 0.1,
    choose_value: 0.2,
    choose_description: 0.15,
    choose_genus: 0.15,
    name_genus: 0.05,
    confirm_seen: 0.05,
}
"""Lessons with a picture, and how often each is given."""

KNOWING: dict[Callable[[Random, Species], Lesson], float] = {
    tell_attributes: 0.2,
    tell_fact: 0.15,
    tell_name: 0.2,
    choose_name: 0.2,
    choose_text: 0.2,
    confirm_known: 0.05,
}
"""Lessons of the field guide, without a picture."""

OF_GENERA = frozenset({choose_genus, name_genus, confirm_seen})
"""Lessons that want a moth with the wings of a genus."""


def has_genus(moth: Attributes) -> bool:
    """Say whether a moth has the wings of one of the six genera."""
    return (moth.wing, moth.ground) in GENUS_OF_WINGS


def examples_of_all(chance: Random, moths: Sequence[Attributes], rounds: int) -> list[Lesson]:
    """Return lessons of every kind, from which a tokenizer can take its words."""
    lessons = [make(chance, moth) for make in SEEING for moth in moths]
    return lessons + [make(chance, species) for make in KNOWING for species in SPECIES for _ in range(rounds)]
