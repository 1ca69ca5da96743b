"""Options that several encoders agree on: a set mined with one is biased against models that share it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import TYPE_CHECKING

from fgvr_bench.errors import UsageError
from fgvr_bench.interfaces import Dataset, MiningSettings, OptionMiner
from fgvr_bench.miners.encoder import DEFAULT_TEMPLATE, Encoder, read_templates
from fgvr_bench.miners.rule import TIE_RULE
from fgvr_bench.miners.settings import take_choice, take_settings
from fgvr_bench.types import Example, Json, Options

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class ConsensusMiner(OptionMiner):
    """The rule of ``clip`` on the mean of several encoders' similarities, each standardised for every image."""

    name = "consensus"
    seeded = False

    def _settings(self, settings: MiningSettings) -> tuple[list[Encoder], tuple[str, ...], bool]:
        given = take_settings(settings, self.name, {"models": "", "template": DEFAULT_TEMPLATE, "on-bad-image": "skip"})
        checkpoints = sorted(set(filter(None, given["models"].split("|"))))
        if len(checkpoints) < 2:
            raise UsageError(
                "a consensus needs two encoders or more.",
                hint="For example: --miner-arg 'models=ViT-L-14/laion2b_s32b_b82k|ViT-SO400M-14-SigLIP/webli'",
            )
        fail = take_choice(given, "on-bad-image", ("skip", "fail")) == "fail"
        encoders = [Encoder(checkpoint, settings.device) for checkpoint in checkpoints]
        return encoders, read_templates(given["template"]), fail

    def identify(self, dataset: Dataset, settings: MiningSettings) -> Mapping[str, Json]:
        """Return rule, encoders, templates and tie rule."""
        encoders, templates, fail = self._settings(settings)
        inputs: dict[str, Json] = {
            "rule": "consensus-1: as clip-1, on the mean of the encoders' standardised similarities",
            "encoders": [encoder.declared for encoder in encoders],
            "templates": list(templates),
            "precision": "float32",
            "similarity": "mean over encoders of (cosine - mean over labels) / deviation over labels",
            "tie_rule": TIE_RULE,
        }
        return inputs | ({"bad_images": "refused"} if fail else {})

    def mine(
        self, dataset: Dataset, examples: Sequence[Example], settings: MiningSettings, progress: Callable[[int], None]
    ) -> Generator[Options, None, Mapping[str, Json]]:
        """Yield the options of each example."""
        from fgvr_bench.miners.embeddings import image_embeddings
        from fgvr_bench.miners.rows import Truths, build_options, similarities, unreadable_found

        encoders, templates, fail = self._settings(settings)
        labels = list(dataset.labels())
        texts = [encoder.labels(labels, templates) for encoder in encoders]
        stores = [image_embeddings(dataset, examples, each, settings, lambda n: None, fail) for each in encoders]
        between = mean_standardised([similarities(each, each) for each in texts])
        truths = Truths(labels)
        for parts in zip(*(store.chunks() for store in stores), strict=True):
            start, stop = parts[0][0], parts[0][0] + len(parts[0][1])
            scores = mean_standardised([similarities(rows, text) for (_, rows), text in zip(parts, texts, strict=True)])
            ids = [examples[index].example_id for index in range(start, stop)]
            yield from build_options(ids, labels, truths.of(examples, start, stop), scores, between, settings.k)
            progress(stop - start)
        return unreadable_found(examples, stores[0])


def mean_standardised(scores: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return the mean over encoders of similarities standardised row by row, shape (rows, labels)."""
    import numpy as np

    total = np.zeros(scores[0].shape)
    for each in scores:
        wide = each.astype(np.float64)
        deviation = wide.std(axis=1, keepdims=True)
        # an encoder that sees no difference between labels has no say
        total += (wide - wide.mean(axis=1, keepdims=True)) / np.where(deviation > 0, deviation, 1)
    return (total / len(scores)).astype(np.float32)
