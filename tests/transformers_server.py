"""``transformers serve`` for a test, in a process of its own."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from openai_server import free_port

SCRIPT = Path(__file__).with_name("serve_transformers.py")


@contextlib.contextmanager
def transformers_server(folder: Path) -> Iterator[str]:
    """Yield the url below which it answers, on a processor in float32; it keeps its log in `folder`."""
    port, log_file = free_port(), folder / "serve.log"
    (folder / "hub").mkdir()
    command = [sys.executable, str(SCRIPT), "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    with open(log_file, "wb") as log:
        process = subprocess.Popen(
            [*command, "--dtype", "float32"], env=os.environ | {"HF_HOME": str(folder)}, stdout=log, stderr=log
        )
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
                break
            except OSError:
                assert process.poll() is None, log_file.read_text()
                assert time.monotonic() < deadline, log_file.read_text()
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.kill()
        process.wait(timeout=30)
