"""The model card that stands beside a merged checkpoint."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

CARD = "README.md"
TITLES = {"align": "stage I (alignment)", "tune": "stage II (instruction tuning)"}
STEP = "## Trained: "


def model_card(provenance: Mapping[str, Any], executions: Sequence[Mapping[str, Any]], before: Path) -> str:
    """Return a model card in Markdown: what was trained on what, settings, seed, commands, versions.

    Args:
        provenance: what ``finedefics.json`` holds.
        executions: the run's entries of ``machine.json``, oldest first.
        before: card of the starting model; the steps that it names come first.
    """
    earlier = _steps_of(before) if provenance.get("base_made_by") else []
    first = provenance
    while first.get("base_made_by"):
        first = first["base_made_by"]
    head = ["---", "library_name: transformers", "pipeline_tag: image-text-to-text", "tags: [fine-grained]"]
    if first["base"].get("checkpoint") not in {"local", "in memory"}:
        head.append(f"base_model: {first['base']['checkpoint']}")
    lines = [
        *head,
        "---",
        "",
        f"# {first['base_name']} after {TITLES[provenance['stage']]}",
        "",
        "Trained by the two-stage recipe of Finedefics (arXiv 2501.15140); to evaluate it, type",
        "",
        "    fgvr-bench run --model finedefics --checkpoint FOLDER --dataset bird-200",
        "",
    ]
    return "\n".join([*lines, *earlier, *_step(provenance, executions)])


def _steps_of(card: Path) -> list[str]:
    """Return the lines of the steps that a card names."""
    try:
        text = card.read_text()
    except OSError:
        return []
    return text[text.index(STEP) :].split("\n") if STEP in text else []


def _step(stage: Mapping[str, Any], executions: Sequence[Mapping[str, Any]]) -> list[str]:
    recipe = stage["recipe"]
    lines = [
        f"{STEP}{TITLES[stage['stage']]}",
        "",
        f"* from: {stage['base_name']} ({_identity(stage['base'])})",
        f"* rows: {stage['rows']:,} (SHA-256 `{stage['rows_sha256']}`)",
        f"* optimiser steps: {stage['step']:,}; seed {recipe['seed']}; weights written in {stage['dtype']}",
    ]
    if stage.get("temperatures"):
        each = ", ".join(f"{name.replace('_', '-')} {value:.5f}" for name, value in stage["temperatures"].items())
        lines.append(f"* temperatures: {each}")
    if stage.get("four_bit_difference") is not None:
        lines.append(f"* {_four_bits(stage)}")
    settings = ", ".join(f"{name} {value}" for name, value in recipe.items() if value not in (None, []))
    lines += [f"* settings: {settings}", ""]
    for execution in executions:
        versions = ", ".join(f"{name} {version}" for name, version in execution.get("versions", {}).items() if version)
        lines += ["```", shlex.join(execution.get("command", [])), "```", "", f"with {versions}.", ""]
    return lines


def _identity(base: Mapping[str, Any]) -> str:
    if base.get("checkpoint") == "local":
        return f"SHA-256 `{base['sha256']}`"
    return f"revision `{base.get('revision', '–')}`"


def _four_bits(stage: Mapping[str, Any]) -> str:
    share = f"{100 * stage['four_bit_difference']:.2f} %"
    if stage["into"] == "original":
        return (
            f"trained on 4-bit weights (NF4) and merged into the original ones, which differ from them by {share} "
            "(root mean square): the adapters have not seen these weights"
        )
    return f"trained on 4-bit weights (NF4) and merged into these, taken back; they differ from the original by {share}"
