"""How a server is asked, and when the next request may go out."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Manners:
    """How a server is asked; changes no answer."""

    concurrency: int = 16
    """Requests under way at once."""
    requests_per_minute: float | None = None
    retries: int = 6
    """How often one question is asked again."""
    retry_wait: float = 1.0
    """Seconds before the first time; doubled with each, up to a minute."""
    timeout: float = 300.0
    """Seconds for one answer."""


class Pace:
    """When the next request may go out."""

    def __init__(self, per_minute: float | None) -> None:
        self._gap = 60.0 / per_minute if per_minute else 0.0
        self._free = 0.0

    async def turn(self) -> None:
        """Wait for the next place in time."""
        now = asyncio.get_running_loop().time()
        start = max(now, self._free)
        self._free = start + self._gap
        if start > now:
            await asyncio.sleep(start - now)

    def hold(self, seconds: float) -> None:
        """Let nobody go for so long."""
        self._free = max(self._free, asyncio.get_running_loop().time() + seconds)
