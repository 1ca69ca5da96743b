"""Subsets: lists of classes or examples, imported or from a file, named by what they hold."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from layouts import Plan, lay_out, small_plan
from toy import Registration

from fgvr_bench.cli import datasets as command
from fgvr_bench.cli.main import fgvr_bench
from fgvr_bench.core.host import Host
from fgvr_bench.core.subset import import_subset, read_subset
from fgvr_bench.errors import DataInvalid, UsageError
from fgvr_bench.interfaces import Dataset

PLAN = small_plan("bird-200", classes=4)


@pytest.fixture
def birds(tmp_path: Path) -> Dataset:
    lay_out(PLAN, tmp_path)
    return PLAN.plugin().open([tmp_path])


def written(folder: Path, text: str, name: str = "list.txt") -> str:
    (folder / name).write_text(text)
    return str(folder / name)


def test_a_list_of_classes_in_any_common_spelling(birds: Dataset, tmp_path: Path) -> None:
    text = "# from a paper\n001.Black_footed_Albatross\r\nlaysan albatross  # the second\nSooty Albatross\n\n"
    subset = read_subset(written(tmp_path, text), birds, "test")
    assert subset.classes == set(PLAN.labels[:3])
    chosen = [example for example in birds.examples() if subset(example)]
    assert len(chosen) == 12
    assert {example.label for example in chosen} == set(PLAN.labels[:3])
    assert subset.inputs()["kind"] == "classes"


def test_the_identity_is_that_of_the_content(birds: Dataset, tmp_path: Path) -> None:
    first = read_subset(written(tmp_path, "Laysan_Albatross\nSooty_Albatross"), birds, "test")
    again = read_subset(written(tmp_path, "Sooty Albatross\nlaysan_albatross\n"), birds, "test")
    other = read_subset(written(tmp_path, "Sooty Albatross\n"), birds, "test")
    assert first.inputs() == again.inputs()
    assert first.inputs() != other.inputs()


def test_a_list_of_examples_by_id_or_name(birds: Dataset, tmp_path: Path) -> None:
    ids = [example.example_id for example in birds.examples()]
    lines = [ids[0], ids[5].rpartition("/")[2], f"images/{PLAN.test[9][0]}"]
    subset = read_subset(written(tmp_path, json.dumps(lines), "list.json"), birds, "test")
    assert subset.examples == {ids[0], ids[5], f"bird-200/test/{Path(PLAN.test[9][0]).name}"}
    assert [example.example_id for example in birds.examples() if subset(example)] == sorted(subset.examples)
    assert subset.inputs()["count"] == 3


def test_seen_and_unseen_are_imported_by_name(birds: Dataset, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no subset 'seen' of bird-200\. No list was imported") as caught:
        read_subset("seen", birds, "test")
    assert "fgvr-bench datasets subset bird-200 FILE --name seen" in str(caught.value)
    file = Path(written(tmp_path, json.dumps({"seen": PLAN.labels[:3], "base": PLAN.labels[:1]}), "zsl.json"))
    assert [made.name for made in import_subset(file, birds, "test")] == ["seen", "base"]
    seen, unseen = (read_subset(name, birds, "test") for name in ("seen", "unseen"))
    assert seen.classes == set(PLAN.labels[:3])
    assert unseen.classes == {PLAN.labels[3]}
    assert not any(seen(example) and unseen(example) for example in birds.examples())
    with pytest.raises(UsageError, match="Did you mean seen"):
        read_subset("sen", birds, "test")


def test_lines_that_name_nothing_are_refused_with_their_place(birds: Dataset, tmp_path: Path) -> None:
    path = written(tmp_path, "Sooty_Albatross\nSooty_Albatros\n")
    with pytest.raises(DataInvalid) as caught:
        read_subset(path, birds, "test")
    assert f"{path}, line 2: 'Sooty_Albatros' is no class of bird-200 test" in str(caught.value)
    assert "Did you mean Sooty_Albatross" in str(caught.value)
    with pytest.raises(DataInvalid, match="the list 'list' is empty"):
        read_subset(written(tmp_path, "# nothing\n"), birds, "test")
    with pytest.raises(DataInvalid, match="cannot be read as JSON"):
        read_subset(written(tmp_path, "{", "list.json"), birds, "test")
    with pytest.raises(DataInvalid, match="'seen' is no list of classes"):
        read_subset(written(tmp_path, '{"seen": 3}', "list.json"), birds, "test")
    file = Path(written(tmp_path, json.dumps({"seen": PLAN.labels, "odd": ["nothing"]}), "zsl.json"))
    with pytest.raises(DataInvalid, match="odd entry 1: 'nothing' is neither a class nor an example"):
        import_subset(file, birds, "test")
    with pytest.raises(UsageError):
        read_subset("seen", birds, "test")  # of a file with a fault nothing is kept


def test_a_loose_spelling_that_two_labels_share_stands_for_neither(tmp_path: Path) -> None:
    plan = Plan("aircraft-102", (("1.jpg", "F-16A/B"), ("2.jpg", "F/A-18")), (("3.jpg", "F/A-18"),))
    lay_out(plan, tmp_path)
    dataset = plan.plugin().open([tmp_path])
    assert read_subset(written(tmp_path, "F/A-18"), dataset, "test").classes == {"F/A-18"}
    dataset._labels = ("F-16A/B", "F 16A/B")
    with pytest.raises(DataInvalid):
        read_subset(written(tmp_path, "f 16a b"), dataset, "test")
    assert read_subset(written(tmp_path, "F-16A/B"), dataset, "test").classes == {"F-16A/B"}


def test_the_command_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay_out(PLAN, tmp_path)
    made = Host()
    made.add(Registration(datasets=[PLAN.plugin()]), "small")
    monkeypatch.setattr(command, "host", lambda: made)
    path = written(tmp_path, "Sooty_Albatross\n")
    arguments = ["datasets", "subset", "bird-200", path, "--name", "unseen", "--data-root", str(tmp_path)]
    done = CliRunner().invoke(fgvr_bench, arguments)
    assert done.output == "unseen: 1 classes of bird-200\n"
    assert len(read_subset("seen", PLAN.plugin().open([tmp_path]), "test").classes) == 3
