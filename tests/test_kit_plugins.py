"""The conformance kit on whole plugins: how they are found, and a case for each thing that they register."""

from __future__ import annotations

import itertools
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fgvr_bench.errors import FgvrError
from fgvr_bench.new_plugin import KINDS, Draft, render
from fgvr_bench.testing import PluginFault, check_plugin, checks_of, host_with
from fgvr_bench.testing.plugins import list_checks

NUMBERS = itertools.count()
Write = Callable[[str], str]

MODEL = next(text for path, text in render(Draft("model", "my-model")).items() if path.startswith("fgvr_"))

COMMAND = """
    import click
    from fgvr_bench import hookimpl

    @click.command("greet")
    def greet():
        "Say hello."

    @hookimpl
    def register_commands(register):
        register(greet)
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Return a function that writes a module and returns its import name, which no other test has."""
    monkeypatch.syspath_prepend(tmp_path)
    written = []

    def module(source: str) -> str:
        name = f"kit_plugin_{next(NUMBERS)}"
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(source))
        written.append(name)
        return name

    yield module
    for name in written:
        sys.modules.pop(name, None)


def template(kind: str, name: str = "my-own") -> str:
    """Return the module that ``new-plugin`` writes."""
    return next(text for path, text in render(Draft(kind, name)).items() if path.startswith("fgvr_"))


@pytest.mark.parametrize("source", [MODEL, COMMAND], ids=["a model", "a command"])
def test_nothing_is_said_against_a_plugin_that_is_right(source: str, write: Write) -> None:
    check_plugin(write(source))


def faults(module: str, seconds: float = 30.0) -> str:
    """Return what the kit says is wrong; a machine that is busy does not count."""
    with pytest.raises(PluginFault) as caught:
        check_plugin(module, seconds=seconds)
    assert caught.value.subject == f"Plugin {module!r}"
    return str(caught.value)


WRONG = {
    "a heavy import": (f"import numpy\n{MODEL}", "Importing it imports numpy, and every list of fgvr-bench imports it"),
    "a print": (f"print('hello')\n{MODEL}", "Importing it prints 'hello'"),
    "a missing import": (f"import not_there_at_all\n{MODEL}", "It cannot be imported by itself: ModuleNotFoundError"),
    "an exit": (f"raise SystemExit('no licence')\n{MODEL}", "It cannot be imported by itself: no licence"),
    "no hook": (MODEL.replace("@hookimpl", ""), "It provides nothing. Put @hookimpl above its hooks"),
    "a misspelt hook": (
        MODEL.replace("def register_models", "def register_model"),
        "It cannot be used: there is no hook 'register_model'. Did you mean register_models",
    ),
    "a class in place of an object": (
        MODEL.replace("MyModelPlugin())", "MyModelPlugin)"),
        "a model is registered as a ModelPlugin, and this is the class MyModelPlugin",
    ),
    "another kind": (
        MODEL.replace("register_models", "register_metrics"),
        "a metric is registered as a Metric, and this is a MyModelPlugin",
    ),
    "two of one name": (
        f"{MODEL}    register(MyModelPlugin())\n",
        "model 'my-model' is claimed by this process and by this process",
    ),
    "a newer interface": (
        MODEL.replace('FGVR_BENCH_API = "1.0"', 'FGVR_BENCH_API = "7.0"'),
        "It cannot be used: it is written for version 7.0 of the plugin interface",
    ),
    "a newer interface that has names which this one lacks": (
        f"from fgvr_bench.interfaces import Judge\n{MODEL.replace('1.0', '7.0')}",
        "It cannot be imported by itself: it is written for version 7.0 of the plugin interface",
    ),
    "a card that lacks something": (
        MODEL.replace('licence="not chosen yet"', 'licence=""'),
        "Its card states no licence",
    ),
    "a command without help": (COMMAND.replace('"Say hello."', "pass"), "Its command 'greet' has no help"),
    "a function for a command": (
        COMMAND.replace('@click.command("greet")', ""),
        "as a command. Register click.Command objects that have a name",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_would_cost_every_user_is_found(what: str, write: Write) -> None:
    source, said = WRONG[what]
    assert said in faults(write(source))


def test_an_import_that_takes_long_is_found(write: Write) -> None:
    busy = "import time\nwhile time.process_time() < 0.3: pass\n"
    assert "of processor time, more than 0.0 s. Do the work in the function" in faults(write(busy + MODEL), 0.01)


@pytest.mark.parametrize(
    ("kind", "right", "wrong", "said"),
    [
        ("model", "self.answer(prompt, image)", "str(len(prompts))", "a question alone than in a batch"),
        ("dataset", "for label, colour in PAINTS.items()", "for label, colour in [*PAINTS.items()][:5]", "No image of"),
        ("protocol", "{context.noun} in the image", "{question.example.label} in the image", "could read the answer"),
        ("metric", "self.chosen / self.asked if self.asked else None", "self.chosen / self.asked", "ZeroDivisionError"),
        ("miner", "[*labels[place:], *labels[:place]]", "labels", "Options do not begin with the truth"),
    ],
)
def test_one_line_makes_a_case_of_each_kind_and_a_broken_one_fails_in_its_own(
    kind: str, right: str, wrong: str, said: str, write: Write
) -> None:
    whole = template(kind)
    assert right in whole
    cases = list_checks(write(whole.replace(right, wrong)))
    assert [str(case) for case in cases] == ["plugin", f"{'option miner' if kind == 'miner' else kind} my-own"]
    cases[0]()
    with pytest.raises(PluginFault, match=said):
        cases[1]()


@pytest.mark.parametrize("kind", KINDS)
def test_what_new_plugin_writes_has_nothing_wrong(kind: str, write: Write) -> None:
    for case in list_checks(write(template(kind))):
        case()


def test_the_cases_are_a_pytest_test(write: Write) -> None:
    test = checks_of(write(template("metric")))
    [mark] = test.pytestmark  # type: ignore[attr-defined]
    assert [str(case) for case in mark.args[1]] == ["plugin", "metric my-own"]


def test_a_protocol_may_name_a_metric_of_its_own_plugin(write: Write) -> None:
    both = template("protocol", "my-protocol").replace(
        '    name = "multiple-choice"\n', '    name = "multiple-choice"\n    metrics = ("my-metric",)\n'
    )
    metric = template("metric", "my-metric").partition("FGVR_BENCH_API")[2].partition("\n")[2]
    module = write(f"{both}\nfrom fgvr_bench.interfaces import Metric, Scored\n{metric}")
    for case in list_checks(module):
        case()


def test_a_host_has_what_is_installed_and_the_plugin_under_test(write: Write) -> None:
    module = write(MODEL)
    host = host_with(module)
    assert {"my-model", "always-a"} <= set(host.models.names())
    assert host.problems() == []


def test_a_host_with_a_broken_plugin_says_so(write: Write) -> None:
    module = write(MODEL.replace('name="my-model"', 'name="always-a"'))
    with pytest.raises(FgvrError, match=rf"plugin {module} cannot be used: model 'always-a' is claimed by"):
        host_with(module)
