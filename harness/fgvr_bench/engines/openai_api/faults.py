"""What an HTTP status or a broken answer means: ask again, one failed answer, or stop."""

from __future__ import annotations

import email.utils
import json
import re
import time
from collections.abc import Mapping
from typing import Any

from fgvr_bench.core.files import parse_json
from fgvr_bench.core.names import near
from fgvr_bench.engines.openai_api.address import Address
from fgvr_bench.errors import FgvrError, ModelUnavailable

AGAIN = frozenset({408, 409, 425, 429})
"""Statuses below 500 that say nothing of the question: too early, too many, too slow."""
BUSY = frozenset({408, 409, 425, 429, 502, 503, 504, 529})
"""Statuses by which a server says that it cannot answer anybody just now."""
NEVER = frozenset({501, 505})
SPENT = ("insufficient_quota", "billing", "exceeded your current quota", "insufficient credits")
"""Of a 429 that no waiting helps."""
MOST_NAMES = 8

TOO_LONG = (
    "context length",
    "context_length",
    "context size",
    "context window",
    "maximum model length",
    "max_model_len",
    "too many tokens",
    "prompt is too long",
    "input is too long",
)
NO_IMAGES = (
    "not a multimodal",
    "at most 0 image",
    "image_url is only supported",
    "image input is not supported",
    "does not support image",
    "support image input",
    "unknown variant `image_url`",
)
"""Said by a model that sees no picture at all, whichever it is."""
REFUSES = (
    "invalid",
    "unsupported",
    "cannot",
    "can't",
    "could not",
    "failed",
    "not represent",
    "too large",
    "too small",
    "exceed",
    "larger than",
    "smaller than",
    "truncated",
    "aspect ratio",
    "dimension",
    "policy",
    "safety",
)
"""Beside the word image: this picture is refused."""


class Retry(Exception):
    """No answer this time; another time there may be one."""

    def __init__(self, why: str, *, wait: float | None = None, busy: bool = False) -> None:
        super().__init__(why)
        self.wait = wait
        """Seconds that the server asks for."""
        self.busy = busy
        """Whether it says that of all questions, so that they wait too."""


class Lost(Retry):
    """Nobody answers at that address."""


class NoSuchPath(ModelUnavailable):
    """The server does not have what was asked for under this path or name."""


class Unanswered(Exception):
    """A question that got no answer however often it was asked, while the server is there."""


class Refused(Exception):
    """This question will not be answered: its picture or its length is refused."""


def fault_of(
    status: int, headers: Mapping[str, str], text: str, address: Address, listed: list[str], key: str | None
) -> Exception:
    """Return what an answer with an error status means.

    Args:
        status: HTTP status, or the one inside of an answer.
        headers: of the answer; for Retry-After.
        text: its body, without the key.
        address: whom was asked.
        listed: the models that the server lists; empty where it lists none.
        key: the variable that the key comes from; None without a key.

    Returns:
        Retry, Refused, or an FgvrError that stops the run.
    """
    words = words_of(text)
    said = f"{words}." if words and not words.endswith((".", "!", "?")) else words
    lowered = text.lower()
    if status in AGAIN or (status >= 500 and status not in NEVER):
        if any(sign in lowered for sign in SPENT):
            return FgvrError(
                f"the account at {address.place} is spent ({status}): {said}",
                hint="What was answered is kept; type the same command again once it is filled.",
            )
        return Retry(f"{status} {words}".strip(), wait=retry_after(headers), busy=status in BUSY)
    if status in {401, 403}:
        return ModelUnavailable(
            f"{address.place} refuses {f'the key in {key}' if key else 'to answer without a key'} ({status}): {said}",
            hint=f"Check {key}." if key else "Put the key into the environment as FGVR_API_KEY.",
        )
    if any(sign in lowered for sign in NO_IMAGES):
        return ModelUnavailable(f"{address.model} at {address.place} takes no images ({status}): {said}")
    if any(sign in lowered for sign in TOO_LONG) or status == 413:
        return Refused(f"{status} {words}".strip())
    if "image" in lowered and any(sign in lowered for sign in REFUSES) and status in {400, 415, 422}:
        return Refused(f"{status} {words}".strip())
    if "logprob" in lowered:
        return FgvrError(
            f"{address.place} refuses what --decoding logprob asks for ({status}): {said}",
            hint="Use --decoding generate, or list fewer tokens: --model-arg top_logprobs=5.",
        )
    hint = _hint(status, headers, address, listed, lowered)
    kind = NoSuchPath if status in {404, 405} else ModelUnavailable
    return kind(f"{address.place} refuses the request ({status}): {said or 'it does not say why.'}", hint=hint)


def _hint(status: int, headers: Mapping[str, str], address: Address, listed: list[str], lowered: str) -> str | None:
    if 300 <= status < 400:
        return f"It points to {headers.get('location', 'nowhere')}; give the url itself."
    if listed and address.model not in listed and (status == 404 or "model" in lowered):
        return offered(address.model, listed)
    if status in {404, 405} and not re.search(r"/v\d", address.url):
        return f"Most servers answer below /v1: try api:{address.model}@{address.url}/v1."
    if "max_tokens" in lowered and "max_completion_tokens" in lowered:
        return """Give --model-arg 'extra_body={"max_tokens": null, "max_completion_tokens": 64}'."""
    if "temperature" in lowered or "seed" in lowered:
        return """Leave a field out by null: --model-arg 'extra_body={"temperature": null, "seed": null}'."""
    return None


def offered(model: str, listed: list[str]) -> str:
    """Return a sentence with the names that a server lists: the near ones, or all where they are few.

    >>> offered("qwen2-vl", ["Qwen/Qwen2-VL-7B", "gemma3"])
    'Did you mean Qwen/Qwen2-VL-7B?'
    """
    bases = {name.rpartition("/")[2]: name for name in reversed(listed)}
    found = near(model, listed) or [bases[base] for base in near(model.rpartition("/")[2], bases)]
    if found:
        return f"Did you mean {' or '.join(found)}?"
    shown = ", ".join(listed[:MOST_NAMES])
    return f"It lists {shown}." if len(listed) <= MOST_NAMES else f"It lists {len(listed)} models, among them {shown}."


def words_of(text: str) -> str:
    """Return what an error's body says, as one line of readable length.

    >>> words_of('{"error": {"message": "no such model"}}')
    'no such model'
    """
    try:
        found = _message(parse_json(text))
    except ValueError:
        found = re.sub(r"<(script|style)\b.*?</\1>|<[^>]*>", " ", text, flags=re.DOTALL | re.IGNORECASE)
    line = "".join(char if char.isprintable() else "?" for char in " ".join(found.split()))
    return line if len(line) <= 300 else line[:297] + "..."


def _message(content: Any) -> str:
    if isinstance(content, dict):
        for name in ("error", "message", "detail", "msg"):
            if content.get(name):
                return _message(content[name])
        return json.dumps(content)
    if isinstance(content, list) and content:
        return _message(content[0])
    return str(content)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that a server asks to wait, from ``retry-after-ms`` or ``Retry-After`` (seconds or a date).

    >>> retry_after({"retry-after": "2.5"})
    2.5
    """
    milliseconds, given = headers.get("retry-after-ms"), headers.get("retry-after")
    for text, unit in ((milliseconds, 1000.0), (given, 1.0)):
        if text is not None and re.fullmatch(r"\s*\d+(\.\d+)?\s*", text):
            return float(text) / unit
    if given is None:
        return None
    try:
        return max(0.0, email.utils.parsedate_to_datetime(given).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None
