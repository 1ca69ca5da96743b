"""The folder of one run: ``results/<dataset>/<model>/<run_id>/``.

``run.json`` holds inputs and metrics and nothing that changes from one execution to the next;
``machine.json`` all that does.  ``responses.jsonl`` appears when the run is complete.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fgvr_bench.core.files import canonical_json, digest, read_json, write_json
from fgvr_bench.core.names import slug
from fgvr_bench.errors import FgvrError
from fgvr_bench.types import Json

RUN_FORMAT = "fgvr-bench/run"
MACHINE_FORMAT = "fgvr-bench/machine"
VERSIONS = (1,)
KINDS: dict[str, type] = {
    "complete": bool,
    "run_id": str,
    "model": str,
    "dataset": str,
    "inputs": dict,
    "labels": list,
    "questions": int,
    "batch_size": int,
}
"""Fields of ``run.json`` that every reader counts on."""
KINDS_WHEN_COMPLETE: dict[str, type] = {"metrics": dict, "failed": int, "responses_sha256": str}
SEAL = "content_sha256"
"""Field of ``run.json`` that digests all others, so that damage to any of them is found."""


def run_id(inputs: Mapping[str, Json]) -> str:
    """Return the identity of a run: 12 hexadecimal digits of the SHA-256 of its inputs."""
    return digest(inputs)[:12]


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of a ``run.json`` with format, version and the digest of all its other fields."""
    bare = {"format": RUN_FORMAT, "version": VERSIONS[-1], **content}
    bare.pop(SEAL, None)
    return {**bare, SEAL: digest(json.loads(canonical_json(bare)))}  # as it will be read: names are text there


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Paths and small files of one run."""

    path: Path

    @classmethod
    def of(cls, results: Path, dataset: str, model: str, run: str) -> RunFolder:
        """Return the place of a run below a results folder."""
        return cls(results / slug(dataset) / slug(model) / run)

    @property
    def run_file(self) -> Path:
        """``run.json``: inputs and metrics."""
        return self.path / "run.json"

    @property
    def responses_file(self) -> Path:
        """``responses.jsonl``: a line a question, in canonical order."""
        return self.path / "responses.jsonl"

    @property
    def parts(self) -> Path:
        """Answers on their way, a file an execution."""
        return self.path / "parts"

    @property
    def machine_file(self) -> Path:
        """``machine.json``: an entry an execution."""
        return self.path / "machine.json"

    @property
    def lock_file(self) -> Path:
        """Held by the execution that is at work here; outside the folder, which is only the run."""
        return self.path.parent / f".{self.path.name}.lock"

    def read_run(self) -> dict[str, Any] | None:
        """Return ``run.json``, or None where there is none yet.

        Raises:
            FormatUnknown: written by a version that this one does not read.
        """
        if not self.run_file.exists():
            return None
        content = read_json(self.run_file, RUN_FORMAT, VERSIONS)
        for name, kind in (KINDS | KINDS_WHEN_COMPLETE if content.get("complete") else KINDS).items():
            if not isinstance(content.get(name), kind) or (kind is int and isinstance(content[name], bool)):
                raise FgvrError(
                    f"{self.run_file} is damaged: its {name} is {content.get(name)!r:.60}.",
                    hint="Restore it, or run again with --fresh.",
                )
        return content

    def write_run(self, content: Mapping[str, Any]) -> None:
        """Write ``run.json``."""
        write_json(self.run_file, sealed(content))

    def clear(self) -> None:
        """Remove what earlier executions wrote."""
        if self.parts.exists():  # first: a run file without answers starts over, answers without one are no run's
            shutil.rmtree(self.parts)
        for path in (self.responses_file, self.run_file):
            path.unlink(missing_ok=True)

    def read_executions(self) -> list[dict[str, Any]]:
        """Return the entries of ``machine.json``, oldest first; none where it is absent or damaged."""
        try:
            found = read_json(self.machine_file, MACHINE_FORMAT, VERSIONS).get("executions", [])
        except FgvrError:
            return []
        return found if isinstance(found, list) else []

    def add_execution(self, entry: Mapping[str, Any]) -> None:
        """Append an entry to ``machine.json``."""
        entries = self.read_executions()
        if not entries and self.machine_file.exists():  # damaged, or of a newer version: kept beside the new one
            self.machine_file.replace(self.machine_file.with_suffix(".json.old"))
        entries.append(dict(entry))
        write_json(self.machine_file, {"format": MACHINE_FORMAT, "version": VERSIONS[-1], "executions": entries})


def describe_machine() -> dict[str, Any]:
    """Return what a reader wants to know of the machine: system, processor, cores, GPUs, command line."""
    gpus: list[str] = []
    torch = sys.modules.get("torch")  # a run that never needed torch does not load it for this
    if torch is not None and torch.cuda.is_available():
        gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {
        "system": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "host": platform.node(),
        "cores": os.cpu_count(),
        "gpus": gpus,
        "command": [without_secrets(word) for word in [Path(sys.argv[0]).name, *sys.argv[1:]]],
    }


def without_secrets(word: str) -> str:
    """Return a word of a command line without credentials and without the values of keys and tokens.

    >>> without_secrets("api_key=abc"), without_secrets("template=plain")
    ('api_key=...', 'template=plain')
    """
    hidden = re.sub(r"(?i)^([\w-]*(?:key|token|secret|password)[\w-]*=).*", r"\1...", word)
    return without_credentials(hidden)


def without_credentials(text: str) -> str:
    """Return a URL without user name and password.

    >>> without_credentials("api:gpt@https://me:secret@host/v1")
    'api:gpt@https://host/v1'
    """
    return re.sub(r"//[^/@\s]*@", "//", text)


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
