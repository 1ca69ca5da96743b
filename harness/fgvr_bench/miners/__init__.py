"""Built-in option miners."""

from __future__ import annotations

from collections.abc import Callable

from fgvr_bench.hookspecs import hookimpl
from fgvr_bench.interfaces import OptionMiner
from fgvr_bench.miners.random import RandomMiner


@hookimpl
def register_option_miners(register: Callable[[OptionMiner], None]) -> None:
    """Register the built-in miners."""
    register(RandomMiner())
