"""The commands that this distribution adds to ``fgvr-bench``; imported by ``fgvr-bench --help``, so light."""

from __future__ import annotations

import importlib
from collections.abc import Callable

import click

from fgvr_bench import hookimpl
from fgvr_bench.core.names import did_you_mean

FGVR_BENCH_API = "1.0"

COMMANDS = {
    "describe": ("finedefics.data.commands:describe", "Describe training images by their attributes."),
    "build-data": ("finedefics.data.commands:build_data", "Make the training files of both stages."),
    "align": ("finedefics.training_commands:align", "Stage I: align images, attributes and categories."),
    "tune": ("finedefics.training_commands:tune", "Stage II: tune on questions and answers."),
    "merge": ("finedefics.training_commands:merge", "Make a plain checkpoint of a run."),
    "train": ("finedefics.training_commands:train", "The whole recipe: align, merge, tune, merge."),
}
"""Where each command lives, and its line in ``--help``; a command is imported when it is asked for."""


class Commands(click.Group):
    """The group's commands by name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order in which they are used."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Offer the near names for one that there is not."""
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            raise click.UsageError(f"there is no command {args[0]!r}. {did_you_mean(args[0], COMMANDS)}", ctx)
        return super().resolve_command(ctx, args)


@click.group(cls=Commands)
def finedefics() -> None:
    """Train models for fine-grained recognition in two stages (arXiv 2501.15140).

    Attribute descriptions of the training images, stage I (attribute-augmented contrastive alignment), stage II
    (classification-centred instruction tuning), and plain checkpoints of what they trained.

    To evaluate the published checkpoint, this package is not needed: fgvr-bench run --model finedefics
    """


@hookimpl
def register_commands(register: Callable[[click.Command], None]) -> None:
    """Add the group ``finedefics``."""
    register(finedefics)
