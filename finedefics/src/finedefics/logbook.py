"""What a stage tells of its training: a line a logged step, in a file and to whoever listens, and a plot of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fgvr_bench.core.files import atomic_writer, canonical_json, parse_json, write_jsonl
from fgvr_bench.core.progress import Progress, quiet
from fgvr_bench.errors import FgvrError

LOG, PLOT = "log.jsonl", "losses.png"


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One logged step: means over its rows and over the steps since the last logged one."""

    step: int
    """Optimiser steps done, from 1."""
    epoch: float
    """Passes over the rows done."""
    loss: float
    """What was minimised: the weighted sum of the terms."""
    learning_rate: float
    """Of this step."""
    gradient_norm: float | None
    """Length of this step's gradient before it was scaled down; None where it overflowed or DeepSpeed keeps it."""
    terms: Mapping[str, float] = field(default_factory=dict)
    """Each term of the loss before it is weighted."""
    temperatures: Mapping[str, float] = field(default_factory=dict)
    """Of stage I, after this step."""

    def words(self) -> str:
        """Return the record as a line of the console."""
        several = {} if len(self.terms) < 2 else self.terms
        terms = "".join(f"  {name} {value:.4f}" for name, value in several.items())
        return f"step {self.step}  loss {self.loss:.4f}{terms}  learning rate {self.learning_rate:.2e}"

    def flat(self) -> dict[str, float]:
        """Return its figures by names such as ``terms/generation``, as trackers want them."""
        single = {name: value for name, value in asdict(self).items() if isinstance(value, int | float)}
        several = {"terms": self.terms, "temperatures": self.temperatures}
        return {
            **{name: value for name, value in single.items() if name != "step"},
            **{f"{group}/{name}": value for group, values in several.items() for name, value in values.items()},
        }


class TrainingWatcher:
    """Told how training goes, in the main process; this one ignores it all."""

    progress: Progress = staticmethod(quiet)

    def note(self, message: str) -> None:
        """Something a user should know."""

    def started(self, stage: str, first: int, steps: int) -> None:
        """A stage is about to take step `first` + 1 of `steps`."""

    def stepped(self, step: int) -> None:
        """An optimiser step was taken."""

    def logged(self, record: StepRecord) -> None:
        """A step was logged."""

    def finished(self) -> None:
        """The stage ended, or stopped."""


class Logbook:
    """The records of a run: kept in memory and, where there is a folder, in ``log.jsonl``.

    What the file holds past the step that a run goes on from is dropped, so that a run that was killed ends with the
    same log as one that was not.
    """

    def __init__(self, folder: Path | None, first: int) -> None:
        self.path = folder / LOG if folder is not None else None
        self.records = [record for record in read_log(folder) if record.step <= first] if folder is not None else []
        if self.path is not None:
            write_jsonl(self.path, map(asdict, self.records))

    def add(self, record: StepRecord) -> None:
        """Keep a record.

        Raises:
            FgvrError: it cannot be written (disk full).
        """
        self.records.append(record)
        if self.path is None:
            return
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(canonical_json(asdict(record)) + "\n")
        except OSError as error:
            raise FgvrError(
                f"cannot write {self.path}: {error.strerror or error}.",
                hint="Free some space and type the same command again: it goes on from the last checkpoint.",
            ) from error


def read_log(folder: Path) -> list[StepRecord]:
    """Return the records of a run's folder; a last line that was cut off is left out.

    Raises:
        FgvrError: a line is damaged.
    """
    try:
        lines = (folder / LOG).read_bytes().split(b"\n")[:-1]
    except OSError:
        return []
    try:
        return [StepRecord(**parse_json(line)) for line in lines]
    except (TypeError, ValueError) as error:
        raise FgvrError(f"{folder / LOG} is damaged: {error}.", hint="Delete it; the run goes on without.") from error


def plot_losses(records: Sequence[StepRecord], path: Path) -> None:
    """Draw loss and terms over the steps.

    Raises:
        FgvrError: the picture cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 4.5), layout="constrained")
    axes: Any = figure.subplots()
    steps = [record.step for record in records]
    marker = "o" if len(steps) == 1 else None
    axes.plot(steps, [record.loss for record in records], label="loss", color="black", linewidth=1.6, marker=marker)
    names = sorted({name for record in records for name in record.terms})  # one order, whether read or just made
    for name in names if len(names) > 1 else ():
        values = [record.terms.get(name, float("nan")) for record in records]
        axes.plot(steps, values, label=name.replace("_", "-"), linewidth=1.0, marker=marker)
    axes.set_xlabel("optimiser step")
    axes.set_ylabel("loss")
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))  # beside the curves, not on them
    axes.spines[["top", "right"]].set_visible(False)
    with atomic_writer(path) as file:
        figure.savefig(file, format="png", dpi=150, metadata={"Software": None})
