"""The parser of ``fgvr-1``: reads the choice that a careful human would read, and never guesses."""

from __future__ import annotations

import re
from collections.abc import Sequence

from fgvr_bench.types import Reading

_LETTER = re.compile(r"[\W_]*(?:answer\s*:\s*)?[\W_]*([A-Za-z])(?:[\W_]*|[.):]\s*(.*?)[\W_]*)", re.IGNORECASE)


def parse_choice(completion: str, letters: Sequence[str], choices: Sequence[str]) -> Reading:
    """Return the choice that `completion` gives, and the rule that decided."""
    match = _LETTER.fullmatch(completion[:4096])
    if match is None or match[1].upper() not in letters:
        return Reading(None, "unread")
    choice = list(letters).index(match[1].upper())
    if match[2] and match[2].casefold() != choices[choice].casefold():
        return Reading(None, "unread")
    return Reading(choice, "letter")
