"""What every format of a board says: heads, figures and caption, as plain text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from fgvr_bench import __version__
from fgvr_bench.core.board import BLIND, EXPOSURES, LEAKING, Figure, Line, Table
from fgvr_bench.core.results import Column
from fgvr_bench.core.statistics import ALPHA, POWER

NOTHING = "No complete run yet.\n"
BESIDE = ("parameters", "tokens", "from")
"""Heads of the columns after the figures, where any row has something to say there."""


@dataclass(frozen=True, slots=True)
class Grid:
    """A table's text, laid out; formats escape it and draw the lines.  Rows come one by one, whenever asked for."""

    table: Table
    title: str
    heads: tuple[tuple[str, ...], ...]
    """Lines of the head of each column, the model's and the rank's first."""
    beside: tuple[str, ...]
    """Heads of the columns after the figures."""
    ranked: bool
    """Whether the second column is the rank."""

    @property
    def blocks(self) -> Iterator[tuple[str, Iterator[tuple[Line, tuple[str, ...]]]]]:
        """Title of each block, and of each row the line itself and what stands beside its figures, see `beside`."""
        for block in self.table.blocks:
            yield block.title, ((line, self._beside(line)) for line in block.lines)

    @property
    def caption(self) -> Iterator[str]:
        """The sentences beneath."""
        return caption(self.table)

    def _beside(self, line: Line) -> tuple[str, ...]:
        tokens = "" if line.tokens is None else f"{line.tokens:,.1f}"
        told = {"parameters": parameters(line.parameters), "tokens": tokens, "from": line.source}
        return tuple(told[name] for name in self.beside)


def lay_out(table: Table) -> Grid:
    """Return a table's words."""
    ranked = table.shown.ranked
    beside = tuple(name for name in BESIDE if name in table.shown.beside)
    return Grid(
        table,
        title=f"{table.task}, protocol {table.protocol}: {table.metric} in %",
        heads=(("model",), *((("rank",),) if ranked else ()), *figure_heads(table), *((name,) for name in beside)),
        beside=beside,
        ranked=ranked,
    )


def in_turn(tables: Sequence[Table], write: Callable[[Grid], Iterator[str]]) -> Iterator[str]:
    """Yield the tables as text, piece by piece, with an empty line between them."""
    for number, table in enumerate(tables):
        if number:
            yield "\n"
        yield from write(lay_out(table))
    if not tables:
        yield NOTHING


def joined(between: str, texts: Iterator[str]) -> Iterator[str]:
    """Yield texts with something between them, as `str.join` would.

    >>> list(joined(", ", iter("abc")))
    ['a', ', b', ', c']
    """
    for number, text in enumerate(texts):
        yield f"{between}{text}" if number else text


def figure_heads(table: Table) -> list[tuple[str, ...]]:
    """Return the lines at the head of each column of figures."""
    seen = [column for column, _ in table.pairs]
    harmonic = [
        (column.dataset, "harmonic mean", *_apart(column, [one for one in seen if one.dataset == column.dataset]))
        for column in seen
    ]
    averages = {"mean": ("mean", "of datasets"), "micro": ("micro", "all questions")}
    return [
        *(_head(column, table) for column in table.columns),
        *harmonic,
        *(averages[name] for name in table.averages),
    ]


def percent(share: float) -> str:
    """Return a share of 1 in percent, two decimals, as papers do: the interval says what they are worth.

    >>> percent(0.7233333333333334)
    '72.33'
    """
    return f"{100 * share:.2f}"


def interval(figure: Figure, dash: str = "–") -> str:
    """Return the limits of a figure, or nothing."""
    limits = figure.interval
    return f"{100 * limits.low:.1f}{dash}{100 * limits.high:.1f}" if limits else ""


def rank(line: Line) -> str:
    """Return a rank as sports do: ``=2`` where several share it."""
    return "" if line.rank is None else f"{'=' * line.shared}{line.rank}"


def parameters(count: int | None) -> str:
    """Return a number of parameters.

    >>> parameters(8402768112), parameters(464797)
    ('8.4 B', '0.46 M')
    """
    if not count:
        return "" if count is None else "0"
    value, unit = (count / 1e9, "B") if count >= 1e9 else (count / 1e6, "M")
    return f"{value:.1f} {unit}" if value >= 1 else f"{value:.2g} {unit}"


def _head(column: Column, table: Table) -> tuple[str, ...]:
    counts = sorted(table.shown.questions.get(column, ()))
    lines = (*_name(column), *_apart(column, [each for each in table.columns if _name(each) == _name(column)]))
    return (*lines, f"n = {', '.join(f'{count:,}' for count in counts)}") if counts else lines


def _name(column: Column) -> tuple[str, ...]:
    """Return the name of a column: all but what only tells twins apart."""
    split = column.split if column.split != "test" else ""
    return (" ".join(filter(None, [column.dataset, split, column.subset])),)


def _apart(column: Column, twins: Sequence[Column]) -> list[str]:
    """Return what sets a column apart from its twins, the columns of the same name (itself among them).

    That the questions differ is said where nothing else is.
    """
    said = [_particulars(each) for each in twins]
    own = _particulars(column)
    told = [text for place, text in enumerate(own) if len({each[place] for each in said}) > 1]
    return told[:-1] if len(told) > 1 and own[-1] == told[-1] else told


def _particulars(column: Column) -> tuple[str, ...]:
    return (
        f"split {column.split}",
        f"subset {column.subset or 'none'} {column.members[:8]}".rstrip(),
        f"images {column.images[:8]}",
        f"{column.miner} {column.options[:8]}",
        f"{column.permutations} order{'s' * (column.permutations > 1)}",
        f"seed {column.seed}",
        f"field guide {column.guide[:8] or 'none'}",
        f"questions {column.question_set[:8]}",
    )


def caption(table: Table) -> Iterator[str]:
    """Say what the columns were asked with, what the figures mean, and what to be careful about."""
    yield from dict.fromkeys(_asked(column, table) for column in table.columns if column.images)
    yield from _statistics(table)
    yield from _cautions(table)
    yield from _answers(table)
    if table.sources:
        yield "Sources of what was reported: " + "; ".join(table.sources) + "."


def _asked(column: Column, table: Table) -> str:
    return (
        f"{column.dataset}: {table.classes[column]:,} classes, options {column.miner}"
        + (f" ({column.options[:12]})" if column.options != "none" else "")
        + f", images {column.images[:12]}, seed {column.seed}"
        + (f", {column.permutations} orders a question" if column.permutations > 1 else "")
        + (f", field guide {column.guide[:12]}" if column.guide else "")
        + "."
    )


def _statistics(table: Table) -> Iterator[str]:
    standing = table.standing
    if standing.compared:
        yield "With each figure its 95 % interval, clustered by class."
    if standing.pairs:
        yield (
            "Rank: 1 + the number of models significantly better"
            + (" by the mean of datasets" if table.averages else "")
            + f" (sign-flip test by class, level {100 * ALPHA:.0f} %, Holm's correction for {standing.pairs:,} "
            f"pair{'s' * (standing.pairs > 1)})."
        )
    if table.shown.level:
        yield "≈: not significantly worse than the best of its column."
    named = [(_name(column)[0], column) for column in table.columns] + [(name, name) for name in table.averages]
    found = [(name, standing.detectable.get(statistic)) for name, statistic in named]
    told = [f"{name} {100 * value:.1f}" for name, value in found if value is not None]
    if told:
        power = f"{100 * POWER:.0f} % power"
        yield f"Smallest difference that would have been found with {power}, in points: {', '.join(told)}."


def _cautions(table: Table) -> Iterator[str]:
    tuned = [block for block in table.blocks if block.title == EXPOSURES["tuned"]]
    for column in table.columns:
        blind, chance = table.blind.get(column, 0.0), table.chance.get(column, 1.0)
        if blind <= chance + LEAKING:
            continue
        met = [line.label for block in tuned for line in block.lines if line.cells and column in line.cells]
        if met:
            yield (
                f"Caution: the options of {column.dataset} alone give away {100 * blind:.1f} % of the answers (chance "
                f"{100 * chance:.1f} %), and a model tuned on its train split may have learnt to read them: "
                f"{', '.join(met)}. See the rows “{BLIND}”."
            )


def _answers(table: Table) -> Iterator[str]:
    """Name failed and unparsed answers, and figures that another version scored."""
    for line in table.lines:
        notes = []
        for column, run in (line.cells or {}).items():
            unparsed = run.metrics.get("unparsed")
            said = ([f"{run.failed:,} failed"] if run.failed else []) + (
                [f"{100 * unparsed:.1f} % unparsed"] if unparsed else []
            )
            if run.scored_by != __version__:
                said.append(f"scored by fgvr-bench {run.scored_by}")
            if said:
                notes.append(f"{_name(column)[0]} {', '.join(said)}")
        if notes:
            yield f"{line.label}: {'; '.join(sorted(notes))}."
