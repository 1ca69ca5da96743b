"""Plugins that are whole, broken, misspelt or at odds: what is wrong is named, and the rest goes on."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from outside import COMMAND, GOOD, load, of
from toy import Registration, ToyModel, ToyPlugin

from fgvr_bench import hookimpl
from fgvr_bench.core.host import Host, load_commands
from fgvr_bench.errors import NameClash, UnknownName
from fgvr_bench.interfaces import ModelPlugin

Call = Callable[..., subprocess.CompletedProcess[str]]

BROKEN = {
    "an import that is missing": ("import a_module_that_is_not_there", "No module named 'a_module_that_is_not_there'"),
    "an error at import": ("raise RuntimeError('licence\\nexpired')", "RuntimeError: licence expired"),
    "a syntax error": ("def (", "SyntaxError"),
    "an exit at import": ("import sys; sys.exit('I give up')", "SystemExit: I give up"),
    "an error that cannot be shown": (
        "class Odd(Exception):\n    def __str__(self): raise ValueError\nraise Odd",
        "Odd: (its message cannot be shown)",
    ),
    "a very long error": ("raise RuntimeError('x' * 10_000)", "xxx..."),
    "an error at registration": (
        GOOD.replace("    register(Plugin", "    raise OSError('no weights')  # register(Plugin"),
        "OSError: no weights",
    ),
    "an exit at registration": (GOOD.replace("    register(Plugin", "    raise SystemExit(3)  # ("), "SystemExit: 3"),
    "a misspelt hook": (
        GOOD.replace("def register_models", "def register_model"),
        "there is no hook 'register_model'. Did you mean register_models",
    ),
    "a misspelt argument": (
        GOOD.replace("def register_models(register)", "def register_models(regster)").replace(
            " register(P", " regster(P"
        ),
        "hook 'register_models' has no argument 'regster'. Did you mean register?",
    ),
    "a class in place of a model": (
        GOOD.replace('Plugin("outside-model")', "Plugin"),
        "a model is registered as a ModelPlugin, and this is the class Plugin",
    ),
    "a text in place of a model": (GOOD.replace('Plugin("outside-model")', '"outside-model"'), "this is a str"),
    "a name that cannot be typed": (GOOD.replace("outside-model", "out side"), "'out side' cannot name a model"),
    "an empty name": (GOOD.replace("outside-model", ""), "'' cannot name a model"),
    "aliases that are a text": (
        GOOD.replace('"A model from outside"', '"A model from outside", aliases="abc"'),
        "are the text 'abc'",
    ),
}


@pytest.fixture
def bundled() -> list[str]:
    """Return the names of the models that are there without any other plugin."""
    made = Host()
    made.load_entry_points()
    return made.models.names()


def test_every_bundled_plugin_loads() -> None:
    made = Host()
    made.load_entry_points()
    assert made.problems() == []
    assert {"protocols", "metrics", "miners"} <= {info.name for info in made.plugins}
    assert all(info.provides for info in made.plugins)


def test_a_plugin_from_outside_is_found(fake_plugin: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made = load(fake_plugin("good-plugin", GOOD, version="2.3"), monkeypatch)
    assert of(made, "good-plugin").provides == ("model:outside-model",)
    assert made.models.owner("outside-model") == "good-plugin 2.3"
    assert made.models["outside-model"].card.title == "A model from outside"


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_plugin_is_named_with_its_reason_and_the_rest_works(
    what: str, fake_plugin: Any, monkeypatch: pytest.MonkeyPatch, bundled: list[str]
) -> None:
    source, reason = BROKEN[what]
    fake_plugin("broken-plugin", source, version="0.7")
    folder = fake_plugin("good-plugin", GOOD.replace("outside-model", "good-model"))
    made = load(folder, monkeypatch)
    [problem] = made.problems()
    assert (problem.distribution, problem.version) == ("broken-plugin", "0.7")
    assert problem.error is not None
    assert reason in problem.error
    assert "\n" not in problem.error
    assert len(problem.error) < 400
    assert problem.provides == ()
    assert made.models.names() == sorted([*bundled, "good-model"])


@pytest.mark.parametrize("what", ["an error at import", "a misspelt hook", "an error at registration"])
def test_the_command_line_warns_in_one_line_and_answers(what: str, fake_plugin: Any, call: Call) -> None:
    source, reason = BROKEN[what]
    fake_plugin("broken-plugin", source, version="0.7")
    folder = fake_plugin("good-plugin", GOOD)
    shown = call(sys.executable, "-m", "fgvr_bench", "models", PYTHONPATH=str(folder))
    assert shown.returncode == 0
    assert "outside-model" in shown.stdout
    [warning] = shown.stderr.splitlines()
    assert warning.startswith("Warning:")
    assert "broken-plugin 0.7" in warning
    assert reason in warning
    listed = call(sys.executable, "-m", "fgvr_bench", "plugins", PYTHONPATH=str(folder))
    assert listed.returncode == 0
    assert reason in listed.stderr
    assert "broken" in listed.stdout
    assert "Traceback" not in shown.stderr + listed.stderr


def test_an_argument_with_a_default_of_its_own_is_no_misspelling() -> None:
    class Plugin:
        @hookimpl
        def register_models(self, register: Any, title: str = "mine") -> None:
            register(ToyModel(title))

    assert Host().add(Plugin(), "x").error is None


def test_a_plugin_that_fails_half_way_leaves_nothing() -> None:
    made = Host()

    class Half(Registration):
        @hookimpl
        def register_metrics(self, register: Any) -> None:
            raise RuntimeError("half way")

        @hookimpl
        def run_finished(self, result: Any) -> None:
            """Listen."""

    info = made.add(Half([ToyModel("first")], [ToyPlugin()]), "half", "half", "1")
    assert info.error == "RuntimeError: half way"
    assert (len(made.models), len(made.datasets), made.plugins) == (0, 0, [info])
    assert made.manager.hook.run_finished.get_hookimpls() == []
    assert made.add(Registration([ToyModel("first")], [ToyPlugin()]), "half", "half", "2").error is None


def test_two_plugins_that_claim_one_name_are_both_named_and_neither_is_taken_for_it() -> None:
    # Answering with whichever came first would be a result under a name that means something else.
    made = Host()
    assert made.add(Registration([ToyModel("same"), ToyModel("one")]), "a", "first-dist", "1.0").error is None
    clash = made.add(Registration([ToyModel("two"), ToyModel("same")]), "b", "second-dist", "2.0")
    assert clash.error is not None
    assert "model 'same' is claimed by first-dist 1.0 and by second-dist 2.0" in clash.error
    with pytest.raises(NameClash, match=r"first-dist 1\.0 and by second-dist 2\.0.*FGVR_DISABLE=second-dist"):
        made.models.find("same")
    assert made.models["one"].card.name == "one"
    with pytest.raises(UnknownName):
        made.models.find("two")


def test_a_run_of_a_claimed_name_is_refused_by_naming_both(fake_plugin: Any, call: Call, tmp_path: Path) -> None:
    fake_plugin("first-dist", GOOD)
    folder = fake_plugin("second-dist", GOOD)
    command = [sys.executable, "-m", "fgvr_bench", "run", "-m", "outside-model", "-d", "moth-24"]
    refused = call(*command, "--results-dir", tmp_path, PYTHONPATH=str(folder))
    assert refused.returncode == 1
    assert "claimed by first-dist 1.0 and by second-dist 1.0" in refused.stderr.splitlines()[-2]
    assert "Traceback" not in refused.stderr
    left_out = call(*command, "--dry-run", PYTHONPATH=str(folder), FGVR_DISABLE="Second_Dist, other")
    assert "claimed" not in left_out.stderr


def test_a_clash_with_a_bundled_name_is_blamed_on_the_plugin_from_outside(
    fake_plugin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = GOOD.replace("ModelPlugin", "OptionMiner").replace("register_models", "register_option_miners")
    source = source.replace("import ModelCard, ", "import ").replace("ModelCard(name, ", "(name, ")
    source = source.replace("self.card = ", "self.name = name; self.card = self; _ = ")
    source = source.replace("def load(self, settings)", "def identify(self, *_): pass\n\n        def mine(self, *_)")
    made = load(fake_plugin("aaa", source.replace("outside-model", "random")), monkeypatch)
    [problem] = made.problems()
    assert problem.distribution == "aaa"
    assert problem.error is not None
    assert "'random' is claimed by fgvr-bench" in problem.error
    assert "FGVR_DISABLE=aaa" in problem.error


def test_two_distributions_may_give_their_entry_points_one_name(
    fake_plugin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_plugin("first-dist", GOOD, points={"model": "first_dist"})
    folder = fake_plugin("second-dist", GOOD.replace("outside-model", "another"), points={"model": "second_dist"})
    made = load(folder, monkeypatch)
    assert made.problems() == []
    assert {"outside-model", "another"} <= set(made.models.names())


def test_a_module_named_by_two_entry_points_is_taken_once(fake_plugin: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made = load(fake_plugin("twice", GOOD, points={"a": "twice", "b": "twice"}), monkeypatch)
    [problem] = made.problems()
    assert problem.name == "b"
    assert problem.error == "it is loaded already, as a of twice 1.0."
    assert "outside-model" in made.models


@pytest.mark.parametrize("out", ["model", "good-plugin", "Good_Plugin"])
def test_disabled_plugins_are_not_imported(out: str, fake_plugin: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made = load(fake_plugin("good-plugin", "raise SystemExit", points={"model": "good_plugin"}), monkeypatch, [out])
    assert made.problems() == []
    assert all(info.distribution != "good-plugin" for info in made.plugins)


def test_an_installation_without_metadata_costs_no_traceback(fake_plugin: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = fake_plugin("good-plugin", GOOD)
    (folder / "good_plugin-1.0.dist-info" / "METADATA").unlink()
    made = load(folder, monkeypatch)
    assert of(made, "unknown distribution").provides == ("model:outside-model",)


def test_entry_points_that_are_no_text_cost_a_warning(fake_plugin: Any, call: Call) -> None:
    fake_plugin("good-plugin", GOOD)
    folder = fake_plugin("damaged", GOOD)
    (folder / "damaged-1.0.dist-info" / "entry_points.txt").write_bytes(b"\xff\xfe\x00broken")
    shown = call(sys.executable, "-m", "fgvr_bench", "models", PYTHONPATH=str(folder))
    assert shown.returncode == 0
    assert "outside-model" in shown.stdout
    assert "damaged" in shown.stderr
    assert "Traceback" not in shown.stderr


def test_an_unknown_name_offers_the_near_ones() -> None:
    made = Host()
    made.add(Registration([ToyModel("idefics2"), ToyModel("llava"), ToyModel("hf:")]), "x")
    with pytest.raises(UnknownName, match=r"no model 'idefix'\. Did you mean idefics2\? See: fgvr-bench models"):
        made.models.find("idefix")
    with pytest.raises(UnknownName, match="There is hf:, idefics2, llava"):
        made.models.find("qqqqqq")
    with pytest.raises(UnknownName, match="Did you mean llava"):
        made.models.find("llava:7b")
    with pytest.raises(UnknownName, match="'hf:' needs something after its colon"):
        made.models.find("hf:")


def test_a_name_with_a_colon_takes_what_follows_whatever_it_is() -> None:
    made = Host()
    made.add(Registration([ToyModel("hf:")]), "x")
    plugin, argument = made.models.find("hf:organisation/name:with/colons")
    assert (plugin.card.name, argument) == ("hf:", "organisation/name:with/colons")


def test_aliases_find_the_same_thing_and_clash_as_names_do() -> None:
    made = Host()

    def model(name: str, *aliases: str) -> ModelPlugin:
        made_up = ToyModel(name)
        made_up.card = dataclasses.replace(made_up.card, aliases=aliases)
        return made_up

    # an alias that repeats the name is clumsy, not wrong
    assert made.add(Registration([model("cub", "cub", "bird", "bird")]), "x").error is None
    assert made.models["bird"] is made.models["cub"]
    assert made.models.names() == ["cub"]
    info = made.add(Registration([model("wings", "feather"), model("beak", "bird")]), "y", "other", "1")
    assert info.error is not None
    assert "model 'bird' is claimed" in info.error
    with pytest.raises(UnknownName):
        made.models.find("feather")


@settings(deadline=None)
@given(st.lists(st.text("abAB", min_size=1, max_size=3), max_size=12))
def test_whatever_is_registered_every_name_is_found_clashes_or_was_never_there(names: list[str]) -> None:
    made = Host()
    infos = [made.add(Registration([ToyModel(name)]), f"p{i}", f"d{i}") for i, name in enumerate(names)]
    for name in set(names):
        if names.count(name) == 1:
            assert made.models[name].card.name == name
        else:
            with pytest.raises(NameClash):
                made.models.find(name)
    assert sum(info.error is None for info in infos) == len(set(names))
    assert made.models.names() == sorted(set(names))


def test_events_are_among_what_a_plugin_provides() -> None:
    class Listener:
        @hookimpl
        def run_started(self, run: Any) -> None:
            """Listen."""

    assert Host().add(Listener(), "listener").provides == ("event:run_started",)


def run(call: Call, folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return call(sys.executable, "-m", "fgvr_bench", *arguments, PYTHONPATH=str(folder), **environment)


def test_a_plugin_adds_a_command(fake_plugin: Any, call: Call) -> None:
    folder = fake_plugin("hello-plugin", COMMAND, group="fgvr_bench.commands")
    assert "hello" in run(call, folder, "--help").stdout
    assert run(call, folder, "hello").stdout == "hello from outside\n"
    refused = run(call, folder, "hello", FGVR_DISABLE="hello-plugin")
    assert refused.returncode == 2
    assert "there is no command 'hello'" in refused.stderr


def test_no_plugin_takes_the_place_of_a_built_in_command(fake_plugin: Any, call: Call) -> None:
    source = COMMAND.replace("@click.command()", "@click.command('models')")
    folder = fake_plugin("hello-plugin", source, group="fgvr_bench.commands")
    shown = run(call, folder, "models")
    assert "hello from outside" not in shown.stdout
    helped = run(call, folder, "--help")
    assert helped.returncode == 0
    assert "command 'models' is claimed by fgvr-bench and by hello-plugin 1.0; the built-in one stays" in helped.stderr


def test_a_command_claimed_twice_is_served_by_neither(fake_plugin: Any, call: Call) -> None:
    fake_plugin("first-dist", COMMAND, group="fgvr_bench.commands")
    folder = fake_plugin("second-dist", COMMAND, group="fgvr_bench.commands")
    refused = run(call, folder, "hello")
    assert refused.returncode == 2
    assert "claimed by first-dist 1.0 and by second-dist 1.0; neither can be used" in refused.stderr


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("raise RuntimeError('no licence')", "RuntimeError: no licence"),
        (COMMAND.replace("register_commands", "register_comands"), "Did you mean register_commands"),
        (COMMAND.replace("register(hello)", "register('hello')"), "registers 'hello', which is no named command"),
        (COMMAND.replace("register(hello)", "raise SystemExit(9)"), "SystemExit"),
    ],
    ids=["at import", "misspelt", "no command", "exit"],
)
def test_a_broken_command_plugin_leaves_help_and_the_other_commands(
    source: str, reason: str, fake_plugin: Any, call: Call
) -> None:
    fake_plugin("broken-plugin", source, version="0.7", group="fgvr_bench.commands")
    folder = fake_plugin("hello-plugin", COMMAND, group="fgvr_bench.commands")
    shown = run(call, folder, "--help")
    assert shown.returncode == 0
    assert "hello" in shown.stdout
    [warning] = shown.stderr.splitlines()
    assert warning.startswith("Warning: plugin broken-plugin of broken-plugin 0.7")
    assert reason in warning
    assert run(call, folder, "hello").stdout == "hello from outside\n"


def test_commands_are_loaded_without_the_other_plugins(fake_plugin: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_plugin("slow-plugin", "raise AssertionError('imported for help')")
    monkeypatch.syspath_prepend(fake_plugin("hello-plugin", COMMAND, group="fgvr_bench.commands"))
    load_commands.cache_clear()
    try:
        commands, problems = load_commands(frozenset())
    finally:
        load_commands.cache_clear()
    assert "hello" in commands
    assert problems == ()
