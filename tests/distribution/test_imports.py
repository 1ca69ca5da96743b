"""Imports go one way, and the lists never load what they do not need."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from overlay import ROOT

HARNESS = ROOT / "harness" / "fgvr_bench"
PLUGINS = [ROOT / "plugins" / "models" / "fgvr_models", ROOT / "plugins" / "datasets" / "fgvr_datasets"]
EXAMPLES = sorted(folder for folder in (ROOT / "examples" / "fgvr-plugin-template").iterdir() if folder.is_dir())
OUTSIDE = [ROOT / "finedefics" / "src" / "finedefics", *EXAMPLES]

# Each room and the rooms it may import from, beside itself.  `evaluate` is offered by the package itself.
ALLOWED = {
    "compatibility": set(),
    "deprecation": set(),
    "errors": set(),
    "types": {"errors"},
    "interfaces": {"errors", "types"},
    "hookspecs": {"errors", "types", "interfaces"},
    "core": {"compatibility", "deprecation", "errors", "types", "interfaces", "hookspecs"},
}
ALLOWED |= {room: {*ALLOWED["core"], "core"} for room in ("protocols", "metrics")}
ALLOWED["engines"] = {*ALLOWED["core"], "core"}
ALLOWED["miners"] = {*ALLOWED["core"], "core", "engines"}
ALLOWED["report"] = {*ALLOWED["core"], "core", "metrics"}
ALLOWED["probing"] = {*ALLOWED["core"], "core", "engines"}
ALLOWED["new_plugin"] = {*ALLOWED["core"], "core"}
ALLOWED["testing"] = {*ALLOWED["core"], "core", "protocols", "metrics"}
ALLOWED["cli"] = {
    *ALLOWED["core"],
    *("core", "protocols", "metrics", "miners", "engines", "report", "probing", "new_plugin", "testing"),
}
FREE = {"__init__", "__main__", "entry"}
"""Modules of the package's top that offer what lies below."""

HEAVY = ["torch", "torchvision", "transformers", "open_clip", "numpy", "pandas", "scipy", "PIL", "jinja2", "rich"]
HEAVY_ON_TOP = {*HEAVY, "accelerate", "timm", "huggingface_hub", "tokenizers", "peft", "pooch", "requests", "tabulate"}


def imports(file: Path, only_at_import: bool = False) -> Iterator[str]:
    """Yield the dotted name of everything a module imports, or of what merely importing it imports."""
    tree = ast.parse(file.read_text())
    nodes = _run_at_import(tree) if only_at_import else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} has a relative import"
            assert node.module is not None
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _run_at_import(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        typing_only = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) or typing_only:
            continue
        yield node
        yield from _run_at_import(node)


def python_files(folder: Path) -> list[Path]:
    found = sorted(folder.rglob("*.py"))
    assert found
    return found


def test_rooms_import_in_one_direction() -> None:
    wrong = []
    for file in python_files(HARNESS):
        room = file.relative_to(HARNESS).parts[0].removesuffix(".py")
        if room in FREE:
            continue
        assert room in ALLOWED, f"{room} is a new room: say in this test what it may import"
        for name in imports(file):
            package, _, rest = name.partition(".")
            other = rest.split(".")[0]
            # `from fgvr_bench import hookimpl, evaluate, hookspecs`: the last is a module, the others are offers
            if package == "fgvr_bench" and other in ALLOWED and other != room and other not in ALLOWED[room]:
                wrong.append(f"{file.relative_to(ROOT)} imports {name}")
    assert wrong == []


def test_the_harness_imports_no_plugin() -> None:
    named = {"fgvr_models", "fgvr_datasets", "finedefics"}
    wrong = [
        (file.name, name) for file in python_files(HARNESS) for name in imports(file) if name.split(".")[0] in named
    ]
    assert wrong == []


@pytest.mark.parametrize("folder", [*PLUGINS, *OUTSIDE], ids=lambda folder: folder.name)
def test_a_plugin_imports_the_harness_and_itself_only(folder: Path) -> None:
    ours = {path.name for path in [HARNESS, *PLUGINS, *OUTSIDE]} - {"fgvr_bench", folder.name}
    wrong = [(file.name, name) for file in python_files(folder) for name in imports(file) if name.split(".")[0] in ours]
    assert wrong == []


@pytest.mark.parametrize("folder", PLUGINS, ids=lambda folder: folder.name)
def test_one_plugin_does_not_import_another(folder: Path) -> None:
    # Each is loaded on its own; what two share lies in a module that begins with an underscore.
    siblings = {file.stem for file in folder.glob("*.py") if not file.stem.startswith("_")}
    wrong = [
        (file.name, name)
        for file in python_files(folder)
        for name in imports(file)
        if name.startswith(f"{folder.name}.") and name.split(".")[1] in siblings - {file.stem}
    ]
    assert wrong == []


@pytest.mark.parametrize("folder", [*PLUGINS, *OUTSIDE], ids=lambda folder: folder.name)
def test_plugin_modules_import_their_backend_where_they_use_it(folder: Path) -> None:
    wrong = [
        (file.name, name)
        for file in python_files(folder)
        if "hookimpl" in file.read_text() or file.name == "__init__.py"  # what discovery imports
        for name in imports(file, only_at_import=True)
        if name.split(".")[0] in HEAVY_ON_TOP
    ]
    assert wrong == []


LISTS = [["--help"], ["--version"], ["models"], ["datasets"], ["plugins"], ["run", "--help"], ["leaderboard", "--help"]]


@pytest.mark.parametrize("arguments", LISTS, ids=" ".join)
def test_lists_and_help_import_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    heavy = [name for name in HEAVY if name not in ("rich",)]
    code = f"""
import sys
from fgvr_bench.cli.main import main
try:
    main({arguments!r})
except SystemExit as end:
    assert not end.code, end.code
loaded = [name for name in {heavy!r} if name in sys.modules]
print("loaded:", loaded)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "loaded: []"


def test_a_board_is_built_without_torch(tmp_path: Path) -> None:
    code = f"""
import sys
from fgvr_bench.cli.main import main
try:
    main(["leaderboard", "build", {str(tmp_path)!r}])
except SystemExit:
    pass
print("loaded:", [name for name in ("torch", "transformers", "open_clip") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "loaded: []"
