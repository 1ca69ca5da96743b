"""How a server is asked; changes no answer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Manners:
    """How a user wants a server to be asked."""

    concurrency: int = 16
    """Requests under way at once."""
    requests_per_minute: float | None = None
    retries: int = 6
    """How often one question is asked again."""
    retry_wait: float = 1.0
    """Seconds before the first time; doubled with each, up to a minute."""
    timeout: float = 300.0
    """Seconds for one answer."""
