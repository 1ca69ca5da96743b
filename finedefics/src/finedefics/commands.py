"""The commands that this distribution adds to ``fgvr-bench``; imported by ``fgvr-bench --help``, so light."""

from __future__ import annotations

from collections.abc import Callable

import click

from fgvr_bench import hookimpl


@click.group()
def finedefics() -> None:
    """Train models for fine-grained recognition in two stages (arXiv 2501.15140).

    This package will hold the training of Finedefics: attribute descriptions of the classes, stage I
    (attribute-augmented contrastive alignment) and stage II (classification-centred instruction tuning),
    each a command of this group.

    Version 0.1 holds its registration only: there is no training command yet. To evaluate the published
    checkpoint, this package is not needed: fgvr-bench run --model finedefics
    """


@hookimpl
def register_commands(register: Callable[[click.Command], None]) -> None:
    """Add the group ``finedefics``."""
    register(finedefics)
