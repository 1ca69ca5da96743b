"""The plugin host: finds plugins, loads each on its own, and keeps what they register.

Every entry point of group ``fgvr_bench`` is a module.  One that fails to import or to register costs a
warning with its distribution, version and reason; the rest goes on.  Bundled plugins come the same way.
"""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pluggy

from fgvr_bench import hookspecs, interfaces
from fgvr_bench.compatibility import STATEMENT, misfit, stated_in_source
from fgvr_bench.core.entry_points import BUNDLED, disabled_by_environment, installed_points
from fgvr_bench.core.names import did_you_mean
from fgvr_bench.core.registry import Registry
from fgvr_bench.errors import FgvrError, UnknownName

if TYPE_CHECKING:
    import click

GROUP = "fgvr_bench"
COMMANDS_GROUP = "fgvr_bench.commands"
EVENTS = ("run_started", "answer_scored", "run_finished")


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
    """What it registered and listens to, for example ``model:idefics2`` or ``event:run_finished``."""


class Host:
    """All plugins of one process.  `host()` gives the usual one; tests make their own."""

    def __init__(self) -> None:
        self.manager = _manager()
        self.models = Registry[interfaces.ModelPlugin]("model", "models", interfaces.ModelPlugin)
        self.datasets = Registry[interfaces.DatasetPlugin]("dataset", "datasets", interfaces.DatasetPlugin)
        self.protocols = Registry[interfaces.ProtocolCard]("protocol", "plugins", interfaces.ProtocolCard)
        self.metrics = Registry[interfaces.Metric]("metric", "plugins", interfaces.Metric)
        self.miners = Registry[interfaces.OptionMiner]("option miner", "plugins", interfaces.OptionMiner)
        self.plugins: list[PluginInfo] = []

    @property
    def _hooks(self) -> dict[str, Registry[Any]]:
        return {
            "register_models": self.models,
            "register_datasets": self.datasets,
            "register_protocols": self.protocols,
            "register_metrics": self.metrics,
            "register_option_miners": self.miners,
        }

    def add(self, plugin: Any, name: str, distribution: str = "this process", version: str = "") -> PluginInfo:
        """Register one plugin object; what goes wrong is kept in the returned info, never raised.

        A plugin that fails part of the way leaves nothing behind.
        """
        owner = f"{distribution} {version}".strip()
        error: str | None = None
        provides: tuple[str, ...] = ()
        try:
            provides = self._take_up(plugin, f"{name} of {owner}", owner)
        except (Exception, SystemExit) as problem:
            error = _one_line(problem)
        module = str(getattr(plugin, "__name__", type(plugin).__name__))
        info = PluginInfo(name, module, distribution, version, error, provides)
        self.plugins.append(info)
        return info

    def _take_up(self, plugin: Any, label: str, owner: str) -> tuple[str, ...]:
        """Register a plugin and what it brings, or nothing of it; return what it provides."""
        if self.manager.is_registered(plugin):
            raise FgvrError(f"it is loaded already, as {self.manager.get_name(plugin)}.")
        _check_version(plugin)
        implemented = _check_hooks(plugin)
        taken: list[tuple[Registry[Any], str]] = []
        try:
            self.manager.register(plugin, name=label)
            others = [other for other in self.manager.get_plugins() if other is not plugin]
            for hook, registry in self._hooks.items():
                brought: list[Any] = []
                self.manager.subset_hook_caller(hook, remove_plugins=others)(register=brought.append)
                for thing in brought:
                    name = registry.add(thing, owner)
                    taken.append((registry, name))
        except BaseException:
            for registry, name in taken:
                registry.withdraw(name)
            if self.manager.is_registered(plugin):
                self.manager.unregister(plugin)
            raise
        events = tuple(f"event:{hook}" for hook in EVENTS if hook in implemented)
        return (*(f"{registry.kind}:{name}" for registry, name in taken), *events)

    def load_entry_points(self, disabled: frozenset[str] = frozenset()) -> None:
        """Load every installed plugin of group ``fgvr_bench``, each on its own: bundled ones, then by name.

        ``disabled`` names plugins or whole distributions that are left out.
        """
        for found in installed_points(GROUP, disabled):
            try:
                plugin = found.load()
            except (Exception, SystemExit) as problem:
                error = misfit(stated_in_source(found.module)) or _one_line(problem)
                info = PluginInfo(found.name, found.module, found.distribution, found.version, error)
                self.plugins.append(info)
            else:
                self.add(plugin, found.name, found.distribution, found.version)

    def beside(
        self, models: Sequence[interfaces.ModelPlugin] = (), datasets: Sequence[interfaces.DatasetPlugin] = ()
    ) -> Host:
        """Return a host that has these too, under their cards' names; this one stays as it is.

        Raises:
            NameClash: a name is taken.
            FgvrError: one is no such plugin, or has a name that none can have.
        """
        made = copy.copy(self)
        made.models, made.datasets = self.models.copy(), self.datasets.copy()
        for model in models:
            made.models.add(model, "this process")
        for dataset in datasets:
            made.datasets.add(dataset, "this process")
        return made

    def problems(self) -> list[PluginInfo]:
        """Return the plugins that could not be used."""
        return [info for info in self.plugins if info.error]


@functools.cache
def host() -> Host:
    """Return the process's host with all installed plugins loaded (``FGVR_DISABLE=name,...`` keeps some out)."""
    made = Host()
    made.load_entry_points(disabled_by_environment())
    return made


@functools.cache
def load_commands(reserved: frozenset[str]) -> tuple[dict[str, click.Command], tuple[str, ...]]:
    """Load the plugins of group ``fgvr_bench.commands``; no others, so that help stays quick.

    Args:
        reserved: names of built-in commands, which no plugin can take.

    Returns:
        Commands by name, and a sentence for each plugin or command that could not be used.
    """
    import click

    commands: dict[str, click.Command] = {}
    owners: dict[str, str] = dict.fromkeys(reserved, BUNDLED)
    problems: list[str] = []
    for found in installed_points(COMMANDS_GROUP, disabled_by_environment()):
        owner = f"{found.distribution} {found.version}".strip()
        try:
            brought = commands_of(found.load(), found.name)
        except (Exception, SystemExit) as problem:
            reason = misfit(stated_in_source(found.module)) or _one_line(problem)
            problems.append(f"plugin {found.name} of {owner} has no commands: {reason}")
            continue
        for command in brought:
            name = command.name if isinstance(command, click.Command) else None
            if not name:
                problems.append(f"plugin {found.name} of {owner} registers {command!r:.60}, which is no named command.")
            elif name in owners:
                keeps = "the built-in one stays" if name in reserved else "neither can be used"
                problems.append(f"command {name!r} is claimed by {owners[name]} and by {owner}; {keeps}.")
                commands.pop(name, None)
            else:
                owners[name], commands[name] = owner, command
    return commands, tuple(problems)


def commands_of(plugin: Any, name: str) -> list[Any]:
    """Return what a plugin registers as commands, whatever that is.

    Raises:
        FgvrError: it is written for another version, or a hook is misspelt.
    """
    brought: list[Any] = []
    _check_version(plugin)
    _check_hooks(plugin)
    manager = _manager()
    manager.register(plugin, name=name)
    manager.hook.register_commands(register=brought.append)
    return brought


def _manager() -> pluggy.PluginManager:
    made = pluggy.PluginManager("fgvr_bench")
    made.add_hookspecs(hookspecs)
    return made


def _check_version(plugin: Any) -> None:
    """Refuse a plugin that states another version of the interface than this one (see `compatibility`)."""
    problem = misfit(getattr(plugin, STATEMENT, None))
    if problem is not None:
        raise FgvrError(problem)


def _check_hooks(plugin: Any) -> set[str]:
    """Return the hooks that a plugin implements.

    Raises:
        UnknownName: a hook, or an argument of one, that there is none of; pluggy lets the first pass
            without a word.
    """
    known = {name for name in dir(hookspecs) if hasattr(getattr(hookspecs, name), "fgvr_bench_spec")}
    implemented = set()
    for name in dir(plugin):
        function = getattr(plugin, name, None)
        if not inspect.isroutine(function) or not hasattr(function, "fgvr_bench_impl"):
            continue
        hook = function.fgvr_bench_impl.get("specname") or name
        if hook not in known:
            raise UnknownName(f"there is no hook {hook!r}. {did_you_mean(hook, known)}")
        arguments = inspect.signature(getattr(hookspecs, hook)).parameters
        for argument in inspect.signature(function).parameters.values():
            if argument.default is argument.empty and argument.name not in arguments:
                offered = did_you_mean(argument.name, arguments)
                raise UnknownName(f"hook {hook!r} has no argument {argument.name!r}. {offered}")
        implemented.add(hook)
    return implemented


def _one_line(problem: BaseException) -> str:
    """Return what went wrong as one line of readable length."""
    try:
        text = " ".join(str(problem).split())
    except Exception:
        text = "(its message cannot be shown)"
    text = text if len(text) <= 300 else text[:297] + "..."
    return text if isinstance(problem, FgvrError) else f"{type(problem).__name__}: {text}"
