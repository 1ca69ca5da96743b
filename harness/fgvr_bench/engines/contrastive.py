"""Contrastive models as benchmark models: the choice whose text lies nearest to the image.

A question may offer four options or all labels of a dataset; the scores are cosine similarities either way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fgvr_bench.engines.devices import device_kind, resolve_device, resolve_dtype
from fgvr_bench.engines.open_clip import DEFAULT_CHECKPOINT, LoadedClip, clip_identity, load_open_clip
from fgvr_bench.engines.settings import read_arg, refuse_unknown, yes_or_no
from fgvr_bench.engines.torchvision_ops import Carried
from fgvr_bench.errors import UsageError
from fgvr_bench.interfaces import Decoding, Model, ModelCard, ModelPlugin, ModelSettings, Preparer
from fgvr_bench.types import Json, Prompt, Response, ScoreKind

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

__all__ = ["ContrastivePlugin"]

DEFAULT_TEMPLATE = "an image of a {label}"
"""The text that the published option sets were mined with."""

BATCH_SIZES = {"cuda": 256, "mps": 64, "cpu": 32}


@dataclass(frozen=True)
class ContrastivePlugin(ModelPlugin):
    """An open_clip checkpoint that answers by similarity."""

    card: ModelCard
    """Its ``decodings`` are ``("similarity",)``; its checkpoint is one of `load_open_clip`."""
    template: str = DEFAULT_TEMPLATE
    """The text of a label, with ``{label}`` for it; ``--model-arg template=...`` gives another."""

    def identify(self, settings: ModelSettings) -> Mapping[str, Json]:
        """Return checkpoint, precision, device kind and text template.

        Raises:
            UsageError, ModelUnavailable: see `clip_identity`.
        """
        device, dtype = self._place(settings)
        return {
            **clip_identity(self._checkpoint(settings)),
            "engine": "open_clip",
            "dtype": dtype,
            "device": device_kind(device),
            "template": self._template(settings),
            "underscores": "kept" if not self._spaces(settings) else "spaces",
        }

    def load(self, settings: ModelSettings) -> Model:
        """Load the checkpoint.

        Raises:
            UsageError, ModelUnavailable, OutOfMemory: see `load_open_clip`.
        """
        device, dtype = self._place(settings)
        clip = load_open_clip(self._checkpoint(settings), device, dtype)
        return ContrastiveModel(clip, self._template(settings), self._spaces(settings))

    def _place(self, settings: ModelSettings) -> tuple[str, str]:
        device = resolve_device(settings.device)
        return device, resolve_dtype(settings.dtype, device, automatic="float32")

    def _checkpoint(self, settings: ModelSettings) -> str:
        refuse_unknown(settings.args, ("template", "underscores_to_spaces"), self.card.name)
        if settings.revision is not None:
            raise UsageError(f"{self.card.name} has no revisions.", hint="Name the weights: ARCHITECTURE/WEIGHTS.")
        return settings.checkpoint or settings.argument or self.card.checkpoint or DEFAULT_CHECKPOINT

    def _template(self, settings: ModelSettings) -> str:
        template = settings.args.get("template", self.template)
        if "{label}" not in template:
            raise UsageError(f"template={template} has no {{label}} in it.", hint=f"Write '{DEFAULT_TEMPLATE}'.")
        return template

    def _spaces(self, settings: ModelSettings) -> bool:
        return read_arg(settings.args, "underscores_to_spaces", yes_or_no, False)


class ContrastivePreparer(Preparer):
    """The model's own image transform, in worker processes; bytes are made numbers on the device."""

    def __init__(self, read: Any) -> None:
        self._carried = Carried(read)

    def item(self, prompt: Prompt, image: Image) -> torch.Tensor:
        """Return the transformed image, shape (3, height, width)."""
        pixels: torch.Tensor = self._carried.value(image)
        return pixels

    def batch(self, items: list[torch.Tensor]) -> torch.Tensor:
        """Stack the images, shape (n, 3, height, width)."""
        import torch

        return torch.stack(items)


class ContrastiveModel(Model):
    """A loaded contrastive model; keeps the embedding of every label that it has met."""

    def __init__(self, clip: LoadedClip, template: str, spaces: bool = False) -> None:
        self.clip = clip
        self.batch_size = BATCH_SIZES[device_kind(clip.device)]
        self.preparer = ContrastivePreparer(clip.read)
        self._template = template
        self._spaces = spaces
        self._rows: dict[str, int] = {}
        self._bank: torch.Tensor | None = None

    def respond(self, prompts: Sequence[Prompt], batch: torch.Tensor) -> Sequence[Response]:
        """Return the cosine similarities of each image and its choices.

        Raises:
            OutOfMemory: the batch does not fit.
        """
        self._learn([label for prompt in prompts for label in prompt.choices])
        images = self.clip.encode_images(batch)
        if self._bank is None:
            return [self._response(prompt, []) for prompt in prompts]
        # In float64 a product's last bit does not depend on how many labels happen to be known by now.
        table = (images.double() @ self._bank.double().T).tolist()
        return [self._response(prompt, row) for prompt, row in zip(prompts, table, strict=True)]

    def embed_texts(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        """Return the unit-length embedding of each text as it stands, without the template.

        Raises:
            OutOfMemory: a text does not fit.
        """
        return [self.clip.encode_texts([text])[0].tolist() for text in texts]

    def go_on(self, decoding: Decoding) -> bool:
        """Say that it can: what it knows of labels does not depend on who asked."""
        return True

    def facts(self) -> Mapping[str, Json]:
        """Return classes, number of parameters and the digest of the weights."""
        return {
            "model_class": type(self.clip.model).__name__,
            "parameters": sum(parameter.numel() for parameter in self.clip.model.parameters()),
            "weights_sha256": self.clip.digest,
        }

    def _response(self, prompt: Prompt, row: list[float]) -> Response:
        if not prompt.choices:
            return Response(prompt.question_id, error="a contrastive model can only choose among given answers")
        scores = tuple(row[self._rows[label]] for label in prompt.choices)
        return Response(prompt.question_id, scores=scores, score_kind=ScoreKind.SIMILARITY)

    def _learn(self, labels: Sequence[str]) -> None:
        """Encode labels not met before, each on its own: in a batch its last bits would depend on the others."""
        import torch

        new = [label for label in dict.fromkeys(labels) if label not in self._rows]
        if not new:
            return
        encoded = torch.cat([self.clip.encode_texts([self._text(label)]) for label in new])
        self._bank = encoded if self._bank is None else torch.cat([self._bank, encoded])
        for label in new:
            self._rows[label] = len(self._rows)

    def _text(self, label: str) -> str:
        shown = label.replace("_", " ") if self._spaces else label
        return self._template.replace("{label}", shown)
