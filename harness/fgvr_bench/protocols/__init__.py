"""Built-in protocols: how questions are asked, ordered, parsed and scored."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from fgvr_bench.hookspecs import hookimpl

if TYPE_CHECKING:
    from fgvr_bench.interfaces import ProtocolCard


@hookimpl
def register_protocols(register: Callable[[ProtocolCard], None]) -> None:
    """Register the built-in protocols."""
    from fgvr_bench.protocols.cot import FGVR_1_COT
    from fgvr_bench.protocols.fgvr1 import FGVR_1
    from fgvr_bench.protocols.foci import FOCI

    for card in (FGVR_1, FGVR_1_COT, FOCI):
        register(card)
