"""What a shell offers behind an option: names of models, datasets, protocols, tasks, miners, from what is installed."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterable
from typing import Any

import click
from click.shell_completion import CompletionItem

from fgvr_bench.core.host import host
from fgvr_bench.core.settings import DEFAULT_PROTOCOL
from fgvr_bench.errors import FgvrError

Items = list[CompletionItem[str]]
Completer = Callable[[click.Context, click.Parameter, str], Items]

_ENDINGS = {"folder:": "", "csv:": "*", "hf:": "*"}
"""Names whose argument is a path, and the files beside folders that it may be."""


def complete_names(command: click.Command) -> None:
    """Let a command and all below it complete the names that its options take, by how an option is typed."""
    for parameter in command.params:
        is_option = isinstance(parameter, click.Option)
        typed = max(parameter.opts, key=len) if is_option else (parameter.metavar or "").strip("[].")
        if typed in _COMPLETERS:
            parameter._custom_shell_complete = _COMPLETERS[typed]
    if isinstance(command, click.Group):
        for below in command.commands.values():
            complete_names(below)


def _offer(cards: Iterable[Any], incomplete: str) -> Items:
    """Return the cards whose names begin so, each with its title."""
    return [CompletionItem(card.name, help=card.title) for card in cards if card.name.startswith(incomplete)]


def _words(words: Iterable[str], incomplete: str) -> Items:
    return [CompletionItem(word) for word in dict.fromkeys(words) if word.startswith(incomplete)]


def _models(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    return _offer((plugin.card for plugin in host().models), incomplete)


def _datasets(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    scheme, colon, path = incomplete.partition(":")
    if colon:
        return _paths(scheme + colon, path)
    every = _words(["all"], incomplete) if getattr(param, "multiple", False) or param.nargs == -1 else []
    return _offer((plugin.card for plugin in host().datasets), incomplete) + every


def _paths(scheme: str, begun: str) -> Items:
    """Return the folders, and where they may be named the files, that a path so far can mean."""
    if scheme not in _ENDINGS:
        return []
    found = glob.glob(glob.escape(os.path.expanduser(begun)) + "*")
    folders = [path + os.sep for path in found if os.path.isdir(path)]
    files = [path for path in found if _ENDINGS[scheme] and not os.path.isdir(path)]
    return [CompletionItem(scheme + path) for path in sorted(folders + files)]


def _protocols(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    return _offer(host().protocols, incomplete)


def _tasks(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Offer the tasks of the protocol that stands on the line, or of the default one."""
    name = ctx.params.get("protocol") or DEFAULT_PROTOCOL
    return _words(host().protocols[name].tasks if name in host().protocols else (), incomplete)


def _miners(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    return _words((miner.name for miner in host().miners), incomplete)


def _miners_or_files(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    return _miners(ctx, param, incomplete) or [CompletionItem(incomplete, type="file")]


def _splits(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Offer the splits of the datasets that stand on the line."""
    named = _said(ctx, "datasets", "names", "dataset", "name")
    cards = [host().datasets[name].card for name in named if name in host().datasets]
    return _words((split for card in cards for split in card.images), incomplete)


def _decodings(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Offer what the models that stand on the line can do, or all that any can."""
    named = [plugin for name in _said(ctx, "models") for plugin in _found(name)]
    return _words((word for plugin in named or host().models for word in plugin.card.decodings), incomplete)


def _found(name: str) -> list[Any]:
    try:
        return [host().models[name]]
    except FgvrError:
        return []


def _said(ctx: click.Context, *parameters: str) -> tuple[str, ...]:
    """Return what stands on the line under the first of these parameters."""
    given = next((value for name in parameters if (value := ctx.params.get(name))), ())
    return (given,) if isinstance(given, str) else tuple(given)


_COMPLETERS: dict[str, Completer] = {
    "--model": _models,
    "--dataset": _datasets,
    "DATASET": _datasets,
    "--protocol": _protocols,
    "--task": _tasks,
    "--miner": _miners,
    "--options": _miners_or_files,
    "--split": _splits,
    "--decoding": _decodings,
}
