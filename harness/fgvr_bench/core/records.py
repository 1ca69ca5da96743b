"""One response as a line of ``responses.jsonl``, and back: enough to score without the dataset."""

from __future__ import annotations

import math
import operator
from typing import Any

from fgvr_bench.core.files import canonical_json, parse_json
from fgvr_bench.types import Example, Question, Response, ScoreKind, Stop

DECIMALS = 6
"""Scores are rounded so before they are judged or stored, so that both see the same numbers."""


class _NoImage:
    """Stands in a stored question for the picture, which a results file does not hold."""

    def read(self) -> bytes:
        raise OSError("a stored question has no image; open the dataset for it")


NO_IMAGE = _NoImage()


def rounded(response: Response) -> Response:
    """Return the response as it will be stored: plain types, scores to 6 decimals, an error where one is not finite.

    Raises:
        TypeError: a field is of a kind that cannot be stored; names the field.
        ValueError: no such reason to stop, or kind of score.
    """
    for name in ("completion", "error"):
        if not isinstance(getattr(response, name), str | None):
            raise TypeError(f"its {name} is {type(getattr(response, name)).__name__}, not text")
    tokens = None if response.tokens is None else operator.index(response.tokens)
    stop = None if response.stop is None else Stop(response.stop)
    kind = None if response.score_kind is None else ScoreKind(response.score_kind)
    if response.scores is None:
        if tokens is response.tokens and stop is response.stop:
            return response
        return Response(response.question_id, response.completion, None, None, stop, tokens, response.error)
    if not all(map(math.isfinite, response.scores)):
        return Response(response.question_id, error="the model's scores are not finite numbers")
    scores = tuple([round(float(score), DECIMALS) + 0.0 for score in response.scores])
    return Response(
        response.question_id,
        response.completion,
        scores,
        kind,
        stop,
        tokens,
        response.error,
    )


def to_line(question: Question, response: Response, labels: tuple[str, ...]) -> str:
    """Return the canonical JSON line (without line feed) of one response.

    ``labels``: all labels of the dataset; choices equal to them are not spelt out in every line.
    """
    record: dict[str, Any] = {"question_id": question.question_id, "label": question.example.label}
    if question.choices:
        record["choices"] = "labels" if question.choices == labels else question.choices
    if question.letters:
        record["letters"] = "".join(question.letters)
    if question.target is not None:
        record["target"] = question.target
    if question.subject is not None:
        record["subject"] = question.subject
    if question.permutation:
        record["permutation"] = question.permutation
    if question.truth_rank is not None:
        record["truth_rank"] = question.truth_rank
    if response.completion is not None:
        record["completion"] = _storable(response.completion)
    if response.scores is not None and response.score_kind is not None:
        record["scores"] = response.scores
        record["score_kind"] = response.score_kind.value
    if response.stop is not None:
        record["stop"] = response.stop.value
    if response.tokens is not None:
        record["tokens"] = response.tokens
    if response.error is not None:
        record["error"] = _storable(response.error)
    return canonical_json(record)


def _storable(text: str) -> str:
    """Return text that UTF-8 can hold: a lone surrogate becomes the replacement character."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text


def from_line(line: str | bytes, labels: tuple[str, ...]) -> tuple[Question, Response]:
    """Read a line back into the question as it was shown and the response.

    Raises:
        ValueError: not such a line; the message says what is missing or wrong.
    """
    try:
        record = parse_json(line)
        question_id = record["question_id"]
        choices = record.get("choices", ())
        choices = labels if choices == "labels" else tuple(choices)
        kind, stop = record.get("score_kind"), record.get("stop")
        scores = record.get("scores")
        question = Question(
            question_id,
            Example(question_id.partition("#")[0], NO_IMAGE, record["label"], question_id.split("/", 2)[1]),
            choices,
            record.get("target"),
            tuple(record.get("letters", ())),
            record.get("subject"),
            record.get("permutation", 0),
            record.get("truth_rank"),
        )
        response = Response(
            question_id,
            record.get("completion"),
            None if scores is None else tuple(scores),
            None if kind is None else ScoreKind(kind),
            None if stop is None else Stop(stop),
            record.get("tokens"),
            record.get("error"),
        )
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise ValueError(f"not a response line ({type(error).__name__}: {error})") from error
    return question, response
