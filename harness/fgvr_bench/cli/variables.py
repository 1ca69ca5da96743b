"""The environment variable of every option: ``FGVR_``, the command's words, and the option's name as it is typed."""

from __future__ import annotations

from collections.abc import Iterator

import click

PREFIX = "FGVR"


def name_variables(command: click.Command, words: str) -> None:
    """Give each option the variable of the name that users type, whatever the function calls it.

    Args:
        command: a command or a group, with all that is below it.
        words: how it is called, for example ``"datasets fetch"``.
    """
    for variable, option in _options(command, words):
        option.envvar = variable
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            name_variables(below, f"{words} {name}")


def variables_of(command: click.Command, words: str) -> Iterator[str]:
    """Yield the variables that a command and those below it read."""
    yield from (variable for variable, _ in _options(command, words))
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            yield from variables_of(below, f"{words} {name}")


def _options(command: click.Command, words: str) -> Iterator[tuple[str, click.Option]]:
    start = "_".join([PREFIX, *words.split()])
    for option in command.params:
        if isinstance(option, click.Option):
            name = max(option.opts, key=len).removeprefix("--")
            yield f"{start}_{name}".replace("-", "_").upper(), option
