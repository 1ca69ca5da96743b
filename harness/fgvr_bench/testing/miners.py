"""What an option miner can get wrong."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fgvr_bench.core.files import canonical_json
from fgvr_bench.errors import ModelUnavailable, UsageError
from fgvr_bench.interfaces import Dataset, MiningSettings, OptionMiner
from fgvr_bench.testing.cards import look_at_name
from fgvr_bench.testing.findings import Findings, described, first
from fgvr_bench.testing.generators import poisoned, watched
from fgvr_bench.testing.identity import look_at_identity, look_at_unknown_setting
from fgvr_bench.testing.toys import ToyDataset
from fgvr_bench.types import Example, Options

EXAMPLES = 18
"""How many examples of a dataset are mined."""


@dataclass(slots=True)
class Mined:
    """What came of one mining."""

    rows: list[Options]
    found: Any = None
    """What the generator returned."""
    told: int = 0
    """How many examples it said were done."""


def check_miner(
    miner: OptionMiner, dataset: Dataset | None = None, settings: MiningSettings | None = None, *, split: str = "test"
) -> None:
    """Check an option miner: what it says of itself, and the options that it chooses, asked for in several ways.

    Args:
        miner: what the plugin registers.
        dataset: a dataset to mine; by default 18 painted pictures of six labels, with their ranks and descriptions.
        settings: the miner's own settings (``MiningSettings(args={"model": folder})``); k and seed are varied.
        split: the split to mine, of which the first examples are taken.

    Raises:
        PluginFault: names everything that is wrong.
    """
    __tracebackhide__ = True  # a fault says it all
    found = Findings(f"Option miner {getattr(miner, 'name', miner)!r}")
    look_at_name(found, "option miner", OptionMiner, miner)
    mined = dataset or ToyDataset()
    given = settings or MiningSettings(workers=0)
    if look_at_identity(found, lambda: miner.identify(mined, given)) is not None:
        unknown = replace(given, args={**given.args, "no-such-setting": "1"})
        look_at_unknown_setting(found, lambda: miner.identify(mined, unknown), "--miner-arg")
    examples = mined.examples(split)[:EXAMPLES]
    usual = _look_at_mining(found, miner, mined, examples, given)
    if usual is not None:
        _look_at_variations(found, miner, mined, examples, given, usual.rows)
    found.settle()


def _look_at_mining(
    found: Findings, miner: OptionMiner, dataset: Dataset, examples: Sequence[Example], settings: MiningSettings
) -> Mined | None:
    """Mine once and look at what comes; return it where there is anything to compare with."""
    try:
        with poisoned(51), watched() as moved:
            usual = _mine(miner, dataset, examples, settings)
    except (ModelUnavailable, UsageError) as problem:
        found.wrong(
            f"It cannot mine here: {problem} Give the check settings that it can: "
            "settings=MiningSettings(args={...}), or a dataset that it can mine."
        )
        return None
    except Exception as problem:
        found.wrong(f"mine() raises {described(problem)}.")
        return None
    # loading a model draws weights from torch's before it reads them; choices that hang on it are found below
    if drawn_from := [name for name in moved if name != "torch"]:
        found.wrong(
            f"mine() moves the global generator of {' and '.join(drawn_from)}. Draw from a generator of your own, "
            "seeded by (seed, example id)."
        )
    if usual.told != len(examples):
        found.wrong(
            f"It calls progress() for {usual.told} examples of {len(examples)}. Call progress(n) when n more are done."
        )
    if usual.found is not None:
        _look_at_found(found, usual.found)
    return usual if _look_at_rows(found, dataset, examples, usual.rows, settings.k) else None


def _mine(miner: OptionMiner, dataset: Dataset, examples: Sequence[Example], settings: MiningSettings) -> Mined:
    mined = Mined([])

    def progress(count: int) -> None:
        mined.told += count

    rows: Iterator[Options] = iter(miner.mine(dataset, examples, settings, progress))
    while len(mined.rows) <= len(examples):
        try:
            mined.rows.append(next(rows))
        except StopIteration as stop:
            mined.found = stop.value
            break
    return mined


def _look_at_found(found: Findings, said: Any) -> None:
    if not isinstance(said, Mapping):
        found.wrong(
            f"mine() returns a {type(said).__name__} at its end; it returns a mapping of what it found, or nothing."
        )
        return
    try:
        canonical_json(dict(said))
    except (TypeError, ValueError) as problem:
        found.wrong(f"mine() returns at its end what cannot be written as JSON ({problem}).")


def _look_at_rows(found: Findings, dataset: Dataset, examples: Sequence[Example], rows: Sequence[Any], k: int) -> bool:
    """Check the rows of one mining; return whether they are rows that others can be compared with."""
    if strange := next((row for row in rows if not isinstance(row, Options)), None):
        found.wrong(f"mine() yields a {type(strange).__name__}; it yields Options.")
        return False
    if [row.example_id for row in rows] != [example.example_id for example in examples]:
        if len(rows) != len(examples):
            count = f"more than {len(examples)}" if len(rows) > len(examples) else str(len(rows))
            found.wrong(f"mine() yields {count} rows for {len(examples)} examples. Yield one for each.")
        else:
            found.wrong("mine() yields options in another order than the examples. Keep theirs.")
        return False
    labels = list(dataset.labels())
    wanted = min(k, len(labels))
    faults: dict[str, list[str]] = {}
    for example, row in zip(examples, rows, strict=True):
        problems = {
            f"Options do not begin with the truth: {first([row.truth])} for": row.truth != example.label,
            f"Options are not {wanted} (k, or all labels where there are fewer) of": len(row.choices) != wanted,
            "Options hold what is no label of the dataset, of": bool(set(row.choices) - set(labels)),
            f"truth_rank is not one of 1 to {len(labels)} of": row.truth_rank is not None
            and not 1 <= row.truth_rank <= len(labels),
            "similarities are not finite of": not all(map(math.isfinite, row.similarities)),
            "truth_margin is not finite of": not math.isfinite(row.truth_margin or 0.0),
            "truth_margin is above 0 only where truth_rank is 1; it is not so of": _at_odds(row),
        }
        for what, is_so in problems.items():
            if is_so:
                faults.setdefault(what, []).append(example.example_id)
    for what, bad in faults.items():
        found.wrong(f"{what} {first(bad)}.", kind=what)
    return True


def _at_odds(row: Options) -> bool:
    return bool(row.truth_margin and row.truth_rank) and ((row.truth_margin or 0.0) > 0) != (row.truth_rank == 1)


def _look_at_variations(
    found: Findings,
    miner: OptionMiner,
    dataset: Dataset,
    examples: Sequence[Example],
    settings: MiningSettings,
    usual: Sequence[Options],
) -> None:
    """Mine in other ways, none of which may change a choice, and for other k."""
    same = {
        "mined again": (
            settings,
            "It chooses otherwise when it is asked again. Draw from (seed, example id) alone, and keep nothing.",
        ),
        "in batches of another size": (
            replace(settings, batch_size=5),
            "It chooses otherwise in batches of another size, which no header names. An example's options are its own.",
        ),
    }
    if not miner.seeded:
        same["with another seed"] = (
            replace(settings, seed=settings.seed + 1),
            "It says seeded = False and chooses otherwise with another seed. Write seeded = True.",
        )
    for number, (what, (other, wrong)) in enumerate(same.items()):
        with found.trying(f"mine(), {what},"), poisoned(52 + number):
            rows = _mine(miner, dataset, examples, other).rows
            found.need([row.choices for row in rows] == [row.choices for row in usual], wrong)
    labels = len(dataset.labels())
    for k in dict.fromkeys((2, labels, min(26, labels + 1))):
        with found.trying(f"mine() with k = {k}"), poisoned(60):
            _look_at_rows(found, dataset, examples, _mine(miner, dataset, examples, replace(settings, k=k)).rows, k)
