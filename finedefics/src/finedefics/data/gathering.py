"""Everything that a dataset's rows are made of, looked up and checked before a row is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from fgvr_bench.core.host import Host
from fgvr_bench.core.listing import example_ids
from fgvr_bench.core.progress import Progress
from fgvr_bench.errors import DataInvalid, UsageError
from fgvr_bench.interfaces import Dataset
from finedefics.data.choices import Choices, choices_of
from finedefics.data.descriptions import Descriptions, read_descriptions
from finedefics.data.guard import TestImages, unfit
from finedefics.data.making import Material
from finedefics.data.pictures import picture_paths
from finedefics.data.selecting import Selected, select
from finedefics.data.settings import CHOICES, BuildSettings

Dropped = dict[str, list[str]]


def descriptions_by_dataset(settings: BuildSettings, datasets: Sequence[Dataset]) -> dict[str, Descriptions]:
    """Read the files of descriptions, one a dataset.

    Raises:
        UsageError: two of one dataset, none of another, or one of a dataset that is not asked for.
    """
    if settings.names or "align" not in settings.stages:
        return {}
    found: dict[str, Descriptions] = {}
    names = [dataset.card.name for dataset in datasets]
    for path in settings.descriptions:
        read = read_descriptions(path)
        if read.dataset not in names:
            raise UsageError(f"{path} describes {read.dataset}, and the rows are to be of {', '.join(names)}.")
        if read.dataset in found:
            raise UsageError(f"{found[read.dataset].path} and {path} both describe {read.dataset}; give one of them.")
        found[read.dataset] = read
    for name in names:
        if name not in found:
            raise UsageError(
                f"no file of descriptions is of {name}.",
                hint=f"Make it: fgvr-bench finedefics describe --dataset {name} --out {name}.jsonl",
            )
    return found


def gather(
    host: Host,
    dataset: Dataset,
    requested: str,
    described: Descriptions | None,
    test: TestImages,
    settings: BuildSettings,
    progress: Progress,
) -> Material:
    """Choose a dataset's images and find their descriptions, options and pictures.

    Raises:
        FgvrError: see `finedefics.data.building.build_data`.
    """
    selected, dropped = _choose(dataset, requested, described, test, settings, progress)
    texts: Mapping[str, str] = {}
    if "align" in settings.stages:
        texts = _names(selected) if described is None else _texts(selected, described)
    options, negatives = _options(host, selected, settings, progress)
    return Material(
        selected, texts, options, negatives, picture_paths(selected.examples, settings.out, progress), dropped
    )


def _choose(
    dataset: Dataset,
    requested: str,
    described: Descriptions | None,
    test: TestImages,
    settings: BuildSettings,
    progress: Progress,
) -> tuple[Selected, Dropped]:
    """Choose images, and others in the place of those that cannot be trained on, until all can."""
    wanted = settings.wanted(requested)
    dropped: Dropped = {"test image": [], "unreadable": [], "without description": []}
    if described is not None and settings.skip_missing:
        there = {row.example_id for row in described.rows}
        dropped["without description"] = [
            each for each in example_ids(dataset.examples(wanted.split)) if each not in there
        ]
    while True:
        without = {example_id for ids in dropped.values() for example_id in ids}
        selected = select(dataset, wanted, progress, without)
        if described is not None:
            described.check(selected.name, selected.split, selected.digest)
        found = unfit(selected, test, progress)
        if not found.test and not found.unreadable:
            return selected, dropped
        dropped["test image"] += found.test
        dropped["unreadable"] += found.unreadable


def _options(
    host: Host, selected: Selected, settings: BuildSettings, progress: Progress
) -> tuple[Choices | None, Choices | None]:
    """Return the options of stage II and those that stage I's negatives come from, each where the stage is built."""
    tuned = settings.options if "tune" in settings.stages else None
    aligned = (settings.negatives_from or settings.options) if "align" in settings.stages else None
    ks = {"tune": CHOICES, "align": settings.negatives + 1}

    def made(stage: str, specs: tuple[str, ...] | None) -> Choices | None:
        mining = replace(settings.mining, seed=settings.seed, k=ks[stage])
        return None if specs is None else choices_of(host, selected, specs, mining, progress)

    options = made("tune", tuned)
    shared = options is not None and aligned == tuned and ks["align"] == options.source["k"]
    return options, options if shared else made("align", aligned)


def _names(selected: Selected) -> dict[str, str]:
    return {example.example_id: example.label for example in selected.examples}


def _texts(selected: Selected, described: Descriptions) -> Mapping[str, str]:
    """Return the description of each chosen image.

    Raises:
        DataInvalid: some have none, or one is filed under another category; named.
    """
    rows = {row.example_id: row for row in described.rows}
    missing = [example.example_id for example in selected.examples if example.example_id not in rows]
    if missing:
        more = f" and {len(missing) - 3:,} more" if len(missing) > 3 else ""
        raise DataInvalid(
            f"{described.path} has no description of {', '.join(missing[:3])}{more} ({len(missing):,} of "
            f"{len(selected.examples):,} chosen images).",
            hint="Describe them too (the same --shots, --seed and --classes choose the same images), or leave them out "
            "with --skip-missing.",
        )
    for example in selected.examples:
        row = rows[example.example_id]
        if row.label != example.label:
            raise DataInvalid(
                f"{described.path} describes {row.example_id} as {row.label!r}, and it is {example.label!r}."
            )
    return {example.example_id: rows[example.example_id].description for example in selected.examples}
