"""What plugins were promised: the public names, fields and arguments that must not go or change.

    python scripts/interface_promise.py            # say what is broken; exit 1 where anything is
    python scripts/interface_promise.py --write    # promise what there is now

The promise lies in tests/data/interface.json.  It is written anew with each release, and when the first number of
`fgvr_bench.API_VERSION` rises: then promises may be broken, after what went has warned for a release.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from api_reference import PUBLIC, ROOT, members, public_things

from fgvr_bench.compatibility import API_VERSION

FILE = ROOT / "tests" / "data" / "interface.json"

Surface = dict[str, Any]


def surface() -> Surface:
    """Return what is public now: for each name its fields, methods and arguments."""
    things = {f"{module}.{name}": _shape(thing) for module in PUBLIC for name, thing in public_things(module)}
    return {"version": API_VERSION, "things": things}


def _shape(thing: Any) -> dict[str, Any]:
    if thing.is_function:
        return {"arguments": _arguments(thing)}
    if not thing.is_class:
        return {}
    fields, methods = members(thing)
    return {
        "fields": {each.name: "has to be given" if _is_required(thing, each) else "" for each in fields},
        "methods": {each.name: _arguments(each) for each in methods},
        "written by plugins": [each.name for each in methods if each.has_labels("abstractmethod")],
        "in order": [each.name for each in fields if not each.has_labels("property")]
        if thing.has_labels("dataclass")
        else [],
    }


def _is_required(thing: Any, field: Any) -> bool:
    return thing.has_labels("dataclass") and field.value is None and not field.has_labels("property")


def _arguments(function: Any) -> dict[str, str]:
    return {
        each.name: "has to be given" if each.required and not each.kind.value.startswith("variadic") else ""
        for each in function.parameters
        if each.name not in ("self", "cls")
    }


def broken(promised: Surface, now: Surface) -> Iterator[str]:
    """Yield a sentence for each promise that does not hold."""
    if promised["version"].split(".")[0] != now["version"].split(".")[0]:
        return
    for name, before in promised["things"].items():
        after = now["things"].get(name)
        if after is None:
            yield f"{name} is gone."
        elif before.keys() != after.keys():
            yield f"{name} is another kind of thing."
        else:
            yield from _broken_thing(name, before, after)


def _broken_thing(name: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    yield from _broken_names(name, "argument", before.get("arguments", {}), after.get("arguments", {}))
    yield from _broken_names(name, "field", before.get("fields", {}), after.get("fields", {}))
    order = before.get("in order", [])
    if after.get("in order", [])[: len(order)] != order:
        yield f"{name} has its fields in another order; new ones stand behind."
    theirs = before.get("written by plugins", [])
    for method, arguments in before.get("methods", {}).items():
        if method not in after["methods"]:
            yield f"{name}.{method}() is gone."
        elif method in theirs and after["methods"][method] != arguments:
            yield f"{name}.{method}() has other arguments, and plugins write it."
        else:
            yield from _broken_names(f"{name}.{method}()", "argument", arguments, after["methods"][method])
    for method in after.get("written by plugins", []):
        if method not in theirs:
            yield f"{name}.{method}() has to be written by plugins, and those there are have not."


def _broken_names(owner: str, what: str, before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[str]:
    for name in before:
        if name not in after:
            yield f"{owner} has no {what} {name!r} any more."
    for name, need in after.items():
        if need and not before.get(name):
            yield f"{owner} has the {what} {name!r} that has to be given, and nobody gives it."


def main() -> None:
    """Check or write the promise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="promise what there is now")
    if parser.parse_args().write:
        FILE.write_text(json.dumps(surface(), indent=1) + "\n")
        return
    if problems := list(broken(json.loads(FILE.read_text()), surface())):
        sys.exit("\n".join(problems))


if __name__ == "__main__":
    main()
