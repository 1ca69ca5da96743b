"""Processor and weights of a checkpoint, with every failure turned into an error that says what to type."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fgvr_bench.engines import torchvision_ops
from fgvr_bench.engines.checkpoints import Checkpoint
from fgvr_bench.engines.devices import torch_dtype
from fgvr_bench.engines.fetching import PROCESSOR_FILES, fetch
from fgvr_bench.engines.huggingface.placing import loading_settings, settle
from fgvr_bench.engines.huggingface.plugin import Plan
from fgvr_bench.engines.memory import first_line, is_out_of_memory, memory_guard
from fgvr_bench.errors import FgvrError, ModelUnavailable


def load_processor(plan: Plan) -> Any:
    """Load the processor (tokenizer, image processor, chat template) with the plan's image settings.

    Raises:
        ModelUnavailable: there is none, or it cannot be read.
    """
    folder = fetch(plan.processor, weights=False)
    _check_processor_files(plan.processor, folder)
    torchvision_ops.ensure()
    from transformers import AutoProcessor

    backend = {} if plan.image_backend == "auto" else {"backend": plan.image_backend}
    with quiet(), _explained(plan.processor, "processor"):
        processor = AutoProcessor.from_pretrained(
            folder,
            **backend,
            trust_remote_code=plan.trust_remote_code,
            local_files_only=True,
            **plan.image_settings,
        )
    if getattr(processor, "tokenizer", None) is None or getattr(processor, "image_processor", None) is None:
        raise ModelUnavailable(
            f"{plan.processor.name} has no processor for both text and images ({type(processor).__name__}).",
            hint="Name one with --model-arg processor=ORGANISATION/NAME (or a folder).",
        )
    if processor.tokenizer.pad_token_id is None:
        processor.tokenizer.pad_token = processor.tokenizer.eos_token
    return processor


def load_weights(plan: Plan) -> Any:
    """Load the model in evaluation mode on its device.

    Raises:
        ModelUnavailable: incomplete or damaged files, an unknown architecture.
        OutOfMemory: the weights do not fit.
    """
    folder = fetch(plan.checkpoint, adapter=plan.adapter)
    torchvision_ops.ensure()
    import torch
    from transformers import AutoModelForMultimodalLM

    torch.backends.cudnn.benchmark = False  # it picks kernels by timing them: not the same ones in every run
    with quiet(), memory_guard(), _explained(plan.checkpoint, "model"):
        model, report = AutoModelForMultimodalLM.from_pretrained(
            folder,
            dtype=torch_dtype(plan.dtype),
            attn_implementation=plan.attention,
            **loading_settings(plan),
            trust_remote_code=plan.trust_remote_code,
            local_files_only=True,
            weights_only=True,
            output_loading_info=True,
        )
    absent = sorted(report["missing_keys"]) + sorted(str(key[0]) for key in report["mismatched_keys"])
    if absent:  # transformers draws them at random and goes on
        raise ModelUnavailable(
            f"the weights of {plan.checkpoint.name} lack {len(absent)} that the model needs, {absent[0]} among them.",
            hint="Fetch the checkpoint again; adapters have to be merged first.",
        )
    if plan.adapter is not None:
        _add_adapter(model, folder / plan.adapter, plan.checkpoint)
    return settle(model.eval().requires_grad_(False))


def _add_adapter(model: Any, folder: Path, checkpoint: Checkpoint) -> None:
    """Load a LoRA adapter beside the weights, unmerged, as its makers do."""
    if importlib.util.find_spec("peft") is None:
        raise ModelUnavailable(
            f"{checkpoint.name} comes with an adapter for images, which needs peft.",
            hint="Type: pip install 'fgvr-bench[adapters]'",
        )
    with quiet(), memory_guard(), _explained(checkpoint, "adapter"):
        model.load_adapter(str(folder), adapter_name=folder.name)
        model.set_adapter(folder.name)


def _check_processor_files(source: Checkpoint, folder: Path) -> None:
    if not any((folder / name).is_file() for name in PROCESSOR_FILES):
        raise ModelUnavailable(
            f"checkpoint {source.name} has no processor (preprocessor_config.json).",
            hint="Name one with --model-arg processor=ORGANISATION/NAME (or a folder).",
        )


@contextlib.contextmanager
def _explained(checkpoint: Checkpoint, what: str) -> Iterator[None]:
    """Turn whatever transformers raises over foreign or damaged files into `ModelUnavailable`."""
    try:
        yield
    except FgvrError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        reason = first_line(error)
        if "offload_folder" in str(error) or "offload_dir" in str(error):
            raise ModelUnavailable(
                f"the weights of {checkpoint.name} fit in no memory, and what is left over needs a folder on disk.",
                hint="Give one with --model-arg offload=FOLDER, or fewer bits with --model-arg quantize=4bit.",
            ) from error
        if "trust_remote_code" in str(error):
            raise ModelUnavailable(
                f"{checkpoint.name} brings code of its own.",
                hint="Read it, then give --trust-remote-code and --revision with the commit that you read.",
            ) from error
        if "Unrecognized configuration class" in str(error):
            reason = "its architecture is no image-text-to-text model of the installed transformers"
        raise ModelUnavailable(
            f"the {what} of {checkpoint.name} cannot be loaded: {reason}.",
            hint="Fetch the checkpoint again, or give another with --checkpoint.",
        ) from error


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers' advice to itself, and its progress bars off where standard error is no terminal."""
    from transformers.utils import logging as talk

    level, bars = talk.get_verbosity(), talk.is_progress_bar_enabled()
    talk.set_verbosity(logging.ERROR)
    if not sys.stderr.isatty():
        talk.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        talk.set_verbosity(level)
        if bars:
            talk.enable_progress_bar()
