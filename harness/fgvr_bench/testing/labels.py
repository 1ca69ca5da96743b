"""Labels of a dataset, and what it says about them."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence

from fgvr_bench.interfaces import Dataset
from fgvr_bench.testing.findings import Findings, first


def look_at_labels(found: Findings, dataset: Dataset) -> Sequence[str]:
    """Check the labels' number and spelling; return them."""
    labels: Sequence[str] = ()
    with found.trying("labels()"):
        labels = list(dataset.labels())
        if not found.need(all(isinstance(label, str) for label in labels), "labels() holds what is no text."):
            return ()
        if list(dataset.labels()) != labels:
            found.wrong("labels() returns other labels when it is called again. Keep the published order.")
    found.need(len(labels) >= 2, f"It has {len(labels)} labels; a question needs two to choose from.")
    faults: list[tuple[str, Callable[[str], bool]]] = [
        ("are empty", lambda label: not label.strip()),
        ("have stray spaces", lambda label: label != label.strip() or "  " in label),
        ("hold line breaks or other control characters", lambda label: any(map(_is_control, label))),
        ("are not in Unicode normal form C", lambda label: unicodedata.normalize("NFC", label) != label),
    ]
    for what, is_wrong in faults:
        if bad := [label for label in labels if is_wrong(label)]:
            found.wrong(f"Labels {what}: {first(bad)}. Mend them where the annotations are read.")
    if repeated := sorted({label for label in labels if labels.count(label) > 1}):
        found.wrong(f"Labels stand twice in labels(): {first(repeated)}. Each class has one name.")
    classes = dataset.card.classes
    if classes is not None and classes != len(labels):
        found.wrong(f"Its card says {classes} classes, and labels() returns {len(labels)}. Correct one of the two.")
    return labels


def _is_control(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Zl", "Zp")


def look_at_words(found: Findings, dataset: Dataset, labels: Sequence[str]) -> None:
    """Check what is said about each label: its display form, description and ranks."""
    for label in labels:
        with found.trying(f"display({label!r})"):
            if not isinstance(dataset.display(label), str):
                found.wrong(f"display({label!r}) returns {dataset.display(label)!r}; it returns a text.")
        with found.trying(f"description({label!r})"):
            said = dataset.description(label)
            if said is not None and (not isinstance(said, str) or not said.strip()):
                found.wrong(f"description({label!r}) returns {said!r}; it returns words, or None for none.")
        with found.trying(f"taxonomy({label!r})"):
            ranks = dataset.taxonomy(label)
            if not isinstance(ranks, tuple) or not all(isinstance(rank, str) and rank.strip() for rank in ranks):
                found.wrong(f"taxonomy({label!r}) returns {ranks!r}; it returns a tuple of names, coarse to fine.")
