"""Ranks of a board: what many comparisons at once say is what each alone would, and nothing that luck could say."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from boards import to_markdown, to_text
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from test_leaderboard import edited, read, tables
from test_run_story import play
from toy import Script, ToyModel, ToyPlugin

from fgvr_bench.core import ranking as module
from fgvr_bench.core import tallies as tallying
from fgvr_bench.core.board import BLIND, EXPOSURES, Table
from fgvr_bench.core.found_runs import IndexedRun
from fgvr_bench.core.index import Index
from fgvr_bench.core.leaderboard import build_tables
from fgvr_bench.core.ranking import rank
from fgvr_bench.core.statistics import (
    clustered_interval,
    detectable_difference,
    difference_spread,
    greatest_p,
    holm,
    mean_of_datasets,
    p_of_sums,
    sign_flip_test,
)
from fgvr_bench.core.tallies import Tallies

Answers = NDArray[np.bool_]


def answers(skills: list[float], classes: int, each: int, seed: int) -> tuple[list[Answers], NDArray[np.int32]]:
    """Draw right and wrong answers of models of some skill, over classes that are hard or easy for all."""
    generator = np.random.default_rng(seed)
    ease = generator.normal(0, 1, (classes, 1))
    drawn = [(generator.random((classes, each)) < 1 / (1 + np.exp(-(ease + skill)))).ravel() for skill in skills]
    return drawn, np.repeat(np.arange(classes), each).astype(np.int32)


def tally(drawn: list[Answers], clusters: NDArray[np.int32]) -> Tallies:
    return tallying.tally([np.packbits(each).tobytes() for each in drawn], clusters)


def one_by_one(columns: list[tuple[list[Answers], NDArray[np.int32]]]) -> tuple[int, ...]:
    """Return ranks from pairwise tests, one at a time."""
    runs = len(columns[0][0])
    clusters = np.concatenate([number * 1000 + own for number, (_, own) in enumerate(columns)])
    datasets = np.concatenate([np.full(len(own), number) for number, (_, own) in enumerate(columns)])
    rows = [np.concatenate([drawn[run] for drawn, _ in columns]) for run in range(runs)]
    figures = [np.mean([drawn[run].mean() for drawn, _ in columns]) for run in range(runs)]
    pairs = [(one, other) for one in range(runs) for other in range(one + 1, runs)]
    several = datasets if len(columns) > 1 else None
    p = holm([sign_flip_test(rows[one], rows[other], clusters, several) for one, other in pairs])
    better = [
        max((figures[one], one), (figures[other], other))[1] == one
        for (one, other), value in zip(pairs, p, strict=True)
        if value < 0.05
    ]
    significant = [pair for pair, value in zip(pairs, p, strict=True) if value < 0.05]
    losers = [other if first else one for (one, other), first in zip(significant, better, strict=True)]
    return tuple(1 + losers.count(run) for run in range(runs))


@pytest.mark.parametrize("seed", range(4))
def test_ranks_are_those_of_pairwise_tests_one_at_a_time(seed: int) -> None:
    skills = [-0.3, -0.2, 0.0, 0.1, 0.3, 0.7, 0.8]
    columns = [answers(skills, 30, 12, seed), answers(skills, 20, 20, seed + 100)]
    tallies = [tally(drawn, clusters) for drawn, clusters in columns]
    assert tuple(rank(tallies[:1]).ranks) == one_by_one(columns[:1])
    assert tuple(rank(tallies).ranks) == one_by_one(columns)
    assert len(set(rank(tallies).ranks.tolist())) > 2, "the test would be empty where all are level"


def test_pairs_near_the_verdict_are_tested_and_the_others_keep_a_bound() -> None:
    drawn, clusters = answers(list(np.linspace(-0.6, 0.9, 30)), 40, 10, 5)
    pairs = [(one, other) for one in range(30) for other in range(one + 1, 30)]
    exact = np.array([sign_flip_test(drawn[one], drawn[other], clusters) for one, other in pairs])
    tested = module._Pairs([tally(drawn, clusters)], 0)
    found = np.concatenate(list(tested.values()))
    assert (found >= exact * (1 - 1e-9)).all(), "no pair is called more significant than it is"
    assert np.isclose(found, exact, rtol=1e-9, atol=0)[(exact > 0.05 / 435) & (exact < 3e-3)].all()
    corrected = np.array(holm(exact.tolist()))
    kept, _ = module.first_kept(tested.values, tested.count)
    assert ((found < kept) == (corrected < 0.05)).all(), "and the verdicts are those of exact values"
    assert (corrected < 0.05).sum() > 100


@given(st.lists(st.integers(-9, 9), min_size=1, max_size=14))
def test_no_sum_with_random_signs_reaches_further_than_its_bound(parts: list[int]) -> None:
    sums = np.array(parts, float)
    assert p_of_sums(sums) <= greatest_p(abs(sum(parts)), float((sums**2).sum())) * (1 + 1e-9)


def test_luck_ranks_nobody() -> None:
    """Twenty equally good models: with 190 pairs somebody would always be ahead, were they not corrected for."""
    ahead = uncorrected = 0
    for seed in range(40):
        drawn, clusters = answers([0.5] * 20, 24, 20, seed)
        tallies = tally(drawn, clusters)
        ahead += max(rank([tallies]).ranks) > 1
        order = np.argsort([each.mean() for each in drawn])
        uncorrected += sign_flip_test(drawn[order[0]], drawn[order[-1]], clusters) < 0.05
    assert ahead / 40 < 0.15
    assert uncorrected / 40 > 0.5


def test_what_is_level_with_the_best_is_what_no_best_beats() -> None:
    drawn, clusters = answers([0.0, 0.05, 1.5, 1.5], 30, 20, 1)
    found = rank([tally([*drawn, drawn[2]], clusters)])
    top = {place for place, own in enumerate(found.ranks) if own == 1}
    assert set(np.flatnonzero(found.best)) <= top
    assert found.level.tolist() == [place in top for place in range(5)]


def test_the_detectable_difference_is_that_of_the_median_pair_at_holms_first_step() -> None:
    drawn, clusters = answers([0.0, 0.5, 1.0], 30, 20, 2)
    spreads = [difference_spread(drawn[one], drawn[other], clusters) for one, other in ((0, 1), (0, 2), (1, 2))]
    median = sorted(spreads, key=lambda spread: spread.variance)[1]
    assert rank([tally(drawn, clusters)]).detectable == pytest.approx(detectable_difference(median, 0.05 / 3))


def test_one_run_alone_has_no_rank_and_no_detectable_difference() -> None:
    drawn, clusters = answers([0.5], 10, 10, 3)
    found = rank([tally(drawn, clusters)])
    assert (found.ranks.tolist(), found.level.tolist(), found.detectable) == ([1], [True], None)
    assert list(found.marks()) == [""], "and nothing stands beside its figure"


def test_counts_of_one_class_only_rank_nobody_wrongly() -> None:
    tallies = tally([np.arange(10) < 9, np.arange(10) < 1], np.zeros(10, np.int32))
    assert rank([tallies]).ranks.tolist() == [1, 1], "one class can have come out either way"


def guesses(folder: Path, *models: ToyModel, datasets: tuple[str, ...] = ("toy",), **settings: object) -> None:
    for model in models:
        for name in datasets:
            play(folder, model, ToyPlugin(name, each=30), **settings)


def test_averages_are_the_mean_of_datasets_and_all_questions_with_their_intervals(tmp_path: Path) -> None:
    guesses(tmp_path, ToyModel("says-a", Script("always-a")), datasets=("toy", "toy-2"))
    (table,) = tables(tmp_path)
    (line,) = table.blocks[0].lines
    runs = read(tmp_path).runs
    figures = [(float(run.correct.mean()), clustered_interval(run.correct, run.questions.clusters)) for run in runs]
    first, second, mean, micro = line.figures
    assert first is not None
    assert second is not None
    assert mean is not None
    assert micro is not None
    assert [(first.share, first.interval), (second.share, second.interval)] == figures
    assert (mean.share, mean.interval) == mean_of_datasets(figures)
    correct = np.concatenate([run.correct for run in runs])
    clusters = np.concatenate([run.questions.clusters + 10 * number for number, run in enumerate(runs)])
    assert micro.share == correct.mean()
    assert micro.interval == clustered_interval(correct, clusters)


def block(table: Table, title: str) -> list[str]:
    return [line.label for each in table.blocks if each.title == title for line in each.lines]


def test_models_stand_in_blocks_by_what_they_were_trained_on(tmp_path: Path) -> None:
    kinds = {"fresh": "zero-shot", "tuned": "tuned", "who-knows": "unknown", "odd": "none of these"}
    for name, exposure in kinds.items():
        model = ToyModel(name)
        model.card = replace(model.card, exposure=exposure)
        guesses(tmp_path, model)
    (table,) = tables(tmp_path)
    assert {name: block(table, title) for name, title in EXPOSURES.items()} == {
        "zero-shot": ["fresh"],
        "tuned": ["tuned"],
        "unknown": ["odd", "who-knows"],
    }


def leaking(run: IndexedRun) -> IndexedRun:
    return replace(run, questions=replace(run.questions, blind=0.61))


def test_a_tuned_model_that_meets_a_leaking_set_is_warned_of(tmp_path: Path) -> None:
    tuned = ToyModel("tuned")
    tuned.card = replace(tuned.card, exposure="tuned")
    guesses(tmp_path, ToyModel("fresh"))
    runs = [leaking(run) for run in read(tmp_path).runs]
    assert "Caution" not in to_text(build_tables(runs))
    guesses(tmp_path, tuned)
    runs = [leaking(run) for run in read(tmp_path).runs]
    text = to_text(build_tables(runs))
    assert "Caution: the options of toy alone give away 61.0 % of the answers (chance 25.0 %)" in text
    assert "learnt to read them: tuned." in text
    assert re.search(r"options alone \(naive Bayes\) +61\.00", text)


def test_blank_images_are_a_control_beneath_and_never_ranked(tmp_path: Path) -> None:
    guesses(tmp_path, ToyModel("says-a", Script("always-a")), ToyModel())
    guesses(tmp_path, ToyModel("says-a", Script("always-a")), blank_images=True)
    (table,) = tables(tmp_path)
    assert block(table, BLIND) == ["chance", "says-a, blank images"]
    assert len(table.columns) == 1
    assert table.standing.pairs == 1
    control = next(line for line in table.lines if line.label == "says-a, blank images")
    assert control.rank is None
    assert control.figures[0] is not None
    assert control.figures[0].interval is not None


def test_models_of_one_rank_stand_as_a_group(tmp_path: Path) -> None:
    guesses(tmp_path, *(ToyModel(name) for name in ("one", "other", "third")))
    rows = [line.split("|")[1:3] for line in to_markdown(tables(tmp_path)).splitlines() if "| =1 |" in line]
    assert [name.strip() for name, _ in rows] == ["one", "other", "third"]


def test_rankings_are_recalled_for_the_very_same_answers_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    guesses(tmp_path, ToyModel(), ToyModel("says-a", Script("always-a")))
    runs = read(tmp_path).runs
    with Index(tmp_path / "base") as index:
        first = to_text(build_tables(runs, index))
        monkeypatch.setattr(module, "rank", lambda columns: pytest.fail("it was computed again"))
        assert to_text(build_tables(runs, index)) == first
        with pytest.raises(pytest.fail.Exception):
            build_tables([runs[0], replace(runs[1], bits=runs[0].bits, run=runs[0].run)], index)


def test_tokens_and_parameters_stand_beside(tmp_path: Path) -> None:
    guesses(tmp_path, ToyModel())
    folder = read(tmp_path).runs[0].run.folder
    edited(folder, facts={"parameters": 8_402_768_112})
    text = to_markdown(tables(tmp_path))
    assert "8.4 B" in text
    assert re.search(r"\| run \|$", text, re.MULTILINE)
