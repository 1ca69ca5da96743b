"""What plugins were promised holds: nothing public goes or changes without a rise of the interface's first number."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from interface_promise import FILE, broken, surface

PROMISED = json.loads(FILE.read_text())

TASK, METRIC = "fgvr_bench.interfaces.Task", "fgvr_bench.interfaces.Metric"


def test_every_promise_holds() -> None:
    assert list(broken(PROMISED, surface())) == [], (
        "keep it and let it warn for a release (fgvr_bench.deprecation); what was never released may be promised anew: "
        "python scripts/interface_promise.py --write"
    )


def changed(change: Callable[[dict[str, Any]], Any]) -> list[str]:
    """Return what is broken when the public things change."""
    now = copy.deepcopy(PROMISED)
    change(now["things"])
    return list(broken(PROMISED, now))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda things: things.pop(METRIC), f"{METRIC} is gone."),
        (lambda things: things.update({METRIC: {"arguments": {}}}), f"{METRIC} is another kind of thing."),
        (lambda things: things[METRIC]["fields"].pop("share"), f"{METRIC} has no field 'share' any more."),
        (
            lambda things: things[METRIC]["fields"].update(unit="has to be given"),
            f"{METRIC} has the field 'unit' that has to be given, and nobody gives it.",
        ),
        (
            lambda things: things[METRIC]["in order"].insert(1, "unit"),
            f"{METRIC} has its fields in another order; new ones stand behind.",
        ),
        (lambda things: things[TASK]["methods"].pop("settled"), f"{TASK}.settled() is gone."),
        (
            lambda things: things[TASK]["methods"]["read"].update(language=""),
            f"{TASK}.read() has other arguments, and plugins write it.",
        ),
        (
            lambda things: things[TASK]["methods"]["judge"].pop("response"),
            f"{TASK}.judge() has no argument 'response' any more.",
        ),
        (
            lambda things: things[TASK]["written by plugins"].append("judge"),
            f"{TASK}.judge() has to be written by plugins, and those there are have not.",
        ),
        (
            lambda things: things["fgvr_bench.evaluate"]["arguments"].pop("config"),
            "fgvr_bench.evaluate has no argument 'config' any more.",
        ),
    ],
)
def test_what_would_break_plugins_is_named(change: Callable[[dict[str, Any]], Any], said: str) -> None:
    assert said in changed(change)


def test_what_is_added_breaks_nothing() -> None:
    def add(things: dict[str, Any]) -> None:
        things[METRIC]["fields"]["unit"] = ""
        things[METRIC]["in order"].append("unit")
        things[TASK]["methods"]["explain"] = {"answer": "has to be given"}
        things[TASK]["methods"]["judge"]["strictly"] = ""
        things["fgvr_bench.interfaces.Judge"] = {"arguments": {}}

    assert changed(add) == []


def test_a_new_first_number_is_free_of_old_promises() -> None:
    assert list(broken(PROMISED, {"version": "2.0", "things": {}})) == []
