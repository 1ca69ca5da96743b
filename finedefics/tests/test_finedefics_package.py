"""The distribution is found as a plugin, and its package is itself from wherever it is imported."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from finedefics import commands

from fgvr_bench.testing import check_plugin

PROJECT = Path(__file__).resolve().parent.parent
WHERE = "import finedefics; print(finedefics.__file__, finedefics.__version__)"


@pytest.mark.parametrize("folder", [PROJECT.parent, PROJECT, PROJECT / "tests", Path("/")], ids=str)
def test_the_package_is_no_empty_namespace_in_any_folder(folder: Path) -> None:
    # The repository's root holds a folder of the package's name; `python -c` puts the folder it runs in first.
    done = subprocess.run([sys.executable, "-c", WHERE], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    file, version = done.stdout.rsplit(maxsplit=1)
    assert Path(file).name == "__init__.py"
    assert Path(file).parent.name == "finedefics"
    assert version == importlib.metadata.version("finedefics")


def test_its_commands_come_by_the_entry_point_group_that_help_loads() -> None:
    points = importlib.metadata.entry_points(group="fgvr_bench.commands")
    modules = [point.load() for point in points if point.dist is not None and point.dist.name == "finedefics"]
    registered: list[click.Command] = []
    for module in modules:
        module.register_commands(register=registered.append)
    assert [command.name for command in registered] == ["finedefics"]


def test_the_plugin_passes_the_conformance_kit() -> None:
    check_plugin(commands)


def test_help_lists_every_command_and_each_is_where_it_says() -> None:
    shown = CliRunner().invoke(commands.finedefics, ["--help"])
    assert shown.exit_code == 0
    for name, (_, line) in commands.COMMANDS.items():
        assert f"{name}" in shown.output
        helped = CliRunner().invoke(commands.finedefics, [name, "--help"])
        assert helped.exit_code == 0, helped.output
        command = commands.finedefics.get_command(click.Context(commands.finedefics), name)
        assert command is not None
        assert command.get_short_help_str(100) == line


def test_a_misspelt_command_is_met_with_the_near_one() -> None:
    shown = CliRunner().invoke(commands.finedefics, ["algin"])
    assert shown.exit_code == 2
    assert "Did you mean align" in shown.output


def test_help_of_every_command_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom click.testing import CliRunner\nfrom finedefics import commands\n"
        "for name in commands.COMMANDS:\n"
        "    CliRunner().invoke(commands.finedefics, [name, '--help'], catch_exceptions=False)\n"
        "print([m for m in ('torch', 'peft', 'transformers', 'accelerate', 'matplotlib', 'numpy') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_listing_the_commands_imports_nothing_heavy() -> None:
    code = "import sys, finedefics.commands; print([m for m in ('torch', 'peft', 'transformers') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
