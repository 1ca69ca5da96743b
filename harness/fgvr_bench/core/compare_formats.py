"""A comparison in words: for a terminal, for a page that shows Markdown, and for other programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from fgvr_bench.core.compare import ClassChange, Comparison, Flip, Said, Side
from fgvr_bench.core.results import Column
from fgvr_bench.core.statistics import ALPHA, Interval

FORMAT = "fgvr-bench/comparison"
VERSION = 1
SHOWN = 10
"""Classes and questions shown of each direction, where the user does not say."""


def points(share: float | None) -> str:
    """Return a difference of shares in percentage points, with its sign.

    >>> points(-0.0123), points(0.5), points(None)
    ('−1.23', '+50.00', 'unknown')
    """
    if share is None:
        return "unknown"
    return f"{100 * share:+.2f}".replace("-", "−")


def p_value(p: float) -> str:
    """Return a p-value with its sign of relation.

    >>> p_value(0.03), p_value(0.00001)
    ('= 0.030', '< 0.001')
    """
    return "< 0.001" if p < 0.001 else f"= {p:.3f}"


def verdict(found: Comparison) -> str:
    """Say in a sentence whether the difference is more than luck."""
    clear = "significant" if found.sign_flip < ALPHA else "not significant"
    return (
        f"{points(found.difference)} points (95 % interval {_limits(found.interval)}), {clear}: "
        f"sign-flip p {p_value(found.sign_flip)}, McNemar p {p_value(found.mcnemar)}"
    )


def _limits(interval: Interval) -> str:
    return f"{points(interval.low)} to {points(interval.high)}"


def to_text(found: Comparison, shown: int = SHOWN) -> str:
    """Return what a terminal shows."""
    from tabulate import tabulate

    blocks = [tabulate(_plain(_sides(found)), headers=_SIDES, disable_numparse=True, colalign=_SIDES_ALIGNED)]
    blocks.append("\n".join(["A − B: " + verdict(found) + ".", *_facts(found)]))
    for title, headers, rows in _tables(found, shown):
        blocks.append(f"{title}\n{tabulate(_plain(rows), headers=headers, disable_numparse=True)}")
    return "\n\n".join(blocks) + "\n"


def to_markdown(found: Comparison, shown: int = SHOWN) -> str:
    """Return Markdown tables; nothing that a label or an answer holds is taken for Markdown or HTML."""
    blocks = [_markdown_table(_SIDES, _sides(found)), f"**A − B:** {verdict(found)}."]
    blocks.append("\n".join(f"* {fact}" for fact in _facts(found)))
    for title, headers, rows in _tables(found, shown):
        blocks.append(f"**{title}**\n\n{_markdown_table(headers, rows)}")
    return "\n\n".join(blocks) + "\n"


def to_json(found: Comparison, shown: int = SHOWN) -> str:
    """Return everything, every changed class and question; ``shown`` is for people."""
    content: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "a": _side_json(found.a),
        "b": _side_json(found.b),
        "significant": found.sign_flip < ALPHA,
    }
    left = {name: value for name, value in asdict(_without_runs(found)).items() if name not in content}
    return json.dumps(content | left, ensure_ascii=False, allow_nan=False, indent=2, sort_keys=True) + "\n"


def _without_runs(found: Comparison) -> Comparison:
    """Return the comparison without what a run's folder and card hold, which is not for copying."""
    empty: Any = None
    return replace(found, a=empty, b=empty)


def _side_json(side: Side) -> dict[str, Any]:
    run = side.run
    return {
        "run_id": run.run_id,
        "model": run.model,
        "dataset": run.dataset,
        "right": side.right,
        "accuracy": side.accuracy,
        "interval": asdict(side.interval),
    }


_SIDES = ("", "model", "dataset", "run", "accuracy in %", "95 % interval", "right")
_SIDES_ALIGNED = ("left", "left", "left", "left", "right", "right", "right")


def _sides(found: Comparison) -> list[tuple[str, ...]]:
    return [
        (
            name,
            side.run.model,
            _asked_about(side.run.column),
            side.run.run_id,
            f"{100 * side.accuracy:.2f}",
            f"{100 * side.interval.low:.2f} to {100 * side.interval.high:.2f}",
            f"{side.right:,} of {found.questions:,}",
        )
        for name, side in (("A", found.a), ("B", found.b))
    ]


def _asked_about(column: Column) -> str:
    """Return the dataset, and what the run was shown more or less than others.

    Two runs may differ in both; what they were asked is the same.
    """
    less = [] if column.shown == "shown" else [f"{column.shown} pictures"]
    more = ["field guide"] if column.guide else []
    return column.dataset + (f" ({', '.join([*less, *more])})" if less or more else "")


def _facts(found: Comparison) -> list[str]:
    same = found.questions - found.only_a - found.only_b
    detectable = "unknown (a single class)" if found.detectable is None else f"{100 * found.detectable:.2f} points"
    return [
        *_difference_means(found),
        f"Only A is right in {found.only_a:,} questions, only B in {found.only_b:,}; {same:,} have the same verdict.",
        f"Smallest difference that would have been found four times in five: {detectable}.",
        "Interval and sign-flip test are clustered by class; McNemar's exact test takes questions for independent.",
    ]


def _difference_means(found: Comparison) -> list[str]:
    """Say what a difference is of, where one side was told what its choices look like."""
    with_guide = [bool(side.run.column.guide) for side in (found.a, found.b)]
    if with_guide[0] == with_guide[1]:
        return []
    name, sign = ("A", "is") if with_guide[0] else ("B", "is minus")
    return [
        f"Only {name} was shown the field guide: A − B {sign} what the descriptions of the choices are worth to it."
    ]


def _tables(found: Comparison, shown: int) -> list[tuple[str, tuple[str, ...], list[tuple[str, ...]]]]:
    """Return title, heads and rows of each table: what differs, classes, questions of either direction."""
    made: list[tuple[str, tuple[str, ...], list[tuple[str, ...]]]] = []
    if found.apart:
        made.append(
            ("What else differs", ("", "A", "B"), [(each.name, _cut(each.a), _cut(each.b)) for each in found.apart])
        )
    worse = [each for each in found.classes if each.right_a < each.right_b]
    better = [each for each in reversed(found.classes) if each.right_a > each.right_b]
    for title, classes in (("Classes in which A is worse", worse), ("Classes in which A is better", better)):
        if classes:
            made.append((_of(title, shown, len(classes)), _CLASSES, [_class(each) for each in classes[:shown]]))
    for title, flips in (
        ("Questions that only B got right", [flip for flip in found.flips if flip.b.correct]),
        ("Questions that only A got right", [flip for flip in found.flips if flip.a.correct]),
    ):
        if flips and shown:
            made.append((_of(title, shown, len(flips)), _FLIPS, [_flip(flip) for flip in flips[:shown]]))
    return made


_CLASSES = ("class", "asked", "A right", "B right", "only A", "only B")
_FLIPS = ("question", "truth", "A", "B")


def _of(title: str, shown: int, total: int) -> str:
    return f"{title} ({total:,}{f', the first {shown}' if total > shown else ''})"


def _class(each: ClassChange) -> tuple[str, ...]:
    counts = (each.asked, each.right_a, each.right_b, each.only_a, each.only_b)
    return (each.label, *(f"{count:,}" for count in counts))


def _flip(flip: Flip) -> tuple[str, ...]:
    return (flip.question_id, flip.label, said_in_words(flip.a), said_in_words(flip.b))


def said_in_words(said: Said) -> str:
    """Return what a run answered, in a few words."""
    if said.error is not None:
        return f"failed: {_cut(said.error)}"
    return f"no choice ({said.rule})" if said.given is None else said.given


def _cut(text: str, most: int = 60) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _plain(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """Return rows without what would move a terminal's cursor."""
    return [
        ["".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in cell) for cell in row]
        for row in rows
    ]


def _markdown_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(headers) + " |", "|" + " --- |" * len(headers)]
    return "\n".join([*lines, *("| " + " | ".join(map(_markdown, row)) + " |" for row in _plain(rows))])


def _markdown(text: str) -> str:
    """Return text that Markdown and HTML show as it is."""
    return "".join(f"&#{ord(char)};" if char in "<>&|`*_[]\\" else char for char in text)
