"""Where weights lie, and in how many bits: several GPUs, main memory, disk, quantized linear layers."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fgvr_bench.engines.devices import device_kind, torch_dtype
from fgvr_bench.errors import ModelUnavailable, UsageError

if TYPE_CHECKING:
    import torch

    from fgvr_bench.engines.huggingface.plugin import Plan

QUANTIZATIONS = ("no", "4bit", "8bit")
"""How linear layers are held: as they are, as 4-bit normal floats (NF4; Dettmers et al. 2023, arXiv 2305.14314,
section 3), or as 8-bit integers (Dettmers et al. 2022, arXiv 2208.07339, section 3)."""

SIZE = re.compile(r"\d+(\.\d+)?[KMGT]i?B", re.IGNORECASE)


def memory_limits(text: str) -> dict[int | str, str]:
    """Read how much memory weights may take where: ``0:20GiB,1:20GiB,cpu:100GiB``.

    >>> memory_limits("0:20GiB,cpu:1.5TB")
    {0: '20GiB', 'cpu': '1.5TB'}

    Raises:
        ValueError: it is not written so.
    """
    limits: dict[int | str, str] = {}
    for piece in text.split(","):
        place, _, size = (part.strip() for part in piece.partition(":"))
        if not (place.isdigit() or place == "cpu") or not SIZE.fullmatch(size):
            raise ValueError("write it as 0:20GiB,1:20GiB,cpu:100GiB, a number for each GPU")
        limits[int(place) if place.isdigit() else place] = size
    return limits


def check_placing(plan: Plan) -> None:
    """Refuse settings that exclude each other, before anything is loaded.

    Raises:
        UsageError: says which, and what to leave out.
    """
    if plan.spread and ":" in plan.device:
        raise UsageError(
            f"spread takes every GPU, and --device {plan.device} names one.",
            hint="Give --device cuda; CUDA_VISIBLE_DEVICES picks GPUs. Of several processes each has one GPU.",
        )
    if not plan.spread and (plan.max_memory or plan.offload):
        raise UsageError("max_memory and offload spread the weights, and spread=no says not to.")
    if plan.quantize == "no":
        return
    if plan.dtype == "float64":
        raise UsageError(
            f"quantize={plan.quantize} does not go with float64.",
            hint="Give --dtype bfloat16, float16 or float32.",
        )
    if device_kind(plan.device) == "mps":
        raise UsageError(
            f"quantize={plan.quantize} needs a CUDA GPU or a processor.", hint="Leave it out, or give --device cpu."
        )


def loading_settings(plan: Plan) -> dict[str, Any]:
    """Return what ``from_pretrained`` is told of devices and bits.

    Raises:
        ModelUnavailable: bitsandbytes is not installed.
        UsageError: memory is limited on a GPU that is not there.
    """
    settings: dict[str, Any] = {"device_map": {"": plan.device}}
    if plan.spread:
        settings = {"device_map": "auto", "max_memory": _memory(plan)}
    if plan.offload is not None:
        settings["offload_folder"] = plan.offload
    if plan.quantize != "no":
        settings["quantization_config"] = _quantization(plan)
    if plan.dtype == "float64":
        # Torch's grouped matrix product, which mixtures of experts use otherwise, has no float64.
        settings["experts_implementation"] = "eager"
    return settings


def settle(model: Any) -> Any:
    """Make a model whose weights partly lie in main memory or on disk usable as any other; others stay as they are.

    Such weights are on torch's ``meta`` device, and hooks of accelerate fetch them when the module that holds them is
    called.  Two things do not go by themselves then: inputs, which would follow the first weights to ``meta`` and lose
    their values; and weights that are looked at without their module being called.  Those stand outside of the
    repeated blocks, are a few percent of all, and are fetched for good.
    """
    places: Mapping[str, Any] | None = getattr(model, "hf_device_map", None)
    if not places or not any(parameter.is_meta for parameter in model.parameters()):
        return model
    import torch

    blocks = {part for many in model.modules() if isinstance(many, torch.nn.ModuleList) for part in many.modules()}
    tables = {model.get_input_embeddings(), model.get_output_embeddings()}
    for module in model.modules():
        if module not in blocks and module not in tables:
            _keep(module)
    computing = [place for place in places.values() if place not in ("cpu", "disk")]
    device = torch.device(computing[0] if computing else "cpu")

    def inputs_go_to(self: Any) -> torch.device:
        return device

    kind = type(model)
    model.__class__ = type(kind.__name__, (kind,), {"device": property(inputs_go_to), "__module__": kind.__module__})
    return model


def _keep(module: Any) -> None:
    """Fetch the weights that a module holds itself, and leave them where it computes."""
    hook = getattr(module, "_hf_hook", None)
    for each in getattr(hook, "hooks", [hook]):
        if getattr(each, "offload", False) and any(weight.is_meta for weight in module.parameters(recurse=False)):
            each.pre_forward(module)
            each.offload = False


def _quantization(plan: Plan) -> Any:
    if importlib.util.find_spec("bitsandbytes") is None:
        raise ModelUnavailable(
            f"quantize={plan.quantize} needs bitsandbytes, which is not installed.",
            hint="Type: pip install 'fgvr-bench[quantized]'",
        )
    from transformers import BitsAndBytesConfig

    if plan.quantize == "8bit":
        # A layer that main memory holds is computed there, in 32 bits.
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_enable_fp32_cpu_offload=plan.spread)
    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch_dtype(plan.dtype)
    )


def _memory(plan: Plan) -> dict[int | str, int | str]:
    """Return how much each place may take: what the user says, all there is where nothing is said."""
    from accelerate.utils import get_max_memory

    free: dict[int | str, int | str] = get_max_memory()
    if device_kind(plan.device) == "cpu":
        free = {place: size for place, size in free.items() if place == "cpu"}
    for place in plan.max_memory:
        if place not in free:
            named = f"GPU {place}" if isinstance(place, int) else "main memory (cpu)"
            raise UsageError(
                f"max_memory names {named}, which --device {plan.device} does not have here.",
                hint=f"Name only: {', '.join(map(str, free))}.",
            )
    return {**free, **plan.max_memory}
