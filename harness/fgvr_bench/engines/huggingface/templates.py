"""The text around a question: a checkpoint's chat template, or words with a place for the question."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fgvr_bench.errors import ModelUnavailable

PROBE = "Q"
"""Stands for a question, and for an answer, where only the text around them is looked at."""


@dataclass(frozen=True, slots=True)
class Template:
    """How a question becomes the text that the processor gets."""

    text: str
    """Jinja for `chat`; else words with ``{}``."""
    chat: bool

    def render(self, processor: Any, question: str, answer: str | None = None) -> str:
        """Return the prompt up to where the answer begins; with `answer`, that answer and what follows too.

        The image stands before the question.
        """
        if not self.chat:
            return self.text.replace("{}", question, 1) + ("" if answer is None else answer)
        turns: list[dict[str, Any]] = [
            {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]}
        ]
        if answer is not None:
            turns.append({"role": "assistant", "content": [{"type": "text", "text": answer}]})
        rendered: str = processor.apply_chat_template(
            turns, chat_template=self.text, add_generation_prompt=answer is None
        )
        return rendered

    def separator(self, processor: Any) -> str:
        """Return what the template writes between the prompt and an answer: a space, or nothing.

        A model is trained on prompt and answer tokenized as one text, so an answer's first token carries the space
        where there is one (``Assistant: A``).
        """
        prompt = self.render(processor, PROBE)
        if self.chat:
            whole = self.render(processor, PROBE, PROBE)
            if whole.startswith(prompt):
                between = whole[len(prompt) :].partition(PROBE)[0]
                return " " if between.startswith(" ") else ""
        return "" if prompt[-1:].isspace() or prompt.endswith((">", "]")) else " "


def choose_template(processor: Any, asked: str | None, fallback: str | None, checkpoint: str) -> Template:
    """Return the template that the user asked for, else the checkpoint's, else the family's.

    Raises:
        ModelUnavailable: there is none.
    """
    if asked is not None:
        return Template(asked, chat="{{" in asked or "{%" in asked)
    own = _own_template(processor)
    if own is not None:
        return Template(own, chat=True)
    if fallback is not None:
        return Template(fallback, chat=False)
    raise ModelUnavailable(
        f"checkpoint {checkpoint} has no chat template, so it is not known how its makers ask.",
        hint="Give one: --model-arg template=FILE.jinja, or the words with {} for the question.",
    )


def _own_template(processor: Any) -> str | None:
    for holder in (processor, processor.tokenizer):
        found = getattr(holder, "chat_template", None)
        if isinstance(found, dict):
            found = found.get("default")
        if isinstance(found, str):
            return found
    return None


def image_placeholder(processor: Any) -> str:
    """Return the text that stands for an image in this processor's prompts."""
    for holder in (processor, processor.tokenizer):
        token = getattr(holder, "image_token", None)
        if isinstance(token, str) and token:
            return token
    return "<image>"
