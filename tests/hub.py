"""A hub of models and datasets on this machine, for the hub's own client: repositories are folders."""

from __future__ import annotations

import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

COMMIT = "c0ffee" + "0" * 34


@contextmanager
def serve(repositories: dict[str, Path]) -> Iterator[tuple[str, list[str]]]:
    """Serve folders as repositories by name; yield the address and a list that every request is added to."""
    requests: list[str] = []

    class Hub(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            address = urlparse(self.path)
            path = unquote(address.path)
            requests.append(f"{self.command} {path}")
            found = next((name for name in repositories if f"/{name}" in path), None)
            if found is None:
                return self.answer(404, b"{}", {"X-Error-Code": "RepoNotFound"})
            folder = repositories[found]
            files = {file.relative_to(folder).as_posix(): file for file in sorted(folder.rglob("*")) if file.is_file()}
            if path.startswith("/api/") and "/tree/" in path:
                below = path.partition("/tree/")[2].partition("/")[2]
                rows = tree(folder, below, "recursive=true" in address.query.lower())
                return self.answer(200 if rows else 404, json.dumps(rows).encode(), {})
            if path.startswith("/api/"):
                if "/revision/" in path and not path.endswith((COMMIT, "/main")):
                    return self.answer(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
                info = {"id": found, "sha": COMMIT, "siblings": [{"rfilename": name} for name in files]}
                return self.answer(200, json.dumps(info).encode(), {})
            file = files.get(path.partition(f"/{COMMIT}/")[2] or path.rpartition("/")[2])
            if file is None:
                return self.answer(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
            return self.answer(200, file.read_bytes(), {"ETag": f'"{sha1(file)}"', "X-Repo-Commit": COMMIT})

        def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", requests
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def tree(folder: Path, below: str, recursive: bool) -> list[dict[str, Any]]:
    """Return what the hub lists of a repository's folder."""
    places = (folder / below).rglob("*") if recursive else (folder / below).glob("*")
    return [
        {
            "type": "directory" if place.is_dir() else "file",
            "path": place.relative_to(folder).as_posix(),
            "size": 0 if place.is_dir() else place.stat().st_size,
            "oid": "0" * 40 if place.is_dir() else sha1(place),
        }
        for place in sorted(places)
    ]


def sha1(file: Path) -> str:
    """Return an entity tag for a file."""
    return hashlib.sha1(file.read_bytes(), usedforsecurity=False).hexdigest()
