"""The text around a question: a checkpoint's chat template, or words with a place for the question."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fgvr_bench.engines.memory import first_line
from fgvr_bench.errors import ModelUnavailable

SAME_DAY = (
    "{%- macro strftime_now(format) -%}{{ {'%d %b %Y': '26 Jul 2024', '%d %B %Y': '26 July 2024'}"
    ".get(format, '2024-07-26') }}{%- endmacro %}"
)
"""Put before a template that writes today's date, so that a prompt does not change overnight.  It is the day that
Llama 3.2's own template falls back on."""

PROBE = "Q"
"""Stands for a question, and for an answer, where only the text around them is looked at."""


@dataclass(frozen=True, slots=True)
class Template:
    """How a question becomes the text that the processor gets."""

    text: str
    """Jinja for `chat`; else words with ``{}``."""
    chat: bool = False
    """Whether `text` is a chat template rather than words."""
    before_answer: str | None = None
    """What the makers' text has between prompt and answer, where `text` does not tell; see `separator`."""

    def __str__(self) -> str:
        """Return the text up to where an answer begins."""
        return self.text + (self.before_answer or "")

    def render(self, processor: Any, question: str, answer: str | None = None, picture: bool = True) -> str:
        """Return the prompt up to where the answer begins; with `answer`, that answer and what follows too.

        The image stands before the question; without `picture` there is none.
        """
        if not self.chat:
            words = self.text if picture else self.text.replace(image_placeholder(processor), "").lstrip("\n")
            return words.replace("{}", question, 1) + ("" if answer is None else answer)
        shown: list[dict[str, Any]] = [{"type": "image"}] if picture else []
        turns = [{"role": "user", "content": [*shown, {"type": "text", "text": question}]}]
        if answer is not None:
            turns.append({"role": "assistant", "content": [{"type": "text", "text": answer}]})
        return _rendered(processor, self.text, turns, add_generation_prompt=answer is None)

    def separator(self, processor: Any) -> str:
        """Return what the template writes between the prompt and an answer: a space, or nothing.

        A model is trained on prompt and answer tokenized as one text, so an answer's first token carries the space
        where there is one (``Assistant: A``).
        """
        if self.before_answer is not None:
            return self.before_answer
        prompt = self.render(processor, PROBE)
        if self.chat:
            whole = self.render(processor, PROBE, PROBE)
            if whole.startswith(prompt):
                between = whole[len(prompt) :].partition(PROBE)[0]
                return " " if between.startswith(" ") else ""
        return "" if prompt[-1:].isspace() or prompt.endswith((">", "]")) else " "


def choose_template(processor: Any, asked: str | None, fallback: str | Template | None, checkpoint: str) -> Template:
    """Return the template that the user asked for, else the checkpoint's, else the family's.

    A checkpoint's template that fails over an image or leaves it out (one written for words alone) counts for none.

    Raises:
        ModelUnavailable: there is none.
    """
    if asked is not None:
        return Template(asked, chat="{{" in asked or "{%" in asked)
    own = _own_template(processor)
    problem = "has no chat template" if own is None else _what_is_wrong(Template(own, chat=True), processor)
    if own is not None and problem is None:
        return Template(own, chat=True)
    if fallback is not None:
        return fallback if isinstance(fallback, Template) else Template(fallback)
    raise ModelUnavailable(
        f"checkpoint {checkpoint} {problem}, so it is not known how its makers ask.",
        hint="Give one: --model-arg template=FILE.jinja, or the words with {} for the question.",
    )


def _what_is_wrong(template: Template, processor: Any) -> str | None:
    """Say why a checkpoint's template cannot ask about an image, or return None."""
    question = {"type": "text", "text": PROBE}
    try:
        seeing, blind = (
            _rendered(processor, template.text, [{"role": "user", "content": content}], add_generation_prompt=True)
            for content in ([{"type": "image"}, question], [question])
        )
    except Exception as error:
        return f"has a chat template that takes no images ({first_line(error)})"
    if PROBE not in seeing:
        return "has a chat template that leaves the question out"
    return "has a chat template that leaves images out" if seeing == blind else None


def _rendered(processor: Any, template: str, turns: list[dict[str, Any]], add_generation_prompt: bool) -> str:
    if "strftime_now" in template:
        template = SAME_DAY + template
    rendered: str = processor.apply_chat_template(
        turns, chat_template=template, add_generation_prompt=add_generation_prompt
    )
    return rendered


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
