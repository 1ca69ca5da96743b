"""Trains the tiny CLIP that ships with fgvr-bench on moth-24's train split, and writes its folder and card.

    python benchmarks/train_moth_clip.py                 train, validate, write plugins/models/fgvr_models/moth_clip
    python benchmarks/train_moth_clip.py --test          the same, and look at the test split once, at the end

An open_clip model of its own small configuration: a ModifiedResNet for images of 96 pixels, a two-layer text
transformer, and a WordPiece tokenizer of the guide's words with letters to spell all others.  The loss is CLIP's,
over batches that hold each species once, so that no other caption of a batch fits an image.  A caption is the name
in one of three templates or the field guide's description.  Selection looks at the validation split only.
"""

from __future__ import annotations

import argparse
import json
import platform
import shlex
import string
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fgvr_bench.core.images import decode_image
from fgvr_bench.engines import torchvision_ops
from fgvr_bench.types import Example
from fgvr_datasets.moth_24 import Moth24

if TYPE_CHECKING:
    import torch

FOLDER = Path(__file__).resolve().parent.parent / "plugins" / "models" / "fgvr_models" / "moth_clip"
TEMPLATE = "an image of a {label}"
"""The text of a label in mining and evaluation."""
TEMPLATES = (TEMPLATE, "a photo of a {label}", "{label}")
CONTEXT = 40
CONFIG = {
    "model_cfg": {
        "embed_dim": 64,
        "vision_cfg": {"image_size": 96, "layers": [1, 1, 1, 1], "width": 8, "head_width": 64, "patch_size": None},
        "text_cfg": {
            "context_length": CONTEXT,
            "width": 64,
            "heads": 4,
            "layers": 2,
            "hf_tokenizer_name": "moth-clip",
        },
    },
    "preprocess_cfg": {
        "size": 96,
        "mean": [0.45, 0.43, 0.37],
        "std": [0.2, 0.19, 0.18],
        "interpolation": "bicubic",
        "resize_mode": "shortest",
    },
}


@dataclass(frozen=True)
class Images:
    """A split in memory."""

    pixels: torch.Tensor
    """Preprocessed, shape (n, 3, 96, 96)."""
    labels: torch.Tensor
    """Index of each label, shape (n,)."""


@dataclass(frozen=True)
class Accuracy:
    """Shares of a split that the nearest name gets right."""

    labels: float
    """Of all 24 names."""
    siblings: float
    """Of the four names of the moth's genus."""
    genus: float
    """Genus of the nearest of all 24 names."""

    def __str__(self) -> str:
        return f"genus {self.genus:.1%}, siblings {self.siblings:.1%}, all 24 {self.labels:.1%}"


def write_tokenizer(folder: Path, texts: Sequence[str]) -> int:
    """Write a WordPiece tokenizer of all words of `texts`, and letters for any other; return its size.

    The end-of-text token has the highest number, for open_clip pools the text there.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    words = sorted({word for text in texts for word in text.lower().replace("-", " - ").split()})
    words = sorted({word.strip(",.") for word in words} - {""})
    signs = string.ascii_lowercase + string.digits + string.punctuation
    pieces = [*signs, *(f"##{sign}" for sign in signs), *(word for word in words if len(word) > 1)]
    vocabulary = {piece: number for number, piece in enumerate(["<pad>", "<unk>", "<start>", *pieces, "<end>"])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="<unk>", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase(), normalizers.Replace("_", " ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<start> $A <end>",
        special_tokens=[("<start>", vocabulary["<start>"]), ("<end>", vocabulary["<end>"])],
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    described = {
        "tokenizer_class": "PreTrainedTokenizerFast",  # read by transformers 4 and 5 alike
        "bos_token": "<start>",
        "eos_token": "<end>",
        "pad_token": "<pad>",
        "unk_token": "<unk>",
        "model_max_length": CONTEXT,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")
    return len(vocabulary)


def prepare(examples: Sequence[Example], preprocess: Any, labels: Sequence[str]) -> Images:
    """Draw and preprocess images."""
    import torch

    pixels = torch.stack([preprocess(decode_image(example.image.read())) for example in examples])
    return Images(pixels, torch.tensor([labels.index(example.label) for example in examples]))


def evaluate(model: Any, tokenizer: Any, images: Images, dataset: Moth24) -> Accuracy:
    """Classify images by the nearest name."""
    import torch

    labels = dataset.labels()
    genera = torch.tensor([sorted({*map(dataset.taxonomy, labels)}).index(dataset.taxonomy(label)) for label in labels])
    model.eval()
    with torch.inference_mode():
        texts = model.encode_text(tokenizer([TEMPLATE.format(label=label) for label in labels]), normalize=True)
        parts = [model.encode_image(part, normalize=True) for part in torch.split(images.pixels, 100)]
    similarities = torch.cat(parts) @ texts.T
    nearest = similarities.argmax(1)
    family = genera[images.labels][:, None] == genera[None, :]
    sibling = similarities.masked_fill(~family, -2).argmax(1)
    return Accuracy(
        labels=(nearest == images.labels).double().mean().item(),
        siblings=(sibling == images.labels).double().mean().item(),
        genus=(genera[nearest] == genera[images.labels]).double().mean().item(),
    )


def captions(dataset: Moth24, chance: np.random.Generator, described: float) -> list[str]:
    """Return a caption of each label."""
    return [
        dataset.description(label)
        if chance.random() < described
        else TEMPLATES[chance.integers(len(TEMPLATES))].format(label=label)
        for label in dataset.labels()
    ]


def train(model: Any, tokenizer: Any, images: Images, validation: Images, settings: argparse.Namespace) -> list[str]:
    """Train in place; return a line an epoch."""
    import torch
    from torch.nn.functional import cross_entropy

    dataset, chance = Moth24(), np.random.default_rng(settings.seed)
    labels = len(dataset.labels())
    by_label = torch.stack([(images.labels == label).nonzero()[:, 0] for label in range(labels)])
    plain = [parameter for parameter in model.parameters() if parameter.ndim < 2]
    matrices = [parameter for parameter in model.parameters() if parameter.ndim >= 2]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.05}, {"params": plain, "weight_decay": 0.0}], lr=settings.rate
    )
    steps = settings.epochs * settings.per_species
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.rate, total_steps=steps, pct_start=0.1)
    truth = torch.arange(labels, device=settings.device)
    lines = []
    for epoch in range(1, settings.epochs + 1):
        model.train()
        total = 0.0
        order = torch.from_numpy(chance.permuted(np.tile(np.arange(settings.per_species), (labels, 1)), axis=1))
        for step in range(settings.per_species):
            batch = images.pixels[by_label.gather(1, order[:, step : step + 1])[:, 0]].to(settings.device)
            texts = tokenizer(captions(dataset, chance, settings.described)).to(settings.device)
            seen, read, scale = model(batch, texts)
            logits = scale * seen @ read.T
            loss = (cross_entropy(logits, truth) + cross_entropy(logits.T, truth)) / 2
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            with torch.no_grad():
                model.logit_scale.clamp_(0, np.log(100))
            total += loss.item()
        result = evaluate(model.to("cpu"), tokenizer, validation, dataset)
        model.to(settings.device)
        lines.append(f"epoch {epoch:2d}: loss {total / settings.per_species:.3f}; validation: {result}")
        print(lines[-1], flush=True)
    return lines


def save(model: Any, folder: Path) -> int:
    """Write the weights in half precision; return the file's size in bytes."""
    import torch
    from safetensors.torch import save_file

    state = {
        name: (tensor.half() if tensor.is_floating_point() else tensor).contiguous()
        for name, tensor in model.to("cpu", torch.float32).state_dict().items()
    }
    path = folder / "open_clip_model.safetensors"
    save_file(state, path, metadata={"format": "pt"})
    path.chmod(0o644)
    return path.stat().st_size


def card(settings: argparse.Namespace, facts: dict[str, str], lines: Sequence[str]) -> str:
    """Return the model card."""
    table = "\n".join(f"| {name} | {value} |" for name, value in facts.items())
    log = "\n".join(lines)
    return f"""# moth-clip

A CLIP of {facts["parameters"]} parameters that has been taught the moths of `moth-24`, so that option mining and a
contrastive baseline run offline. It knows nothing else. Licence: MIT. Loadable by stock open_clip:

    open_clip.create_model_and_transforms("local-dir:FOLDER"); open_clip.get_tokenizer("local-dir:FOLDER")

Clearly better than chance and clearly not perfect, on purpose: its training ends early, for a miner needs to find
siblings alike and a board needs a baseline to beat. Nothing was chosen by looking at the test split.

| | |
|---|---|
{table}

Captions: the name in one of the templates {", ".join(f"`{template}`" for template in TEMPLATES)}, or (with
probability {settings.described:g}) the species' description from the field guide. Another processor or version of torch
trains another, similar model.

```
{log}
```
"""


def main() -> None:
    """Train and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--per-species", type=int, default=100, help="train images of each species")
    parser.add_argument("--rate", type=float, default=2e-3, help="highest learning rate")
    parser.add_argument("--described", type=float, default=0.25, help="share of captions that are descriptions")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1, help="more is quicker and rounds otherwise")
    parser.add_argument("--output", type=Path, default=FOLDER)
    parser.add_argument("--test", action="store_true", help="look at the test split, once, at the end")
    settings = parser.parse_args()

    torchvision_ops.ensure()
    import open_clip
    import torch

    torch.manual_seed(settings.seed)
    torch.set_num_threads(settings.threads)
    torch.use_deterministic_algorithms(True)
    start = time.time()
    dataset = Moth24()
    labels = list(dataset.labels())
    settings.output.mkdir(parents=True, exist_ok=True)
    known = [*TEMPLATES, *labels, *map(dataset.description, labels)]
    CONFIG["model_cfg"]["text_cfg"]["vocab_size"] = write_tokenizer(settings.output, known)  # type: ignore[index]
    (settings.output / "open_clip_config.json").write_text(json.dumps(CONFIG, indent=2) + "\n", encoding="utf-8")
    name = f"local-dir:{settings.output}"
    model, _, preprocess = open_clip.create_model_and_transforms(name, load_weights=False)
    tokenizer = open_clip.get_tokenizer(name)
    images = prepare(dataset.train(settings.per_species), preprocess, labels)
    validation = prepare(dataset.examples("validation"), preprocess, labels)
    print(f"images drawn after {time.time() - start:.0f} s", flush=True)
    lines = train(model.to(settings.device), tokenizer, images, validation, settings)
    size = save(model, settings.output)

    model, _, _ = open_clip.create_model_and_transforms(name)
    data = f"moth-24 train, {settings.per_species} images a species, {settings.epochs} epochs"
    facts = {
        "command": f"`{shlex.join(['python', 'benchmarks/train_moth_clip.py', *sys.argv[1:]])}`",
        "seed": str(settings.seed),
        "versions": f"Python {platform.python_version()}, torch {torch.__version__}, open_clip {open_clip.__version__}",
        "trained on": f"{data}, on {settings.device}",
        "time": f"{time.time() - start:.0f} s, {settings.threads} thread(s)",
        "parameters": f"{sum(parameter.numel() for parameter in model.parameters()):,}",
        "weights": f"float16, {size:,} bytes",
        "validation": str(evaluate(model, tokenizer, validation, dataset)),
    }
    if settings.test:
        test = prepare(dataset.examples("test"), preprocess, labels)
        facts["test (seen once)"] = str(evaluate(model, tokenizer, test, dataset))
    for name, value in facts.items():
        print(f"{name}: {value}")
    (settings.output / "README.md").write_text(card(settings, facts, lines), encoding="utf-8")


if __name__ == "__main__":
    main()
