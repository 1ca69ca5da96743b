"""A question as a request body, and a server's answer as a response.  Pure: touches no network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fgvr_bench.engines.openai_api.faults import Refused, Retry
from fgvr_bench.errors import FgvrError
from fgvr_bench.types import Json, Prompt, Response, ScoreKind, Stop

OWN_FIELDS = frozenset({"messages", "model", "stream", "n", "logprobs", "top_logprobs"})
"""Fields of a request that ``extra_body`` cannot change: what is asked, and the shape of the answer."""
STOPS = {"stop": Stop.EOS, "length": Stop.LENGTH}
UNLIKELY = -9999.0
"""Servers list tokens with this number that have no log-probability to speak of."""
BELOW = 1e-6
"""One unit of the last decimal that a run stores."""
SPACES = " \t\r\n\u2581\u0120"
"""What tokenizers write before a word; the last two stand for a space in tokens as they are stored."""


@dataclass(frozen=True, slots=True)
class Wording:
    """Everything of a request that is the same for all questions of a run."""

    model: str
    ranks: bool
    """Whether letters are ranked (``logprob``) or text is generated."""
    max_tokens: int
    seed: int = 0
    top_logprobs: int = 20
    image_detail: str | None = None
    extra_body: Mapping[str, Json] = field(default_factory=dict)
    """Further fields, merged last; one that is null leaves the field out."""

    def body(self, prompt: Prompt, picture: str) -> dict[str, Any]:
        """Return the request: the picture (if there is one) before the question, one turn, greedy."""
        turn: list[dict[str, Any]] = [{"type": "text", "text": prompt.text}]
        if picture:
            image = {"url": picture} | ({"detail": self.image_detail} if self.image_detail else {})
            turn.insert(0, {"type": "image_url", "image_url": image})
        made: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": "user", "content": turn}],
            "temperature": 0,
            "seed": self.seed,
            "max_tokens": 1 if self.ranks else self.max_tokens,
        }
        if self.ranks:
            made |= {"logprobs": True, "top_logprobs": self.top_logprobs}
        made |= self.extra_body
        return {name: value for name, value in made.items() if value is not None}

    def read(self, prompt: Prompt, content: Any) -> Response:
        """Read the body of an answer.

        Raises:
            Retry: it is no whole answer.
            Refused: it is one, and has nothing that could be judged.
            FgvrError: the server does not give log-probabilities.
        """
        choice = _choice(content)
        tokens = _tokens(content)
        if self.ranks:
            scores = read_scores(_listed(choice), prompt.letters or prompt.choices, bool(prompt.letters))
            return Response(prompt.question_id, scores=scores, score_kind=ScoreKind.LOGPROB, tokens=tokens)
        reason = choice.get("finish_reason")
        if reason == "content_filter":
            raise Refused("it withheld the answer (content_filter)")
        if reason in {"abort", "error"}:
            raise Retry(f"it broke the answer off ({reason})")
        return Response(prompt.question_id, _text(choice["message"]), stop=STOPS.get(str(reason)), tokens=tokens)


def read_scores(listed: Mapping[str, float], answers: Sequence[str], letters: bool) -> tuple[float, ...]:
    """Return a log-probability an answer from the list of the most likely next tokens.

    An answer has that of its most likely token, with or without a space before it; words may have any case and
    may be only begun by the token.  One that is not on the list is less likely than everything on it: it gets the
    smallest listed number less 0.000001, which is the most that it can have.  So the order of the answers is the
    model's own, and two that are both missing tie.

    Raises:
        Refused: no answer is on the list.

    >>> read_scores({"B": -0.1, " A": -3.0, "The": -5.0}, ("A", "B", "C"), letters=True)
    (-3.0, -0.1, -5.000001)
    """
    found: dict[int, float] = {}
    for token, logprob in listed.items():
        place = _meant(token, answers, letters)
        if place is not None:
            found[place] = max(logprob, found.get(place, logprob))
    if not found:
        raise Refused(f"none of {', '.join(answers)} is among the {len(listed)} most likely tokens that it lists")
    floor = round(min(listed.values()), 6) - BELOW
    return tuple(found.get(place, floor) for place in range(len(answers)))


def _meant(token: str, answers: Sequence[str], letters: bool) -> int | None:
    """Return the place of the answer that a token is, or begins; None for none or several."""
    said = token.strip(SPACES)
    if letters:
        return answers.index(said) if said in answers else None
    begun = [place for place, word in enumerate(answers) if said and word.casefold().startswith(said.casefold())]
    return begun[0] if len(begun) == 1 else None


def _choice(content: Any) -> dict[str, Any]:
    """Return the first choice of an answer.

    Raises:
        Retry: there is none, or it has no message.
    """
    choices = content.get("choices") if isinstance(content, dict) else None
    if not isinstance(choices, list) or not choices:
        raise Retry("it answered without choices")
    first = choices[0]
    if not isinstance(first, dict) or not isinstance(first.get("message"), dict):
        raise Retry("it answered with half a message")
    return first


def _text(message: Mapping[str, Any]) -> str:
    """Return the answer itself; what a reasoning model thought stands in another field and is no part of it.

    Raises:
        Retry: it is of a kind that no answer has.
    """
    content = message.get("content")
    if isinstance(content, list):  # parts, of which only texts are the answer
        parts = [part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text"]
        content = "".join(part for part in parts if isinstance(part, str))
    if content is None:
        return ""
    if not isinstance(content, str):
        raise Retry("it answered with half a message")
    return content.encode(errors="replace").decode().strip()  # half of a character cannot be stored


def _tokens(content: Mapping[str, Any]) -> int | None:
    """Return the number of generated tokens as the server counts them (most count the end-of-text token too)."""
    usage = content.get("usage")
    count = usage.get("completion_tokens") if isinstance(usage, dict) else None
    return count if isinstance(count, int) and not isinstance(count, bool) and count >= 0 else None


def _listed(choice: Mapping[str, Any]) -> dict[str, float]:
    """Return the most likely first tokens with their log-probabilities.

    Raises:
        FgvrError: the server gives none.
        Refused: it answered with no token at all.
    """
    logprobs = choice.get("logprobs")
    if not isinstance(logprobs, dict):
        raise no_logprobs("its answer has none")
    steps = logprobs.get("content")
    if not isinstance(steps, list) or not steps or not isinstance(steps[0], dict):
        raise Refused("it answered without a first token")
    entries = steps[0].get("top_logprobs")
    if not isinstance(entries, list) or not entries:
        raise no_logprobs("its answer has only that of the chosen token")
    listed: dict[str, float] = {}
    for entry in (*entries, steps[0]):
        token, logprob = (entry.get("token"), entry.get("logprob")) if isinstance(entry, dict) else (None, None)
        if isinstance(token, str) and isinstance(logprob, int | float) and UNLIKELY < logprob <= BELOW:
            listed[token] = max(float(logprob), listed.get(token, float(logprob)))
    return listed


def no_logprobs(why: str) -> FgvrError:
    """Return the error of a server that cannot rank letters."""
    return FgvrError(
        f"the server does not give the log-probabilities that --decoding logprob needs: {why}.",
        hint="Use --decoding generate.",
    )
