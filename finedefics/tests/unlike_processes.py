"""One of two processes that are not alike, in the three ways that are found: started as torchrun starts them.

unlike_processes.py finedefics FOLDER
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
from finedefics.launching import Processes, peers_named
from finedefics.logbook import TrainingWatcher
from finedefics.run_folders import enter

from fgvr_bench.core import files
from fgvr_bench.errors import FgvrError


def main(folder: Path) -> None:
    """Say what is refused, a line each."""
    rank = int(os.environ["RANK"])
    processes = Processes("cpu")
    files.SIGHT_SECONDS = 0.2
    accelerator: Any = SimpleNamespace(
        is_main_process=processes.is_first, wait_for_everyone=processes._state.wait_for_everyone
    )

    def tried(output: Path, **facts: Any) -> None:
        try:
            enter(output, {"stage": "tune", "recipe": {}, **facts}, False, accelerator, TrainingWatcher())
            click.echo("entered")
        except FgvrError as error:
            click.echo(error)

    tried(folder / "same", rows=12)
    tried(folder / "rows", rows=12 + rank)
    tried(folder / f"of {rank}", rows=12)
    if rank == 1:
        os._exit(0)
    try:
        with peers_named():
            processes._state.wait_for_everyone()
    except FgvrError as error:
        click.echo(error)


main(Path(sys.argv[-1]))
