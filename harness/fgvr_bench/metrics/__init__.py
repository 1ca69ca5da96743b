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
    from fgvr_bench.metrics import (
        accuracy,
        calibration_error,
        chance,
        consistency,
        debiased_accuracy,
        difficulty,
        failed,
        hierarchical_precision,
        mean_class_accuracy,
        position_gap,
        tokens,
        top_answer,
        truncated,
        unparsed,
    )

    for module in (accuracy, mean_class_accuracy, unparsed, failed, top_answer, position_gap, consistency):
        register(module.METRIC)
    register(difficulty.EASY)
    register(difficulty.HARD)
    for module in (debiased_accuracy, calibration_error, truncated, tokens, hierarchical_precision, chance):
        register(module.METRIC)
