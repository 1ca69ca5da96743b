"""Miners that look at no image, at kin, at several encoders, or keep to closed groups."""

from __future__ import annotations

import collections
import itertools
from pathlib import Path

import numpy as np
import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st
from option_toys import KIN, LABELS, Pictures, draw_pictures

from fgvr_bench.core.host import host
from fgvr_bench.core.options import OptionSet, find_or_build
from fgvr_bench.errors import OptionsInvalid, UsageError
from fgvr_bench.interfaces import MiningSettings
from fgvr_bench.miners.closed import group_sizes, partition
from fgvr_bench.miners.labels import spelling_similarity
from fgvr_bench.miners.random import draw
from fgvr_bench.types import Options


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture
def pictures(tmp_path: Path, clip: Path) -> Pictures:
    return draw_pictures(tmp_path / "pictures", 42, clip)


def mine(pictures: Pictures, miner: str, k: int = 4, seed: int = 0, **args: str) -> tuple[OptionSet, list[Options]]:
    settings = MiningSettings(k, seed, "cpu", 8, 0, args)
    made = find_or_build(pictures, "test", miner, settings)
    return made, list(made.for_examples(pictures.examples()))


def test_the_built_in_miners_are_found_by_name() -> None:
    assert {"clip", "closed", "consensus", "random", "taxonomy", "text"} <= set(host().miners.names())


@pytest.mark.parametrize("miner", ["random", "text", "taxonomy", "closed"])
@pytest.mark.parametrize("k", [2, 4, 26])
def test_every_question_has_k_choices_with_the_truth_first(pictures: Pictures, miner: str, k: int) -> None:
    made, rows = mine(pictures, miner, k)
    assert made.header["miner"] == miner
    for row, example in zip(rows, pictures.examples(), strict=True):
        assert row.truth == example.label
        assert len(row.choices) == min(k, 7)


def test_lots_depend_on_the_seed_and_the_example_alone(pictures: Pictures) -> None:
    first, rows = mine(pictures, "random")
    other, _ = mine(pictures, "random", seed=1)
    assert first.digest != other.digest
    for example in pictures.examples()[:21]:
        Path(example.image.path).unlink()
    _, fewer = mine(pictures, "random")
    assert fewer == rows[21:]


def test_lots_are_pinned() -> None:
    drawn = draw("0/pet-37/test/Abyssinian_201.jpg", LABELS, "Clay moth", 3)
    assert drawn == ["Dusk moth", "Grey moth", "Frost moth"]


@given(st.integers(0, 1000))
def test_lots_leave_the_truth_out_and_take_nothing_twice(seed: int) -> None:
    drawn = draw(str(seed), LABELS, "Clay moth", 5)
    assert len(set(drawn)) == 5
    assert "Clay moth" not in drawn


def test_every_wrong_label_is_drawn_equally_often() -> None:
    counts = collections.Counter(label for n in range(6000) for label in draw(str(n), LABELS, "Clay moth", 3))
    assert len(counts) == 6
    assert all(2800 < count < 3200 for count in counts.values())  # 3000 expected, deviation 39


def test_text_takes_the_labels_whose_texts_are_nearest(pictures: Pictures, clip: Path) -> None:
    from fgvr_bench.engines.open_clip import load_open_clip

    texts = load_open_clip(str(clip), "cpu").encode_texts([f"an image of a {label}" for label in LABELS]).numpy()
    between = texts @ texts.T
    _, rows = mine(pictures, "text")
    for row in rows:
        truth = LABELS.index(row.truth)
        nearest = sorted((n for n in range(7) if n != truth), key=lambda n: between[truth, n])[-3:]
        assert row.choices[1:] == tuple(LABELS[n] for n in nearest)
        assert row.similarities == ()


def test_spelling_finds_the_alike_names() -> None:
    names = ["Tree_Sparrow", "House Sparrow", "tree swallow", "Boeing 747-400"]
    similarity = spelling_similarity(names)
    assert np.allclose(np.diag(similarity), 1)
    assert similarity[0, 1] > similarity[1, 2] > similarity[1, 3]
    assert similarity[0, 2] > similarity[0, 3]


def test_kin_come_first_and_last_in_the_row(pictures: Pictures) -> None:
    _, rows = mine(pictures, "taxonomy", 5)
    for row in rows:
        own = [KIN.get(label) == KIN.get(row.truth) for label in row.choices[1:]]
        kin = sum(KIN.get(label) == KIN.get(row.truth) for label in LABELS) - 1
        assert sum(own) == min(4, kin)
        assert own == sorted(own)
    assert len({row.choices for row in rows}) > 7  # lots among equals


def test_a_dataset_without_taxonomy_says_what_else_there_is(pictures: Pictures) -> None:
    pictures.taxonomy = lambda label: ()  # type: ignore[method-assign]
    with pytest.raises(UsageError, match=r"knows no taxonomy.*--miner text"):
        mine(pictures, "taxonomy")


@given(st.integers(2, 60), st.integers(2, 8))
def test_groups_are_even_and_never_below_k(labels: int, k: int) -> None:
    sizes = group_sizes(labels, k)
    assert sum(sizes) == labels
    assert max(sizes) - min(sizes) <= 1
    assert min(sizes) >= k or len(sizes) == 1


@given(st.integers(2, 14), st.integers(2, 5), st.integers(0, 99))
def test_a_partition_holds_every_label_once_and_no_exchange_betters_it(labels: int, k: int, seed: int) -> None:
    table = np.random.default_rng(seed).random((labels, labels))
    table += table.T
    groups = partition(table, k)
    assert sorted(itertools.chain(*groups)) == list(range(labels))
    assert sorted(map(len, groups)) == sorted(group_sizes(labels, k))

    def within(parts: list[list[int]]) -> float:
        return sum(table[a, b] for part in parts for a, b in itertools.combinations(part, 2))

    best = within(groups)
    for one, other in itertools.combinations(range(len(groups)), 2):
        for a, b in itertools.product(range(len(groups[one])), range(len(groups[other]))):
            swapped = [list(group) for group in groups]
            swapped[one][a], swapped[other][b] = swapped[other][b], swapped[one][a]
            assert within(swapped) <= best + 1e-6


def test_partition_finds_groups_that_are_there() -> None:
    species = np.arange(24) // 4
    order = np.random.default_rng(0).permutation(24)
    table = (species[order][:, None] == species[order][None, :]) * 1.0 + np.random.default_rng(1).random((24, 24)) / 9
    assert {frozenset(species[order][group]) for group in partition((table + table.T) / 2, 4)} == {
        frozenset([n]) for n in range(6)
    }


def test_members_of_a_group_are_shown_together_whoever_is_the_truth(pictures: Pictures) -> None:
    made, rows = mine(pictures, "closed", 3, by="letters")
    groups = made.header["found"]["groups"]
    assert sorted(itertools.chain(*groups)) == sorted(LABELS)
    for row in rows:
        assert any(set(row.choices) <= set(group) for group in groups)


def test_a_set_of_a_larger_group_tells_nothing_of_its_truth() -> None:
    counts = collections.Counter()
    for truth, n in itertools.product("abcde", range(2000)):
        counts[truth, frozenset([truth, *draw(f"{truth}{n}", "abcde", truth, 3)])] += 1
    by_set = collections.defaultdict(list)
    for (_, members), count in counts.items():
        by_set[members].append(count)
    assert len(by_set) == 5
    for members in by_set.values():  # four possible truths a set, each seen 500 times but for chance
        assert len(members) == 4
        assert max(members) - min(members) < 110


def test_closed_groups_can_come_from_images_or_from_another_set(pictures: Pictures) -> None:
    by_image, _ = mine(pictures, "closed", 3, by="images")
    assert by_image.header["miner_inputs"]["by"] == "images"
    source, _ = mine(pictures, "clip", 3)
    by_set, rows = mine(pictures, "closed", 3, by=f"set:{source.path}")
    assert by_set.header["miner_inputs"] | {"rule": ""} == {"rule": "", "by": "set", "set": source.digest}
    assert len(rows) == 42
    pictures.names = tuple(f"{label} x" for label in LABELS)
    with pytest.raises(OptionsInvalid, match="none of these"):
        mine(pictures, "closed", 3, by=f"set:{source.path}")


def test_unknown_sources_are_refused(pictures: Pictures) -> None:
    with pytest.raises(UsageError, match=r"compared by 'sound'.*text, letters, images, set:FILE"):
        mine(pictures, "closed", by="sound")
    with pytest.raises(UsageError, match="by is one of text, letters"):
        mine(pictures, "text", by="images")


def test_a_consensus_of_one_encoder_twice_is_that_encoder(pictures: Pictures, clip: Path, tmp_path: Path) -> None:
    twin = tiny.clip(tmp_path / "twin")
    _, alone = mine(pictures, "clip", model=str(clip), dtype="float32")
    made, agreed = mine(pictures, "consensus", models=f"{clip}|{twin}")
    assert [row.choices for row in agreed] == [row.choices for row in alone]
    assert [row.truth_rank for row in agreed] == [row.truth_rank for row in alone]
    assert len(made.header["miner_inputs"]["encoders"]) == 2


def test_a_consensus_weighs_its_encoders_alike(pictures: Pictures, clip: Path, tmp_path: Path) -> None:
    from fgvr_bench.core.images import decode_image
    from fgvr_bench.engines.open_clip import load_open_clip

    other = tiny.clip(tmp_path / "other", seed=3)
    image = decode_image(pictures.examples()[0].image.read())
    total = np.zeros(7)
    for folder in (clip, other):
        model = load_open_clip(str(folder), "cpu")
        texts = model.encode_texts([f"an image of a {label}" for label in LABELS])
        scores = (model.encode_images(model.preprocess(image)[None]) @ texts.T)[0].numpy()
        total += (scores - scores.mean()) / scores.std() / 2
    _, rows = mine(pictures, "consensus", 7, models=f"{clip}|{other}")
    assert rows[0].similarities == pytest.approx([total[LABELS.index(label)] for label in rows[0].choices], abs=1e-4)


def test_a_consensus_needs_two(pictures: Pictures, clip: Path) -> None:
    with pytest.raises(UsageError, match="two encoders or more"):
        mine(pictures, "consensus", models=str(clip))
