"""What ranks other than the first do: they carry out the orders of rank 0, and answer each."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fgvr_bench.core.answering import UNSURE
from fgvr_bench.core.assembly import Assembly, assemble, ready_dataset, ready_model
from fgvr_bench.core.experiment import Asked
from fgvr_bench.core.files import comes_to_sight
from fgvr_bench.core.host import Host
from fgvr_bench.core.interrupts import is_request
from fgvr_bench.core.order import BatchPlan, OpenBatches
from fgvr_bench.core.parts import PartWriter
from fgvr_bench.core.ranked import free_space
from fgvr_bench.core.ranks import RankLost, Ranks
from fgvr_bench.core.records import to_line
from fgvr_bench.core.settings import RunSettings
from fgvr_bench.core.shelf import Shelf
from fgvr_bench.core.workforce import OneProcess, one_process, portable
from fgvr_bench.errors import FgvrError

SHARING = "fgvr_bench.miners.sharing"
DEEDS_OF_MINING = {"load": "load_for", "embed": "embed_for"}
"""What rank 0 may want done for a mining; the miners are no part of the core, so they are named."""


class Assistant:
    """One rank at work for rank 0."""

    def __init__(
        self,
        ranks: Ranks,
        plugins: Host,
        models: Sequence[Asked],
        datasets: Sequence[Asked],
        settings: RunSettings,
    ) -> None:
        self.ranks, self.plugins = ranks, plugins
        self.models, self.datasets, self.settings = models, datasets, settings
        self._shelf = Shelf()
        self._kept: dict[Any, Any] = {}
        self._assembly: Assembly | None = None
        self._work: OneProcess | None = None

    def serve(self) -> None:
        """Carry out orders until there are no more.

        Raises:
            RankLost: rank 0 is gone.
        """
        deeds: dict[str, Callable[..., Any]] = {
            "prepare": self._prepare,
            "load": self._load,
            "propose": self._propose,
            "ask": self._ask,
            "release": self._release,
            "mine": self._mine,
        }
        try:
            self.ranks.join()
            for order in self.ranks.orders():
                do = order.pop("do")
                if do == "end":
                    self.ranks.reply()
                    return
                try:
                    content = deeds[do](**order)
                except RankLost:
                    raise
                except BaseException as error:
                    if is_request(error):
                        raise
                    self.ranks.reply(error=portable(error))
                else:
                    self.ranks.reply(content)
        finally:
            self._shelf.close()
            self.ranks.close()

    def _prepare(self, model: int, dataset: int, mark: dict[str, str]) -> dict[str, Any]:
        """Look a run up; say what it is here, and whether rank 0's lock can be seen as it is there."""
        asked, data = self.models[model], self.datasets[dataset]
        self._assembly = assembly = assemble(
            self.plugins,
            ready_model(self.plugins, asked.name, self.settings, asked.own),
            ready_dataset(self.plugins, data.name, self.settings, data.own),
            self.settings,
        )
        return {
            "inputs": assembly.inputs,
            "versions": assembly.versions,
            "free": free_space(assembly.folder.path),
            "sees": comes_to_sight(lambda: _holds(Path(mark["path"]), mark["content"])),
        }

    def _mine(self, deed: str, **content: Any) -> Any:
        """Do a part of a mining; what was opened and loaded for it is kept for the next part."""
        function, module = DEEDS_OF_MINING[deed], importlib.import_module(SHARING)
        return getattr(module, function)(self.ranks, self.plugins, self._kept, **content)

    def _load(self) -> None:
        if self._work is not None:  # it is there since the last try, which was too large for some other rank
            return
        self._kept.clear()
        self._work = one_process(self._prepared, self._shelf, self.ranks.place)

    def _propose(self) -> int:
        return self._loaded.batch_size

    def _ask(self, key: str, batch_size: int, plan: str, before: bool, threads: int | None) -> dict[str, Any]:
        """Answer batches as long as there are any, and store them in a part of this rank's own."""
        import numpy as np

        order, numbers = (np.frombuffer(self.ranks.take(f"{key}/{name}"), "<i4") for name in ("order", "batches"))
        batches = OpenBatches(BatchPlan(order, batch_size), numbers)
        assembly, answered = self._prepared, 0
        header = {"run_id": assembly.run_id, "versions": assembly.versions, "plan": plan}
        claims = self.ranks.claims(key, len(batches))
        writer = PartWriter(assembly.folder.parts, header)
        try:
            for batch in self._loaded.answers(batches, _never, before, threads, claims):
                lines = [to_line(question, response, assembly.labels) for _, question, response in batch]
                writer.append([number for number, _, _ in batch], lines)
                answered += len(batch)
                self._say_synced(key, writer)
        except UNSURE:  # the model is fit to go on
            claims.end()
            raise
        except BaseException:
            self._work, spoilt = None, self._loaded  # after a failure nobody knows what state the model is in
            claims.end()
            spoilt.model.close()
            raise
        finally:
            writer.close()
            self._say_synced(key, writer)
        return {"answered": answered}

    def _say_synced(self, key: str, writer: PartWriter) -> None:
        said = json.dumps([writer.path.name, writer.synced_bytes])
        self.ranks.put(f"{key}/synced/{self.ranks.place.rank}", said.encode())

    def _release(self) -> None:
        work, self._work, self._assembly = self._work, None, None
        if work is not None:
            work.close()

    @property
    def _prepared(self) -> Assembly:
        if self._assembly is None:
            raise FgvrError("it was not told which run this is.")
        return self._assembly

    @property
    def _loaded(self) -> OneProcess:
        if self._work is None:
            raise FgvrError("it has no model loaded.")
        return self._work


def _never() -> bool:
    """Go on: rank 0 says when to stop, by handing out no more."""
    return False


def _holds(path: Path, content: str) -> bool:
    try:
        return path.read_text(encoding="utf-8") == content
    except (OSError, ValueError):
        return False
