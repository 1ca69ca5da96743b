"""The public interface in Markdown, from signatures and docstrings: what docs/api.md is generated from.

What is public is what `PUBLIC` lists and the ``__all__`` of each of its modules names; everything else may change.
"""

from __future__ import annotations

import functools
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import griffe

ROOT = Path(__file__).resolve().parent.parent

PUBLIC = {
    "fgvr_bench": "Runs from Python (more in [python.md](python.md)), and what every plugin imports.",
    "fgvr_bench.hookspecs": "The hooks that a plugin implements, with `fgvr_bench.hookimpl` above them.",
    "fgvr_bench.interfaces": "What a plugin provides.",
    "fgvr_bench.types": "What travels through a run.",
    "fgvr_bench.errors": "Errors that a user can act on; the command line shows them as one paragraph.",
    "fgvr_bench.testing": "The conformance kit.",
    "fgvr_bench.deprecation": "What goes away warns for a release.",
    "fgvr_bench.protocols.fgvr1": "Tasks of the default protocol, to build others on.",
    "fgvr_bench.protocols.ordering": "Orders of choices that follow from seed and question.",
    "fgvr_bench.protocols.scores": "Reading a choice off scores.",
    "fgvr_bench.engines.huggingface": "Models of transformers, by declaration.",
    "fgvr_bench.engines.contrastive": "Contrastive models of open_clip, by declaration.",
    "fgvr_bench.engines.openai_api": "Models behind servers.",
    "fgvr_bench.engines.settings": "Settings that users type.",
}
"""Public modules, and what each is for."""


@functools.cache
def package() -> griffe.Object:
    """Return the package as griffe reads it, without importing it."""
    loader = griffe.GriffeLoader(search_paths=[str(ROOT / "harness")], docstring_parser="google")
    loaded = loader.load("fgvr_bench")
    loader.resolve_aliases()
    assert isinstance(loaded, griffe.Object)  # noqa: S101
    return loaded


def public_things(module: str) -> Iterator[tuple[str, Any]]:
    """Yield the public names of a module and what they stand for, in the order of their source."""
    below = module.partition(".")[2]
    found: Any = package()[below] if below else package()
    named = [(str(name), found[str(name)]) for name in found.exports or ()]
    if all(thing.is_alias is False for _, thing in named):
        named.sort(key=lambda pair: pair[1].lineno)
    yield from named


def members(thing: Any) -> tuple[list[Any], list[Any]]:
    """Return the public fields and methods that a class has of its own, in the order of its source."""
    own = [each for name, each in thing.members.items() if not name.startswith("_") or _is_told(name, each)]
    fields = [each for each in own if each.is_attribute]
    return fields, [each for each in own if each.is_function]


def _is_told(name: str, method: Any) -> bool:
    return name == "__init__" and method.docstring is not None


def described(thing: Any, owner: Any = None) -> str:
    """Return a thing's docstring; a method without one has that of the method it takes the place of."""
    if thing.docstring is not None:
        return str(thing.docstring.value).strip()
    bases = owner.mro() if owner is not None else []
    inherited = (base.members[thing.name] for base in bases if thing.name in base.members)
    return next((described(each) for each in inherited if each.docstring is not None), "")


def reference() -> str:
    """Return all public modules, in Markdown."""
    pieces = []
    for module, purpose in PUBLIC.items():
        pieces += [f"## {module}", purpose]
        for name, thing in public_things(module):
            pieces += [f"### {name.strip('_')}" if name != "__version__" else "### \\_\\_version\\_\\_"]
            pieces += list(_entry(name, thing))
    return _formatted("\n\n".join(piece for piece in pieces if piece))


def _formatted(page: str) -> str:
    """Return a page with its Python as the linter wants it."""
    command = [sys.executable, "-m", "ruff", "format", "--stdin-filename", str(ROOT / "docs" / "api.md")]
    done = subprocess.run(command, input=page, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _entry(name: str, thing: Any) -> Iterator[str]:
    if thing.is_class:
        yield from _class(thing)
    elif thing.is_function:
        yield _code(f"def {thing.signature(return_type=True)}: ...")
        yield _text(thing)
    else:
        yield _code(f"{name} = {thing.value}" if thing.value else name)
        yield _text(thing)


def _class(thing: Any) -> Iterator[str]:
    bases = [str(base).rpartition(".")[2] for base in thing.bases]
    known = [base for base in bases if base not in ("ABC", "object", "Protocol")]
    yield _code(f"class {thing.name}({', '.join(known)}): ..." if known else f"class {thing.name}: ...")
    yield _text(thing)
    fields, methods = members(thing)
    if fields:
        rows = [
            f"| `{each.name}` | {_type(each)} | {_value(each)} | {_line(described(each, thing))} |" for each in fields
        ]
        yield "\n".join(["| field | type | default | |", "|---|---|---|---|", *rows])
    for method in methods:
        yield f"**`{_short(method)}`**" if not method.has_labels("property") else f"**`{method.name}`** (property)"
        yield _text(method, thing)


def _type(field: Any) -> str:
    return f"`{_escaped(str(field.annotation))}`" if field.annotation is not None else ""


def _value(field: Any) -> str:
    if field.value is None:
        return ""
    text = re.sub(r"^field\(default_factory=(\w+)\)$", r"\1()", str(field.value))
    text = re.sub(r"^field\(default=(\w+), .*\)$", r"\1", text)
    return f"`{_escaped(text)}`"


def _short(method: Any) -> str:
    text = re.sub(r"\((self|cls)(, )?", "(", str(method.signature(return_type=True)), count=1)
    return text.replace("__init__", method.parent.name).removesuffix(" -> None") if "__init__" in text else text


def _text(thing: Any, owner: Any = None) -> str:
    """Return a docstring as Markdown, its sections as lists."""
    source = thing
    if thing.docstring is None and owner is not None:
        with_words = (base.members.get(thing.name) for base in owner.mro())
        source = next((each for each in with_words if each is not None and each.docstring is not None), thing)
    if source.docstring is None:
        return ""
    pieces = []
    for section in source.docstring.parsed:
        if section.kind is griffe.DocstringSectionKind.text:
            pieces.append(_markdown(section.value))
        elif section.kind is griffe.DocstringSectionKind.parameters:
            pieces.append("\n".join(f"* `{each.name}`: {_line(each.description)}" for each in section.value))
        elif section.kind is griffe.DocstringSectionKind.raises:
            lines = [f"* `{each.annotation}`: {_line(each.description)}" for each in section.value]
            pieces.append("\n".join(["Raises:", "", *lines]))
        elif section.kind is griffe.DocstringSectionKind.returns:
            pieces.append("Returns: " + " ".join(_line(each.description) for each in section.value))
        else:
            raise ValueError(f"{thing.path}: a docstring with a section of the kind {section.kind}")
    return "\n\n".join(pieces)


def _markdown(text: str) -> str:
    """Return text with its blocks of code fenced."""
    indented = r"(?m)(?:(?<=\S)(:):|^::)\n\n((?:    .*(?:\n|$)|\n)+)"
    text = re.sub(indented, lambda found: (found[1] or "") + _fenced(found[2]), text)
    text = re.sub(r"(?m)^((?:>>> |\.\.\. ).*(?:\n(?!\s*$).*)*)", lambda found: _fenced(found[1]), text)
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def _fenced(block: str) -> str:
    lines = [line.removeprefix("    ") for line in block.strip("\n").splitlines()]
    language = "pycon" if lines[0].startswith(">>> ") else "python"
    return "\n\n" + _code("\n".join(lines), language) + "\n\n"


def _code(text: str, language: str = "python") -> str:
    return f"```{language}\n{text}\n```"


def _line(text: str) -> str:
    return _escaped(" ".join(text.split()))


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")
