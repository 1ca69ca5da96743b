"""Cards: what is known of a plugin before anything of it is loaded, and shown in every list."""

from __future__ import annotations

from typing import Any

from fgvr_bench.core.registry import Registry
from fgvr_bench.errors import FgvrError
from fgvr_bench.interfaces import DatasetCard, DatasetPlugin, ModelCard, ModelPlugin
from fgvr_bench.testing.findings import Findings

DECODINGS = ("generate", "logprob", "similarity")
EXPOSURES = ("zero-shot", "tuned", "unknown")


def look_at_name(found: Findings, kind: str, takes: type, thing: Any) -> None:
    """Check that the host would take the thing's name and aliases."""
    try:
        Registry[Any](kind, "plugins", takes).check(thing)
    except FgvrError as problem:
        found.wrong(f"It cannot be registered: {problem}")


def look_at_texts(found: Findings, card: Any, *names: str) -> None:
    """Check that fields of a card hold text, without stray spaces."""
    for name in names:
        value = getattr(card, name, None)
        if not isinstance(value, str) or not value.strip():
            found.wrong(f"Its card has no {name}. Write {name}=... into {type(card).__name__}(...).")
        elif value != value.strip():
            found.wrong(f"The {name} on its card has stray spaces: {value!r}. Take them away.")


def look_at_rights(found: Findings, card: ModelCard | DatasetCard) -> None:
    """Check that it is said under which licence the thing may be used, and whom to cite for it."""
    licence = card.licence.strip()
    if not licence or licence.lower() == "unknown":
        found.wrong(
            "Its card states no licence. Write licence=... (an SPDX identifier such as 'MIT' where there is one; "
            "'not stated by its authors' where they say nothing)."
        )
    published = card.homepage or getattr(card, "checkpoint", None)
    if published and not card.citation.strip() and not card.name.endswith(":"):
        found.wrong(f"Its card names {published} and no citation. Write citation=...: whom to cite for it.")


def look_at_model_card(found: Findings, plugin: ModelPlugin) -> None:
    """Check a model's card."""
    card = plugin.card
    look_at_name(found, "model", ModelPlugin, plugin)
    look_at_texts(found, card, "name", "title", "exposure")
    look_at_rights(found, card)
    unknown = [name for name in card.decodings if name not in DECODINGS]
    if unknown or not card.decodings:
        found.wrong(f"Its card has the decodings {card.decodings!r}; they are some of {', '.join(DECODINGS)}.")
    found.need(card.exposure in EXPOSURES, f"Its exposure is {card.exposure!r}; it is one of {', '.join(EXPOSURES)}.")
    template = card.foci_template
    found.need("{}" in template, f"Its foci_template {template!r} has no {{}} for the question.")


def look_at_dataset_card(found: Findings, plugin: DatasetPlugin) -> None:
    """Check a dataset's card."""
    card = plugin.card
    look_at_name(found, "dataset", DatasetPlugin, plugin)
    look_at_texts(found, card, "name", "title", "noun", "options")
    look_at_rights(found, card)
    if card.options == "published" and card.published is None:
        found.wrong("Its card takes options='published' and names no published option set. Write published=...")
    for split, count in card.images.items():
        if not isinstance(count, int) or count < 1:
            found.wrong(f"Its card says that split {split!r} has {count!r} images. Leave out a split without any.")
