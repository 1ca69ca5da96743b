"""Builders of tiny checkpoints: real classes, real processors, random weights, saved to a folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fgvr_bench.engines import torchvision_ops
from fgvr_bench.types import LETTERS, FileImage, Prompt, letters_for

WORDS = (
    "Which",
    "of",
    "these",
    "is",
    "shown",
    "in",
    "the",
    "image",
    "Choices",
    "Answer",
    "with",
    "letter",
    "yes",
    "no",
)


def clip(folder: Path, seed: int = 0) -> Path:
    """Save a two-layer open_clip model (32-pixel images) in open_clip's folder layout."""
    torchvision_ops.ensure()
    import torch
    from open_clip.model import CLIP
    from safetensors.torch import save_file

    model_cfg = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2},
    }
    torch.manual_seed(seed)
    model = CLIP(**model_cfg)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": model_cfg, "preprocess_cfg": {}}))
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return folder


def tokenizer(
    special: Sequence[str],
    bos: str | None,
    eos: str,
    pad: str,
    begins: bool = False,
    **named: str,
) -> Any:
    """Return a byte-level tokenizer with a few whole words.

    Args:
        special: the family's special tokens, ids in this order from 0; holds `bos`, `eos` and `pad`.
        bos: beginning-of-text token.
        eos: end-of-text token.
        pad: padding token.
        begins: whether the tokenizer itself puts `bos` before every text.
        named: special tokens that the processor asks the tokenizer for, such as ``image_token``.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate([*special, *letters])}
    merges: list[tuple[str, str]] = []
    for word in [*(f"Ġ{letter}" for letter in LETTERS), *(f"Ġ{word}" for word in WORDS), *WORDS]:
        for end in range(2, len(word) + 1):
            if word[:end] not in vocabulary:
                vocabulary[word[:end]] = len(vocabulary)
                merges.append((word[: end - 1], word[end - 1]))
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in special])
    if begins and bos is not None:
        made.post_processor = processors.TemplateProcessing(single=f"{bos} $A", special_tokens=[(bos, vocabulary[bos])])
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        bos_token=bos,
        eos_token=eos,
        pad_token=pad,
        extra_special_tokens=named,
    )


def save(folder: Path, model: Any, processor: Any) -> Path:
    """Save a checkpoint as a hub repository holds one."""
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def pictures(count: int) -> list[Any]:
    """Return RGB images of different sizes and shapes, the same every time."""
    import numpy as np
    from PIL import Image

    sizes = [(56, 40), (40, 64), (30, 30), (90, 30), (33, 71), (64, 64), (28, 50), (61, 47)]
    random = np.random.default_rng(0)
    drawn = []
    for number in range(count):
        width, height = sizes[number % len(sizes)]
        coarse = random.integers(0, 256, (4, 5, 3), dtype=np.uint8)
        drawn.append(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))
    return drawn


LABELS = ("Black_footed_Albatross", "F-16A/B", "rose", "Abyssinian", "mexican petunia", "BMW X5 SUV 2007")


def prompts(count: int) -> list[Prompt]:
    """Return multiple-choice prompts of different lengths."""
    made = []
    for number in range(count):
        choices = tuple(LABELS[(number + step) % len(LABELS)] for step in range(4))
        letters = letters_for(choices)
        lines = "\n".join(f"{letter}. {choice}" for letter, choice in zip(letters, choices, strict=True))
        text = f"Which of these is shown?\nChoices:\n{lines}\nAnswer with the letter."
        made.append(Prompt(f"tiny/test/{number}", FileImage(f"unused-{number}"), text, letters, choices))
    return made
