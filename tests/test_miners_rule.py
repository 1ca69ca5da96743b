"""The mining rule against the reference's own output, and its laws."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from fgvr_bench.miners.rule import choose, gaps

GOLDEN = Path(__file__).parent / "data" / "options"
FILES = sorted(path.relative_to(GOLDEN).as_posix() for path in GOLDEN.rglob("*top*.json"))


def rows_of(golden: dict[str, Any]) -> tuple[np.ndarray, np.ndarray, list[list[str]]]:
    """Return similarities, truths and the reference's options, aligned."""
    labels = golden["labels"]
    written = {each["image"]: each["options"] for part in golden["result"].values() for each in part}
    rows = golden["rows_in_reference_order"]
    similarities = np.array([row["similarities"] for row in rows], np.float32)
    truth = np.array([labels.index(row["groundtruth"]) for row in rows])
    return similarities, truth, [written[row["image"]] for row in rows]


@pytest.mark.parametrize("name", [name for name in FILES if "ties" not in name])
def test_options_are_the_references(name: str) -> None:
    golden = json.loads((GOLDEN / name).read_text())
    similarities, truth, expected = rows_of(golden)
    ours = choose(similarities, truth, golden["top_k"]).choices
    assert [[golden["labels"][number] for number in row] for row in ours] == expected


@pytest.mark.parametrize("name", [name for name in FILES if "ties" in name])
def test_with_ties_the_similarities_are_the_references(name: str) -> None:
    golden = json.loads((GOLDEN / name).read_text())
    similarities, truth, expected = rows_of(golden)
    ours = choose(similarities, truth, golden["top_k"])
    assert any(row["ties_in_row"] for row in golden["rows_in_reference_order"])
    for row, options in enumerate(expected):
        theirs = [float(similarities[row, golden["labels"].index(label)]) for label in options]
        assert ours.similarities[row].tolist() == theirs


def test_the_golden_files_are_all_there() -> None:
    assert len(FILES) == 11


scores = arrays.arrays(
    np.float32,
    st.tuples(st.integers(1, 6), st.integers(2, 12)),
    elements=st.sampled_from([-0.5, 0.0, 0.1, 0.2, 0.25, 0.3, 1.0]),
)


@given(scores, st.integers(2, 26), st.randoms(use_true_random=False))
def test_the_choices_are_the_truth_and_the_best_others_with_ties_by_label_order(
    similarities: np.ndarray, k: int, random: Any
) -> None:
    count, labels = similarities.shape
    truth = np.array([random.randrange(labels) for _ in range(count)])
    chosen = choose(similarities, truth, k)
    for row in range(count):
        ranking = sorted(range(labels), key=lambda label: (-similarities[row, label], label))
        others = [label for label in ranking if label != truth[row]][: k - 1]
        assert chosen.choices[row].tolist() == [truth[row], *reversed(others)]
        assert chosen.rank[row] == ranking.index(truth[row]) + 1
        assert chosen.margin[row] == similarities[row, truth[row]] - similarities[row, others[0]]


@given(scores, st.integers(2, 6), st.randoms(use_true_random=False))
def test_noise_below_half_the_gap_changes_no_choice(similarities: np.ndarray, k: int, random: Any) -> None:
    count, labels = similarities.shape
    truth = np.array([random.randrange(labels) for _ in range(count)])
    gap = np.minimum(gaps(similarities, truth, k), 1.0)
    noise = np.array([[random.uniform(-0.49, 0.49) for _ in range(labels)] for _ in range(count)])
    disturbed = similarities.astype(np.float64) + noise * gap[:, None]
    sure = gap > 0
    before, after = choose(similarities, truth, k).choices, choose(disturbed, truth, k).choices
    assert (before[sure] == after[sure]).all()


def test_a_gap_is_that_of_the_closest_neighbours_among_those_that_count() -> None:
    row = np.array([[0.9, 0.5, 0.4, 0.1, 0.09]])
    assert gaps(row, np.array([0]), 3)[0] == pytest.approx(0.1)  # 0.5, 0.4 and the first that is left out
    assert gaps(row, np.array([0]), 4)[0] == pytest.approx(0.01)
    assert gaps(row, np.array([3]), 3)[0] == pytest.approx(0.1)
    assert gaps(row[:, :2], np.array([0]), 4)[0] == np.inf
