"""``fgvr-bench finedefics ...`` as one types it: in this process, in one of its own, or in two that train together."""

from __future__ import annotations

import contextlib
import io
import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

SMALL = ["--batch-size", "4", "--per-device", "2", "--workers", "0", "--device", "cpu", "--warmup-steps", "1"]
LORA = [*SMALL, "--method", "lora"]
PROGRAM = ("-m", "fgvr_bench")


@dataclass
class Done:
    exit_code: int
    output: str
    """Standard output and standard error."""


def typed(*words: Any) -> Done:
    """Carry it out in this process."""
    from fgvr_bench.cli.main import main

    shown = io.StringIO()
    with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(shown), pytest.raises(SystemExit) as ended:
        main(["finedefics", *map(str, words)])
    return Done(int(ended.value.code or 0), shown.getvalue())


def started(*words: Any, program: Sequence[str] = PROGRAM, **variables: str) -> subprocess.Popen[str]:
    """Start it as a process of its own."""
    command = [sys.executable, *program, "finedefics", *map(str, words)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **variables}
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, env=environment, **pipes)


def two_started(*words: Any, program: Sequence[str] = PROGRAM) -> list[subprocess.Popen[str]]:
    """Start it in two processes that train together."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = str(taken.getsockname()[1])
    # What torchrun and accelerate launch tell each of their processes.
    told = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    return [started(*words, program=program, **told, RANK=rank, LOCAL_RANK=rank) for rank in ("0", "1")]


def two_processes(*words: Any, program: Sequence[str] = PROGRAM) -> str:
    """Carry it out in two processes that train together; return what both said."""
    both = two_started(*words, program=program)
    said = [process.communicate(timeout=240)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    return "".join(said)


def log_of(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
