"""Weights, gradients and optimiser states shared out over processes: FSDP 2 and DeepSpeed's ZeRO, by accelerate.

Nothing is sharded here: this gives accelerate's plugins what only training knows (which layers are units, what stays
whole, how long a gradient may be) and stands aside.  The same is done where accelerate's own configuration asks for
FSDP or DeepSpeed in place of ``--shard``.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fgvr_bench.errors import FgvrError, UsageError

if TYPE_CHECKING:
    from finedefics.presets import Recipe

SHARDINGS = ("fsdp", "zero2", "zero3")
"""FSDP 2 (all of weights, gradients, optimiser states), and DeepSpeed's stages 2 (all but weights) and 3 (all)."""


def plugins(sharding: str | None, recipe: Recipe, precision: str, parts: int) -> dict[str, Any]:
    """Return arguments of accelerate's `Accelerator` that make it share out what is trained.

    Args:
        sharding: one of `SHARDINGS`; None leaves it to accelerate's configuration.
        recipe: of the stage.
        precision: that it computes in.
        parts: passes that are accumulated to a step.

    Raises:
        UsageError: no such way; or weights in 4 bits, which are not shared out.
        FgvrError: DeepSpeed is not installed.
    """
    if sharding is None:
        return {}
    if sharding not in SHARDINGS:
        raise UsageError(f"there is no way {sharding!r} to shard.", hint=f"Choose {', '.join(SHARDINGS)}.")
    if recipe.method == "qlora":
        raise UsageError(
            "weights in 4 bits are not shared out; each GPU holds them whole.",
            hint="Leave --shard out (8 B take about 6 GiB in 4 bits), or give --method lora or full.",
        )
    if sharding == "fsdp":
        return {"fsdp_plugin": _fsdp(precision)}
    if importlib.util.find_spec("deepspeed") is None:
        raise FgvrError(
            f"--shard {sharding} needs DeepSpeed, which is not installed.",
            hint="Install it with: pip install 'finedefics[deepspeed]', or give --shard fsdp, which is there already.",
        )
    from accelerate.utils import DeepSpeedPlugin

    settings = deepspeed_settings(int(sharding[-1]), recipe, precision, parts)
    return {"deepspeed_plugin": DeepSpeedPlugin(hf_ds_config=settings, zero3_init_flag=False)}


def _fsdp(precision: str) -> Any:
    import torch
    from accelerate.utils import FullyShardedDataParallelPlugin
    from torch.distributed.fsdp import MixedPrecisionPolicy

    # Outputs keep their precision: losses would be rounded to 8 bits.  Gradients are added up in 32.
    rounded = {} if precision == "float32" else {"param_dtype": getattr(torch, precision)}
    return FullyShardedDataParallelPlugin(
        fsdp_version=2,
        auto_wrap_policy="transformer_based_wrap",
        reshard_after_forward=True,
        mixed_precision_policy=MixedPrecisionPolicy(**rounded, reduce_dtype=torch.float32),
        cpu_ram_efficient_loading=False,
        state_dict_type="SHARDED_STATE_DICT",
    )


def deepspeed_settings(stage: int, recipe: Recipe, precision: str, parts: int) -> dict[str, Any]:
    """Return DeepSpeed's configuration of a ZeRO stage; the optimiser is torch's, as without it.

    Args:
        stage: 2 or 3.
        recipe: gives rows a device and the longest gradient.
        precision: that is computed in.
        parts: passes that are accumulated to a step.
    """
    zero: dict[str, Any] = {"stage": stage, "overlap_comm": True, "contiguous_gradients": True}
    if stage == 3:
        zero["stage3_gather_16bit_weights_on_model_save"] = True
    return {
        "train_micro_batch_size_per_gpu": recipe.per_device,
        "gradient_accumulation_steps": parts,
        "gradient_clipping": recipe.max_grad_norm,
        "bf16": {"enabled": precision == "bfloat16"},
        "fp16": {"enabled": precision == "float16"},
        "zero_optimization": zero,
        "zero_allow_untested_optimizer": True,
    }


def sharding_of(accelerator: Any) -> str | None:
    """Return which of `SHARDINGS` is at work, None for none."""
    if getattr(accelerator, "is_fsdp2", False):
        return "fsdp"
    if accelerator.distributed_type == "DEEPSPEED":
        return f"zero{accelerator.state.deepspeed_plugin.zero_stage}"
    return None


def fit(accelerator: Any, model: Any, temperatures: Any) -> None:
    """Tell accelerate's FSDP which layers are units, and keep the temperatures whole, which are clamped in place.

    Their gradients need no exchange: under ``paper`` every process has the loss of all rows, else they are frozen.

    Raises:
        UsageError: accelerate's configuration asks for FSDP 1.
    """
    plugin = getattr(accelerator.state, "fsdp_plugin", None)
    if plugin is None:
        return
    if plugin.fsdp_version != 2:
        raise UsageError(
            "training knows FSDP 2 only.",
            hint="Set fsdp_version: 2 in accelerate's configuration, or give --shard fsdp.",
        )
    from fgvr_bench.engines.huggingface.compiling import repeated_blocks
    from finedefics.families import unwrapped

    if plugin.transformer_cls_names_to_wrap is None:
        layers = repeated_blocks(unwrapped(model))
        plugin.transformer_cls_names_to_wrap = sorted({type(layer).__name__ for layer in layers})
    if temperatures is not None:
        plugin.ignored_modules = [temperatures.to(accelerator.device)]  # FSDP moves only what it shards


def clip_gradients(accelerator: Any, parameters: Iterable[Any], most: float) -> Any:
    """Scale gradients down to a length of `most`, and return how long they were; None where DeepSpeed does it.

    Under FSDP some gradients are sharded and some are whole; accelerate before 1.15 cannot take both at once.
    """
    if not getattr(accelerator, "is_fsdp2", False):
        return accelerator.clip_grad_norm_(parameters, most)
    import torch
    from torch.distributed.tensor import DTensor
    from torch.nn.utils import get_total_norm

    accelerator.unscale_gradients()
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    sharded = [each for each in gradients if isinstance(each, DTensor)]
    whole = [each for each in gradients if not isinstance(each, DTensor)]
    lengths = [get_total_norm(sharded).full_tensor()] if sharded else []  # type: ignore[attr-defined]
    lengths += [get_total_norm(whole)] if whole else []
    length = torch.stack([each.float() for each in lengths]).norm()
    if math.isfinite(float(length)) and float(length) > most:
        for gradient in gradients:
            gradient.mul_(most / (float(length) + 1e-6))
    return length


def let_go(accelerator: Any) -> None:
    """Give a stage's memory back, and let transformers load whole models again, which DeepSpeed told it not to."""
    sharding = sharding_of(accelerator)
    accelerator.free_memory()
    if sharding is not None and sharding != "fsdp":
        from transformers.integrations.deepspeed import unset_hf_deepspeed_config

        unset_hf_deepspeed_config()


def gathered_weights(module: Any) -> dict[str, Any]:
    """Return what FSDP trains, whole, by name: on the processor of the first process, nothing on others."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

    options = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=True)
    return dict(get_model_state_dict(module, options=options))


def scatter_weights(module: Any, weights: dict[str, Any]) -> None:
    """Give each process its part of whole weights, which every process has read."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict

    set_model_state_dict(module, weights, options=StateDictOptions(full_state_dict=True, strict=False))


def save_optimizer(accelerator: Any, module: Any, optimizer: Any, folder: Path) -> None:
    """Write FSDP's optimiser states, each process its own."""
    from accelerate.utils import save_fsdp_optimizer

    save_fsdp_optimizer(accelerator.state.fsdp_plugin, accelerator, optimizer, module, str(folder))


def load_optimizer(accelerator: Any, module: Any, optimizer: Any, folder: Path) -> None:
    """Read them again."""
    from accelerate.utils import load_fsdp_optimizer

    load_fsdp_optimizer(accelerator.state.fsdp_plugin, accelerator, optimizer, module, str(folder))
