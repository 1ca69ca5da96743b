"""The tasks of ``fgvr-1`` and ``fgvr-1-cot``: what they ask, and what oracles and constants score on them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fgvr_bench import protocols
from fgvr_bench.core.host import Host
from fgvr_bench.errors import UsageError
from fgvr_bench.interfaces import AskContext, Task
from fgvr_bench.protocols.cot import FGVR_1_COT, ThoughtfulChoice
from fgvr_bench.protocols.fgvr1 import FGVR_1, MultipleChoice, Unshuffled, YesNo, ZeroShot
from fgvr_bench.protocols.foci import FOCI
from fgvr_bench.protocols.openended import OpenEnded
from fgvr_bench.types import Answer, Example, FileImage, Options, Question, Response, ScoreKind

LABELS = ("Tree_Sparrow", "House_Sparrow", "Song_Sparrow", "Fox_Sparrow", "American_Crow", "Fish_Crow")
CONTEXT = AskContext("birds", LABELS)


def examples(count: int = 60) -> Iterator[tuple[Example, Options]]:
    for number in range(count):
        labels = [LABELS[(number + offset) % len(LABELS)] for offset in range(4)]
        shown = Example(f"birds/test/{number}.jpg", FileImage("x"), labels[0], "test")
        yield shown, Options(shown.example_id, tuple(labels), truth_rank=1 + number % 3)


def answers(task: Task, permutation: int, reply: Callable[[Question], str | tuple[float, ...]]) -> list[Answer]:
    judged = []
    for shown, options in examples():
        question = task.ask(shown, options if task.needs_options else None, CONTEXT, permutation)
        said = reply(question)
        response = (
            Response(question.question_id, completion=said)
            if isinstance(said, str)
            else Response(question.question_id, scores=said, score_kind=ScoreKind.LOGPROB)
        )
        judged.append(task.judge(question, response))
    return judged


def test_the_plugin_registers_the_three_protocols() -> None:
    host = Host()
    assert host.add(protocols, "protocols").error is None
    assert host.protocols.names() == ["fgvr-1", "fgvr-1-cot", "foci"]
    assert next(iter(host.protocols["fgvr-1"].tasks)) == "multiple-choice"


def test_the_wording_is_the_published_one() -> None:
    shown, options = next(examples())
    task = MultipleChoice()
    question = task.ask(shown, options, CONTEXT)
    lines = "".join(f"{letter}. {label}\n" for letter, label in zip("ABCD", question.choices, strict=True))
    assert task.prompt(question, CONTEXT).text == (
        f"Which of these birds is shown in the image?\nChoices:\n{lines}"
        "Answer with the letter from the given choices directly."
    )


@pytest.mark.parametrize("task", [*FGVR_1.tasks.values(), *FGVR_1_COT.tasks.values(), *FOCI.tasks.values()])
def test_a_prompt_shows_no_answer_and_every_task_fails_without_one(task: Task) -> None:
    shown, options = next(examples())
    question = task.ask(shown, options if task.needs_options else None, CONTEXT)
    prompt = task.prompt(question, CONTEXT)
    assert prompt.question_id == question.question_id == f"{shown.example_id}#{task.name}.0"
    assert not hasattr(prompt, "target")
    failed = Response(question.question_id, error="the image is damaged")
    assert task.judge(question, failed) == Answer(question.question_id, None, False, "failed", None)


@pytest.mark.parametrize("task", [MultipleChoice(), ThoughtfulChoice(), FOCI.tasks["multiple-choice"]])
@pytest.mark.parametrize("permutation", range(24))
def test_an_oracle_scores_one_under_every_permutation(task: Task, permutation: int) -> None:
    def oracle(question: Question) -> str:
        return question.letters[question.choices.index(question.example.label)]

    assert all(answer.correct for answer in answers(task, permutation, oracle))


@pytest.mark.parametrize("letter", "ABCD")
def test_a_constant_answer_scores_the_share_of_its_letter(letter: str) -> None:
    task = MultipleChoice()
    truths = Counter(task.ask(*pair, CONTEXT).target for pair in examples())
    right = sum(answer.correct for answer in answers(task, 0, lambda question: letter))
    assert right == truths["ABCD".index(letter)]
    over_rotations = sum(answer.correct for turn in range(4) for answer in answers(task, turn, lambda q: letter))
    assert over_rotations == 60


def test_scores_are_read_by_their_highest_and_a_tie_is_no_answer() -> None:
    def oracle(question: Question) -> tuple[float, ...]:
        return tuple(-0.1 if place == question.target else -2.0 for place in range(4))

    assert all(answer.correct and answer.rule == "scores" for answer in answers(MultipleChoice(), 0, oracle))
    for scores, rule in (
        ((-1.0, -1.0, -2.0, -3.0), "tie"),
        ((-1.0000001, -1.0000002, -2.0, -3.0), "tie"),
        ((math.nan, -1.0, -2.0, -3.0), "nan"),
        ((-math.inf,) * 4, "nan"),
        ((-1.0, -2.0), "score-count"),
    ):
        assert {answer.rule for answer in answers(MultipleChoice(), 0, lambda q, s=scores: s)} == {rule}  # type: ignore[misc]


def test_a_task_with_options_says_where_they_come_from() -> None:
    shown, _ = next(examples())
    for task in (MultipleChoice(), YesNo(), Unshuffled(), *FOCI.tasks.values()):
        with pytest.raises(UsageError, match="fgvr-bench options build"):
            task.ask(shown, None, CONTEXT)


def test_unshuffled_keeps_the_files_order_and_its_name_says_so() -> None:
    assert all(answer.correct for answer in answers(Unshuffled(), 0, lambda question: "A"))
    assert not any(answer.correct for answer in answers(Unshuffled(), 1, lambda question: "A"))
    assert "multiple-choice-unshuffled" in FGVR_1.tasks
    with pytest.raises(UsageError, match="no 4"):
        answers(Unshuffled(), 4, lambda question: "A")


def test_two_yes_no_permutations_are_balanced_exactly() -> None:
    task = YesNo()
    for first in (0, 2, 4):
        for pair in examples():
            asked = [task.ask(*pair, CONTEXT, permutation) for permutation in (first, first + 1)]
            assert sorted(question.target or 0 for question in asked) == [0, 1]
            wrong = next(question.subject for question in asked if question.target == 1)
            assert wrong == pair[1].choices[-1 - first // 2]
    with pytest.raises(UsageError, match="no permutation 6"):
        task.ask(*next(examples()), CONTEXT, 6)


def test_yes_no_takes_the_article_of_the_label_it_asks_about() -> None:
    task = YesNo()
    for pair in examples(30):
        question = task.ask(*pair, CONTEXT)
        article = "an" if (question.subject or "").startswith("American") else "a"
        expected = f"Does the image show {article} {question.subject}? Answer with yes or no."
        assert task.prompt(question, CONTEXT).text == expected


def test_a_yes_no_oracle_scores_one() -> None:
    oracle = {True: "Yes, it does.", False: "No, it does not."}
    for permutation in (0, 1):
        judged = answers(YesNo(), permutation, lambda question: oracle[question.subject == question.example.label])
        assert all(answer.correct for answer in judged)


def test_zero_shot_offers_all_labels_in_their_order() -> None:
    def oracle(question: Question) -> tuple[float, ...]:
        assert question.choices == LABELS
        return tuple(float(label == question.example.label) for label in question.choices)

    assert all(answer.correct for answer in answers(ZeroShot(), 0, oracle))
    with pytest.raises(UsageError, match="one order only"):
        answers(ZeroShot(), 1, oracle)
    stranger = Example("birds/test/x", FileImage("x"), "Dodo", "test")
    with pytest.raises(UsageError, match="'Dodo', which is none of the dataset's labels"):
        ZeroShot().ask(stranger, None, CONTEXT)


# --- open-ended -------------------------------------------------------------------------------------

CARS = ("Audi S4 Sedan 2012", "Audi S4 Sedan 2007", "Audi R8 Coupe 2012", "BMW X6 SUV 2012")
MAKES = {car: (car.split()[0],) for car in CARS}


def named(task: Task, completion: str, label: str, labels: tuple[str, ...]) -> Answer:
    shown = Example("cars/test/1", FileImage("x"), label, "test")
    question = task.ask(shown, None, AskContext("cars", labels))
    return task.judge(question, Response(question.question_id, completion=completion))


def test_an_open_prompt_shows_no_labels() -> None:
    shown, _ = next(examples())
    task = OpenEnded()
    prompt = task.prompt(task.ask(shown, None, CONTEXT), CONTEXT)
    assert prompt.choices == prompt.letters == ()
    assert not any(label in prompt.text for label in LABELS)


@pytest.mark.parametrize(
    ("completion", "correct", "rule"),
    [
        ("The car is an Audi R8 Coupe 2012.", True, "name"),
        ("audi r8 coupe", True, "name"),
        ("An Audi S4 Sedan", False, "unread"),
        ("It resembles a BMW X6 SUV, but it is an Audi R8 Coupe.", True, "name"),
        ("BMW X6 SUV 2012", False, "other-name"),
        ("A red car", False, "unread"),
    ],
)
def test_a_car_is_named_with_or_without_its_year(completion: str, correct: bool, rule: str) -> None:
    answer = named(OpenEnded(), completion, "Audi R8 Coupe 2012", CARS)
    assert (answer.correct, answer.rule, answer.credit) == (correct, rule, None)


@pytest.mark.parametrize(
    ("completion", "rule", "credit"),
    [
        ("Audi R8 Coupe 2012", "name", 1.0),
        ("An Audi, seen from behind", "generic", 1.0),
        ("Audi S4 Sedan 2007", "sibling", 0.5),
        ("BMW X6 SUV", "other-name", 0.0),
        ("It is a BMW.", "generic", 0.0),
        ("No idea", "unread", 0.0),
    ],
)
def test_ranks_give_credit_for_what_is_said_rightly(completion: str, rule: str, credit: float) -> None:
    context = AskContext("cars", CARS, taxonomy=MAKES)
    facts = OpenEnded().identify(context)
    task = OpenEnded().bound(facts)
    answer = named(task, completion, "Audi R8 Coupe 2012", CARS)
    assert (answer.rule, answer.credit) == (rule, credit)
    assert answer.correct == (completion == "Audi R8 Coupe 2012")


def test_where_names_nest_an_open_answer_means_the_longest() -> None:
    flowers = ("petunia", "mexican petunia", "rose", "desert-rose")
    for flower in flowers:
        assert named(OpenEnded(), f"This is a {flower}.", flower, flowers).correct


# --- thinking first ----------------------------------------------------------------------------------

COT = ThoughtfulChoice()
SHOWN = ("Tree_Sparrow", "House_Sparrow", "Song_Sparrow", "Fox_Sparrow")
PARTS = st.sampled_from(
    [
        "<think>",
        "</think>",
        "<answer>",
        "</answer>",
        "A",
        "B",
        "E",
        "A or B",
        " wait, no: ",
        "\n",
        "</s>",
        "User:",
        "Assistant:",
    ]
)
TEXTS = st.lists(PARTS, max_size=9).map("".join)


@given(TEXTS, TEXTS)
@example("<think>A</think><answer>B</answer>", "\nWait, no: <answer>C</answer>")
@example("User: <think></think><answer>B</answer>", "Assistant: C")
def test_nothing_after_a_closed_answer_changes_the_verdict(text: str, after: str) -> None:
    if COT.settled(text, tuple("ABCD"), SHOWN):
        read = [COT.read(Response("q", completion=each), tuple("ABCD"), SHOWN) for each in (text, text + after)]
        assert read[0] == read[1]


@pytest.mark.parametrize(
    ("completion", "choice"),
    [
        ("<think>It may be A, but the cap is brown.</think>\n<answer>B</answer>", 1),
        ("<think>A</think><answer>(B) House_Sparrow</answer>", 1),
        ("<think>A</think> B", 1),
        ("<think>A or <answer>B</answer>", 1),
        ("It is A.</think><answer>B", 1),
        ("B", 1),
        ("<think>It may be B", None),
        ("<think>B</think>", None),
        ("<think></think><answer>A or B</answer>", None),
    ],
)
def test_the_answer_behind_the_thought_is_read(completion: str, choice: int | None) -> None:
    assert COT.read(Response("q", completion=completion), tuple("ABCD"), SHOWN).choice == choice


def test_a_closed_answer_ends_the_generation_and_nothing_before_does() -> None:
    text = "<think>A</think><answer>B</answer>"
    cuts = [COT.settled(text[:cut], tuple("ABCD"), SHOWN) for cut in range(len(text) + 1)]
    assert cuts == [False] * len(text) + [True]


def test_the_order_is_that_of_fgvr_1() -> None:
    for pair in examples(5):
        assert COT.ask(*pair, CONTEXT) == MultipleChoice().ask(*pair, CONTEXT)
