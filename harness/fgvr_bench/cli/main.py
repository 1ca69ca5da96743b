"""``fgvr-bench``: the command tree, loaded command by command, and the one place where errors become words."""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn

import click

from fgvr_bench import __version__
from fgvr_bench.cli.variables import name_variables
from fgvr_bench.core.files import advice, write_text
from fgvr_bench.core.host import load_commands
from fgvr_bench.core.names import did_you_mean
from fgvr_bench.core.paths import cache_folder
from fgvr_bench.errors import FgvrError

COMMANDS = {
    "run": ("run", "Ask models the questions of datasets, and score the answers."),
    "score": ("score", "Parse and score stored responses again."),
    "results": ("results", "Verify, merge and import results."),
    "leaderboard": ("leaderboard", "Build boards from results."),
    "compare": ("compare", "Hold two runs against one another."),
    "probe": ("probe", "Say what a model's layers hold of a dataset's classes."),
    "report": ("report", "Write results as pages with pictures and charts."),
    "options": ("options", "Build, check and look at option sets."),
    "datasets": ("datasets", "List, check and download datasets."),
    "models": ("listing", "List the models there are."),
    "new-plugin": ("new_plugin", "Write a complete plugin to start from."),
    "plugins": ("listing", "List the plugins that were found, and what went wrong with any."),
    "doctor": ("doctor", "Say what is wrong with this installation, and what to do."),
    "completion": ("completion", "Print the script that completes names in a shell."),
}
"""Built-in commands: the module of `fgvr_bench.cli` that each lives in, and its line in ``--help``."""


def built_in(name: str) -> click.Command:
    """Import a built-in command."""
    module = importlib.import_module(f"fgvr_bench.cli.{COMMANDS[name][0]}")
    command: click.Command = getattr(module, name.replace("-", "_"))
    return command


class Commands(click.Group):
    """Built-in commands by name, then those of plugins; a plugin never takes a built-in's place."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*COMMANDS, *sorted(self._added())]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in COMMANDS:
            command = built_in(cmd_name)
            name_variables(command, cmd_name)
            if COMPLETING in os.environ:
                from fgvr_bench.cli.completing import complete_names

                complete_names(command)
            return command
        return self._added().get(cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List commands without importing the built-in ones."""
        added = self._added()
        width = formatter.width - 6 - max(map(len, [*COMMANDS, *added]))
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])
        if added:
            with formatter.section("Commands of plugins"):
                formatter.write_dl([(name, added[name].get_short_help_str(width)) for name in sorted(added)])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            offered = did_you_mean(args[0], [*COMMANDS, *self._added()])
            raise click.UsageError(f"there is no command {args[0]!r}. {offered}", ctx)
        return super().resolve_command(ctx, args)

    def _added(self) -> dict[str, click.Command]:
        commands, problems = load_commands(frozenset(COMMANDS))
        for problem in problems:
            if problem not in _told:
                _told.add(problem)
                click.echo(f"Warning: {problem}", err=True)
        return commands


_told: set[str] = set()

COMPLETING = "_FGVR_BENCH_COMPLETE"
"""Variable by which a shell asks for completions; click reads it."""


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "FGVR"})
@click.version_option(__version__, prog_name="fgvr-bench")
def fgvr_bench() -> None:
    """Fine-grained visual recognition benchmarks for multimodal models.

    \b
    Try it without a network:  fgvr-bench run --model moth-clip --dataset moth-24
    """


def main(arguments: list[str] | None = None, interrupts: Any = None) -> NoReturn:
    """Run the command line and exit: 0 done, 1 something failed that the message names, 2 wrong usage.

    Args:
        arguments: the words after the command's name; None takes those of this process.
        interrupts: handler to set for Ctrl-C now that it can be answered in words; None leaves it as it is.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # spinning threads would cost the workers their cores
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # a lost connection is said in our words, not in stack frames
    try:
        if COMPLETING in os.environ:
            from fgvr_bench.cli.completion import register

            register()
        if interrupts is not None:
            signal.signal(signal.SIGINT, interrupts)
        status = fgvr_bench.main(args=arguments, prog_name="fgvr-bench", standalone_mode=False)
        sys.stdout.flush()
        sys.exit(status if isinstance(status, int) else 0)
    except BrokenPipeError:  # whoever read the output has seen enough
        _drop_output()
        sys.exit(1)
    except click.exceptions.Exit as request:
        sys.exit(request.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except FgvrError as error:
        show_error(error)
        sys.exit(error.exit_status)
    except (KeyboardInterrupt, click.Abort):
        click.echo(
            "\nStopped at once; answers that were shown as done are saved. Type the same command to go on.", err=True
        )
        sys.exit(130)
    except OSError as error:
        show_error(_refused(error))
        _drop_output()
        sys.exit(1)
    except Exception as error:
        show_error(_unexpected(error))
        sys.exit(1)


def _drop_output() -> None:
    """Let nobody try again to bring out what standard output did not take."""
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        return
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _refused(error: OSError) -> FgvrError:
    """Put what the system refused into words; it is no defect, so the traceback is for the curious."""
    if error.errno is None:
        return _unexpected(error)
    _note_traceback(error)
    what = f"{error.filename} cannot be used" if error.filename else "the output cannot be written"
    return FgvrError(f"{what}: {error.strerror or error}.", hint=advice(error, "another place"))


def _unexpected(error: Exception) -> FgvrError:
    """Put a defect of ours, or of a plugin, into words, and its traceback into a file."""
    log = _note_traceback(error)
    if log is None:
        return FgvrError(f"unexpected {type(error).__name__}: {error}.")
    return FgvrError(
        f"unexpected {type(error).__name__}: {error}.",
        hint=f"This is a defect, not your doing; its traceback is in {log}. Answers shown as done are saved.",
    )


def _note_traceback(error: Exception) -> Path | None:
    """Write a traceback to the cache; return the file, or None where it cannot be written."""
    log = cache_folder() / "last-error.txt"
    try:
        write_text(log, "".join(traceback.format_exception(error)))
    except (FgvrError, UnicodeError):
        return None
    return log


def show_error(error: FgvrError) -> None:
    """Print an error as one short paragraph, without control characters, hint last."""
    text = f"Error: {error.message}" + (f"\n{error.hint}" if error.hint else "")
    shown = "".join(char if char.isprintable() or char == "\n" else "\N{REPLACEMENT CHARACTER}" for char in text)
    click.echo(shown, err=True)
