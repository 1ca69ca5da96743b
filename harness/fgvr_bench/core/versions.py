"""Versions of what can move a number."""

from __future__ import annotations

import importlib.metadata
import platform

LIBRARIES = (
    "bitsandbytes",
    "fgvr-bench",
    "numpy",
    "open_clip_torch",
    "peft",
    "pillow",
    "tokenizers",
    "torch",
    "torchvision",
    "transformers",
)


def library_versions(*owners: str) -> dict[str, str]:
    """Return the versions of Python, the libraries above, and the plugins' own ``distribution version``."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "absent"
    for owner in owners:
        name, _, version = owner.rpartition(" ")
        if name and version[:1].isdigit():  # plugins of this very process have no version
            found.setdefault(name, version)
    return found


def changes(before: dict[str, str], now: dict[str, str]) -> list[str]:
    """Return a phrase for each version that differs.

    >>> changes({"torch": "2.12.0"}, {"torch": "2.13.0"})
    ['torch 2.12.0 → 2.13.0']
    """
    names = sorted(before.keys() | now.keys())
    pairs = [(name, before.get(name, "absent"), now.get(name, "absent")) for name in names]
    return [f"{name} {old} → {new}" for name, old, new in pairs if old != new]
