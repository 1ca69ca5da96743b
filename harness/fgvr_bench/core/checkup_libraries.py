"""Whether the libraries are there, in the versions that are required, each once; nothing of theirs is imported."""

from __future__ import annotations

import importlib.metadata
import platform
import re
from collections.abc import Iterator
from pathlib import Path

from fgvr_bench import __version__
from fgvr_bench.core.checkup import Finding, State, good, remark, wrong
from fgvr_bench.core.entry_points import BUNDLED

AREA = "libraries"
OF_DEVELOPERS = ("docs", "test")
"""Extras that nobody needs who only runs the benchmark."""


def look_at_libraries() -> Iterator[Finding]:
    """Compare what is installed with what fgvr-bench says it requires."""
    try:
        distribution = importlib.metadata.distribution(BUNDLED)
    except importlib.metadata.PackageNotFoundError:
        yield wrong(AREA, "fgvr-bench runs without being installed.", "pip install -e . in its folder.")
        return
    yield from _itself(distribution)
    problems = list(_requirements(distribution))
    yield from problems
    yield from _twice(distribution)
    if not any(problem.state is State.WRONG for problem in problems):
        yield good(AREA, "every required library is there, in a version that is accepted")


def _itself(distribution: importlib.metadata.Distribution) -> Iterator[Finding]:
    """Say which version runs, and whether that is the one that is installed."""
    python = platform.python_version()
    if distribution.version != __version__:
        yield wrong(
            AREA,
            f"fgvr-bench {__version__} runs, but the installation says it is {distribution.version}.",
            "Install it anew, so that entry points and requirements are those of the code: pip install -e .",
        )
    needed = distribution.metadata["Requires-Python"]
    if needed and not _accepts(needed, python):
        yield wrong(AREA, f"Python {python} runs; fgvr-bench requires {needed}.", "Use such a Python.")
    else:
        yield good(AREA, f"fgvr-bench {__version__} on Python {python}")


def _requirements(distribution: importlib.metadata.Distribution) -> Iterator[Finding]:
    try:
        from packaging.requirements import Requirement
    except ImportError:
        yield wrong(AREA, "packaging is not installed.", "pip install packaging")
        return
    absent_extras: dict[str, list[str]] = {}
    for text in distribution.requires or []:
        requirement = Requirement(text)
        extra = re.search(r"""extra\s*==\s*["']([\w-]+)["']""", str(requirement.marker or ""))
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra[1] if extra else ""}):
            continue
        installed = _version_of(requirement.name)
        if installed is not None and requirement.specifier.contains(installed, prereleases=True):
            continue
        if extra:
            if extra[1] not in OF_DEVELOPERS:
                absent_extras.setdefault(extra[1], []).append(requirement.name)
            continue
        is_there = f"{requirement.name} {installed} is installed" if installed else f"{requirement.name} is absent"
        yield wrong(
            AREA,
            f"{is_there}; fgvr-bench requires {requirement.name}{requirement.specifier}.",
            f'pip install --upgrade "{requirement.name}{requirement.specifier}"',
        )
    for extra_name, names in sorted(absent_extras.items()):
        command = f'pip install "fgvr-bench[{extra_name}]"'
        yield remark(
            AREA, f"the extra {extra_name!r} ({', '.join(names)}) is not installed; what needs it says so", command
        )


def _accepts(specifiers: str, version: str) -> bool:
    try:
        from packaging.specifiers import SpecifierSet
    except ImportError:
        return True  # said where the libraries are compared
    return SpecifierSet(specifiers).contains(version, prereleases=True)


def _version_of(name: str) -> str | None:
    """Return the installed version; None where it is absent or its installation was cut short."""
    try:
        return importlib.metadata.version(name) or None
    except (importlib.metadata.PackageNotFoundError, KeyError):
        return None


def _twice(distribution: importlib.metadata.Distribution) -> Iterator[Finding]:
    """Name libraries of which two versions lie on the path: the first is used, whatever pip says."""
    named = {BUNDLED, *(re.split(r"[^\w.-]", text)[0].lower() for text in distribution.requires or [])}
    places: dict[str, dict[str, Path]] = {}
    for other in importlib.metadata.distributions():
        name = str(other.metadata["Name"] or "").lower() if other.metadata else ""
        if name in named and other.version:
            places.setdefault(name, {}).setdefault(other.version, Path(str(other.locate_file(""))))
    for name, versions in sorted(places.items()):
        if len(versions) > 1:
            shown = " and ".join(f"{version} in {place}" for version, place in versions.items())
            yield wrong(AREA, f"{name} is installed twice: {shown}; the first is used.", f"pip uninstall {name}")
