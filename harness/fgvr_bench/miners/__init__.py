"""Built-in option miners: who chooses the wrong answers, and by what rule."""

from __future__ import annotations

from collections.abc import Callable

from fgvr_bench.hookspecs import hookimpl
from fgvr_bench.interfaces import OptionMiner
from fgvr_bench.miners.clip import ClipMiner
from fgvr_bench.miners.closed import ClosedMiner
from fgvr_bench.miners.consensus import ConsensusMiner
from fgvr_bench.miners.random import RandomMiner
from fgvr_bench.miners.text import TaxonomyMiner, TextMiner


@hookimpl
def register_option_miners(register: Callable[[OptionMiner], None]) -> None:
    """Register the built-in miners."""
    for miner in (ClipMiner(), ClosedMiner(), ConsensusMiner(), RandomMiner(), TaxonomyMiner(), TextMiner()):
        register(miner)
