"""Hyper-parameters of both stages, each with its source, and the preset ``paper``.

The command line makes its options from these fields, and ``docs/finedefics.md`` its table; a setting is written down
once.  Nothing here imports torch.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from typing import Any

from fgvr_bench.errors import UsageError

STAGES = ("align", "tune")
METHODS = ("qlora", "lora", "full")
PRECISIONS = ("auto", "bfloat16", "float16", "float32")
READINGS = ("paper", "released")
TERMS = ("object-attribute", "attribute-category", "category-category", "generation")
"""Terms of stage I's loss, by the names of the ablation flags."""
SCHEDULES = ("linear", "cosine", "constant", "constant_with_warmup")
LORA_STARTS = ("gaussian", "kaiming")

SCRIPT = "released training script (commit a179c35)"
MODEL = "released model code (commit a179c35)"
LIBRARY = "default of transformers' Trainer, which the released script runs on"
OURS = "this package"


def _setting(default: Any, text: str, source: str, **more: Any) -> Any:
    """Declare a field with its line of help and the place that its value comes from."""
    return field(default=default, metadata={"help": text, "source": source, **more})


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one stage trains; immutable, so that a run is described by it alone.

    Every field carries its help text and the source of its default in its metadata.

    Raises:
        UsageError: a value that cannot be.
    """

    method: str = _setting("qlora", "What is trained.", SCRIPT, choices=METHODS)
    precision: str = _setting(
        "auto",
        "Compute precision; auto is bfloat16 on a GPU, float32 on a CPU.",
        SCRIPT + ": bfloat16 compute",
        choices=PRECISIONS,
    )
    batch_size: int = _setting(64, "Rows of an optimiser step, over all processes.", SCRIPT)
    per_device: int = _setting(2, "Rows that a device takes at once; the rest is accumulated.", SCRIPT)
    epochs: float = _setting(1.0, "Passes over the rows.", SCRIPT)
    max_steps: int | None = _setting(None, "Optimiser steps, in place of epochs.", OURS)
    learning_rate: float = _setting(2e-4, "Highest learning rate.", SCRIPT)
    schedule: str = _setting("linear", "Course of the learning rate.", SCRIPT, choices=SCHEDULES)
    warmup_steps: int = _setting(60, "Steps in which the learning rate rises from 0.", SCRIPT)
    weight_decay: float = _setting(0.01, "AdamW's weight decay of matrices (vectors and scalars: 0).", SCRIPT)
    beta1: float = _setting(0.9, "AdamW's decay of the mean gradient.", LIBRARY)
    beta2: float = _setting(0.999, "AdamW's decay of the mean squared gradient.", LIBRARY)
    epsilon: float = _setting(1e-8, "AdamW's epsilon.", LIBRARY)
    max_grad_norm: float = _setting(1.0, "Longer gradients are scaled down to this norm; 0 never.", LIBRARY)
    lora_rank: int = _setting(8, "Rank of the adapters.", SCRIPT)
    lora_alpha: int = _setting(8, "Adapters are scaled by this number over the rank.", SCRIPT)
    lora_dropout: float = _setting(0.2, "Share of an adapter's inputs dropped.", SCRIPT)
    lora_start: str = _setting("gaussian", "How adapters are drawn at the start.", SCRIPT, choices=LORA_STARTS)
    reading: str = _setting(
        "paper",
        "The paper's objective, or the released code's with its peculiarities.",
        "arXiv 2501.15140, section on training",
        choices=READINGS,
    )
    without: tuple[str, ...] = _setting((), "A loss term to leave out (ablation).", OURS, choices=TERMS)
    contrastive_weight: float = _setting(0.5, "Weight of the three contrastive terms.", MODEL)
    temperature: float = _setting(0.07, "Both temperatures at the start.", MODEL)
    answer_only: bool | None = _setting(
        None, "Generation loss on the answer alone, not on the prompt.  [default: by the reading]", OURS
    )
    recompute: bool = _setting(False, "Recompute activations in the backward pass: less memory, more time.", OURS)
    compiled: bool | None = _setting(
        None, "Compile the layers (a minute, then faster).  [default: on a GPU, but for QLoRA and --shard]", OURS
    )
    seed: int = _setting(0, "Decides order of rows, first adapters and dropout.", OURS)

    def __post_init__(self) -> None:
        for entry in fields(self):
            _check_type(entry.name, getattr(self, entry.name), str(entry.type))
            _check_choice(entry.name, getattr(self, entry.name), entry.metadata.get("choices"))
        for name in ("batch_size", "per_device", "lora_rank", "lora_alpha"):
            _at_least(self, name, 1)
        for name in ("warmup_steps", "weight_decay", "max_grad_norm", "seed", "contrastive_weight"):
            _at_least(self, name, 0)
        for name in ("learning_rate", "epochs", "epsilon", "temperature"):
            if getattr(self, name) <= 0:
                raise UsageError(f"{name} {getattr(self, name)!r} is not above 0.")
        for name in ("lora_dropout", "beta1", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise UsageError(f"{name} {getattr(self, name)!r} is not from 0 to below 1.")
        if self.max_steps is not None:
            _at_least(self, "max_steps", 1)
        if self.batch_size % self.per_device:
            raise UsageError(
                f"a batch of {self.batch_size} cannot be made of parts of {self.per_device} rows.",
                hint="Give a --batch-size that is a multiple of --per-device.",
            )
        if set(self.without) == set(TERMS):
            raise UsageError("nothing is left to train on without all four terms.", hint="Leave a --without out.")

    def changed(self, **overrides: Any) -> Recipe:
        """Return this recipe with other values.

        Raises:
            UsageError: a setting that there is none of, or a value that cannot be.
        """
        known = {entry.name for entry in fields(self)}
        for name in overrides.keys() - known:
            offered = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
            raise UsageError(f"a recipe has no setting {name!r}. Did you mean {offered}?")
        if "without" in overrides:
            overrides["without"] = tuple(dict.fromkeys(overrides["without"]))
        return replace(self, **overrides)

    @property
    def trains_on_answer_only(self) -> bool:
        """Whether prompts are left out of the generation loss; the released reading has them in."""
        return self.reading == "paper" if self.answer_only is None else self.answer_only


def _shown(value: Any) -> str:
    return (
        {None: "–", (): "–", True: "yes", False: "no"}.get(value, str(value)) if not _is_number(value) else f"{value:g}"
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_KINDS = {"int": int, "float": (int, float), "str": str, "bool": bool, "tuple[str, ...]": tuple}


def _check_type(name: str, value: Any, declared: str) -> None:
    plain = declared.removesuffix(" | None")
    if value is None and plain != declared:
        return
    if isinstance(value, bool) != (plain == "bool") or not isinstance(value, _KINDS[plain]):  # type: ignore[arg-type]
        raise UsageError(f"{name} {value!r} is no {plain}.")


def _check_choice(name: str, value: Any, choices: tuple[str, ...] | None) -> None:
    for given in value if isinstance(value, tuple) else (value,):
        if choices is not None and given not in choices:
            raise UsageError(f"{name} {given!r} is not possible.", hint=f"Choose {', '.join(choices)}.")


def _at_least(recipe: Recipe, name: str, least: int) -> None:
    if getattr(recipe, name) < least:
        raise UsageError(f"{name} {getattr(recipe, name)!r} is below {least}.")


PRESETS: Mapping[str, Mapping[str, Recipe]] = {
    "paper": {
        "align": Recipe(batch_size=64, per_device=2),  # 2 rows × 8 GPUs × 4 accumulated
        "tune": Recipe(batch_size=128, per_device=8),  # 8 rows × 8 GPUs × 2 accumulated
    },
}
"""By name, then by stage."""


def preset(name: str, stage: str) -> Recipe:
    """Return a stage's recipe of a preset.

    >>> preset("paper", "align").learning_rate, preset("paper", "tune").batch_size
    (0.0002, 128)

    Raises:
        UsageError: there is no such preset or stage.
    """
    if name not in PRESETS:
        raise UsageError(f"there is no preset {name!r}.", hint=f"There is {', '.join(PRESETS)}.")
    if stage not in STAGES:
        raise UsageError(f"there is no stage {stage!r}.", hint="Stage I is align, stage II is tune.")
    return PRESETS[name][stage]


def preset_table(name: str = "paper") -> list[tuple[str, str, str, str]]:
    """Return a row a setting: its name, its values in stage I and stage II, and the source."""
    align, tune = (preset(name, stage) for stage in STAGES)
    return [
        (entry.name, _shown(getattr(align, entry.name)), _shown(getattr(tune, entry.name)), entry.metadata["source"])
        for entry in fields(Recipe)
        if entry.default is not MISSING
    ]
