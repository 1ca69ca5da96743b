"""The key of a server: read from the environment, sent as a header, and never shown or written."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from fgvr_bench.engines.openai_api.address import Address
from fgvr_bench.errors import UsageError

OWN = "FGVR_API_KEY"
OPENAI = "OPENAI_API_KEY"
"""Taken for OpenAI's own server alone, so that it is never sent to another one."""
OPENAI_HOST = "api.openai.com"
HIDDEN = "(key)"
SHORTEST = 8
"""Shorter ones (``EMPTY``, ``x``) are stand-ins for servers that want any key; words of answers may look like them."""


class Key:
    """A key that nothing shows by accident."""

    __slots__ = ("_value", "variable")

    def __init__(self, value: str, variable: str) -> None:
        self._value = value
        self.variable = variable

    def __repr__(self) -> str:
        return f"Key(from {self.variable})"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a key does not travel; every process reads it from its environment")

    def headers(self) -> Mapping[str, str]:
        """Return what a request carries."""
        return {"Authorization": f"Bearer {self._value}"}

    def hide(self, text: str) -> str:
        """Return a server's words without the key, which some servers repeat."""
        return text.replace(self._value, HIDDEN) if self.is_secret else text

    def is_in(self, texts: Iterable[str]) -> bool:
        """Say whether one of the texts holds the key."""
        return self.is_secret and any(self._value in text for text in texts)

    @property
    def is_secret(self) -> bool:
        """Whether it is long enough to be anybody's key."""
        return len(self._value) >= SHORTEST


def find_key(address: Address) -> Key | None:
    """Return the key for a server, or None where the environment has none.

    Raises:
        UsageError: it cannot be sent as a header; names the variable, not the value.
    """
    variables = (OWN, OPENAI) if address.host == OPENAI_HOST and address.secure else (OWN,)
    for variable in variables:
        value = os.environ.get(variable, "").strip()
        if not value:
            continue
        if not (value.isascii() and value.isprintable() and " " not in value):
            raise UsageError(
                f"{variable} holds spaces or characters that no key has.", hint="Set it anew, and only the key."
            )
        return Key(value, variable)
    return None
