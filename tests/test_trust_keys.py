"""Cache keys hold everything that changes an answer: each input is changed once, and nothing else is."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from option_toys import Pictures, draw_pictures
from test_run_story import play
from toy import Script, ToyDataset, ToyModel, ToyPlugin, toy_host

import fgvr_bench
from fgvr_bench.core.assembly import assemble, ready_dataset, ready_model
from fgvr_bench.core.options import find_or_build
from fgvr_bench.core.settings import RunSettings
from fgvr_bench.interfaces import MiningSettings, ModelSettings
from fgvr_bench.miners import encoder as encoders
from fgvr_bench.miners.embeddings import store_path
from fgvr_bench.types import Options


class Declared(ToyModel):
    """A toy that declares what real models do: checkpoint, revision, precision, device and its own settings."""

    def identify(self, settings: ModelSettings) -> dict[str, Any]:
        named = {"checkpoint", "revision", "device", "dtype"}
        return {**{name: getattr(settings, name) for name in named}, "args": dict(settings.args), "mode": "x"}


def run_id(settings: dict[str, Any] | None = None, model: str = "oracle", dataset: Any = None, **card: Any) -> str:
    plugin = dataset or ToyPlugin()
    declared = Declared(model)
    declared.card = dataclasses.replace(declared.card, decodings=("generate", "logprob"), **card)
    host = toy_host([declared], [plugin])
    wanted = RunSettings(**{"options": "random", **(settings or {})})
    ready = ready_model(host, model, wanted), ready_dataset(host, plugin.card.name, wanted)
    return assemble(host, *ready, wanted).run_id


def changed(change: Callable[[ToyDataset], None], name: str = "toy") -> ToyPlugin:
    plugin = ToyPlugin(name)
    change(plugin.dataset)
    return plugin


def _relabelled(dataset: ToyDataset) -> None:
    dataset._examples[0] = dataclasses.replace(dataset._examples[0], label="Sky_blue")


def _redrawn(dataset: ToyDataset) -> None:
    picture = dataclasses.replace(dataset._examples[0].image, colour=(1, 2, 3))  # type: ignore[type-var]
    dataset._examples[0] = dataclasses.replace(dataset._examples[0], image=picture)


def _fewer(dataset: ToyDataset) -> None:
    del dataset._examples[0]


def _asks_about_birds(dataset: ToyDataset) -> None:
    dataset.card = dataclasses.replace(dataset.card, noun="birds")


CHANGES: dict[str, dict[str, Any]] = {
    "model": {"model": "oracle-2"},
    "checkpoint": {"settings": {"checkpoint": "other"}},
    "revision": {"settings": {"revision": "abc"}},
    "device": {"settings": {"device": "cuda"}},
    "dtype": {"settings": {"dtype": "float16"}},
    "a setting of the model": {"settings": {"model_args": {"shortest_edge": "448"}}},
    "decoding": {"settings": {"decoding": "logprob"}},
    "longest answer": {"settings": {"max_new_tokens": 3}},
    "full text": {"settings": {"full_text": True}},
    "protocol": {"settings": {"protocol": "foci"}},
    "task": {"settings": {"task": "yes-no"}},
    "seed": {"settings": {"seed": 1}},
    "orders": {"settings": {"permutations": "cyclic"}},
    "blank images": {"settings": {"blank_images": True}},
    "batch size": {"settings": {"batch_size": 7}},
    "name of the dataset": {"dataset": ToyPlugin("toy-2")},
    "one label": {"dataset": changed(_relabelled)},
    "one image": {"dataset": changed(_redrawn)},
    "number of images": {"dataset": changed(_fewer)},
    "noun": {"dataset": changed(_asks_about_birds)},
}
NO_CHANGES: dict[str, dict[str, Any]] = {
    "nothing": {},
    "limit": {"settings": {"limit": 3}},
    "workers": {"settings": {"workers": 2}},
    "processes": {"settings": {"num_processes": 2}},
    "results folder": {"settings": {"results_dir": Path("elsewhere")}},
    "data roots": {"settings": {"data_roots": (Path("elsewhere"),)}},
    "fresh": {"settings": {"fresh": True}},
    "resume across": {"settings": {"resume_across": True}},
    "title of the model": {"title": "Another title"},
}


@pytest.mark.parametrize("what", CHANGES)
def test_whatever_changes_an_answer_makes_another_run(what: str) -> None:
    assert run_id(**CHANGES[what]) != run_id()


@pytest.mark.parametrize("what", NO_CHANGES)
def test_whatever_changes_no_answer_makes_no_other_run(what: str) -> None:
    assert run_id(**NO_CHANGES[what]) == run_id()


def test_every_setting_of_a_run_is_among_those_that_are_tried() -> None:
    tried = {name for change in (*CHANGES.values(), *NO_CHANGES.values()) for name in change.get("settings", {})}
    elsewhere = {
        "split",  # toys have one
        "subset",  # test_run_story: members, not names
        "options",  # below: by what the rows are
        "field_guide",  # changes the digest of the task's facts; its own tests
        "trust_remote_code",  # allows what the pinned revision names
        "shard",  # below: beside a batch size
    }
    assert {field.name for field in dataclasses.fields(RunSettings)} - elsewhere == tried


def test_the_shards_of_a_run_are_one_run() -> None:
    assert run_id({"batch_size": 4, "shard": (2, 3)}) == run_id({"batch_size": 4})


@pytest.mark.parametrize("change", [{"max_new_tokens": 3}, {"full_text": True}])
def test_where_nothing_is_generated_its_length_makes_no_other_run(change: dict[str, Any]) -> None:
    assert run_id({"decoding": "logprob", **change}) == run_id({"decoding": "logprob"})


def test_another_option_set_makes_another_run_whatever_its_name(tmp_path: Path) -> None:
    from fgvr_bench.core.option_files import write_options

    dataset = ToyPlugin().dataset
    labels = list(dataset.labels())

    def written(name: str, others: int) -> str:
        rows = []
        for example in dataset.examples():
            wrong = [label for label in labels if label != example.label]
            rows.append(Options(example.example_id, (example.label, *wrong[:others])))
        header = {"dataset": "toy", "split": "test", "labels": labels, "k": others + 1, "miner": "by hand"}
        return str(write_options(tmp_path / name, header, rows).path)

    one, same, other = written("one.jsonl", 3), written("same.jsonl", 3), written("other.jsonl", 2)
    assert run_id({"options": one}) == run_id({"options": same})
    assert run_id({"options": one}) != run_id({"options": other})


# --- option sets and embeddings ---------------------------------------------------------------------


@pytest.fixture
def pictures(tmp_path: Path, clip: Path) -> Pictures:
    return draw_pictures(tmp_path / "pictures", 9, clip)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import tiny

    return tiny.clip(tmp_path_factory.mktemp("clip"))


def mined(pictures: Pictures, miner: str = "clip", split: str = "test", **settings: Any) -> str:
    wanted = MiningSettings(**{"k": 4, "device": "cpu", "workers": 0, "batch_size": 4, **settings})
    return find_or_build(pictures, split, miner, wanted).path.name


@pytest.mark.parametrize(
    "change",
    [
        {"k": 3},
        {"miner": "random"},
        {"miner": "text"},
        {"args": {"template": "a photo of a {label}"}},
        {"args": {"dtype": "float32"}},
        {"args": {"precision": "exact"}},
        {"args": {"on-bad-image": "fail"}},
    ],
    ids=str,
)
def test_whatever_changes_the_options_makes_another_set(pictures: Pictures, change: dict[str, Any]) -> None:
    assert mined(pictures, **change) != mined(pictures)


@pytest.mark.parametrize("change", [{}, {"batch_size": 9}, {"workers": 1}, {"seed": 1}, {"device": "auto"}], ids=str)
def test_whatever_changes_no_options_makes_no_other_set(pictures: Pictures, change: dict[str, Any]) -> None:
    assert mined(pictures, **change) == mined(pictures)


def test_lots_are_drawn_by_the_seed(pictures: Pictures) -> None:
    assert mined(pictures, "random", seed=1) != mined(pictures, "random")


@pytest.mark.parametrize("what", ["an image", "the number of images", "a label", "the order of labels", "weights"])
def test_other_pictures_labels_or_weights_make_another_set(pictures: Pictures, what: str, tmp_path: Path) -> None:
    before = mined(pictures)
    assert pictures.root is not None
    if what == "an image":
        (pictures.root / "0001.png").write_bytes((pictures.root / "0002.png").read_bytes())
    elif what == "the number of images":
        (pictures.root / "0001.png").unlink()
    elif what == "a label":
        pictures.names = tuple(name.replace("Dusk", "Dawn") for name in pictures.names)
    elif what == "the order of labels":
        pictures.names = pictures.names[::-1]
    else:
        import tiny

        shutil.rmtree(tmp_path / "other", ignore_errors=True)
        (tmp_path / "other").mkdir()
        pictures.clip_checkpoint = _reweighted(tiny.clip(tmp_path / "other"))
    assert mined(pictures) != before


def _reweighted(folder: Path) -> Path:
    """Change one number of a checkpoint's weights, and nothing of its size or settings."""
    path = folder / "open_clip_model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    os.utime(path, (1_600_000_000, 1_600_000_000))
    return folder


def test_embeddings_are_kept_by_pictures_and_encoder(pictures: Pictures, monkeypatch: pytest.MonkeyPatch) -> None:
    examples, settings = pictures.examples(), MiningSettings(dataset_digest="d")

    def place(dtype: str = "float32", examples: Any = examples, settings: MiningSettings = settings) -> Path:
        return store_path(pictures, examples, encoders.Encoder(str(pictures.clip_checkpoint), "cpu", dtype), settings)

    assert place() == place()
    assert place(settings=dataclasses.replace(settings, k=3, seed=4, batch_size=2)) == place()
    assert place("float64") != place()
    assert place(examples=examples[:-1]) != place()
    assert place(settings=dataclasses.replace(settings, dataset_digest="e")) != place()
    here = place()
    real = encoders.importlib.metadata.version
    monkeypatch.setattr(
        encoders.importlib.metadata, "version", lambda name: "0.1" if name == "open_clip_torch" else real(name)
    )
    assert place() != here, "another version of open_clip may read images otherwise"


# --- names ------------------------------------------------------------------------------------------


def test_one_folder_has_one_name_however_it_is_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    for label in ("Knot", "Ruff"):
        (tmp_path / "birds" / label).mkdir(parents=True)
        Image.new("RGB", (9, 9)).save(tmp_path / "birds" / label / "1.png")
    ids = set()
    for typed in ("birds", "birds/", "./birds", "birds/../birds", ".//birds"):
        ran = fgvr_bench.evaluate("random", f"folder:{typed}", options="random", results_dir=tmp_path / "results")
        ids.add((ran.results[0].run_id, ran.results[0].dataset))
    assert {dataset for _, dataset in ids} == {"folder:birds"}
    assert len(ids) == 1
    assert len(list((tmp_path / "results").iterdir())) == 1


def test_labels_that_are_letters_of_choices_are_refused_where_answers_are_read_from_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fgvr_bench.errors import UsageError

    plugin = ToyPlugin()
    monkeypatch.setattr(plugin.dataset, "labels", lambda: ["b", *list(ToyDataset.labels(plugin.dataset))[1:]])
    plugin.dataset._examples = [
        dataclasses.replace(example, label="b") if example.label == "Brick_red" else example
        for example in plugin.dataset._examples
    ]
    with pytest.raises(UsageError, match=r"the label 'b' of toy could be taken for the letter of a choice, A, B, C, D"):
        play(tmp_path, ToyModel("says-a", Script("always-a")), plugin)
    assert run_id({"decoding": "logprob"}, dataset=plugin)
