"""Similar wrong categories of each chosen image: from an option miner or an option set's file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fgvr_bench.core.host import Host
from fgvr_bench.core.names import did_you_mean
from fgvr_bench.core.option_audit import Audit, audit_rows
from fgvr_bench.core.option_files import OptionSet
from fgvr_bench.core.options import find_or_build
from fgvr_bench.core.progress import Progress
from fgvr_bench.errors import OptionsInvalid, UsageError
from fgvr_bench.interfaces import MiningSettings
from fgvr_bench.types import Options
from finedefics.data.selecting import Selected

LEAK = 0.05
"""Image-blind accuracy so far above chance is worth a word."""
FEWEST = 8
"""Images of a class, on average, below which no audit is made: few-shot sets hold each class equally often, so who
knows the other questions knows the last by exclusion (random choices, 37 classes: 66 % at 1 image a class, 36 % at 2,
31 % at 4, 29 % at 8, 26 % at 20; chance is 25 %)."""


@dataclass(frozen=True, slots=True)
class Choices:
    """The options of every chosen image of a dataset."""

    rows: Sequence[Options]
    """Aligned with the chosen examples: the truth first, the most similar wrong category last."""
    source: dict[str, Any]
    """Miner, k, what it depended on, and the set's digest."""


def choices_of(
    host: Host, selected: Selected, specs: Sequence[str], settings: MiningSettings, progress: Progress
) -> Choices:
    """Return the options of the chosen images, `settings.k` of each where a miner is named.

    Args:
        host: where miners are registered.
        selected: the chosen images.
        specs: a miner's name; or files of option sets, of which the dataset's own is taken.
        settings: for the miner.
        progress: told while it mines.

    Raises:
        OptionsInvalid: a set of other images or labels, or one that offers a category that takes no part.
        UsageError: neither a miner nor a file, or no file is of this dataset.
    """
    if len(specs) == 1 and specs[0] in host.miners:
        dataset = selected.narrowed()
        digest = selected.digest if dataset is selected.dataset else dataset.source_digest(selected.split)
        mined = find_or_build(dataset, selected.split, specs[0], settings, dataset_digest=digest, progress=progress)
        return _taken(mined, selected)
    loaded = [OptionSet.load(_file(host, spec)) for spec in specs]
    own = next((each for each in loaded if each.header["dataset"] == selected.name), None)
    if own is None:
        raise UsageError(
            f"none of {', '.join(specs)} is an option set of {selected.name}.",
            hint=f"Mine one: fgvr-bench options build --dataset {selected.name} --split {selected.split}",
        )
    own.check(selected.dataset, selected.split, selected.digest)
    taken = _taken(own, selected)
    _check_part(taken, selected, own.path)
    return taken


def check_specs(host: Host, specs: Sequence[str]) -> None:
    """Make sure that each is a miner or a file, before anything takes time.

    Raises:
        UsageError: one is neither, or a miner is not alone.
    """
    for spec in specs:
        if spec not in host.miners:
            _file(host, spec)
        elif len(specs) > 1:
            raise UsageError(f"miner {spec} chooses for every dataset, so it is named alone, not with others.")


def _file(host: Host, spec: str) -> Path:
    path = Path(spec).expanduser()
    if not path.is_file():
        offered = did_you_mean(spec, host.miners.names())
        raise UsageError(f"{spec!r} is neither an option miner nor the file of an option set. {offered}")
    return path


def _taken(options: OptionSet, selected: Selected) -> Choices:
    header = options.header
    source = {name: header.get(name) for name in ("miner", "k", "seed", "miner_inputs")}
    return Choices(options.for_examples(selected.examples), {**source, "digest": options.digest})


def _check_part(choices: Choices, selected: Selected, path: Path) -> None:
    taking_part = set(selected.labels)
    for place in range(len(choices.rows)):
        row = choices.rows[place]
        if others := [label for label in row.choices if label not in taking_part]:
            raise OptionsInvalid(
                f"{path} offers {others[0]!r} beside {row.example_id}, and that class takes no part in training.",
                hint="Name a miner in its place (--options clip): it chooses among the classes that do.",
            )


def audit_of(every: Sequence[tuple[Selected, Choices]], progress: Progress) -> dict[str, Audit | None]:
    """Return for each dataset how much its options give away without a picture; None where they are too few."""
    import numpy as np

    found: dict[str, Audit | None] = {}
    for selected, choices in every:
        if len(choices.rows) < FEWEST * len(selected.labels):
            found[selected.name] = None
            continue
        index = {label: number for number, label in enumerate(selected.labels)}
        numbers = [[index[label] for label in choices.rows[place].choices] for place in range(len(choices.rows))]
        rows = np.full((len(numbers), max(map(len, numbers))), -1, np.int64)
        for place, row in enumerate(numbers):
            rows[place, : len(row)] = row
        try:
            with progress(f"auditing the choices of {selected.name}", None):
                found[selected.name] = audit_rows(rows)
        except OptionsInvalid:
            found[selected.name] = None
    return found


def leaks(audit: Audit) -> bool:
    """Say whether options give more away than luck would."""
    spread = (audit.chance * (1 - audit.chance) / audit.questions) ** 0.5
    return bool(audit.strongest.class_accuracy > audit.chance + max(LEAK, 3 * spread))
