"""Training steps on one GPU: the straightforward step beside the packed one, in one run; stage I, or --stage two.

Idefics2-8B's shape with random weights, LoRA of rank 8 in bfloat16 on the projections that the published recipe
trains, no quantisation unless --qlora (NF4, computed in bfloat16; needs bitsandbytes).  A sample is what the published
step was measured on: a picture of 36 × 27 patches, 239 tokens of question and answer, a description of 100 tokens, 3
negative ones, and the names; in stage II picture, question and answer alone.  The loss is the published one (reading
``released``) unless --reading says otherwise.

    python benchmarks/stage_one.py                              # one GPU, under six minutes
    python benchmarks/stage_one.py --stage two --reading paper
    python benchmarks/stage_one.py --qlora                      # likewise with --stage two
    python benchmarks/stage_one.py --tiny                       # a processor, seconds: that everything runs

From a checkout that is not installed: PYTHONPATH=harness:plugins/models:plugins/datasets:finedefics/src.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fgvr_bench.engines import torchvision_ops

torchvision_ops.ensure()
os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")

import torch  # noqa: E402
import transformers  # noqa: E402
from finedefics.objective import Losses, Reading, Temperatures  # noqa: E402
from finedefics.speed import compile_layers  # noqa: E402
from finedefics.stage_one import stage_one_losses  # noqa: E402
from peft import LoraConfig, get_peft_model  # noqa: E402

PUBLISHED = 1.39
"""Samples a second of the published stage I step at 2 samples, LoRA without quantisation, on one H100 80 GB."""

COUNTS = {"one": "2,4,8,16,24,32,48", "two": "8,16,32,64,96,128"}
"""Batches to try, by stage."""

TARGETS = (
    r".*(text_model|modality_projection|perceiver_resampler).*"
    r"(down_proj|gate_proj|up_proj|k_proj|q_proj|v_proj|o_proj)$"
)


@dataclass(frozen=True, slots=True)
class Shape:
    """Lengths of one sample."""

    prompt: int
    description: int
    name: int
    negatives: int
    height: int
    width: int


FULL = Shape(prompt=239, description=100, name=6, negatives=3, height=378, width=504)
TINY = Shape(prompt=24, description=10, name=5, negatives=3, height=28, width=42)


@dataclass(frozen=True, slots=True)
class Measured:
    """One line of the table."""

    what: str
    samples: int
    seconds: float
    memory: float
    flops: float

    @property
    def rate(self) -> float:
        return self.samples / self.seconds

    @property
    def achieved(self) -> float:
        """Useful floating-point operations a second."""
        return self.rate * self.flops


class Step(torch.nn.Module):
    """Model and temperatures; gives a batch's losses, packed or not."""

    def __init__(self, model: torch.nn.Module, reading: Reading) -> None:
        super().__init__()
        self.model, self.temperatures = model, Temperatures()
        self.reading, self.packed = reading, True

    def forward(self, batch: Mapping[str, torch.Tensor]) -> Losses:
        return stage_one_losses(
            self.model, batch, temperatures=self.temperatures, reading=self.reading, packed=self.packed
        )


def configuration(tiny: bool) -> transformers.Idefics2Config:
    """Return the configuration of Idefics2-8B, or of a tiny model of its kind."""
    if tiny:
        text = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4}
        text |= {"num_key_value_heads": 2, "vocab_size": 320, "head_dim": 16}
        vision = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
        vision |= {"image_size": 56, "patch_size": 14}
        perceiver = {"resampler_n_latents": 4, "resampler_depth": 2, "resampler_n_heads": 4, "resampler_head_dim": 16}
        perceiver |= {"num_key_value_heads": 2, "hidden_size": 64}
        ids = {"image_token_id": 318}
    else:
        text = {"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32}
        text |= {"num_key_value_heads": 8, "vocab_size": 32003, "head_dim": 128}
        vision = {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27, "num_attention_heads": 16}
        vision |= {"image_size": 980, "patch_size": 14}
        perceiver = {"resampler_n_latents": 64, "resampler_depth": 3, "resampler_n_heads": 16, "resampler_head_dim": 96}
        perceiver |= {"num_key_value_heads": 4, "hidden_size": 4096}
        ids = {"image_token_id": 32001}
    text |= {"max_position_embeddings": 32768, "rms_norm_eps": 1e-5, "sliding_window": 4096}
    text |= {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "model_type": "mistral"}
    return transformers.Idefics2Config(
        text_config=text,
        vision_config=vision,
        perceiver_config=perceiver | {"rms_norm_eps": 1e-5},
        tie_word_embeddings=False,
        **ids,
    )


def build(tiny: bool, device: torch.device, dtype: torch.dtype, dropout: float, qlora: bool) -> torch.nn.Module:
    """Make the model with random weights and its adapters, B matrices drawn too so that every gradient counts."""
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            config = configuration(tiny)
            config._attn_implementation = "sdpa"
            model = transformers.Idefics2ForConditionalGeneration(config)
    finally:
        torch.set_default_dtype(before)
    if qlora:
        quantise(model, device, dtype)
    lora = LoraConfig(
        r=8, lora_alpha=8, lora_dropout=dropout, init_lora_weights="gaussian", target_modules=TARGETS, bias="none"
    )
    adapted = get_peft_model(model, lora, autocast_adapter_dtype=False).to(device)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_" in name:
                parameter.data = parameter.data.to(dtype)
            if "lora_B" in name:
                parameter.normal_(0.0, 0.02)
    return adapted.train()


def quantise(model: Any, device: torch.device, dtype: torch.dtype) -> None:
    """Put every linear layer but the head in 4 bits (NF4), as loading with transformers' settings of QLoRA does."""
    try:
        from bitsandbytes.nn import Linear4bit, Params4bit
    except ImportError as error:
        raise SystemExit("--qlora needs bitsandbytes: pip install 'finedefics[qlora]'") from error
    layers = [(name, each) for name, each in model.named_modules() if isinstance(each, torch.nn.Linear)]
    for name, layer in layers:
        if name == "lm_head":
            continue
        made = Linear4bit(
            layer.in_features,
            layer.out_features,
            layer.bias is not None,
            compute_dtype=dtype,
            quant_type="nf4",
            device="meta",
        )
        made.weight = Params4bit(layer.weight.data, requires_grad=False, quant_type="nf4")
        if layer.bias is not None:
            made.bias = layer.bias
        parent, _, last = name.rpartition(".")
        setattr(model.get_submodule(parent), last, made.to(device))
        layer.weight = None  # type: ignore[assignment]  # its memory is wanted at once
    model.is_loaded_in_4bit = True  # by which peft knows


def make_batch(
    config: Any, shape: Shape, samples: int, device: torch.device, dtype: torch.dtype, given: argparse.Namespace
) -> dict[str, torch.Tensor]:
    """Return a batch of random content in the shape that was measured; without texts in stage II."""
    generator = torch.Generator().manual_seed(samples)
    words = config.text_config.vocab_size - 4

    def texts(count: int, length: int) -> torch.Tensor:
        ids = torch.randint(3, words, (count, length), generator=generator)
        ids[:, 0], ids[:, -1] = 1, 2
        return ids

    latents = config.perceiver_config.resampler_n_latents
    asked = texts(samples, shape.prompt)
    asked[:, 6 : 6 + latents] = config.image_token_id
    many = samples * shape.negatives
    names = {
        "att": texts(samples, shape.description),
        "cat": texts(samples, shape.name),
        "neg_att": texts(many, shape.description),
        "neg_cat": texts(many, shape.name),
    }
    labels = asked.clone()
    if given.reading == "paper":
        labels[:, :-10] = -100
    if given.stage == "two":
        names = {}
    batch = {
        "input_ids": asked,
        "attention_mask": torch.ones_like(asked),
        "labels": labels,
        "pixel_values": torch.randn(samples, 1, 3, shape.height, shape.width, generator=generator).to(dtype),
        "pixel_attention_mask": torch.ones(samples, 1, shape.height, shape.width, dtype=torch.long),
        **{f"{name}_tokens": ids for name, ids in names.items()},
        **{f"{name}_mask": torch.ones_like(ids) for name, ids in names.items()},
    }
    return {name: value.to(device) for name, value in batch.items()}


def useful_flops(config: Any, shape: Shape, reading: Reading, stage: str = "one") -> float:
    """Return the floating-point operations that one sample's step cannot do without.

    Two a weight and token forwards, and two more backwards wherever gradients flow on to adapters below; none for the
    gradients of frozen weights, for adapters themselves, for padding, or for anything computed twice.
    """
    text, vision, perceiver = config.text_config, config.vision_config, config.perceiver_config
    latents, hidden = perceiver.resampler_n_latents, text.hidden_size
    size = text.head_dim
    attention = hidden * size * (2 * text.num_attention_heads + 2 * text.num_key_value_heads)
    layer = attention + 3 * hidden * text.intermediate_size
    many = 1 + shape.negatives
    lengths = [shape.prompt]
    if stage == "one":
        lengths += [latents + 1, *[shape.description] * many, *[shape.name] * many]
    tokens = sum(lengths)
    # Causal: half of length² × heads × size, for scores and for sums, backwards twice as much as forwards.
    scores = sum(length**2 for length in lengths) / 2 * text.num_attention_heads * size * 4 * 3
    decoder = text.num_hidden_layers * (4 * layer * tokens + scores)
    learnt = shape.prompt - 1 if reading == "released" else 10
    head = 4 * hidden * text.vocab_size * learnt
    patches = (shape.height // vision.patch_size) * (shape.width // vision.patch_size)
    tower = 4 * vision.hidden_size**2 + 2 * vision.hidden_size * vision.intermediate_size
    seen = vision.num_hidden_layers * (2 * tower * patches + 4 * patches**2 * vision.hidden_size)
    projection = vision.hidden_size * text.intermediate_size * 2 * 2 + 4 * text.intermediate_size * hidden
    inner = perceiver.resampler_n_heads * perceiver.resampler_head_dim
    keys = perceiver.num_key_value_heads * perceiver.resampler_head_dim
    context = patches + latents
    resampled = 4 * (2 * hidden * inner + 3 * hidden * 4 * hidden) * latents + 4 * 2 * hidden * keys * context
    resampled += 12 * latents * context * inner
    return float(decoder + head + seen + projection * patches + perceiver.resampler_depth * resampled)


def ceiling(device: torch.device, dtype: torch.dtype, side: int) -> float:
    """Return the operations a second of a large matrix product: the best of some, warmed up."""
    left, right = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    best = 0.0
    for _ in range(8):
        seconds = timed(lambda: [left @ right for _ in range(8)], device) / 8
        best = max(best, 2 * side**3 / seconds)
    return best


def timed(call: Callable[[], Any], device: torch.device) -> float:
    """Return the seconds that a call takes until the device is done."""
    synchronise(device)
    start = time.perf_counter()
    call()
    synchronise(device)
    return time.perf_counter() - start


def synchronise(device: torch.device) -> None:
    """Wait for the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def measure(
    what: str, stage: Step, batch: Mapping[str, torch.Tensor], steps: int, flops: float, device: torch.device
) -> Measured:
    """Run whole training steps (forward, backward, AdamW) and return the median of their times."""
    trained = [parameter for parameter in stage.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=1e-5, fused=device.type == "cuda")

    def step() -> None:
        stage(batch).total.backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    for _ in range(2):
        step()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    seconds = sorted(timed(step, device) for _ in range(steps))[steps // 2]
    memory = torch.cuda.max_memory_allocated(device) / 2**30 if device.type == "cuda" else 0.0
    return Measured(what, len(batch["input_ids"]), seconds, memory, flops)


def shown(line: Measured, limit: float, reference: float, published: bool) -> str:
    """Return a line of the table; `reference` is the rate of the straightforward step at the first batch."""
    beside = f"{line.rate / PUBLISHED:>5.1f} × published  " if published else ""
    return (
        f"{line.what:<34}{line.samples:>4} samples  {line.seconds * 1000:>8.1f} ms  {line.rate:>7.2f}/s  "
        f"{beside}{line.rate / reference:>5.1f} × straightforward  "
        f"{line.memory:>6.1f} GiB  {line.achieved / 1e12:>6.1f} TFLOP/s  {line.achieved / limit:>6.1%}"
    )


def compare(stage: Step, batch: Mapping[str, torch.Tensor], dropout: float) -> dict[str, float]:
    """Compare losses and gradients of the straightforward and the packed step, without dropout; print them."""
    if dropout:
        stage.eval()
    losses, gradients = [], []
    for packed in (False, True):
        stage.packed = packed
        found = stage(batch)
        found.total.backward()
        losses.append({name: float(value) for name, value in found.detached().items()})
        gradients.append(
            {name: value.grad.double().flatten() for name, value in stage.named_parameters() if value.grad is not None}
        )
        stage.zero_grad(set_to_none=True)
    stage.train()
    print("loss                         straightforward      packed  difference")
    for name, value in losses[0].items():
        print(f"{name:<29}{value:>15.5f}{losses[1][name]:>12.5f}{abs(value - losses[1][name]):>12.1e}")
    apart = sum(float((gradients[0][name] - gradients[1][name]).square().sum()) for name in gradients[0]) ** 0.5
    whole = sum(float(value.square().sum()) for value in gradients[0].values()) ** 0.5
    print(f"gradients of all adapters: relative distance {apart / whole:.1e}\n")
    worst = max(abs(value - losses[1][name]) / max(1.0, abs(value)) for name, value in losses[0].items())
    return {"losses": worst, "gradients": apart / whole}


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tiny", action="store_true", help="a tiny model on the processor")
    parser.add_argument("--stage", choices=list(COUNTS), default="one")
    parser.add_argument("--qlora", action="store_true", help="weights in 4 bits; never compiled")
    parser.add_argument("--samples", help="batches to try, in this order")
    parser.add_argument("--steps", type=int, default=7, help="steps measured of each")
    parser.add_argument("--reading", choices=["released", "paper"], default="released")
    parser.add_argument("--dropout", type=float, default=0.0, help="of the adapters")
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--checkpointing", action="store_true", help="recompute decoder layers in the backward pass")
    parser.add_argument("--seconds", type=float, default=330.0, help="no new batch is begun after this time")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    return parser.parse_args()


def main() -> None:
    """Build the model, compare the steps, measure them."""
    started = time.perf_counter()
    given = arguments()
    if not given.tiny and not torch.cuda.is_available():
        raise SystemExit("This needs a GPU; --tiny runs on a processor.")
    device = torch.device("cpu" if given.tiny else "cuda")
    dtype = torch.float32 if given.tiny else torch.bfloat16
    shape = TINY if given.tiny else FULL
    counts = [2, 3] if given.tiny else [int(count) for count in (given.samples or COUNTS[given.stage]).split(",")]
    name = "processor" if given.tiny else torch.cuda.get_device_name(device)
    print(f"{name}, torch {torch.__version__}, transformers {transformers.__version__}, ", end="")
    print(f"stage {given.stage}, {'QLoRA' if given.qlora else 'LoRA'}, reading {given.reading}")

    stage = Step(build(given.tiny, device, dtype, given.dropout, given.qlora), given.reading).to(device)
    config: Any = stage.model.config
    flops = useful_flops(config, shape, given.reading, given.stage)
    published = given.stage == "one" and not given.qlora
    limit = ceiling(device, dtype, 256 if given.tiny else 8192)
    print(f"useful work {flops / 1e12:.2f} TFLOP a sample; ceiling {limit / 1e12:.1f} TFLOP/s, ", end="")
    print(f"so at most {limit / flops:.1f} samples/s; built after {time.perf_counter() - started:.0f} s\n", flush=True)

    first = make_batch(config, shape, counts[0], device, dtype, given)
    apart = compare(stage, first, given.dropout)
    stage.packed = False
    lines = [measure("straightforward", stage, first, given.steps, flops, device)]
    straight = lines[0].rate
    print(shown(lines[0], limit, straight, published), flush=True)
    stage.packed = True
    lines.append(measure("packed", stage, first, given.steps, flops, device))
    print(shown(lines[-1], limit, straight, published), flush=True)

    label = "packed"
    if given.checkpointing:
        stage.model.get_base_model().model.text_model.gradient_checkpointing_enable({"use_reentrant": False})
        label += ", checkpointed"
    if not given.no_compile and not given.tiny and not given.qlora:
        compile_layers(stage.model)
        label += ", compiled"
    for count in counts:
        if time.perf_counter() - started > given.seconds:
            print(f"{count} samples and more left out: {given.seconds:.0f} s are over")
            break
        line = attempt(label, stage, count, given, (config, shape, device, dtype, flops))
        if line is None:
            print(f"{label}: {count} samples do not fit")
            break
        lines.append(line)
        print(shown(line, limit, straight, published), flush=True)
    best = max(lines, key=lambda line: line.rate)
    beside = f"{best.rate / PUBLISHED:.1f} × published, " if published else ""
    print(f"\nbest: {best.rate:.2f} samples/s at {best.samples}, {beside}", end="")
    print(f"{best.achieved / limit:.1%} of the ceiling; all in {time.perf_counter() - started:.0f} s")
    if given.json:
        figures = {"ceiling": limit, "flops": flops, "apart": apart, "lines": [asdict(line) for line in lines]}
        given.json.write_text(json.dumps(figures, indent=2))


def attempt(
    label: str, stage: Step, count: int, given: argparse.Namespace, setting: tuple[Any, ...]
) -> Measured | None:
    """Measure a batch size; None where memory does not suffice."""
    config, shape, device, dtype, flops = setting
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    try:
        batch = make_batch(config, shape, count, device, dtype, given)
        return measure(label, stage, batch, given.steps, flops, device)
    except torch.OutOfMemoryError:
        stage.zero_grad(set_to_none=True)
        return None


if __name__ == "__main__":
    main()
