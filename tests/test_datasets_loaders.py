"""The six published datasets: found in every layout, as published in every label and number."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from layouts import ARCHIVE, KEYS, LAYOUTS, PLUGINS, lay_out, option_cache, published_plan, small_plan

from fgvr_bench.errors import DataNotFound, UsageError
from fgvr_bench.types import FileImage
from fgvr_datasets._facts import published_classes


@pytest.mark.parametrize("key", KEYS)
def test_every_published_image_is_found_with_its_published_label_in_every_layout(
    key: str, reference: Path, tmp_path: Path
) -> None:
    plan = published_plan(reference, key)
    cache = json.loads(option_cache(reference, key))
    expected = {f"{key}/test/{Path(path).name}": label for path, label in plan.test}
    pictures: Path | None = None
    for layout in LAYOUTS:
        folder = lay_out(plan, tmp_path / layout, layout, drawing=None, pictures=pictures)
        dataset = PLUGINS[key]().open([tmp_path / layout])
        examples = dataset.examples()
        card = dataset.card
        assert dataset.root == folder
        assert len(examples) == card.images["test"] == len(plan.test)
        assert list(dataset.labels()) == list(published_classes(key))
        assert len(dataset.labels()) == card.classes
        ids = [example.example_id for example in examples]
        assert ids == sorted(set(ids))
        found = {example.example_id: example.label for example in examples}
        assert found == expected
        assert set(cache) == set(dataset.labels())
        for label, questions in cache.items():
            for question in questions:
                assert found[f"{key}/test/{Path(question['image']).name}"] == label
        image = examples[len(examples) // 2].image
        assert isinstance(image, FileImage)
        assert Path(image.path).is_file()
        if layout == "official":
            train = dataset.examples("train")
            assert len(train) == card.images["train"]
            assert train[0].split == "train"
            folders = ("data/images", "cars_test", "images", "Images", "jpg")
            pictures = next(folder / name for name in folders if (folder / name).is_dir())


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("place", ["archive", "key", "key/archive", "root"])
def test_the_archives_own_folder_may_be_there_or_not(key: str, place: str, tmp_path: Path) -> None:
    plan = small_plan(key)
    below = {"archive": ARCHIVE[key], "key": key, "key/archive": f"{key}/{ARCHIVE[key]}", "root": ""}[place]
    lay_out(plan, tmp_path / below, own_folder=False)
    dataset = plan.plugin().open([tmp_path / "absent", tmp_path])
    assert dataset.root == tmp_path / below
    assert [example.label for example in dataset.examples()].count(plan.labels[0]) == 4
    assert len(dataset.examples("train")) == len(plan.train)


@pytest.mark.parametrize("key", KEYS)
def test_what_is_absent_is_told_with_the_places_and_the_command(key: str, tmp_path: Path) -> None:
    with pytest.raises(DataNotFound) as caught:
        PLUGINS[key]().open([tmp_path / "one", tmp_path / "two"])
    text = str(caught.value)
    for expected in (key, str(tmp_path / "one"), str(tmp_path / "two"), ARCHIVE[key], "--data-root"):
        assert expected in text
    assert f"fgvr-bench datasets fetch {key}" in text
    assert PLUGINS[key]().present([tmp_path]) is None


def test_a_set_that_is_not_whole_is_told_by_what_is_missing(tmp_path: Path) -> None:
    missing = {
        "car-196": "cars_test_annos_withlabels.mat",
        "bird-200": "train_test_split.txt",
        "flower-102": "imagelabels.mat",
        "aircraft-102": "data/variants.txt",
    }
    for key, name in missing.items():
        plan = small_plan(key)
        folder = lay_out(plan, tmp_path)
        (folder / name).unlink()
        with pytest.raises(DataNotFound) as caught:
            plan.plugin().open([tmp_path / "absent", tmp_path])
        assert f"but there is no {folder / name}." in str(caught.value)
        assert "--data-root" in str(caught.value)


@pytest.mark.parametrize("key", KEYS)
def test_cards_say_what_a_reader_has_to_know(key: str) -> None:
    plugin = PLUGINS[key]()
    card = plugin.card
    assert card.name == key
    assert card.in_all
    assert card.options == "published"
    assert card.licence != "unknown"
    assert card.citation.startswith("@")
    assert card.homepage.startswith("http")
    assert card.noun in {"aircrafts", "birds", "cars", "dogs", "flowers", "pets"}
    assert sum(plugin.class_counts("test").values()) == card.images["test"]
    assert len(plugin.class_counts("test")) == card.classes
    assert bool(card.downloads) != bool(card.by_hand)


def test_a_split_that_nobody_published_is_wrong_usage(tmp_path: Path) -> None:
    plan = small_plan("pet-37")
    lay_out(plan, tmp_path)
    with pytest.raises(UsageError, match="test and train"):
        plan.plugin().open([tmp_path]).examples("validation")


def test_train_needs_the_train_list(tmp_path: Path) -> None:
    for key in KEYS:
        if key != "flower-102":  # its one file has all splits
            plan = small_plan(key)
            lay_out(plan, tmp_path, "loader")
            with pytest.raises(DataNotFound, match="train"):
                plan.plugin().open([tmp_path]).examples("train")


def test_flowers_are_numbered_as_their_authors_number_them(reference: Path) -> None:
    # folders of a widely used copy of the dataset are named by class number: 28/image_05214.jpg and so on
    known = {5214: 28, 5277: 28, 7090: 10, 7949: 101, 6752: 1, 5761: 13, 6138: 64, 6805: 21, 6807: 21, 7894: 100, 1: 77}
    labels = list(published_classes("flower-102"))
    cache = json.loads(option_cache(reference, "flower-102"))
    label_of = {question["image"]: label for label, questions in cache.items() for question in questions}
    for image, number in known.items():
        assert label_of[f"images/image_{image:05d}.jpg"] == labels[number - 1]


def test_labels_keep_their_spelling_and_pages_get_a_readable_one(tmp_path: Path) -> None:
    shown = {
        "bird-200": ("Black_footed_Albatross", "Black footed Albatross"),
        "dog-120": ("Japanese_spaniel", "Japanese spaniel"),
        "flower-102": ("pink primrose", "Pink primrose"),
        "aircraft-102": ("707-320", "707-320"),
        "pet-37": ("American Bulldog", "American Bulldog"),
        "car-196": ("Acura RL Sedan 2012", "Acura RL Sedan 2012"),
    }
    for key, (label, display) in shown.items():
        plan = small_plan(key)
        lay_out(plan, tmp_path)
        dataset = plan.plugin().open([tmp_path])
        assert label in dataset.labels()
        assert dataset.display(label) == display


def test_taxonomies_come_from_the_annotations_that_have_them(tmp_path: Path) -> None:
    aircraft, pets = small_plan("aircraft-102"), small_plan("pet-37")
    lay_out(aircraft, tmp_path)
    lay_out(pets, tmp_path)
    assert aircraft.plugin().open([tmp_path]).taxonomy("707-320") == ("707-320", "707-320 family")
    opened = pets.plugin().open([tmp_path])
    assert opened.taxonomy("Abyssinian") == ("Cat",)
    assert opened.taxonomy("American Bulldog") == ("Dog",)
    (tmp_path / "fgvc-aircraft-2013b/data/images_family_test.txt").unlink()
    assert aircraft.plugin().open([tmp_path]).taxonomy("707-320") == ()


def test_a_list_that_repeats_an_image_makes_two_examples_of_it(tmp_path: Path) -> None:
    plan = small_plan("dog-120")
    twice = type(plan)(plan.key, (plan.test[1], *plan.test[1:]), plan.train)
    lay_out(twice, tmp_path, "loader")
    examples = twice.plugin().open([tmp_path]).examples()
    name = Path(plan.test[1][0]).name
    assert [example.example_id for example in examples if name in example.example_id] == [
        f"dog-120/test/{name}",
        f"dog-120/test/{name}~2",
    ]
    assert len({example.image for example in examples}) == len(examples) - 1


def test_opening_and_listing_read_no_image(tmp_path: Path) -> None:
    plan = small_plan("bird-200")
    folder = lay_out(plan, tmp_path)
    for image in folder.rglob("*.jpg"):
        image.write_bytes(b"")
    assert len(plan.plugin().open([tmp_path]).examples()) == len(plan.test)


def test_ids_are_the_same_in_every_layout_and_spelling_of_the_suffix(tmp_path: Path) -> None:
    plan = small_plan("bird-200")
    seen = []
    for number, layout in enumerate(LAYOUTS):
        folder = lay_out(plan, tmp_path / str(number), layout)
        if layout == "cache":
            for image in list(folder.rglob("*.jpg")):
                image.rename(image.with_suffix(".JPG"))
        examples = plan.plugin().open([tmp_path / str(number)]).examples()
        for example in examples:
            assert isinstance(example.image, FileImage)
            assert example.image.read()
        seen.append([example.example_id for example in examples])
    assert seen[0] == seen[1] == seen[2]


def test_images_are_found_by_base_name_in_nested_folders(tmp_path: Path) -> None:
    plan = small_plan("flower-102")
    folder = lay_out(plan, tmp_path)
    shutil.move(folder / "jpg", folder / "inner")
    (folder / "jpg").mkdir()
    shutil.move(folder / "inner", folder / "jpg" / "jpg")
    assert len(plan.plugin().open([tmp_path]).examples()) == len(plan.test)
