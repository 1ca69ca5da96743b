"""The option miner alphabet: the labels that follow the truth in the alphabet, until you choose others."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from fgvr_bench import hookimpl
from fgvr_bench.errors import UsageError
from fgvr_bench.interfaces import Dataset, MiningSettings, OptionMiner
from fgvr_bench.types import Example, Json, Options

FGVR_BENCH_API = "1.0"  # the version of the plugin interface that this is written for


class AlphabetMiner(OptionMiner):
    """Chooses the wrong answers that a question offers beside the right one."""

    name = "alphabet"
    seeded = False  # the seed changes nothing

    def identify(self, dataset: Dataset, settings: MiningSettings) -> Mapping[str, Json]:
        """Return all that the options depend on, beside dataset, k and seed; refuse settings that there are none of."""
        if settings.args:
            raise UsageError(f"alphabet has no setting {next(iter(settings.args))!r}.")
        return {"rule": "alphabet-1"}

    def mine(
        self, dataset: Dataset, examples: Sequence[Example], settings: MiningSettings, progress: Callable[[int], None]
    ) -> Iterator[Options]:
        """Yield the options of each example, in order, the truth first."""
        labels = sorted(dataset.labels())
        for example in examples:
            place = labels.index(example.label)
            yield Options(example.example_id, tuple([*labels[place:], *labels[:place]][: settings.k]))
            progress(1)


@hookimpl
def register_option_miners(register: Callable[[OptionMiner], None]) -> None:
    """Tell fgvr-bench of the miner."""
    register(AlphabetMiner())
