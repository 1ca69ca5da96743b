"""What an option miner provides."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fgvr_bench.interfaces.datasets import Dataset
from fgvr_bench.types import Example, Json, Options


@dataclass(frozen=True, slots=True)
class MiningSettings:
    """What a user asked of an option miner."""

    k: int = 4
    """Choices a question, 2 to 26."""
    seed: int = 0
    """What miners that draw draw from."""
    device: str = "auto"
    """As `ModelSettings.device`, for miners that ask a model."""
    batch_size: int | None = None
    """Images in a batch; None is the miner's choice."""
    workers: int | None = None
    """Processes that read images ahead; None is one a core, 0 reads in this process."""
    args: Mapping[str, str] = field(default_factory=dict)
    """The miner's own settings (CLIP: ``model``, ``template``); unknown keys are refused."""
    dataset_digest: str | None = None
    """The split's digest where it is known; what a miner keeps (embeddings) is named after it."""
    dataset_name: str | None = None
    """How the dataset is typed: other ranks, where there are any, open it so; None mines in this process alone."""
    data_roots: tuple[Path, ...] = ()
    """Folders that it is looked for in."""


class OptionMiner(ABC):
    """Chooses the wrong answers."""

    name: str
    """The name users type, for example ``random``."""
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
