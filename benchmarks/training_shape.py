"""Idefics2-8B's shape with random weights, batches of random content, and what a training step of it cannot do without.

A sample is what the published step was measured on: a picture of 36 × 27 patches, 239 tokens of question and answer, a
description of 100 tokens, 3 negative ones, and the names; in stage II picture, question and answer alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fgvr_bench.engines import torchvision_ops

torchvision_ops.ensure()

import torch  # noqa: E402
import transformers  # noqa: E402
from finedefics.objective import Losses, Reading, Temperatures  # noqa: E402
from finedefics.stage_one import stage_one_losses  # noqa: E402
from peft import LoraConfig, get_peft_model  # noqa: E402

TARGETS = (
    r".*(text_model|modality_projection|perceiver_resampler).*"
    r"(down_proj|gate_proj|up_proj|k_proj|q_proj|v_proj|o_proj)$"
)
LEARNT = 10
"""Tokens of an answer, at the end of a prompt."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Lengths of one sample."""

    prompt: int
    description: int
    name: int
    negatives: int
    height: int
    width: int


FULL = Shape(prompt=239, description=100, name=6, negatives=3, height=378, width=504)
TINY = Shape(prompt=24, description=10, name=5, negatives=3, height=28, width=42)


class Step(torch.nn.Module):
    """Model and temperatures; gives a batch's losses, packed or not."""

    reading: Reading = "paper"
    packed = True

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model, self.temperatures = model, Temperatures()

    def forward(self, batch: Mapping[str, torch.Tensor]) -> Losses:
        return stage_one_losses(
            self.model, batch, temperatures=self.temperatures, reading=self.reading, packed=self.packed
        )


def configuration(tiny: bool) -> transformers.Idefics2Config:
    """Return the configuration of Idefics2-8B, or of a tiny model of its kind."""
    if tiny:
        text = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4}
        text |= {"num_key_value_heads": 2, "vocab_size": 320, "head_dim": 16}
        vision = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
        vision |= {"image_size": 56, "patch_size": 14}
        perceiver = {"resampler_n_latents": 4, "resampler_depth": 2, "resampler_n_heads": 4, "resampler_head_dim": 16}
        perceiver |= {"num_key_value_heads": 2, "hidden_size": 64}
        ids = {"image_token_id": 318}
    else:
        text = {"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32}
        text |= {"num_key_value_heads": 8, "vocab_size": 32003, "head_dim": 128}
        vision = {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27, "num_attention_heads": 16}
        vision |= {"image_size": 980, "patch_size": 14}
        perceiver = {"resampler_n_latents": 64, "resampler_depth": 3, "resampler_n_heads": 16, "resampler_head_dim": 96}
        perceiver |= {"num_key_value_heads": 4, "hidden_size": 4096}
        ids = {"image_token_id": 32001}
    text |= {"max_position_embeddings": 32768, "rms_norm_eps": 1e-5, "sliding_window": 4096}
    text |= {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "model_type": "mistral"}
    return transformers.Idefics2Config(
        text_config=text,
        vision_config=vision,
        perceiver_config=perceiver | {"rms_norm_eps": 1e-5},
        tie_word_embeddings=False,
        **ids,
    )


def random_model(tiny: bool, device: torch.device | str, dtype: torch.dtype) -> Any:
    """Return the model with random weights, made where and as it is wanted."""
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            config = configuration(tiny)
            config._attn_implementation = "sdpa"
            return transformers.Idefics2ForConditionalGeneration(config)
    finally:
        torch.set_default_dtype(before)


def with_adapters(model: Any, device: torch.device, dtype: torch.dtype, dropout: float = 0.0) -> Any:
    """Add adapters of rank 8, B matrices drawn too so that every gradient counts."""
    lora = LoraConfig(
        r=8, lora_alpha=8, lora_dropout=dropout, init_lora_weights="gaussian", target_modules=TARGETS, bias="none"
    )
    adapted = get_peft_model(model, lora, autocast_adapter_dtype=False).to(device)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_" in name:
                parameter.data = parameter.data.to(dtype)
            if "lora_B" in name:
                parameter.normal_(0.0, 0.02)
    return adapted.train()


def quantise(model: Any, device: torch.device, dtype: torch.dtype) -> None:
    """Put every linear layer but the head in 4 bits (NF4), as loading with transformers' settings of QLoRA does.

    Raises:
        ImportError: bitsandbytes is not installed.
    """
    from bitsandbytes.nn import Linear4bit, Params4bit

    layers = [(name, each) for name, each in model.named_modules() if isinstance(each, torch.nn.Linear)]
    for name, layer in layers:
        if name == "lm_head":
            continue
        made = Linear4bit(
            layer.in_features,
            layer.out_features,
            layer.bias is not None,
            compute_dtype=dtype,
            quant_type="nf4",
            device="meta",
        )
        made.weight = Params4bit(layer.weight.data, requires_grad=False, quant_type="nf4")
        if layer.bias is not None:
            made.bias = layer.bias
        parent, _, last = name.rpartition(".")
        setattr(model.get_submodule(parent), last, made.to(device))
        layer.weight = None  # type: ignore[assignment]  # its memory is wanted at once
    model.is_loaded_in_4bit = True  # by which peft knows


def make_batch(
    config: Any,
    shape: Shape,
    samples: int,
    device: torch.device | str,
    dtype: torch.dtype,
    reading: Reading,
    stage: str,
    seed: int | None = None,
) -> dict[str, torch.Tensor]:
    """Return a batch of random content in the shape that was measured; without texts in stage ``two``."""
    generator = torch.Generator().manual_seed(samples if seed is None else seed)
    words = config.text_config.vocab_size - 4

    def texts(count: int, length: int) -> torch.Tensor:
        ids = torch.randint(3, words, (count, length), generator=generator)
        ids[:, 0], ids[:, -1] = 1, 2
        return ids

    latents = config.perceiver_config.resampler_n_latents
    asked = texts(samples, shape.prompt)
    asked[:, 6 : 6 + latents] = config.image_token_id
    many = samples * shape.negatives
    names = {
        "att": texts(samples, shape.description),
        "cat": texts(samples, shape.name),
        "neg_att": texts(many, shape.description),
        "neg_cat": texts(many, shape.name),
    }
    labels = asked.clone()
    if reading == "paper":
        labels[:, :-LEARNT] = -100
    if stage == "two":
        names = {}
    batch = {
        "input_ids": asked,
        "attention_mask": torch.ones_like(asked),
        "labels": labels,
        "pixel_values": torch.randn(samples, 1, 3, shape.height, shape.width, generator=generator).to(dtype),
        "pixel_attention_mask": torch.ones(samples, 1, shape.height, shape.width, dtype=torch.long),
        **{f"{name}_tokens": ids for name, ids in names.items()},
        **{f"{name}_mask": torch.ones_like(ids) for name, ids in names.items()},
    }
    return {name: value.to(device) for name, value in batch.items()}


def useful_flops(config: Any, shape: Shape, reading: Reading, stage: str) -> float:
    """Return the floating-point operations that one sample's step cannot do without.

    Two a weight and token forwards, and two more backwards wherever gradients flow on to adapters below; none for the
    gradients of frozen weights, for adapters themselves, for padding, or for anything computed twice.
    """
    text, vision, perceiver = config.text_config, config.vision_config, config.perceiver_config
    latents, hidden = perceiver.resampler_n_latents, text.hidden_size
    size = text.head_dim
    attention = hidden * size * (2 * text.num_attention_heads + 2 * text.num_key_value_heads)
    layer = attention + 3 * hidden * text.intermediate_size
    many = 1 + shape.negatives
    lengths = [shape.prompt]
    if stage == "one":
        lengths += [latents + 1, *[shape.description] * many, *[shape.name] * many]
    tokens = sum(lengths)
    # Causal: half of length² × heads × size, for scores and for sums, backwards twice as much as forwards.
    scores = sum(length**2 for length in lengths) / 2 * text.num_attention_heads * size * 4 * 3
    decoder = text.num_hidden_layers * (4 * layer * tokens + scores)
    learnt = shape.prompt - 1 if reading == "released" else LEARNT
    head = 4 * hidden * text.vocab_size * learnt
    patches = (shape.height // vision.patch_size) * (shape.width // vision.patch_size)
    tower = 4 * vision.hidden_size**2 + 2 * vision.hidden_size * vision.intermediate_size
    seen = vision.num_hidden_layers * (2 * tower * patches + 4 * patches**2 * vision.hidden_size)
    projection = vision.hidden_size * text.intermediate_size * 2 * 2 + 4 * text.intermediate_size * hidden
    inner = perceiver.resampler_n_heads * perceiver.resampler_head_dim
    keys = perceiver.num_key_value_heads * perceiver.resampler_head_dim
    context = patches + latents
    resampled = 4 * (2 * hidden * inner + 3 * hidden * 4 * hidden) * latents + 4 * 2 * hidden * keys * context
    resampled += 12 * latents * context * inner
    return float(decoder + head + seen + projection * patches + perceiver.resampler_depth * resampled)
