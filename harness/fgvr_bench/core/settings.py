"""What a user asks of a run, model and dataset aside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fgvr_bench.errors import UsageError

DEFAULT_PROTOCOL = "fgvr-1"


@dataclass(frozen=True, slots=True)
class RunSettings:
    """Settings of ``fgvr-bench run`` and `fgvr_bench.evaluate`, under the same names."""

    split: str = "test"
    subset: str | None = None
    """``seen``, ``unseen``, another imported list, or a file of classes or example ids; None takes all."""
    protocol: str = DEFAULT_PROTOCOL
    task: str | None = None
    """A task of the protocol; None takes its first."""
    options: str | None = None
    """An option set's file or a miner's name; None takes the dataset's own."""
    seed: int = 0
    """Decides the order of questions and of their choices."""
    permutations: int | str = 1
    """In how many orders of its choices each example is asked: a number, ``cyclic`` or ``all``."""
    blank_images: bool = False
    """Show a grey picture in place of each image: a control that tells what the text alone gives."""
    field_guide: str | None = None
    """Put the choices' descriptions before each question: ``dataset`` takes the dataset's own, else a file."""
    limit: int | None = None
    """Ask only so many questions of the run's order; no part of its identity."""
    decoding: str | None = None
    """``generate``, ``logprob`` or ``similarity``; None takes the model's first that the task can score."""
    full_text: bool = False
    """Generate to the end even where the verdict is settled."""
    max_new_tokens: int | None = None
    """Longest answer; None takes the task's."""
    checkpoint: str | None = None
    revision: str | None = None
    device: str = "auto"
    dtype: str = "auto"
    trust_remote_code: bool = False
    model_args: Mapping[str, str] = field(default_factory=dict)
    batch_size: int | None = None
    """Questions in a batch; None finds one that fits, from the model's own proposal downwards."""
    workers: int | None = None
    """Processes that read images ahead; None decides by the machine."""
    num_processes: int | str | None = None
    """Processes that each hold the model and share the batches, one a GPU: a number, ``auto`` for as many as there are
    GPUs, ``launched`` for those that torchrun or accelerate launched beside this one; None is one."""
    shard: tuple[int, int] | None = None
    """Ask only the first of so many equal parts, the second ...: (1, 8) to (8, 8); each in a results folder of its own
    below ``shards``, for ``results merge``.  No part of the run's identity."""
    fresh: bool = False
    """Start over, dropping what an earlier execution answered."""
    resume_across: bool = False
    """Go on with a run that other library versions began."""
    data_roots: tuple[Path, ...] = ()
    results_dir: Path = Path("results")

    @property
    def runs_dir(self) -> Path:
        """Folder of the runs: the results folder, or that of the shard in it."""
        if self.shard is None:
            return self.results_dir
        return self.results_dir / "shards" / "{}-of-{}".format(*self.shard)

    def __post_init__(self) -> None:
        if type(self.seed) is not int:
            raise UsageError(f"seed {self.seed!r} is not a whole number.")
        for name, least in (("limit", 1), ("batch_size", 1), ("max_new_tokens", 1), ("workers", 0)):
            value = getattr(self, name)
            if value is not None and (type(value) is not int or value < least):
                raise UsageError(f"{name} {value!r} is not a whole number of at least {least}.")
        if self.shard is not None and not (len(self.shard) == 2 and 1 <= self.shard[0] <= self.shard[1]):
            raise UsageError(f"shard {self.shard!r} is not a part from (1, N) to (N, N).")
        number = self.num_processes
        if number not in (None, "auto", "launched") and (type(number) is not int or number < 1):
            raise UsageError(f"num_processes {number!r} is neither 'auto' nor a number above 0.")
