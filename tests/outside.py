"""Plugins from outside, as sources, and hosts that find them installed in a folder (see ``fake_plugin``)."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from fgvr_bench.core.host import Host, PluginInfo

GOOD = """
    from fgvr_bench import hookimpl
    from fgvr_bench.interfaces import ModelCard, ModelPlugin

    class Plugin(ModelPlugin):
        def __init__(self, name):
            self.card = ModelCard(name, "A model from outside")

        def load(self, settings):
            raise NotImplementedError

    @hookimpl
    def register_models(register):
        register(Plugin("outside-model"))
"""

COMMAND = """
    import click
    from fgvr_bench import hookimpl

    @click.command()
    def hello():
        click.echo("hello from outside")

    @hookimpl
    def register_commands(register):
        register(hello)
"""


def load(folder: Path, monkeypatch: pytest.MonkeyPatch, disabled: Sequence[str] = ()) -> Host:
    """Return a fresh host that sees the distributions of a folder beside those installed."""
    monkeypatch.syspath_prepend(folder)
    for module in folder.glob("*.py"):
        monkeypatch.delitem(sys.modules, module.stem, raising=False)  # one of another test
    made = Host()
    made.load_entry_points(frozenset(disabled))
    return made


def of(host: Host, distribution: str) -> PluginInfo:
    """Return what became of the plugin of a distribution."""
    return next(info for info in host.plugins if info.distribution == distribution)
