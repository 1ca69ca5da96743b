"""Asking a model as a run does, and holding two lists of answers against one another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from fgvr_bench.core.images import decode_image
from fgvr_bench.interfaces import Decoding, Model, Preparer
from fgvr_bench.protocols.fgvr1 import FGVR_1
from fgvr_bench.testing.findings import Findings
from fgvr_bench.testing.toys import CONTEXT, Painted, toy_questions
from fgvr_bench.types import Prompt, Response, ScoreKind

WAIT_SECONDS = 60.0
TASKS = {"multiple-choice": 5, "yes-no": 2, "open-ended": 1, "zero-shot": 2}
"""Tasks of the default protocol that a model is asked, and how many questions of each."""


def sheet_for(decoding: str) -> list[Prompt]:
    """Return questions of each task of the default protocol whose answers can be had by a decoding."""
    prompts = []
    for name, count in TASKS.items():
        task = FGVR_1.tasks[name]
        if decoding in task.decodings:
            prompts += [task.prompt(question, CONTEXT) for question in toy_questions(task, count)]
    return prompts


def elsewhere(prompts: Sequence[Prompt]) -> list[Prompt]:
    """Return the same pictures and words under ids and file names that say nothing."""
    moved = []
    for number, prompt in enumerate(prompts):
        picture = prompt.image
        if isinstance(picture, Painted):
            picture = replace(picture, path=f"shelf/{number}.ppm")
        moved.append(replace(prompt, question_id=f"shelf/test/{number}#question.0", image=picture))
    return moved


def ask(model: Model, prompts: Sequence[Prompt], preparer: Preparer | None = None) -> list[Response]:
    """Ask in one batch, prepared as worker processes prepare it."""
    batch: Any = None
    if model.needs_images:
        used = preparer or model.preparer
        batch = used.batch([used.item(prompt, decode_image(prompt.image.read())) for prompt in prompts])
    if model.at_once > 0:
        from concurrent.futures import wait

        batch = model.begin(prompts, batch)
        wait([batch], timeout=WAIT_SECONDS)
    return list(model.respond(prompts, batch))


def ask_alone(model: Model, prompts: Sequence[Prompt]) -> list[Response]:
    """Ask each question in a batch of its own."""
    return [response for prompt in prompts for response in ask(model, [prompt])]


def ask_side_by_side(model: Model, prompts: Sequence[Prompt]) -> list[Response]:
    """Ask in as many batches as the model takes at a time, each from a thread of its own, all in the same moment."""
    from concurrent.futures import ThreadPoolExecutor
    from threading import Barrier

    begin = Barrier(model.callers)

    def ask_with_the_others(part: Sequence[Prompt]) -> list[Response]:
        begin.wait()
        return ask(model, part)

    parts = [prompts[start :: model.callers] for start in range(model.callers)]
    with ThreadPoolExecutor(model.callers) as threads:
        answers = list(threads.map(ask_with_the_others, parts))
    return [answers[place % model.callers][place // model.callers] for place in range(len(prompts))]


def are_the_same(one: Sequence[Response], other: Sequence[Response], tolerance: float) -> bool:
    """Say whether two lists of answers say the same, question by question, whatever their ids."""
    return len(one) == len(other) and all(_says_the_same(*pair, tolerance) for pair in zip(one, other, strict=True))


def _says_the_same(one: Response, other: Response, tolerance: float) -> bool:
    if (one.completion, one.error is None) != (other.completion, other.error is None):
        return False
    mine, theirs = one.scores or (), other.scores or ()
    return len(mine) == len(theirs) and all(
        math.isclose(a, b, rel_tol=0, abs_tol=tolerance) for a, b in zip(mine, theirs, strict=True)
    )


def look_at_responses(found: Findings, asked: Sequence[Prompt], given: Sequence[Any], decoding: Decoding) -> bool:
    """Check number, order and form of the answers to one batch; return whether more can be asked of the model."""
    if len(given) != len(asked):
        found.wrong(f"respond() returns {len(given)} responses to {len(asked)} prompts. Return one for each prompt.")
        return False
    if strange := next((each for each in given if not isinstance(each, Response)), None):
        found.wrong(f"respond() returns a {type(strange).__name__}. Return fgvr_bench.types.Response for each prompt.")
        return False
    if [response.question_id for response in given] != [prompt.question_id for prompt in asked]:
        found.wrong("respond() returns responses in another order than the prompts, or under other question ids.")
        return False
    for prompt, response in zip(asked, given, strict=True):
        _look_at_response(found, prompt, response, decoding)
    return True


def _look_at_response(found: Findings, prompt: Prompt, response: Response, decoding: Decoding) -> None:
    if response.error is not None:
        found.wrong(f"It fails on a question of the default protocol, {prompt.text[:60]!r}: {response.error}.")
    elif decoding.name == "generate":
        if response.completion is None:
            found.wrong("Under decoding 'generate' it returns no completion. Return Response(id, completion=text).")
    elif response.scores is None:
        found.wrong(f"Under decoding {decoding.name!r} it returns no scores. Return scores=(...) and score_kind=...")
    else:
        kind = ScoreKind.SIMILARITY if decoding.name == "similarity" else ScoreKind.LOGPROB
        if response.score_kind is not kind:
            found.wrong(f"Under decoding {decoding.name!r} its score_kind is {response.score_kind!r}, not {kind!r}.")
        if len(response.scores) != len(prompt.choices):
            found.wrong(f"It gives {len(response.scores)} scores for {len(prompt.choices)} choices. Give one a choice.")
        if not all(math.isfinite(score) for score in response.scores):
            found.wrong(f"It gives scores that are not finite: {response.scores!r}. Such answers count as failed.")
