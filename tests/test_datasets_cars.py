"""car-196: every test image's name is a train image's too, so names alone prove nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from layouts import PLUGINS, Plan, car_annotations, draw, lay_out, published_plan, sized, small_plan

from fgvr_bench.errors import DataInvalid


def refusal(plan: Plan, root: Path, split: str = "test") -> str:
    with pytest.raises(DataInvalid) as caught:
        plan.plugin().open([root]).examples(split)
    return str(caught.value)


def mixed_sizes(number: int, label: str) -> bytes:
    """Draw pictures as the web has them: some larger than the boxes, some smaller."""
    return draw(number, label) if number % 3 else sized((30, 22))(number, label)


def test_train_images_under_test_names_are_refused_by_the_boxes(tmp_path: Path) -> None:
    plan = small_plan("car-196", classes=3, each=12)
    folder = lay_out(plan, tmp_path)
    assert len(plan.plugin().open([tmp_path]).examples()) == 36
    for number, (path, label) in enumerate(plan.test):
        (folder / "cars_test" / path).write_bytes(mixed_sizes(1000 + number, label))
    text = refusal(plan, tmp_path)
    assert "in 12 of 36 compared the annotated box reaches beyond the picture" in text
    assert "00003.jpg (30 × 22, box to 44, 33)" in text
    assert "They may be train images, whose names are the same." in text


def test_the_same_pictures_in_both_splits_are_refused_by_their_bytes(tmp_path: Path) -> None:
    plan = small_plan("car-196")
    folder = lay_out(plan, tmp_path)
    shutil.rmtree(folder / "cars_test")
    shutil.copytree(folder / "cars_train", folder / "cars_test")
    text = refusal(plan, tmp_path)
    assert f"{folder / 'cars_test'} and {folder / 'cars_train'} hold the same pictures" in text
    assert "(12 compared by their bytes)" in text


def test_the_number_of_train_images_gives_them_away(reference: Path, tmp_path: Path) -> None:
    plan = published_plan(reference, "car-196")
    folder = lay_out(plan, tmp_path, "loader", drawing=None)
    for number in range(8042, 8145):
        (folder / "cars_test" / f"{number:05d}.jpg").hardlink_to(folder / "cars_test" / "00001.jpg")
    with pytest.raises(DataInvalid, match="holds 8144 images: that is the number of car-196's train images"):
        PLUGINS["car-196"]().open([tmp_path]).examples()


def test_a_few_boxes_beyond_the_picture_are_let_pass(tmp_path: Path) -> None:
    plan = small_plan("car-196", classes=3, each=30)
    folder = lay_out(plan, tmp_path)
    (folder / "cars_test" / plan.test[0][0]).write_bytes(sized((30, 22))(1, "x"))
    assert len(plan.plugin().open([tmp_path]).examples()) == 90


def test_a_picture_that_cannot_be_opened_is_left_to_the_run(tmp_path: Path) -> None:
    plan = small_plan("car-196")
    folder = lay_out(plan, tmp_path)
    (folder / "cars_test" / plan.test[0][0]).write_bytes(b"no picture")
    assert len(plan.plugin().open([tmp_path]).examples()) == len(plan.test)


def test_kaggles_nested_folders_and_file_names_are_accepted(tmp_path: Path) -> None:
    plan = small_plan("car-196")
    folder = lay_out(plan, tmp_path)
    for split in ("test", "train"):
        shutil.move(folder / f"cars_{split}", folder / "inner")
        (folder / f"cars_{split}").mkdir()
        shutil.move(folder / "inner", folder / f"cars_{split}" / f"cars_{split}")
    (folder / "car_devkit").mkdir()
    shutil.move(folder / "devkit", folder / "car_devkit" / "devkit")
    labels = "cars_test_annos_withlabels"
    (folder / f"{labels}.mat").rename(folder / f"{labels} (1).mat")
    dataset = plan.plugin().open([tmp_path])
    assert len(dataset.examples()) == len(dataset.examples("train")) == len(plan.test)
    assert dataset.examples()[0].metadata == {"box": "4 3 44 33"}


def test_annotated_boxes_are_kept_beside_each_image(tmp_path: Path) -> None:
    plan = small_plan("car-196")
    folder = lay_out(plan, tmp_path)
    from scipy.io import savemat

    rows = car_annotations(plan.test, plan.labels)
    rows[0, 5] = (1, 2, 3, 4, *list(rows[0, 5])[4:])
    savemat(folder / "cars_test_annos_withlabels.mat", {"annotations": rows})
    assert plan.plugin().open([tmp_path]).examples()[5].metadata == {"box": "1 2 3 4"}
