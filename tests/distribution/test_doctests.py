"""The examples in docstrings and in the page on plugins run."""

from __future__ import annotations

import ast
import doctest
import importlib
import importlib.util
import pkgutil
import re
from pathlib import Path

import pytest
from overlay import ROOT

import fgvr_bench
import fgvr_datasets
import fgvr_models

PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md"]


def modules_with_examples() -> list[str]:
    found = []
    for package in (fgvr_bench, fgvr_datasets, fgvr_models):
        for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            spec = importlib.util.find_spec(info.name)
            if spec is not None and spec.origin is not None and ">>> " in Path(spec.origin).read_text():
                found.append(info.name)
    return found


@pytest.mark.parametrize("name", modules_with_examples())
def test_the_examples_of_a_module_are_true(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0
    assert result.failed == 0


def python_blocks(page: Path) -> list[str]:
    return re.findall(r"^ *```python\n(.*?)^ *```", page.read_text(), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_in_the_pages_can_be_parsed(page: Path) -> None:
    for block in python_blocks(page):
        ast.parse("if True:\n" + block if block.startswith(" ") else block)


def test_names_that_the_pages_import_exist() -> None:
    imported = set()
    for page in PAGES:
        for block in python_blocks(page):
            imported |= set(re.findall(r"^ *from (fgvr_bench[\w.]*) import ([\w, ]+)$", block, re.MULTILINE))
    assert ("fgvr_bench", "hookimpl") in imported
    for module, names in imported:
        for name in names.split(","):
            assert hasattr(importlib.import_module(module), name.strip()), f"{module}.{name}"
