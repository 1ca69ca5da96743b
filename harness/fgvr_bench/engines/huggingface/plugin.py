"""What a model family declares, and what follows from it: the identity of a run and a loaded model."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from fgvr_bench.core.files import parse_json
from fgvr_bench.core.order import TOGETHER
from fgvr_bench.core.paths import at_home
from fgvr_bench.engines.checkpoints import Checkpoint, checkpoint_identity, find_checkpoint, folder_digest
from fgvr_bench.engines.devices import device_kind, resolve_device, resolve_dtype
from fgvr_bench.engines.huggingface.placing import QUANTIZATIONS, check_placing, memory_limits
from fgvr_bench.engines.huggingface.templates import Template
from fgvr_bench.engines.settings import read_arg, refuse_unknown, yes_or_no
from fgvr_bench.errors import UsageError
from fgvr_bench.interfaces import Model, ModelCard, ModelPlugin, ModelSettings
from fgvr_bench.types import Json

ATTENTIONS = ("sdpa", "eager", "flash_attention_2")
SETTINGS = (
    "attention",
    "compile",
    "image_backend",
    "max_memory",
    "offload",
    "processor",
    "quantize",
    "spread",
    "template",
)
"""Names of what ``--model-arg`` sets for every family."""
COMPILE = ("auto", "yes", "no")
"""Whether the model's blocks are compiled: by default on a GPU."""
IMAGE_BACKENDS = ("auto", "torchvision", "pil")
"""Who resizes images: transformers' choice (torchvision where it can do the same), or one of the two."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything about a model that its declaration and the user's settings decide, before anything is loaded."""

    checkpoint: Checkpoint
    processor: Checkpoint
    """Where the processor comes from; the checkpoint itself unless told otherwise."""
    device: str
    """Resolved: ``cpu``, ``mps``, ``cuda``, ``cuda:N``."""
    dtype: str
    attention: str
    image_backend: str
    template: str | None
    """A chat template (Jinja) in place of the checkpoint's, or a text with ``{}`` for the question."""
    image_settings: Mapping[str, Json]
    trust_remote_code: bool
    spread: bool
    """Whether the weights are spread over all GPUs, over main memory where these do not suffice, then over disk."""
    max_memory: Mapping[int | str, str] = field(default_factory=dict)
    """How much weights may take on a GPU (by number) or in main memory (``cpu``); without an entry: all there is."""
    offload: str | None = None
    """Folder for weights that fit in no memory; only those that are no safetensors files need one."""
    quantize: str = "no"
    """One of `placing.QUANTIZATIONS`."""
    adapter: str | None = None
    """Folder in the checkpoint with a LoRA adapter that is loaded with it."""
    compiled: bool = False
    """Whether the model's blocks are compiled (`compiling`)."""


@dataclass(frozen=True)
class HuggingFacePlugin(ModelPlugin):
    """A family of image-text-to-text models."""

    card: ModelCard
    template: str | Template | None = None
    """The text around the question (``{}``) for checkpoints that carry no chat template, or none that takes images;
    with the processor's image placeholder where the processor does not put it in itself."""
    template_source: str | None = None
    """Page or public code that shows the makers' prompt; a test holds ours against it.  None where the template
    comes with the checkpoint and nothing public shows it."""
    image_settings: Mapping[str, Json] = field(default_factory=dict)
    """Settings of the image processor that differ from the checkpoint's; each can be given as ``--model-arg``, also
    those that stand here as None, which leaves them to the checkpoint."""
    end_tokens: tuple[str, ...] = ()
    """Tokens that end an answer beside those of the checkpoint's generation settings."""
    process: Callable[[Any, str, Any], dict[str, Any]] | None = None
    """Calls the processor (``process(processor, text, image)``), for families whose processor is called in its own
    way; a function of a module."""
    words_alone: bool = True
    """Whether it can be asked without a picture."""
    adapt: Callable[[Any], None] | None = None
    """Changes the loaded model in place, for example its position ids."""
    adaptation: str | None = None
    """What `adapt` does, in a few words; a part of the run's identity."""
    adapter: str | None = None
    """Folder in the checkpoint with a LoRA adapter for images; a local folder without it is taken for merged."""

    @property
    def known(self) -> bool:
        """Whether it is a family, rather than whatever a name brings."""
        return not self.card.name.endswith(":")

    @property
    def setting_names(self) -> tuple[str, ...]:
        """Names of what ``--model-arg`` sets."""
        return (*SETTINGS, *self.image_settings)

    def plan(self, settings: ModelSettings) -> Plan:
        """Settle declaration and settings against each other.

        Raises:
            UsageError: settings that this model does not have, or values that they cannot take.
            ModelUnavailable: a checkpoint folder that is not there.
        """
        args = settings.args
        refuse_unknown(args, self.setting_names, self.card.name)
        checkpoint = self._checkpoint(settings)
        device = resolve_device(settings.device)
        image_settings = {key: read_arg(args, key, json_value, value) for key, value in self.image_settings.items()}
        plan = Plan(
            checkpoint=checkpoint,
            processor=find_checkpoint(args["processor"]) if "processor" in args else checkpoint,
            device=device,
            dtype=resolve_dtype(settings.dtype, device),
            attention=_choice(args, "attention", ATTENTIONS),
            image_backend=_choice(args, "image_backend", IMAGE_BACKENDS),
            template=_template_text(args["template"]) if "template" in args else None,
            image_settings={key: value for key, value in image_settings.items() if value is not None},
            trust_remote_code=settings.trust_remote_code,
            spread=read_arg(args, "spread", yes_or_no, "max_memory" in args or "offload" in args),
            max_memory=read_arg(args, "max_memory", memory_limits, {}),
            offload=args.get("offload"),
            quantize=_choice(args, "quantize", QUANTIZATIONS),
            adapter=self.adapter if self._has_adapter(checkpoint) else None,
        )
        check_placing(plan)
        return replace(plan, compiled=_is_compiled(_choice(args, "compile", COMPILE), plan))

    def identify(self, settings: ModelSettings) -> Mapping[str, Json]:
        """Return checkpoint, commit or digest, precision, device kind, attention, image settings and template."""
        plan = self.plan(settings)
        identity: dict[str, Json] = {
            **checkpoint_identity(plan.checkpoint),
            "engine": "huggingface",
            "dtype": plan.dtype,
            "device": device_kind(plan.device),
            "attention": plan.attention,
            "remote_code": settings.trust_remote_code,
            "image_backend": plan.image_backend,
            "image_settings": dict(plan.image_settings),
            "decoding": settings.decoding.name,
            "template": _fingerprint(plan.template) if plan.template else "checkpoint",
            "batches": TOGETHER,
        }
        if plan.processor is not plan.checkpoint:
            identity["processor"] = dict(checkpoint_identity(plan.processor))
        if plan.compiled:
            identity["compiled"] = True
        if plan.quantize != "no":
            identity["quantize"] = plan.quantize
        if plan.adapter is not None:
            folder = plan.checkpoint.folder
            identity["adapter"] = plan.adapter if folder is None else folder_digest(folder / plan.adapter)
        if self.template is not None:
            identity["fallback_template"] = str(self.template)
        if self.end_tokens:
            identity["end_tokens"] = list(self.end_tokens)
        if self.adaptation is not None:
            identity["adaptation"] = self.adaptation
        return identity

    def load(self, settings: ModelSettings) -> Model:
        """Load processor and weights.

        Raises:
            UsageError, ModelUnavailable, OutOfMemory: says what is missing and what to type.
        """
        from fgvr_bench.engines.huggingface.model import load

        return load(self, self.plan(settings), settings.decoding)

    def _has_adapter(self, checkpoint: Checkpoint) -> bool:
        if self.adapter is None or checkpoint.folder is None:
            return self.adapter is not None
        return (checkpoint.folder / self.adapter).is_dir()

    def _checkpoint(self, settings: ModelSettings) -> Checkpoint:
        name = settings.checkpoint or settings.argument or self.card.checkpoint
        if name is None:
            raise UsageError(
                f"{self.card.name} names no checkpoint.", hint="Write hf:ORGANISATION/NAME, or give --checkpoint."
            )
        own = name == self.card.checkpoint
        revision = settings.revision or (self.card.revision if own else None)
        checkpoint = find_checkpoint(name, revision)
        pinned = checkpoint.folder is not None or re.fullmatch(r"[0-9a-f]{40}", revision or "")
        if settings.trust_remote_code and not pinned:
            raise UsageError(
                f"--trust-remote-code runs whatever code {name} holds, so it wants a pinned revision.",
                hint="Read the code, then give --revision with the 40 digits of the commit that you read.",
            )
        return checkpoint


def json_value(text: str) -> Json:
    """Read a value as JSON, or as a plain word where it is none.

    >>> json_value("980"), json_value("no"), json_value('{"longest_edge": 490}')
    (980, False, {'longest_edge': 490})
    """
    if text.lower() in {"yes", "no", "true", "false", "on", "off"}:
        return yes_or_no(text)
    try:
        value: Json = parse_json(text)
    except ValueError:
        return text
    return value


def _is_compiled(wanted: str, plan: Plan) -> bool:
    """Say whether blocks are compiled: on a GPU unless something stands against it.

    Raises:
        UsageError: it was asked for, and something stands against it.
    """
    against = None
    if plan.spread:
        against = "weights that are spread cannot be compiled"
    elif plan.quantize != "no":
        against = "quantized weights cannot be compiled"
    elif plan.adapter is not None:
        against = "weights with an adapter beside them cannot be compiled"
    elif not any(map(shutil.which, ("cc", "gcc", "clang"))):
        against = "this machine has no C compiler, which torch.compile needs"
    if wanted == "yes" and against:
        raise UsageError(f"compile=yes is not possible: {against}.", hint="Leave --model-arg compile out.")
    return wanted == "yes" or (wanted == "auto" and device_kind(plan.device) == "cuda" and against is None)


def _choice(args: Mapping[str, str], key: str, allowed: tuple[str, ...]) -> str:
    value = args.get(key, allowed[0])
    if value not in allowed:
        raise UsageError(f"{key}={value} is not possible.", hint=f"Choose {', '.join(allowed)}.")
    return value


def _template_text(given: str) -> str:
    """Return a template: the text of a file, or the words themselves where they have a place for the question."""
    path = at_home(given)
    if path.is_file():
        try:
            return path.read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"the template {given} cannot be read: {error}.") from error
    if "{}" in given:
        return given.replace("\\n", "\n")
    raise UsageError(
        f"template={given} is neither a file nor a text with {{}} in it.",
        hint="Give a Jinja file, or words such as 'USER: <image>\\n{} ASSISTANT:'.",
    )


def _fingerprint(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
