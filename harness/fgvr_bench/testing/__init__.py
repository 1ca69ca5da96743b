"""The conformance kit: what a plugin gets wrong, in sentences.

::

    from fgvr_bench.testing import checks_of
    import my_plugin

    test_my_plugin = checks_of(my_plugin)      # one line, a test for each thing that the plugin registers

Each ``check_...`` looks at one thing, collects everything that is wrong with it and raises one `PluginFault` that
says what, which, and what to do.  Nothing here needs pytest but `checks_of`, and nothing is imported before it is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fgvr_bench.testing.datasets import check_dataset
    from fgvr_bench.testing.findings import PluginFault
    from fgvr_bench.testing.metrics import check_metric
    from fgvr_bench.testing.miners import check_miner
    from fgvr_bench.testing.models import check_model
    from fgvr_bench.testing.plugins import check_plugin, checks_of, host_with
    from fgvr_bench.testing.protocols import check_protocol

_PLACES = {
    "PluginFault": "findings",
    "check_dataset": "datasets",
    "check_metric": "metrics",
    "check_miner": "miners",
    "check_model": "models",
    "check_plugin": "plugins",
    "check_protocol": "protocols",
    "checks_of": "plugins",
    "host_with": "plugins",
}

__all__ = [
    "PluginFault",
    "check_dataset",
    "check_metric",
    "check_miner",
    "check_model",
    "check_plugin",
    "check_protocol",
    "checks_of",
    "host_with",
]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'fgvr_bench.testing' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"fgvr_bench.testing.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
