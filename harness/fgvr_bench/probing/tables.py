"""A study in words and as a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fgvr_bench.core.files import write_json
from fgvr_bench.probing.study import Study

FORMAT = "fgvr-bench/probe"
VERSION = 1


def write_study(study: Study, path: Path) -> None:
    """Write all figures with their inputs; the same study gives the same bytes.

    Raises:
        FgvrError: the file cannot be written.
    """
    write_json(
        path,
        {
            "format": FORMAT,
            "version": VERSION,
            "inputs": study.inputs,
            "pictures": study.pictures,
            "chance": study.chance,
            "spaces": study.spaces,
            "knowledge": study.knowledge,
            "alignment": study.alignment,
        },
    )


def to_text(study: Study) -> str:
    """Return the figures as a terminal shows them, in percent, with their 95 % intervals."""
    return "\n\n".join(_blocks(study)) + "\n"


def _blocks(study: Study) -> Iterator[str]:
    counts = ", ".join(f"{part} {found['pictures']:,}" for part, found in study.pictures.items())
    yield f"Pictures: {counts}. Chance {100 * study.chance:.1f} %. In brackets: 95 % intervals, clustered by class."
    siblings = any("among siblings" in found["linear"] for found in study.spaces.values())
    yield "What the features hold of the class, in %\n" + _table(
        [
            *("features", "numbers", "linear probe"),
            *(["among siblings"] if siblings else []),
            *("neighbours", "k", "retrieval, mAP", "recall at 1"),
        ],
        [_space(space, found, siblings) for space, found in study.spaces.items()],
    )
    unsettled = [space for space, found in study.spaces.items() if not found["linear"]["settled"]]
    if unsettled:
        yield f"The solver did not come to its end on {', '.join(unsettled)}: more could be in them."
    if study.knowledge is not None:
        yield "Does a description retrieve its name among all names? In %\n" + _table(
            ["embeddings", "recall at 1", *(["among siblings"] if siblings else []), "reciprocal rank"],
            [
                [how, _share(found["accuracy"]), *_siblings(found, siblings), _share(found["reciprocal rank"])]
                for how, found in study.knowledge.items()
            ],
        )
    if study.alignment is not None:
        yield from _alignment(study.alignment, siblings)


def _space(space: str, found: Mapping[str, Any], siblings: bool) -> list[str]:
    linear, neighbours, retrieval = found["linear"], found["neighbours"], found["retrieval"]
    return [
        space,
        f"{found['dimensions']:,}",
        _share(linear["accuracy"]),
        *_siblings(linear, siblings),
        _share(neighbours["accuracy"]),
        str(neighbours["k"]),
        _share(retrieval["mean average precision"]),
        _share(retrieval["recall at 1"]),
    ]


def _alignment(found: Mapping[str, Any], siblings: bool) -> Iterator[str]:
    rows = [
        [
            f"{kind}, {how}",
            _share(figures["accuracy"]),
            *_siblings(figures, siblings),
            *(f"{figures[name]:.3f}" for name in ("distance to own", "distance to others", "gap")),
        ]
        for kind in ("names", "descriptions")
        for how, figures in found.get(kind, {}).items()
    ]
    heads = ["nearest to pictures", "right, in %", *(["among siblings"] if siblings else [])]
    yield "Do pictures lie beside their texts?\n" + _table(
        [*heads, "distance to own", "to others", "gap of centroids"], rows
    )
    spread = {name: "–" if value is None else f"{value:.3f}" for name, value in found["pictures"].items()}
    yield (
        f"Distance of two pictures of one class {spread['within classes']}, of different classes "
        f"{spread['between classes']}; within / between {spread['within / between']}."
    )


def _siblings(found: Mapping[str, Any], shown: bool) -> list[str]:
    return [_share(found["among siblings"])] if shown else []


def _share(found: Mapping[str, Any]) -> str:
    """Return a share in percent with its interval.

    >>> _share({"value": 0.5, "interval": [0.4, 0.6], "count": 10})
    '50.0 [40.0, 60.0]'
    """
    if found["value"] is None:
        return "–"
    low, high = found["interval"]
    return f"{100 * found['value']:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    from tabulate import tabulate

    aligned = ["left", *["right"] * (len(heads) - 1)]
    return tabulate(rows, headers=list(heads), disable_numparse=True, colalign=aligned)
