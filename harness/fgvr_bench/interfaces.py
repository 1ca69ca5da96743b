"""What a plugin provides: models, datasets, protocols, metrics and option miners.

A plugin is a declaration: a card that says what a thing is, and one or two methods.  Everything here is
importable without torch; a plugin imports its backend inside the method that needs it.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from fgvr_bench.types import (
    Answer,
    Example,
    Json,
    Options,
    Prompt,
    Question,
    Reading,
    Response,
)

if TYPE_CHECKING:
    from concurrent.futures import Future

    from PIL.Image import Image

# --- datasets -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Download:
    """A file that ``datasets fetch`` gets from a dataset's official page."""

    url: str
    checksum: str | None
    """``md5:...`` or ``sha256:...`` as published; None where nobody published one."""
    size: int
    """Bytes, for the check of free space; about right is enough."""
    into: str = ""
    """Folder below the dataset's own that it is unpacked or put into."""
    unpack: bool = True
    """Whether it is an archive (.tar, .tar.gz, .tgz, .zip)."""


@dataclass(frozen=True, slots=True)
class PublishedOptions:
    """An option set that others published: a JSON file of labels, images and options, truth first."""

    url: str
    sha256: str
    split: str = "test"
    k: int = 4
    model: str = ""
    """CLIP model that it was mined with, in open_clip's words."""
    weights: str = ""
    """Weights of that model."""


@dataclass(frozen=True, slots=True)
class DatasetCard:
    """What a dataset is, known without its files."""

    name: str
    """The key users type, for example ``bird-200``."""
    title: str
    """The name its authors gave it."""
    noun: str
    """Plural noun of the question: ``Which of these {noun} is shown in the image?``."""
    classes: int | None
    """Number of classes; None where only the files tell (``folder:``)."""
    images: Mapping[str, int] = field(default_factory=dict)
    """Number of images of each split, as published."""
    licence: str = "unknown"
    citation: str = ""
    homepage: str = ""
    """Page to download from."""
    aliases: tuple[str, ...] = ()
    options: str = "clip"
    """The option set that a run takes by default: ``published`` or the name of a miner."""
    in_all: bool = True
    """Whether ``--dataset all`` includes it."""
    downloads: tuple[Download, ...] = ()
    """Where its files can be had without a person doing anything."""
    by_hand: str = ""
    """What a person has to do to get it, where no direct download exists."""
    published: PublishedOptions | None = None
    """The option set behind ``options="published"``."""


class Dataset(ABC):
    """A dataset whose files are there.  Opening one reads annotations, never images."""

    card: DatasetCard
    root: Path | None
    """Folder that it was found in; None for a dataset that makes its own images."""

    @abstractmethod
    def labels(self) -> Sequence[str]:
        """Return all class names, in the published order, spelt as published."""

    @abstractmethod
    def examples(self, split: str = "test") -> Sequence[Example]:
        """Return the examples of a split, sorted by ``example_id``.

        May be lazy (built when indexed): the harness indexes, never copies.

        Raises:
            UsageError: there is no such split.
        """

    def display(self, label: str) -> str:
        """Return the label as a page shows it (models are always asked with the published spelling)."""
        return label.replace("_", " ")

    def description(self, label: str) -> str | None:
        """Return what tells this class from its siblings, in words, where the dataset knows."""
        return None

    def taxonomy(self, label: str) -> tuple[str, ...]:
        """Return the ranks above the class, coarse to fine, for example ``("Wainscot",)``; empty if unknown."""
        return ()

    def source_digest(self, split: str) -> str | None:
        """Return a digest that changes whenever an image or label of the split does, or None.

        Only for a dataset that can vouch for its images without reading them (one that draws them, with the
        pixels pinned by a test).  None lets the harness read and hash every image, once, and cache it.
        """
        return None


class DatasetPlugin(ABC):
    """How a dataset is declared."""

    card: DatasetCard

    @abstractmethod
    def open(self, roots: Sequence[Path], argument: str | None = None) -> Dataset:
        """Find the dataset below one of `roots` and return it.

        ``argument`` is what follows the colon of a name such as ``folder:PATH``.

        Raises:
            DataNotFound: says for each root where it looked, and what to type.
            DataInvalid: files are there and wrong; names file and line.
        """

    def spelling(self, argument: str) -> str:
        """Return the one spelling of an argument that may be typed in several ways; runs go by it."""
        return argument

    def present(self, roots: Sequence[Path]) -> str | None:
        """Say in a few words where the files are, or return None where they are absent; reads none of them."""
        return None

    def class_counts(self, split: str) -> Mapping[str, int]:
        """Return the published number of images of each class; empty where it is not known."""
        return {}


# --- models ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What a model is, known without its weights."""

    name: str
    """The name users type; one that ends with a colon (``hf:``) takes what follows as its argument."""
    title: str
    checkpoint: str | None = None
    """Published checkpoint that is loaded by default, ``organisation/name``."""
    revision: str | None = None
    """Pinned commit of the checkpoint; None takes the newest and records which one that was."""
    licence: str = "unknown"
    citation: str = ""
    homepage: str = ""
    parameters: int | None = None
    exposure: str = "unknown"
    """``zero-shot``, ``tuned`` (on these datasets' train splits) or ``unknown``."""
    decodings: tuple[str, ...] = ("generate", "logprob")
    """Ways of answering it has, the default first; contrastive models have ``similarity``."""
    foci_template: str = "{}"
    """The text around the question in FOCI-Benchmark's code for this family (protocol ``foci``)."""
    foci_trims: bool = False
    """Whether that code trims this family's answers before it reads them (protocol ``foci``)."""
    aliases: tuple[str, ...] = ()


Settled = Callable[[str, tuple[str, ...], tuple[str, ...]], bool]
"""``settled(text, letters, choices)``: nothing that follows `text` can change the verdict."""


@dataclass(frozen=True, slots=True)
class Decoding:
    """How answers are to be had from a model."""

    name: str = "generate"
    """``generate`` (greedy text), ``logprob`` (one prefill ranks the letters) or ``similarity``."""
    max_new_tokens: int = 64
    settled: Settled | None = None
    """Ends a row's generation early; None generates until end-of-text or the limit (``--full-text``)."""


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """What a user asked of a model, settled before anything heavy is imported."""

    argument: str | None = None
    """What follows the colon of a name such as ``hf:organisation/name``."""
    checkpoint: str | None = None
    """A local folder or another hub name, in place of the card's."""
    revision: str | None = None
    device: str = "auto"
    """``auto``, ``cpu``, ``mps``, ``cuda``, ``cuda:1``..."""
    dtype: str = "auto"
    """``auto`` (the plugin's choice for the device), ``float64``, ``float32``, ``bfloat16``, ``float16``."""
    trust_remote_code: bool = False
    args: Mapping[str, str] = field(default_factory=dict)
    """``--model-arg key=value``; a plugin refuses keys that it does not know."""
    decoding: Decoding = field(default_factory=Decoding)


class Preparer:
    """What happens to an image and a prompt before the model, in worker processes.

    Instances are pickled; they hold processors and tokenizers, never weights.
    """

    def item(self, prompt: Prompt, image: Image) -> Any:
        """Turn one prompt and its decoded image (RGB, upright) into what `batch` joins."""
        return image

    def batch(self, items: list[Any]) -> Any:
        """Join the items of one batch; what it returns is handed to `Model.respond`."""
        return items


class Model(ABC):
    """A loaded model."""

    batch_size: int = 1
    """Questions in a batch when the user says ``auto``; halved until one fits."""
    alike: bool = False
    """Whether questions with pictures of one size and texts of one length had better share a batch: for a model that
    pads them to the longest."""
    needs_images: bool = True
    """False for a model that never looks; then no image is read."""
    preparer: Preparer = Preparer()
    at_once: int = 0
    """Questions that may be under way at once: above 0 for a model that is waited for (on a server) rather than
    computed with here.  Then batches are begun ahead, see `begin`, and answered in any order."""

    def fitting_batch_size(self, make: Callable[[int], tuple[Sequence[Prompt], Any]]) -> int:
        """Return how many questions to put into a batch where the user says ``auto``; by default `batch_size`.

        ``make(n)`` returns prompts and batch of a large question, n times over: what one question takes can be
        measured with it.

        Raises:
            OutOfMemory: not even one fits.
        """
        return self.batch_size

    def begin(self, prompts: Sequence[Prompt], batch: Any) -> Future[Any]:
        """Start on a batch without waiting; called only where `at_once` is above 0.

        The harness hands the future itself to `respond` in place of the batch, once it is done.  Such a batch is
        not asked again: where `respond` raises, all its questions have failed.
        """
        raise NotImplementedError(f"{type(self).__name__} does not answer batches ahead")

    @abstractmethod
    def respond(self, prompts: Sequence[Prompt], batch: Any) -> Sequence[Response]:
        """Answer a batch: one response a prompt, in the same order.

        ``batch`` is what ``preparer.batch`` made of the images (by default the list of RGB images).

        Raises:
            OutOfMemory: the batch does not fit; the harness tries a smaller one.
        """

    def embed_texts(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        """Return a unit-length vector a text; for models whose texts can be compared by cosine similarity.

        What a text's vector is must not depend on the texts beside it.
        """
        raise NotImplementedError(f"{type(self).__name__} does not embed texts")

    def go_on(self, decoding: Decoding) -> bool:
        """Take another run's decoding and say that this model can answer it as well; by default it cannot.

        Called between runs with the very settings that it was loaded with, but for their decoding.  A model that says
        yes must answer as one that was just loaded would.
        """
        return False

    def facts(self) -> Mapping[str, Json]:
        """Return what only loading tells and a board shows (parameters, classes of model and processor)."""
        return {}

    def close(self) -> None:
        """Give memory back."""


class ModelPlugin(ABC):
    """How a model is declared."""

    card: ModelCard

    def identify(self, settings: ModelSettings) -> Mapping[str, Json]:
        """Return everything that can change an answer: checkpoint, revision, precision, processor, settings.

        Runs before the weights are loaded and, for a run that is complete, instead of it; so it has to be
        cheap.  It is part of the run's identity.

        Raises:
            UsageError: settings that this model does not have.
            ModelUnavailable: a checkpoint that cannot be there.
        """
        named = settings.checkpoint or settings.argument or self.card.checkpoint
        return {
            "checkpoint": named and re.sub(r"//[^/@\s]*@", "//", named),
            "revision": settings.revision or self.card.revision,
            "device": settings.device,
            "dtype": settings.dtype,
            "trust_remote_code": settings.trust_remote_code,
            "args": dict(settings.args),
        }

    @abstractmethod
    def load(self, settings: ModelSettings) -> Model:
        """Load the weights.

        Raises:
            ModelUnavailable: says what is missing and what to type.
        """


# --- protocols ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class AskContext:
    """What a task may know beside the example."""

    noun: str
    """Plural noun of the dataset's question."""
    labels: tuple[str, ...]
    """All labels of the dataset, in published order."""
    seed: int = 0
    foci_template: str = "{}"
    """The model card's template; only protocol ``foci`` looks at it."""
    foci_trims: bool = False
    """Likewise."""
    taxonomy: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The ranks above each label, coarse to fine, where the dataset knows them; only open questions look at it."""
    clip_checkpoint: str = ""
    """Folder of a contrastive checkpoint that the dataset brings, or empty; only ``open-ended-nearest`` looks at it."""
    descriptions: Mapping[str, str] = field(default_factory=dict)
    """What describes each label, under ``--field-guide``; a task that can shows those of a question's labels."""


class Task(ABC):
    """One way of asking, ordering, parsing and scoring."""

    name: str
    needs_options: bool = True
    """Whether questions are made from an option set."""
    decodings: tuple[str, ...] = ("generate", "logprob", "similarity")
    """Ways of answering that this task can score."""
    metrics: tuple[str, ...] = ("accuracy", "mean-class-accuracy", "unparsed", "failed")
    """Names of the metrics that it reports, the main one first."""
    max_new_tokens: int = 64
    """Longest answer, in tokens."""

    @abstractmethod
    def ask(self, example: Example, options: Options | None, context: AskContext, permutation: int = 0) -> Question:
        """Make a question; the order of its choices follows from (seed, question_id) alone."""

    @abstractmethod
    def prompt(self, question: Question, context: AskContext) -> Prompt:
        """Put a question into words."""

    @abstractmethod
    def read(self, response: Response, letters: Sequence[str], choices: Sequence[str]) -> Reading:
        """Read the given choice off a response.  Pure; never raises whatever the response holds."""

    def judge(self, question: Question, response: Response) -> Answer:
        """Read the response and compare with the target."""
        reading = self.read(response, question.letters, question.choices)
        correct = reading.choice is not None and reading.choice == question.target
        return Answer(question.question_id, reading.choice, correct, reading.rule)

    def settled(self, text: str, letters: Sequence[str], choices: Sequence[str]) -> bool:
        """Say whether no continuation of `text` can change what `read` returns."""
        return False

    def identify(self, context: AskContext) -> Mapping[str, Json]:
        """Return what of the context, noun, labels and seed aside, can change a prompt or a verdict.

        It is part of the run's identity, and stored: `bound` gets it again whenever the run is scored.
        """
        return {}

    def bound(self, facts: Mapping[str, Json]) -> Task:
        """Return this task as it reads and judges a run of which `identify` said `facts`."""
        return self


@dataclass(frozen=True, slots=True)
class ProtocolCard:
    """A versioned bundle of tasks; a change that can move a verdict makes a new name."""

    name: str
    """For example ``fgvr-1``."""
    title: str
    tasks: Mapping[str, Task]
    """By name; the first is the default."""
    citation: str = ""


# --- metrics --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Scored:
    """One judged response, as a metric sees it."""

    question: Question
    response: Response
    answer: Answer


class Accumulator(Protocol):
    """Sees every judged response of a run once, in canonical order."""

    def add(self, scored: Scored) -> None: ...

    def result(self) -> float | None:
        """Return the figure, or None where the run gives none."""
        ...


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure of a run; memory of its accumulator must not grow with the number of questions."""

    name: str
    title: str
    start: Callable[[], Accumulator]
    higher_is_better: bool = True
    share: bool = True
    """Whether it is a share of 1, shown in percent."""


# --- option miners --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MiningSettings:
    """What a user asked of an option miner."""

    k: int = 4
    """Choices a question, 2 to 26."""
    seed: int = 0
    device: str = "auto"
    batch_size: int | None = None
    """Images in a batch; None is the miner's choice."""
    workers: int | None = None
    """Processes that read images ahead; None is one a core, 0 reads in this process."""
    args: Mapping[str, str] = field(default_factory=dict)
    """The miner's own settings (CLIP: ``model``, ``template``); unknown keys are refused."""
    dataset_digest: str | None = None
    """The split's digest where it is known; what a miner keeps (embeddings) is named after it."""


class OptionMiner(ABC):
    """Chooses the wrong answers."""

    name: str
    seeded: bool = True
    """False where the seed changes nothing; then all seeds share one set."""

    @abstractmethod
    def identify(self, dataset: Dataset, settings: MiningSettings) -> Mapping[str, Json]:
        """Return all that the sets will depend on beside dataset, k and seed; it goes into the header."""

    @abstractmethod
    def mine(
        self,
        dataset: Dataset,
        examples: Sequence[Example],
        settings: MiningSettings,
        progress: Callable[[int], None],
    ) -> Iterator[Options]:
        """Yield the options of each example, in the order of `examples`; call ``progress(n)`` for each n done.

        A generator may return a mapping; it is stored in the header as what the mining ``found``.
        """


# --- what runs tell plugins -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RunInfo:
    """A run that is about to start, as the ``run_started`` event shows it."""

    run_id: str
    model: str
    dataset: str
    folder: Path
    questions: int
    """Number of questions in all."""
    answered: int
    """How many of them an earlier execution has answered."""
    inputs: Mapping[str, Json]
    """Everything declared that the run's identity is made of."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """A finished run, as the ``run_finished`` event and `evaluate` show it."""

    run_id: str
    model: str
    dataset: str
    folder: Path
    complete: bool
    """False under ``--limit``."""
    questions: int
    """Number of questions answered."""
    failed: int
    metrics: Mapping[str, float | None]
    inputs: Mapping[str, Json]
