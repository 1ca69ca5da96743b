"""From names to a run that is ready to start: every look-up and check, before anything heavy is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from fgvr_bench.core.digest import dataset_digest
from fgvr_bench.core.field_guide import check_shown, guide_inputs, read_guide
from fgvr_bench.core.files import digest as digest_of
from fgvr_bench.core.host import Host
from fgvr_bench.core.options import resolve
from fgvr_bench.core.order import RULE
from fgvr_bench.core.paths import data_roots
from fgvr_bench.core.progress import Progress, quiet
from fgvr_bench.core.published import examples_of
from fgvr_bench.core.questions import Picked, QuestionBook
from fgvr_bench.core.run_folder import RunFolder, run_id, without_credentials
from fgvr_bench.core.settings import RunSettings
from fgvr_bench.core.subset import Subset, read_subset
from fgvr_bench.core.tasks import count_orders, find_task, settle_decoding
from fgvr_bench.core.taxonomy import taxonomy_of
from fgvr_bench.core.versions import library_versions
from fgvr_bench.errors import UsageError
from fgvr_bench.interfaces import (
    AskContext,
    Dataset,
    DatasetPlugin,
    MiningSettings,
    ModelCard,
    ModelPlugin,
    ModelSettings,
    Task,
)
from fgvr_bench.types import Example, Json, Options

if TYPE_CHECKING:
    from fgvr_bench.core.options import OptionSet


@dataclass(frozen=True, slots=True)
class Assembly:
    """One model on one dataset, ready to start."""

    model_name: str
    dataset_name: str
    plugin: ModelPlugin
    model_settings: ModelSettings
    dataset: Dataset
    book: QuestionBook
    settings: RunSettings
    inputs: dict[str, Json]
    """Everything declared that can change an answer; the run's identity is made of it."""
    versions: dict[str, str]

    @property
    def run_id(self) -> str:
        """Identity of the run."""
        return run_id(self.inputs)

    @property
    def folder(self) -> RunFolder:
        """Where the run lies."""
        return RunFolder.of(self.settings.runs_dir, self.dataset_name, self.model_name, self.run_id)

    @property
    def labels(self) -> tuple[str, ...]:
        """All labels of the dataset, in published order."""
        return self.book.context.labels


@dataclass(frozen=True, slots=True)
class ReadyModel:
    """A model that was looked up and knows what it would answer with; its weights are not loaded."""

    requested: str
    name: str
    """Its canonical name, without credentials."""
    plugin: ModelPlugin
    settings: ModelSettings
    identity: dict[str, Json]
    own: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `RunSettings` that were set for it alone; they are in `settings` already."""


@dataclass(frozen=True, slots=True)
class ReadyDataset:
    """A dataset whose files were found."""

    requested: str
    name: str
    plugin: DatasetPlugin
    dataset: Dataset
    own: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `RunSettings` that were set for it alone."""


def ready_model(host: Host, name: str, settings: RunSettings, own: Mapping[str, Any] | None = None) -> ReadyModel:
    """Look a model up and let it say what can change its answers.

    Args:
        host: plugins.
        name: as the user typed it.
        settings: those of all models.
        own: fields of `settings` that are others for this one.

    Raises:
        FgvrError: unknown, without such a decoding, or its checkpoint cannot be there.
    """
    settings = replace(settings, **(own or {}))
    plugin, argument = host.models.find(name)
    wanted = ModelSettings(
        argument=argument,
        checkpoint=settings.checkpoint,
        revision=settings.revision,
        device=settings.device,
        dtype=settings.dtype,
        trust_remote_code=settings.trust_remote_code,
        args=settings.model_args,
        decoding=settle_decoding(plugin.card, find_task(host, settings), settings),
    )
    canonical = without_credentials(plugin.card.name + (argument or ""))
    return ReadyModel(name, canonical, plugin, wanted, dict(plugin.identify(wanted)), own or {})


def ready_dataset(host: Host, name: str, settings: RunSettings, own: Mapping[str, Any] | None = None) -> ReadyDataset:
    """Look a dataset up and find its files; for the arguments see `ready_model`.

    Raises:
        FgvrError: unknown, or not there; the message says where it looked.
    """
    plugin, argument = host.datasets.find(name)
    dataset = plugin.open(data_roots(replace(settings, **(own or {})).data_roots), argument)
    canonical = plugin.card.name + (plugin.spelling(argument) if argument else "")
    return ReadyDataset(name, canonical, plugin, dataset, own or {})


def assemble(
    host: Host,
    model: ReadyModel,
    data: ReadyDataset,
    settings: RunSettings,
    progress: Progress = quiet,
    mine: bool = True,
) -> Assembly:
    """Settle what the run of a model on a dataset is; what either sets for itself goes before `settings`.

    Mines the options where the dataset's own are mined and not there yet, unless `mine` is False.

    Raises:
        FgvrError: whatever is absent or at odds, with what to type next.
    """
    settings = replace(settings, **data.own, **model.own)
    if settings.shard is not None and settings.batch_size is None:
        raise UsageError(
            "the shards of a run have to be cut into the same batches, and 'auto' may find others elsewhere.",
            hint="Give --batch-size N beside --shard, the same for all.",
        )
    task = find_task(host, settings)
    digest = dataset_digest(data.dataset, settings.split, progress)
    subset = None if settings.subset is None else read_subset(settings.subset, data.dataset, settings.split)
    option_set: OptionSet | None = None
    if task.needs_options:
        mining = MiningSettings(
            device=settings.device,
            workers=settings.workers,
            dataset_name=data.requested,
            data_roots=settings.data_roots,
        )
        option_set = resolve(
            data.dataset, settings.split, settings.options, mining,
            dataset_digest=digest, progress=progress, build=mine, plugins=host,
        )  # fmt: skip
    elif settings.options is not None:
        raise UsageError(f"task {task.name} asks without options, so --options {settings.options} has no use.")
    decoding = model.settings.decoding
    orders = _orders(settings, option_set)
    book = _question_book(data.dataset, task, option_set, model.plugin.card, settings, subset, orders)
    if settings.field_guide is not None:
        check_shown(book, settings.protocol, decoding)
    if decoding.name == "generate":
        _check_letters(book, data.name)
    inputs: dict[str, Json] = {
        "dataset": {
            "name": data.name,
            "split": settings.split,
            "digest": digest,
            "noun": book.context.noun,
            "labels": digest_of(list(book.context.labels)),
        },
        "subset": None if subset is None else subset.inputs(),
        "options": None if option_set is None else _option_inputs(option_set),
        "protocol": settings.protocol,
        "task": task.name,
        "task_facts": dict(task.identify(book.context)),
        "seed": settings.seed,
        "permutations": orders,
        "images": "blank" if settings.blank_images else "shown",
        "model": {**model.identity, "name": model.name},
        "decoding": {
            "name": decoding.name,
            "max_new_tokens": decoding.max_new_tokens,
            "full_text": settings.full_text and decoding.name == "generate",
        },
        "batch_plan": {"rule": RULE, "batch_size": settings.batch_size or "auto"},
        **guide_inputs(book.context.descriptions),
    }
    return Assembly(
        model_name=model.name,
        dataset_name=data.name,
        plugin=model.plugin,
        model_settings=_bound_settings(model.settings, book.task),
        dataset=data.dataset,
        book=book,
        settings=settings,
        inputs=inputs,
        versions=library_versions(
            host.models.owner(model.plugin.card.name), host.datasets.owner(data.plugin.card.name)
        ),
    )


def _option_inputs(option_set: OptionSet) -> dict[str, Json]:
    header = option_set.header
    return {"digest": option_set.digest, "miner": header["miner"], "k": header["k"]}


def _question_book(
    dataset: Dataset,
    task: Task,
    option_set: OptionSet | None,
    card: ModelCard,
    settings: RunSettings,
    subset: Subset | None,
    orders: int,
) -> QuestionBook:
    examples = dataset.examples(settings.split)
    options: Sequence[Options] | None = None
    if option_set is not None:
        examples = examples_of(option_set, examples)
        options = option_set.for_examples(examples)
    if subset is not None:
        examples, options = _picked(examples, options, subset)
    if not len(examples):
        where = f"split {settings.split}" + (f", subset {subset.name}" if subset else "")
        raise UsageError(f"{dataset.card.name} has no examples in {where}.")
    context = _context(dataset, card, settings)
    bound = task.bound(task.identify(context))
    book = QuestionBook(bound, context, examples, options, orders, settings.blank_images)
    book.question(orders - 1)  # a task that has not so many orders says so now, not from a worker process
    return book


def _bound_settings(settings: ModelSettings, task: Task) -> ModelSettings:
    """Let the model stop where the task, bound to this run, is settled."""
    if settings.decoding.settled is None:
        return settings
    return replace(settings, decoding=replace(settings.decoding, settled=task.settled))


def _check_letters(book: QuestionBook, name: str) -> None:
    """Refuse labels that are letters of choices: of an answer "A" nobody could say which of the two it means.

    Raises:
        UsageError: there is such a label.
    """
    letters = book.question(0).letters
    if odd := next((label for label in book.context.labels if label.strip().upper() in letters), None):
        raise UsageError(
            f"the label {odd!r} of {name} could be taken for the letter of a choice, {', '.join(letters)}.",
            hint="Give its class a longer name, or ask without letters: --decoding logprob, or another --task.",
        )


def _orders(settings: RunSettings, option_set: OptionSet | None) -> int:
    wish = str(settings.permutations)
    if option_set is None:
        if wish != "1":
            raise UsageError(f"--permutations {wish}: this task shows no options, so there is one order.")
        return 1
    return count_orders(int(option_set.header["k"]), wish)


def _picked(
    examples: Sequence[Example], options: Sequence[Options] | None, subset: Subset
) -> tuple[Sequence[Example], Sequence[Options] | None]:
    import numpy as np

    chosen = (index for index in range(len(examples)) if subset(examples[index]))
    places = np.fromiter(chosen, dtype=np.int32)
    return Picked(examples, places), None if options is None else Picked(options, places)


def _context(dataset: Dataset, card: ModelCard, settings: RunSettings) -> AskContext:
    return AskContext(
        noun=dataset.card.noun,
        labels=tuple(dataset.labels()),
        seed=settings.seed,
        foci_template=card.foci_template,
        foci_trims=card.foci_trims,
        taxonomy=taxonomy_of(dataset),
        clip_checkpoint=str(getattr(dataset, "clip_checkpoint", None) or ""),
        descriptions={} if settings.field_guide is None else read_guide(settings.field_guide, dataset),
    )
