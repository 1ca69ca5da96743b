"""The tiny CLIP that ships with the package: taught the moths of moth-24, it runs and mines options offline."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from fgvr_bench import hookimpl
from fgvr_bench.engines.contrastive import ContrastivePlugin
from fgvr_bench.interfaces import Model, ModelCard, ModelPlugin, ModelSettings
from fgvr_bench.types import Json

FOLDER = Path(__file__).with_suffix("")
"""The checkpoint, in open_clip's layout, with its model card."""

CARD = ModelCard(
    name="moth-clip",
    title="A CLIP of half a million parameters, taught moth-24",
    licence="MIT",
    citation="fgvr-bench: moth-clip, trained by this project",
    parameters=464_797,
    exposure="tuned",
    decodings=("similarity",),
)


class MothClip(ContrastivePlugin):
    """A contrastive model whose checkpoint lies beside this file, wherever that is."""

    def identify(self, settings: ModelSettings) -> Mapping[str, Json]:
        """Return checkpoint, precision, device kind and text template."""
        return super().identify(_bundled(settings))

    def load(self, settings: ModelSettings) -> Model:
        """Load the checkpoint."""
        return super().load(_bundled(settings))


def _bundled(settings: ModelSettings) -> ModelSettings:
    return settings if settings.checkpoint else replace(settings, checkpoint=str(FOLDER))


@hookimpl
def register_models(register: Callable[[ModelPlugin], None]) -> None:
    """Register moth-clip."""
    register(MothClip(CARD))
