"""When the next request may go out."""

from __future__ import annotations

import asyncio


class Pace:
    """A rate limit, and a pause for all."""

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
