"""The model card of a tuned model, from the record of its measurement."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

Record = dict[str, Any]


def write_tuned(folder: Path, record: Record, before: Record, command: str, versions: str) -> None:
    """Write the card, and what it says as ``made.json``.

    Args:
        folder: the checkpoint's.
        record: of the tuned model.
        before: of the base model.
        command: that made it.
        versions: of what computed.
    """
    size = (folder / "model.safetensors").stat().st_size
    steps, rates = record["steps"], record["rates"]
    facts = {
        "command": f"`{command}`",
        "seed": str(record["seed"]),
        "versions": versions,
        "parameters": f"{record['parameters']:,}",
        "weights": f"bfloat16, {size:,} bytes",
        "trained on": f"moth-24 train, {record['shots']} images a species",
        "stage I": f"{steps['align']} steps of {steps['batch']} rows, rate {rates['align']:g}",
        "stage II": f"{steps['all'] - steps['align']} steps of {steps['batch']} rows, rate {rates['tune']:g}",
        "device": record["device"],
        "time": f"{record['seconds']:.0f} s",
    }
    rows = "\n".join(f"| {name} | {value} |" for name, value in facts.items())
    named: list[tuple[str, list[int], list[int]]] = [
        ("siblings: four names of a genus, by letter", _told(before), _told(record)),
        ("genus: names of four genera, by letter", before["genera"], record["genera"]),
        ("siblings, grey picture", before["blind"], record["blind"]),
    ]
    measured = "\n".join(f"| {name} | {_share(first)} | {_share(second)} |" for name, first, second in named)
    card = f"""# moth-finedefics

[moth-idefics2](../moth-idefics2/README.md) after both stages of Finedefics (arXiv 2501.15140), carried out by the
`finedefics` package on a few images of each moth; docs/miniature.md of the repository holds it against stage II alone.
Licence: MIT.  It loads with stock transformers, and with

    fgvr-bench run --model moth-finedefics --dataset moth-24

| | |
|---|---|
{rows}

| {record["split"]} | before | after |
|---|---|---|
{measured}

Measured before the weights were rounded to bfloat16.  Another processor or version of torch trains another, similar
model.
"""
    (folder / "README.md").write_text(card, encoding="utf-8")
    kept = {"facts": facts, "record": record}
    (folder / "made.json").write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")


def _told(record: Record) -> list[int]:
    return [str(record["siblings"]).count("1"), int(record["asked"])]


def _share(counts: list[int]) -> str:
    right, asked = counts
    return f"{right}/{asked}, {right / asked:.1%}"
