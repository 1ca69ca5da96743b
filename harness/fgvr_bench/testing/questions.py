"""Questions and prompts of a task: made again alike, right about the truth, and silent about it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from fgvr_bench.errors import UsageError
from fgvr_bench.interfaces import Task
from fgvr_bench.testing.findings import Findings, described
from fgvr_bench.testing.generators import poisoned, watched
from fgvr_bench.testing.toys import CONTEXT, LABELS, toy_examples, toy_options
from fgvr_bench.types import Example, Prompt, Question

EXAMPLES = 24


def look_at_questions(found: Findings, task: Task, unshuffled: bool) -> list[Question]:
    """Check what `ask` makes of the toy examples; return the questions of permutation 0, none where it fails."""
    questions = []
    whose = f"Task {task.name!r}"
    with found.trying(f"{whose}: ask()"), poisoned(31), watched() as moved:
        questions = [_asked(task, example) for example in toy_examples(EXAMPLES)]
        again = list(reversed([_asked(task, example) for example in reversed(toy_examples(EXAMPLES))]))
        if strange := next((each for each in questions if not isinstance(each, Question)), None):
            found.wrong(f"{whose}: ask() returns a {type(strange).__name__}; it returns a Question.")
            return []
        if again != questions:
            found.wrong(
                f"{whose} asks otherwise when it is asked again. Draw the order of choices from (seed, question id) "
                "alone, as fgvr_bench.protocols.ordering.seeded_order does."
            )
    if moved:
        found.wrong(
            f"{whose}: ask() moves the global generator of {' and '.join(moved)}. Draw from (seed, question id)."
        )
    for question, example in zip(questions, toy_examples(EXAMPLES), strict=False):
        _look_at_question(found, task, question, example)
    _look_at_ids(found, task, questions)
    places = {question.target for question in questions}
    if task.needs_options and len(places) == 1 and None not in places and not unshuffled:
        found.wrong(
            f"{whose}: the right answer stands in the same place of all {EXAMPLES} questions, so a model that always "
            "answers alike is always right. Draw the order from (seed, question id); where it is the point, name the "
            f"task to the check: unshuffled=[{task.name!r}]."
        )
    _look_at_other_requests(found, task)
    return questions


def look_at_prompts(found: Findings, task: Task, questions: Sequence[Question]) -> None:
    """Check what a model gets to see of some questions."""
    whose = f"Task {task.name!r}"
    prompts: list[Prompt] = []
    with found.trying(f"{whose}: prompt()"), poisoned(32), watched() as moved:
        prompts = [task.prompt(question, CONTEXT) for question in questions]
    if moved:
        found.wrong(f"{whose}: prompt() moves the global generator of {' and '.join(moved)}.")
    if strange := next((each for each in prompts if not isinstance(each, Prompt)), None):
        found.wrong(f"{whose}: prompt() returns a {type(strange).__name__}; it returns a Prompt.")
        return
    with found.trying(f"{whose}: prompt()"), poisoned(33):
        for question, prompt in zip(questions, prompts, strict=False):
            _look_at_prompt(found, task, question, prompt)
            if task.prompt(question, CONTEXT) != prompt:
                found.wrong(f"{whose} words a question otherwise when it is asked again.")
            for other in _other_truths(question):
                if _seen(task.prompt(other, CONTEXT)) != _seen(prompt):
                    found.wrong(
                        f"{whose}: the prompt is another one when another choice is the right one, or its image is "
                        "known to be harder. A model could read the answer off it: word it from the choices alone."
                    )


def _asked(task: Task, example: Example, k: int = 4, permutation: int = 0) -> Question:
    return task.ask(example, toy_options(example, k) if task.needs_options else None, CONTEXT, permutation)


def _look_at_question(found: Findings, task: Task, question: Question, example: Example) -> None:
    whose = f"Task {task.name!r}"
    if question.example != example:
        found.wrong(f"{whose}: ask() puts another example into the question. Hand on the one that it was given.")
    if not question.question_id.startswith(f"{example.example_id}#"):
        found.wrong(
            f"{whose}: a question's id is {question.question_id!r}. Make ids with "
            "fgvr_bench.protocols.ordering.make_question_id: the example's, the task's name, the permutation."
        )
    choices, target = question.choices, question.target
    if example.label in choices and target is not None and choices[target] != example.label:
        found.wrong(f"{whose}: the target of {question.question_id} is {choices[target]!r}, not its label.")
    if question.letters and task.needs_options and set(choices) != set(toy_options(example).choices):
        found.wrong(f"{whose} offers {choices!r} where the options are {toy_options(example).choices!r}.")


def _look_at_ids(found: Findings, task: Task, questions: Sequence[Question]) -> None:
    whose = f"Task {task.name!r}"
    asked = list(questions)
    for permutation in (1, 2, 3):
        try:
            asked += [_asked(task, example, permutation=permutation) for example in toy_examples(EXAMPLES)]
        except UsageError:  # it has no such order
            break
        except Exception as problem:
            found.wrong(f"{whose}: ask() of permutation {permutation} raises {described(problem)}. Raise UsageError.")
            break
    ids = [question.question_id for question in asked]
    if len(set(ids)) < len(ids):
        found.wrong(
            f"{whose}: two questions have one id, for example {next(each for each in ids if ids.count(each) > 1)!r}. "
            "Answers are kept by it: put the example, the task and the number of the permutation into it."
        )
    wrong = [each for number, each in enumerate(asked) if each.permutation != number // EXAMPLES]
    if len(asked) >= EXAMPLES and wrong:
        found.wrong(f"{whose}: ask() does not put the number of the permutation into the question's `permutation`.")


def _look_at_other_requests(found: Findings, task: Task) -> None:
    """Ask for what a task may not have: it answers, or says so in words."""
    whose = f"Task {task.name!r}"
    example = toy_examples(1)[0]
    requests = {f"{k} choices": {"k": k} for k in (2, 3, len(LABELS))} | {"order 10,000,000": {"permutation": 10**7}}
    for what, request in requests.items():
        try:
            _asked(task, example, **request)
        except UsageError:
            continue
        except Exception as problem:
            found.wrong(f"{whose}: ask() for {what} raises {described(problem)}. Raise UsageError where it has none.")


def _look_at_prompt(found: Findings, task: Task, question: Question, prompt: Prompt) -> None:
    whose = f"Task {task.name!r}"
    found.need(
        prompt.question_id == question.question_id and prompt.image == question.example.image,
        f"{whose}: prompt() does not hand on the question's id and image.",
    )
    if not isinstance(prompt.text, str) or not prompt.text.strip():
        found.wrong(f"{whose}: prompt() has no text.")
        return
    shown = (prompt.letters, prompt.choices) == (question.letters, question.choices)
    scored = [name for name in task.decodings if name != "generate"]
    if not shown and (scored or prompt.letters or prompt.choices):
        found.wrong(
            f"{whose}: the prompt's letters and choices are not the question's, in its order. Scores are given for the "
            "one and read for the other."
        )
    if question.letters and {"generate", "logprob"} & set(task.decodings):
        missing = [each for each in (*question.letters, *question.choices) if each not in prompt.text]
        found.need(not missing, f"{whose}: the prompt's text does not show {missing[:1]}.")
    if question.example.example_id in prompt.text:
        found.wrong(f"{whose}: the prompt's text holds the example's id, which often holds the label.")


def _other_truths(question: Question) -> Iterator[Question]:
    """Yield the question as it would be if all that is shown were the same and something else true."""
    example = question.example
    yield replace(question, example=replace(example, metadata={"name": "something that is known"}))
    yield replace(question, truth_rank=None if question.truth_rank else 1)
    for label in LABELS:
        other = replace(question, example=replace(example, label=label))
        if question.subject is not None and question.target is not None and len(question.choices) == 2:
            same = (label == question.subject) == (example.label == question.subject)
            yield replace(other, target=question.target if same else 1 - question.target)
        elif label in question.choices:
            yield replace(other, target=question.choices.index(label))


def _seen(prompt: Prompt) -> tuple[object, ...]:
    return prompt.text, prompt.letters, prompt.choices
