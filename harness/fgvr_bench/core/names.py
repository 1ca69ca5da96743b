"""Names: near ones for a failed look-up, and names fit for a folder."""

from __future__ import annotations

import difflib
import hashlib
import re
import unicodedata
from collections.abc import Iterable


def near(name: str, known: Iterable[str], most: int = 3) -> list[str]:
    """Return the known names most like `name`, nearest first.

    >>> near("finedefix", ["finedefics", "llava", "idefics2"])
    ['finedefics', 'idefics2']
    """
    lowered = {candidate.lower(): candidate for candidate in known}
    found = difflib.get_close_matches(name.lower(), lowered, n=most, cutoff=0.5)
    starts = [key for key in lowered if key.startswith(name.lower()) and key not in found] if len(name) > 1 else []
    return [lowered[key] for key in [*found, *starts][:most]]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a sentence that offers the near names, or all of them where none is near."""
    known = sorted(known)
    offered = near(name, known)
    if offered:
        return f"Did you mean {' or '.join(offered)}?"
    return f"There is {', '.join(known)}." if known else "None is installed."


def slug(name: str) -> str:
    """Return a folder name for `name`: readable, safe on every file system, distinct for distinct names.

    >>> slug("bird-200")
    'bird-200'
    >>> slug("hf:HuggingFaceM4/idefics2-8b")
    'hf-HuggingFaceM4-idefics2-8b-fbf510'
    """
    plain = re.sub(r"//[^/@\s]*@", "//", unicodedata.normalize("NFC", name))
    kept = re.sub(r"[^A-Za-z0-9._-]+", "-", plain).strip("-.")[:80]
    if kept == name == name.lower() and not re.fullmatch(r"con|prn|aux|nul|com\d|lpt\d", kept):
        return kept
    return f"{kept}-{hashlib.sha256(plain.encode()).hexdigest()[:6]}".lstrip("-")


def short_count(number: int | None) -> str:
    """Return a count of parameters as people say it; empty for None and for none.

    >>> short_count(8_400_000_000), short_count(464_797), short_count(None)
    ('8.4 B', '0.46 M', '')
    """
    if not number:
        return ""
    value, unit = (number / 1e9, "B") if number >= 1e8 else (number / 1e6, "M")
    return f"{value:.2g} {unit}" if value < 10 else f"{value:.0f} {unit}"
