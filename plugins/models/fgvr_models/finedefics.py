"""Finedefics (He et al., ICLR 2025, arXiv 2501.15140): Idefics2 tuned for fine-grained recognition."""

from __future__ import annotations

from collections.abc import Callable

from fgvr_bench import hookimpl
from fgvr_bench.interfaces import ModelCard, ModelPlugin
from fgvr_models._idefics2 import idefics2

FINEDEFICS = idefics2(
    ModelCard(
        name="finedefics",
        title="Finedefics 8B",
        checkpoint="StevenHH2000/Finedefics",
        licence="none in its repository",
        citation="He et al., Analyzing and Boosting the Power of Fine-Grained Visual Recognition for "
        "Multi-modal Large Language Models, ICLR 2025, arXiv 2501.15140",
        homepage="https://github.com/PKU-ICST-MIPL/Finedefics_ICLR2025",
        parameters=8_400_000_000,
        exposure="tuned",
        # The published answers' path holds "idefics", which FOCI's code asks for; the hub's name does not.
        foci_template="User: {}",
        foci_trims=True,
    )
)


@hookimpl
def register_models(register: Callable[[ModelPlugin], None]) -> None:
    """Register the model."""
    register(FINEDEFICS)
