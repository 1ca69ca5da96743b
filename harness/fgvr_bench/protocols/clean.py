"""From what a model wrote to the part of it that is its answer: one form of each sign, one turn, no thinking.

Everything here is linear in the length of the text: plain searches, and patterns without nested repetition.
"""

from __future__ import annotations

import re
import unicodedata

MAX_CHARS = 100_000
"""A longer answer is not read: no token limit of a protocol allows one."""

_SIGNS: dict[int, str | None] = {
    **{code: chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)},  # full-width forms of ASCII
    **dict.fromkeys(map(ord, "‘’‚‛′ʼ`"), "'"),
    **dict.fromkeys(map(ord, "“”„‟″«»「」『』"), '"'),
    **dict.fromkeys(map(ord, "‐‑‒–—―−"), "-"),
    **dict.fromkeys(map(ord, "\u00a0\u1680\u2007\u202f\u205f\u3000"), " "),
    **dict.fromkeys(range(0x2000, 0x200B), " "),
    **dict.fromkeys(map(ord, "\u2028\u2029\u0085\x0b\x0c\r"), "\n"),
    **dict.fromkeys(map(ord, "\u200b\u200c\u200d\u200e\u200f\u2060\ufeff\u00ad\u202a\u202b\u202c\u202d\u202e"), None),
    **dict.fromkeys(map(ord, "。．"), "."),
    **dict.fromkeys(map(ord, "、，"), ","),
    ord("："): ":",
    ord("；"): ";",
    ord("【"): "[",
    ord("】"): "]",
    **dict.fromkeys([*range(0x09), *range(0x0E, 0x20), 0x7F], " "),
}
_ODD = re.compile(r"[^\t\n -_a-~]")  # a backquote and everything that is not plain ASCII
_PRIVATE = re.compile("[\ue000-\uf8ff]")

_START = r"\s*+(?:<s>|<bos>|<\|begin_of_text\|>)?+\s*+(?:<\|(?:im_start|start_header_id)\|>)?+\s*+"
_ECHO = re.compile(_START + r"(?:User|USER|Human)\s?:")
_OPENING = re.compile(
    _START + r"(?:(?:User|USER|Human)\s?:.*?)?(?:\b(?:Assistant|ASSISTANT)\s?:|assistant(?:<\|end_header_id\|>|\n))\s*",
    re.DOTALL,
)
_TURN_END = re.compile(
    r"</s>|<eos>|<\|(?:im_end|im_start|endoftext|end_of_text|eot_id|end|eos)\|>|<end_of_utterance>|<end_of_turn>"
    r"|\[/?INST\]|\b(?:User|USER|Human|HUMAN|Assistant|ASSISTANT)\s?:"
)

_THOUGHT = r"(?:think|thinking|thought|reasoning|analysis)"
_THOUGHT_START = re.compile(rf"<{_THOUGHT}>", re.IGNORECASE)
_THOUGHT_END = re.compile(rf"</{_THOUGHT}>", re.IGNORECASE)
_ANSWER_START = re.compile(r"<(?:final[_ -]?)?answer>", re.IGNORECASE)
_ANSWER_END = re.compile(r"</(?:final[_ -]?)?answer>", re.IGNORECASE)

_MARKUP = ("b", "B", "i", "I", "u", "U", "em", "strong", "p", "span", "code")
_LATEX = re.compile(r"\\(?:text|textbf|textit|mathrm|mathbf|mathit|mathsf)\b")


def plain(text: str) -> str:
    """Return `text` with one form of each sign: ASCII for full width, straight quotes, no invisible characters.

    Letters of other alphabets stay what they are, and so does a letter with an accent.
    """
    if _ODD.search(text):
        text = unicodedata.normalize("NFC", text).translate(_SIGNS)
        text = _PRIVATE.sub(" ", text)
    return text


def own_text(text: str) -> str | None:
    """Return `text` without an echo of the question before it; None where the echo has not ended."""
    opening = _OPENING.match(text)
    if opening is not None:
        return text[opening.end() :]
    return None if _ECHO.match(text) else text


def turn(text: str) -> tuple[str, bool]:
    """Return the model's first turn, and whether text that follows can no longer be part of it.

    Text may open with an echo of the question, and may end where the model starts to write the next turn itself;
    what follows such an end is no part of the answer.  A thought that opens the text may name the roles.

    >>> turn("B\\nUser: And which of these? Assistant: C")
    ('B\\n', True)
    """
    own = own_text(text)
    if own is None:
        return text, False
    begin = 0
    if _THOUGHT_START.match(own, len(own) - len(own.lstrip())):
        closing = _THOUGHT_END.search(own)
        if closing is None:
            return own, False
        begin = closing.end()
    end = _TURN_END.search(own, begin)
    if end is None:
        return own, False
    answer = own[: end.start()]
    return answer, bool(answer.strip())


def after_thinking(text: str) -> str | None:
    """Return what follows the last closed thought, or all of it where there is none; None inside an open one."""
    position = 0
    for end in _THOUGHT_END.finditer(text):
        position = end.end()
    rest = text[position:]
    return None if _THOUGHT_START.search(rest) else rest


def tagged_answer(text: str) -> tuple[str, str] | None:
    """Return what stands in the last ``<answer>`` tag, which may be open at the end, and what follows; or None.

    >>> tagged_answer("<answer>A</answer> No: <answer>B</answer>!")
    ('B', '!')
    """
    start = -1
    for opening in _ANSWER_START.finditer(text):
        start = opening.end()
    if start < 0:
        return None
    end = _ANSWER_END.search(text, start)
    return (text[start:], "") if end is None else (text[start : end.start()], text[end.end() :])


def answer_after_thought(text: str) -> tuple[str | None, bool]:
    """Return what stands in the first ``<answer>`` tag after the first closed thought, and whether it is closed.

    >>> answer_after_thought("<think>A?</think><answer>B</answer> <answer>C</answer>")
    ('B', True)
    """
    thought = _THOUGHT_END.search(text)
    start = _ANSWER_START.search(text, thought.end()) if thought is not None else None
    if start is None:
        return None, False
    end = _ANSWER_END.search(text, start.end())
    return text[start.end() : end.start() if end else len(text)], end is not None


def boxed(text: str) -> tuple[str, str] | None:
    r"""Return what stands in the last ``\boxed{...}``, and what follows; or None.

    >>> boxed(r"So $\boxed{\text{C}}$.")
    ('\\text{C}', '$.')
    """
    start = text.rfind("\\boxed{")
    if start < 0:
        return None
    depth, begin = 1, start + len("\\boxed{")
    for position in range(begin, min(len(text), begin + 400)):
        depth += (text[position] == "{") - (text[position] == "}")
        if depth == 0:
            return text[begin:position], text[position + 1 :]
    return text[begin : begin + 400], ""


def unmarked(text: str) -> str:
    """Return `text` without HTML emphasis and LaTeX fonts, both of which hold stray letters."""
    if "</" in text:
        for tag in _MARKUP:
            if f"</{tag}>" in text:
                text = text.replace(f"</{tag}>", "").replace(f"<{tag}>", "")
    return _LATEX.sub("", text) if "\\" in text else text
