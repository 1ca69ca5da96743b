"""Consistency: the share of examples for which every order of the choices got the same label as its answer."""

from __future__ import annotations

from fgvr_bench.interfaces import Metric, Scored
from fgvr_bench.metrics._orders import OrdersOfOne, label_given


class Consistency(OrdersOfOne):
    """Counts examples that were answered alike in all their orders."""

    __slots__ = ("_alike", "_count")

    def __init__(self) -> None:
        super().__init__()
        self._alike = 0
        self._count = 0

    def take(self, orders: list[Scored]) -> None:
        """Count one example; one with an unread answer is not alike."""
        given = {label_given(scored) for scored in orders}
        self._count += 1
        self._alike += len(given) == 1 and None not in given

    def figure(self) -> float | None:
        """Return the share."""
        return self._alike / self._count


METRIC = Metric("consistency", "Consistency over orders", Consistency)
