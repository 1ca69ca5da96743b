"""What setup.cfg says and what the folders hold are the same: a package left out vanishes from the wheel unnoticed."""

from __future__ import annotations

import ast
import configparser
import inspect
import re
from pathlib import Path

import pytest
import yaml
from overlay import ROOT

from fgvr_bench import hookspecs

DISTRIBUTIONS = [ROOT, ROOT / "finedefics"]


def setup(project: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read_string((project / "setup.cfg").read_text())
    return parser


def lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def pairs(text: str) -> dict[str, str]:
    return {key.strip(): value.strip() for key, value in (line.split("=", 1) for line in lines(text))}


def folders(project: Path) -> dict[str, Path]:
    """Return each top package's folder, following ``package_dir``."""
    given = pairs(setup(project)["options"]["package_dir"])
    if set(given) == {""}:
        return {folder.name: folder for folder in (project / given[""]).iterdir() if (folder / "__init__.py").exists()}
    return {name: project / folder for name, folder in given.items()}


def modules(project: Path) -> dict[str, Path]:
    """Return every module's file by its import name."""
    found = {}
    for top, folder in folders(project).items():
        for file in folder.rglob("*.py"):
            parts = [top, *file.relative_to(folder).with_suffix("").parts]
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


@pytest.mark.parametrize("project", DISTRIBUTIONS, ids=lambda project: project.name)
def test_every_folder_that_holds_modules_is_a_package_and_is_listed(project: Path) -> None:
    holding = {name for name, file in modules(project).items() if file.name == "__init__.py"}
    with_code = {
        ".".join([top, *file.parent.relative_to(folder).parts])
        for top, folder in folders(project).items()
        for file in folder.rglob("*.py")
    }
    assert with_code == holding, "a folder with modules has no __init__.py"
    assert sorted(lines(setup(project)["options"]["packages"])) == sorted(holding)


@pytest.mark.parametrize("project", DISTRIBUTIONS, ids=lambda project: project.name)
def test_a_folder_that_holds_a_package_has_its_import_name(project: Path) -> None:
    assert all(folder.name == name for name, folder in folders(project).items())


def test_every_root_package_of_the_repository_is_mapped() -> None:
    roots = [ROOT / "harness", ROOT / "plugins" / "models", ROOT / "plugins" / "datasets"]
    there = {folder.name for root in roots for folder in root.iterdir() if (folder / "__init__.py").exists()}
    assert there == set(folders(ROOT))


def implements_hooks(file: Path) -> set[str]:
    """Return the names of a module's top-level functions under ``@hookimpl``."""
    return {
        node.name
        for node in ast.parse(file.read_text()).body
        if isinstance(node, ast.FunctionDef)
        and any("hookimpl" in ast.unparse(decorator) for decorator in node.decorator_list)
    }


@pytest.mark.parametrize("project", DISTRIBUTIONS, ids=lambda project: project.name)
def test_plugin_modules_and_entry_points_are_the_same(project: Path) -> None:
    points = setup(project)["options.entry_points"]
    named = {group: pairs(points.get(group, "")) for group in ("fgvr_bench", "fgvr_bench.commands")}
    hooks = {name: found for name, file in modules(project).items() if (found := implements_hooks(file))}
    adding = {name for name, found in hooks.items() if "register_commands" in found}
    others = {name for name, found in hooks.items() if found - {"register_commands"}}
    assert sorted(named["fgvr_bench.commands"].values()) == sorted(adding)
    assert sorted(named["fgvr_bench"].values()) == sorted(others)


def test_data_files_are_listed() -> None:
    # setup.cfg lists them by pattern; a new kind of file would be left out of the wheel.
    listed = {package: re.split(r",\s*", text) for package, text in setup(ROOT)["options.package_data"].items()}
    tops = folders(ROOT)
    kept = {file for top, patterns in listed.items() for pattern in patterns for file in tops[top].glob(pattern)}
    there = {file for folder in tops.values() for file in folder.rglob("*") if file.is_file()}
    left_out = [file for file in there - kept if file.suffix not in (".py", ".pyc")]
    assert left_out == []


def documented_hooks() -> dict[str, set[str]]:
    """Return hook and arguments of each row of the table in docs/plugins.md."""
    rows = re.findall(r"^\| `(\w+)\(([^)]*)\)` \|", (ROOT / "docs" / "plugins.md").read_text(), re.MULTILINE)
    return {name: set(filter(None, re.split(r",\s*", arguments))) for name, arguments in rows}


def test_every_hook_and_argument_is_documented() -> None:
    specified = {
        name: set(inspect.signature(function).parameters)
        for name, function in vars(hookspecs).items()
        if hasattr(function, "fgvr_bench_spec")
    }
    assert len(specified) == 9
    assert documented_hooks() == specified


@pytest.mark.parametrize(
    "module", ["DatasetCard", "Dataset", "ModelCard", "Model", "Preparer", "Metric", "OptionMiner"]
)
def test_the_page_on_plugins_names_what_a_plugin_is_made_of(module: str) -> None:
    assert f"`{module}`" in (ROOT / "docs" / "plugins.md").read_text()


def test_make_and_the_requirements_agree_on_the_pinned_versions() -> None:
    floors = dict(re.findall(r"^\s+([\w-]+)>=([\d.]+)$", (ROOT / "setup.cfg").read_text(), re.MULTILINE))
    pins = dict(re.findall(r"^([\w-]+)==([\d.]+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE))

    def version(text: str) -> tuple[int, ...]:
        return tuple(map(int, text.split(".")))

    compared = [(name, pins[name], floors[name]) for name in pins if name in floors]
    assert {"torch", "transformers"} <= {name for name, _, _ in compared}
    assert [entry for entry in compared if version(entry[1]) < version(entry[2])] == []
    assert (floors["torch"], floors["transformers"]) == ("2.11", "5.17")


def test_the_targets_that_ci_and_the_pages_name_are_in_the_makefile() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    files = [".ci/run", ".github/workflows/ci.yml", "CONTRIBUTING.md", "README.md"]
    called = re.compile(r"(?:`|^|run: )make ([a-z][\w-]*)", re.MULTILINE)
    named = {name for file in files for name in called.findall((ROOT / file).read_text())}
    assert {"test", "demo", "test-wheel"} <= named
    assert named <= targets


def test_what_ci_runs_can_be_run() -> None:
    for script in (".ci/run", "scripts/find-python"):
        assert (ROOT / script).stat().st_mode & 0o111
    steps = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"]["test"]["steps"]
    assert ".ci/run" in [step.get("run") for step in steps]
    actions = [step["uses"] for step in steps if "uses" in step]
    assert all(re.fullmatch(r"actions/[\w-]+@[0-9a-f]{40}", action) for action in actions)


def test_hooks_for_commits_download_nothing() -> None:
    repos = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert [repo["repo"] for repo in repos] == ["local"]
    assert {hook["entry"].split()[2] for repo in repos for hook in repo["hooks"]} == {"ruff", "mypy", "fgvr_bench"}
