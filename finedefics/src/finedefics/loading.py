"""The model that a stage starts from: a checkpoint or one in memory, with adapters where they are what is trained."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fgvr_bench.engines import torchvision_ops
from fgvr_bench.engines.checkpoints import checkpoint_identity, find_checkpoint
from fgvr_bench.engines.fetching import fetch
from fgvr_bench.engines.huggingface.loading import load_processor, quiet
from fgvr_bench.engines.huggingface.plugin import HuggingFacePlugin
from fgvr_bench.engines.memory import first_line, is_out_of_memory
from fgvr_bench.errors import ModelUnavailable, OutOfMemory, UsageError
from fgvr_bench.interfaces import ModelCard, ModelSettings
from fgvr_bench.types import Json
from finedefics.presets import Recipe

PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "linear_1", "linear_2")
"""Linear layers that get adapters; the last two are those of LLaVA's projector."""

PARTS = ("text_model", "language_model", "modality_projection", "perceiver_resampler", "multi_modal_projector")
"""Parts of the model in which they do: decoder and connector, never the vision encoder."""

TARGETS = rf"(.*\.)?({'|'.join(PARTS)})\.(.*\.)?({'|'.join(PROJECTIONS)})"
"""Modules with adapters, as peft matches their names; in Idefics2 the published script's."""

FROZEN = ("vision_model", "vision_tower")
"""Parts that no way of training changes."""

INITIAL = {"gaussian": "gaussian", "kaiming": True}


@dataclass(frozen=True, slots=True)
class Start:
    """What a stage begins with."""

    model: Any
    """A transformers model for images and text."""
    processor: Any
    identity: Mapping[str, Json]
    """What tells it from every other: hub name and commit, or the digest of its folder; of one in memory, nothing."""
    name: str
    """As it was given."""


def identify(model: str) -> dict[str, Json]:
    """Return what tells a checkpoint from every other, without loading it.

    Raises:
        ModelUnavailable, UsageError: there is no such checkpoint.
    """
    with _hints_of_training():
        return dict(checkpoint_identity(find_checkpoint(model)))


@contextlib.contextmanager
def _hints_of_training() -> Iterator[None]:
    """Let the harness's hints name the options that training has."""
    try:
        yield
    except (ModelUnavailable, UsageError) as error:
        hint = (error.hint or "").replace("--checkpoint", "--model")
        if "--model-arg processor" in hint:
            hint = (
                "Copy its files (processor_config.json or preprocessor_config.json, tokenizer.json, "
                "tokenizer_config.json) there from the model that it was made of."
            )
        raise type(error)(error.message, hint=hint or None) from error


def load(model: str, recipe: Recipe, precision: str, device: str, processor: Any = None) -> Start:
    """Load a checkpoint as a recipe wants it.

    Full training holds its weights in float32 and computes in `precision`; adapters leave the weights in `precision`;
    QLoRA holds them in 4 bits (NF4) and computes in `precision`.

    Args:
        model: a folder or a hub name.
        recipe: says what is trained.
        precision: ``bfloat16``, ``float16`` or ``float32``.
        device: where 4-bit weights are made; other weights stay on the processor until they are placed.
        processor: one in memory, in place of the checkpoint's.

    Raises:
        ModelUnavailable: it is not there, incomplete or damaged.
        UsageError: 4-bit weights are asked for without bitsandbytes.
    """
    identity = identify(model)
    if processor is None:
        processor = load_processor_of(model)
    more: dict[str, Any] = {}
    if recipe.method == "qlora":
        more = {"quantization_config": four_bits(precision), "device_map": {"": device}}
    loaded = load_weights(model, "float32" if recipe.method == "full" else precision, **more)
    return Start(loaded, processor, identity, model)


def load_processor_of(model: str) -> Any:
    """Return a checkpoint's processor.

    Raises:
        ModelUnavailable: it has none, or it cannot be read.
    """
    plugin = HuggingFacePlugin(ModelCard(name="finedefics", title="", checkpoint=model))
    with _hints_of_training():
        return load_processor(plugin.plan(ModelSettings(device="cpu")))


def load_weights(model: str, precision: str, **more: Any) -> Any:
    """Return a checkpoint's model, with patch positions and the like as the harness evaluates it.

    Args:
        model: a folder or a hub name.
        precision: of the weights.
        more: further arguments of ``from_pretrained``.

    Raises:
        ModelUnavailable: it cannot be loaded, or lacks weights that its architecture has.
        OutOfMemory: it does not fit.
    """
    with _hints_of_training():
        folder = fetch(find_checkpoint(model))
    torchvision_ops.ensure()
    import torch
    from transformers import AutoModelForImageTextToText

    from finedefics.families import adapt

    try:
        with quiet():
            loaded, report = AutoModelForImageTextToText.from_pretrained(
                folder, dtype=getattr(torch, precision), local_files_only=True, output_loading_info=True, **more
            )
            adapt(loaded)
    except Exception as error:
        if is_out_of_memory(error):
            raise OutOfMemory(f"{model} does not fit: {first_line(error)}.", hint="Try --method qlora.") from error
        raise ModelUnavailable(f"the model of {model} cannot be loaded: {first_line(error)}.") from error
    if absent := sorted(report["missing_keys"]):  # transformers draws them at random and goes on
        raise ModelUnavailable(
            f"the weights of {model} lack {len(absent)} that the model needs, {absent[0]} among them.",
            hint="Fetch the checkpoint again; adapters have to be merged first: fgvr-bench finedefics merge",
        )
    return loaded


def four_bits(precision: str) -> Any:
    """Return the 4-bit settings of QLoRA: NF4, computed in `precision` (Dettmers et al. 2023, arXiv 2305.14314).

    Raises:
        UsageError: bitsandbytes is not installed.
    """
    torchvision_ops.ensure()
    import torch
    from transformers import BitsAndBytesConfig
    from transformers.utils import is_bitsandbytes_available

    if not is_bitsandbytes_available():
        raise UsageError(
            "4-bit weights (--method qlora) need bitsandbytes, which is not installed.",
            hint="Install it with: pip install 'finedefics[qlora]', or give --method lora.",
        )
    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=getattr(torch, precision)
    )


def choose_trained(model: Any, recipe: Recipe) -> Any:
    """Return the model with nothing but what is to be trained asking for gradients.

    LoRA and QLoRA wrap it in peft's model with new adapters (drawn from torch's global generator); full training
    takes every parameter outside the vision encoder.

    Raises:
        UsageError: the model has none of the layers that get adapters.
    """
    if recipe.method == "full":
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(not any(part in FROZEN for part in name.split(".")))
        return model
    from peft import LoraConfig, get_peft_model

    if not any(re.fullmatch(TARGETS, name) for name, _ in model.named_modules()):
        raise UsageError(
            f"{type(model).__name__} has no layers that adapters are known for.", hint="Try --method full."
        )
    model.requires_grad_(False)
    adapters = LoraConfig(
        r=recipe.lora_rank,
        lora_alpha=recipe.lora_alpha,
        lora_dropout=recipe.lora_dropout,
        target_modules=TARGETS,
        init_lora_weights=INITIAL[recipe.lora_start],  # type: ignore[arg-type]
    )
    with quiet():
        return get_peft_model(model, adapters)


def is_checkpoint_folder(model: str) -> bool:
    """Say whether a name is that of a local folder."""
    return Path(model).expanduser().is_dir()
