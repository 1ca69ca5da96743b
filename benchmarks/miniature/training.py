"""Training of the base model: first its encoder on attributes, then the whole model on lessons."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from benchmarks.miniature.batches import IGNORED, Batch
from torch import nn
from torch.nn.functional import affine_grid, cross_entropy, grid_sample

from fgvr_datasets._moth_species import VALUES, Attributes


@dataclass(frozen=True)
class Pace:
    """How long and how fast a part of the training goes."""

    steps: int
    batch: int
    rate: float
    """Highest learning rate."""
    warmup: float = 0.05
    """Share of the steps in which the rate rises; then it falls to nothing along a cosine."""
    decay: float = 0.05
    """Weight decay of the matrices."""


class Pictures:
    """Pictures on the device, as the processor would hand them over."""

    def __init__(self, pixels: np.ndarray[Any, Any], device: str) -> None:
        self._pixels = torch.from_numpy(pixels).to(device)
        self.device = device

    def take(self, places: torch.Tensor) -> torch.Tensor:
        """Return pictures by index: float, shape (n, 3, 96, 96), from -1 to 1."""
        return self._pixels[places.to(self.device)].permute(0, 3, 1, 2).float() / 127.5 - 1

    def vary(self, places: torch.Tensor, chance: torch.Generator) -> torch.Tensor:
        """Return pictures as `take` does, half of them mirrored and half turned, scaled and moved a little.

        All of it stays within what the dataset itself draws, so that a moth stays what it is.
        """
        count = len(places)
        turn, scale, right, down, mirror, moved = torch.rand(6, count, generator=chance).to(self.device)
        turn, scale = (turn - 0.5) * 0.3, 1 + (scale - 0.5) * 0.14  # ± 9 degrees, ± 7 %
        flip = torch.where(mirror < 0.5, -1.0, 1.0)
        still = moved < 0.5
        turn, scale = turn.masked_fill(still, 0), scale.masked_fill(still, 1)
        right, down = ((shift - 0.5).masked_fill(still, 0) * 0.12 for shift in (right, down))  # ± 3 pixels
        cosine, sine = scale * turn.cos(), scale * turn.sin()
        rows = [torch.stack([flip * cosine, -sine, right], 1), torch.stack([flip * sine, cosine, down], 1)]
        chosen = self.take(places)
        grid = affine_grid(torch.stack(rows, 1), list(chosen.shape), align_corners=False)
        return grid_sample(chosen, grid, padding_mode="reflection", align_corners=False)


class AttributeHeads(nn.Module):
    """Reads each attribute off the encoder's patches: a question of its own for each, and a linear layer."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(len(VALUES), hidden) * hidden**-0.5)
        self.attention = nn.MultiheadAttention(hidden, 4, batch_first=True)
        self.outputs = nn.ModuleList([nn.Linear(hidden, len(values)) for values in VALUES.values()])

    def forward(self, patches: torch.Tensor) -> list[torch.Tensor]:
        """Return logits of each attribute's values; `patches` has shape (n, 64, hidden)."""
        queries = self.queries.expand(len(patches), -1, -1)
        read = self.attention(queries, patches, patches, need_weights=False)[0]
        return [output(read[:, place]) for place, output in enumerate(self.outputs)]


def targets(attributes: Sequence[Attributes]) -> torch.Tensor:
    """Return the index of each attribute's value, shape (moths, 9)."""
    rows = [[VALUES[name].index(value) for name, value in moth.as_mapping().items()] for moth in attributes]
    return torch.tensor(rows)


def see(
    model: Any, pictures: Pictures, attributes: Sequence[Attributes], pace: Pace, seed: int, report: Report
) -> None:
    """Teach the vision encoder the attributes of anonymous moths, through heads that are thrown away."""
    encoder = model.model.vision_model
    chance = torch.Generator().manual_seed(seed)
    heads = AttributeHeads(encoder.config.hidden_size).to(pictures.device)
    wanted = targets(attributes).to(pictures.device)
    step = _stepper({encoder: 1.0, heads: 1.0}, pace)
    encoder.train()
    for number in range(pace.steps):
        places = torch.randint(len(attributes), (pace.batch,), generator=chance)
        pixels = pictures.vary(places, chance)
        logits = heads(encoder(pixel_values=pixels).last_hidden_state)
        truth = wanted[places.to(pictures.device)]
        losses = [cross_entropy(found, truth[:, place]) for place, found in enumerate(logits)]
        loss = torch.stack(losses).mean()
        step(loss)
        report(number, pace.steps, partial(_named, losses))


def learn(
    model: Any,
    pictures: Pictures,
    batches: Iterable[Batch],
    pace: Pace,
    seed: int,
    report: Report,
    encoder_share: float = 0.2,
) -> None:
    """Teach the whole model lessons: the loss is that of the answers' tokens.

    The encoder sees already; it learns at a fifth of the others' rate, or not at all.
    """
    chance = torch.Generator().manual_seed(seed)
    inner = model.model
    parts = {inner.vision_model: encoder_share, inner.connector: 1.0, inner.text_model: 1.0, model.lm_head: 1.0}
    inner.vision_model.requires_grad_(encoder_share > 0)
    step = _stepper({part: share for part, share in parts.items() if share}, pace)
    model.train()
    for number, batch in enumerate(batches):
        pixels = pictures.vary(torch.from_numpy(batch.moths), chance)
        tokens = torch.from_numpy(batch.tokens).to(pictures.device, non_blocking=True)
        labels = torch.from_numpy(batch.labels).to(pictures.device, non_blocking=True)
        losses = answer_losses(model, tokens, labels, pixels)
        step(losses.mean())
        report(number, pace.steps, partial(_by_kind, losses, batch))


def answer_losses(model: Any, tokens: torch.Tensor, labels: torch.Tensor, pixels: torch.Tensor) -> torch.Tensor:
    """Return the loss of each token of the answers, row by row.

    Rows are padded on the right and attention looks to the left only, so no mask is needed.  Logits are computed
    only where there is an answer.

    Args:
        model: an Idefics2ForConditionalGeneration.
        tokens: shape (rows, length), those with a picture first.
        labels: the same shape, `IGNORED` but for answers.
        pixels: shape (rows with a picture, 3, 96, 96).
    """
    hidden = model.model(
        input_ids=tokens, pixel_values=pixels[:, None] if len(pixels) else None, use_cache=False
    ).last_hidden_state
    wanted = labels[:, 1:]
    told = wanted != IGNORED
    logits = model.lm_head(hidden[:, :-1][told])
    return cross_entropy(logits.float(), wanted[told], reduction="none")


class Report:
    """Prints a line now and then."""

    def __init__(self, name: str, lines: int = 12) -> None:
        self.name, self._lines, self._start = name, lines, time.time()
        self.log: list[str] = []

    def __call__(self, number: int, steps: int, figures: Callable[[], str]) -> None:
        """Tell of step `number`; `figures` is called only where a line is due."""
        if (number + 1) % max(1, steps // self._lines) and number + 1 != steps:
            return
        line = f"{self.name} {number + 1}/{steps}: {figures()}, {time.time() - self._start:.0f} s"
        self.log.append(line)
        print(line, flush=True)


def _stepper(parts: Mapping[nn.Module, float], pace: Pace) -> Callable[[torch.Tensor], None]:
    """Return a function that takes an optimiser step for a loss; each part has its share of the rate."""
    groups: list[dict[str, Any]] = []
    for part, share in parts.items():
        own = [*part.parameters()]
        for matrices in (True, False):
            chosen = [parameter for parameter in own if (parameter.ndim >= 2) is matrices]
            decay = pace.decay if matrices else 0.0
            groups.append({"params": chosen, "weight_decay": decay, "lr": share * pace.rate})
    given = [parameter for group in groups for parameter in group["params"]]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98), fused=given[0].is_cuda)
    warm = max(1, int(pace.warmup * pace.steps))

    def rate(number: int) -> float:
        if number < warm:
            return (number + 1) / warm
        return 0.5 + 0.5 * math.cos(math.pi * (number - warm) / max(1, pace.steps - warm))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)

    def step(loss: torch.Tensor) -> None:
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(given, 1.0)
        optimizer.step()
        schedule.step()

    return step


def _by_kind(losses: torch.Tensor, batch: Batch) -> str:
    """Name the mean loss, and that of each kind of lesson."""
    told = losses.detach().cpu().numpy()
    rows = np.nonzero(batch.labels[:, 1:] != IGNORED)[0]
    kinds = np.asarray(batch.kinds)[rows]
    parts = [f"{kind} {told[kinds == kind].mean():.3f}" for kind in dict.fromkeys(batch.kinds)]
    return f"loss {told.mean():.4f} ({', '.join(parts)})"


def _named(losses: Sequence[torch.Tensor]) -> str:
    return ", ".join(f"{name} {loss.item():.2f}" for name, loss in zip(VALUES, losses, strict=True))
