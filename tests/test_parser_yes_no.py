"""Reading yes and no as a careful reader does."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fgvr_bench.protocols.parser import is_over
from fgvr_bench.protocols.yesno import parse_yes_no

YES = """yes|Yes.|YES|Yeah| yes|yep|y|true|**yes**|The answer is yes|Answer: yes|Final answer: yes|No doubt: yes|是
Yes, the image shows an owl. No other bird is visible.|<think>no?</think><answer>Yes</answer>|Yes</s>No|Assistant: yes
\\boxed{yes}|The image does show an owl. Yes."""
NO = """no|No|nope|n|false|No, it does not|The answer is no.|Answer: No|No. The image shows a gull.|Wait, no.|不是
Yes... Wait, no. It is a gull.|It does not show an owl.|<answer>no</answer>|There is no owl, so the answer is no
Based on the image, the answer is no.|The crest is missing, so no."""
NEITHER = """not sure|Nothing|None|yesterday||Yes and no|yes/no|Yes or no|unknown|I don't know|Nó|Yes. No.|no idea
The image shows a gull.|A|maybe|noon|yesno|<think>yes"""


def cases(text: str) -> list[str]:
    return text.replace("\n", "|").split("|")


@pytest.mark.parametrize(
    ("answer", "choice"),
    [
        *((each, 0) for each in cases(YES)),
        *((each, 1) for each in cases(NO)),
        *((each, None) for each in cases(NEITHER)),
    ],
    ids=ascii,
)
def test_yes_and_no_are_read_as_a_person_reads_them(answer: str, choice: int | None) -> None:
    assert parse_yes_no(answer).choice == choice


WORDS = st.lists(
    st.sampled_from(
        ["yes", "no", "Yes.", "No,", "wait", "answer", "is", ":", "<answer>", "</answer>", "</s>", "User:", "\n", "not"]
    ),
    max_size=8,
)


@given(WORDS.map(" ".join), WORDS.map(" ".join))
def test_nothing_after_a_settled_text_changes_the_verdict(text: str, after: str) -> None:
    if is_over(text):
        assert parse_yes_no(text + after) == parse_yes_no(text)


@given(st.text(max_size=80) | WORDS.map("".join))
def test_nothing_is_raised_and_only_yes_or_no_is_read(answer: str) -> None:
    assert parse_yes_no(answer).choice in {0, 1, None}


@pytest.mark.parametrize("unit", ["yes ", "no, ", ".", " ", "answer ", "yes/", "it is not ", ": no", "<answer>"])
def test_time_is_linear_in_the_length_of_an_answer(unit: str) -> None:
    start = time.thread_time()
    parse_yes_no(unit * (90_000 // len(unit)))
    assert time.thread_time() - start < 10
