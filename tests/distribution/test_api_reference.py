"""What plugins may rely on is listed, and described to the last name, field, method and argument."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from typing import Any

import api_reference
import pytest
from api_reference import PUBLIC, described, members, public_things
from overlay import ROOT

THINGS = {f"{module}.{name}": thing for module in PUBLIC for name, thing in public_things(module)}


def test_every_public_module_names_what_it_offers() -> None:
    for module in PUBLIC:
        assert list(public_things(module)), f"{module} has no __all__"


@pytest.mark.parametrize("name", THINGS)
def test_everything_public_is_described_with_all_its_fields_and_methods(name: str) -> None:
    thing = THINGS[name]
    bare = [] if described(thing) else [name]
    if thing.is_class:
        own, methods = members(thing)
        bare += [f"{name}.{each.name}" for each in [*own, *methods] if not described(each, thing)]
    assert bare == [], "write a docstring (under a field: on the line below it), then: make docs"


@pytest.mark.parametrize("name", [name for name, thing in THINGS.items() if thing.is_function])
def test_every_argument_of_a_function_is_spoken_of(name: str) -> None:
    words = described(THINGS[name])
    untold = [each.name for each in THINGS[name].parameters if not re.search(rf"\b{each.name.lstrip('*')}\b", words)]
    assert untold == []


def test_the_page_shows_every_name_field_and_method() -> None:
    page = (ROOT / "docs" / "api.md").read_text()
    for name, thing in THINGS.items():
        short = name.rpartition(".")[2]
        assert f"\n### {short.replace('__', '')}\n" in page.replace("\\_", ""), (
            f"{name} is not in docs/api.md: make docs"
        )
        if thing.is_class:
            own, methods = members(thing)
            for each in [*own, *methods]:
                shown = each.name.replace("__init__", thing.name)
                assert f"`{shown}" in page, f"{name}.{each.name} is not in docs/api.md: make docs"


@pytest.mark.parametrize("module", PUBLIC)
def test_a_notebook_completes_what_is_public(module: str) -> None:
    # some modules find a name only when it is asked for
    loaded = importlib.import_module(module)
    assert {name for name, _ in public_things(module)} <= set(dir(loaded))
    assert all(hasattr(loaded, name) for name, _ in public_things(module))


def imported(source: str) -> Iterator[tuple[str, str]]:
    """Yield module and name of everything that a source imports from fgvr_bench."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "fgvr_bench":
            yield from ((str(node.module), alias.name) for alias in node.names)


def sources() -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each example, and of each piece of Python in the docs."""
    for file in (ROOT / "examples").rglob("*.py"):
        yield str(file.relative_to(ROOT)), file.read_text()
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        if page.name.startswith("finedefics"):  # of a distribution that is released together with this one
            continue
        blocks = re.findall(r"^( *)```python\n(.*?)^\1```", page.read_text(), re.DOTALL | re.MULTILINE)
        for number, (indent, block) in enumerate(blocks):
            text = re.sub(rf"(?m)^{indent}", "", block)
            if "from fgvr_bench" in text and ">>>" not in text:
                yield f"{page.name}, block {number}", text


@pytest.mark.parametrize(("where", "source"), list(sources()), ids=lambda value: value if "\n" not in value else "")
def test_examples_and_pages_import_what_is_public(where: str, source: str) -> None:
    public = {(module, name) for module in PUBLIC for name, _ in public_things(module)}
    private = [f"{module}.{name}" for module, name in imported(source) if (module, name) not in public]
    assert private == []


def found(text: str) -> list[Any]:
    return re.findall(r"```(?:python|pycon)\n(.*?)\n```", text, re.DOTALL)


def test_code_in_docstrings_is_shown_as_code() -> None:
    text = api_reference._markdown("As this::\n\n    from a import b\n    b()\n\nand so.\n\n>>> 1 + 1\n2\n\nEnd.")
    assert found(text) == ["from a import b\nb()", ">>> 1 + 1\n2"]
    assert text.startswith("As this:\n")
    assert text.endswith("End.")
