"""``datasets verify`` and ``datasets list``: what is said of good and of spoilt sets."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from layouts import KEYS, draw, lay_out, small_plan
from toy import Registration, Script, ToyModel, ToyPlugin, toy_host

from fgvr_bench.cli import datasets as command
from fgvr_bench.cli import run as run_command
from fgvr_bench.cli.main import fgvr_bench
from fgvr_bench.core.host import Host
from fgvr_bench.core.overlap import known_overlap
from fgvr_bench.core.paths import cache_folder
from fgvr_bench.core.verify import Report, verify
from fgvr_bench.errors import DataInvalid, UsageError
from fgvr_bench.types import FileImage


@pytest.fixture
def small_host(monkeypatch: pytest.MonkeyPatch) -> Host:
    """Give the command small sets in place of the published ones."""
    made = Host()
    made.add(Registration(datasets=[small_plan(key).plugin() for key in KEYS]), "small")
    made.add(Registration(datasets=[ToyPlugin()]), "toys")
    monkeypatch.setattr(command, "host", lambda: made)
    return made


def run(*arguments: Any) -> Result:
    return CliRunner().invoke(fgvr_bench, ["datasets", *map(str, arguments)])


def report_on(key: str, root: Path, **settings: Any) -> Report:
    plugin = small_plan(key).plugin()
    return verify(plugin, plugin.open([root]), **settings)


@pytest.mark.parametrize("key", KEYS)
def test_a_whole_set_is_good(key: str, tmp_path: Path) -> None:
    plan = small_plan(key)
    lay_out(plan, tmp_path)
    report = report_on(key, tmp_path)
    assert report.good
    assert not report.notes
    assert [(found.split, found.images, found.published) for found in report.splits] == [
        ("test", 12, 12),
        ("train", 12, 12),
    ]
    assert report.splits[0].counts == dict.fromkeys(plan.labels, 4)


def test_images_that_cannot_be_decoded_are_named(tmp_path: Path) -> None:
    plan = small_plan("pet-37")
    folder = lay_out(plan, tmp_path)
    paths = [folder / "images" / path for path, _ in plan.test]
    paths[0].write_bytes(b"")
    paths[1].write_bytes(b"<html>not found</html>")
    paths[2].write_bytes(paths[2].read_bytes()[:-200])
    paths[3].unlink()
    paths[3].mkdir()
    shutil.rmtree(paths[3])
    paths[3].symlink_to(paths[4].with_suffix(".gone.jpg"))
    report = report_on("pet-37", tmp_path)
    text = " ".join(report.splits[0].unreadable)
    assert len(report.splits[0].unreadable) == 4
    for reason in ("the file is empty", "not an image", "damaged image", "No such file"):
        assert reason in text
    assert not report.good
    assert "4 of 12 test images cannot be decoded: pet-37/test/Abyssinian_1.jpg: the file is empty" in report.faults[0]


def test_copies_within_and_across_splits_are_found_by_bytes(tmp_path: Path) -> None:
    plan = small_plan("bird-200")
    folder = lay_out(plan, tmp_path) / "images"
    shutil.copy(folder / plan.test[0][0], folder / plan.test[1][0])
    shutil.copy(folder / plan.test[5][0], folder / plan.train[7][0])
    report = report_on("bird-200", tmp_path)
    first, second, fifth, seventh = (Path(path).name for path, _ in (*plan.test[:2], plan.test[5], plan.train[7]))
    assert report.splits[0].duplicates == [(f"bird-200/test/{first}", f"bird-200/test/{second}")]
    assert report.shared == [(f"bird-200/test/{fifth}", f"bird-200/train/{seventh}")]
    assert len(report.faults) == 2


def test_a_published_archives_few_copies_are_told_and_not_called_wrong(tmp_path: Path) -> None:
    plan = small_plan("flower-102", classes=5, each=40)
    folder = lay_out(plan, tmp_path) / "jpg"
    shutil.copy(folder / plan.test[0][0], folder / plan.test[1][0])
    plugin = plan.plugin()
    report = verify(plugin, plugin.open([tmp_path]))
    assert report.good
    assert "1 test images are copies of others" in report.notes[0]


def test_a_missing_train_split_is_a_note(tmp_path: Path) -> None:
    lay_out(small_plan("aircraft-102"), tmp_path, "cache")
    report = report_on("aircraft-102", tmp_path)
    assert report.good
    assert [found.split for found in report.splits] == ["test"]
    assert "train was left out: aircraft-102 train needs" in report.notes[0]


def test_asked_splits_have_to_be_there(tmp_path: Path) -> None:
    lay_out(small_plan("aircraft-102"), tmp_path)
    assert [found.split for found in report_on("aircraft-102", tmp_path, splits=("train",)).splits] == ["train"]
    with pytest.raises(UsageError):
        report_on("aircraft-102", tmp_path, splits=("validation",))


def test_a_plugin_that_promises_other_numbers_is_told_so(tmp_path: Path) -> None:
    class Short(ToyPlugin):
        def class_counts(self, split: str) -> dict[str, int]:
            return {"Amber": 11, "Sky_blue": 10}

    plugin = Short()
    plugin.dataset.card = plugin.card = type(plugin.card)("toy", "Toy", "toys", 4, {"test": 41})
    report = verify(plugin, plugin.open([]), splits=("test",))
    assert report.faults == [
        "test has 40 images, 41 were published",
        "1 classes of test have another number of images: Amber 10 instead of 11",
        "36 test images are copies of others: toy/test/Amber/0000 = "
        + report.faults[2].partition("toy/test/Amber/0000 = ")[2],
    ]


def test_the_order_of_threads_changes_nothing(tmp_path: Path) -> None:
    plan = small_plan("bird-200", classes=4, each=50)
    folder = lay_out(plan, tmp_path) / "images"
    for number in range(7, 60, 7):
        shutil.copy(folder / plan.test[0][0], folder / plan.test[number][0])
    plugin = plan.plugin()
    reports = [verify(plugin, plugin.open([tmp_path]), workers=workers) for workers in (1, 7)]
    assert reports[0] == reports[1]


def test_verify_says_good_and_exits_0(small_host: Host, tmp_path: Path) -> None:
    folder = lay_out(small_plan("pet-37"), tmp_path)
    done = run("verify", "pet-37", "--data-root", tmp_path)
    assert done.exit_code == 0, done.output
    assert done.output.splitlines()[-1] == f"pet-37: good ({folder})"


def test_verify_says_what_is_wrong_and_exits_1(small_host: Host, tmp_path: Path) -> None:
    plan = small_plan("pet-37")
    folder = lay_out(plan, tmp_path)
    (folder / "images" / plan.test[0][0]).write_bytes(b"")
    done = run("verify", "pet-37", "--data-root", tmp_path)
    assert done.exit_code == 1
    assert (
        "wrong: 1 of 12 test images cannot be decoded: pet-37/test/Abyssinian_1.jpg: the file is empty" in done.output
    )
    assert done.output.splitlines()[-1].startswith("pet-37: wrong")


def test_verify_all_goes_on_after_an_absent_set(small_host: Host, tmp_path: Path) -> None:
    lay_out(small_plan("pet-37"), tmp_path)
    done = run("verify", "all", "--data-root", tmp_path)
    assert done.exit_code == 1
    assert "pet-37: good" in done.output
    assert "dog-120: dog-120 is not on this machine." in done.output


def test_an_absent_set_is_one_error(small_host: Host, tmp_path: Path) -> None:
    done = run("verify", "pet-37", "--data-root", tmp_path)
    assert done.exit_code == 1
    assert "pet-37 is not on this machine" in str(done.exception)


def test_train_images_under_test_names_are_refused_by_verify(tmp_path: Path) -> None:
    plan = small_plan("car-196")
    folder = lay_out(plan, tmp_path)
    shutil.rmtree(folder / "cars_test")
    shutil.copytree(folder / "cars_train", folder / "cars_test")
    with pytest.raises(DataInvalid, match="hold the same pictures"):
        report_on("car-196", tmp_path)


def test_the_list_says_where_each_set_is(small_host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = lay_out(small_plan("pet-37"), tmp_path)
    monkeypatch.setenv("FGVR_DATA", str(tmp_path))
    for arguments in ((), ("list",)):
        done = run(*arguments)
        assert done.exit_code == 0, done.output
        lines = {line.split()[0]: line for line in done.output.splitlines() if line}
        assert lines["pet-37"].endswith(str(folder))
        assert lines["dog-120"].endswith("absent")
        assert lines["toy"].endswith("needs no files")
        assert "CC BY-SA 4.0" in lines["pet-37"]


def test_drawn_pictures_differ_from_each_other() -> None:
    assert len({draw(number, "a") for number in range(10)}) == 10
    assert FileImage(__file__).read()


# --- what verify has found, said by runs ---------------------------------------------------------------


def ask(root: Path, results: Path) -> str:
    """Run a control on the small birds with random options and return what the command says."""
    arguments = ["run", "-m", "says-a", "-d", "bird-200", "--options", "random", "--workers", "0"]
    done = CliRunner().invoke(fgvr_bench, [*arguments, "--data-root", str(root), "--results-dir", str(results)])
    assert done.exit_code == 0, done.output
    return done.output


def test_a_run_says_how_many_of_its_images_verify_found_among_the_train_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = small_plan("bird-200", classes=4)
    folder = lay_out(plan, tmp_path) / "images"
    for test, train in ((5, 7), (6, 7), (1, 3)):  # two test images are one train image, a third is another
        shutil.copy(folder / plan.train[train][0], folder / plan.test[test][0])
    made = toy_host([ToyModel("says-a", Script("always-a"))], [plan.plugin()])
    monkeypatch.setattr(command, "host", lambda: made)
    monkeypatch.setattr(run_command, "host", lambda: made)
    assert "train image" not in ask(tmp_path, tmp_path / "results")
    assert run("verify", "bird-200", "--data-root", tmp_path, "--split", "test").exit_code == 1
    assert "train image" not in ask(tmp_path, tmp_path / "results")
    assert run("verify", "bird-200", "--data-root", tmp_path).exit_code == 1
    said = "says-a on bird-200: 3 of its test images are train images byte for byte (fgvr-bench datasets verify)."
    assert said in ask(tmp_path, tmp_path / "results")
    # a file that is another now: what was found is no longer known, until somebody looks again
    (folder / plan.test[5][0]).write_bytes(draw(5, plan.test[5][1]))
    (folder / plan.test[6][0]).write_bytes(draw(6, plan.test[6][1]))
    assert "train image" not in ask(tmp_path, tmp_path / "results")
    run("verify", "bird-200", "--data-root", tmp_path)
    assert "1 of its test images is a train image byte for byte" in ask(tmp_path, tmp_path / "results")


def test_where_no_image_is_shared_a_run_says_nothing(tmp_path: Path) -> None:
    plan = small_plan("bird-200")
    lay_out(plan, tmp_path)
    plugin = plan.plugin()
    birds = plugin.open([tmp_path])
    assert known_overlap(birds, "test") is None
    verify(plugin, birds)
    assert known_overlap(birds, "test") == 0
    assert known_overlap(birds, "train") is None
    for record in (cache_folder() / "overlaps").iterdir():
        record.write_text('{"format": "fgvr-bench/overlap", "version": 1, "files": {}}')
    assert known_overlap(birds, "test") is None
