"""Texts compared with labels by a stated model: cosine similarity in the text space of a contrastive checkpoint.

The model is the plugin ``open-clip`` with a checkpoint of its own or a dataset's, on the processor (never on a GPU,
where the last bits are others), each text encoded on its own.  Labels stand with spaces for underscores and without
a template, texts as they are; the tokenizer keeps what fits its length (77 tokens for CLIP).
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fgvr_bench.core.files import atomic_writer, canonical_json, digest, read_json, write_json
from fgvr_bench.core.paths import cache_folder
from fgvr_bench.errors import FgvrError, ModelUnavailable
from fgvr_bench.interfaces import Decoding, Model, ModelSettings
from fgvr_bench.types import Json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PLUGIN = "open-clip"
"""The model plugin that embeds texts; its own checkpoint is the default."""
PLACES = "fgvr-bench/text-model-place"
MAX_CHARS = 1_000
"""More of a text is not looked at: no tokenizer of a contrastive model keeps so much."""


def identify_text_model(checkpoint: str = "") -> dict[str, Json]:
    """Return what tells a text model from every other, once it is loaded; an empty name takes the plugin's own.

    A local folder runs in float64 (such models are small), all else in float32.

    Raises:
        ModelUnavailable: it is neither here nor to be had; says what to type.
    """
    folder = Path(checkpoint) if checkpoint and Path(checkpoint).is_dir() else None
    settings = _settings(checkpoint or None, "float32" if folder is None else "float64")
    facts = _identity(settings)
    if folder is not None:
        note = {"format": PLACES, "version": 1, "folder": str(folder.resolve())}
        with contextlib.suppress(FgvrError):  # without it the run goes on, and only scoring it again needs it
            write_json(_note(facts), note)
        _places[str(facts["sha256"])] = str(folder)
    text_model(facts)
    return facts


def text_model(facts: Mapping[str, Json]) -> TextModel:
    """Return the model of which `identify_text_model` said `facts`; a process loads it once.

    Raises:
        ModelUnavailable: it is not here any more, or is another now.
    """
    return _loaded(canonical_json(dict(facts)))


class TextModel:
    """A loaded model that compares texts with labels."""

    def __init__(self, model: Model, facts: Mapping[str, Json]) -> None:
        self._model = model
        self._facts = dict(facts)
        self._banks: dict[tuple[str, ...], NDArray[np.float64]] = {}
        self._embed = functools.lru_cache(maxsize=4096)(self._embed_one)

    def similarities(self, text: str, labels: tuple[str, ...]) -> tuple[float, ...]:
        """Return the cosine similarity of a text and each label."""
        if labels not in self._banks:
            self._banks[labels] = self._bank(labels)
        cut = text[:MAX_CHARS].encode("utf-8", "replace").decode()
        return tuple((self._banks[labels] @ self._embed(cut)).tolist())

    def _embed_one(self, text: str) -> NDArray[np.float64]:
        import numpy as np

        return np.asarray(self._model.embed_texts([text])[0], np.float64)

    def _bank(self, labels: Sequence[str]) -> NDArray[np.float64]:
        """Return a row a label, from the cache where they were encoded before."""
        import numpy as np

        path = cache_folder() / "text-embeddings" / f"{digest([self._facts, list(labels)])[:32]}.npy"
        with contextlib.suppress(OSError, ValueError, EOFError):
            kept = np.load(path, allow_pickle=False)
            if kept.ndim == 2 and len(kept) == len(labels) and kept.dtype == np.float64:
                return np.asarray(kept)
        made = np.asarray(self._model.embed_texts([label.replace("_", " ") for label in labels]), np.float64)
        written = io.BytesIO()
        np.save(written, made)
        with contextlib.suppress(FgvrError), atomic_writer(path) as file:
            file.write(written.getvalue())
        return made


_places: dict[str, str] = {}
"""Folders of local checkpoints by digest, as met in this process."""


@functools.cache
def _loaded(key: str) -> TextModel:
    facts = json.loads(key)
    checkpoint = _place(facts) if facts.get("checkpoint") == "local" else facts.get("checkpoint")
    settings = _settings(checkpoint, str(facts.get("dtype")))
    now = _identity(settings)
    if now != facts:
        changed = sorted(name for name in {*now, *facts} if now.get(name) != facts.get(name))
        raise ModelUnavailable(
            f"the text model {checkpoint} is not the one that was recorded ({', '.join(changed)} differ).",
            hint="Bring the recorded one back, or run again.",
        )
    try:
        return TextModel(_plugin().load(settings), facts)
    except ModelUnavailable as error:
        raise _absent(error) from error


def _identity(settings: ModelSettings) -> dict[str, Json]:
    try:
        return {**_plugin().identify(settings), "plugin": PLUGIN}
    except ModelUnavailable as error:
        raise _absent(error) from error


def _absent(error: ModelUnavailable) -> ModelUnavailable:
    todo = (error.hint or "").split(";")[0].rstrip(".")
    return ModelUnavailable(
        f"the text model that answers are compared with labels by cannot be had: {error.message}",
        hint=f"{todo}; or ask --task open-ended, which needs none.".lstrip("; "),
    )


def _plugin() -> Any:
    from fgvr_bench.core.host import host

    return host().models[PLUGIN]


def _settings(checkpoint: str | None, dtype: str) -> ModelSettings:
    args = {"template": "{label}"}
    return ModelSettings(checkpoint=checkpoint, device="cpu", dtype=dtype, args=args, decoding=Decoding("similarity"))


def _note(facts: Mapping[str, Any]) -> Path:
    return cache_folder() / "text-models" / f"{facts['sha256']}.json"


def _place(facts: Mapping[str, Any]) -> str:
    """Return the folder that a local checkpoint was last met in."""
    with contextlib.suppress(FgvrError, KeyError, TypeError):
        folder = _places.get(facts["sha256"]) or read_json(_note(facts), PLACES, (1,))["folder"]
        if Path(folder).is_dir():
            return str(folder)
    raise ModelUnavailable(
        f"the text model is a local checkpoint (SHA-256 {str(facts.get('sha256'))[:12]}...) that is not known here.",
        hint="Type the run's own command again with --dry-run: it finds the model.",
    )
