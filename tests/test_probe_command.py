"""``fgvr-bench probe`` as a user types it, on moths, with a tiny Idefics2."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny_families
from click.testing import CliRunner, Result

from fgvr_bench.cli.main import fgvr_bench
from fgvr_bench.core.assembly import ReadyDataset
from fgvr_bench.core.digest import dataset_digest
from fgvr_bench.core.host import host
from fgvr_bench.core.paths import cache_folder
from fgvr_bench.engines.huggingface.features import FeatureReader
from fgvr_bench.errors import UsageError
from fgvr_bench.interfaces import DatasetCard, ModelSettings
from fgvr_bench.probing import collecting
from fgvr_bench.probing import study as studying
from fgvr_bench.probing.parts import parts_of
from fgvr_bench.probing.study import ProbeSettings, Study, ready_to_probe, study
from fgvr_bench.types import Example
from fgvr_datasets.moth_24 import Moth24

LIMIT = 48
SPACES = ["connector", "encoder", "language-end", "language-last", "language-mean"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_families.idefics2(tmp_path_factory.mktemp("tiny") / "idefics2")


def typed(checkpoint: Path, *words: str, model: str = "idefics2") -> Result:
    given = ("probe", "--model", model, "--dataset", "moth-24", "--checkpoint", str(checkpoint), *words)
    return CliRunner().invoke(fgvr_bench, given, catch_exceptions=True)


def test_a_study_prints_its_figures_and_writes_them_with_their_plots(checkpoint: Path, tmp_path: Path) -> None:
    done = typed(checkpoint, "--limit", str(LIMIT), "--device", "cpu", "--out", str(tmp_path / "out"))
    assert done.exit_code == 0, done.output
    for said in ("linear probe", "language-end", "Does a description retrieve its name", "gap of centroids"):
        assert said in done.output
    files = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert files == ["alignment.png", "alignment.svg", "probe.json", "probes.png", "probes.svg"]
    found = json.loads((tmp_path / "out" / "probe.json").read_text())
    assert (found["format"], found["version"], found["chance"]) == ("fgvr-bench/probe", 1, round(1 / 24, 6))
    assert sorted(found["spaces"]) == SPACES
    assert found["pictures"]["test"] == {"pictures": LIMIT, "left out": 0}
    assert found["inputs"]["pictures"]["test"]["digest"] == dataset_digest(Moth24(), "test")
    assert found["inputs"]["features"]["model"]["sha256"]
    assert str(checkpoint) not in json.dumps(found)
    for space in found["spaces"].values():
        low, high = space["linear"]["accuracy"]["interval"]
        assert 0 <= low <= space["linear"]["accuracy"]["value"] <= high <= 1


def run(checkpoint: Path, **settings: Any) -> Study:
    ready = ready_to_probe(host(), "idefics2", ModelSettings(checkpoint=str(checkpoint), device="cpu"))
    plugin, _ = host().datasets.find("moth-24")
    data = ReadyDataset("moth-24", "moth-24", plugin, plugin.open([]))
    return study(ready, data, ProbeSettings(**{"limit": LIMIT, "layers": ("encoder",), **settings}))


def shards() -> list[Path]:
    return sorted((cache_folder() / "features").rglob("*.npz"))


class Interrupted(Exception):
    pass


def test_what_was_killed_goes_on_behind_its_last_file_and_ends_alike(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collecting, "SHARD", 16)
    whole = run(checkpoint)
    for path in shards():
        path.unlink()
    read = FeatureReader.read
    count = 0

    def counting(self: FeatureReader, items: Any) -> Any:
        nonlocal count
        count += len(items)
        if count > 40:
            raise Interrupted
        return read(self, items)

    monkeypatch.setattr(FeatureReader, "read", counting)
    with pytest.raises(Interrupted):
        run(checkpoint)
    assert [path.name for path in shards()] == ["0000000.npz", "0000016.npz"]
    count = -1000
    again = run(checkpoint)
    assert count == -1000 + 3 * LIMIT - 32
    assert again.spaces == whole.spaces
    monkeypatch.setattr(FeatureReader, "read", None)  # nothing is read any more
    assert run(checkpoint).spaces == whole.spaces
    assert run(checkpoint).key == whole.key


def test_a_smaller_limit_reads_nothing_and_a_damaged_file_is_made_again(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run(checkpoint)
    shards()[0].write_bytes(b"PK\x03\x04 cut")
    assert run(checkpoint).spaces == first.spaces
    monkeypatch.setattr(FeatureReader, "read", None)
    assert run(checkpoint, limit=30).pictures["test"] == {"pictures": 30, "left out": 0}


def test_another_model_setting_reads_features_of_its_own(checkpoint: Path) -> None:
    run(checkpoint)
    before = len(shards())
    run(checkpoint, seed=1)
    assert len(shards()) == 2 * before


class NoPicture:
    def read(self) -> bytes:
        return b"no picture"


class Torn(Moth24):
    """A few of its pictures are none, and it has no validation split."""

    card: DatasetCard = replace(Moth24.card, name="torn")

    def examples(self, split: str = "test") -> list[Example]:
        if split == "validation":
            raise UsageError("torn has no split validation.")
        found = list(super().examples(split))[::10]
        return [replace(each, image=NoPicture()) if place % 40 == 0 else each for place, each in enumerate(found)]


def test_pictures_that_cannot_be_read_are_counted_and_left_out(checkpoint: Path) -> None:
    ready = ready_to_probe(host(), "idefics2", ModelSettings(checkpoint=str(checkpoint), device="cpu"))
    plugin, _ = host().datasets.find("moth-24")
    told: list[str] = []
    settings = ProbeSettings(layers=("connector",), limit=120)
    found = study(ready, ReadyDataset("torn", "torn", plugin, Torn()), settings, note=told.append)
    assert found.pictures["test"] == {"pictures": 120, "left out": 3}
    assert "3 of 120 test pictures could not be read and are left out." in told
    assert found.pictures["train"]["pictures"] + found.pictures["validation"]["pictures"] == 120


def test_without_a_validation_split_a_fifth_of_each_class_is_held_out() -> None:
    parts = parts_of(Torn(), "torn", "test", None, 0)
    train, held = ({each.example_id for each in parts[part].examples} for part in ("train", "validation"))
    assert not train & held
    assert len(train | held) == 240
    assert len(held) == 48
    assert {parts[part].data["rows"] for part in ("train", "validation")} == {"all but 1 in 5", "1 in 5"}
    fewer = parts_of(Torn(), "torn", "test", 100, 0)
    assert {each.example_id for each in fewer["validation"].examples} <= held


def test_measured_on_validation_nothing_is_chosen_there() -> None:
    parts = parts_of(Moth24(), "moth-24", "validation", 240, 0)
    assert parts["test"].data["split"] == "validation"
    assert parts["validation"].data["split"] == "train"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--layers", "encoder,brain"), "'brain' is none of encoder, connector, language"),
        (("--layers", ","), "name some of encoder, connector, language"),
        (("--split", "train"), "the train split is what probes are fitted on"),
        (("--limit", "1"), "too few: probes need two classes in each part"),
        (("--field-guide", "nowhere.csv"), "there is no file nowhere.csv"),
        (("--model-arg", "warmth=3"), "warmth"),
    ],
)
def test_what_cannot_be_is_refused_before_the_model_is_loaded(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], said: str
) -> None:
    monkeypatch.setattr(FeatureReader, "__init__", None)
    done = typed(checkpoint, *words)
    assert said in done.output + str(done.exception)
    assert done.exit_code == 2 or isinstance(done.exception, UsageError)


def test_a_model_without_layers_is_refused_by_name(checkpoint: Path) -> None:
    done = typed(checkpoint, model="moth-clip")
    assert "model moth-clip is no image-text-to-text model of transformers" in str(done.exception)


def test_without_its_libraries_it_says_what_to_type(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(studying, "NEEDS", {"no_such_module": "scikit-learn"})
    error = typed(checkpoint).exception
    assert isinstance(error, UsageError)
    assert str(error) == "probing needs scikit-learn. Type: pip install 'fgvr-bench[probe]'"


def test_help_names_it() -> None:
    assert "probe" in CliRunner().invoke(fgvr_bench, ["--help"]).output


def test_a_dataset_without_a_train_split_says_what_probes_need() -> None:
    class Untaught(Moth24):
        def examples(self, split: str = "test") -> Any:
            if split != "test":
                raise UsageError(f"untaught has no split {split!r}; it has test.")
            return super().examples(split)

    with pytest.raises(UsageError, match=r"no split 'train'; it has test\. Probes are fitted on a train split"):
        parts_of(Untaught(), "untaught", "test", None, 0)
