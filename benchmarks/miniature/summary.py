"""Tables and plots of what was measured: from the files of results to docs/miniature.md's figures."""

from __future__ import annotations

import argparse
from collections.abc import Container, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.miniature.arms import ALONE, BOTH
from benchmarks.miniature.compare import RESULTS, SEEDS, SHOTS, read_records

from fgvr_bench.core.files import atomic_writer
from fgvr_bench.core.statistics import Interval, clustered_interval, paired_difference
from fgvr_datasets._moth_species import SPECIES

PLOTS = Path(__file__).parent.parent.parent / "docs" / "images" / "miniature"
IN_ORDER = [species.label for species in sorted(SPECIES, key=lambda species: species.slug)]
"""Species in the order of a split's examples, which are sorted by id."""
Record = dict[str, Any]


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the settings."""
    parser.add_argument("--results", type=Path, default=RESULTS / "test.jsonl")
    parser.add_argument("--second", type=Path, default=RESULTS / "second", help="folder of the second round's files")
    parser.add_argument("--plots", type=Path, default=PLOTS, help="folder for the plots")


def run(settings: argparse.Namespace) -> int:
    """Print the tables as Markdown, and draw the plots."""
    records = read_records(settings.results)
    print(summary(records))
    settings.plots.mkdir(parents=True, exist_ok=True)
    plot_seeds(records, settings.plots / "seeds.png")
    from benchmarks.miniature import second

    later = second.read(settings.second)
    for name, table in second.tables(*later).items():
        print(f"\n**{name}**\n\n{table}")
    second.plots(*later, settings.plots)
    return 0


def summary(records: Sequence[Record]) -> str:
    """Return every table that the records allow, as Markdown."""
    return "\n\n".join([comparison(records), of_arms(records), aligned(records)])


def chosen(
    records: Iterable[Record], arm: str, shots: int = SHOTS, seeds: Container[int] = range(SEEDS)
) -> list[Record]:
    """Return the records of an arm, by seed."""
    found = [r for r in records if r["arm"] == arm and r["shots"] == shots and r["seed"] in seeds]
    return sorted(found, key=lambda record: int(record["seed"]))


def answers(records: Sequence[Record]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return whether each question of each record was answered rightly, and the number of its species."""
    right = np.array([[letter == "1" for letter in record["siblings"]] for record in records])
    return right.ravel(), np.tile(species_of(right.shape[1]), len(records))


def species_of(count: int) -> np.ndarray[Any, Any]:
    """Return the number of each question's species: its place in `IN_ORDER`."""
    return np.arange(count) * 24 // count


def comparison(records: Sequence[Record]) -> str:
    """Return the comparison that was fixed beforehand, seed by seed and over all."""
    pairs = list(zip(chosen(records, BOTH.name), chosen(records, ALONE.name), strict=False))
    rows = ["| seed | both stages | stage II alone | difference |", "|--:|--:|--:|--:|"]
    for both, alone in pairs:
        rows.append(_row(str(both["seed"]), [both], [alone]))
    rows.append(_row("all", [both for both, _ in pairs], [alone for _, alone in pairs]))
    return "\n".join(rows)


def _row(name: str, both: Sequence[Record], alone: Sequence[Record]) -> str:
    (first, clusters), (second, _) = answers(both), answers(alone)
    difference, interval = paired_difference(first, second, clusters)
    sides = [f"{100 * right.mean():.1f} ({limits(clustered_interval(right, clusters))})" for right in (first, second)]
    return f"| {name} | {' | '.join(sides)} | {100 * difference:+.1f} ({limits(interval)}) |"


def limits(interval: Interval) -> str:
    """Return an interval in percent."""
    return f"{100 * interval.low:.1f} to {100 * interval.high:.1f}"


def of_arms(records: Sequence[Record]) -> str:
    """Return a row an arm and number of shots: means over its seeds, and the difference to both stages."""
    rows = [
        "| what | shots | seeds | siblings | less both stages, same seeds | genera | siblings, grey picture |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for arm, shots in dict.fromkeys((r["arm"], r["shots"]) for r in records):
        own = chosen(records, arm, shots)
        right, clusters = answers(own)
        beside = {r["seed"]: r for r in chosen(records, BOTH.name, shots)}
        less = ""
        if arm != BOTH.name and all(record["seed"] in beside for record in own):
            difference, interval = paired_difference(
                right, answers([beside[record["seed"]] for record in own])[0], clusters
            )
            less = f"{100 * difference:+.1f} ({limits(interval)})"
        sums = [np.sum([record[name] for record in own], axis=0) for name in ("genera", "blind")]
        genera, blind = (100 * found / asked for found, asked in sums)
        told = f"{100 * right.mean():.1f} ({limits(clustered_interval(right, clusters))})"
        rows.append(f"| {arm} | {shots} | {len(own)} | {told} | {less} | {genera:.1f} | {blind:.1f} |")
    return "\n".join(rows)


def aligned(records: Sequence[Record]) -> str:
    """Return what `alignment` counted of each arm, over its seeds."""
    kinds = {
        "description": "picture to description",
        "name": "picture to name",
        "description to name": "description to name",
    }
    rows = [f"| what | shots | seeds | {' | '.join(kinds.values())} |", "|---|--:|--:|--:|--:|--:|"]
    for arm, shots in dict.fromkeys((r["arm"], r["shots"]) for r in records):
        own = chosen(records, arm, shots)
        sums = [np.sum([record["aligned"][kind] for record in own], axis=0) for kind in kinds]
        rows.append(f"| {arm} | {shots} | {len(own)} | {' | '.join(f'{100 * r / n:.1f}' for r, n in sums)} |")
    return "\n".join(rows)


def plot_seeds(records: Sequence[Record], path: Path) -> None:
    """Draw the comparison seed by seed."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 3.6), layout="constrained")
    axes: Any = figure.subplots()
    for both, alone in zip(chosen(records, BOTH.name), chosen(records, ALONE.name), strict=False):
        values = [100 * answers([record])[0].mean() for record in (alone, both)]
        axes.plot([0, 1], values, marker="o", color="0.3", linewidth=1)
    axes.axhline(25, color="0.7", linestyle=":", linewidth=1)
    axes.set_xticks([0, 1], ["stage II alone", "stage I + II"])
    axes.set_xlim(-0.4, 1.4)
    axes.set_ylabel("siblings told apart, %")
    finish(figure, axes, path)


def finish(figure: Any, axes: Any, path: Path) -> None:
    """Take away what a plot does not need, and write it."""
    axes.spines[["top", "right"]].set_visible(False)
    with atomic_writer(path) as file:
        figure.savefig(file, format="png", dpi=120, metadata={"Software": None})
