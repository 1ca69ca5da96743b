"""A chat-completions server on this machine that answers as a test says, well or badly."""

from __future__ import annotations

import base64
import contextlib
import http.server
import io
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from PIL import Image
from toy import COLOURS


@dataclass(frozen=True)
class Asked:
    """A request as it came in."""

    path: str
    headers: Mapping[str, str]
    body: dict[str, Any]
    number: int
    """Of questions, from 0."""

    @property
    def turn(self) -> list[dict[str, Any]]:
        """The picture, where there is one, and the words."""
        found: list[dict[str, Any]] = self.body["messages"][0]["content"]
        return found

    @property
    def text(self) -> str:
        return str(self.turn[-1]["text"])

    @property
    def picture_url(self) -> str:
        return str(self.turn[0]["image_url"]["url"])

    @property
    def picture(self) -> Image.Image:
        return Image.open(io.BytesIO(base64.b64decode(self.picture_url.partition(",")[2])))

    def letter_of(self, label: str) -> str:
        return next(line[0] for line in self.text.splitlines() if line[1:].lstrip(".) ") == label)


@dataclass(frozen=True)
class Reply:
    """What goes back."""

    body: Any = None
    """JSON, or bytes as they are."""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    wait: float = 0.0
    sent: int | None = None
    """Bytes of the body that are sent before the connection is closed."""
    reset: bool = False
    """Whether the connection is torn down without an answer."""


Answer = Callable[[Asked], Reply]


def said(content: Any, finish: str = "stop", **more: Any) -> dict[str, Any]:
    """Return an answer's body."""
    message = {"role": "assistant", "content": content, **more}
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return {"object": "chat.completion", "model": "m", "choices": [choice], "usage": {"completion_tokens": 2}}


def ranked(listed: Mapping[str, float]) -> dict[str, Any]:
    """Return an answer's body with the log-probabilities of first tokens."""
    entries = [{"token": token, "logprob": value, "bytes": None} for token, value in listed.items()]
    first = max(entries, key=lambda entry: float(entry["logprob"] or 0.0), default={})
    body = said(first.get("token", ""), "length")
    body["choices"][0]["logprobs"] = {"content": [{**first, "top_logprobs": entries}]}
    return body


def seen(asked: Asked) -> str:
    """Return the letter of the colour that the picture shows: the right answer of the toy dataset."""
    pixel = asked.picture.convert("RGB").getpixel((0, 0))
    assert isinstance(pixel, tuple)
    away = {label: sum(abs(a - b) for a, b in zip(pixel, COLOURS[label], strict=True)) for label in COLOURS}
    return asked.letter_of(min(away, key=away.__getitem__))


def knows(asked: Asked) -> Reply:
    """Answer rightly."""
    return Reply(said(f"The answer is {seen(asked)}."))


@dataclass
class Server:
    """What it does, and what it was asked."""

    answer: Answer = knows
    models: Any = field(default_factory=lambda: {"data": [{"id": "toy-model", "owned_by": "vllm"}]})
    """JSON of the list of models, or a `Reply`."""
    url: str = ""
    asked: list[Asked] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    most_at_once: int = 0
    at_once: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def name(self) -> str:
        return f"api:toy-model@{self.url}"


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16  # head and body in one packet
    server_of_test: Server

    def do_GET(self) -> None:
        if self.path != "/v1/models":
            return self._send(Reply({"detail": "Not Found"}, 404))
        models = self.server_of_test.models
        return self._send(models if isinstance(models, Reply) else Reply(models))

    def do_POST(self) -> None:
        server = self.server_of_test
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path != "/v1/chat/completions":
            return self._send(Reply({"detail": "Not Found"}, 404))
        with server.lock:
            asked = Asked(self.path, dict(self.headers), body, len(server.asked))
            server.asked.append(asked)
            server.times.append(time.monotonic())
            server.at_once += 1
            server.most_at_once = max(server.most_at_once, server.at_once)
        try:
            reply = server.answer(asked)
            time.sleep(reply.wait)
        finally:
            with server.lock:
                server.at_once -= 1
        return self._send(reply)

    def _send(self, reply: Reply) -> None:
        if reply.reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()
            return
        data = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
        with contextlib.suppress(OSError):
            self.send_response(reply.status)
            for name, value in {"Content-Type": "application/json", **reply.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data if reply.sent is None else data[: reply.sent])
            if reply.sent is not None:
                self.close_connection = True

    def finish(self) -> None:
        with contextlib.suppress(OSError, ValueError):  # the client left, or was thrown out
            super().finish()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""


class _Quiet(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients of these tests leave in all ways."""


@contextlib.contextmanager
def serve(answer: Answer = knows, port: int = 0, **settings: Any) -> Iterator[Server]:
    """Serve while the block runs."""
    server = Server(answer, **settings)
    handler = type("Handler", (_Handler,), {"server_of_test": server})
    with _Quiet(("127.0.0.1", port), handler) as http_server:
        server.url = f"http://127.0.0.1:{http_server.server_address[1]}/v1"
        thread = threading.Thread(target=http_server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            http_server.shutdown()
            thread.join()


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
