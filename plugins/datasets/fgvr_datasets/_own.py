"""What datasets of a user's own share: what stands after the colon, and what columns and splits go by."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from fgvr_bench.core.names import did_you_mean
from fgvr_bench.errors import DataInvalid, UsageError

SPLITS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing"),
}
"""Names that the usual splits go by."""
LABELS = ("label", "class", "label_name", "class_name", "classname", "category", "category_name", "species", "name")
"""Names of columns that labels usually stand in."""

_USUAL = {spelling: split for split, spellings in SPLITS.items() for spelling in spellings}


def split_called(name: str) -> str:
    """Return the split that goes by a name; a name that is none of the usual ones is its own.

    >>> split_called("Val"), split_called("fold-3")
    ('validation', 'fold-3')
    """
    return _USUAL.get(name.strip().lower(), name.strip())


@dataclass(frozen=True, slots=True)
class Argument:
    """``place#noun,key=value,...``, as it stands after the colon of ``csv:`` or ``hf:``."""

    place: str
    noun: str = ""
    settings: Mapping[str, str] | None = None

    @classmethod
    def read(cls, text: str, known: Sequence[str], is_place: Callable[[str], bool]) -> Argument:
        """Part an argument; a place that is there with its ``#`` is taken whole.

        Raises:
            UsageError: a setting that is not known, or given twice.
        """
        place, sign, rest = text.rpartition("#")
        if not sign or is_place(text):
            return cls(text, settings={})
        noun = ""
        given: dict[str, str] = {}
        for part in rest.split(","):
            key, equals, value = (piece.strip() for piece in part.partition("="))
            if not equals:
                if noun and key:
                    raise UsageError(f"{text}: after # stands one noun; {noun!r} and {key!r} are two.")
                noun = noun or key
            elif key not in known or not value:
                offered = "" if key in known else f" {did_you_mean(key, known)}"
                raise UsageError(
                    f"{text}: {part.strip()!r} is no setting.{offered}",
                    hint=f"After # may stand a noun, and {', '.join(f'{name}=...' for name in known)}.",
                )
            elif given.setdefault(key, value) != value:
                raise UsageError(f"{text}: {key} is given twice.")
        return cls(place, noun, given)

    def spelt(self, place: str) -> str:
        """Return the argument without its noun, which changes no image and no label; settings by name."""
        given = ",".join(f"{key}={value}" for key, value in sorted((self.settings or {}).items()))
        return f"{place}#{given}" if given else place


def tidy(text: str) -> str:
    """Return a label in Unicode normal form C, with single spaces and none at its ends."""
    return sys.intern(unicodedata.normalize("NFC", " ".join(text.split())))


def remark_on_numbers(labels: Sequence[str]) -> list[str]:
    """Return what to say of labels that are all numbers."""
    if not all(label.isdecimal() for label in labels):
        return []
    return ["its labels are numbers, which say nothing to a model; another column may hold names (#label=...)"]


def find_column(what: str, usual: Sequence[str], columns: Sequence[str], given: str | None, source: str) -> str | None:
    """Return the column that is named for something: the given one, or the first of the usual names that is there.

    Upper and lower case, spaces and dashes make no difference.

    Raises:
        DataInvalid: there is no column of the given name.
    """
    if given is not None:
        if given in columns:
            return given
        raise DataInvalid(f"{source} has no column {given!r} for {what}. {did_you_mean(given, columns)}")
    by_name = {name.lower().replace(" ", "_").replace("-", "_"): name for name in reversed(columns)}
    return next((by_name[name] for name in usual if name in by_name), None)
