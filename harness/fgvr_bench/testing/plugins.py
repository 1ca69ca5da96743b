"""Checks of a whole plugin: how it is found, and each thing that it registers."""

from __future__ import annotations

import functools
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from fgvr_bench.compatibility import misfit, stated_in_source
from fgvr_bench.core.host import Host, commands_of
from fgvr_bench.errors import FgvrError
from fgvr_bench.interfaces import ModelSettings
from fgvr_bench.testing.cards import look_at_dataset_card, look_at_model_card
from fgvr_bench.testing.datasets import check_dataset
from fgvr_bench.testing.findings import Findings
from fgvr_bench.testing.metrics import check_metric
from fgvr_bench.testing.miners import check_miner
from fgvr_bench.testing.models import check_model
from fgvr_bench.testing.protocols import check_protocol

HEAVY = (
    "torch",
    "torchvision",
    "transformers",
    "open_clip",
    "accelerate",
    "timm",
    "numpy",
    "pandas",
    "scipy",
    "sklearn",
    "matplotlib",
    "tensorflow",
    "jax",
    "PIL",
    "cv2",
    "requests",
    "huggingface_hub",
    "tokenizers",
    "datasets",
    "jinja2",
)
"""What a plugin's module must not import when it is imported: every list of fgvr-bench imports all of them."""

SECONDS = 0.5
"""Processor time that importing a plugin's module may take."""

_PROBE = """
import json, sys, time
import fgvr_bench, fgvr_bench.interfaces, fgvr_bench.types
before, start = set(sys.modules), time.process_time()
__import__(sys.argv[1])
took = time.process_time() - start
print(json.dumps({"took": took, "new": sorted({name.partition(".")[0] for name in set(sys.modules) - before})}))
"""


def check_plugin(module: ModuleType | str, *, seconds: float = SECONDS) -> None:
    """Check a plugin as the host meets it: its import, its hooks, the version it states, and what it registers.

    Args:
        module: the plugin's module, or its import name.
        seconds: processor time that importing it may take.

    Raises:
        PluginFault: names everything that is wrong.
    """
    name = module if isinstance(module, str) else module.__name__
    __tracebackhide__ = True  # a fault says it all
    found = Findings(f"Plugin {name!r}")
    if not _look_at_import(found, name, seconds):
        found.settle()
    loaded = importlib.import_module(name) if isinstance(module, str) else module
    host = Host()
    info = host.add(loaded, name)
    if info.error is not None:
        found.wrong(f"It cannot be used: {info.error}")
    else:
        commands = commands_of(loaded, name)
        if not info.provides and not commands:
            found.wrong("It provides nothing. Put @hookimpl above its hooks (see docs/plugins.md).")
        for command in commands:
            _look_at_command(found, command)
    for model in host.models:
        look_at_model_card(found, model)
    for dataset in host.datasets:
        look_at_dataset_card(found, dataset)
    found.settle()


def _look_at_import(found: Findings, name: str, seconds: float) -> bool:
    """Import the module in a process of its own and see what comes with it; return whether it can be imported."""
    paths = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(  # noqa: S603 - this Python, with a text written here
        [sys.executable, "-c", _PROBE, name],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        words = done.stderr.strip().splitlines()[-1:] or ["no message"]
        reason = misfit(stated_in_source(name)) or f"{words[0]}."
        found.wrong(f"It cannot be imported by itself: {reason}")
        return False
    *said, last = done.stdout.strip().splitlines()
    seen = json.loads(last)
    if said:
        found.wrong(f"Importing it prints {said[0][:80]!r}. Every list of fgvr-bench imports it; print nothing.")
    if heavy := [each for each in HEAVY if each in seen["new"]]:
        found.wrong(
            f"Importing it imports {', '.join(heavy)}, and every list of fgvr-bench imports it. Import them inside the "
            "function that needs them."
        )
    if seen["took"] > seconds:
        found.wrong(
            f"Importing it takes {seen['took']:.1f} s of processor time, more than {seconds:.1f} s. Do the work in the "
            "function that needs it."
        )
    return True


def _look_at_command(found: Findings, command: Any) -> None:
    import click

    if not isinstance(command, click.Command) or not command.name:
        found.wrong(f"It registers {command!r:.60} as a command. Register click.Command objects that have a name.")
        return
    with found.trying(f"The help of its command {command.name!r}"):
        command.get_help(click.Context(command, info_name=command.name))
    if not command.get_short_help_str():
        found.wrong(f"Its command {command.name!r} has no help. Write a docstring: --help shows its first line.")


@dataclass(frozen=True, slots=True)
class Check:
    """One check that is ready to be called; its text names what is checked."""

    name: str
    call: Callable[[], None]

    def __call__(self) -> None:
        """Check; raises `PluginFault`."""
        __tracebackhide__ = True
        self.call()

    def __str__(self) -> str:
        return self.name


def list_checks(
    module: ModuleType | str,
    *,
    roots: Sequence[Path | str] = (),
    settings: ModelSettings | None = None,
    argument: str | None = None,
) -> list[Check]:
    """Return a check of the plugin itself and one of each thing that it registers; arguments as of `checks_of`."""
    loaded = importlib.import_module(module) if isinstance(module, str) else module
    host = Host()
    host.add(loaded, loaded.__name__)
    own_metrics = list(host.metrics)
    return [
        Check("plugin", functools.partial(check_plugin, loaded)),
        *(Check(f"model {each.card.name}", functools.partial(check_model, each, settings)) for each in host.models),
        *(
            Check(f"dataset {each.card.name}", functools.partial(check_dataset, each, roots, argument))
            for each in host.datasets
        ),
        *(
            Check(f"protocol {each.name}", functools.partial(check_protocol, each, metrics=own_metrics))
            for each in host.protocols
        ),
        *(Check(f"metric {each.name}", functools.partial(check_metric, each)) for each in own_metrics),
        *(Check(f"option miner {each.name}", functools.partial(check_miner, each)) for each in host.miners),
    ]


def checks_of(
    module: ModuleType | str,
    *,
    roots: Sequence[Path | str] = (),
    settings: ModelSettings | None = None,
    argument: str | None = None,
) -> Callable[..., None]:
    """Return a pytest test of everything that a plugin registers, a case for each.  Needs pytest.

    ::

        test_my_plugin = checks_of(my_plugin, roots=["tests/files"])

    Args:
        module: the plugin's module, or its import name.
        roots: folders that its datasets' files are in (see `check_dataset`).
        settings: how its models are loaded (see `check_model`).
        argument: what follows the colon of its datasets' names, where they take something.
    """
    import pytest

    checks = list_checks(module, roots=roots, settings=settings, argument=argument)

    @pytest.mark.parametrize("check", checks, ids=str)
    def test(check: Check) -> None:
        check()

    return test


def host_with(*modules: ModuleType | str) -> Host:
    """Return a host with all installed plugins and these, whether they are installed or not.

    ::

        evaluate(model="my-model", dataset="moth-24", plugins=host_with(my_plugin))

    Raises:
        FgvrError: one of the modules cannot be used.
    """
    host = Host()
    host.load_entry_points()
    for module in modules:
        loaded = importlib.import_module(module) if isinstance(module, str) else module
        if not host.manager.is_registered(loaded):
            info = host.add(loaded, loaded.__name__)
            if info.error is not None:
                raise FgvrError(f"plugin {loaded.__name__} cannot be used: {info.error}")
    return host
