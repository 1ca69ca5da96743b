"""Where ``fgvr-bench`` starts: before anything else is imported, Ctrl-C is given an end without a traceback."""

from __future__ import annotations

import os
import signal
from types import FrameType
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line; see `fgvr_bench.cli.main`."""
    signal.signal(signal.SIGINT, _end)
    try:
        from fgvr_bench.cli.main import main as run_command_line

        run_command_line(interrupts=signal.default_int_handler)
    finally:
        signal.signal(signal.SIGINT, _end)  # while Python takes itself down


def _end(number: int, frame: FrameType | None) -> NoReturn:
    """End before anything was begun, or after all of it is done."""
    os.write(2, b"\nStopped.\n")
    os._exit(130)
