"""The parser of ``fgvr-1``: what a careful reader reads, and never a guess."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fgvr_bench.protocols import clean
from fgvr_bench.protocols.parser import _at_once, is_over, parse_choice, read_turn
from fgvr_bench.types import LETTERS

DATA = Path(__file__).parent / "data" / "parsing"
BIRDS = ("Laysan Albatross", "Bohemian Waxwing", "Cardinal", "Downy Woodpecker")
ABCD = tuple("ABCD")


def letter(completion: str, choices: tuple[str, ...] = BIRDS) -> str | None:
    choice = parse_choice(completion, LETTERS[: len(choices)], choices).choice
    return None if choice is None else LETTERS[choice]


def human_readings() -> list[tuple[str, str | None]]:
    rows = [json.loads(line) for line in (DATA / "parse.jsonl").read_text().splitlines()]
    return [(row["raw"], row["human"]) for row in rows]


def our_readings() -> list[tuple[str, str | None]]:
    lines = [line for line in (DATA / "readings.txt").read_text().split("\n") if line and not line.startswith("# ")]
    pairs = [line.split("\t", 1) for line in lines]
    return [(answer.replace("\\n", "\n"), None if read == "-" else read) for read, answer in pairs]


@pytest.mark.parametrize(("answer", "read"), human_readings(), ids=ascii)
def test_published_answers_are_read_as_a_person_reads_them(answer: str, read: str | None) -> None:
    assert letter(answer) == read


@pytest.mark.parametrize(("answer", "read"), our_readings(), ids=ascii)
def test_an_answer_is_read_as_a_careful_reader_takes_it(answer: str, read: str | None) -> None:
    assert letter(answer) == read


@pytest.mark.parametrize(
    ("answer", "rule"),
    [
        ("B", "letter"),
        ("B. Bohemian Waxwing", "letter-and-label"),
        ("Bohemian Waxwing", "label"),
        ("Waxwing", "label-part"),
        ("The answer is B.", "declared"),
        ("It is a Bohemian Waxwing.", "stated"),
        ("Perhaps B", "mentioned"),
        ("<answer>B</answer>", "answer-tag"),
        (r"\boxed{B}", "boxed"),
    ],
)
def test_the_rule_that_decided_is_part_of_the_reading(answer: str, rule: str) -> None:
    reading = parse_choice(answer, ABCD, BIRDS)
    assert (reading.choice, reading.rule) == (1, rule)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("", "empty"),
        ("I like it.", "unread"),
        ("E", "not-offered"),
        ("A. Cardinal", "mismatch"),
        ("A or B", "several"),
        ("Answer: A\nAnswer: B", "conflict"),
        ("not B", "ruled-out"),
        ("It resembles a Cardinal.", "only-compared"),
        ("B. Wait, that's wrong.", "retracted"),
        ("I cannot say that I see B", "ruled-out"),
        ("Hard to say, B", "stated"),
        ("Northern Cardinal", "other-name"),
        ("<think>B", "unfinished-thinking"),
        ("B" + " x" * clean.MAX_CHARS, "too-long"),
    ],
)
def test_the_reason_for_no_answer_is_part_of_the_reading(answer: str, reason: str) -> None:
    assert parse_choice(answer, ABCD, BIRDS).rule == reason


def test_where_names_nest_the_longest_is_meant() -> None:
    flowers = ("petunia", "mexican petunia", "rose", "desert-rose")
    for index, flower in enumerate(flowers):
        for phrase in ("{}", "It is a {}.", "The answer is {}.", "A {} is shown."):
            assert parse_choice(phrase.format(flower), ABCD, flowers).choice == index
            assert parse_choice(phrase.format(flower.upper().replace("-", "_")), ABCD, flowers).choice == index
    assert letter("It is a desert-rose, not a rose.", flowers) == "D"


def test_a_name_that_only_holds_an_option_is_another_name() -> None:
    dogs = ("collie", "Shetland_sheepdog", "beagle", "pug")
    assert letter("Border_collie", dogs) is None
    assert letter("It is a Border collie.", dogs) is None
    assert letter("It is a collie.", dogs) == "A"


def test_labels_with_letters_and_signs_are_labels() -> None:
    aircraft = ("F-16A/B", "F/A-18", "Model B200", "C-130")
    for index, name in enumerate(aircraft):
        assert parse_choice(f"It is a {name}.", ABCD, aircraft).choice == index
    assert letter("F16 A/B", aircraft) == "A"
    assert letter("C-47", aircraft) is None
    assert letter("A Boeing C-130 in flight. The answer is D", aircraft) == "D"


def test_a_label_that_is_a_letter_is_not_read_as_two_things() -> None:
    assert letter("b", ("b", "a")) is None
    assert letter("A", ("b", "a")) is None
    assert letter("(A) b", ("b", "a")) == "A"


def test_labels_that_differ_in_case_alone_are_told_apart_verbatim_only() -> None:
    choices = ("Rose", "rose", "lotus")
    assert parse_choice("It is a rose.", "ABC", choices).choice == 1
    assert parse_choice("It is a ROSE.", "ABC", choices).choice is None


def test_names_with_accents_and_without_spaces_are_found() -> None:
    choices = ("éléphant", "貓", "дрозд")
    assert parse_choice("C'est un elephant.", "ABC", choices).choice == 0
    assert parse_choice("答案是貓。", "ABC", choices).choice == 1
    assert parse_choice("Это дрозд.", "ABC", choices).choice == 2


def test_letters_beyond_d_and_the_pronoun_i() -> None:
    choices = tuple(f"kind {number}" for number in range(1, 11))
    assert letter("I think it is J.", choices) == "J"
    assert letter("I", choices) == "I"
    assert letter("Answer: I", choices) == "I"
    assert letter("I would not know", choices) is None


# --- laws -------------------------------------------------------------------------------------------


def words(text: str) -> list[str]:
    return text.split()


WORDS = st.sampled_from(
    [
        *words(
            "A B C D E a b c d (A) B. C) D: **A** not no but answer Answer: is the The option wait, actually, so or and"
        ),
        *words(
            "/ , . ? ! ; -> ✓ ✗ is: It resembles looks like lack-footed ed Ａ С É 答案 选 Laysan_Albatross Bohemian"
        ),
        *words(
            "Waxwing cardinal Cardinals Downy-Woodpecker Albatross <answer> </answer> <think> </think> User: Assistant:"
        ),
        *words(r"</s> <|im_end|> \boxed{A} \boxed{"),
        *("\x00", "\u200b", "\n", "\n\n"),
    ]
)
ANSWERS = st.lists(WORDS, max_size=12).map(" ".join) | st.lists(WORDS, max_size=12).map("".join) | st.text(max_size=60)


@given(ANSWERS, st.integers(2, 5))
def test_only_an_offered_choice_is_ever_read_and_nothing_is_raised(answer: str, k: int) -> None:
    choices = (*BIRDS, "Tern")[:k]
    reading = parse_choice(answer, LETTERS[:k], choices)
    assert reading.choice is None or 0 <= reading.choice < k
    assert reading.rule


@settings(max_examples=400)
@given(ANSWERS, ANSWERS)
@example("B</s>", "\u0338")
@example("<|im_start|>", "assistant\nB")
@example("User: B", "Assistant: C")
@example("B</s>", "</think> <answer>C</answer>")
@example("B\nUser:", " no, actually B is wrong. Answer: C")
def test_nothing_after_a_settled_text_changes_the_verdict(text: str, after: str) -> None:
    if is_over(text):
        assert parse_choice(text + after, ABCD, BIRDS) == parse_choice(text, ABCD, BIRDS)


@pytest.mark.parametrize("answer", ["B", "B.", "B\n", "B. Bohemian Waxwing", "The answer is B.", "<answer>B</answer>"])
def test_what_could_still_be_taken_back_is_not_settled(answer: str) -> None:
    assert not is_over(answer)
    assert letter(answer + "\nWait, no. The answer is C.") == "C"


@given(
    st.permutations(range(4)),
    st.sampled_from(["{0}", "It is a {0}.", "It resembles {1}, but it is {0}.", "The {0}, not the {1}"]),
)
def test_a_label_is_read_wherever_it_stands(order: list[int], phrase: str) -> None:
    shown = tuple(BIRDS[index] for index in order)
    reading = parse_choice(phrase.format(BIRDS[0], BIRDS[1]), ABCD, shown)
    assert reading.choice is not None
    assert shown[reading.choice] == BIRDS[0]


@given(
    st.sampled_from(["", "Answer: ", "(", "**", "[", '"']),
    st.sampled_from(LETTERS[:6]),
    st.sampled_from(["", ".", ")", ":", "**", '"', ". Cardinal", ". Cardinal."]),
)
def test_what_is_read_at_once_is_read_so_with_care_too(before: str, given_letter: str, after: str) -> None:
    quick = _at_once(before + given_letter + after, ABCD, BIRDS)
    if quick is not None:
        assert read_turn(before + given_letter + after, ABCD, BIRDS).choice == quick.choice


HOSTILE = ["A ", "B,", "(", "<answer>", "<think>", "</think>", "\\boxed{", "User:", "the the ", "Cardinal ", "Laysan "]
HOSTILE += [
    "  ",
    "\n",
    "- ",
    "A.",
    "a'",
    "B: \n",
    "B and ",
    "B is not ",
    "no, ",
    "\u0301",
    "\ue000",
    "選",
    "option ",
    "B*",
    "|",
]


@pytest.mark.parametrize("unit", HOSTILE, ids=ascii)
def test_time_is_linear_in_the_length_of_an_answer(unit: str) -> None:
    """A pattern that backtracks takes minutes here, not seconds."""
    start = time.thread_time()
    for lead in ("", "The answer is "):
        for length in (clean.MAX_CHARS - 100, 1_000_000):
            parse_choice(lead + unit * (length // len(unit)), ABCD, BIRDS)
    assert time.thread_time() - start < 20
