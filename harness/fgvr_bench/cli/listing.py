"""``fgvr-bench models`` and ``fgvr-bench plugins``."""

from __future__ import annotations

import click

from fgvr_bench.cli.output import note, print_table, warn_of_plugins
from fgvr_bench.core.host import host
from fgvr_bench.core.names import short_count


@click.command()
def models() -> None:
    """List the models there are.

    A name that ends with a colon takes an argument: hf:organisation/name.
    """
    rows = [
        (
            plugin.card.name,
            plugin.card.title,
            plugin.card.checkpoint or "",
            short_count(plugin.card.parameters),
            plugin.card.exposure,
            ", ".join(plugin.card.decodings),
            plugin.card.licence,
        )
        for plugin in host().models
    ]
    print_table(["model", "title", "checkpoint", "parameters", "exposure", "decodings", "licence"], rows)
    warn_of_plugins(host())


@click.command()
def plugins() -> None:
    """List the plugins that were found, what each provides, and what went wrong with any."""
    rows = [
        (info.name, f"{info.distribution} {info.version}".strip(), "broken" if info.error else ", ".join(info.provides))
        for info in host().plugins
    ]
    print_table(["plugin", "from", "provides"], rows, widest=76)
    for info in host().problems():
        note(f"\n{info.name} of {info.distribution} {info.version} ({info.module}) cannot be used: {info.error}")
    if host().problems():
        note("Upgrade or uninstall it; everything else works.")
