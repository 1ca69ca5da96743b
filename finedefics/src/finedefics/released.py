"""The published code's numbers at a call: its losses for a batch of tensors, and its batches for a training file.

For those who compare with the published code.  Names are its names (``loss_i2t``, ``ia_temp`` ...); what they stand
for is in `finedefics.contrast` and `finedefics.collation`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fgvr_bench.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

    from finedefics.collation import Batch
    from finedefics.rows import TrainingRow

TRAINING_STAGES = ("pretrain", "finetune")
"""Stage I and stage II by their published names."""

LOSSES = {
    "loss_gen": "generation",
    "loss_i2t": "image_to_attribute",
    "loss_t2i": "attribute_to_image",
    "loss_ia": "object_attribute",
    "loss_a2c": "attribute_to_category",
    "loss_c2a": "category_to_attribute",
    "loss_ac": "attribute_category",
    "loss_ccc": "category_category",
    "loss": "total",
}
"""Published names of the losses, and ours."""


def load_released(folder: Path | str, dtype: str = "float32") -> Any:
    """Load a model as the published code computes with it: eager attention, its patch positions, `train` mode.

    Args:
        folder: a checkpoint of Idefics2; the published code's own parameters (projectors, temperatures) are left out.
        dtype: of the weights.

    Raises:
        ModelUnavailable: it cannot be loaded.
    """
    from finedefics.loading import load_weights

    return load_weights(str(folder), dtype, attn_implementation="eager").train()


def released_losses(
    model: Any,
    *,
    training_stage: str = "pretrain",
    ia_temp: float | Tensor = 0.07,
    ac_temp: float | Tensor = 0.07,
    packed: bool = False,
    **inputs: Tensor | None,
) -> dict[str, Tensor | None]:
    """Return every loss of a batch as the published code computes it, with gradients.

    ::

        model = load_released("reference/stage1/model")
        inputs = safetensors.torch.load_file("reference/stage1/cases/a_base.inputs.safetensors")
        ia_temp, ac_temp = (torch.nn.Parameter(torch.tensor(0.07)) for _ in range(2))
        losses = released_losses(model, ia_temp=ia_temp, ac_temp=ac_temp, **inputs)
        losses["loss"].backward()      # gradients in model.named_parameters(), ia_temp.grad, ac_temp.grad

    Args:
        model: as `load_released` gives it, or any Idefics2, adapters and wrappers included.
        training_stage: ``pretrain`` or ``finetune`` (where descriptions are ignored).
        ia_temp: temperature of images against descriptions and of categories against one another; a parameter is
            brought into its bounds in place, and has a gradient afterwards.
        ac_temp: temperature of descriptions against categories; likewise.
        packed: one pass of the decoder over all texts, as training on a GPU has it; the same numbers.
        inputs: keyword arguments of the published ``forward``: ``input_ids``, ``attention_mask``, ``labels`` (B, T),
            ``pixel_values`` (B, images, 3, height, width), ``pixel_attention_mask``, and ``att_tokens``,
            ``cat_tokens``, ``neg_att_tokens``, ``neg_cat_tokens`` (texts, tokens), each None or absent where there
            are none.

    Returns:
        Scalars by published name, the keys of `LOSSES`; None for those that are not computed.

    Raises:
        DataInvalid: end-of-text tokens that the published code fails on.
        UsageError: no such stage; the model is of another family.
    """
    from torch import nn

    from finedefics.objective import Temperatures, Weights
    from finedefics.stage_one import stage_one_losses

    if training_stage not in TRAINING_STAGES:
        raise UsageError(f"training_stage {training_stage!r} is not one of {', '.join(TRAINING_STAGES)}.")
    temperatures = Temperatures()
    for name, given in (("object_attribute", ia_temp), ("attribute_category", ac_temp)):
        if isinstance(given, nn.Parameter):
            setattr(temperatures, name, given)
        else:
            getattr(temperatures, name).data.fill_(float(given))
    found = stage_one_losses(
        model,
        inputs,
        temperatures=temperatures,
        reading="released",
        weights=Weights() if training_stage == "pretrain" else Weights(1.0, 0.0, 0.0, 0.0),
        packed=packed,
    )
    return {
        published: found.directions.get(ours) if "_to_" in ours else getattr(found, ours)
        for published, ours in LOSSES.items()
    }


def released_batch(
    rows: Path | str | Sequence[TrainingRow],
    processor: Any,
    *,
    images_root: Path | str | None = None,
    padding_side: str | None = None,
    end_of_utterance: bool = True,
) -> Batch:
    """Return the published collator's batch of a training file; its keys are the inputs of `released_losses`.

    ::

        batch = released_batch("reference/collate/1_with_negatives.csv", "reference/collate/processor",
                               images_root="reference/collate/images", padding_side="left")

    Args:
        rows: a CSV file, or rows of one; all of them make one batch.
        processor: Idefics2's, or the folder that it lies in.
        images_root: folder that relative image paths of a file start from; by default the file's own.
        padding_side: ``left`` or ``right``; by default the tokenizer's own.
        end_of_utterance: off where the published code found *base* in the model's path.

    Raises:
        DataInvalid, DataNotFound: the file or an image cannot be read.
        UsageError: the processor is of another family.
    """
    import copy

    from finedefics.collation import Collator
    from finedefics.loading import load_processor_of
    from finedefics.rows import read_rows

    listed = read_rows(Path(rows), Path(images_root) if images_root else None) if isinstance(rows, str | Path) else rows
    loaded = load_processor_of(str(processor)) if isinstance(processor, str | Path) else copy.deepcopy(processor)
    if padding_side is not None:
        loaded.tokenizer.padding_side = padding_side
    return Collator(loaded, "released", end_of_utterance=end_of_utterance)(listed)
