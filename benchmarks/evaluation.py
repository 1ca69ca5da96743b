"""Evaluation of image-text-to-text models on one GPU: a plain loop, this package, the limit, from one run.

    python benchmarks/evaluation.py --shape idefics2-8b                 # one GPU
    python benchmarks/evaluation.py --shape idefics2-tiny --questions 24 --plain 4   # a processor, to try the script

Pictures are drawn (JPEGs of about 500 pixels in the usual aspect ratios), weights are random in the real shape, and
answers of ``generate`` are forced to a letter and the end of text, so that every system does the same work; with
``--answer-tokens 512`` to as many letters as those of a reasoning model, ends spread evenly.

* ``plain loop``: transformers as its examples use it: images opened and processed in the loop, batches in the order
  of the files, ``generate``;
* ``ours``: ``fgvr_bench.evaluate`` with ``logprob`` and with ``generate``, from files to scored answers on disk; the
  rate is that between the first and the last batch, so that loading and compiling, which are printed beside it, are
  left out;
* ``a model that answers at once``: the same without the model's work, the limit of reading, copying and storing;
* ``ceiling``: a large matrix product in bfloat16 in the same process, 20 times in a row; what is left of it after 5 s
  on end, when power and heat slow a GPU down, is printed beside it.  Useful work is what one question costs alone,
  without padding, counted by torch's counter over a sample.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from tabulate import tabulate

from fgvr_bench import evaluate, hookimpl
from fgvr_bench.core.ahead import cores
from fgvr_bench.core.host import host
from fgvr_bench.engines import torchvision_ops
from fgvr_bench.types import Prompt, Question, Response, ScoreKind

torchvision_ops.ensure()

SIZES = ((500, 375),) * 6 + ((500, 333),) * 2 + ((375, 500),) * 2 + ((500, 400), (333, 500), (500, 500))
"""Width and height of pictures: about the mix of bird-200."""
WORDS = (
    "Black",
    "footed",
    "Sooty",
    "Laysan",
    "Crested",
    "Least",
    "Parakeet",
    "Rhinoceros",
    "Brewer",
    "Red",
    "winged",
    "Rusty",
    "Yellow",
    "headed",
    "Indigo",
    "Lazuli",
    "Painted",
    "Cardinal",
    "Spotted",
    "Gray",
    "Western",
    "Fish",
    "Bronzed",
    "Shiny",
    "Brown",
    "Tree",
    "Cape",
    "Glossy",
    "American",
    "Hooded",
    "Ivory",
    "Acadian",
    "Great",
    "Olive",
    "sided",
    "Scissor",
    "tailed",
    "Vermilion",
    "Northern",
    "Pied",
    "billed",
    "Horned",
    "Eared",
    "Blue",
    "Evening",
    "Pine",
    "Rose",
    "breasted",
)
KINDS = (
    "Albatross",
    "Auklet",
    "Blackbird",
    "Bunting",
    "Catbird",
    "Cormorant",
    "Cowbird",
    "Creeper",
    "Crow",
    "Flicker",
    "Flycatcher",
    "Grebe",
    "Gull",
)
LABELS = tuple(f"{WORDS[i % len(WORDS)]}_{WORDS[(i * 7 + 3) % len(WORDS)]}_{KINDS[i % len(KINDS)]}" for i in range(200))
TEMPLATE = (
    "{% for message in messages %}{{ message.role.capitalize() }}"
    "{{ ':' if message.content[0].type == 'image' else ': ' }}"
    "{% for part in message.content %}{% if part.type == 'image' %}<image>{% else %}{{ part.text }}{% endif %}"
    "{% endfor %}<end_of_utterance>\n{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}"
)


@dataclass(frozen=True)
class Shape:
    """A model's configuration and processor."""

    plugin: str
    make: Callable[[Path], Any]
    """Saves configuration and processor into a folder; returns the configuration."""


@dataclass
class Clock:
    """A plugin of the benchmark: notes when answers were on disk."""

    times: list[float] = field(default_factory=list)
    """When each answer was on disk."""
    batches: list[float] = field(default_factory=list)
    """When the model was done with each batch."""

    @hookimpl
    def answer_scored(self, question: Question, response: Response) -> None:
        """Note the time of one answer."""
        self.times.append(time.perf_counter())

    def steady(self, batch: int, window: int = 4) -> float:
        """Return the answers a second of the median `window` batches: without those that waited for a compiler.

        Two batches are under way at once, so single ones say little.
        """
        ends = np.sort(self.batches)
        if len(ends) <= window:
            return float("nan")
        return batch * window / float(np.median(ends[window:] - ends[:-window]))

    def rate(self, batch: int) -> float:
        """Return answers a second between the end of the second batch and the last answer on disk."""
        return (len(self.times) - 2 * batch) / (self.times[-1] - self.batches[1])


def draw_one(path: Path, index: int) -> None:
    """Draw a picture that takes as many bytes as a photograph (about 70 kB)."""
    from PIL import Image

    own = np.random.default_rng(index)
    width, height = SIZES[int(own.integers(len(SIZES)))]
    coarse = own.integers(0, 240, (6, 8, 3)).astype(np.uint8)
    image = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))
    noisy = image + own.normal(0, 8, (height, width, 1))
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(path, quality=90)


def draw(folder: Path, count: int) -> Path:
    """Draw a folder of pictures by class."""
    paths = []
    for index in range(count):
        of_class = folder / "test" / LABELS[index % len(LABELS)]
        of_class.mkdir(parents=True, exist_ok=True)
        paths.append(of_class / f"{index:06}.jpg")
    with ProcessPoolExecutor(cores()) as pool:
        list(pool.map(draw_one, paths, range(count), chunksize=32))
    return folder


def words(tokens: int, special: Sequence[str]) -> Any:
    """Train a tokenizer with which the text of a question has about `tokens` tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    texts = [question(LABELS[i : i + 4]) for i in range(0, 196, 4)]
    answers = [f"User: Assistant: {letter}" for letter in "ABCD"] * len(texts)
    for size in (*range(80, 200, 10), *range(200, 1000, 40)):
        made = Tokenizer(models.BPE(unk_token=special[0]))
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        made.decoder = decoders.ByteLevel()
        made.train_from_iterator(
            texts + answers, trainers.BpeTrainer(vocab_size=size, special_tokens=list(special), show_progress=False)
        )
        if np.mean([len(made.encode(text).ids) for text in texts]) <= tokens:
            break
    return PreTrainedTokenizerFast(
        tokenizer_object=made, unk_token=special[0], pad_token=special[0], bos_token=special[1], eos_token=special[2]
    )


def question(labels: Sequence[str]) -> str:
    """Return the text of a four-option question."""
    lines = "\n".join(f"{letter}. {label}" for letter, label in zip("ABCD", labels, strict=True))
    return (
        f"Which of these birds is shown in the image?\nChoices:\n{lines}\n"
        "Answer with the letter from the given choices directly."
    )


IDEFICS2_8B: Mapping[str, Any] = {
    "vision_config": {
        "hidden_size": 1152,
        "image_size": 980,
        "intermediate_size": 4304,
        "num_attention_heads": 16,
        "num_hidden_layers": 27,
        "patch_size": 14,
    },
    "perceiver_config": {
        "hidden_size": 4096,
        "resampler_n_latents": 64,
        "resampler_depth": 3,
        "resampler_n_heads": 16,
        "resampler_head_dim": 96,
        "num_key_value_heads": 4,
        "rms_norm_eps": 1e-5,
    },
    "text_config": {
        "model_type": "mistral",
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "vocab_size": 32003,
        "max_position_embeddings": 32768,
        "sliding_window": 4096,
        "rms_norm_eps": 1e-5,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
    },
}
IDEFICS2_TINY: Mapping[str, Any] = {
    "vision_config": {
        "hidden_size": 32,
        "image_size": 980,
        "intermediate_size": 64,
        "num_attention_heads": 2,
        "num_hidden_layers": 2,
        "patch_size": 14,
    },
    "perceiver_config": {
        "hidden_size": 64,
        "resampler_n_latents": 64,
        "resampler_depth": 2,
        "resampler_n_heads": 4,
        "resampler_head_dim": 16,
        "num_key_value_heads": 2,
    },
    "text_config": {
        **IDEFICS2_8B["text_config"],
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    },
}


def idefics2(folder: Path, sizes: Mapping[str, Any]) -> Any:
    """Save configuration and processor of an Idefics2."""
    from transformers import Idefics2Config, Idefics2ImageProcessor, Idefics2Processor

    special = ("<unk>", "<s>", "</s>", "<fake_token_around_image>", "<image>", "<end_of_utterance>")
    tokenizer = words(88, special)
    config = Idefics2Config(**sizes, image_token_id=4, eos_token_id=[2, 5])
    images = Idefics2ImageProcessor(size={"longest_edge": 980, "shortest_edge": 378}, do_image_splitting=False)
    Idefics2Processor(images, tokenizer, image_seq_len=64, chat_template=TEMPLATE).save_pretrained(folder)
    config.save_pretrained(folder)
    return config


def llava(folder: Path) -> Any:
    """Save configuration and processor of LLaVA-1.5-7B."""
    from transformers import CLIPImageProcessor, CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaProcessor

    special = ("<unk>", "<s>", "</s>", "<image>")
    tokenizer = words(88, special)
    text = LlamaConfig(vocab_size=32064, max_position_embeddings=4096, pad_token_id=0, bos_token_id=1, eos_token_id=2)
    vision = CLIPVisionConfig(
        hidden_size=1024,
        intermediate_size=4096,
        num_hidden_layers=24,
        num_attention_heads=16,
        image_size=336,
        patch_size=14,
        projection_dim=768,
    )
    config = LlavaConfig(vision_config=vision.to_dict(), text_config=text.to_dict(), image_token_id=3)
    images = CLIPImageProcessor(size={"shortest_edge": 336}, crop_size={"height": 336, "width": 336})
    template = TEMPLATE.replace("<end_of_utterance>", "")
    LlavaProcessor(
        images,
        tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=template,
    ).save_pretrained(folder)
    config.save_pretrained(folder)
    return config


def qwen(folder: Path) -> Any:
    """Save configuration and processor of Qwen2.5-VL-7B."""
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLProcessor, Qwen2VLImageProcessor, Qwen2VLVideoProcessor

    special = (
        "<|endoftext|>",
        "<|im_start|>",
        "<|im_end|>",
        "<|vision_start|>",
        "<|vision_end|>",
        "<|image_pad|>",
        "<|video_pad|>",
    )
    tokenizer = words(88, special)
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in special}
    config = Qwen2_5_VLConfig(
        text_config={
            "hidden_size": 3584,
            "intermediate_size": 18944,
            "num_hidden_layers": 28,
            "num_attention_heads": 28,
            "num_key_value_heads": 4,
            "vocab_size": 152064,
            "max_position_embeddings": 32768,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]},
            "pad_token_id": 0,
            "bos_token_id": 1,
            "eos_token_id": 2,
        },
        vision_config={
            "depth": 32,
            "hidden_size": 1280,
            "intermediate_size": 3420,
            "num_heads": 16,
            "out_hidden_size": 3584,
            "fullatt_block_indexes": [7, 15, 23, 31],
            "window_size": 112,
        },
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
    )
    template = TEMPLATE.replace("<image>", "<|vision_start|><|image_pad|><|vision_end|>").replace(
        "<end_of_utterance>", "<|im_end|>"
    )
    Qwen2_5_VLProcessor(
        Qwen2VLImageProcessor(), tokenizer, Qwen2VLVideoProcessor(), chat_template=template
    ).save_pretrained(folder)
    config.save_pretrained(folder)
    return config


SHAPES = {
    "idefics2-8b": Shape("idefics2", lambda folder: idefics2(folder, IDEFICS2_8B)),
    "idefics2-tiny": Shape("idefics2", lambda folder: idefics2(folder, IDEFICS2_TINY)),
    "llava-1.5-7b": Shape("llava", llava),
    "qwen2.5-vl-7b": Shape("qwen2.5-vl", qwen),
}


def build(config: Any, device: str, dtype: Any) -> Any:
    """Make a model with random weights on a device."""
    import torch
    from transformers import AutoModelForImageTextToText

    torch.manual_seed(0)
    with torch.device(device):
        model = AutoModelForImageTextToText.from_config(config, dtype=dtype, attn_implementation="sdpa")
    return model.to(dtype).eval().requires_grad_(False)


def force(model: Any, letter: int, end: int, length: int) -> None:
    """Make answers letters and the end of text; the real scores are computed all the same.

    A batch's last answers end first, the others after them at even distances, the first one after `length` tokens.
    """

    def choose(_: Any, args: Any, kwargs: Mapping[str, Any], outputs: Any) -> Any:
        cache = kwargs.get("past_key_values")
        if cache is None:
            return outputs  # one prefill that ranks letters: left as it is
        if not hasattr(cache, "began_with"):
            cache.began_with, cache.taken = len(outputs.logits), 0
        going_on = ceil(cache.began_with * (1 - cache.taken / length))
        cache.taken += 1
        outputs.logits[:going_on, -1, letter] = 1e4
        outputs.logits[going_on:, -1, end] = 1e4
        return outputs

    model.register_forward_hook(choose, with_kwargs=True)


def plain_loop(model: Any, processor: Any, paths: Sequence[Path], batch: int, most: int = 1000) -> float:
    """Return images a second of the loop that transformers' examples show."""
    import torch
    from PIL import Image

    def answer(part: Sequence[Path]) -> None:
        images = [[Image.open(path).convert("RGB")] for path in part]
        messages = [
            [
                {
                    "role": "user",
                    "content": [{"type": "image"}, {"type": "text", "text": question(LABELS[i % 196 : i % 196 + 4])}],
                }
            ]
            for i, _ in enumerate(part)
        ]
        texts = [processor.apply_chat_template(message, add_generation_prompt=True) for message in messages]
        inputs = processor(text=texts, images=images, padding=True, return_tensors="pt").to(model.device, model.dtype)
        with torch.inference_mode():
            found = model.generate(**inputs, max_new_tokens=most, do_sample=False)
        processor.batch_decode(found, skip_special_tokens=True)

    answer(paths[:batch])
    start = time.perf_counter()
    for first in range(batch, len(paths), batch):
        answer(paths[first : first + batch])
    return (len(paths) - batch) / (time.perf_counter() - start)


def work(model: Any, processor: Any, paths: Sequence[Path]) -> float:
    """Return the mean floating point operations of one question alone, its letters ranked."""
    import torch
    from PIL import Image
    from torch.utils.flop_counter import FlopCounterMode

    total = 0
    model.set_attn_implementation("eager")  # the counter does not know every fused form of attention
    for index, path in enumerate(paths):
        message = [
            {
                "role": "user",
                "content": [{"type": "image"}, {"type": "text", "text": question(LABELS[index : index + 4])}],
            }
        ]
        text = processor.apply_chat_template(message, add_generation_prompt=True)
        inputs = processor(text=[text], images=[Image.open(path).convert("RGB")], return_tensors="pt")
        inputs = inputs.to(model.device, model.dtype)
        with torch.inference_mode(), FlopCounterMode(display=False) as counter:
            model(**inputs, use_cache=False, logits_to_keep=1)
        total += counter.get_total_flops()
    model.set_attn_implementation("sdpa")
    return total / len(paths)


def ceiling(device: str, seconds: float = 0) -> float:
    """Return the rate of a large bfloat16 product, in operations a second.

    Of 20 in a row; or for so many seconds, after which a GPU that draws all the power it may is clocked lower.
    """
    import torch

    side = 8192 if device == "cuda" else 1024
    left, right = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    for _ in range(3):
        left @ right
    wait(device)
    start, passed, rounds = time.perf_counter(), 0.0, 0
    while not rounds or passed < seconds:
        for _ in range(20):
            left @ right
        wait(device)
        rounds, passed = rounds + 1, time.perf_counter() - start
    return rounds * 20 * 2 * side**3 / passed


def wait(device: str) -> None:
    """Wait for a device."""
    import torch

    if device == "cuda":
        torch.cuda.synchronize()


def joined(spans: Sequence[tuple[float, float]]) -> float:
    """Return how much time spans cover together.

    >>> joined([(0, 2), (5, 6), (1, 3)])
    4
    """
    covered: float = 0
    until = float("-inf")
    for start, end in sorted(spans):
        covered += max(0, end - max(start, until))
        until = max(until, end)
    return covered


@dataclass
class Trace:
    """What a GPU does during some batches in the middle of a run."""

    first: int
    """The batch that it begins with."""
    batches: int = 4
    profiler: Any = None
    began: float = 0.0

    def before(self, batch: int) -> None:
        """Begin or end at a batch."""
        import torch

        if batch == self.first:
            torch.cuda.synchronize()
            self.profiler = torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA])
            self.profiler.__enter__()
            self.began = time.perf_counter()
        if batch == self.first + self.batches and self.profiler is not None:
            torch.cuda.synchronize()
            passed = time.perf_counter() - self.began
            self.profiler.__exit__(None, None, None)
            self.show(passed)

    def show(self, passed: float) -> None:
        """Print the share of the time that the GPU was busy, and the kernels that took most of it."""
        import torch

        kernels = [each for each in self.profiler.key_averages() if each.self_device_time_total > 0]
        kernels.sort(key=lambda each: -each.self_device_time_total)
        busy = sum(each.self_device_time_total for each in kernels) / 1e6
        on_gpu = (each for each in self.profiler.events() if each.device_type == torch.autograd.DeviceType.CUDA)
        covered = joined([(each.time_range.start, each.time_range.end) for each in on_gpu]) / 1e6
        print(
            f"{self.batches} batches in {passed:.2f} s; the GPU did something for {covered:.2f} s of them, "
            f"and its kernels, which run side by side on several streams, took {busy:.2f} s:"
        )
        rows = [
            (f"{each.self_device_time_total / 1e6 / busy:.1%}", each.count, each.key[:110])
            for each in kernels[: 26 if busy else 0]
        ]
        print(tabulate(rows, ["of busy", "times", "kernel"]), flush=True)


def unread(prompt: Prompt) -> Response:
    """Return an answer that nobody thought about."""
    return Response(prompt.question_id, scores=(0.0,) * len(prompt.choices), score_kind=ScoreKind.LOGPROB)


@contextmanager
def watched(make: Callable[[], Any], clock: Clock, trace: Trace | None = None, idle: bool = False) -> Iterator[None]:
    """Let the engine take a model made in memory where it would read 16 GB from a disk, and note its batches.

    With `idle` the model is given its batches and answers at once, without looking at them.
    """
    from fgvr_bench.engines.huggingface import model as engine

    read, respond = engine.load_weights, engine.HuggingFaceModel.respond

    def noted(self: Any, prompts: Any, batch: Any) -> Any:
        if trace is not None:
            trace.before(len(clock.batches))
        found = [unread(prompt) for prompt in prompts] if idle else respond(self, prompts, batch)
        clock.batches.append(time.perf_counter())
        return found

    engine.load_weights = lambda plan: make()
    engine.HuggingFaceModel.respond = noted
    try:
        yield
    finally:
        engine.load_weights, engine.HuggingFaceModel.respond = read, respond


@dataclass
class Bench:
    """One shape, its pictures, and what was measured."""

    shape: Shape
    checkpoint: Path
    pictures: Path
    results: Path
    device: str
    make: Callable[[], Any]
    traced: int = 0
    """The batch from which on some are traced; 0 for none."""
    longest: int = 1
    """Tokens of the longest answer of a batch, its end not counted."""

    def run(
        self,
        name: str,
        decoding: str,
        batch: int | None,
        limit: int | None = None,
        idle: bool = False,
        **args: str,
    ) -> tuple[Clock, float, Path]:
        """Evaluate; return the clock, the seconds before the first answer, and the folder of the run."""
        clock = Clock()
        plugins = host()
        plugins.manager.register(clock)
        start = time.perf_counter()
        try:
            with watched(self.make, clock, Trace(self.traced) if self.traced else None, idle):
                done = evaluate(
                    self.shape.plugin,
                    f"folder:{self.pictures}",
                    options="random",
                    checkpoint=str(self.checkpoint),
                    decoding=decoding,
                    batch_size=batch,
                    limit=limit,
                    full_text=self.longest > 1,
                    max_new_tokens=max(64, self.longest + 1),
                    device=self.device,
                    dtype="bfloat16",
                    results_dir=self.results / name,
                    model_args=args,
                    resume_across=True,
                )
        finally:
            plugins.manager.unregister(clock)
        return clock, (clock.times[0] if clock.times else start) - start, done.results[0].folder


def scores_of(folder: Path) -> dict[str, list[float]]:
    """Return the letters' scores of a run by question."""
    lines = (json.loads(line) for line in (folder / "responses.jsonl").read_text().splitlines())
    return {line["question_id"]: line["scores"] for line in lines if line.get("scores")}


def mean_tokens(folder: Path) -> float:
    """Return how many tokens the answers of a run have on average."""
    lines = (json.loads(line) for line in (folder / "responses.jsonl").read_text().splitlines())
    return float(np.mean([line["tokens"] for line in lines]))


def compare(found: Mapping[str, list[float]], other: Mapping[str, list[float]]) -> tuple[int, int]:
    """Return how many questions two runs share, and how many of these have another best letter."""
    both = found.keys() & other.keys()
    return len(both), sum(int(np.argmax(found[each])) != int(np.argmax(other[each])) for each in both)


def main() -> None:
    """Measure one shape."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--shape", choices=sorted(SHAPES), default="idefics2-8b")
    parser.add_argument("--questions", type=int, default=4096)
    parser.add_argument("--plain", type=int, default=128, help="pictures of the plain loop at batch 4")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--verdicts", action="store_true", help="also compare verdicts between batch sizes")
    parser.add_argument("--resume", action="store_true", help="also interrupt a run and compare its bytes")
    parser.add_argument("--auto", action="store_true", help="also let the batch size be found")
    parser.add_argument("--compile", choices=("auto", "yes", "no"), default="auto")
    parser.add_argument("--decoding", default="logprob,generate", help="which of them")
    parser.add_argument("--answer-tokens", type=int, default=1, help="of the longest answer in a batch of generate")
    parser.add_argument("--attention", choices=("auto", "cudnn"), default="auto", help="whose kernels")
    parser.add_argument("--trace", type=int, default=0, help="print what the GPU does from this batch on")
    given = parser.parse_args()
    import torch
    from transformers import AutoProcessor

    if given.attention == "cudnn":
        torch.backends.cuda.enable_flash_sdp(False)
        torch.backends.cuda.enable_mem_efficient_sdp(False)
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder, "checkpoint")
        checkpoint.mkdir()
        shape = SHAPES[given.shape]
        config = shape.make(checkpoint)
        (checkpoint / "model.safetensors").write_bytes(b"")
        pictures = draw(Path(folder, "pictures"), given.questions)
        paths = sorted(pictures.rglob("*.jpg"))
        np.random.default_rng(0).shuffle(paths)
        processor = AutoProcessor.from_pretrained(checkpoint)
        processor.tokenizer.padding_side = "left"
        letter, end = processor.tokenizer.convert_tokens_to_ids("B"), processor.tokenizer.eos_token_id

        def make() -> Any:
            made = build(config, given.device, torch.bfloat16)
            force(made, letter, end, given.answer_tokens)
            return made

        model = make()
        peak = ceiling(given.device)
        one = work(model, processor, paths[:8])
        rows: list[tuple[Any, ...]] = []
        plain = plain_loop(model, processor, paths[: given.plain], 4)
        other = 1 if given.answer_tokens == 1 else given.batch_size  # a long answer alone is as long as the longest
        beside = plain_loop(model, processor, paths[: given.plain // 4 if other == 1 else given.plain], other)
        print(
            f"{one / 1e12:.3f} TFLOP a question; ceiling {peak / 1e12:.0f} TFLOP/s; plain loop {plain:.1f}/s",
            flush=True,
        )
        rows.append(("plain loop, batch 4", plain, 1.0, plain * one / peak, ""))
        rows.append((f"plain loop, batch {other}", beside, beside / plain, beside * one / peak, ""))
        parameters = sum(each.numel() for each in model.parameters())
        del model
        bench = Bench(
            shape, checkpoint, pictures, Path(folder, "results"), given.device, make, given.trace, given.answer_tokens
        )
        for decoding in given.decoding.split(","):
            clock, first, run = bench.run(decoding, decoding, given.batch_size, compile=given.compile)
            rate = clock.rate(given.batch_size)
            steady = clock.steady(given.batch_size)
            slow = sorted(np.diff(clock.batches))[-4:]
            print(
                f"{decoding}: {rate:.1f}/s, median batch {steady:.1f}/s, slowest batches {np.round(slow, 1)} s",
                flush=True,
            )
            if decoding == "generate":
                tokens = mean_tokens(run)
                print(f"{tokens:.0f} tokens an answer, {tokens * rate:.0f} tokens/s", flush=True)
            name = f"ours, {decoding}, batch {given.batch_size}"
            rows.append((name, rate, rate / plain, rate * one / peak, f"{first:.0f}"))
            if np.isfinite(steady):
                rows.append((f"{name}, median batch", steady, steady / plain, steady * one / peak, ""))
        bench.traced = 0
        before = [used(who) for who in USERS]
        clock, _, _ = bench.run("idle", "logprob", given.batch_size, idle=True, compile="no")
        own, workers = (1e3 * (used(who) - was) / given.questions for who, was in zip(USERS, before, strict=True))
        others = clock.rate(given.batch_size)
        rows.append(("ours with a model that answers at once", others, others / plain, "", ""))
        print(
            f"without the model's work: {others:.0f}/s; of processor time workers took {workers:.2f} ms a question, "
            f"the main process {own:.2f}, loading the model included"
        )
        if given.device == "cuda":
            hot = ceiling(given.device, 5)
            print(f"the ceiling's product for 5 s on end: {hot / 1e12:.0f} TFLOP/s, {hot / peak:.0%} of 20 in a row")
        print(f"{given.shape}: {parameters / 1e9:.2f} G parameters, {given.questions:,} questions")
        print(
            f"{one / 1e12:.3f} TFLOP a question alone; ceiling {peak / 1e12:.0f} TFLOP/s: {peak / one:.0f} questions/s"
        )
        print(f"{describe(given.device)}\n")
        headers = ["what", "questions/s", "× plain", "share of ceiling", "seconds to first answer"]
        print(tabulate(rows, headers, floatfmt=(".0f", ".1f", ".2f", ".1%")), flush=True)
        if given.resume:
            bench.run("cut", "logprob", given.batch_size, limit=given.questions // 3, compile=given.compile)
            _, _, cut = bench.run("cut", "logprob", given.batch_size, compile=given.compile)
            logprob = next((bench.results / "logprob").rglob("responses.jsonl"))
            print(
                "\nbytes of an interrupted run:",
                "the same" if (cut / "responses.jsonl").read_bytes() == logprob.read_bytes() else "DIFFERENT",
            )
        if given.auto:
            _, _, found = bench.run("auto", "logprob", None, compile=given.compile)
            print(f"\n--batch-size auto: {json.loads((found / 'run.json').read_text())['batch_size']}")
        if given.verdicts:
            verdicts(bench, pictures, given.compile)


def verdicts(bench: Bench, pictures: Path, compiled: str) -> None:
    """Print how often the best letter differs between batch sizes; random weights are the worst case for it."""
    sizes, limit = (1, 8, 32, 64), 384
    few = Path(pictures).parent / "few"
    (few / "test").mkdir(parents=True)
    for index, path in enumerate(sorted(pictures.rglob("*.jpg"))[:limit]):
        of_class = few / "test" / path.parent.name
        of_class.mkdir(exist_ok=True)
        path.rename(of_class / f"{index:06}.jpg")
    bench.pictures = few
    found = {}
    for size in sizes:
        _, _, folder = bench.run(f"verdicts-{size}", "logprob", size, compile=compiled)
        found[size] = scores_of(folder)
    rows = []
    for size in sizes[1:]:
        asked, different = compare(found[size], found[1])
        largest = max(
            float(np.abs(np.subtract(found[size][each], found[1][each])).max())
            for each in found[size].keys() & found[1].keys()
        )
        rows.append((size, asked, different, different / asked, largest))
    margins = [np.sort(each)[-1] - np.sort(each)[-2] for each in found[1].values()]
    print(f"\nverdicts against batch 1 (median margin of the best letter {np.median(margins):.3f} nats):")
    print(
        tabulate(
            rows, ["batch size", "questions", "other verdict", "share", "largest difference of a score"], floatfmt=".4f"
        )
    )


USERS = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
"""This process, and those that it has waited for."""


def used(who: int) -> float:
    """Return the processor seconds of one of `USERS` so far."""
    spent = resource.getrusage(who)
    return spent.ru_utime + spent.ru_stime


def describe(device: str) -> str:
    """Name the device and the versions."""
    import torch
    import transformers

    name = torch.cuda.get_device_name() if device == "cuda" else "processor"
    return f"{name}, torch {torch.__version__}, transformers {transformers.__version__}, {cores()} cores"


if __name__ == "__main__":
    main()
