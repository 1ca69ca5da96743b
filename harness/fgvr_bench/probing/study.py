"""A study of one model on one dataset: features, probes, knowledge and alignment, as figures with their inputs."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from fgvr_bench.core.assembly import ReadyDataset, ReadyModel
from fgvr_bench.core.files import digest as digest_of
from fgvr_bench.core.free_words import ready_writer
from fgvr_bench.core.host import Host
from fgvr_bench.core.progress import Progress, quiet
from fgvr_bench.core.versions import library_versions
from fgvr_bench.engines.huggingface import HuggingFacePlugin
from fgvr_bench.engines.huggingface.features import END, SPACES, FeatureReader
from fgvr_bench.errors import UsageError
from fgvr_bench.interfaces import Decoding, ModelSettings
from fgvr_bench.probing.collecting import FORMAT, QUESTION, VERSION, Collector, Gallery
from fgvr_bench.probing.parts import Classes, Part, parts_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Rows = NDArray[np.float64]
    Numbers = NDArray[np.int64]

NEEDS = {"sklearn": "scikit-learn", "matplotlib": "matplotlib"}
"""Distributions of the extra ``probe``, by what is imported of them."""
METHOD = "probe-1"
"""Name of the way from features to figures; a change that moves a figure makes a new one."""


@dataclass(frozen=True, slots=True)
class ProbeSettings:
    """What a user asks of a study, model and dataset aside."""

    layers: tuple[str, ...] = tuple(SPACES)
    split: str = "test"
    """What is measured on; fitted is on train, chosen on validation."""
    limit: int | None = None
    """Pictures of each split, classes in proportion; None takes all."""
    seed: int = 0
    batch_size: int | None = None
    workers: int = 0
    field_guide: str | None = None
    """A file with descriptions (`core.field_guide`); None takes the dataset's own, where it has them."""


@dataclass(slots=True)
class Study:
    """Figures, and what a plot shows beside them."""

    inputs: dict[str, Any]
    """All that the figures depend on."""
    chance: float
    """Accuracy of guessing among all classes."""
    pictures: dict[str, dict[str, int]] = field(default_factory=dict)
    """Of each part: how many, and how many of them could not be read."""
    spaces: dict[str, Any] = field(default_factory=dict)
    """Probes of each kind of features."""
    knowledge: dict[str, Any] | None = None
    """Descriptions and names; None without either."""
    alignment: dict[str, Any] | None = None
    """Pictures and texts; None without the language model."""
    map: Map | None = None
    """Likewise."""

    @property
    def key(self) -> str:
        """Short name of the study: the same inputs give the same."""
        return digest_of(self.inputs)[:12]


@dataclass(frozen=True, slots=True)
class Map:
    """Embeddings for a plot: of pictures, with their class numbers, and a name's a class."""

    pictures: Rows
    classes: Numbers
    names: Rows
    labels: tuple[str, ...]


def check_libraries() -> None:
    """Make sure that what probing needs is installed.

    Raises:
        UsageError: names what is not.
    """
    absent = [name for module, name in NEEDS.items() if importlib.util.find_spec(module) is None]
    if absent:
        raise UsageError(f"probing needs {' and '.join(absent)}.", hint="Type: pip install 'fgvr-bench[probe]'")


def ready_to_probe(host: Host, name: str, settings: ModelSettings) -> ReadyModel:
    """Look a model up and let it say what can change its features.

    Args:
        host: where it is registered.
        name: its name, with what follows a colon.
        settings: all but the argument, which the name brings.

    Raises:
        UsageError: it is no image-text-to-text model of transformers, or does not have these settings.
        FgvrError: unknown, or its checkpoint cannot be there.
    """
    plugin, _ = host.models.find(name)
    if not isinstance(plugin, HuggingFacePlugin):
        raise UsageError(
            f"model {name} is no image-text-to-text model of transformers, and has no layers to probe.",
            hint="See: fgvr-bench models; or name a checkpoint: hf:ORGANISATION/NAME",
        )
    args = {"compile": "no", **settings.args}  # what is read once is not worth compiling for
    return ready_writer(host, name, replace(settings, args=args, decoding=Decoding("generate", 1)))


def study(
    model: ReadyModel,
    data: ReadyDataset,
    settings: ProbeSettings,
    progress: Progress = quiet,
    note: Callable[[str], None] = lambda message: None,
) -> Study:
    """Probe a model.

    Raises:
        UsageError: the model has no such layers; the dataset has no such split, or too few pictures.
        FgvrError: model or pictures cannot be read.
    """
    check_libraries()
    classes = Classes.of(data.dataset, settings.field_guide)
    parts = parts_of(data.dataset, data.name, settings.split, settings.limit, settings.seed, progress)

    def load() -> FeatureReader:
        loaded: Any = model.plugin.load(model.settings)
        return FeatureReader(loaded, model.name, settings.layers)

    collector = Collector(load, _identity(model, settings), model.name, settings.batch_size, settings.workers)
    work = _Work(classes, settings)
    for part, found in parts.items():
        what = f"{model.name}: {part} pictures of {data.name}"
        work.galleries[part] = collector.collect(found.examples, found.data, what, progress)
    made = Study(_inputs(model, settings, parts, classes), round(1 / len(classes.labels), 6))
    spaces = [space for layer in settings.layers for space in SPACES[layer]]
    with progress(f"probing {model.name}", len(spaces)) as advance:
        for space in spaces:
            made.spaces[space] = work.probe(space)
            advance(1)
    if "language" in settings.layers:
        _compare_texts(made, work, collector)
    made.pictures = work.pictures
    for part, counts in made.pictures.items():
        if counts["left out"]:
            note(
                f"{counts['left out']:,} of {counts['pictures']:,} {part} pictures could not be read and are left out."
            )
    return made


def _identity(model: ReadyModel, settings: ProbeSettings) -> dict[str, Any]:
    """Return all that features depend on beside the pictures."""
    versions = library_versions()
    return {
        "format": FORMAT,
        "version": VERSION,
        "model": {**model.identity, "name": model.name},
        "layers": list(settings.layers),
        "question": QUESTION,
        "versions": {name: versions[name] for name in ("torch", "transformers")},
    }


def _inputs(model: ReadyModel, settings: ProbeSettings, parts: Mapping[str, Part], classes: Classes) -> dict[str, Any]:
    return {
        "method": METHOD,
        "versions": {name: version(name) for name in ("numpy", "scikit-learn")},
        "features": _identity(model, settings),
        "pictures": {part: {**found.data, "count": len(found.examples)} for part, found in parts.items()},
        "classes": classes.inputs(),
        "seed": settings.seed,
        "limit": settings.limit,
    }


class _Work:
    """Features of all parts, and the probes of one kind of them at a time."""

    def __init__(self, classes: Classes, settings: ProbeSettings) -> None:
        self.classes, self.settings = classes, settings
        self.galleries: dict[str, Gallery] = {}
        self.pictures: dict[str, dict[str, int]] = {}
        self._numbers = {label: number for number, label in enumerate(classes.labels)}

    def rows(self, part: str, space: str) -> tuple[Rows, Numbers]:
        """Return features and class numbers of the pictures that could be read; count those that could not."""
        import numpy as np

        gallery = self.galleries[part]
        rows = gallery.rows(space)
        classes = np.array([self._numbers[label] for label in gallery.labels], np.int64)
        good = np.isfinite(rows).all(axis=1)
        self.pictures[part] = {"pictures": len(rows), "left out": int((~good).sum())}
        return rows[good], classes[good]

    def probe(self, space: str) -> dict[str, Any]:
        """Return the figures of one kind of features."""
        from fgvr_bench.probing.alignment import nearest, share
        from fgvr_bench.probing.linear import fit_linear
        from fgvr_bench.probing.neighbours import choose_and_vote, directions, retrieve

        train, held, test = (self.rows(part, space) for part in ("train", "validation", "test"))
        count = len(self.classes.labels)
        linear = fit_linear(train, held, test[0], count, self.settings.seed)
        mean = train[0].mean(axis=0)
        units = [(directions(rows, mean), classes) for rows, classes in (train, held, test)]
        neighbours = choose_and_vote(units[0], units[1], units[2][0], count)
        precision, first = retrieve(*units[2])
        return {
            "dimensions": train[0].shape[1],
            "linear": {
                **nearest(linear.scores, test[1], self.classes.siblings),
                "C": linear.strength,
                "validation": round(linear.validation, 6),
                "settled": linear.settled,
            },
            "neighbours": {
                "accuracy": share(neighbours.classes == test[1], test[1]),
                "k": neighbours.k,
                "validation": round(neighbours.validation, 6),
            },
            "retrieval": {"mean average precision": share(precision, test[1]), "recall at 1": share(first, test[1])},
        }


def _compare_texts(made: Study, work: _Work, collector: Collector) -> None:
    from fgvr_bench.probing.alignment import alignment, knowledge, spread

    classes = work.classes
    mean = work.rows("train", END)[0].mean(axis=0)
    pictures, own = work.rows("test", END)
    names = collector.texts(classes.names)
    made.alignment = {
        "names": alignment(pictures, own, names, mean, classes.siblings),
        "pictures": spread(pictures, own),
    }
    if classes.descriptions:
        descriptions = collector.texts(classes.descriptions)
        made.knowledge = knowledge(names, descriptions, classes.siblings)
        made.alignment["descriptions"] = alignment(pictures, own, descriptions, mean, classes.siblings)
    made.map = Map(pictures, own, names, classes.names)
