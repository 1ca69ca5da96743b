"""What models write, made fit for a row: one line, no control characters, of a bounded length."""

from __future__ import annotations

import re
import unicodedata

LONGEST_ATTRIBUTE = 80
"""Characters of an attribute's name; a longer line of an answer is prose, not an attribute."""
LONGEST_VALUE = 300
LONGEST_DESCRIPTION = 2000

_MARK = re.compile(r"^(?:[-*•–·]|\(?\d{1,3}[.):]\)?|\(?[a-z][.)])\s*", re.IGNORECASE)


def one_line(text: str, most: int) -> str:
    """Return a text as one line of at most `most` characters, without what moves a cursor or hides.

    >>> one_line("  a white\\tbird\\n\\x1b[31mwith a crest ", 100)
    'a white bird [31mwith a crest'
    """
    kept = (_shown(char) for char in unicodedata.normalize("NFC", text))
    return " ".join("".join(kept).split())[:most].rstrip()


def _shown(char: str) -> str:
    """Return the character; a space for a control character, nothing for marks of direction and lone surrogates."""
    category = unicodedata.category(char)
    return " " if category == "Cc" else "" if category in {"Cf", "Cs"} else char


def attributes_in(answer: str, most: int) -> tuple[str, ...]:
    """Read a list of attributes off a model's answer: one a line, or one line with commas.

    Numbers, bullets, emphasis and explanations after a colon are taken off; a line that introduces the list (it
    ends with a colon) and prose are no attributes; of equal ones the first stays.

    >>> attributes_in("Here they are:\\n1. **Wing shape**: pointed or round\\n2. Wing colour\\n- wing shape", 8)
    ('wing shape', 'wing colour')
    >>> attributes_in("wing shape, colour of the spot", 8)
    ('wing shape', 'colour of the spot')
    """
    lines = [line.strip() for line in answer.splitlines() if line.strip()]
    if len(lines) == 1 and "," in lines[0]:
        lines = lines[0].rstrip(".").split(",")
    found: dict[str, str] = {}
    for line in lines:
        plain = _MARK.sub("", one_line(line, 10_000)).replace("**", "").replace("__", "").strip()
        if plain.endswith(":"):
            continue
        name = re.split(r":\s|\s[–—-]\s", plain, maxsplit=1)[0].strip(" .;,*_\"'")
        name = name[:1].lower() + name[1:]
        if 1 < len(name) <= LONGEST_ATTRIBUTE and any(char.isalpha() for char in name):
            found.setdefault(name.casefold(), name)
    return tuple(found.values())[:most]
