"""Every built-in metric on runs small enough to work out by hand."""

from __future__ import annotations

import time
from math import log

import pytest

from fgvr_bench import metrics
from fgvr_bench.core.host import Host
from fgvr_bench.interfaces import Metric, Scored
from fgvr_bench.metrics.cautions import cautions
from fgvr_bench.protocols.cot import FGVR_1_COT
from fgvr_bench.protocols.fgvr1 import FGVR_1
from fgvr_bench.protocols.foci import FOCI
from fgvr_bench.types import Answer, Example, FileImage, Question, Response, ScoreKind, Stop

HOST = Host()
HOST.add(metrics, "metrics")
CHOICES = ("a", "b", "c", "d")


def scored(
    choice: int | None,
    target: int = 0,
    *,
    key: str = "1",
    label: str = "a",
    choices: tuple[str, ...] = CHOICES,
    scores: tuple[float, ...] | None = None,
    error: str | None = None,
    stop: Stop | None = None,
    tokens: int | None = None,
    rank: int | None = None,
    credit: float | None = None,
) -> Scored:
    question = Question(
        f"s/test/{key}#t.0", Example(f"s/test/{key}", FileImage("x"), label, "test"), choices, target, truth_rank=rank
    )
    kind = None if scores is None else ScoreKind.LOGPROB
    response = Response(question.question_id, None if error else "x", scores, kind, stop, tokens, error)
    return Scored(question, response, Answer(question.question_id, choice, choice == target, "rule", credit))


def figure(name: str, *rows: Scored) -> float | None:
    accumulator = HOST.metrics[name].start()
    for row in rows:
        accumulator.add(row)
    return accumulator.result()


@pytest.mark.parametrize("metric", list(HOST.metrics), ids=lambda metric: metric.name)
def test_a_run_without_questions_has_no_figure(metric: Metric) -> None:
    assert metric.start().result() is None
    assert metric.title


def test_every_metric_that_a_task_names_is_registered() -> None:
    for protocol in (FGVR_1, FGVR_1_COT, FOCI):
        for task in protocol.tasks.values():
            assert set(task.metrics) <= set(HOST.metrics.names())
            assert task.metrics[0] == "accuracy"


def test_accuracy_counts_what_is_unread_as_wrong_and_classes_weigh_alike_in_their_mean() -> None:
    rows = [scored(0), scored(0), scored(None), scored(1, label="b"), scored(None, error="lost", label="b")]
    assert figure("accuracy", *rows) == 2 / 5
    assert figure("mean-class-accuracy", *rows) == (2 / 3 + 0) / 2
    assert figure("unparsed", *rows) == 1 / 5
    assert figure("failed", *rows) == 1 / 5


def test_the_top_answer_is_that_of_the_answers_with_a_choice() -> None:
    assert figure("top-answer", scored(2), scored(2), scored(0), scored(None)) == 2 / 3
    assert figure("top-answer", scored(None)) is None


def test_the_gap_is_between_the_best_and_the_worst_place_of_the_truth() -> None:
    rows = [scored(0, 0), scored(0, 0), scored(0, 1), scored(1, 1), scored(0, 3)]
    assert figure("position-gap", *rows) == 1.0
    assert figure("position-gap", scored(0, 0)) is None


def test_consistency_is_over_orders_of_one_example() -> None:
    alike = [scored(0, key="1"), scored(1, key="1", choices=("d", "a", "b", "c"))]
    other = [scored(0, key="2"), scored(0, key="2", choices=("d", "a", "b", "c"))]
    unread = [scored(0, key="3"), scored(None, key="3")]
    assert figure("consistency", *alike, *other, *unread) == 1 / 3
    assert figure("consistency", scored(0, key="1"), scored(0, key="2")) is None


def test_orders_together_cancel_a_letters_pull() -> None:
    """A pull of 2 towards the first place hides the truth in two of four rotations, and in none of their sum."""
    rows = []
    for turn in range(4):
        shown = CHOICES[turn:] + CHOICES[:turn]
        scores = tuple(
            (1.0 if label == "a" else 0.0) + (2.0 if place == 0 else 0.0) for place, label in enumerate(shown)
        )
        best = max(range(4), key=lambda place: scores[place])
        rows.append(scored(best, shown.index("a"), choices=shown, scores=scores))
    assert figure("accuracy", *rows) == 1 / 4
    assert figure("debiased-accuracy", *rows) == 1.0


def test_orders_together_vote_where_there_are_no_scores_and_a_tie_is_wrong() -> None:
    two_of_three = [scored(0, key="1"), scored(0, key="1"), scored(1, key="1")]
    tie = [scored(0, key="2"), scored(1, key="2")]
    assert figure("debiased-accuracy", *two_of_three, *tie) == 1 / 2


def test_difficulty_divides_by_the_rank_of_the_truth() -> None:
    rows = [scored(0, rank=1), scored(1, rank=1), scored(0, rank=2), scored(1, rank=9), scored(1, rank=3), scored(0)]
    assert figure("accuracy-easy", *rows) == 1 / 2
    assert figure("accuracy-hard", *rows) == 1 / 3


def test_calibration_compares_confidence_with_accuracy() -> None:
    even = tuple(log(share) for share in (0.7, 0.1, 0.1, 0.1))
    rows = [scored(0, scores=even) for _ in range(7)] + [scored(0, 1, scores=even) for _ in range(3)]
    assert figure("calibration-error", *rows) == pytest.approx(0.0, abs=1e-12)
    sure = [scored(0, 1, scores=(0.0, -50.0, -50.0, -50.0))]
    assert figure("calibration-error", *sure) == pytest.approx(1.0)
    shifted = tuple(score - 5 for score in even)  # the letters need not have all of the probability
    assert figure("calibration-error", scored(0, scores=shifted)) == pytest.approx(0.3)
    assert figure("calibration-error", scored(0)) is None


def test_lengths_ends_chance_and_credit() -> None:
    rows = [scored(0, stop=Stop.LENGTH, tokens=10), scored(0, stop=Stop.EOS, tokens=2), scored(0)]
    assert figure("truncated", *rows) == 1 / 2
    assert figure("tokens", *rows) == 6.0
    assert figure("chance", scored(0), scored(0, choices=("a", "b"))) == 3 / 8
    assert figure("hierarchical-precision", scored(0, credit=1.0), scored(0, credit=0.5), scored(0)) == 0.75


def test_a_metric_takes_about_a_microsecond_an_answer() -> None:
    """All of one task's metrics together have to fit a budget of 50 microseconds a question."""
    rows = [scored(number % 4, key=str(number // 4), scores=(-1.0, -2.0, -3.0, -4.0), rank=2) for number in range(4000)]
    accumulators = [HOST.metrics[name].start() for name in FGVR_1.tasks["multiple-choice"].metrics]
    start = time.thread_time()  # of the processor: others may share it
    for row in rows:
        for accumulator in accumulators:
            accumulator.add(row)
    assert (time.thread_time() - start) / len(rows) < 50e-6


# --- cautions -----------------------------------------------------------------------------------------


def test_figures_that_lie_are_said_to() -> None:
    by_luck = "Accuracy (27.0 %) cannot be told from chance (25.0 %) by 100 questions."
    assert cautions({"accuracy": 0.27, "chance": 0.25}, 100) == [by_luck]
    assert cautions({"accuracy": 0.1, "chance": 0.25}, 100) == ["Accuracy (10.0 %) is below chance (25.0 %)."]
    assert cautions({"accuracy": 0.27, "chance": 0.25}, 10_000) == []
    assert cautions({"top-answer": 0.6, "chance": 0.25}, 10) == ["One letter was given in 60.0 % of the answers."]
    assert cautions({"top-answer": 0.6, "chance": 0.5}, 10) == []
    assert "6.0 % of the answers give no single choice" in cautions({"unparsed": 0.06}, 10)[0]
    assert "2.0 % of the questions got no answer" in cautions({"failed": 0.02}, 10)[0]
    assert "30.0 % of the answers were cut off" in cautions({"truncated": 0.3}, 10)[0]


def test_sound_figures_need_no_caution() -> None:
    sound = {"accuracy": 0.7, "chance": 0.25, "top-answer": 0.3, "unparsed": 0.01, "failed": 0.0, "truncated": None}
    assert cautions(sound, 5000) == []
    assert cautions({}, 0) == []
