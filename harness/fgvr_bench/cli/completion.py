"""``fgvr-bench completion``: the script by which a shell completes commands, options and names."""

from __future__ import annotations

import os

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    add_completion_class,
    get_completion_class,
    split_arg_string,
)

_BASH = """\
%(complete_func)s() {
    local IFS=$'\\n' type value
    COMPREPLY=()
    while IFS=',' read -r type value; do
        case $type in
            dir) compopt -o dirnames ;;
            file) compopt -o default ;;
            plain) COMPREPLY+=("$value") ;;
        esac
    done < <(env COMP_WORDS="${COMP_LINE:0:COMP_POINT}" COMP_WORDBREAKS="$COMP_WORDBREAKS" \\
        %(complete_var)s=bash_complete "$1" 2>/dev/null)
    if [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *[:/] ]]; then
        compopt -o nospace
    fi
}

complete -o nosort -F %(complete_func)s %(prog_name)s
"""


class Bash(BashComplete):
    """Click's script takes Bash's own words, which end at every colon; ``folder:/photos`` is one word here."""

    source_template = _BASH

    def source(self) -> str:
        """Return the script."""
        return self.source_template % self.source_vars()

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the words before the one that is being typed, and that one."""
        line = os.environ["COMP_WORDS"]
        words = split_arg_string(line)[1:]
        begun = bool(words) and not line[-1:].isspace()
        self._typed = words[-1] if begun else ""
        return (words[:-1], self._typed) if begun else (words, "")

    def format_completion(self, item: CompletionItem[str]) -> str:
        """Return type and value, the value without what stands before the last sign that ends a word in Bash."""
        breaks = os.environ.get("COMP_WORDBREAKS", "")
        there = max((self._typed.rfind(sign) + 1 for sign in breaks if not sign.isspace()), default=0)
        option, equals, _ = self._typed.partition("=")  # click completes what follows --option=
        word = f"{option}={item.value}" if equals and option.startswith("-") else item.value
        return f"{item.type},{word[there:]}"


def register() -> None:
    """Let click complete for Bash by the script of this file."""
    add_completion_class(Bash)


@click.command(short_help="Print the script that completes names in a shell.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script by which SHELL completes commands, options, and the names of what is installed.

    \b
    eval "$(fgvr-bench completion bash)"                       in ~/.bashrc
    eval "$(fgvr-bench completion zsh)"                        in ~/.zshrc, after compinit
    fgvr-bench completion fish > ~/.config/fish/completions/fgvr-bench.fish
    """
    from fgvr_bench.cli.main import COMPLETING

    register()
    root = ctx.find_root()
    made = get_completion_class(shell)
    assert made is not None  # noqa: S101 - the argument's choices are what click completes for
    click.echo(made(root.command, {}, "fgvr-bench", COMPLETING).source(), nl=False)
