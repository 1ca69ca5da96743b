"""What a dataset's folder may hold that it should not: handled, or refused in one sentence with file and line."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from layouts import KEYS, Plan, lay_out, small_plan

from fgvr_bench.errors import DataInvalid, DataNotFound

TEXT_LISTS = {
    "aircraft-102": "data/images_variant_test.txt",
    "bird-200": "images.txt",
    "pet-37": "annotations/test.txt",
}
MATS = {
    "car-196": "cars_test_annos_withlabels.mat",
    "dog-120": "lists/test_list.mat",
    "flower-102": "imagelabels.mat",
}


def refusal(plan: Plan, root: Path, split: str = "test") -> str:
    """Return the one sentence (and hint) with which a dataset is refused."""
    with pytest.raises((DataInvalid, DataNotFound)) as caught:
        plan.plugin().open([root]).examples(split)
    text = str(caught.value)
    assert "\n" not in text
    assert "Traceback" not in text
    return text


@pytest.mark.parametrize("key", TEXT_LISTS)
@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text.replace(b"\n", b"\r\n"),
        lambda text: text.removesuffix(b"\n"),
        lambda text: b"\xef\xbb\xbf" + text,
        lambda text: text.replace(b"\n", b"  \n\n"),
    ],
    ids=["CRLF", "no final newline", "byte order mark", "blank lines"],
)
def test_line_ends_do_not_matter(key: str, spoil: Callable[[bytes], bytes], tmp_path: Path) -> None:
    plan = small_plan(key)
    folder = lay_out(plan, tmp_path)
    expected = [(example.example_id, example.label) for example in plan.plugin().open([tmp_path]).examples()]
    for path in folder.rglob("*.txt"):
        path.write_bytes(spoil(path.read_bytes()))
    examples = plan.plugin().open([tmp_path]).examples()
    assert [(example.example_id, example.label) for example in examples] == expected


@pytest.mark.parametrize("key", TEXT_LISTS)
def test_a_short_list_is_refused_with_the_line_where_it_ends(key: str, tmp_path: Path) -> None:
    plan = small_plan(key)
    path = lay_out(plan, tmp_path) / TEXT_LISTS[key]
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[: -2 if key != "bird-200" else -9]))
    text = refusal(plan, tmp_path)
    assert f"where {len(plan.test)} were published" in text
    assert f"{path}, line " in text


@pytest.mark.parametrize("key", TEXT_LISTS)
def test_half_a_line_is_refused_with_its_number(key: str, tmp_path: Path) -> None:
    plan = small_plan(key)
    path = lay_out(plan, tmp_path) / TEXT_LISTS[key]
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:4], lines[4].split()[0], *lines[5:]]))
    assert f"{path}, line 5 is {lines[4].split()[0]!r}; expected" in refusal(plan, tmp_path)


@pytest.mark.parametrize("key", TEXT_LISTS)
def test_what_is_no_text_is_refused_with_its_line(key: str, tmp_path: Path) -> None:
    plan = small_plan(key)
    path = lay_out(plan, tmp_path) / TEXT_LISTS[key]
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], b"\xff\xfe" + lines[2], *lines[3:]]))
    assert f"{path}, line 3 is not UTF-8" in refusal(plan, tmp_path)


@pytest.mark.parametrize("key", MATS)
@pytest.mark.parametrize("keep", [0, 60, 0.5, 0.97, -1])
def test_a_truncated_mat_is_refused_by_name(key: str, keep: float, tmp_path: Path) -> None:
    plan = small_plan(key)
    path = lay_out(plan, tmp_path) / MATS[key]
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data) if 0 < keep < 1 else keep)])
    text = refusal(plan, tmp_path)
    assert str(path) in text
    assert "truncated" in text or "no variable" in text


@pytest.mark.parametrize("key", KEYS)
def test_an_annotated_image_that_is_absent_is_named_with_its_line(key: str, tmp_path: Path) -> None:
    plan = small_plan(key)
    folder = lay_out(plan, tmp_path)
    name = Path(plan.test[6][0]).name
    next(path for path in sorted(folder.rglob(name)) if "train" not in str(path.parent)).unlink()
    text = refusal(plan, tmp_path)
    assert name in text
    assert f"(1 of {len(plan.test)} are absent)" in text
    assert ", line " in text or ", entry " in text or ", tstid entry 7" in text


@pytest.mark.parametrize("key", KEYS)
def test_images_that_are_not_there_at_all_are_looked_for_by_name(key: str, tmp_path: Path) -> None:
    plan = small_plan(key)
    folder = lay_out(plan, tmp_path)
    for name in ("images", "Images", "jpg", "cars_test", "data/images"):
        shutil.rmtree(folder / name, ignore_errors=True)
    text = refusal(plan, tmp_path)
    assert "looked for" in text
    assert str(folder) in text
    assert f"datasets fetch {key}" in text


def extra_class(plan: Plan) -> Plan:
    image, _ = plan.test[0]
    odd = {"bird-200": "001.Zebra/x_1.jpg", "dog-120": "n02085620-zebra/n02085620_1.jpg", "pet-37": "zebra_1.jpg"}
    return Plan(plan.key, ((odd.get(plan.key, image), "zebra"), *plan.test[1:]), plan.train)


def test_a_class_too_many_is_refused_with_file_and_line(tmp_path: Path) -> None:
    aircraft, birds, pets = small_plan("aircraft-102"), small_plan("bird-200"), small_plan("pet-37")
    for plan, name, line in (
        (aircraft, "data/variants.txt", "zebra"),
        (birds, "classes.txt", "201 201.zebra"),
        (pets, "annotations/test.txt", "zebra_1 38 2 25"),
    ):
        path = lay_out(plan, tmp_path) / name
        number = len(path.read_text().splitlines()) + 1
        with path.open("a") as file:
            file.write(line + "\n")
        text = refusal(plan, tmp_path)
        assert f"{path}, line {number} names the class" in text
        assert "zebra" in text.lower()


def test_a_class_too_many_in_a_mat_is_refused_with_its_entry(tmp_path: Path) -> None:
    from layouts import _cells, _mat, car_annotations

    dogs = small_plan("dog-120")
    folder = lay_out(dogs, tmp_path)
    files = [path for path, _ in dogs.test] + ["n02999999-zebra/n02999999_1.jpg"]
    _mat(folder / "lists/test_list.mat", file_list=_cells(files, (-1, 1)))
    assert f"test_list.mat, entry {len(files)} names the class 'zebra'" in refusal(dogs, tmp_path)
    cars = small_plan("car-196")
    folder = lay_out(cars, tmp_path)
    _mat(folder / "devkit/cars_meta.mat", class_names=_cells([*cars.labels, "zebra"], (1, -1)))
    assert "cars_meta.mat, class 4 names the class 'zebra'" in refusal(cars, tmp_path)
    lay_out(cars, tmp_path / "again")
    rows = car_annotations([*cars.test, ("99999.jpg", "zebra")], [*cars.labels, "zebra"])
    _mat(tmp_path / "again/stanford_cars/cars_test_annos_withlabels.mat", annotations=rows)
    assert f"entry {len(cars.test) + 1} is class 4, not 1 to 3" in refusal(cars, tmp_path / "again")


def test_the_label_file_of_another_version_is_refused(tmp_path: Path) -> None:
    plan = small_plan("aircraft-102")
    path = lay_out(plan, tmp_path) / "data/variants.txt"
    path.write_text(path.read_text().replace("727-200", "727-200F"))
    assert f"{path}, line 2 names the class '727-200F', which aircraft-102 does not have" in refusal(plan, tmp_path)
    path.write_text(path.read_text().replace("727-200F\n", ""))
    assert "'727-200' is missing" in refusal(plan, tmp_path)


def test_other_numbers_of_images_in_a_class_are_refused(tmp_path: Path) -> None:
    plan = small_plan("aircraft-102")
    path = lay_out(plan, tmp_path) / "data/images_variant_test.txt"
    path.write_text(path.read_text().replace("0000001 707-320", "0000001 727-200"))
    assert "is annotated for 3 images of '707-320'" in refusal(plan, tmp_path)


def test_annotations_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    birds = small_plan("bird-200")
    folder = lay_out(birds, tmp_path)
    (folder / "image_class_labels.txt").write_text("1 1\n")
    assert f"{folder / 'images.txt'}, line 2 has image 2, which {folder / 'image_class_labels.txt'} does not list" in (
        refusal(birds, tmp_path)
    )
    flowers = small_plan("flower-102")
    from layouts import _mat

    folder = lay_out(flowers, tmp_path)
    _mat(folder / "imagelabels.mat", labels=[[1, 2, 3]])
    assert "setid.mat, tstid entry 4 is image 4, but" in refusal(flowers, tmp_path)


def test_a_car_list_without_classes_is_refused_with_the_name_of_the_right_one(tmp_path: Path) -> None:
    import numpy as np
    from layouts import _mat

    plan = small_plan("car-196")
    folder = lay_out(plan, tmp_path)
    rows = np.empty((1, 2), dtype=[(name, object) for name in ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", "fname")])
    rows[0, 0] = rows[0, 1] = (1, 1, 2, 2, "00001.jpg")
    _mat(folder / "cars_test_annos_withlabels.mat", annotations=rows)
    assert "cars_test_annos_withlabels.mat is needed" in refusal(plan, tmp_path)


def test_files_that_are_no_images_are_passed_over(tmp_path: Path) -> None:
    plan = small_plan("pet-37")
    folder = lay_out(plan, tmp_path)
    for name in ("Abyssinian_1.mat", ".DS_Store", "Thumbs.db", "._Abyssinian_1.jpg", "notes.txt"):
        (folder / "images" / name).write_bytes(b"x")
    (folder / "images" / "deep" / "deeper").mkdir(parents=True)
    assert len(plan.plugin().open([tmp_path]).examples()) == len(plan.test)


def test_two_images_of_one_name_are_refused(tmp_path: Path) -> None:
    plan = small_plan("flower-102")
    folder = lay_out(plan, tmp_path)
    for name in ("a", "b"):
        (folder / "jpg" / name).mkdir()
        shutil.copy(folder / "jpg/image_00003.jpg", folder / "jpg" / name)
    assert len(plan.plugin().open([tmp_path]).examples()) == len(plan.test)  # the annotated path decides
    (folder / "jpg/image_00003.jpg").unlink()
    text = refusal(plan, tmp_path)
    assert "image_00003.jpg, which could be" in text


@pytest.mark.parametrize("layout", ["official", "loader"])
def test_names_may_hold_spaces_and_letters_of_two_forms(layout: str, tmp_path: Path) -> None:
    small = small_plan("bird-200")
    odd = [path.replace("_1.jpg", " (1) \N{LATIN SMALL LETTER E WITH ACUTE}.jpg") for path, _ in small.test]
    plan = Plan(small.key, tuple(zip(odd, [label for _, label in small.test], strict=True)), small.train)
    folder = lay_out(plan, tmp_path / "with space", layout)
    image = folder / "images" / odd[0]
    image.rename(image.with_name(unicodedata.normalize("NFD", image.name)))
    examples = plan.plugin().open([tmp_path / "with space"]).examples()
    assert examples[0].example_id == f"bird-200/test/{Path(odd[0]).name}"
    assert examples[0].image.read()


def test_folders_that_lead_back_to_themselves_are_walked_once(tmp_path: Path) -> None:
    plan = small_plan("bird-200")
    folder = lay_out(plan, tmp_path)
    (folder / "images" / "again").symlink_to(folder / "images")
    assert len(plan.plugin().open([tmp_path]).examples()) == len(plan.test)


@pytest.mark.skipif(not hasattr(os, "setuid"), reason="this system has no permissions of this kind")
def test_a_folder_without_permission_is_named() -> None:
    script = """
import os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from layouts import small_plan
from fgvr_bench.errors import DataInvalid
import fgvr_bench.core.annotations
plugin = small_plan("bird-200").plugin()
if os.geteuid() == 0:
    os.setuid(65534)
try:
    plugin.open([Path(sys.argv[2])]).examples()
except DataInvalid as error:
    print(error)
"""
    root = Path(tempfile.mkdtemp())
    try:
        root.chmod(0o755)
        folder = lay_out(small_plan("bird-200"), root)
        locked = next((folder / "images").iterdir())
        locked.chmod(0)
        here = str(Path(__file__).parent)
        done = subprocess.run(
            [sys.executable, "-c", script, here, str(root)], capture_output=True, text=True, check=False, cwd="/"
        )
        assert done.stdout == f"the folder {locked} cannot be read: Permission denied.\n", done.stderr
    finally:
        locked.chmod(0o755)
        shutil.rmtree(root)
