"""The plugin host: finds plugins, loads each on its own, and keeps what they register.

Every entry point of group ``fgvr_bench`` is a module.  One that fails to import or to register costs a
warning with its distribution, version and reason; the rest goes on.  Bundled plugins come the same way.
"""

from __future__ import annotations

import functools
import importlib.metadata
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import pluggy

from fgvr_bench import hookspecs
from fgvr_bench.core.names import did_you_mean
from fgvr_bench.errors import NameClash, UnknownName

if TYPE_CHECKING:
    import click

    from fgvr_bench.interfaces import DatasetPlugin, Metric, ModelPlugin, OptionMiner, ProtocolCard

GROUP = "fgvr_bench"
COMMANDS_GROUP = "fgvr_bench.commands"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PluginInfo:
    """One entry point and what became of it."""

    name: str
    module: str
    distribution: str
    version: str
    error: str | None = None
    """Why it could not be used; None where it could."""
    provides: tuple[str, ...] = ()
    """What it registered, for example ``model:idefics2``."""


@dataclass(slots=True)
class Registry(Generic[T]):
    """Things of one kind by name and alias; a name that ends with a colon takes an argument after it."""

    kind: str
    command: str
    """The command that lists them."""
    _things: dict[str, T] = field(default_factory=dict)
    _aliases: dict[str, str] = field(default_factory=dict)
    _owners: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, aliases: tuple[str, ...], thing: T, owner: str) -> None:
        """Take `thing` in under its name and aliases.

        Raises:
            NameClash: one of them is taken; the message names both plugins.
        """
        taken = next((key for key in (name, *aliases) if key in self._owners), None)
        if taken is not None:
            raise NameClash(
                f"{self.kind} {taken!r} is claimed by {self._owners[taken]} and by {owner}.",
                hint=f"Uninstall one of the two, or keep one out with FGVR_DISABLE={owner.split()[0]}.",
            )
        self._things[name] = thing
        for key in (name, *aliases):
            self._owners[key] = owner
            self._aliases[key] = name

    def find(self, name: str) -> tuple[T, str | None]:
        """Return the thing of that name and the argument after its colon, if it takes one.

        Raises:
            UnknownName: with the near names.
        """
        if name in self._aliases and not name.endswith(":"):
            return self._things[self._aliases[name]], None
        scheme, colon, argument = name.partition(":")
        if colon and argument and scheme + colon in self._aliases:
            return self._things[self._aliases[scheme + colon]], argument
        raise UnknownName(
            f"there is no {self.kind} {name!r}. {did_you_mean(name, self._things)}",
            hint=f"See: fgvr-bench {self.command}",
        )

    def __getitem__(self, name: str) -> T:
        return self.find(name)[0]

    def __iter__(self) -> Iterator[T]:
        return iter(self._things[name] for name in sorted(self._things))

    def __len__(self) -> int:
        return len(self._things)

    def __contains__(self, name: str) -> bool:
        return name in self._aliases

    def names(self) -> list[str]:
        """Return the names, sorted, without aliases."""
        return sorted(self._things)

    def owner(self, name: str) -> str:
        """Return ``distribution version`` of the plugin that registered `name`."""
        return self._owners[name]


class Host:
    """All plugins of one process.  `host()` gives the usual one; tests make their own."""

    def __init__(self) -> None:
        self.manager = pluggy.PluginManager("fgvr_bench")
        self.manager.add_hookspecs(hookspecs)
        self.models: Registry[ModelPlugin] = Registry("model", "models")
        self.datasets: Registry[DatasetPlugin] = Registry("dataset", "datasets")
        self.protocols: Registry[ProtocolCard] = Registry("protocol", "plugins")
        self.metrics: Registry[Metric] = Registry("metric", "plugins")
        self.miners: Registry[OptionMiner] = Registry("option miner", "plugins")
        self.plugins: list[PluginInfo] = []

    def add(self, plugin: Any, name: str, distribution: str = "this-process", version: str = "") -> PluginInfo:
        """Register one plugin object; what goes wrong is kept in the returned info, never raised.

        A plugin that fails part of the way leaves nothing behind.
        """
        owner = f"{distribution} {version}".strip()
        collected: list[tuple[Registry[Any], str, tuple[str, ...], Any]] = []

        def take(registry: Registry[Any], of_card: bool) -> Callable[[Any], None]:
            def register(thing: Any) -> None:
                card = thing.card if of_card else thing
                collected.append((registry, card.name, tuple(getattr(card, "aliases", ())), thing))

            return register

        hooks = {
            "register_models": take(self.models, True),
            "register_datasets": take(self.datasets, True),
            "register_protocols": take(self.protocols, False),
            "register_metrics": take(self.metrics, False),
            "register_option_miners": take(self.miners, False),
        }
        module = getattr(plugin, "__name__", type(plugin).__name__)
        error: str | None = None
        try:
            self._check_hook_names(plugin)
            self.manager.register(plugin, name=name)
            caller = functools.partial(self.manager.subset_hook_caller, remove_plugins=self._others(plugin))
            for hook, register in hooks.items():
                caller(hook)(register=register)
            added: list[tuple[Registry[Any], str, tuple[str, ...]]] = []
            try:
                for registry, key, aliases, thing in collected:
                    registry.add(key, aliases, thing, owner)
                    added.append((registry, key, aliases))
            except BaseException:
                for registry, key, aliases in added:
                    _withdraw(registry, key, aliases)
                raise
        except Exception as problem:
            error = _one_line(problem)
            if self.manager.has_plugin(name):
                self.manager.unregister(name=name)
        provides = () if error else tuple(f"{registry.kind}:{key}" for registry, key, _, _ in collected)
        info = PluginInfo(name, module, distribution, version, error, provides)
        self.plugins.append(info)
        return info

    def load_entry_points(self, disabled: frozenset[str] = frozenset()) -> None:
        """Load every installed plugin of group ``fgvr_bench``, each on its own, in the order of names."""
        for point in sorted(importlib.metadata.entry_points(group=GROUP), key=lambda each: (each.name, each.value)):
            distribution, version = _distribution(point)
            if point.name in disabled or distribution in disabled:
                continue
            try:
                plugin = point.load()
            except (Exception, SystemExit) as problem:
                info = PluginInfo(point.name, point.value, distribution, version, _one_line(problem))
                self.plugins.append(info)
                continue
            self.add(plugin, point.name, distribution, version)

    def problems(self) -> list[PluginInfo]:
        """Return the plugins that could not be used."""
        return [info for info in self.plugins if info.error]

    def _others(self, plugin: Any) -> list[Any]:
        return [other for other in self.manager.get_plugins() if other is not plugin]

    def _check_hook_names(self, plugin: Any) -> None:
        known = {name for name in dir(hookspecs) if hasattr(getattr(hookspecs, name), "fgvr_bench_spec")}
        for name in dir(plugin):
            if hasattr(getattr(plugin, name, None), "fgvr_bench_impl") and name not in known:
                raise UnknownName(f"there is no hook {name!r}. {did_you_mean(name, known)}")


@functools.cache
def load_commands(reserved: frozenset[str]) -> tuple[dict[str, click.Command], tuple[str, ...]]:
    """Load the plugins of group ``fgvr_bench.commands``; no others, so that help stays quick.

    Args:
        reserved: names of built-in commands, which no plugin can take.

    Returns:
        Commands by name, and a sentence for each plugin or command that could not be used.
    """
    commands: dict[str, click.Command] = {}
    owners: dict[str, str] = dict.fromkeys(reserved, "fgvr-bench")
    problems: list[str] = []
    for point in sorted(
        importlib.metadata.entry_points(group=COMMANDS_GROUP), key=lambda each: (each.name, each.value)
    ):
        owner = " ".join(filter(None, _distribution(point)))
        found: list[click.Command] = []
        try:
            manager = pluggy.PluginManager("fgvr_bench")
            manager.add_hookspecs(hookspecs)
            manager.register(point.load(), name=point.name)
            manager.hook.register_commands(register=found.append)
        except (Exception, SystemExit) as problem:
            problems.append(f"plugin {point.name} of {owner} has no commands: {_one_line(problem)}")
            continue
        for command in found:
            name = command.name or ""
            if name in owners:
                problems.append(
                    f"command {name!r} is claimed by {owners[name]} and by {owner}; the first one keeps it."
                )
                continue
            owners[name] = owner
            commands[name] = command
    return commands, tuple(problems)


def _withdraw(registry: Registry[Any], key: str, aliases: tuple[str, ...]) -> None:
    registry._things.pop(key)
    for name in (key, *aliases):
        registry._owners.pop(name)
        registry._aliases.pop(name)


def _distribution(point: importlib.metadata.EntryPoint) -> tuple[str, str]:
    dist = point.dist
    return (dist.metadata["Name"], dist.version) if dist is not None else ("unknown distribution", "")


def _one_line(problem: BaseException) -> str:
    text = " ".join(str(problem).split())
    return text if isinstance(problem, NameClash | UnknownName) else f"{type(problem).__name__}: {text}"


@functools.cache
def host() -> Host:
    """Return the process's host with all installed plugins loaded (``FGVR_DISABLE=name,...`` keeps some out)."""
    import os

    made = Host()
    made.load_entry_points(frozenset(filter(None, os.environ.get("FGVR_DISABLE", "").split(","))))
    return made
