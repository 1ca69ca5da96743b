"""What a plugin provides: models, datasets, protocols, metrics and option miners.

A plugin is a declaration: a card that says what a thing is, and one or two methods.  Everything here is
importable without torch; a plugin imports its backend inside the method that needs it.
"""

from __future__ import annotations

from fgvr_bench.interfaces.datasets import (
    Dataset,
    DatasetCard,
    DatasetPlugin,
    Download,
    ListedDataset,
    PublishedOptions,
)
from fgvr_bench.interfaces.metrics import Accumulator, Metric, Scored
from fgvr_bench.interfaces.miners import MiningSettings, OptionMiner
from fgvr_bench.interfaces.models import Decoding, Model, ModelCard, ModelPlugin, ModelSettings, Preparer, Settled
from fgvr_bench.interfaces.protocols import AskContext, ProtocolCard, Task
from fgvr_bench.interfaces.runs import RunInfo, RunResult

__all__ = [
    "Accumulator",
    "AskContext",
    "Dataset",
    "DatasetCard",
    "DatasetPlugin",
    "Decoding",
    "Download",
    "ListedDataset",
    "Metric",
    "MiningSettings",
    "Model",
    "ModelCard",
    "ModelPlugin",
    "ModelSettings",
    "OptionMiner",
    "Preparer",
    "ProtocolCard",
    "PublishedOptions",
    "RunInfo",
    "RunResult",
    "Scored",
    "Settled",
    "Task",
]
