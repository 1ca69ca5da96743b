"""Every hook that a plugin can implement, on one page.

A plugin is a module named by an entry point of group ``fgvr_bench``; it implements any of these with
``fgvr_bench.hookimpl``.  ``register`` belongs to the host, which sees to names, aliases and collisions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    import click

    from fgvr_bench.interfaces import (
        DatasetPlugin,
        Metric,
        ModelPlugin,
        OptionMiner,
        ProtocolCard,
        RunInfo,
        RunResult,
    )
    from fgvr_bench.types import Answer, Question, Response

__all__ = [
    "answer_scored",
    "register_commands",
    "register_datasets",
    "register_metrics",
    "register_models",
    "register_option_miners",
    "register_protocols",
    "run_finished",
    "run_started",
]

hookspec = pluggy.HookspecMarker("fgvr_bench")
hookimpl = pluggy.HookimplMarker("fgvr_bench")
"""Marks a function of a plugin as the implementation of a hook."""


@hookspec
def register_models(register: Callable[[ModelPlugin], None]) -> None:
    """Register models: call ``register(plugin)`` for each."""


@hookspec
def register_datasets(register: Callable[[DatasetPlugin], None]) -> None:
    """Register datasets: call ``register(plugin)`` for each."""


@hookspec
def register_protocols(register: Callable[[ProtocolCard], None]) -> None:
    """Register protocols, with their tasks and parsers: call ``register(card)`` for each."""


@hookspec
def register_metrics(register: Callable[[Metric], None]) -> None:
    """Register metrics: call ``register(metric)`` for each."""


@hookspec
def register_option_miners(register: Callable[[OptionMiner], None]) -> None:
    """Register option miners: call ``register(miner)`` for each."""


@hookspec
def register_commands(register: Callable[[click.Command], None]) -> None:
    """Register commands of ``fgvr-bench``: call ``register(command)`` for each; group ``fgvr_bench.commands`` only."""


@hookspec
def run_started(run: RunInfo) -> None:
    """A run is about to ask its first question, or its next one after a resume."""


@hookspec
def answer_scored(question: Question, response: Response, answer: Answer) -> None:
    """A `question` got a `response`, judged as `answer`; called once for each, in the parent, after it is on disk."""


@hookspec
def run_finished(result: RunResult) -> None:
    """A run ended with all its files written; `result` is what came of it."""
