"""Contrastive models, zero-shot: over all labels, or over the same four options that other models get."""

from __future__ import annotations

from collections.abc import Callable

from fgvr_bench import hookimpl
from fgvr_bench.engines.contrastive import ContrastivePlugin
from fgvr_bench.interfaces import ModelCard, ModelPlugin

HOMEPAGE = "https://github.com/mlfoundations/open_clip"
OPEN_CLIP = "Ilharco et al., OpenCLIP, 2021, https://doi.org/10.5281/zenodo.5143773"

CARDS = (
    ModelCard(
        name="open-clip",
        title="CLIP ViT-L-14 (LAION-2B), zero-shot",
        checkpoint="ViT-L-14/laion2b_s32b_b82k",
        licence="MIT",
        citation=OPEN_CLIP,
        homepage=HOMEPAGE,
        parameters=427_616_513,
        exposure="zero-shot",
        decodings=("similarity",),
    ),
    ModelCard(
        name="open-clip:",
        title="Any open_clip checkpoint: open-clip:ARCHITECTURE/WEIGHTS",
        licence="the checkpoint's own",
        citation=OPEN_CLIP,
        homepage=HOMEPAGE,
        decodings=("similarity",),
    ),
    ModelCard(
        name="clip-l-336",
        title="CLIP ViT-L-14 at 336 pixels (OpenAI), zero-shot",
        checkpoint="ViT-L-14-336-quickgelu/openai",
        licence="MIT",
        citation="Radford et al., Learning Transferable Visual Models From Natural Language Supervision, ICML 2021",
        homepage="https://github.com/openai/CLIP",
        parameters=427_944_193,
        exposure="zero-shot",
        decodings=("similarity",),
    ),
    ModelCard(
        name="siglip",
        title="SigLIP SO400M, zero-shot",
        checkpoint="ViT-SO400M-14-SigLIP/webli",
        licence="Apache-2.0",
        citation="Zhai et al., Sigmoid Loss for Language Image Pre-Training, ICCV 2023, arXiv 2303.15343",
        homepage="https://huggingface.co/timm/ViT-SO400M-14-SigLIP",
        parameters=877_360_306,
        exposure="zero-shot",
        decodings=("similarity",),
    ),
)


@hookimpl
def register_models(register: Callable[[ModelPlugin], None]) -> None:
    """Register the cards."""
    for card in CARDS:
        register(ContrastivePlugin(card))
