"""A run's newest checkpoint as a plain one, which stock transformers and ``fgvr-bench run`` load."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fgvr_bench.core.files import read_json, sync_folder, write_json, write_text
from fgvr_bench.core.run_folder import RunFolder, file_digest
from fgvr_bench.engines.devices import cuda_is_there
from fgvr_bench.errors import FgvrError, ModelUnavailable, UsageError
from finedefics.cards import CARD, model_card
from finedefics.checkpoints import WEIGHTS, choose, load_trained
from finedefics.presets import PRECISIONS, Recipe
from finedefics.run_folders import read_facts

FORMAT, VERSION = "finedefics/model", 1
FACTS = "finedefics.json"
INTO = ("trained-on", "original")


def merge(
    run: Path | str,
    output: Path | str,
    *,
    step: int | None = None,
    into: str = "trained-on",
    dtype: str = "auto",
    model: str | None = None,
    fresh: bool = False,
) -> Path:
    """Write the model of a run as a plain checkpoint: weights as safetensors, processor, templates, model card.

    Adapters are merged into the weights that they were trained on.  Of a QLoRA run these are the 4-bit ones, taken
    back to `dtype` (``trained-on``); ``original`` takes the weights before they were cut to 4 bits, which the adapters
    have never seen, and the model card says so with the measured difference.

    Args:
        run: folder of a run of ``align`` or ``tune``.
        output: folder to be made.
        step: checkpoint to take; the newest whole one by default.
        into: ``trained-on`` or ``original``.
        dtype: of the written weights; ``auto`` is what the run computed in.
        model: where the run's starting model lies now, if it was moved.
        fresh: write anew what is there already.

    Returns:
        `output`.

    Raises:
        FgvrError: there is no such run or checkpoint, or the folder cannot be written.
        ModelUnavailable: the starting model is not there, or is another now.
        UsageError: `output` holds something else; a value that cannot be.
    """
    run, output = Path(run), Path(output)
    facts = read_facts(run)
    if into not in INTO or dtype not in PRECISIONS:
        raise UsageError(f"into {into!r}, dtype {dtype!r} are not possible.", hint=f"Choose {INTO}, {PRECISIONS}.")
    chosen, checkpoint = choose(run, step)
    made = {
        "stage": facts["stage"],
        "step": chosen,
        "weights_sha256": file_digest(checkpoint / WEIGHTS),
        "recipe": facts["recipe"],
        "base": facts["model"],
        "rows": facts["rows"],
        "rows_sha256": facts["rows_sha256"],
        "into": into,
        "dtype": facts["precision"] if dtype == "auto" else dtype,
    }
    if not fresh and _is_there(output, made):
        return output
    recipe = Recipe(**{**facts["recipe"], "without": tuple(facts["recipe"]["without"])})
    start = _starting_model(facts, model)
    merged, temperatures, difference = _merged(start, recipe, checkpoint, into, str(made["dtype"]), facts["precision"])
    provenance = {
        **made,
        "base_name": facts["model_name"] if not Path(facts["model_name"]).exists() else Path(facts["model_name"]).name,
        "base_made_by": _provenance_of(start),
        "temperatures": temperatures,
        "four_bit_difference": difference,
    }
    _write(merged, start, output, provenance, RunFolder(run).read_executions())
    return output


def _is_there(output: Path, made: Mapping[str, Any]) -> bool:
    """Say whether the folder holds this very model already.

    Raises:
        UsageError: it holds something else.
    """
    if not output.exists() or not any(output.iterdir()):
        return False
    if (output / FACTS).is_file():
        there = read_json(output / FACTS, FORMAT, (VERSION,))
        if all(there.get(name) == value for name, value in made.items()):
            return True
    raise UsageError(f"{output} holds something else already.", hint="Give a new folder as --output, or --fresh.")


def _starting_model(facts: Mapping[str, Any], moved_to: str | None) -> str:
    """Return where the run's starting model is.

    Raises:
        ModelUnavailable: it is not what the run started from.
    """
    from finedefics.loading import identify

    name = moved_to or facts["model_name"]
    if name == "in memory":
        raise ModelUnavailable(
            "the run started from a model in memory, which is gone.", hint="Name a saved copy with --model."
        )
    now = identify(name)
    if facts["model"] != {"checkpoint": "in memory"} and now != facts["model"]:
        raise ModelUnavailable(
            f"{name} is not the model that the run started from ({now} instead of {facts['model']}).",
            hint="Bring it back, or name the folder where it lies now with --model.",
        )
    return str(name)


def _merged(
    start: str, recipe: Recipe, checkpoint: Path, into: str, dtype: str, precision: str
) -> tuple[Any, dict[str, float], float | None]:
    """Return the plain model, stage I's temperatures, and how far 4-bit weights are from the original ones."""
    import torch

    from finedefics.loading import choose_trained, load_weights
    from finedefics.modules import StageModule, temperatures_for, weights_for
    from finedefics.training import temperatures_of

    difference = None
    model = load_weights(start, "float32" if recipe.method == "full" else precision)
    if dtype == "float32":
        model = model.float()  # before the adapters are added, so that the sum is not rounded to fewer bits
    if recipe.method == "qlora":
        difference = _take_back_from_four_bits(model, start, precision, keep=into == "original")
    module = StageModule(
        choose_trained(model, recipe), temperatures_for(recipe), recipe.reading, weights_for(recipe, True)
    )
    load_trained(module, checkpoint)
    plain: Any = module.model
    if recipe.method != "full":
        plain = plain.merge_and_unload(safe_merge=True)
    stage_one = any(name.startswith("temperatures.") for name in _names(checkpoint))
    temperatures = temperatures_of(module.temperatures) if stage_one else {}
    return plain.to(getattr(torch, dtype)).eval(), temperatures, difference


def _names(checkpoint: Path) -> list[str]:
    from safetensors import safe_open

    with safe_open(checkpoint / WEIGHTS, "pt") as file:
        return list(file.keys())


def _take_back_from_four_bits(model: Any, start: str, precision: str, keep: bool) -> float:
    """Replace a model's weights by what their 4-bit form stands for; with `keep` only measure.

    Returns:
        The root mean square of the difference over that of the original weights.
    """
    import torch

    from finedefics.loading import four_bits, load_weights

    settings = four_bits(precision)
    from bitsandbytes.functional import dequantize_4bit
    from bitsandbytes.nn import Linear4bit

    device = "cuda" if cuda_is_there() else "cpu"
    quantised = load_weights(start, precision, quantization_config=settings, device_map={"": device})
    plain = dict(model.named_modules())
    squared = torch.zeros(2, dtype=torch.float64)
    with torch.no_grad():
        for name, module in quantised.named_modules():
            if isinstance(module, Linear4bit):
                weight = plain[name].weight
                taken = dequantize_4bit(module.weight.data, module.weight.quant_state).to("cpu", weight.dtype)
                squared += torch.stack([(taken - weight).double().square().sum(), weight.double().square().sum()])
                if not keep:
                    weight.copy_(taken)
    return float((squared[0] / squared[1]).sqrt()) if squared[1] else 0.0


def _provenance_of(start: str) -> dict[str, Any] | None:
    """Return how the starting model was made, where this package made it."""
    path = Path(start) / FACTS
    return read_json(path, FORMAT, (VERSION,)) if path.is_file() else None


def _write(
    model: Any, start: str, output: Path, provenance: Mapping[str, Any], executions: Sequence[Mapping[str, Any]]
) -> None:
    """Write the checkpoint; it appears whole or not at all."""
    from fgvr_bench.engines.huggingface.loading import quiet
    from finedefics.loading import load_processor_of

    processor = load_processor_of(start)
    if hasattr(processor.image_processor, "do_image_splitting"):
        processor.image_processor.do_image_splitting = False  # as it was trained
    unfinished = output.parent / f".{output.name}.tmp"
    try:
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        with quiet():
            model.save_pretrained(unfinished)
            processor.save_pretrained(unfinished)
        write_text(unfinished / CARD, model_card(provenance, executions, Path(start) / CARD))
        write_json(unfinished / FACTS, {"format": FORMAT, "version": VERSION, **provenance})
        if output.exists():
            shutil.rmtree(output)
        os.replace(unfinished, output)
        sync_folder(output.parent)
    except FgvrError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise FgvrError(f"the model cannot be written to {output}: {reason}.", hint="Free some space.") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
