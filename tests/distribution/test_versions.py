"""Plugins written for another version are told so in a sentence, and what goes away warns before it does."""

from __future__ import annotations

import ast
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pluggy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from outside import COMMAND, GOOD, load, of
from overlay import ROOT

from fgvr_bench import __version__, compatibility, deprecation
from fgvr_bench.compatibility import API_VERSION, misfit
from fgvr_bench.core.host import Host, load_commands
from fgvr_bench.deprecation import FgvrDeprecationWarning, deprecated, moved

Call = Callable[..., subprocess.CompletedProcess[str]]


def stating(version: str, source: str = GOOD) -> str:
    """Return a plugin that states a version of the interface."""
    first, rest = source.split("\n", 1)
    return f"{first}\n    FGVR_BENCH_API = {version}\n{rest}"


STATED = {
    "this one": ('"1.0"', None),
    "none": ("None", None),
    "a later addition": ('"1.9"', "it is written for version 1.9 of the plugin interface"),
    "a later one": ('"2.0"', "it is written for version 2.0 of the plugin interface, and this fgvr-bench has 1.0."),
    "an earlier one": ('"0.9"', "this fgvr-bench has 1.0. Upgrade the plugin."),
    "a number": ("1.0", "its FGVR_BENCH_API is 1.0; it is a text of two numbers, for example '1.0'."),
    "words": ('"latest"', "its FGVR_BENCH_API is 'latest'; it is a text of two numbers"),
    "a release": ('"1.0.3"', "its FGVR_BENCH_API is '1.0.3'; it is a text of two numbers"),
}


@pytest.mark.parametrize("what", STATED)
def test_a_plugin_states_what_it_was_written_for_and_is_refused_where_it_cannot_work(
    what: str, fake_plugin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    version, reason = STATED[what]
    fake_plugin("other-plugin", stating(version).replace("outside-model", "other-model"))
    made = load(fake_plugin("good-plugin", GOOD), monkeypatch)
    problem = of(made, "other-plugin").error
    assert (problem is None) == (reason is None)
    assert reason is None or reason in str(problem)
    assert "outside-model" in made.models
    assert ("other-model" in made.models) == (reason is None)


def test_the_lists_say_it_in_a_line_and_show_the_rest(fake_plugin: Any, call: Call) -> None:
    fake_plugin("other-plugin", stating('"2.0"').replace("outside-model", "other-model"), version="0.7")
    folder = fake_plugin("good-plugin", GOOD)
    shown = call(sys.executable, "-m", "fgvr_bench", "models", PYTHONPATH=str(folder))
    assert shown.returncode == 0
    assert "outside-model" in shown.stdout
    assert "other-model" not in shown.stdout
    [warning] = shown.stderr.splitlines()
    assert "other-plugin 0.7" in warning
    assert warning.endswith("and this fgvr-bench has 1.0. Upgrade fgvr-bench.")


def test_a_plugin_that_needs_a_name_of_a_later_version_is_told_the_version_not_the_name(
    fake_plugin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = stating('"1.4"').replace("import ModelCard, ModelPlugin", "import Judge, ModelCard, ModelPlugin")
    made = load(fake_plugin("other-plugin", source), monkeypatch)
    assert of(made, "other-plugin").error == (
        f"it is written for version 1.4 of the plugin interface, and this fgvr-bench has {API_VERSION}. "
        "Upgrade fgvr-bench."
    )


@pytest.mark.parametrize("importable", [True, False])
def test_commands_of_another_version_are_told_so_too(
    importable: bool, fake_plugin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = stating('"2.0"', COMMAND if importable else COMMAND.replace("import click", "import not_there"))
    name = f"commands-{importable}".lower()
    monkeypatch.syspath_prepend(fake_plugin(name, source, group="fgvr_bench.commands"))
    load_commands.cache_clear()
    commands, problems = load_commands(frozenset())
    load_commands.cache_clear()
    assert "hello" not in commands
    [problem] = [each for each in problems if name in each]
    assert problem == f"plugin {name} of {name} 1.0 has no commands: {misfit('2.0')}"


def test_plugins_of_an_old_interface_end_with_it(fake_plugin: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # one that states nothing was written for the first interface there was
    monkeypatch.setattr(compatibility, "API_VERSION", "2.0")
    fake_plugin("stating", stating('"1.0"'))
    made = load(fake_plugin("silent", GOOD), monkeypatch)
    said = "it is written for version 1.0 of the plugin interface, and this fgvr-bench has 2.0. Upgrade the plugin."
    assert of(made, "silent").error == of(made, "stating").error == said


@given(st.tuples(st.integers(0, 20), st.integers(0, 20)), st.tuples(st.integers(0, 20), st.integers(0, 20)))
def test_a_plugin_fits_where_nothing_was_taken_away_and_all_it_needs_is_there(
    wanted: tuple[int, int], here: tuple[int, int]
) -> None:
    problem = misfit("{}.{}".format(*wanted), "{}.{}".format(*here))
    assert (problem is None) == (wanted[0] == here[0] and wanted[1] <= here[1])
    assert problem is None or ("Upgrade the plugin" in problem) == (wanted < here)


# --- deprecation ------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget what other tests were warned of, and what they marked."""
    monkeypatch.setattr(deprecation, "_told", set())
    monkeypatch.setattr(deprecation, "DEPRECATED", {})


def test_what_goes_warns_once_with_what_to_use_and_until_when_and_works() -> None:
    @deprecated(use="Model.respond", goes="9.0")
    def ask(number: int) -> int:
        return number + 1

    with pytest.warns(FgvrDeprecationWarning) as caught:
        assert (ask(1), ask(2)) == (2, 3)
    [warning] = caught
    assert str(warning.message).endswith("ask() is deprecated and goes with fgvr-bench 9.0; use Model.respond.")
    assert warning.filename == __file__, "in the name of whoever uses it"


def test_a_name_that_moved_is_found_at_its_old_place_with_a_warning() -> None:
    find = moved("fgvr_bench.example", {"Old": "fgvr_bench.types.Example"}, goes="9.0")
    with pytest.warns(
        FgvrDeprecationWarning, match=r"fgvr_bench\.example\.Old is deprecated .*; use fgvr_bench\.types"
    ):
        assert find("Old").__name__ == "Example"
    with pytest.raises(AttributeError, match="has no attribute 'Older'"):
        find("Older")


def test_a_hook_that_goes_warns_whoever_implements_it() -> None:
    class Specs:
        @pluggy.HookspecMarker("fgvr_bench")(warn_on_impl=FgvrDeprecationWarning("hook old_hook goes with 9.0"))
        def old_hook(self) -> None:
            """Went."""

    class Plugin:
        @pluggy.HookimplMarker("fgvr_bench")
        def old_hook(self) -> None:
            """Is still called."""

    manager = Host().manager
    manager.add_hookspecs(Specs)
    with pytest.warns(FgvrDeprecationWarning, match="hook old_hook goes with 9.0"):
        manager.register(Plugin())


def test_the_warning_is_shown_to_whoever_has_installed_the_plugin(fake_plugin: Any, call: Call) -> None:
    # Python hides DeprecationWarning from all but the script that is run
    old = "@deprecated(use='Model.respond', goes='9.0')\n    def ask(): pass\n    ask()\n"
    source = GOOD.replace(
        "from fgvr_bench import",
        f"from fgvr_bench.deprecation import deprecated\n    {old}    from fgvr_bench import",
        1,
    )
    folder = fake_plugin("old-plugin", source)
    shown = call(sys.executable, "-m", "fgvr_bench", "models", PYTHONPATH=str(folder))
    assert shown.returncode == 0
    assert "outside-model" in shown.stdout
    assert "ask() is deprecated and goes with fgvr-bench 9.0; use Model.respond." in shown.stderr
    assert "old_plugin.py" in shown.stderr


def marks() -> Iterator[tuple[Path, str]]:
    """Yield each place of the project that marks something as going, and the release in which it is gone."""
    for root in ("harness", "plugins", "finedefics/src"):
        for file in (ROOT / root).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("deprecated", "moved"):
                    yield from ((file, ast.literal_eval(each.value)) for each in node.keywords if each.arg == "goes")


def test_nothing_is_kept_beyond_the_release_in_which_it_should_be_gone() -> None:
    now = tuple(map(int, __version__.split(".")[:2]))
    late = [(file, goes) for file, goes in marks() if tuple(map(int, goes.split(".")[:2])) <= now]
    assert late == [], "remove them: they have warned for a release"


def test_importing_the_package_warns_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", FgvrDeprecationWarning)
        made = Host()
        made.load_entry_points()
    assert made.problems() == []
