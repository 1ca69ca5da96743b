"""The paper in miniature: a tiny Idefics2 before and after Finedefics, for the moths of moth-24 (docs/miniature.md)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path

from fgvr_bench import hookimpl
from fgvr_bench.engines.huggingface import HuggingFacePlugin
from fgvr_bench.interfaces import Model, ModelCard, ModelPlugin, ModelSettings
from fgvr_bench.types import Json
from fgvr_models._idefics2 import idefics2

WEIGHTS = Path(__file__).with_name("weights")
"""Checkpoints in the hub's layout, each with its model card."""
CITATION = "fgvr-bench: the paper in miniature, trained by this project"
PARAMETERS = 2_315_648


@dataclass(frozen=True)
class Bundled(HuggingFacePlugin):
    """A model whose checkpoint lies beside this file, wherever that is; in single precision everywhere."""

    folder: Path = WEIGHTS

    def identify(self, settings: ModelSettings) -> Mapping[str, Json]:
        """Return what `HuggingFacePlugin.identify` does."""
        return super().identify(self._bundled(settings))

    def load(self, settings: ModelSettings) -> Model:
        """Load the checkpoint."""
        return super().load(self._bundled(settings))

    def _bundled(self, settings: ModelSettings) -> ModelSettings:
        if settings.dtype == "auto":
            settings = replace(settings, dtype="float32")
        return settings if settings.checkpoint else replace(settings, checkpoint=str(self.folder))


def _bundled(name: str, title: str, exposure: str) -> Bundled:
    card = ModelCard(name=name, title=title, licence="MIT", citation=CITATION, parameters=PARAMETERS, exposure=exposure)
    family = idefics2(card)
    declared = {entry.name: getattr(family, entry.name) for entry in fields(family)}
    return Bundled(**{**declared, "template_source": None}, folder=WEIGHTS / name)


BASE = _bundled(
    "moth-idefics2", "An Idefics2 of 2.3 M parameters: sees moths, knows their names, unaligned", "zero-shot"
)
TUNED = _bundled("moth-finedefics", "The same after Finedefics' two stages on 8 images a species", "tuned")


@hookimpl
def register_models(register: Callable[[ModelPlugin], None]) -> None:
    """Register both."""
    for plugin in (BASE, TUNED):
        register(plugin)
