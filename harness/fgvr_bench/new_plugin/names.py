"""What a new plugin is called: the name that users type, and those of its distribution, module and classes."""

from __future__ import annotations

import importlib.util
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fgvr_bench import interfaces, types
from fgvr_bench.core.host import Host
from fgvr_bench.core.registry import Registry
from fgvr_bench.errors import UsageError

KINDS = ("model", "dataset", "protocol", "metric", "miner")
"""What a plugin can be written for."""

RUNS = {
    "model": "fgvr-bench run --model {name} --dataset moth-24",
    "dataset": "fgvr-bench run --model always-a --dataset {name}",
    "protocol": "fgvr-bench run --model moth-idefics2 --dataset moth-24 --protocol {name}",
    "metric": "fgvr-bench run --model moth-idefics2 --dataset moth-24",
    "miner": "fgvr-bench run --model moth-idefics2 --dataset moth-24 --options {name}",
}
"""What to type to see the new plugin at work."""

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
MOST = 50
"""Letters of a name."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A plugin that is about to be written."""

    kind: str
    """One of `KINDS`."""
    name: str
    """What users type, for example ``nearest-colour``."""

    @property
    def distribution(self) -> str:
        """The name that pip knows, for example ``fgvr-nearest-colour``."""
        return self.name if self.name.startswith("fgvr-") else f"fgvr-{self.name}"

    @property
    def module(self) -> str:
        """The name that Python imports, for example ``fgvr_nearest_colour``."""
        return self.distribution.replace("-", "_")

    @property
    def words(self) -> str:
        """The name in words, for example ``Nearest colour``."""
        return self.name.replace("-", " ").capitalize()

    @property
    def camel(self) -> str:
        """What its classes' names begin with, for example ``NearestColour``."""
        return "".join(part.capitalize() for part in self.name.split("-"))

    @property
    def run(self) -> str:
        """The command that shows it at work."""
        return RUNS[self.kind].format(name=self.name)


def draft(kind: str, name: str, host: Host, folder: Path | None = None) -> Draft:
    """Return the names of a new plugin.

    Args:
        kind: one of `KINDS`.
        name: what users will type.
        host: what is installed; no two things of a kind have one name.
        folder: where it will be written; a module of its name there is the one that is about to be written again.

    Raises:
        UsageError: the name cannot be one, or is taken; says by what, and offers another where there is one.
    """
    if not _NAME.fullmatch(name) or len(name) > MOST:
        raise UsageError(
            f"{name!r} cannot name a {kind}. A name has small letters, digits and single hyphens, a letter first, "
            f"and at most {MOST} of them.",
            hint=_offer(kind, name),
        )
    made = Draft(kind, name)
    own = {f"{made.camel}{ending}" for ending in ("", "Model", "Plugin", "Miner", "Task", "Dataset")}
    if taken := sorted(own & {*interfaces.__all__, *vars(types)}):
        raise UsageError(
            f"the name {name!r} would make a class {taken[0]}, which fgvr_bench has already.",
            hint=f"Say what it does, for example: fgvr-bench new-plugin {kind} my-{name}",
        )
    registry = _registry(host, kind)
    if name in registry:
        raise UsageError(
            f"there is a {kind} {name!r} already, of {registry.owner(name)}.",
            hint=f"Two of one name cannot be used together; try: fgvr-bench new-plugin {kind} my-{name}",
        )
    if (place := _importable(made.module)) is not None and (
        folder is None or not place.is_relative_to(folder.resolve())
    ):
        raise UsageError(
            f"there is a Python package {made.module} already, in {place}.",
            hint=f"Take another name, for example: fgvr-bench new-plugin {kind} my-{name}",
        )
    return made


def _offer(kind: str, name: str) -> str:
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    plain = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", plain)
    plain = re.sub(r"[^a-z0-9]+", "-", plain.lower()).strip("-")[:MOST].strip("-")
    plain = plain if plain[:1].isalpha() else f"my-{plain or 'first'}"
    return f"For example: fgvr-bench new-plugin {kind} {plain}"


def _registry(host: Host, kind: str) -> Registry[Any]:
    registries: dict[str, Registry[Any]] = {
        "model": host.models,
        "dataset": host.datasets,
        "protocol": host.protocols,
        "metric": host.metrics,
        "miner": host.miners,
    }
    return registries[kind]


def _importable(module: str) -> Path | None:
    """Return where Python finds a module of that name, or None."""
    found = importlib.util.find_spec(module)
    if found is None:
        return None
    places = [found.origin] if found.origin else list(found.submodule_search_locations or [])
    return Path(places[0]).resolve() if places else Path(module)
