"""fgvr-bench: fine-grained visual recognition benchmarks for multimodal models.

>>> import fgvr_bench
>>> evaluation = fgvr_bench.evaluate("moth-clip", "moth-24", limit=24)  # doctest: +SKIP
>>> evaluation.to_pandas()  # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fgvr_bench.compatibility import API_VERSION
from fgvr_bench.hookspecs import hookimpl

if TYPE_CHECKING:
    from fgvr_bench.core.calling import evaluate
    from fgvr_bench.core.evaluation import Evaluation

__version__ = "0.1.0"
"""The release of this package."""

__all__ = ["API_VERSION", "Evaluation", "__version__", "evaluate", "hookimpl"]


def __getattr__(name: str) -> Any:
    if name == "evaluate":
        from fgvr_bench.core.calling import evaluate

        return evaluate
    if name == "Evaluation":
        from fgvr_bench.core.evaluation import Evaluation

        return Evaluation
    raise AttributeError(f"module 'fgvr_bench' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
