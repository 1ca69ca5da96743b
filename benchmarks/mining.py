"""Mining of CLIP options: a plain float32 loop, this package, the limit, and whether the sets are the same.

    python benchmarks/mining.py speed --arch ViT-L-14 --images 35566 --train-steps 300      # one GPU
    python benchmarks/mining.py speed --arch tiny --images 600                              # two CPU cores
    python benchmarks/mining.py memory --images 500000 --labels 1000

``speed`` draws JPEGs of 500 pixels, saves a model of the given shape with random weights (trained for a few steps on
such pictures where asked, so that similarities spread as those of real weights do), and runs, on one device:

* the plain loop: images in order through torch's data loader with as many workers as ours has, float32, similarities
  of each batch, an argsort an image;
* ours from nothing, ours again with another k and, with ``--exact``, ours with every image in float32;
* the limits: the model alone on batches that are ready, and reading and preprocessing alone, with what each step of it
  costs a core and this process.

``memory`` mines from synthetic embeddings and prints the peak of resident memory.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tabulate import tabulate

from fgvr_bench.core.ahead import cores
from fgvr_bench.core.files import write_json
from fgvr_bench.core.images import decode_image
from fgvr_bench.core.options import OptionSet, find_or_build
from fgvr_bench.engines import torchvision_ops
from fgvr_bench.engines.open_clip import LoadedClip, load_open_clip
from fgvr_bench.engines.preprocessing import OnDevice, OnHost, Preprocessing
from fgvr_bench.engines.resizing import Framing
from fgvr_bench.engines.split_float import SPLIT_FLOAT
from fgvr_bench.engines.torchvision_ops import Carried
from fgvr_bench.interfaces import Dataset, DatasetCard, MiningSettings
from fgvr_bench.miners.embeddings import store_path
from fgvr_bench.miners.encoder import Encoder
from fgvr_bench.miners.parts import PART
from fgvr_bench.miners.reading import read_images
from fgvr_bench.types import Example, FileImage

if TYPE_CHECKING:
    import torch

LABELS = tuple(f"{first} {second}" for first in ("pale", "dark", "red", "grey", "green") for second in range(40))
TINY = {
    "embed_dim": 64,
    "vision_cfg": {"image_size": 64, "layers": 4, "width": 128, "head_width": 32, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2},
}


class Drawn(Dataset):
    """JPEG files of a folder, or examples without any image."""

    card = DatasetCard("drawn", "Drawn pictures", "pictures", None)

    def __init__(self, examples: Sequence[Example], labels: Sequence[str]) -> None:
        self.root, self._examples, self._labels = None, examples, labels

    def labels(self) -> Sequence[str]:
        """Return the labels."""
        return self._labels

    def examples(self, split: str = "test") -> Sequence[Example]:
        """Return the examples."""
        return self._examples

    def source_digest(self, split: str) -> str:
        """Vouch for the images: they were drawn a moment ago."""
        return f"drawn {len(self._examples)}"


@dataclass(frozen=True)
class Numbered(Sequence[Example]):
    """Examples that are made when they are looked at."""

    length: int
    labels: Sequence[str]

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(self.length))]
        if not 0 <= index < self.length:
            raise IndexError(index)
        label = self.labels[index % len(self.labels)]
        return Example(f"drawn/test/{index:08}", FileImage("/nowhere"), label, "test")


def draw(folder: Path, count: int, side: int = 500) -> Drawn:
    """Draw JPEGs whose colour and stripes follow from their class, under noise."""
    folder.mkdir(parents=True)
    paths = [folder / f"{index:08}.jpg" for index in range(count)]
    with ProcessPoolExecutor(cores()) as pool:
        list(pool.map(draw_one, paths, range(count), [side] * count, chunksize=100))
    return Drawn(
        [
            Example(f"drawn/test/{path.name}", FileImage(str(path)), LABELS[index % len(LABELS)], "test")
            for index, path in enumerate(paths)
        ],
        LABELS,
    )


def draw_one(path: Path, index: int, side: int) -> None:
    """Draw one picture."""
    from PIL import Image

    kind, own = np.random.default_rng(index % len(LABELS)), np.random.default_rng([1, index])
    coarse = kind.integers(0, 180, (6, 8, 3)) + own.integers(0, 60, (6, 8, 3))
    image = Image.fromarray(coarse.astype(np.uint8)).resize((side, side * 3 // 4), Image.Resampling.BICUBIC)
    noisy = np.asarray(image) + own.normal(0, 8, (side * 3 // 4, side, 1))
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(path, quality=90)


def save_model(folder: Path, arch: str, dataset: Drawn, steps: int, device: str) -> Path:
    """Save a model of the shape `arch`, trained for `steps` contrastive steps on the first images."""
    torchvision_ops.ensure()
    import open_clip
    from safetensors.torch import save_file

    save_shape(folder, TINY if arch == "tiny" else open_clip.get_model_config(arch))
    if steps:
        loaded = load_open_clip(str(folder), device)
        train(loaded, dataset, steps)
        save_file({name: each.cpu() for name, each in loaded.model.state_dict().items()}, folder / "new.safetensors")
        (folder / "new.safetensors").replace(folder / "open_clip_model.safetensors")
    return folder


def train(loaded: LoadedClip, dataset: Drawn, steps: int, batch: int = 64) -> None:
    """Teach a model which label goes with which picture, a little."""
    import torch

    model = loaded.model.train().requires_grad_(True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4 if loaded.device == "cpu" else 1e-4)
    examples = dataset.examples()
    order = [index % len(examples) for index in range(steps * batch)]
    for images in read_images(examples, order, batch, OnHost(loaded.preprocess), None):
        texts = loaded.tokenizer([f"an image of a {examples[index].label}" for index in images.indices])
        with torch.autocast(loaded.device, torch.bfloat16, enabled=loaded.device != "cpu"):
            seen = model.encode_image(images.pixels.to(loaded.device), normalize=True).float()
            said = model.encode_text(texts.to(loaded.device), normalize=True).float()
        logits = model.logit_scale.exp() * seen @ said.T
        target = torch.arange(len(logits), device=logits.device)
        loss = torch.nn.functional.cross_entropy(logits, target) + torch.nn.functional.cross_entropy(logits.T, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval().requires_grad_(False)


@dataclass
class Preprocessed:
    """Images as torch's data loader takes them."""

    examples: Sequence[Example]
    preprocess: Carried

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> Any:
        return index, self.preprocess.value(decode_image(self.examples[index].image.read()))


def plain_loop(loaded: LoadedClip, dataset: Drawn, batch: int, k: int) -> dict[str, list[str]]:
    """Mine as the rule says, in float32, an argsort an image."""
    from torch.utils.data import DataLoader

    texts = loaded.encode_texts([f"an image of a {label}" for label in LABELS])
    examples, found = dataset.examples(), {}
    images: Any = Preprocessed(examples, Carried(loaded.preprocess))
    workers, on_gpu = min(16, cores()), loaded.device != "cpu"
    for indices, pixels in DataLoader(images, batch, num_workers=workers, pin_memory=on_gpu):
        scores = (loaded.encode_images(pixels) @ texts.T).cpu().numpy()
        for index, row in zip(indices.tolist(), scores, strict=True):
            ranking = np.argsort(row)[::-1]
            truth = examples[index].label
            others = [LABELS[each] for each in ranking if LABELS[each] != truth][: k - 1]
            found[examples[index].example_id] = [truth, *reversed(others)]
    return found


@dataclass
class Phases:
    """When a mining began, embedded its first images, and its last."""

    began: float = math.nan
    first: float = math.nan
    last: float = math.nan
    images: int = 0
    worked: float = math.nan
    """CPU seconds of this process between the first images and the last, `images` later."""

    @contextmanager
    def watch(self, _: str, __: int | None) -> Iterator[Callable[[int], None]]:
        """Be the progress of one mining."""
        self.began, self.first, self.images = time.perf_counter(), math.nan, 0
        at_first = math.nan

        def advance(images: int) -> None:
            nonlocal at_first
            self.last = time.perf_counter()
            if images and math.isnan(self.first):
                self.first, at_first = self.last, time.process_time()
            elif images:
                self.images += images
                self.worked = time.process_time() - at_first

        yield advance

    def of(self, seconds: float) -> str:
        """Return where the time went."""
        passed, rest = self.last - self.first, seconds - (self.last - self.began)
        each = 1000 * self.worked / max(1, self.images)
        return (
            f"   {self.first - self.began:.1f} s until the first batch is embedded, {passed:.1f} s for the others with "
            f"the samples of the margins\n   ({self.images / passed:.0f} images/s; {each:.2f} ms of CPU an image in "
            f"this process), {rest:.1f} s for what is in doubt and for writing the set"
        )


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Return the seconds that some work took, and what it returned."""
    start = time.perf_counter()
    done = work()
    return time.perf_counter() - start, done


def pace(work: Callable[[], Any], batch: int, seconds: float) -> float:
    """Return images a second of some work on a batch, done once before and then again and again for so long."""
    work()
    done, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        work()
        done += batch
    return done / (time.perf_counter() - start)


def model_alone(loaded: LoadedClip, batch: int, seconds: float = 5.0) -> float:
    """Return images a second of the model on a batch that is there."""
    import torch

    side = loaded.model.visual.image_size
    pixels = torch.randn(batch, 3, *(side if isinstance(side, tuple) else (side, side)), device=loaded.device)
    return pace(lambda: loaded.encode_images(pixels).cpu(), batch, seconds)


def resizing_alone(preprocessing: OnDevice, example: Example, batch: int, seconds: float = 3.0) -> float:
    """Return images a second of a GPU that resizes images that are there."""
    import torch

    decoded = torch.from_numpy(np.array(decode_image(example.image.read())))
    there = [preprocessing.take(decoded.reshape(-1)).view(decoded.shape)] * batch
    return pace(lambda: preprocessing.join(there).cpu(), batch, seconds)


class AsDecoded(OnDevice):
    """Reads for a GPU that resizes, without one: pixels arrive, and nothing becomes of them."""

    def __init__(self, loaded: LoadedClip) -> None:
        read: Any = loaded.read
        super().__init__(read, Framing.of(read.transforms[:-1]), "cpu")
        self._arrived = np.empty(PART * self.bytes_each, np.uint8)

    def take(self, data: torch.Tensor) -> torch.Tensor:
        """Copy it to where the last ones were."""
        self._arrived[: len(data)] = data.numpy()
        return data

    def join(self, images: Sequence[torch.Tensor]) -> torch.Tensor:
        """Forget them."""
        return images[0]


def reading_alone(
    preprocessing: Preprocessing, examples: Sequence[Example], batch: int, on_gpu: bool
) -> tuple[float, float, float]:
    """Return images a second of reading from beginning to end, the same after the first batch, and CPU ms an image."""
    import torch

    start, worked = time.perf_counter(), time.process_time()
    first = math.nan
    for images in read_images(examples, range(len(examples)), batch, preprocessing, None):
        if images.number == 0:
            first = time.perf_counter()
    if on_gpu:
        torch.cuda.synchronize()
    end, worked = time.perf_counter(), time.process_time() - worked
    rest = max(1, len(examples) - batch)
    return len(examples) / (end - start), rest / (end - first), 1000 * worked / len(examples)


def stages(loaded: LoadedClip, examples: Sequence[Example]) -> list[tuple[str, float, float]]:
    """Return what each step of reading costs: its name, ms of a core an image, and images a second on all cores."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    cpu = time.thread_time

    def each(name: str, step: Callable[[Any], Any], given: Sequence[Any]) -> list[Any]:
        start = cpu()
        made = [step(one) for one in given]
        spent = (cpu() - start) / len(given)
        rows.append((name, 1000 * spent, cores() / spent))
        return made

    rows: list[tuple[str, float, float]] = []
    data = each("read the file", lambda example: example.image.read(), examples)
    pictures = each("decode it", decode_image, data)
    each("resize and crop it", loaded.read, pictures)
    each("or copy it, for a GPU to resize", lambda picture: torch.from_numpy(np.array(picture)), pictures)
    torch.set_num_threads(threads)
    for name, places in (("everything, the CPU resizes", (0, 1, 2)), ("everything, a GPU resizes", (0, 1, 3))):
        milliseconds = sum(rows[place][1] for place in places)
        rows.append((name, milliseconds, 1000 * cores() / milliseconds))
    return rows


def equal_pixels(loaded: LoadedClip, examples: Sequence[Example]) -> int:
    """Count the images whose pixels, from workers and device, are those of open_clip's own transform."""
    equal = 0
    for images in read_images(examples, range(len(examples)), 32, loaded.preprocessing, 2):
        for index, pixels in zip(images.readable, images.pixels if images.pixels is not None else [], strict=True):
            equal += bool((pixels.cpu() == loaded.read(decode_image(examples[index].image.read()))).all())
    return equal


def speed(given: argparse.Namespace) -> None:
    """Print rates and whether sets agree."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["FGVR_CACHE"] = str(Path(folder, "cache"))
        dataset = draw(Path(folder, "images"), given.images)
        print(f"{given.images:,} pictures drawn", flush=True)
        model = str(save_model(Path(folder, "model"), given.arch, dataset, given.train_steps, given.device))
        load_seconds, loaded = timed(lambda: load_open_clip(model, given.device))
        batch = given.batch_size or (32 if loaded.device == "cpu" else 256)
        count = len(dataset.examples())

        phases = Phases()

        def mine(k: int = 4, **args: str) -> OptionSet:
            settings = MiningSettings(k, 0, given.device, batch, None, {"model": model, **args})
            return find_or_build(dataset, "test", "clip", settings, progress=phases.watch)

        def agreement(made: OptionSet) -> str:
            rows = made.for_examples(looped)
            same = sum(list(row.choices) == expected[row.example_id] for row in rows)
            return f"{same:,} of {len(looped):,}"

        print("model ready", flush=True)
        model_alone(loaded, batch, 1.0)
        looped = dataset.examples()[: given.plain or count]
        plain_seconds, expected = timed(lambda: plain_loop(loaded, Drawn(looped, LABELS), batch, 4))
        plain_rate = len(looped) / plain_seconds
        print(f"plain loop: {plain_rate:.0f} images/s", flush=True)
        ours_seconds, ours = timed(mine)
        print(f"ours: {count / ours_seconds:.0f} images/s, sets as the plain loop's: {agreement(ours)}", flush=True)
        print(phases.of(ours_seconds), flush=True)
        print(f"first pass: {json.dumps(ours.header.get('found', {}).get('fast_pass'))}", flush=True)
        again_seconds, _ = timed(lambda: mine(6))
        os.environ["FGVR_CACHE"] = str(Path(folder, "cache-exact"))
        exact_seconds, exact = timed(lambda: mine(precision="exact")) if given.exact else (math.nan, None)
        passes = ["float32"] if loaded.device == "cpu" else ["float16", SPLIT_FLOAT, "float32"]
        limits = {f"model alone, {dtype}": model_alone(loaded.in_precision(dtype), batch) for dtype in passes}
        examples = dataset.examples()
        if isinstance(loaded.preprocessing, OnDevice):
            limits["resizing on the GPU"] = resizing_alone(loaded.preprocessing, examples[0], batch)
        read = {
            "reading": reading_alone(loaded.preprocessing, examples, batch, loaded.device != "cpu"),
            "reading for a GPU that resizes, without it": reading_alone(AsDecoded(loaded), examples, batch, False),
        }
        steps = stages(loaded, examples[:256])
        equal = f"{equal_pixels(loaded, examples[:1024]):,} of {len(examples[:1024]):,}"
    lines = [
        ("plain float32 loop", plain_rate, 1.0, ""),
        ("ours, from nothing", count / ours_seconds, count / ours_seconds / plain_rate, agreement(ours)),
        *(
            [
                (
                    "ours, every image in float32",
                    count / exact_seconds,
                    count / exact_seconds / plain_rate,
                    agreement(exact),
                )
            ]
            if exact
            else []
        ),
        ("ours, another k", count / again_seconds, count / again_seconds / plain_rate, ""),
        *((f"limit: {name}", limit, limit / plain_rate, "") for name, limit in limits.items()),
        *((f"limit: {name}", rate, rate / plain_rate, "") for name, (rate, _, _) in read.items()),
        *(
            (f"limit: {name}, after the first batch", rate, rate / plain_rate, "")
            for name, (_, rate, _) in read.items()
        ),
    ]
    print(f"{given.arch}, {given.train_steps} training steps, {count:,} JPEGs of 500 pixels, batch {batch}, on")
    print(f"{loaded.device} with {cores()} cores; times of ours include writing the set and loading the model,")
    print(f"which takes {load_seconds:.1f} s; that of the plain loop does not\n")
    print(tabulate(lines, ["what", "images/s", "× plain", "same sets as plain"], floatfmt=(".0f", ".0f", ".2f")))
    print("\nCPU ms an image in this process: " + ", ".join(f"{name} {cpu:.2f}" for name, (_, _, cpu) in read.items()))
    print("In a worker:\n")
    print(tabulate(steps, ["step", "ms of a core", f"images/s of {cores()} cores"], floatfmt=(".0f", ".2f", ".0f")))
    print(f"\npixels equal to those of open_clip's transform: {equal}")


def memory(given: argparse.Namespace) -> None:
    """Mine from synthetic embeddings; print time and peak memory."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["FGVR_CACHE"] = str(Path(folder, "cache"))
        labels = [f"label number {number}" for number in range(given.labels)]
        dataset = Drawn(Numbered(given.images, labels), labels)
        config = {**TINY, "embed_dim": given.dimensions}
        model = str(save_shape(Path(folder, "model"), config))
        settings = MiningSettings(device="cpu", args={"model": model}, dataset_digest="0" * 64)
        path = store_path(dataset, dataset.examples(), Encoder(model, "cpu"), settings)
        path.parent.mkdir(parents=True)
        generator = np.random.default_rng(0)
        with path.open("wb") as file:
            for start in range(0, given.images, 4096):
                rows = generator.standard_normal((min(4096, given.images - start), given.dimensions), np.float32)
                file.write((rows / np.linalg.norm(rows, axis=1, keepdims=True)).tobytes())
        notes = {"dimensions": given.dimensions, "unreadable": {}, "complete": True}
        write_json(path.with_suffix(".json"), notes)
        before = peak()
        seconds, made = timed(
            lambda: find_or_build(dataset, "test", "clip", settings, dataset_digest=settings.dataset_digest)
        )
        print(f"{len(made):,} images × {given.labels:,} labels, {given.dimensions} dimensions: {seconds:.0f} s")
        print(f"peak resident memory {peak():.0f} MB ({before:.0f} MB of it before mining began)")
        print(f"file of embeddings {path.stat().st_size / 1e6:,.0f} MB, set {made.path.stat().st_size / 1e6:,.0f} MB")


def save_shape(folder: Path, config: dict[str, Any]) -> Path:
    """Save a model of a given configuration with random weights."""
    torchvision_ops.ensure()
    import torch
    from open_clip.model import CLIP
    from safetensors.torch import save_file

    torch.manual_seed(0)
    folder.mkdir()
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {}}))
    save_file(CLIP(**config).state_dict(), folder / "open_clip_model.safetensors")
    return folder


def peak() -> float:
    """Return the most memory that this process has held, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)


def main() -> None:
    """Run one of the two benchmarks."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command line sets it, before torch is imported
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(required=True)
    fast = commands.add_parser("speed")
    fast.add_argument("--arch", default="tiny", help="an architecture of open_clip, or tiny")
    fast.add_argument("--images", type=int, default=600)
    fast.add_argument("--train-steps", type=int, default=0)
    fast.add_argument("--batch-size", type=int)
    fast.add_argument("--device", default="auto")
    fast.add_argument("--plain", type=int, help="pictures that the plain loop mines; all, unless given")
    fast.add_argument("--exact", action="store_true", help="also mine with every image in float32")
    fast.set_defaults(run=speed)
    big = commands.add_parser("memory")
    big.add_argument("--images", type=int, default=500_000)
    big.add_argument("--labels", type=int, default=1000)
    big.add_argument("--dimensions", type=int, default=768)
    big.set_defaults(run=memory)
    given = parser.parse_args()
    given.run(given)


if __name__ == "__main__":
    main()
