"""fgvr-bench: fine-grained visual recognition benchmarks for multimodal models.

>>> import fgvr_bench
>>> result = fgvr_bench.evaluate(model="moth-clip", dataset="moth-24", limit=24)  # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fgvr_bench.compatibility import API_VERSION
from fgvr_bench.hookspecs import hookimpl

if TYPE_CHECKING:
    from fgvr_bench.core.evaluate import Evaluation, evaluate

__version__ = "0.1.0"

__all__ = ["API_VERSION", "Evaluation", "__version__", "evaluate", "hookimpl"]


def __getattr__(name: str) -> Any:
    if name in {"evaluate", "Evaluation"}:
        from fgvr_bench.core import evaluate as module

        return getattr(module, name)
    raise AttributeError(f"module 'fgvr_bench' has no attribute {name!r}")
