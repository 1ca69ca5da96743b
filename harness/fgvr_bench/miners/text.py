"""Wrong answers by the labels alone: the nearest names, or the nearest kin.  No image is looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from fgvr_bench.core.taxonomy import taxonomy_of
from fgvr_bench.errors import UsageError
from fgvr_bench.interfaces import Dataset, MiningSettings, OptionMiner
from fgvr_bench.miners.encoder import DEFAULT_TEMPLATE, default_checkpoint
from fgvr_bench.miners.random import draw
from fgvr_bench.miners.rule import TIE_RULE, choose
from fgvr_bench.miners.settings import take_choice, take_settings
from fgvr_bench.types import Example, Json, Options


class TextMiner(OptionMiner):
    """The truth and the k - 1 labels whose texts are most similar to its own; every image of a class alike."""

    name = "text"
    seeded = False

    def _settings(self, dataset: Dataset, settings: MiningSettings) -> dict[str, str]:
        defaults = {"by": "text", "model": default_checkpoint(dataset)[0], "template": DEFAULT_TEMPLATE}
        given = take_settings(settings, self.name, defaults)
        take_choice(given, "by", ("text", "letters"))
        return given

    def identify(self, dataset: Dataset, settings: MiningSettings) -> Mapping[str, Json]:
        """Return what labels are compared by."""
        from fgvr_bench.miners.labels import source_identity

        given = self._settings(dataset, settings)
        return {
            "rule": "text-1: the truth and the k - 1 labels nearest to it, the nearest last",
            "tie_rule": TIE_RULE,
            **source_identity(given, settings),
        }

    def mine(
        self, dataset: Dataset, examples: Sequence[Example], settings: MiningSettings, progress: Callable[[int], None]
    ) -> Iterator[Options]:
        """Yield the options of each example; they have no similarities, for no image was asked."""
        import numpy as np

        from fgvr_bench.miners.labels import label_similarity

        given = self._settings(dataset, settings)
        labels = list(dataset.labels())
        between = label_similarity(dataset, examples, given["by"], given, settings, progress)
        # float32, so that what is a tie for the images' miner is one here
        chosen = choose(between.astype(np.float32), np.arange(len(labels)), settings.k).choices
        choices = {label: tuple(labels[number] for number in chosen[row]) for row, label in enumerate(labels)}
        for index in range(len(examples)):
            example = examples[index]
            yield Options(example.example_id, choices[example.label])
            progress(1)


class TaxonomyMiner(OptionMiner):
    """The truth and k - 1 of its nearest kin: those that share most ranks first, drawn by lot among equals."""

    name = "taxonomy"

    def identify(self, dataset: Dataset, settings: MiningSettings) -> Mapping[str, Json]:
        """Return the rule and the taxonomy itself.

        Raises:
            UsageError: the dataset knows no taxonomy.
        """
        take_settings(settings, self.name, {})
        ranks = taxonomy_of(dataset)
        if not ranks:
            raise UsageError(
                f"{dataset.card.name} knows no taxonomy of its labels.",
                hint="Mine by names instead: --miner text",
            )
        return {
            "rule": "taxonomy-1: labels that share most ranks with the truth first, by lot among equals",
            "taxonomy": {label: list(ranks.get(label, ())) for label in dataset.labels()},
        }

    def mine(
        self, dataset: Dataset, examples: Sequence[Example], settings: MiningSettings, progress: Callable[[int], None]
    ) -> Iterator[Options]:
        """Yield the options of each example, the nearest kin last."""
        known = taxonomy_of(dataset)
        ranks = {label: known.get(label, ()) for label in dataset.labels()}
        for index in range(len(examples)):
            example = examples[index]
            own = ranks[example.label]
            lots = draw(f"{settings.seed}/{example.example_id}", list(ranks), example.label, len(ranks))
            nearest = sorted(lots, key=lambda label: -shared(own, ranks[label]))[: settings.k - 1]
            yield Options(example.example_id, (example.label, *reversed(nearest)))
            progress(1)


def shared(one: Sequence[str], other: Sequence[str]) -> int:
    """Return how many ranks two labels share, from the coarsest down.

    >>> shared(("Lepidoptera", "Noctuidae"), ("Lepidoptera", "Geometridae"))
    1
    """
    count = 0
    while count < min(len(one), len(other)) and one[count] == other[count]:
        count += 1
    return count
