"""The conformance kit on protocols: each thing that a task can get wrong is said in a sentence."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from fgvr_bench.core.host import Host
from fgvr_bench.interfaces import AskContext, Metric, ProtocolCard, Task
from fgvr_bench.protocols.fgvr1 import MultipleChoice, YesNo
from fgvr_bench.testing import PluginFault, check_protocol
from fgvr_bench.types import Answer, Example, Options, Prompt, Question, Reading, Response

INSTALLED = Host()
INSTALLED.load_entry_points()


class Choice(MultipleChoice):
    """Multiple choice with a strict parser; a test replaces one method."""

    name = "choice"
    metrics = ("accuracy", "failed")

    def __init__(self, **methods: Callable[..., Any]) -> None:
        self.methods = methods

    def ask(self, example: Example, options: Options | None, context: AskContext, permutation: int = 0) -> Question:
        asked = super().ask(example, options, context, permutation)
        return self._changed("ask", asked, asked, options)

    def prompt(self, question: Question, context: AskContext) -> Prompt:
        made = super().prompt(question, context)
        return self._changed("prompt", made, made, question)

    def read(self, response: Response, letters: Sequence[str], choices: Sequence[str]) -> Reading:
        if response.completion is None or response.error is not None:
            found = super().read(response, letters, choices)
        else:
            said = response.completion.strip()
            found = Reading(letters.index(said), "letter") if said in letters else Reading(None, "no-letter")
        return self._changed("read", found, found, response)

    def judge(self, question: Question, response: Response) -> Answer:
        judged = super().judge(question, response)
        return self._changed("judge", judged, judged, question)

    def settled(self, text: str, letters: Sequence[str], choices: Sequence[str]) -> bool:
        return self._changed("settled", False, text)

    def _changed(self, name: str, usual: Any, *given: Any) -> Any:
        return self.methods[name](*given) if name in self.methods else usual


def card(*tasks: Task, **more: Any) -> ProtocolCard:
    return ProtocolCard("mine", "Mine", {task.name: task for task in tasks}, **more)


def faults(made: ProtocolCard | Task, **more: Any) -> str:
    """Return what the kit says is wrong."""
    with pytest.raises(PluginFault) as caught:
        check_protocol(made if isinstance(made, ProtocolCard) else card(made), **more)
    return str(caught.value)


def test_nothing_is_said_against_a_protocol_that_is_right() -> None:
    check_protocol(card(Choice(), YesNo()))


@pytest.mark.parametrize("protocol", list(INSTALLED.protocols), ids=lambda protocol: protocol.name)
def test_every_bundled_protocol_passes(protocol: ProtocolCard) -> None:
    check_protocol(protocol, unshuffled=["multiple-choice-unshuffled"])


def declared(**fields: Any) -> Task:
    made = Choice()
    for name, value in fields.items():
        setattr(made, name, value)
    return made


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (ProtocolCard("mine", "Mine", {}), "It has no tasks"),
        (ProtocolCard("mine", " ", {"choice": Choice()}), "Its card has no title"),
        (ProtocolCard("my own", "Mine", {"choice": Choice()}), "'my own' cannot name a protocol"),
        (ProtocolCard("mine", "Mine", {"pick": Choice()}), "Task 'pick' calls itself 'choice'"),
        (ProtocolCard("mine", "Mine", {"choice": Choice}), "Its task 'choice' is a ABCMeta, not a Task"),  # type: ignore[dict-item]
        (card(declared(decodings=("beam",))), "Task 'choice' has the decodings ('beam',)"),
        (card(declared(metrics=())), "Task 'choice' has no metrics"),
        (card(declared(metrics=("accuracy", "luck"))), "reports the metric 'luck', which there is none of"),
        (card(declared(max_new_tokens=0)), "has max_new_tokens=0"),
    ],
)
def test_a_declaration_that_says_what_is_not_so_is_told(made: ProtocolCard, said: str) -> None:
    assert said in faults(made)


def test_a_protocol_may_bring_the_metric_that_it_reports() -> None:
    check_protocol(card(declared(metrics=("luck",))), metrics=[Metric("luck", "Luck", list)])  # type: ignore[arg-type]


def drawn(asked: Question, options: Options) -> Question:
    order = random.sample(range(4), 4)
    return replace(asked, choices=tuple(options.choices[place] for place in order), target=order.index(0))


def truth_first(asked: Question, options: Options) -> Question:
    return replace(asked, choices=options.choices, target=0)


COUNTED = itertools.count()

QUESTIONS: dict[str, tuple[Callable[..., Any], str]] = {
    "an order by lot": (drawn, "asks otherwise when it is asked again. Draw the order of choices from (seed, question"),
    "a global generator": (drawn, "ask() moves the global generator of random"),
    "the truth first": (truth_first, "stands in the same place of all 24 questions"),
    "a wrong target": (lambda asked, options: replace(asked, target=0), ", not its label"),
    "other choices": (
        lambda asked, options: replace(asked, choices=tuple(choice.upper() for choice in asked.choices)),
        "where the options are",
    ),
    "an id of its own": (
        lambda asked, options: replace(asked, question_id="q1"),
        "a question's id is 'q1'. Make ids with",
    ),
    "one id for all orders": (
        lambda asked, options: replace(asked, question_id=f"{asked.example.example_id}#choice"),
        "two questions have one id",
    ),
    "no number of the order": (lambda asked, options: replace(asked, permutation=0), "the number of the permutation"),
    "another example": (
        lambda asked, options: replace(asked, example=replace(asked.example, metadata={"seen": "yes"})),
        "puts another example into the question",
    ),
    "a text": (lambda asked, options: "which?", "ask() returns a str; it returns a Question"),
    "an error": (lambda asked, options: options.choices[9], "ask() raises IndexError"),
    "an error for other k": (
        lambda asked, options: options.choices[3] and asked,
        "ask() for 2 choices raises IndexError",
    ),
}


@pytest.mark.parametrize("what", QUESTIONS)
def test_questions_that_no_run_could_ask_again_are_found(what: str) -> None:
    ask, said = QUESTIONS[what]
    assert said in faults(Choice(ask=ask))


def test_the_truth_may_stand_first_where_that_is_the_point() -> None:
    check_protocol(card(Choice(ask=truth_first)), unshuffled=["choice"])


LEAK = "A model could read the answer off it"

PROMPTS: dict[str, tuple[Callable[..., Any], str]] = {
    "the target": (
        lambda made, question: replace(made, text=f"{made.text} (not {question.choices[question.target - 1]})"),
        LEAK,
    ),
    "the label": (
        lambda made, question: replace(made, text=made.text.replace("these", f"these {question.example.label[0]}")),
        LEAK,
    ),
    "an article of the truth": (
        lambda made, question: replace(made, text=f"{made.text} Is it {'an' if question.target == 2 else 'a'}?"),
        LEAK,
    ),
    "how hard it is": (lambda made, question: replace(made, text=f"{made.text} Rank {question.truth_rank}"), LEAK),
    "metadata": (lambda made, question: replace(made, text=f"{made.text} {len(question.example.metadata)}"), LEAK),
    "the id": (
        lambda made, question: replace(made, text=f"{question.example.example_id}: {made.text}"),
        "holds the example's id, which often holds the label",
    ),
    "another order": (lambda made, question: replace(made, choices=made.choices[::-1]), "are not the question's"),
    "no choices": (lambda made, question: replace(made, text="Which is it?"), "the prompt's text does not show ['A']"),
    "no words": (lambda made, question: replace(made, text=" "), "prompt() has no text"),
    "another id": (lambda made, question: replace(made, question_id="q"), "does not hand on the question's id"),
    "by lot": (
        lambda made, question: replace(made, text=f"{made.text}{random.random()}"),
        "words a question otherwise when it is asked again",
    ),
    "a count": (
        lambda made, question: replace(made, text=f"{made.text}{next(COUNTED)}"),
        "words a question otherwise when it is asked again",
    ),
    "a text": (lambda made, question: made.text, "prompt() returns a str; it returns a Prompt"),
}


@pytest.mark.parametrize("what", PROMPTS)
def test_prompts_that_give_something_away_or_leave_it_out_are_found(what: str) -> None:
    prompt, said = PROMPTS[what]
    assert said in faults(Choice(prompt=prompt))


def test_a_yes_no_prompt_that_knows_the_answer_is_found() -> None:
    class Knows(YesNo):
        def prompt(self, question: Question, context: AskContext) -> Prompt:
            made = super().prompt(question, context)
            return replace(made, text=f"{made.text}{' ' if question.target else ''}")

    assert LEAK in faults(Knows())


def breaks(found: Reading, response: Response) -> Reading:
    assert response.completion is None or len(response.completion) < 100
    return found


def by_lot(found: Reading, response: Response) -> Reading:
    return Reading(random.randrange(4), "guess") if found.choice is None and response.error is None else found


def takes_failures(found: Reading, response: Response) -> Reading:
    return found if response.error is None else Reading(0, "letter")


def first_for_want(found: Reading, response: Response) -> Reading:
    return Reading(0, "guess") if found == Reading(None, "no-letter") else found


READS: dict[str, tuple[Callable[..., Any], str]] = {
    "an error": (breaks, "raises AssertionError"),
    "a guess": (by_lot, "draws by lot or keeps something. It is a pure function."),
    "the first choice for want of any": (
        first_for_want,
        "read() finds choice 0 in the answer '', which names none",
    ),
    "a failure": (takes_failures, "read() finds a choice in an answer that failed"),
    "a choice out of range": (
        lambda found, response: Reading(4, "letter") if found.choice == 0 else found,
        "returns Reading(choice=4, rule='letter'); it returns Reading(choice, rule), with the choice from 0 to 3",
    ),
    "a letter": (lambda found, response: "A", "returns 'A'; it returns Reading(choice, rule)"),
    "no rule": (lambda found, response: Reading(found.choice, ""), "and a rule in words"),
    "never anything": (
        lambda found, response: Reading(None, "no-letter"),
        "finds the choices in none of these answers",
    ),
    "the lowest score": (
        lambda found, response: (
            Reading(3 - found.choice, "scores") if response.scores and found.choice is not None else found
        ),
        "where the highest score is that of choice 0",
    ),
}


@pytest.mark.parametrize("what", READS)
def test_parsers_that_break_guess_or_hear_nothing_are_found(what: str) -> None:
    read, said = READS[what]
    assert said in faults(Choice(read=read))


class Odd(Choice):
    """Understands a sentence that nobody else says."""

    def read(self, response: Response, letters: Sequence[str], choices: Sequence[str]) -> Reading:
        said = response.completion
        if said is None or response.error is not None:
            return super().read(response, letters, choices)
        known = [f"It is {choice}!" for choice in choices]
        return Reading(known.index(said), "sentence") if said in known else Reading(None, "no-sentence")


def test_a_parser_may_guess_where_the_benchmark_that_it_follows_does() -> None:
    check_protocol(card(Choice(read=first_for_want)), guessing=["choice"])


def test_a_parser_that_wants_an_unusual_answer_is_told_of_it() -> None:
    assert "name it to the check: say=lambda letters, choices, place" in faults(Odd())
    check_protocol(card(Odd()), say=lambda letters, choices, place: f"It is {choices[place]}!")


@pytest.mark.parametrize(
    ("settled", "said"),
    [
        (lambda text: text.startswith("A"), "settled() says that nothing can change what is read off 'A', and with"),
        (lambda text: True, "'.' behind it that is none in place of choice 0. If in doubt, return False"),
        (lambda text: text[0] == "A", "settled() of '' raises IndexError"),
    ],
)
def test_an_answer_that_is_called_settled_too_early_is_found(settled: Callable[[str], bool], said: str) -> None:
    assert said in faults(Choice(settled=settled))


def hopeful(judged: Answer, question: Question) -> Answer:
    return replace(judged, correct=True)


def only_failures(judged: Answer, question: Question) -> Answer:
    return replace(judged, correct=judged.correct or judged.rule == "failed")


def kind_to_some(judged: Answer, question: Question) -> Answer:
    return replace(judged, credit=0.5 if question.example.metadata or hasattr(question.example.image, "colour") else 0)


@pytest.mark.parametrize(
    ("judge", "said"),
    [
        (hopeful, "' for right, and it is not"),
        (only_failures, "judge() takes an answer that failed for right, and it is not"),
        (lambda judged, question: replace(judged, correct=False), "for wrong, and it is not"),
        (lambda judged, question: judged.correct, "judge() returns False, which is no verdict"),
        (lambda judged, question: replace(judged, credit=2.0), "which is no verdict on"),
        (lambda judged, question: replace(judged, question_id="q"), "which is no verdict on"),
        (
            lambda judged, question: question.example.image.read() and judged,
            "judge() of the answer 'A' that is scored again from a file of results, raises OSError",
        ),
        (kind_to_some, "gives another verdict on the answer 'A' when it is scored again from a file of results"),
        (lambda judged, question: replace(judged, credit=random.random()), "when it is scored again"),
    ],
)
def test_verdicts_that_could_not_be_had_again_are_found(judge: Callable[..., Any], said: str) -> None:
    assert said in faults(Choice(judge=judge))


class Forgets(Choice):
    """Loses the order of its choices on the way to a worker process."""

    def order(self, k: int, seed: int, question_id: str, permutation: int) -> list[int]:
        return super().order(k, seed + 1, question_id, permutation)

    def __reduce__(self) -> Any:
        return (Choice, ())


class Identifies(Choice):
    def identify(self, context: AskContext) -> Mapping[str, Any]:
        return {"noun": {context.noun}}


class Binds(Choice):
    def bound(self, facts: Mapping[str, Any]) -> Task:
        return None  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("task", "said"),
    [
        (Choice(other=lambda: None), "cannot be sent to worker processes"),
        (Forgets(), "asks otherwise in a worker process"),
        (Identifies(), "Task 'choice': identify() returns what cannot be written as JSON"),
        (Binds(), "bound() returns a NoneType; it returns a Task"),
    ],
)
def test_tasks_that_a_run_could_not_bind_or_send_are_found(task: Task, said: str) -> None:
    assert said in faults(task)


def test_what_is_wrong_with_every_answer_is_said_once() -> None:
    with pytest.raises(PluginFault) as caught:
        check_protocol(card(Choice(judge=hopeful, read=breaks, settled=bool)))
    assert len(caught.value.faults) <= 6
