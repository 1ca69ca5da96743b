"""Tables and plots of the second round: shots, species held out, ablations, 4 bits, and whether stage I pays."""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.miniature.arms import (
    ABLATIONS,
    ALONE,
    BOTH,
    EXPLORED,
    FOUR_BIT_RATES,
    FOUR_BITS,
    HELD_OUT,
    STEPS,
    Arm,
    alone_of,
)
from benchmarks.miniature.compare import CONFIRMING, IN_FOUR_BITS, confirmations, read_records
from benchmarks.miniature.material import HELD_OUT as LEFT_OUT
from benchmarks.miniature.summary import IN_ORDER, Record, answers, chosen, finish, limits

from fgvr_bench.core.statistics import Interval, clustered_interval, difference_spread, t_quantile

CAREFUL = 1 - 0.05 / len(ABLATIONS)
"""Level of intervals that are read all at once."""


def tables(test: Sequence[Record], validation: Sequence[Record]) -> dict[str, str]:
    """Return every table that the records allow, as Markdown, by its name."""
    made = {
        "shots": shots(test),
        "held-out": held_out(test),
        "ablations": ablations(test),
        "four-bits": four_bits(test, validation),
        "exploration": explored(validation),
        "confirmation": confirmed(test, validation),
    }
    return {name: table for name, table in made.items() if table}


def told(records: Sequence[Record], part: Any = None) -> str:
    """Return the share of siblings that models tell apart, with its interval."""
    right, clusters = answers(records)
    kept = np.ones(len(right), bool) if part is None else part(clusters)
    return f"{100 * right[kept].mean():.1f} ({limits(clustered_interval(right[kept], clusters[kept]))})"


def difference(ours: Sequence[Record], theirs: Sequence[Record], level: float = 0.95) -> tuple[float, Interval, int]:
    """Return ours less theirs over the seeds that both have, its interval (questions by species), and seeds."""
    by_seed = {record["seed"]: record for record in theirs}
    pairs = [(record, by_seed[record["seed"]]) for record in ours if record["seed"] in by_seed]
    if not pairs:
        return float("nan"), Interval(float("nan"), float("nan")), 0
    (first, clusters), (second, _) = (answers([pair[side] for pair in pairs]) for side in (0, 1))
    spread = difference_spread(first, second, clusters)
    half = t_quantile((1 + level) / 2, spread.degrees) * sqrt(spread.variance)
    return spread.mean, Interval(spread.mean - half, spread.mean + half), len(pairs)


def less(ours: Sequence[Record], theirs: Sequence[Record], level: float = 0.95) -> str:
    """Return `difference` as a table has it."""
    mean, interval, seeds = difference(ours, theirs, level)
    return f"{100 * mean:+.1f} ({limits(interval)})" if seeds else ""


def shots(records: Sequence[Record]) -> str:
    """Return both arms at each number of images a species."""
    rows = ["| images a species | seeds | both stages | stage II alone | difference |", "|--:|--:|--:|--:|--:|"]
    for number in sorted({record["shots"] for record in records if record["arm"] == BOTH.name}):
        both, alone = (chosen(records, arm.name, number) for arm in (BOTH, ALONE))
        if both and alone:
            seeds = difference(both, alone)[2]
            rows.append(f"| {number} | {seeds} | {told(both)} | {told(alone)} | {less(both, alone)} |")
    return "\n".join(rows) if len(rows) > 2 else ""


def held_out(records: Sequence[Record]) -> str:
    """Return what models know of species that tuning never showed or named."""
    numbers = [IN_ORDER.index(label) for label in LEFT_OUT]
    rows = ["| what | seeds | species held out | the others |", "|---|--:|--:|--:|"]
    for arm in (*HELD_OUT, BOTH, ALONE):
        if own := chosen(records, arm.name):
            out = told(own, lambda clusters: np.isin(clusters, numbers))
            rest = told(own, lambda clusters: ~np.isin(clusters, numbers))
            rows.append(f"| {arm.name} | {len(own)} | {out} | {rest} |")
    return "\n".join(rows) if any(HELD_OUT[0].name in row for row in rows) else ""


def ablations(records: Sequence[Record]) -> str:
    """Return each ablation beside both stages of the same seeds."""
    both = chosen(records, BOTH.name)
    rows = [
        f"| what | seeds | siblings | less both stages, same seeds ({CAREFUL:.1%} interval) | picture to description "
        "| mined choices | mined choices, grey picture |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for arm in (BOTH, ALONE, *ABLATIONS):
        own = chosen(records, arm.name)
        if own:
            aligned = np.sum([record["aligned"]["description"] for record in own], axis=0)
            counted = [np.sum([record[name] for record in own], axis=0) for name in ("mined", "mined_blind")]
            shares = " | ".join(f"{100 * right / asked:.1f}" for right, asked in (aligned, *counted))
            beside = less(own, both, CAREFUL) if arm != BOTH else ""
            rows.append(f"| {arm.name} | {len(own)} | {told(own)} | {beside} | {shares} |")
    return "\n".join(rows) if any(chosen(records, arm.name) for arm in ABLATIONS) else ""


def chosen_rate(validation: Sequence[Record]) -> float | None:
    """Return the rate at which LoRA does better on validation, over the seeds that both rates have."""
    means = {}
    seeds = set.intersection(
        *({r["seed"] for r in validation if r["arm"] == f"LoRA, rate {rate:g}"} for rate in FOUR_BIT_RATES)
    )
    for rate in FOUR_BIT_RATES:
        own = [r for r in validation if r["arm"] == f"LoRA, rate {rate:g}" and r["seed"] in seeds]
        if own:
            means[rate] = answers(own)[0].mean()
    return max(means, key=lambda rate: means[rate]) if means else None


FORMS = ("", ", before merging", ", merged into the original weights")


def four_bits(test: Sequence[Record], validation: Sequence[Record]) -> str:
    """Return what adapters on weights in 4 bits cost, at both rates; the chosen one is marked."""
    rate = chosen_rate(validation)
    rows = [
        "| what | seeds | validation | test: siblings | less LoRA | less the same before merging | genera |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for untrained in ("base", IN_FOUR_BITS):
        own, seen = chosen(test, untrained, 0), chosen(validation, untrained, 0)
        if own and seen:
            rows.append(f"| {untrained} | 1 | {told(seen)} | {told(own)} | | | {_genera(own)} |")
    for arm in FOUR_BITS:
        for form in FORMS if arm.method == "qlora" else FORMS[:1]:
            name = f"{arm.name}{form}"
            own, seen = chosen(test, name), chosen(validation, name)
            if not own:
                continue
            lora = chosen(test, arm.name.replace("QLoRA", "LoRA"))
            before = chosen(test, f"{arm.name}{FORMS[1]}")
            sides = (
                less(own, lora) if arm.method == "qlora" else "",
                less(own, before) if arm.method == "qlora" and form != FORMS[1] else "",
            )
            marked = f"**{name}**" if arm.rates["tune"] == rate else name
            rows.append(
                f"| {marked} | {len(own)} | {told(seen)} | {told(own)} | {' | '.join(sides)} | {_genera(own)} |"
            )
    return "\n".join(rows) if len(rows) > 4 else ""


def _genera(records: Sequence[Record]) -> str:
    right, asked = np.sum([record["genera"] for record in records], axis=0)
    return f"{100 * right / asked:.1f}"


def explored(records: Sequence[Record]) -> str:
    """Return what was tried on validation images: stage I + stage II, and settings."""
    rows = [
        "| steps of stage I + II | seeds | siblings | less stage II alone at as many steps in all "
        "| less as many steps of stage II | genera | picture to description | loss of stage II at the end |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for arm in EXPLORED:
        own = chosen(records, arm.name)
        if not own:
            continue
        label = arm.name if "+" in arm.name else f"{arm.name}, {' + '.join(map(str, arm.counts(STEPS).values()))}"
        longer, shorter = (less(own, chosen(records, other.name)) if other else "" for other in _beside(arm))
        aligned = np.sum([record["aligned"]["description"] for record in own], axis=0)
        losses = [record["losses"]["tune"][-1] for record in own]
        rows.append(
            f"| {label} | {len(own)} | {told(own)} | {longer} | {shorter} | {_genera(own)} "
            f"| {100 * aligned[0] / aligned[1]:.1f} | {np.mean(losses):.3f} |"
        )
    return "\n".join(rows) if len(rows) > 2 else ""


def _beside(arm: Arm) -> tuple[Arm | None, Arm | None]:
    """Return stage II alone at as many steps in all, and at as many of stage II."""
    tune = arm.counts(STEPS)["tune"]
    shorter = (other for other in EXPLORED if arm.align and not other.align and other.method == arm.method)
    return alone_of(arm), next((other for other in shorter if other.counts(STEPS)["tune"] == tune), None)


def confirmed(test: Sequence[Record], validation: Sequence[Record]) -> str:
    """Return what was ahead on validation images beside stage II alone, on test images of seeds of its own."""
    rows = ["| what | seeds | siblings | stage II alone at as many steps | difference |", "|---|--:|--:|--:|--:|"]
    for pair in confirmations(validation):
        own, beside = (chosen(test, arm.name, seeds=CONFIRMING) for arm in pair)
        if own and beside:
            seeds = difference(own, beside)[2]
            rows.append(f"| {pair[0].name} | {seeds} | {told(own)} | {told(beside)} | {less(own, beside)} |")
    return "\n".join(rows) if len(rows) > 2 else ""


def _counts(record: Record) -> tuple[int, int]:
    steps = record["steps"]
    return steps["align"], steps["all"] - steps["align"]


def plots(test: Sequence[Record], validation: Sequence[Record], folder: Path) -> None:
    """Draw what the records allow."""
    if shots(test):
        plot_shots(test, folder / "shots.png")
    if ablations(test):
        plot_ablations(test, folder / "ablations.png")
    if explored(validation):
        plot_steps(validation, folder / "steps.png")


def _axes(width: float = 5.5, height: float = 3.8) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def plot_shots(records: Sequence[Record], path: Path) -> None:
    """Draw both arms over images a species: a point a seed, a line through the means."""
    figure, axes = _axes()
    for arm, colour in ((BOTH, "tab:blue"), (ALONE, "tab:orange")):
        numbers = sorted({record["shots"] for record in records if record["arm"] == arm.name})
        values = {n: [100 * answers([r])[0].mean() for r in chosen(records, arm.name, n)] for n in numbers}
        for number, found in values.items():
            axes.scatter([number] * len(found), found, color=colour, s=12, alpha=0.5)
        label = arm.name.replace("both stages", "stage I + II")
        axes.plot(numbers, [np.mean(values[number]) for number in numbers], color=colour, label=label)
    axes.axhline(25, color="0.7", linestyle=":", linewidth=1)
    axes.set_xscale("log", base=2)
    axes.set_xticks([4, 8, 16, 32, 100], ["4", "8", "16", "32", "100"])
    axes.set_xlabel("images of each species")
    axes.set_ylabel("siblings told apart, %")
    axes.legend(frameon=False)
    finish(figure, axes, path)


def plot_ablations(records: Sequence[Record], path: Path) -> None:
    """Draw each ablation's difference to both stages with its interval."""
    figure, axes = _axes(6.5, 3.6)
    both = chosen(records, BOTH.name)
    arms = [arm for arm in ABLATIONS if chosen(records, arm.name)]
    for place, arm in enumerate(reversed(arms)):
        mean, interval, _ = difference(chosen(records, arm.name), both, CAREFUL)
        axes.plot([100 * interval.low, 100 * interval.high], [place, place], color="0.5")
        axes.plot(100 * mean, place, "o", color="tab:blue")
    axes.axvline(0, color="0.7", linestyle=":", linewidth=1)
    axes.set_yticks(range(len(arms)), [arm.name for arm in reversed(arms)])
    axes.set_xlabel("siblings told apart, points more than both stages")
    finish(figure, axes, path)


def plot_steps(records: Sequence[Record], path: Path) -> None:
    """Draw siblings over steps in all: without stage I, after 96 steps of it, and other settings as points."""
    figure, axes = _axes()
    lines = ((0, "stage II alone", "tab:orange"), (96, "after 96 steps of stage I", "tab:blue"))
    for align, label, colour in lines:
        own = [arm.name for arm in EXPLORED if arm.name.startswith(f"{align} + ") and "," not in arm.name]
        points = sorted((sum(_counts(r)), 100 * answers([r])[0].mean()) for r in records if r["arm"] in own)
        steps = sorted({place for place, _ in points})
        axes.scatter([place for place, _ in points], [value for _, value in points], color=colour, s=12, alpha=0.5)
        axes.plot(steps, [np.mean([v for p, v in points if p == step]) for step in steps], color=colour, label=label)
    axes.axhline(25, color="0.7", linestyle=":", linewidth=1)
    axes.set_xlabel("steps of both stages together")
    axes.set_ylabel("siblings told apart, % (validation)")
    axes.legend(frameon=False)
    finish(figure, axes, path)


def read(folder: Path) -> tuple[list[Record], list[Record]]:
    """Return the records of a folder: test, validation."""
    return read_records(folder / "test.jsonl"), read_records(folder / "validation.jsonl")
