"""Everything that is not the model: questions a second, and memory, with a model that answers at once.

No image is read.  The rate is that of the steady state: asking, parsing, scoring, writing, syncing, the event
`answer_scored` and the final ordering of responses; start-up (imports, listing the dataset, mining random
options) is excluded and printed beside it.

    python benchmarks/harness_rate.py --questions 100000
    python benchmarks/harness_rate.py --questions 100000 --num-processes 8
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fgvr_bench import hookimpl, metrics, protocols
from fgvr_bench.core.assembly import Assembly
from fgvr_bench.core.assisting import Assistant
from fgvr_bench.core.host import Host
from fgvr_bench.core.questions import QuestionBook
from fgvr_bench.core.ranked import Shared
from fgvr_bench.core.ranks import Place, Ranks, open_store
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
        self.begun = self.used = 0.0

    def started(self, run: RunInfo, target: int) -> None:
        self.begun, self.used = time.perf_counter(), time.process_time()


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
    return Assembly("at-once", "rate-200", AtOncePlugin(), decoding, dataset, book, settings, inputs, dict(versions))


class RateAssistant(Assistant):
    """A rank that puts the run together without the steps that depend on images."""

    def __init__(self, ranks: Ranks, count: int, folder: Path) -> None:
        super().__init__(ranks, own_host(), [], [], RunSettings())
        self._count, self._folder = count, folder
        self.began = time.process_time()

    def _prepare(self, model: int, dataset: int, mark: str) -> dict[str, Any]:
        made = self._assembly = assemble(self.plugins, self._count, self._folder)
        return {"inputs": made.inputs, "versions": made.versions, "free": 1 << 40, "sees": Path(mark).exists()}

    def _ask(self, **order: Any) -> dict[str, Any]:
        self.began = time.process_time()
        said = super()._ask(**order)
        (self._folder / f"rank-{self.ranks.place.rank}.seconds").write_text(str(time.process_time() - self.began))
        return said


def assist(port: int, place: Place, count: int, folder: Path) -> None:
    """Be one of the ranks."""
    RateAssistant(Ranks(place, lambda: open_store("127.0.0.1", port, holds=False)), count, folder).serve()


@contextmanager
def shared(processes: int, count: int, folder: Path) -> Iterator[Shared | None]:
    """Yield the ranks to share a run with; None for one process."""
    if processes == 1:
        yield None
        return
    store = open_store("127.0.0.1", 0, holds=True)
    places = [Place(rank, processes, rank, processes) for rank in range(1, processes)]
    context = multiprocessing.get_context("spawn")
    children = [context.Process(target=assist, args=(store.port, place, count, folder)) for place in places]
    for child in children:
        child.start()
    ranks = Ranks(Place(0, processes), lambda: store)
    ranks.join()
    yield Shared(ranks, 0, 0)
    ranks.send_home()
    for child in children:
        child.join()


def own_host() -> Host:
    """Return plugins without any model or dataset."""
    host = Host()
    host.add(protocols, "protocols")
    host.add(metrics, "metrics")
    return host


def measure(count: int, processes: int) -> Iterator[str]:
    """Run once and tell what it took."""
    folder = Path(tempfile.mkdtemp(dir=HERE))
    try:
        host = own_host()
        listener, watch = Listener(), Stopwatch()
        host.manager.register(listener)
        with shared(processes, count, folder) as others:
            start = time.perf_counter()
            result = execute(host, assemble(host, count, folder), watch, None, others)
            end = time.perf_counter()
            used = time.process_time() - watch.used
        used += sum(float(path.read_text()) for path in folder.glob("*.seconds"))
        assert listener.heard == result.questions == count
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 if sys.platform == "darwin" else 1024)
        yield f"questions        {count:,}"
        yield f"steady state     {count / (end - watch.begun):,.0f} questions/s"
        yield f"processor time   {1e6 * used / count:.1f} µs a question, over {processes} processes"
        yield f"start-up         {watch.begun - start:.2f} s"
        yield f"peak memory      {peak:,.0f} MiB"
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=100_000)
    parser.add_argument("--num-processes", type=int, default=1, help="ranks that share the run")
    given = parser.parse_args()
    for line in measure(given.questions, given.num_processes):
        print(line)
