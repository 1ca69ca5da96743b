"""Options that CLIP finds hardest: the reference's miner (FOCI-Benchmark, arXiv 2406.14496)."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass

from fgvr_bench.interfaces import Dataset, MiningSettings, OptionMiner
from fgvr_bench.miners.encoder import DEFAULT_TEMPLATE, Encoder, default_checkpoint, read_templates
from fgvr_bench.miners.rule import TIE_RULE
from fgvr_bench.miners.settings import take_choice, take_settings
from fgvr_bench.types import Example, Json, Options


@dataclass(frozen=True, slots=True)
class ClipSettings:
    """The settings of this miner, read."""

    checkpoint: str
    dtype: str
    templates: tuple[str, ...]
    precision: str
    """``auto`` (fast on a GPU), ``fast`` or ``exact``."""
    fast_dtype: str
    fail_on_bad_image: bool

    @classmethod
    def read(cls, dataset: Dataset, settings: MiningSettings) -> ClipSettings:
        """Read the ``--miner-arg`` settings.

        Raises:
            UsageError: an unknown setting or value.
        """
        checkpoint, dtype = default_checkpoint(dataset)
        given = take_settings(
            settings,
            "clip",
            {
                "model": checkpoint,
                "template": DEFAULT_TEMPLATE,
                "dtype": dtype if "model" not in settings.args else "float32",
                "precision": "auto",
                "fast-dtype": "float16",
                "on-bad-image": "skip",
            },
        )
        return cls(
            checkpoint=given["model"],
            dtype=take_choice(given, "dtype", ("float32", "float64")),
            templates=read_templates(given["template"]),
            precision=take_choice(given, "precision", ("auto", "fast", "exact")),
            fast_dtype=take_choice(given, "fast-dtype", ("float16", "bfloat16")),
            fail_on_bad_image=take_choice(given, "on-bad-image", ("skip", "fail")) == "fail",
        )

    def is_fast(self, device: str) -> bool:
        """Say whether a first pass in half precision comes before the exact one."""
        from fgvr_bench.engines.devices import resolve_device

        if self.precision == "auto":
            return resolve_device(device).startswith("cuda") and self.dtype == "float32"
        return self.precision == "fast"


class ClipMiner(OptionMiner):
    """The truth and the k - 1 labels whose texts are most similar to the image."""

    name = "clip"
    seeded = False

    def identify(self, dataset: Dataset, settings: MiningSettings) -> Mapping[str, Json]:
        """Return rule, encoder, templates, precision and tie rule.

        A fast first pass gives the same sets, so it is no input; ``precision=exact`` is one, so that it is not
        answered with a stored set that was mined the fast way.
        """
        given = ClipSettings.read(dataset, settings)
        inputs: dict[str, Json] = {
            "rule": "clip-1: the truth and the k - 1 wrong labels most similar to the image, hardest last",
            "encoder": Encoder(given.checkpoint, settings.device, given.dtype).declared,
            "templates": list(given.templates),
            "precision": f"{given.dtype}{', every image' if given.precision == 'exact' else ''}",
            "tie_rule": TIE_RULE,
        }
        return inputs | ({"bad_images": "refused"} if given.fail_on_bad_image else {})

    def mine(
        self, dataset: Dataset, examples: Sequence[Example], settings: MiningSettings, progress: Callable[[int], None]
    ) -> Generator[Options, None, Mapping[str, Json]]:
        """Yield the options of each example; return counts and, after a fast pass, how it was checked."""
        from fgvr_bench.engines.devices import resolve_device
        from fgvr_bench.engines.split_float import SPLIT_FLOAT
        from fgvr_bench.miners.embeddings import are_embedded, image_embeddings
        from fgvr_bench.miners.fast import Rechecked, SampledBeside, finer_passes, recheck
        from fgvr_bench.miners.rows import Truths, build_options, similarities, unreadable_found
        from fgvr_bench.miners.sharing import load_on_ranks

        given = ClipSettings.read(dataset, settings)
        labels = list(dataset.labels())
        exact = Encoder(given.checkpoint, settings.device, given.dtype)
        fast = given.is_fast(settings.device)
        encoder = exact.in_precision(given.fast_dtype) if fast else exact
        if not are_embedded(dataset, examples, encoder, settings):
            load_on_ranks(encoder, examples, settings)
        texts = exact.labels(labels, given.templates)
        on_cuda = resolve_device(settings.device).startswith("cuda") and given.dtype == "float32"
        exact_ones = [exact.in_precision(SPLIT_FLOAT), exact] if on_cuda else [exact]
        finer = finer_passes(dataset, examples, exact_ones, texts.shape[1], settings) if fast else []
        beside = SampledBeside([(each.encoder, each.rows) for each in finer], len(examples)) if fast else None
        embeddings = image_embeddings(dataset, examples, encoder, settings, progress, given.fail_on_bad_image, beside)
        checked = recheck(dataset, examples, embeddings, finer, texts, settings) if fast else Rechecked()
        truths, between_labels = Truths(labels), similarities(texts, texts)
        for start, rows in embeddings.chunks():
            stop = start + len(rows)
            scores = similarities(checked.replace(start, rows), texts)
            ids = [examples[index].example_id for index in range(start, stop)]
            yield from build_options(ids, labels, truths.of(examples, start, stop), scores, between_labels, settings.k)
            if not embeddings.fresh:
                progress(len(rows))
        return {**checked.found, **unreadable_found(examples, embeddings)}
