"""``fgvr-bench doctor``: what is wrong with this installation, and what to type against it."""

from __future__ import annotations

import json
from pathlib import Path

import click

from fgvr_bench.cli.output import inert
from fgvr_bench.core.checkup import Finding, State, examine
from fgvr_bench.core.host import host

SIGNS = {State.GOOD: "ok   ", State.NOTE: "note ", State.WRONG: "WRONG"}
COLOURS = {State.GOOD: "green", State.NOTE: "yellow", State.WRONG: "red"}


@click.command(short_help="Say what is wrong with this installation, and what to do.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option(
    "--results-dir", type=click.Path(path_type=Path), default="results", show_default=True, help="Folder for runs."
)
def doctor(form: str, results_dir: Path) -> None:
    """Say what is wrong with this installation, in plain words, and what to do about it.

    Looks at libraries, torch and GPUs, memory and disk, datasets, caches, plugins and environment variables; changes
    nothing.  Exit status 1 where something has to be mended.
    """
    found = _look(results_dir)
    wrong = sum(finding.state is State.WRONG for finding in found)
    if form == "json":
        report = {"format": "fgvr-bench/doctor", "version": 1, "wrong": wrong}
        click.echo(json.dumps({**report, "findings": [each.as_json() for each in found]}, indent=2, ensure_ascii=False))
    else:
        _show(found, wrong)
    if wrong:
        raise SystemExit(1)


def _look(results: Path) -> list[Finding]:
    from fgvr_bench.cli.main import COMMANDS
    from fgvr_bench.core.checkup_caches import look_at_caches
    from fgvr_bench.core.checkup_data import look_at_data
    from fgvr_bench.core.checkup_environment import look_at_environment
    from fgvr_bench.core.checkup_libraries import look_at_libraries
    from fgvr_bench.core.checkup_machine import look_at_machine
    from fgvr_bench.core.checkup_plugins import look_at_plugins
    from fgvr_bench.core.checkup_torch import ask_torch

    torch = ask_torch()  # takes longest, so it starts first and is listened to last
    return examine(
        [
            ("libraries", look_at_libraries),
            ("machine", lambda: look_at_machine(results)),
            ("data", lambda: look_at_data(host())),
            ("caches", lambda: look_at_caches(results)),
            ("plugins", lambda: look_at_plugins(host(), COMMANDS)),
            ("environment", lambda: look_at_environment(_variables())),
            ("torch", torch.findings),
        ]
    )


def _variables() -> set[str]:
    """Return the environment variables of all options of all commands."""
    from fgvr_bench.cli.main import COMMANDS, built_in
    from fgvr_bench.cli.variables import variables_of

    found: set[str] = set()
    for name in COMMANDS:
        found |= set(variables_of(built_in(name), name))
    return found


def _show(found: list[Finding], wrong: int) -> None:
    for finding in found:
        sign = click.style(SIGNS[finding.state], fg=COLOURS[finding.state])
        click.echo(f"{sign} {finding.area}: {inert(finding.text)}")
        if finding.fix:
            click.echo(f"        → {inert(finding.fix)}")
    if wrong:
        click.echo(f"\n{wrong} thing{'s have' if wrong > 1 else ' has'} to be mended.")
    else:
        click.echo("\nNothing has to be mended.")
