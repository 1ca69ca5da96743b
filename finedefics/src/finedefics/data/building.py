"""From images, descriptions and options to the files that training reads.

``pretrain.csv`` (stage I): a row an image, with its description, its category, and the names and descriptions of
the most similar wrong categories.  ``finetune.csv`` (stage II): two rows an image, an open question that the name
answers, and the question with choices of protocol fgvr-1 that the letter answers.  Beside them ``report.json`` and
``examples.html``.  The same input gives the same bytes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fgvr_bench.core.files import read_json, write_json
from fgvr_bench.core.host import Host
from fgvr_bench.core.option_audit import Audit
from fgvr_bench.core.progress import Progress
from fgvr_bench.core.run_folder import file_digest
from fgvr_bench.errors import FgvrError
from finedefics.data.choices import audit_of, check_specs
from finedefics.data.descriptions import Descriptions
from finedefics.data.gathering import descriptions_by_dataset, gather
from finedefics.data.guard import TestImages
from finedefics.data.making import Material, Ways, align_rows, tune_rows
from finedefics.data.page import Shown, write_examples
from finedefics.data.selecting import open_dataset
from finedefics.data.settings import BuildSettings
from finedefics.data.wordings import read_wordings
from finedefics.rows import TrainingRow, write_rows

FORMAT = "finedefics/data"
VERSION = 1
FILES = {"align": "pretrain.csv", "tune": "finetune.csv"}
"""Name of each stage's file, as the published recipe has them."""
PROTOCOL, TASK = "fgvr-1", "multiple-choice"
"""How stage II's question with choices is asked."""


@dataclass(frozen=True, slots=True)
class Built:
    """What was written."""

    out: Path
    report: Mapping[str, Any]
    """As in ``report.json``."""
    audits: Mapping[str, Audit | None]
    """By dataset: how much its options give away; None where they are too few to say."""
    cautions: tuple[str, ...]
    """What a user should know, a sentence each."""


def build_data(host: Host, settings: BuildSettings, progress: Progress) -> Built:
    """Make the training files.

    Raises:
        UsageError: unknown names, no such split, a class with fewer images than shots, or settings that exclude
            each other.
        DataInvalid: images without description (named), descriptions of another version of a dataset, test images
            in numbers, negatives that cannot be told apart.
        FgvrError: files are not there or cannot be written; nothing half-written stays.
    """
    _check_out(settings.out)
    for specs in (settings.options, settings.negatives_from):
        check_specs(host, specs)
    ways = Ways(
        host.protocols[PROTOCOL].tasks[TASK],
        read_wordings("align_questions", settings.prompts),
        read_wordings("open_questions", settings.prompts),
        settings.align_answer,
        settings.negatives,
        settings.seed,
    )
    datasets = [open_dataset(host, name, settings.data_roots, settings.split) for name in settings.datasets]
    described = descriptions_by_dataset(settings, datasets)
    test = TestImages()
    for dataset in datasets:
        test.add(dataset, progress)
    materials = [
        gather(host, dataset, requested, described.get(dataset.card.name), test, settings, progress)
        for dataset, requested in zip(datasets, settings.datasets, strict=True)
    ]
    made = {str(stage): _rows(stage, materials, ways) for stage in settings.stages}
    audited = [(each.selected, each.options) for each in materials if each.options is not None]
    audits = audit_of(audited, progress)
    for stage, name in FILES.items():
        if stage in made:
            write_rows(settings.out / name, [row for rows, _ in made[stage] for row in rows], settings.out.absolute())
        else:
            (settings.out / name).unlink(missing_ok=True)  # of an earlier build: it would not fit its report
    report = _report(settings, ways, materials, made, audits, described)
    write_json(settings.out / "report.json", report)
    shown = [
        Shown(each, *(made[stage][place][0] if stage in made else [] for stage in FILES))
        for place, each in enumerate(materials)
    ]
    write_examples(settings.out / "examples.html", shown, report, settings.seed)
    return Built(settings.out, report, audits, tuple(_cautions(materials, made, described, test)))


Made = tuple[list[TrainingRow], int]
"""Rows of one dataset, and how many negatives were left out."""


def _rows(stage: str, materials: Sequence[Material], ways: Ways) -> list[Made]:
    if stage == "align":
        return [align_rows(each, ways) for each in materials]
    return [(tune_rows(each, ways), 0) for each in materials]


def _check_out(out: Path) -> None:
    """Make sure that nothing else would be overwritten."""
    report = out / "report.json"
    if report.exists():
        read_json(report, FORMAT, (VERSION,))
        return
    for name in (*FILES.values(), "examples.html"):
        if (out / name).exists():
            raise FgvrError(
                f"{out / name} is there and was not made here; it was left as it is.", hint="Name another --out."
            )


def _report(
    settings: BuildSettings,
    ways: Ways,
    materials: Sequence[Material],
    made: Mapping[str, Sequence[Made]],
    audits: Mapping[str, Audit | None],
    described: Mapping[str, Descriptions],
) -> dict[str, Any]:
    files = {
        FILES[stage]: {
            "stage": stage,
            "rows": sum(len(rows) for rows, _ in each),
            "sha256": file_digest(settings.out / FILES[stage]),
        }
        for stage, each in made.items()
    }
    datasets = {}
    for place, material in enumerate(materials):
        selected = material.selected
        own, audit = described.get(selected.name), audits.get(selected.name)
        counts = Counter(example.label for example in selected.examples)
        datasets[selected.name] = {
            **selected.header(settings.wanted(settings.datasets[place])),
            "images": len(selected.examples),
            "images_of_a_class": [min(counts.values()), max(counts.values())],
            "left_out": sorted(set(selected.dataset.labels()) - set(selected.labels)),
            "dropped": {reason: sorted(ids) for reason, ids in material.dropped.items() if ids},
            "descriptions": {"digest": own.header.get("digest"), "source": own.header.get("source")} if own else None,
            "options": None if material.options is None else material.options.source,
            "negatives": None if material.negatives is None else material.negatives.source,
            "negatives_left_out": made["align"][place][1] if "align" in made else 0,
            "audit": None if audit is None else audit.as_json(),
        }
    return {
        "format": FORMAT,
        "version": VERSION,
        "files": files,
        "datasets": datasets,
        "seed": settings.seed,
        "negatives": settings.negatives,
        "names_for_descriptions": settings.names,
        "questions": {
            "protocol": PROTOCOL,
            "task": TASK,
            "align": list(ways.align),
            "open": list(ways.open),
            "align_answer": ways.align_answer,
        },
    }


def _cautions(
    materials: Sequence[Material],
    made: Mapping[str, Sequence[Made]],
    described: Mapping[str, Descriptions],
    test: TestImages,
) -> list[str]:
    found = []
    for place, material in enumerate(materials):
        name = material.selected.name
        if name not in test.compared:
            found.append(f"{name} has no test split, so nothing was compared with one.")
        for reason, ids in material.dropped.items():
            if ids:
                more = ", ..." if len(ids) > 3 else ""
                found.append(f"{name}, left out as {reason}: {len(ids):,} ({', '.join(sorted(ids)[:3])}{more})")
        if name in described:
            found += [f"{described[name].path}: {caution}" for caution in described[name].cautions()]
        if "align" in made and (count := made["align"][place][1]):
            found.append(
                f"{name}: {count:,} negatives left out, because their classes are described as the image itself."
            )
    return found
