"""Files that people write settings in, TOML or YAML: what they hold, and the line that each key stands in."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from fgvr_bench.errors import UsageError

MAX_BYTES = 1 << 17
"""A larger file is none that somebody wrote."""
DEPTH = 20
"""Mappings and lists within one another, at most."""

Keys: TypeAlias = "tuple[str | int, ...]"
"""The way to a value: names of keys, and places in lists from 0."""


@dataclass(frozen=True, slots=True)
class Config:
    """What a file holds."""

    path: Path
    values: Mapping[str, Any]
    lines: Mapping[Keys, int]
    """The line of each key that was found, from 1."""

    def where(self, *keys: str | int) -> str:
        """Return file and line of a value, or of the nearest one around it, for messages."""
        for end in range(len(keys), 0, -1):
            if line := self.lines.get(keys[:end]):
                return f"{self.path}, line {line}"
        return str(self.path)


def read_config(path: Path) -> Config:
    """Read a file of settings; nothing in it is run.

    Raises:
        UsageError: absent, of another kind, or not well-formed; names file and line.
    """
    if path.suffix.lower() not in {".toml", ".yaml", ".yml"}:
        raise UsageError(f"{path} is neither TOML nor YAML by its name.", hint="It has to end with .toml or .yaml.")
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}.") from error
    if len(data) > MAX_BYTES:
        raise UsageError(f"{path} has more than {MAX_BYTES:,} bytes.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{path}, line {line} is not UTF-8 text.", hint="Save the file as UTF-8.") from error
    return (_from_toml if path.suffix.lower() == ".toml" else _from_yaml)(path, text)


# --- TOML -------------------------------------------------------------------------------------------

_HEAD = re.compile(r"\s*(\[\[?)\s*([\w.\"' -]+?)\s*\]\]?\s*(?:#.*)?")
_KEY = re.compile(r"\s*([\w.\"'-]+?)\s*=")


def _from_toml(path: Path, text: str) -> Config:
    try:
        values = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is no TOML: {_plain(error)}.") from error
    return Config(path, values, _toml_lines(text))


def _toml_lines(text: str) -> dict[Keys, int]:
    """Return where keys stand; tomllib does not say.  A line within a text of several lines may be taken for one."""
    lines: dict[Keys, int] = {}
    counts: dict[Keys, int] = {}
    table: Keys = ()
    for number, line in enumerate(text.split("\n"), 1):
        if head := _HEAD.fullmatch(line):
            table = ()
            *above, last = _dotted(head[2])
            for name in above:
                table = (*table, name)
                table = (*table, counts[table]) if table in counts else table
            table = (*table, last)
            lines.setdefault(table, number)
            if head[1] == "[[":
                counts[table] = counts.get(table, -1) + 1
                table = (*table, counts[table])
                lines[table] = number
        elif key := _KEY.match(line):
            lines.setdefault((*table, *_dotted(key[1])), number)
    return lines


def _dotted(name: str) -> list[str]:
    return [part.strip(" \"'") for part in name.split(".")]


# --- YAML -------------------------------------------------------------------------------------------


def _from_yaml(path: Path, text: str) -> Config:
    import yaml

    class Loader(yaml.SafeLoader):  # type: ignore[misc]
        def fetch_flow_collection_start(self, kind: Any) -> None:
            if self.flow_level > DEPTH:  # its time grows with the square of this
                raise RecursionError
            super().fetch_flow_collection_start(kind)

    try:
        loader = Loader(text)
        try:
            node = loader.get_single_node()
            lines = {} if node is None else _yaml_lines(path, node)
            values = None if node is None else loader.construct_document(node)
        finally:
            loader.dispose()
    except (yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise UsageError(f"{path} is no YAML: {_plain(error)}.") from error
    if not isinstance(values, dict):
        raise UsageError(f"{path} holds no settings.", hint="Write a setting a line, for example: model: moth-clip")
    return Config(path, values, lines)


def _yaml_lines(path: Path, root: Any) -> dict[Keys, int]:
    """Return where keys stand.

    Raises:
        UsageError: a key stands twice in one mapping, of which YAML would take the last without a word; or mappings
            lie deeper in one another than anybody writes them, or in themselves.
    """
    import yaml

    lines: dict[Keys, int] = {}
    waiting: list[tuple[Any, Keys]] = [(root, ())]
    while waiting:
        node, keys = waiting.pop()
        if len(keys) > DEPTH or len(lines) > MAX_BYTES // 10:
            raise UsageError(f"{path}, line {node.start_mark.line + 1} is nested too deeply.")
        lines[keys] = node.start_mark.line + 1
        if isinstance(node, yaml.SequenceNode):
            waiting += [(item, (*keys, place)) for place, item in enumerate(node.value)]
        elif isinstance(node, yaml.MappingNode):
            seen: set[str] = set()
            for name, value in node.value:
                line, key = name.start_mark.line + 1, str(name.value)
                if key in seen:
                    raise UsageError(f"{path}, line {line}: {key} is given twice.")
                seen.add(key)
                waiting.append((value, (*keys, key)))
                lines[(*keys, key)] = line
    lines.pop((), None)
    return lines


def _plain(error: BaseException) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return " ".join(str(error).split())[:300].rstrip(".") or type(error).__name__
