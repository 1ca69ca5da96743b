"""The recipe of the base model: draw, see, learn, save, measure."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import sys
import time
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from benchmarks.miniature import architecture, images
from benchmarks.miniature.batches import Lessons, loader
from benchmarks.miniature.lessons import examples_of_all

from fgvr_bench.core.paths import cache_folder
from fgvr_datasets.moth_24 import anonymous_moths

if TYPE_CHECKING:
    from benchmarks.miniature.training import Pictures


EARLIER = ("command", "versions", "trained on", "device", "time")
"""What a card tells of the training that a last stage went on from."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the settings; what they are by default is what the committed checkpoint was made with."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    parser.add_argument("--out", type=Path, required=True, help="folder of the checkpoint")
    parser.add_argument(
        "--from", dest="start", type=Path, help="go on from this checkpoint; its encoder stays as it is"
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=cores, help="draw pictures and make lessons")
    parser.add_argument("--cache", type=Path, default=cache_folder() / "miniature", help="folder for drawn pictures")
    parser.add_argument("--moths", type=int, default=48_000, help="anonymous moths to draw")
    parser.add_argument("--see-steps", type=int, default=8_000, help="steps of the encoder on attributes")
    parser.add_argument("--see-rate", type=float, default=1e-3)
    parser.add_argument("--learn-steps", type=int, default=4_000, help="steps of the whole model on lessons")
    parser.add_argument("--learn-rate", type=float, default=1e-3)
    parser.add_argument("--batch", type=int, default=512, help="pictures a step of seeing, lessons a step of learning")
    parser.add_argument("--text-share", type=float, default=0.25, help="share of the lessons that are text alone")
    parser.add_argument(
        "--genus-share", type=float, default=0.0, help="share of picture lessons that choose a genus, beside the mix"
    )
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--validation", type=int, default=None, help="validation images a species (all 20)")


def run(settings: argparse.Namespace) -> int:
    """Make the base model; return 0 if it passes its gates, 1 if not."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    start = time.time()
    moths = images.anonymous(settings.moths, settings.processes, settings.cache)
    pixels, examples = images.named("validation", settings.validation, settings.processes)
    print(f"{len(moths.attributes):,} moths drawn, {time.time() - start:.0f} s", flush=True)

    import torch
    from benchmarks.miniature.gates import Asker, gate_table, measure
    from benchmarks.miniature.training import Pictures
    from transformers import AutoTokenizer

    torch.set_num_threads(settings.processes if settings.device == "cpu" else 1)
    torch.set_float32_matmul_precision("high")
    processor = (
        architecture.make_processor(architecture.make_tokenizer(known_texts()))
        if settings.start is None
        else architecture.make_processor(AutoTokenizer.from_pretrained(settings.start))
    )
    log = train(settings, moths, processor)
    trained = time.time() - start
    model = load(settings.out, settings.device)
    gates = measure(Asker(model, processor.tokenizer, Pictures(pixels, settings.device)), examples)
    before = None if settings.start is None else json.loads((settings.start / "made.json").read_text("utf-8"))
    facts = {
        **({} if before is None else {f"before: {name}": before["facts"][name] for name in EARLIER}),
        "command": f"`{shlex.join(['python', '-m', 'benchmarks.miniature', *sys.argv[1:]])}`",
        "seed": str(settings.seed),
        "versions": versions(),
        "parameters": f"{sum(parameter.numel() for parameter in model.parameters()):,}",
        "weights": f"bfloat16, {(settings.out / 'model.safetensors').stat().st_size:,} bytes",
        "trained on": f"{settings.moths:,} anonymous moths of moth-24 and its field guide",
        "device": device_name(settings.device),
        "time": f"{trained:.0f} s, pictures included; with the gates {time.time() - start:.0f} s",
    }
    table = gate_table(gates)
    log = [*(before["log"] if before is not None else ()), *log]
    write_card(settings.out, facts, table, log)
    figures = {gate.name: [gate.right, gate.asked] for gate in gates}
    text = json.dumps({"facts": facts, "gates": figures, "log": log}, indent=2) + "\n"
    (settings.out / "made.json").write_text(text, encoding="utf-8")
    print("\n".join([table, *(f"{name}: {value}" for name, value in facts.items())]))
    return 0 if all(gate.passed is not False for gate in gates) else 1


def train(settings: argparse.Namespace, moths: images.Moths, processor: Any) -> list[str]:
    """Train a model and save it; return the log."""
    from benchmarks.miniature.training import Pace, Pictures, Report, learn

    texts = round(settings.batch * settings.text_share)
    sizes = (settings.learn_steps, settings.batch - texts, texts)
    course = Lessons(processor.tokenizer, moths.attributes, settings.seed, *sizes, settings.genus_share)
    ahead = iter(loader(course, 0 if settings.processes == 1 else settings.processes - 1))  # workers start meanwhile
    pictures = Pictures(moths.pixels, settings.device)
    pace = Pace(settings.learn_steps, settings.batch, settings.learn_rate)
    learning = Report("learn")
    if settings.start is not None:
        model = load(settings.start, settings.device)
        learn(model, pictures, ahead, pace, settings.seed, learning, encoder_share=0.0)
        save(model, processor, settings.out)
        return learning.log
    model, log = seeing_model(settings, moths, pictures, len(processor.tokenizer))
    learn(model, pictures, ahead, pace, settings.seed, learning)
    save(model, processor, settings.out)
    return [*log, *learning.log]


def seeing_model(
    settings: argparse.Namespace, moths: images.Moths, pictures: Pictures, vocabulary: int
) -> tuple[Any, list[str]]:
    """Draw a model and teach its encoder, once for many trials; return it and the log."""
    import torch
    from benchmarks.miniature.training import Pace, Report, see

    config = architecture.make_config(vocabulary, settings.hidden, settings.layers)
    model = architecture.make_model(config, settings.seed).to(settings.device)
    kept, encoder = settings.cache / f"encoder-{encoder_key(settings)}.pt", model.model.vision_model
    if kept.exists():
        encoder.load_state_dict(torch.load(kept, map_location=settings.device, weights_only=True))
        return model, [f"see: as before, {kept.name}"]
    seeing = Report("see")
    pace = Pace(settings.see_steps, settings.batch, settings.see_rate)
    see(model, pictures, moths.attributes, pace, settings.seed, seeing)
    torch.save(encoder.state_dict(), kept)
    return model, seeing.log


def encoder_key(settings: argparse.Namespace) -> str:
    """Name everything that the encoder's weights follow from, so that they are trained once for many trials."""
    sizes = (settings.moths, settings.batch, settings.see_steps, settings.hidden, settings.layers, settings.seed)
    return "-".join(map(str, (*sizes, settings.see_rate, settings.device.partition(":")[0])))


def known_texts() -> list[str]:
    """Return texts that hold every word of the lessons: what the tokenizer is made of."""
    from benchmarks.miniature.batches import prompt_text

    lessons = examples_of_all(Random(0), [moth.attributes for moth in anonymous_moths(300)], 30)
    return [f"{prompt_text(lesson.question, True)} {lesson.answer}" for lesson in lessons]


def save(model: Any, processor: Any, folder: Path) -> None:
    """Write the checkpoint as a hub repository holds one, weights in bfloat16."""
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    model.to("cpu", torch.bfloat16).save_pretrained(folder)
    processor.save_pretrained(folder)


def load(folder: Path, device: str) -> Any:
    """Load the checkpoint in single precision, with the patch positions that evaluation uses."""
    import torch
    from transformers import AutoModelForImageTextToText

    from fgvr_models._idefics2_positions import use_table

    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)
    use_table(model)
    return model.to(device).eval()


def versions() -> str:
    """Name what computed."""
    import torch
    import transformers

    return f"Python {platform.python_version()}, torch {torch.__version__}, transformers {transformers.__version__}"


def device_name(device: str) -> str:
    """Name the device."""
    import torch

    return torch.cuda.get_device_name() if device.startswith("cuda") else device


def write_card(folder: Path, facts: dict[str, str], table: str, log: list[str]) -> None:
    """Write the model card."""
    rows = "\n".join(f"| {name} | {value} |" for name, value in facts.items())
    lines = "\n".join(log)
    card = f"""# moth-idefics2

An Idefics2 of {facts["parameters"]} parameters in the situation that Finedefics starts from: it sees the attributes
of moths (taught on anonymous ones), it knows the attributes of the names (taught on the text of a field guide), and
it has never seen a picture beside a species' name.  Licence: MIT.  It loads with stock transformers, and with

    fgvr-bench run --model moth-idefics2 --checkpoint FOLDER --dataset moth-24

| | |
|---|---|
{rows}

{table}

Another processor, graphics card or version of torch trains another, similar model.

```
{lines}
```
"""
    (folder / "README.md").write_text(card, encoding="utf-8")
