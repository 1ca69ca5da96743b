"""moth-24 as a dataset: names, splits, ids, scheme and words; nothing here draws."""

from __future__ import annotations

import itertools
import pickle
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fgvr_bench.core.host import host
from fgvr_bench.errors import UsageError
from fgvr_datasets._moth_species import BY_LABEL, GENERA, SPECIES, VALUES, Attributes, differences
from fgvr_datasets.moth_24 import Moth24, Moth24Plugin, MothImage, anonymous_moths

LABELS = Moth24().labels()


def test_it_is_found_by_its_entry_point_and_opens_without_a_folder() -> None:
    dataset = host().datasets["moth-24"].open([])
    assert isinstance(dataset, Moth24)
    assert dataset.root is None
    assert dataset.card.noun == "moths"
    assert not dataset.card.in_all


def test_looking_at_it_imports_no_array_library() -> None:
    script = (
        "import sys, fgvr_datasets.moth_24 as m; d = m.Moth24(); d.examples()[7].metadata; d.source_digest('test');"
        "sys.exit(bool({'numpy', 'torch', 'PIL', 'fgvr_models'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


@pytest.mark.parametrize(("split", "images"), [("train", 2400), ("validation", 480), ("test", 1200)])
def test_splits_have_the_images_that_the_card_says_evenly_over_species(split: str, images: int) -> None:
    examples = Moth24().examples(split)
    assert len(examples) == images == Moth24Plugin.card.images[split]
    assert set(Counter(example.label for example in examples).values()) == {images // 24}
    assert {example.split for example in examples} == {split}


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_examples_are_sorted_by_unique_ids(split: str) -> None:
    ids = [example.example_id for example in Moth24().examples(split)]
    assert ids == sorted(set(ids))


def test_an_id_names_split_species_and_number() -> None:
    first = Moth24().examples("test")[0]
    assert first.example_id == "moth-24/test/arden-wainscot/00000"
    assert first.label == "Arden Wainscot"


def test_a_split_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(UsageError, match="train, validation, test"):
        Moth24().examples("tset")


@given(st.integers(1, 100_000), st.data())
def test_a_train_image_is_the_same_however_many_are_asked_for(per_species: int, data: st.DataObject) -> None:
    examples = Moth24().train(per_species)
    number = data.draw(st.integers(0, min(per_species, 100) - 1))
    species = data.draw(st.integers(0, 23))
    assert len(examples) == 24 * per_species
    assert examples[species * per_species + number] == Moth24().examples("train")[species * 100 + number]


@pytest.mark.parametrize("per_species", [0, -1, 100_001])
def test_a_number_of_train_images_that_ids_cannot_hold_is_refused(per_species: int) -> None:
    with pytest.raises(UsageError, match="100,000"):
        Moth24().train(per_species)


def test_examples_behave_as_a_sequence_and_travel_to_other_processes() -> None:
    examples = Moth24().examples("validation")
    assert examples[-1] == examples[479]
    assert examples[3:5] == [examples[3], examples[4]]
    assert pickle.loads(pickle.dumps(examples))[100] == examples[100]
    assert len(pickle.dumps(examples[0].image)) < 300
    with pytest.raises(IndexError):
        examples[480]


def test_a_genus_is_four_species_two_attributes_by_two_values() -> None:
    for genus in GENERA:
        siblings = [species for species in SPECIES if species.genus is genus]
        first, second = ({species.values[place] for species in siblings} for place in (0, 1))
        assert {species.values for species in siblings} == set(itertools.product(first, second))
        assert len(siblings) == 4
        assert genus.varies not in genus.diagnostic


def test_what_varies_is_diagnostic_elsewhere_and_two_genera_share_grey_and_two_the_rounded_wing() -> None:
    diagnostic = {name for genus in GENERA for name in genus.diagnostic}
    assert {genus.varies for genus in GENERA} <= diagnostic
    assert Counter(genus.typical.ground for genus in GENERA)["grey"] == 2
    assert Counter(genus.typical.wing for genus in GENERA)["rounded"] == 2


def test_individuals_show_the_attributes_of_their_species_and_every_variant() -> None:
    for species in SPECIES:
        seen = set()
        for number in range(50):
            drawn = MothImage("test", species.slug, number).attributes().as_mapping()
            assert tuple(drawn[name] for name in species.genus.diagnostic) == species.values
            seen.add(drawn.pop(species.genus.varies))
            typical = species.genus.typical.as_mapping()
            assert all(drawn[name] == typical[name] for name in drawn if name not in species.genus.diagnostic)
        assert seen == set(species.genus.variants)


def test_metadata_tells_genus_and_attributes() -> None:
    example = Moth24().examples("test")[60]
    species = BY_LABEL[example.label]
    assert example.metadata["genus"] == species.genus.name
    assert set(example.metadata) == {"genus", *VALUES}


def test_names_reveal_no_attribute() -> None:
    words = {value for values in VALUES.values() for value in values} | {
        "spot",
        "band",
        "wing",
        "white",
        "black",
        "red",
    }
    for label in LABELS:
        assert not [word for word in words if word in label.lower()], label


def test_the_order_of_names_says_nothing_of_attributes() -> None:
    for genus in GENERA:
        in_order = [species.values for species in SPECIES if species.genus is genus]
        assert in_order != sorted(in_order)


def test_names_hold_the_traps_that_parsers_fall_into() -> None:
    assert "Dale Carpet" in "Dove Dale Carpet"
    assert {"Dale Carpet", "Dove Dale Carpet"} <= set(LABELS)
    assert {label[0] for label in LABELS} >= set("ABCD")


def test_taxonomy_is_the_genus_which_the_name_ends_with() -> None:
    dataset = Moth24()
    for label in LABELS:
        (genus,) = dataset.taxonomy(label)
        assert label.endswith(f" {genus}")


def test_descriptions_tell_all_species_apart_and_differ_between_siblings_only_in_what_is_diagnostic() -> None:
    dataset = Moth24()
    assert len({dataset.description(label) for label in LABELS}) == 24
    assert dataset.description("Bodmin Tussock") == (
        "A moth with rounded rufous wings, a bar on each forewing and thread-like antennae."
    )
    assert dataset.description("Dale Carpet") == (
        "A moth with scalloped green wings and three straight bands across the forewing."
    )
    for genus in GENERA:
        openings = {
            dataset.description(species.label).split(",")[0].split(" and ")[0]
            for species in SPECIES
            if species.genus is genus
        }
        assert len(openings) == 1
    assert differences(BY_LABEL["Ludlow Sallow"]) == ("a dark fringe", "straight bands across the forewing")


@given(st.integers(0, 10**9))
@settings(max_examples=30)
def test_an_anonymous_moth_is_the_same_wherever_the_row_starts(start: int) -> None:
    here, there = anonymous_moths(10, start)[3], anonymous_moths(1, start + 3)[0]
    assert here == there
    assert here.attributes == here.image.attributes()


def test_anonymous_moths_take_every_value_of_every_attribute_evenly() -> None:
    moths = [moth.attributes.as_mapping() for moth in anonymous_moths(3000)]
    for name, values in VALUES.items():
        counts = Counter(moth[name] for moth in moths)
        expected = 3000 / len(values)
        assert all(abs(counts[value] - expected) < 5 * expected**0.5 for value in values), name


def test_an_attribute_that_is_no_value_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="spot is 'star', not one of dot, ring, bar"):
        Attributes("pointed", "cream", "star", "one", "straight", "plain", "plain", "plain", "thread")
