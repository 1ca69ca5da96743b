"""Which model on which server: ``MODEL@URL``."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from fgvr_bench.errors import UsageError

EXAMPLE = "api:Qwen/Qwen2-VL-7B-Instruct@http://localhost:8000/v1"


@dataclass(frozen=True, slots=True)
class Address:
    """A model's name and the url below which its server answers; holds no credentials."""

    model: str
    """The name that the server knows it by."""
    url: str
    """Scheme, host, port and path, without a slash at the end."""

    @property
    def place(self) -> str:
        """Host, port and path: what names a server in a run's identity."""
        return self.url.partition("://")[2]

    @property
    def host(self) -> str:
        """Host name without port, in small letters."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int | None:
        """Port, where the url names one."""
        return urlsplit(self.url).port

    @property
    def secure(self) -> bool:
        """Whether the way there is encrypted."""
        return self.url.startswith("https://")

    @property
    def here(self) -> bool:
        """Whether the server runs on this machine."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost" or self.host.endswith(".localhost")


def parse_address(argument: str | None) -> Address:
    """Read ``MODEL@URL``.  What cannot be read is not repeated in the error: it may hold a password.

    >>> parse_address("Qwen/Qwen2-VL-7B@http://localhost:8000/v1/").url
    'http://localhost:8000/v1'

    Raises:
        UsageError: no model, no url, or a url with user name, password, query or fragment.
    """
    found = re.fullmatch(r"(?P<model>\S.*?)@(?P<url>https?://\S+)", argument or "", re.IGNORECASE)
    if found is None:
        raise UsageError("api: takes a model and the url of its server.", hint=f"Write for example {EXAMPLE}.")
    url = found["url"]
    if "@" in url:
        raise UsageError(
            "the url of api: holds a user name or password.",
            hint="Leave it out, and put the key into the environment as FGVR_API_KEY.",
        )
    parts = _split(url)
    if parts.query or parts.fragment or url.endswith(("?", "#")):
        raise UsageError(
            "the url of api: goes on after its path (? or #).",
            hint="Leave that out; a key belongs into the environment as FGVR_API_KEY.",
        )
    path = parts.path.rstrip("/").removesuffix("/chat/completions").rstrip("/")
    return Address(found["model"].strip(), f"{parts.scheme.lower()}://{parts.netloc.lower()}{path}")


def _split(url: str) -> SplitResult:
    """Split a url, and see that host and port can be read."""
    try:
        parts = urlsplit(url)
        if parts.hostname and parts.port != 0:
            return parts
    except ValueError:  # its text would repeat the url
        pass
    raise UsageError(
        "the url of api: has no host that can be read, or no such port.", hint=f"Write for example {EXAMPLE}."
    )
