"""Built-in metrics."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from fgvr_bench.hookspecs import hookimpl

if TYPE_CHECKING:
    from fgvr_bench.interfaces import Metric


@hookimpl
def register_metrics(register: Callable[[Metric], None]) -> None:
    """Register the built-in metrics."""
    from fgvr_bench.metrics import accuracy, failed, mean_class_accuracy, unparsed

    for module in (accuracy, mean_class_accuracy, unparsed, failed):
        register(module.METRIC)
