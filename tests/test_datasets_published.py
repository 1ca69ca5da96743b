"""The published option sets: 35,566 questions in, the same bytes out."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from layouts import KEYS, LAYOUTS, PLUGINS, Plan, lay_out, option_cache, published_plan, small_plan
from loopback import serve
from toy import Registration

from fgvr_bench.cli import published as command
from fgvr_bench.core.host import Host
from fgvr_bench.core.option_files import OptionSet, iter_options, read_header
from fgvr_bench.core.options import resolve
from fgvr_bench.core.paths import cache_folder
from fgvr_bench.core.published import (
    examples_of,
    export_options,
    fetch_published,
    import_options,
    published_set,
    set_path,
)
from fgvr_bench.errors import DataInvalid, OptionsInvalid
from fgvr_bench.interfaces import Dataset, PublishedOptions

COUNTS = {
    "aircraft-102": 3333,
    "bird-200": 5794,
    "car-196": 8041,
    "dog-120": 8580,
    "flower-102": 6149,
    "pet-37": 3669,
}


def small_cache(plan: Plan, seed: int = 0) -> dict[str, list[dict[str, Any]]]:
    """Return a cache of the published form for a small set."""
    chance = random.Random(seed)
    cache: dict[str, list[dict[str, Any]]] = {}
    for path, label in plan.test:
        others = chance.sample([other for other in plan.labels if other != label], 2)
        cache.setdefault(label, []).append(
            {"image": f"images/{path}", "options": [label, *others], "groundtruth": label}
        )
    return cache


def opened(plan: Plan, root: Path, layout: str = "official") -> Dataset:
    lay_out(plan, root, layout)
    return plan.plugin().open([root])


@pytest.mark.parametrize("key", KEYS)
def test_the_published_file_comes_back_byte_for_byte(key: str, reference: Path, tmp_path: Path) -> None:
    raw = option_cache(reference, key)
    plan = published_plan(reference, key)
    lay_out(plan, tmp_path, drawing=None, splits=("test",))
    dataset = PLUGINS[key]().open([tmp_path])
    published = dataset.card.published
    assert published is not None
    assert hashlib.sha256(raw).hexdigest() == published.sha256
    (cache_folder() / "published").mkdir(parents=True)
    (cache_folder() / "published" / os.path.basename(published.url)).write_bytes(raw)
    path = published_set(dataset, "test")
    assert export_options(path) == raw
    loaded = OptionSet.load(path)
    assert len(loaded) == COUNTS[key]
    assert {name: loaded.header[name] for name in ("dataset", "split", "miner", "k")} == {
        "dataset": key,
        "split": "test",
        "miner": "published",
        "k": 4,
    }
    assert loaded.header["miner_inputs"] == {
        "source_sha256": published.sha256,
        "model": "ViT-L-14",
        "weights": "laion2b_s32b_b82k",
    }
    examples = examples_of(loaded, dataset.examples())
    options = loaded.for_examples(examples)
    assert len(options) == len(examples) == COUNTS[key]
    questions = {
        (os.path.basename(question["image"]), tuple(question["options"]))
        for questions in json.loads(raw).values()
        for question in questions
    }
    asked = {
        (os.path.basename(example.image.path), row.choices)  # type: ignore[attr-defined]
        for example, row in zip(examples, options, strict=True)
    }
    assert asked == questions
    assert all(row.similarities == () and row.truth_rank is None for row in options[:9])
    assert sum(COUNTS.values()) == 35_566
    if key == "dog-120":
        ids = [example.example_id for example in examples if "n02085620_1235" in example.example_id]
        assert ids == ["dog-120/test/n02085620_1235.jpg", "dog-120/test/n02085620_1235.jpg~2"]
        first, second = (options[place] for place, each in enumerate(examples) if each.example_id in ids)
        assert first.choices != second.choices
        chihuahuas = json.loads(raw)["Chihuahua"]
        assert [list(first.choices), list(second.choices)] == [chihuahuas[0]["options"], chihuahuas[37]["options"]]
        assert not any("n02085620_2650" in example.example_id for example in examples)
    else:
        assert examples is dataset.examples()


def test_a_set_is_the_same_whatever_the_layout(tmp_path: Path) -> None:
    for key in KEYS:
        plan = small_plan(key)
        file = tmp_path / "cache.json"
        file.write_text(json.dumps(small_cache(plan)))
        digests = set()
        for layout in LAYOUTS:
            dataset = opened(plan, tmp_path / key / layout, layout)
            digests.add(import_options(file, dataset, "test", tmp_path / f"{layout}.jsonl").digest)
        assert len(digests) == 1


LABEL = st.sampled_from(small_plan("bird-200").labels)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    order=st.permutations(range(12)),
    repeated=st.lists(st.integers(0, 11), max_size=4),
    escaped=st.booleans(),
    image=st.sampled_from(["images/{}", "{}", "data/é/{}", "x/{0}.copy/../{0}"]),
    separators=st.sampled_from([(", ", ": "), (",", ":")]),
)
def test_whatever_is_imported_is_exported_as_it_was(
    order: list[int],
    repeated: list[int],
    escaped: bool,
    image: str,
    separators: tuple[str, str],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("law")
    plan = small_plan("bird-200")
    dataset = opened(plan, folder)
    cache: dict[str, list[dict[str, Any]]] = {}
    for place in [*order, *repeated]:
        path, label = plan.test[place]
        others = [other for other in plan.labels if other != label]
        question = {"image": image.format(path), "options": [label, *others], "groundtruth": label}
        cache.setdefault(label, []).append(question)
    raw = json.dumps(cache, ensure_ascii=escaped, separators=separators).encode()
    (folder / "cache.json").write_bytes(raw)
    made = import_options(folder / "cache.json", dataset, "test", folder / "set.jsonl")
    assert made.header["miner"] == "imported"
    assert len(made) == 12 + len(repeated)
    assert len(made.for_examples(examples_of(made, dataset.examples()))) == len(made)
    if separators == (", ", ": "):
        assert export_options(made.path) == raw
    else:
        with pytest.raises(OptionsInvalid, match=r"cannot be given back"):
            export_options(made.path)


def test_mined_sets_ask_about_every_example_and_cannot_be_exported(tmp_path: Path) -> None:
    from fgvr_bench.core.option_files import write_options
    from fgvr_bench.types import Options

    plan = small_plan("pet-37")
    dataset = opened(plan, tmp_path)
    header = {"dataset": "pet-37", "split": "test", "labels": plan.labels, "miner": "random", "k": 2}
    other = dict(zip(plan.labels, reversed(plan.labels), strict=True))
    other[plan.labels[1]] = plan.labels[0]
    rows = [Options(example.example_id, (example.label, other[example.label])) for example in dataset.examples()]
    mined = write_options(tmp_path / "mined.jsonl", header, rows)
    assert examples_of(mined, dataset.examples()) is dataset.examples()
    with pytest.raises(OptionsInvalid, match="was mined here"):
        export_options(mined.path)


def spoilt(change: str) -> Iterator[tuple[Any, str]]:
    """Yield caches that do not fit the small birds, and what has to be said of them."""
    plan = small_plan("bird-200")
    first, second = plan.labels[:2]
    name = plan.test[0][0]

    def fresh() -> dict[str, list[dict[str, Any]]]:
        return small_cache(plan)

    cache = fresh()
    cache[first][1]["image"] = "images/none.jpg"
    yield cache, "bird-200 test has no image called images/none.jpg"
    cache = fresh()
    cache[first][1]["groundtruth"] = second
    yield cache, f"question 2 of {first!r} .* has to be the truth"
    cache = fresh()
    cache[first][1]["options"].reverse()
    yield cache, "has to be the truth and the first"
    cache = fresh()
    cache[first][1]["options"][2] = first
    yield cache, f"question 2 of {first!r}"
    cache = fresh()
    cache[first][0]["options"][1] = "Dodo"
    yield cache, "is offered 'Dodo', no label of bird-200"
    cache = fresh()
    del cache[first][2]["options"]
    yield cache, f"question 3 of {first!r} has no image, options or groundtruth"
    cache = fresh()
    cache[second].append({"image": name, "options": [second, first], "groundtruth": second})
    yield cache, f"is {second!r} there and {first!r} in bird-200"
    yield {}, "holds no questions"
    yield [], "is no mapping of labels"
    yield {first: 3}, f"question 1 of {first!r}"


def test_a_file_that_does_not_fit_is_refused_with_the_place(tmp_path: Path) -> None:
    dataset = opened(small_plan("bird-200"), tmp_path)
    file = tmp_path / "cache.json"
    cases = list(spoilt(""))
    assert len(cases) == 10
    for cache, reason in cases:
        file.write_text(json.dumps(cache))
        with pytest.raises(OptionsInvalid, match=reason) as caught:
            import_options(file, dataset, "test", tmp_path / "set.jsonl")
        assert str(file) in str(caught.value)
        assert not (tmp_path / "set.jsonl").exists()
    file.write_bytes(b'{"cut')
    with pytest.raises(OptionsInvalid, match="is no JSON"):
        import_options(file, dataset, "test", tmp_path / "set.jsonl")
    with pytest.raises(OptionsInvalid, match="cannot be read"):
        import_options(tmp_path / "absent.json", dataset, "test", tmp_path / "set.jsonl")


def pinned(plan: Plan, url: str, raw: bytes) -> Any:
    """Return the plan's plugin with `raw` as its published set."""
    plugin = plan.plugin()
    published = PublishedOptions(url, hashlib.sha256(raw).hexdigest(), k=3, model="M", weights="w")
    plugin.card = dataclasses.replace(plugin.card, published=published)
    return plugin


def test_a_run_takes_the_published_set_and_fetches_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    plan = small_plan("pet-37")
    raw = json.dumps(small_cache(plan)).encode()
    with serve(**{"options.json": raw}) as site:
        plugin = pinned(plan, site.url + "options.json", raw)
        lay_out(plan, tmp_path)
        dataset = plugin.open([tmp_path])
        chosen = resolve(dataset, "test")
        assert chosen.header["miner"] == "published"
        assert len(chosen) == 12
        assert len(site.requests) == 1
    before = chosen.path.stat().st_mtime_ns
    assert resolve(dataset, "test").path == chosen.path
    assert chosen.path.stat().st_mtime_ns == before
    chosen.path.write_bytes(chosen.path.read_bytes()[:-40])  # a damaged set is made again from the kept file
    assert len(resolve(dataset, "test")) == 12


def test_another_file_at_the_published_place_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    plan = small_plan("pet-37")
    raw = json.dumps(small_cache(plan)).encode()
    with serve(**{"options.json": raw.replace(b"Beagle", b"Bagel") + b" "}) as site:
        with pytest.raises(DataInvalid, match="is not what was published"):
            fetch_published(pinned(plan, site.url + "options.json", raw).card)
        assert list((cache_folder() / "published").iterdir()) == []


def test_without_a_network_it_says_what_to_type(tmp_path: Path) -> None:
    dataset = opened(small_plan("pet-37"), tmp_path)
    with pytest.raises(OptionsInvalid) as caught:
        resolve(dataset, "test")
    text = str(caught.value)
    for expected in (
        "fgvr-bench options fetch pet-37",
        "fgvr-bench options import --dataset pet-37 FILE",
        "pet-37-ViT-L-14-laion2b_s32b_b82k-4.json",
        "--options clip",
    ):
        assert expected in text


def test_a_split_without_a_published_set_says_so(tmp_path: Path) -> None:
    dataset = opened(small_plan("pet-37"), tmp_path)
    with pytest.raises(OptionsInvalid, match="nobody has published an option set for pet-37 train"):
        published_set(dataset, "train")


@pytest.fixture
def small_host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[Host, bytes]:
    plan = small_plan("pet-37")
    raw = json.dumps(small_cache(plan)).encode()
    made = Host()
    made.add(Registration(datasets=[pinned(plan, "http://127.0.0.1:9/options.json", raw)]), "small")
    monkeypatch.setattr(command, "host", lambda: made)
    lay_out(plan, tmp_path / "data")
    monkeypatch.setenv("FGVR_DATA", str(tmp_path / "data"))
    return made, raw


def test_import_and_export_commands(small_host: tuple[Host, bytes], tmp_path: Path) -> None:
    made, raw = small_host
    file, back = tmp_path / "options.json", tmp_path / "back.json"
    file.write_bytes(raw)
    absent = CliRunner().invoke(command.export, ["--dataset", "pet-37", "--out", str(back)])
    assert "is not in the cache" in str(absent.exception)
    done = CliRunner().invoke(command.import_, [str(file), "--dataset", "pet-37"])
    assert done.exit_code == 0, done.output
    card = made.datasets["pet-37"].card
    assert card.published is not None
    target = set_path(card, card.published)
    assert done.output == f"12 questions of pet-37 test in {target}\n"
    assert [path.name for path in target.parent.iterdir()] == [target.name]
    assert len(resolve(made.datasets["pet-37"].open([tmp_path / "data"]), "test")) == 12
    done = CliRunner().invoke(command.export, ["--dataset", "pet-37", "--out", str(back)])
    assert done.exit_code == 0, done.output
    assert back.read_bytes() == raw
    shutil.copy(target, tmp_path / "mine.jsonl")
    assert CliRunner().invoke(command.export, [str(tmp_path / "mine.jsonl"), "--out", str(back)]).exit_code == 0


def test_another_file_than_the_pinned_one_needs_a_name(small_host: tuple[Host, bytes], tmp_path: Path) -> None:
    file, out = tmp_path / "options.json", tmp_path / "set.jsonl"
    file.write_text(json.dumps(small_cache(small_plan("pet-37"), seed=1)))
    refused = CliRunner().invoke(command.import_, [str(file), "--dataset", "pet-37"])
    assert isinstance(refused.exception, OptionsInvalid)
    assert "its SHA-256 is another" in str(refused.exception)
    assert not list((cache_folder() / "options").rglob("*.*"))
    done = CliRunner().invoke(command.import_, [str(file), "--dataset", "pet-37", "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert read_header(out)["miner"] == "imported"
    assert len(list(iter_options(out))) == 12


def test_export_needs_one_of_two(small_host: tuple[Host, bytes], tmp_path: Path) -> None:
    for arguments in ([], ["set.jsonl", "--dataset", "pet-37"]):
        done = CliRunner().invoke(command.export, [*arguments, "--out", str(tmp_path / "x")])
        assert "either a SET or --dataset" in str(done.exception)


def test_fetch_without_a_network_fails_in_words(small_host: tuple[Host, bytes]) -> None:
    done = CliRunner().invoke(command.fetch, ["all"])
    assert done.exit_code == 1
    assert "options.json has to be downloaded" in str(done.exception)
