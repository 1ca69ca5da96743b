"""``fgvr-bench new-plugin``: what it writes is complete, is found, passes its own tests, and replaces nothing."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import generate_docs
import overlay
import pytest
from click.testing import CliRunner, Result

from fgvr_bench import interfaces
from fgvr_bench.cli.main import fgvr_bench
from fgvr_bench.core.host import Host
from fgvr_bench.errors import UsageError
from fgvr_bench.new_plugin import KINDS, Draft, draft, render

Call = Callable[..., subprocess.CompletedProcess[str]]

EXAMPLES = overlay.ROOT / "examples" / "fgvr-plugin-template"
NAMES = generate_docs.EXAMPLE_NAMES


@pytest.fixture(scope="module")
def outside(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the Python of an environment with the wheel and the five examples, built and installed as any plugin."""
    folder = tmp_path_factory.mktemp("examples")
    projects = [Path(shutil.copytree(EXAMPLES / kind, folder / kind, ignore=overlay.NOT_SOURCE)) for kind in KINDS]
    python = overlay.make_overlay(folder / "environment")
    overlay.install(python, wheel, *overlay.build_wheels(projects, folder / "wheels"))
    return python


def test_the_lists_show_what_the_examples_bring(outside: Path, call: Call) -> None:
    shown = call(outside.parent / "fgvr-bench", "plugins")
    assert shown.returncode == 0, shown.stderr
    assert shown.stderr == ""
    for kind, name in NAMES.items():
        [line] = [line for line in shown.stdout.splitlines() if line.startswith(f"{name} ")]
        assert f"fgvr-{name} 0.1.0" in line
        assert f"{kind}:{name}".replace("miner:", "option miner:") in line


def test_the_examples_own_tests_pass_where_they_are_installed(outside: Path, call: Call, tmp_path: Path) -> None:
    tests = [shutil.copytree(EXAMPLES / kind / "tests", tmp_path / kind) for kind in KINDS]
    options = ("-q", "-p", "no:cacheprovider", "--import-mode=importlib")
    done = call(outside, "-m", "pytest", *options, *tests)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "15 passed" in done.stdout  # of each: the plugin, what it registers, a run with it


def test_without_the_examples_their_names_are_unknown(installed: Path, call: Call) -> None:
    refused = call(installed.parent / "fgvr-bench", "run", "-m", "nearest-colour", "-d", "paint-6")
    assert refused.returncode == 2
    assert "there is no model 'nearest-colour'" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_the_examples_are_what_the_command_writes() -> None:
    # pinned because people copy them: `make docs` writes them again
    written = generate_docs.examples()
    assert {path: path.read_text() for path in written} == written
    there = {path for kind in KINDS for path in (EXAMPLES / kind).rglob("*") if path.is_file()}
    assert {path for path in there if path.suffix != ".pyc"} == set(written)


@pytest.mark.parametrize("kind", KINDS)
def test_the_readme_names_every_file(kind: str) -> None:
    written = render(Draft(kind, "a-name"))
    assert len(written) == 4
    assert [path for path in written if path != "README.md" and path not in written["README.md"]] == []


@pytest.mark.parametrize(("kind", "most"), [("model", 45), ("dataset", 45)])
def test_a_module_fits_a_screen(kind: str, most: int) -> None:
    module = next(text for path, text in render(Draft(kind, "a-name")).items() if path.startswith("fgvr_"))
    lines = [line for line in module.splitlines() if line.strip() and not line.strip().startswith('"""')]
    assert len(lines) <= most


# --- the command ------------------------------------------------------------------------------------


@pytest.fixture
def type_(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Return a function that types a command in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(fgvr_bench, ["new-plugin", *arguments])


def test_it_writes_a_folder_and_says_what_to_type_next(type_: Callable[..., Result]) -> None:
    done = type_("dataset", "my-birds")
    assert done.exit_code == 0
    assert done.output.splitlines()[0] == "Written to fgvr-my-birds:"
    for line in (
        "pip install -e 'fgvr-my-birds[test]'",
        "python -m pytest fgvr-my-birds",
        "fgvr-bench run --model always-a --dataset my-birds",
    ):
        assert f"  {line}\n" in done.output
    assert 'my-birds = "fgvr_my_birds"' in Path("fgvr-my-birds/pyproject.toml").read_text()


def test_a_licence_is_asked_for_and_never_made_up(type_: Callable[..., Result]) -> None:
    assert type_("model", "mine").exit_code == 0
    assert not Path("fgvr-mine/LICENSE").exists()
    assert "\nlicense" not in Path("fgvr-mine/pyproject.toml").read_text()
    assert "Licence: none is chosen yet." in Path("fgvr-mine/README.md").read_text()


def test_nothing_that_is_there_is_written_over_unasked(type_: Callable[..., Result]) -> None:
    assert type_("metric", "mine", "--out", "place").exit_code == 0
    module, own = Path("place/fgvr_mine.py"), Path("place/notes.txt")
    module.write_text("my work")
    own.write_text("mine")
    refused = type_("metric", "mine", "--out", "place")
    assert refused.exit_code == 1
    assert str(refused.exception) == (
        "the folder place is there already and is not empty. "
        "Name another with --out FOLDER, or write over its files with --force."
    )
    assert module.read_text() == "my work"
    assert type_("metric", "mine", "--out", "place", "--force").exit_code == 0
    assert "register_metrics" in module.read_text()
    assert own.read_text() == "mine"


def test_an_empty_folder_is_as_good_as_none_and_a_file_is_refused(type_: Callable[..., Result]) -> None:
    Path("empty").mkdir()
    assert type_("miner", "mine", "--out", "empty").exit_code == 0
    Path("file").write_text("")
    assert type_("miner", "other", "--out", "file").exit_code == 2


def test_an_unknown_kind_is_refused_with_those_there_are(type_: Callable[..., Result]) -> None:
    refused = type_("modell", "mine")
    assert refused.exit_code == 2
    assert "'model', 'dataset', 'protocol', 'metric', 'miner'" in refused.output


# --- names ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plugins() -> Host:
    """Return a host with the bundled plugins."""
    made = Host()
    made.load_entry_points()
    return made


@pytest.mark.parametrize("name", ["a", "class", "x1", "import", "bird-200", "fgvr-birds", "a" * 50])
def test_words_of_python_and_short_names_are_fine(name: str, plugins: Host) -> None:
    for kind in KINDS:
        made = draft(kind, name, plugins) if name != "bird-200" or kind != "dataset" else Draft(kind, name)
        assert made.module.isidentifier()
        module = next(text for path, text in render(made).items() if path == f"{made.module}.py")
        compile(module, made.module, "exec")


@pytest.mark.parametrize(
    ("name", "offered"),
    [
        ("MyModel", "my-model"),
        ("my_model", "my-model"),
        ("my model", "my-model"),
        ("Élan", "elan"),
        ("2-birds", "my-2-birds"),
        ("-x", "x"),
        ("x--y", "x-y"),
        ("../up", "up"),
        ("hf:", "hf"),
        ("貓", "my-first"),
        ("", "my-first"),
        ("a" * 51, "a" * 50),
    ],
)
def test_a_name_that_cannot_be_one_is_refused_with_one_that_can(name: str, offered: str, plugins: Host) -> None:
    with pytest.raises(UsageError, match="cannot name a model") as refused:
        draft("model", name, plugins)
    assert refused.value.hint == f"For example: fgvr-bench new-plugin model {offered}"


@pytest.mark.parametrize(
    ("kind", "name", "owner"),
    [
        ("model", "llava", "fgvr-bench"),
        ("dataset", "bird-200", "fgvr-bench"),
        ("protocol", "foci", "fgvr-bench"),
        ("metric", "accuracy", "fgvr-bench"),
        ("miner", "clip", "fgvr-bench"),
    ],
)
def test_a_name_that_is_taken_says_by_what(kind: str, name: str, owner: str, plugins: Host) -> None:
    with pytest.raises(UsageError, match=rf"there is a {kind} '{name}' already, of {owner}"):
        draft(kind, name, plugins)


@pytest.mark.parametrize("name", ["bench", "models"])
def test_a_module_that_is_there_is_not_hidden(name: str, plugins: Host) -> None:
    with pytest.raises(UsageError, match=f"there is a Python package fgvr_{name} already"):
        draft("dataset", name, plugins)


@pytest.mark.parametrize("name", sorted(interfaces.__all__))
def test_no_class_takes_the_name_of_an_interface(name: str, plugins: Host) -> None:
    # a class ModelPlugin(ModelPlugin) would be of itself
    words = "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in name).strip("-")
    with pytest.raises(UsageError, match="which fgvr_bench has already"):
        draft("model", words, plugins)


@pytest.mark.parametrize(("kind", "name"), [("model", "model"), ("dataset", "dataset"), ("miner", "option")])
def test_no_class_that_a_name_makes_takes_the_name_of_an_interface(kind: str, name: str, plugins: Host) -> None:
    with pytest.raises(UsageError, match="which fgvr_bench has already"):
        draft(kind, name, plugins)
