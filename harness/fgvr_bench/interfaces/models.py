"""What a model plugin provides."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fgvr_bench.errors import UsageError
from fgvr_bench.types import Json, Prompt, Response

if TYPE_CHECKING:
    from concurrent.futures import Future

    from PIL.Image import Image


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What a model is, known without its weights."""

    name: str
    """The name users type; one that ends with a colon (``hf:``) takes what follows as its argument."""
    title: str
    """The name its makers gave it."""
    checkpoint: str | None = None
    """Published checkpoint that is loaded by default, ``organisation/name``."""
    revision: str | None = None
    """Pinned commit of the checkpoint; None takes the newest and records which one that was."""
    licence: str = "unknown"
    """Under which licence its weights may be used: an SPDX identifier, or words."""
    citation: str = ""
    """Whom to cite for it."""
    homepage: str = ""
    """Where more is said about it."""
    parameters: int | None = None
    """How many it has, where that is known."""
    exposure: str = "unknown"
    """``zero-shot``, ``tuned`` (on these datasets' train splits) or ``unknown``."""
    decodings: tuple[str, ...] = ("generate", "logprob")
    """Ways of answering it has, the default first; contrastive models have ``similarity``."""
    foci_template: str = "{}"
    """The text around the question in FOCI-Benchmark's code for this family (protocol ``foci``)."""
    foci_trims: bool = False
    """Whether that code trims this family's answers before it reads them (protocol ``foci``)."""
    aliases: tuple[str, ...] = ()
    """Other names that users may type."""


Settled = Callable[[str, tuple[str, ...], tuple[str, ...]], bool]
"""``settled(text, letters, choices)``: nothing that follows `text` can change the verdict."""


@dataclass(frozen=True, slots=True)
class Decoding:
    """How answers are to be had from a model."""

    name: str = "generate"
    """``generate`` (greedy text), ``logprob`` (one prefill ranks the letters) or ``similarity``."""
    max_new_tokens: int = 64
    """Longest answer, in tokens."""
    settled: Settled | None = None
    """Ends a row's generation early; None generates until end-of-text or the limit (``--full-text``)."""


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """What a user asked of a model, settled before anything heavy is imported."""

    argument: str | None = None
    """What follows the colon of a name such as ``hf:organisation/name``."""
    checkpoint: str | None = None
    """A local folder or another hub name, in place of the card's."""
    revision: str | None = None
    """A commit, branch or tag of the checkpoint; None is the card's."""
    device: str = "auto"
    """``auto``, ``cpu``, ``mps``, ``cuda``, ``cuda:1``..."""
    dtype: str = "auto"
    """``auto`` (the plugin's choice for the device), ``float64``, ``float32``, ``bfloat16``, ``float16``."""
    trust_remote_code: bool = False
    """Whether code that comes with the checkpoint may be run."""
    args: Mapping[str, str] = field(default_factory=dict)
    """``--model-arg key=value``; a plugin refuses keys that it does not know."""
    decoding: Decoding = field(default_factory=Decoding)
    """How answers are to be had."""


class Preparer:
    """What happens to an image and a prompt before the model, in worker processes.

    Instances are pickled; they hold processors and tokenizers, never weights.
    """

    def item(self, prompt: Prompt, image: Image) -> Any:
        """Turn one prompt and its decoded image (RGB, upright) into what `batch` joins."""
        return image

    def batch(self, items: list[Any]) -> Any:
        """Join the items of one batch; what it returns is handed to `Model.respond`."""
        return items


class Model(ABC):
    """A loaded model."""

    batch_size: int = 1
    """Questions in a batch when the user says ``auto``; halved until one fits."""
    alike: bool = False
    """Whether questions with pictures of one size and texts of one length had better share a batch: for a model that
    pads them to the longest."""
    needs_images: bool = True
    """False for a model that never looks; then no image is read."""
    preparer: Preparer = Preparer()
    """Turns images and prompts into what `respond` gets; by default the batch is the list of RGB images."""
    callers: int = 1
    """Threads that may be in `respond` at a time, with different batches: more than one for a model that gives its
    device the next batch while it waits for the last."""
    at_once: int = 0
    """Questions that may be under way at once: above 0 for a model that is waited for (on a server) rather than
    computed with here.  Then batches are begun ahead, see `begin`, and answered in any order."""

    def fitting_batch_size(self, make: Callable[[int], tuple[Sequence[Prompt], Any]]) -> int:
        """Return how many questions to put into a batch where the user says ``auto``; by default `batch_size`.

        ``make(n)`` returns prompts and batch of a large question, n times over: what one question takes can be
        measured with it.

        Raises:
            OutOfMemory: not even one fits.
        """
        return self.batch_size

    def begin(self, prompts: Sequence[Prompt], batch: Any) -> Future[Any]:
        """Start on a batch without waiting; called only where `at_once` is above 0.

        The harness hands the future itself to `respond` in place of the batch, once it is done.  Such a batch is
        not asked again: where `respond` raises, all its questions have failed.
        """
        raise NotImplementedError(f"{type(self).__name__} does not answer batches ahead")

    @abstractmethod
    def respond(self, prompts: Sequence[Prompt], batch: Any) -> Sequence[Response]:
        """Answer a batch: one response a prompt, in the same order.

        ``batch`` is what ``preparer.batch`` made of the images (by default the list of RGB images).

        Raises:
            OutOfMemory: the batch does not fit; the harness tries a smaller one.
        """

    def embed_texts(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        """Return a unit-length vector a text; for models whose texts can be compared by cosine similarity.

        What a text's vector is must not depend on the texts beside it.
        """
        raise NotImplementedError(f"{type(self).__name__} does not embed texts")

    def go_on(self, decoding: Decoding) -> bool:
        """Take another run's decoding and say that this model can answer it as well; by default it cannot.

        Called between runs with the very settings that it was loaded with, but for their decoding.  A model that says
        yes must answer as one that was just loaded would.
        """
        return False

    def facts(self) -> Mapping[str, Json]:
        """Return what only loading tells and a board shows (parameters, classes of model and processor)."""
        return {}

    def close(self) -> None:
        """Give memory back."""


class ModelPlugin(ABC):
    """How a model is declared."""

    card: ModelCard
    """What is known of the model before it is loaded."""
    arguments: tuple[str, ...] = ()
    """Keys of ``--model-arg`` that the model knows; `identify` refuses any other."""
    served: bool = False
    """Whether the model runs on a server, which settles device and precision."""

    def identify(self, settings: ModelSettings) -> Mapping[str, Json]:
        """Return everything that can change an answer: checkpoint, revision, precision, processor, settings.

        Runs before the weights are loaded and, for a run that is complete, instead of it; so it has to be
        cheap.  It is part of the run's identity.

        Raises:
            UsageError: settings that this model does not have.
            ModelUnavailable: a checkpoint that cannot be there.
        """
        if unknown := sorted(set(settings.args) - set(self.arguments)):
            has = f"It has {', '.join(self.arguments)}." if self.arguments else "It has none."
            raise UsageError(f"{self.card.name} has no setting {unknown[0]!r}. {has}")
        named = settings.checkpoint or settings.argument or self.card.checkpoint
        return {
            "checkpoint": named and re.sub(r"//[^/@\s]*@", "//", named),
            "revision": settings.revision or self.card.revision,
            "device": settings.device,
            "dtype": settings.dtype,
            "trust_remote_code": settings.trust_remote_code,
            "args": dict(settings.args),
        }

    @abstractmethod
    def load(self, settings: ModelSettings) -> Model:
        """Load the weights.

        Raises:
            ModelUnavailable: says what is missing and what to type.
        """
