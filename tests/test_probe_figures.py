"""Probes where the answer is known: classes that lie apart, classes that nothing tells, and every figure by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from fgvr_bench.probing.alignment import alignment, knowledge, nearest, share, spread
from fgvr_bench.probing.linear import fit_linear
from fgvr_bench.probing.neighbours import choose_and_vote, directions, retrieve, vote
from fgvr_bench.probing.plots import write_plots
from fgvr_bench.probing.study import Map, Study
from fgvr_bench.probing.tables import to_text

CLASSES, EACH = 6, 30


def features(apart: float, seed: int = 0, dimensions: int = 20) -> list[tuple[Any, Any]]:
    """Return train, validation and test: noise, and a direction a class, `apart` long."""
    random = np.random.default_rng(seed)
    centres = apart * np.eye(CLASSES, dimensions)
    made = []
    for _ in range(3):
        labels = np.repeat(np.arange(CLASSES), EACH)
        made.append((centres[labels] + random.normal(size=(len(labels), dimensions)), labels))
    return made


def measured(apart: float) -> tuple[float, float, float, dict[str, Any]]:
    train, held, test = features(apart)
    linear = fit_linear(train, held, test[0], CLASSES, 0)
    mean = train[0].mean(axis=0)
    units = [(directions(rows, mean), labels) for rows, labels in (train, held, test)]
    voted = choose_and_vote(units[0], units[1], units[2][0], CLASSES)
    precision, _ = retrieve(*units[2])
    found = nearest(linear.scores, test[1], None)["accuracy"]
    return found["value"], float((voted.classes == test[1]).mean()), float(precision.mean()), found


def test_classes_that_lie_apart_are_all_found() -> None:
    linear, neighbours, precision, _ = measured(apart=12.0)
    assert (linear, neighbours) == (1.0, 1.0)
    assert precision > 0.99


def test_noise_gives_chance_and_the_interval_says_so() -> None:
    linear, neighbours, precision, found = measured(apart=0.0)
    assert found["interval"][0] < 1 / CLASSES < found["interval"][1]
    assert linear == pytest.approx(1 / CLASSES, abs=0.1)
    assert neighbours == pytest.approx(1 / CLASSES, abs=0.1)
    assert precision == pytest.approx(1 / CLASSES, abs=0.08)


def test_two_classes_are_as_many_as_any() -> None:
    train, held, test = [(rows[labels < 2], labels[labels < 2]) for rows, labels in features(12.0)]
    linear = fit_linear(train, held, test[0], 2, 0)
    assert (linear.scores.argmax(axis=1) == test[1]).all()
    assert linear.settled


def test_a_class_without_train_pictures_is_never_said_and_counts_as_wrong() -> None:
    train, held, test = features(12.0)
    some = train[0][train[1] > 0], train[1][train[1] > 0]
    linear = fit_linear(some, held, test[0], CLASSES, 0)
    said = linear.scores.argmax(axis=1)
    assert 0 not in said
    assert (said == test[1]).mean() == pytest.approx(5 / 6)


def test_regularisation_is_chosen_on_validation_and_not_on_test() -> None:
    train, held, test = features(1.0, dimensions=100)
    first = fit_linear(train, held, test[0], CLASSES, 0)
    assert fit_linear(train, held, test[0][::-1], CLASSES, 0).strength == first.strength
    assert {fit_linear(train, other, test[0], CLASSES, 0).strength for other in (held, train)} != {first.strength}


def test_scale_and_shift_of_features_change_nothing() -> None:
    train, held, test = features(2.0)
    moved = [(rows * 1000 + 5, labels) for rows, labels in (train, held, test)]
    one, other = (fit_linear(a, b, c[0], CLASSES, 0) for a, b, c in ((train, held, test), moved))
    np.testing.assert_allclose(one.scores, other.scores, rtol=1e-4, atol=1e-4)


@given(st.integers(0, 10_000))
def test_retrieval_is_average_precision(seed: int) -> None:
    random = np.random.default_rng(seed)
    rows, labels = directions(random.normal(size=(12, 4)), np.zeros(4)), random.integers(0, 3, 12)
    precision, first = retrieve(rows, labels)
    for query in range(12):
        others = np.arange(12) != query
        right = labels[others] == labels[query]
        if not right.any():
            assert np.isnan(precision[query])
            assert np.isnan(first[query])
            continue
        scores = rows[others] @ rows[query]
        assert precision[query] == pytest.approx(average_precision_score(right, scores))
        assert first[query] == right[scores.argmax()]


def test_of_equally_many_votes_the_nearer_count() -> None:
    rows = directions(np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 1.0], [1.0, 1.0]]), np.zeros(2))
    train = rows, np.array([0, 0, 1, 1, 1])
    (found,) = [answers for k, answers in vote(train, directions(np.array([[1.0, 0.2]]), np.zeros(2)), 2, (4,))]
    assert found.tolist() == [0]


def test_pictures_beside_their_names_are_aligned_and_a_gap_is_measured() -> None:
    random = np.random.default_rng(0)
    names = np.eye(CLASSES, 16)
    own = np.repeat(np.arange(CLASSES), EACH)
    pictures = names[own] + 0.05 * random.normal(size=(len(own), 16))
    aside = np.zeros(16)
    aside[15] = 10.0
    together = alignment(pictures, own, names, pictures.mean(axis=0), None)
    apart = alignment(pictures + aside, own, names, (pictures + aside).mean(axis=0), None)
    assert together["as they are"]["accuracy"]["value"] == together["centred"]["accuracy"]["value"] == 1.0
    assert together["as they are"]["distance to own"] < 0.05 < together["as they are"]["distance to others"]
    assert together["as they are"]["gap"] < 0.05
    assert apart["as they are"]["gap"] > 0.9
    assert apart["centred"]["accuracy"]["value"] == 1.0
    assert apart["centred"]["gap"] < 0.05


def test_names_of_others_are_no_alignment() -> None:
    names = np.eye(CLASSES)
    own = np.repeat(np.arange(CLASSES), EACH)
    wrong = names[(own + 1) % CLASSES]
    assert alignment(wrong, own, names, wrong.mean(axis=0), None)["as they are"]["accuracy"]["value"] == 0.0
    siblings = np.arange(CLASSES) // 2
    among = alignment(names[own // 2 * 2], own, names, names.mean(axis=0), siblings)["as they are"]
    assert among["among siblings"]["value"] == among["accuracy"]["value"] == 0.5


def test_spread_is_the_mean_distance_of_pairs() -> None:
    random = np.random.default_rng(1)
    rows, labels = random.normal(size=(14, 5)), np.array([0] * 5 + [1] * 6 + [2] * 3)
    units = directions(rows, np.zeros(5))
    pairs = [(a, b) for a in range(14) for b in range(14) if a != b]
    distance = {pair: 1 - units[pair[0]] @ units[pair[1]] for pair in pairs}
    within = np.mean([distance[pair] for pair in pairs if labels[pair[0]] == labels[pair[1]]])
    between = np.mean([distance[pair] for pair in pairs if labels[pair[0]] != labels[pair[1]]])
    found = spread(rows, labels)
    assert found["within classes"] == pytest.approx(within, abs=1e-6)
    assert found["between classes"] == pytest.approx(between, abs=1e-6)
    assert found["within / between"] == pytest.approx(within / between, abs=1e-6)


def test_a_description_that_retrieves_its_name_is_known() -> None:
    names, siblings = np.eye(4, 6) + 0.5, np.array([0, 0, 1, 1])
    assert knowledge(names, names, siblings)["as they are"]["accuracy"]["value"] == 1.0
    swapped = knowledge(names, names[[1, 0, 3, 2]], siblings)["centred"]
    assert swapped["accuracy"]["value"] == swapped["among siblings"]["value"] == 0.0
    assert swapped["reciprocal rank"]["value"] == pytest.approx(0.5)


def test_a_share_of_nothing_has_no_figure() -> None:
    assert share(np.array([np.nan]), np.array([0])) == {"value": None, "interval": None, "count": 0}


def drawn() -> Study:
    """Return a study of one kind of features, with a map; its retrieval has no figure."""
    figure, nothing = share(np.array([1.0, 0.0, 1.0, 1.0]), np.arange(4) // 2), share(np.array([np.nan]), np.zeros(1))
    probed = {
        "dimensions": 3,
        "linear": {"accuracy": figure, "C": 1.0, "validation": 0.5, "settled": False},
        "neighbours": {"accuracy": figure, "k": 1, "validation": 0.5},
        "retrieval": {"mean average precision": nothing, "recall at 1": nothing},
    }
    names = np.eye(30, 5) + 0.1
    pictures = Map(names[np.arange(60) // 2], np.arange(60) // 2, names, tuple(map(str, range(30))))
    return Study({"seed": 0}, 0.5, {"test": {"pictures": 4, "left out": 0}}, {"encoder": probed}, map=pictures)


def test_the_same_study_gives_the_same_drawings(tmp_path: Path) -> None:
    files = [write_plots(drawn(), tmp_path / folder) for folder in ("a", "b")]
    assert [path.name for path in files[0]] == ["probes.svg", "probes.png", "alignment.svg", "alignment.png"]
    for one, other in zip(*files, strict=True):
        assert one.read_bytes() == other.read_bytes()


def test_words_say_what_has_no_figure_and_where_the_solver_gave_up() -> None:
    text = to_text(drawn())
    assert "75.0 [" in text
    assert "–" in text
    assert "The solver did not come to its end on encoder" in text
