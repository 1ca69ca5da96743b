"""Everything that is not the model: questions a second, and memory, with a model that answers at once.

No image is read.  The rate is that of the steady state: asking, parsing, scoring, writing, syncing, the event
`answer_scored` and the final ordering of responses; start-up (imports, listing the dataset, mining random
options) is excluded and printed beside it.

    python benchmarks/harness_rate.py --questions 100000
"""

from __future__ import annotations

import argparse
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fgvr_bench import hookimpl, metrics, protocols
from fgvr_bench.core.assembly import Assembly
from fgvr_bench.core.host import Host
from fgvr_bench.core.questions import QuestionBook
from fgvr_bench.core.runner import execute
from fgvr_bench.core.settings import RunSettings
from fgvr_bench.core.versions import library_versions
from fgvr_bench.core.watching import Watcher
from fgvr_bench.interfaces import (
    AskContext,
    Dataset,
    DatasetCard,
    Decoding,
    Model,
    ModelCard,
    ModelPlugin,
    ModelSettings,
    RunInfo,
)
from fgvr_bench.types import Answer, Example, Options, Prompt, Question, Response, Stop

LABELS = tuple(f"Species_number_{number:03}" for number in range(200))
HERE = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class NoPicture:
    """Never read."""

    def read(self) -> bytes:
        raise OSError("this benchmark reads no image")


class Listing(Sequence[Example]):
    """Examples made when indexed, so that what is measured is the harness's own memory."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: Any) -> Any:
        if not 0 <= index < self._count:
            raise IndexError(index)
        return Example(f"rate-200/test/{index:08}.jpg", NoPicture(), LABELS[index % 200], "test")


class Choices(Sequence[Options]):
    """Options made when indexed."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: Any) -> Any:
        return Options(f"rate-200/test/{index:08}.jpg", tuple(LABELS[(index + step) % 200] for step in (0, 7, 23, 101)))


class Rate(Dataset):
    """A dataset of any size."""

    root = None
    card = DatasetCard("rate-200", "Rate", "birds", 200, in_all=False)

    def __init__(self, count: int) -> None:
        self._listing = Listing(count)

    def labels(self) -> Sequence[str]:
        return LABELS

    def examples(self, split: str = "test") -> Sequence[Example]:
        return self._listing


class AtOnce(Model):
    """Answers A."""

    batch_size = 256
    needs_images = False

    def respond(self, prompts: Sequence[Prompt], batch: Any) -> Sequence[Response]:
        return [Response(prompt.question_id, "A", stop=Stop.EOS, tokens=1) for prompt in prompts]


class AtOncePlugin(ModelPlugin):
    """Declares it."""

    card = ModelCard("at-once", "Answers at once", decodings=("generate",))

    def load(self, settings: ModelSettings) -> Model:
        return AtOnce()


class Listener:
    """Counts the events, as a plugin would."""

    def __init__(self) -> None:
        self.heard = 0

    @hookimpl
    def answer_scored(self, question: Question, response: Response, answer: Answer) -> None:
        self.heard += 1


class Stopwatch(Watcher):
    """Notes when the first question is asked."""

    def __init__(self) -> None:
        self.begun = 0.0

    def started(self, run: RunInfo, target: int) -> None:
        self.begun = time.perf_counter()


def assemble(host: Host, count: int, folder: Path) -> Assembly:
    """Put a run together without the steps that depend on images."""
    dataset = Rate(count)
    task = next(iter(host.protocols["fgvr-1"].tasks.values()))
    book = QuestionBook(task, AskContext("birds", LABELS), dataset.examples(), Choices(count))
    settings = RunSettings(results_dir=folder)
    inputs: dict[str, Any] = {
        "dataset": {"name": "rate-200", "split": "test", "digest": str(count)},
        "protocol": "fgvr-1",
        "task": task.name,
    }
    decoding = ModelSettings(decoding=Decoding("generate", settled=task.settled))
    versions: Mapping[str, str] = library_versions()
    return Assembly(
        "at-once", "rate-200", AtOncePlugin(), decoding, dataset, book, settings, inputs, dict(versions), ("", "")
    )


def measure(count: int) -> Iterator[str]:
    """Run once and tell what it took."""
    folder = Path(tempfile.mkdtemp(dir=HERE))
    try:
        host = Host()
        host.add(protocols, "protocols")
        host.add(metrics, "metrics")
        listener, watch = Listener(), Stopwatch()
        host.manager.register(listener)
        start = time.perf_counter()
        result = execute(host, assemble(host, count, folder), watch)
        end = time.perf_counter()
        assert listener.heard == result.questions == count
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 if sys.platform == "darwin" else 1024)
        yield f"questions        {count:,}"
        yield f"steady state     {count / (end - watch.begun):,.0f} questions/s"
        yield f"start-up         {watch.begun - start:.2f} s"
        yield f"peak memory      {peak:,.0f} MiB"
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=100_000)
    for line in measure(parser.parse_args().questions):
        print(line)
