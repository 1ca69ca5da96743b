"""Installed entry points, read without importing anything of theirs, whatever state an installation is in."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import Distribution, EntryPoint
from typing import Any

from fgvr_bench.errors import FgvrError

BUNDLED = "fgvr-bench"
"""The distribution whose plugins come first, so that a clash is blamed on the one that came later."""


@dataclass(frozen=True, slots=True)
class InstalledPoint:
    """An installed entry point, before anything of it is imported."""

    name: str
    module: str
    distribution: str
    version: str
    load: Callable[[], Any]


def installed_points(group: str, disabled: frozenset[str]) -> list[InstalledPoint]:
    """Return the installed entry points of a group, bundled ones first, then by name."""
    out = {normal(name) for name in disabled}
    kept = [each for each in _found(group) if not {normal(each.name), normal(each.distribution)} & out]
    return sorted(kept, key=lambda each: (each.distribution != BUNDLED, each.name, each.module))


def _found(group: str) -> list[InstalledPoint]:
    """Return the installed entry points of a group, and for each file of them that cannot be read one that says so."""
    with contextlib.suppress(ValueError, OSError):
        return _named(importlib.metadata.entry_points(group=group))
    found: dict[str, list[InstalledPoint]] = {}
    for distribution in importlib.metadata.distributions():
        name, version = _name_of(distribution)
        try:
            entries = _named(point for point in distribution.entry_points if point.group == group)
        except (ValueError, OSError) as problem:
            entries = [InstalledPoint(name, "", name, version, functools.partial(_refuse, problem))]
        found.setdefault(normal(name), entries)
    return [each for entries in found.values() for each in entries]


def _named(points: Iterable[EntryPoint]) -> list[InstalledPoint]:
    names: dict[int, tuple[str, str]] = {}  # entry points of one distribution share its object; reading it is slow
    found = []
    for point in points:
        if id(point.dist) not in names:
            names[id(point.dist)] = _name_of(point.dist)
        found.append(InstalledPoint(point.name, point.value, *names[id(point.dist)], point.load))
    return found


def _refuse(problem: Exception) -> None:
    raise FgvrError(f"its entry_points.txt cannot be read ({problem}).", hint="Install it anew.")


def _name_of(distribution: Distribution | None) -> tuple[str, str]:
    """Return name and version; an installation cut short has neither, and its plugin may be whole all the same."""
    name: str | None = None
    version: str | None = None
    if distribution is not None:
        with contextlib.suppress(KeyError, OSError, ValueError):
            metadata = distribution.metadata  # parsed at every access
            name, version = metadata["Name"], metadata["Version"]
    return name or "unknown distribution", version or ""


def disabled_by_environment() -> frozenset[str]:
    """Return the names in ``FGVR_DISABLE``, which are separated by commas."""
    return frozenset(part for part in os.environ.get("FGVR_DISABLE", "").split(",") if part.strip())


def normal(name: str) -> str:
    """Return a name as package indexes compare it, so that ``My_Plugin`` is ``my-plugin``."""
    return re.sub(r"[-_.]+", "-", name.strip()).lower()
