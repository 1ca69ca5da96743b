"""A web server on this machine that can be made to break in the ways that servers do."""

from __future__ import annotations

import contextlib
import http.server
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Site:
    """What the server serves, how it misbehaves, and what it was asked."""

    files: dict[str, bytes] = field(default_factory=dict)
    url: str = ""
    cut_after: list[int] = field(default_factory=list)
    """For the next answers: close the connection after so many bytes of content."""
    ranges: bool = True
    """Whether it can go on in the middle of a file."""
    status: int | None = None
    """Answer this in place of anything else."""
    seconds_a_piece: float = 0.0
    """Pause after each 64 KB."""
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    """(path, Range header) of each request."""
    served: int = 0
    """Bytes of content sent."""


class _Handler(http.server.BaseHTTPRequestHandler):
    site: Site

    def do_GET(self) -> None:
        site, asked = self.site, self.headers.get("Range")
        site.requests.append((self.path, asked))
        data = site.files.get(self.path.lstrip("/"))
        if site.status or data is None:
            self.send_error(site.status or 404)
            return
        start = 0
        if asked and site.ranges:
            start = int(asked.removeprefix("bytes=").partition("-")[0])
            if start >= len(data):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(data)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        end = start + site.cut_after.pop(0) if site.cut_after else len(data)
        with contextlib.suppress(OSError):
            for place in range(start, min(end, len(data)), 1 << 16):
                piece = data[place : min(place + (1 << 16), end)]
                site.served += len(piece)  # before the client has it, and looks
                self.wfile.write(piece)
                time.sleep(site.seconds_a_piece)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""


@contextlib.contextmanager
def serve(**files: bytes) -> Iterator[Site]:
    """Serve `files` (and what is added to `Site.files`) while the block runs."""
    site = Site(dict(files))
    handler = type("Handler", (_Handler,), {"site": site})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        site.url = f"http://127.0.0.1:{server.server_address[1]}/"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield site
        finally:
            server.shutdown()
            thread.join()
