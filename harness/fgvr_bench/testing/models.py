"""What a model plugin can get wrong."""

from __future__ import annotations

import math
import pickle
from collections.abc import Sequence
from dataclasses import replace

from fgvr_bench.core.files import canonical_json
from fgvr_bench.errors import ModelUnavailable
from fgvr_bench.interfaces import Decoding, Model, ModelPlugin, ModelSettings, Preparer
from fgvr_bench.testing.asking import (
    are_the_same,
    ask,
    ask_alone,
    ask_side_by_side,
    elsewhere,
    look_at_responses,
    sheet_for,
)
from fgvr_bench.testing.cards import look_at_model_card
from fgvr_bench.testing.findings import Findings, described
from fgvr_bench.testing.generators import poisoned, watched
from fgvr_bench.testing.identity import look_at_identity, look_at_unknown_setting
from fgvr_bench.types import Prompt, Response

TOKENS = 8
"""Longest answer, in tokens, that a model is asked for."""
MOST_PICKLED = 64 * 1024 * 1024
"""Bytes of a preparer beyond which it is taken to hold weights."""


def check_model(
    plugin: ModelPlugin,
    settings: ModelSettings | None = None,
    *,
    decodings: Sequence[str] | None = None,
    card_only: bool = False,
    tolerance: float = 1e-4,
) -> None:
    """Check a model: its card, what it says of itself, and its answers to a few small questions.

    Args:
        plugin: what the plugin registers.
        settings: how to load it; ``ModelSettings(checkpoint=folder, dtype="float64")`` with a tiny random checkpoint of
            the same architecture makes the test quick and exact.
        decodings: ways of answering to check; by default all that the card names.
        card_only: look at nothing for which the model has to be loaded.
        tolerance: how far scores of one question may lie apart in batches of other sizes.

    Raises:
        PluginFault: names everything that is wrong.
    """
    __tracebackhide__ = True  # a fault says it all
    found = Findings(f"Model {plugin.card.name!r}")
    look_at_model_card(found, plugin)
    if not card_only:
        given = settings or ModelSettings()
        _look_at_identity(found, plugin, given)
        _look_at_answers(found, plugin, given, decodings or plugin.card.decodings, tolerance)
    found.settle()


def _look_at_identity(found: Findings, plugin: ModelPlugin, settings: ModelSettings) -> None:
    look_at_identity(found, lambda: plugin.identify(settings))
    unknown = replace(settings, args={**settings.args, "no-such-setting": "1"})
    look_at_unknown_setting(found, lambda: plugin.identify(unknown), "--model-arg")


def _look_at_answers(
    found: Findings, plugin: ModelPlugin, settings: ModelSettings, decodings: Sequence[str], tolerance: float
) -> None:
    answers: dict[str, list[Response]] = {}
    for number, name in enumerate(decodings):
        asked = replace(settings, decoding=Decoding(name, TOKENS))
        model = _loaded(found, plugin, asked)
        if model is None:
            return
        sheet = sheet_for(name)
        if number == 0:
            _look_at_model(found, model)
        first = _first_answers(found, model, sheet, asked.decoding)
        if first is not None:
            answers[name] = first
            _look_at_variations(found, plugin, model, asked, sheet, first, tolerance)
            _look_at_going_on(found, model, sheet, name, decodings, plugin, settings, tolerance)
        with found.trying("close()"):
            model.close()


def _loaded(found: Findings, plugin: ModelPlugin, settings: ModelSettings) -> Model | None:
    try:
        with poisoned(11):
            model = plugin.load(settings)
    except ModelUnavailable as problem:
        found.wrong(
            f"It cannot be loaded here: {problem} Give the check one that can: "
            "settings=ModelSettings(checkpoint=FOLDER) with a tiny random checkpoint, or card_only=True."
        )
        return None
    except Exception as problem:
        found.wrong(f"load() with decoding {settings.decoding.name!r} raises {described(problem)}.")
        return None
    if not isinstance(model, Model):
        found.wrong(f"load() returns a {type(model).__name__}; it returns a fgvr_bench.interfaces.Model.")
        return None
    return model


def _look_at_model(found: Findings, model: Model) -> None:
    """Check what a loaded model says of itself before it is asked anything."""
    size = model.batch_size
    found.need(isinstance(size, int) and size >= 1, f"Its batch_size is {size!r}; it is a whole number of 1 or more.")
    with found.trying("facts()"):
        try:
            canonical_json(dict(model.facts()))
        except (TypeError, ValueError) as problem:
            found.wrong(f"facts() returns what cannot be written as JSON ({problem}).")
    if model.needs_images:
        _look_at_preparer(found, model.preparer)
    if type(model).embed_texts is not Model.embed_texts:
        _look_at_embedding(found, model)


def _look_at_preparer(found: Findings, preparer: Preparer) -> None:
    try:
        size = len(pickle.dumps(preparer))
    except Exception as problem:
        found.wrong(
            f"Its preparer cannot be sent to worker processes ({described(problem)}). Define its class at the top of a "
            "module, and hold no lambda, lock or open file."
        )
        return
    if size > MOST_PICKLED:
        found.wrong(
            f"Its preparer weighs {size // 2**20} MB when it is sent to a worker process. It holds processors and "
            "tokenizers; keep weights in the Model."
        )


def _look_at_embedding(found: Findings, model: Model) -> None:
    texts = ["a brick red paint", "sky", "a paint of a moss green that is almost grey"]
    with found.trying("embed_texts()"):
        together = [list(map(float, vector)) for vector in model.embed_texts(texts)]
        alone = [list(map(float, vector)) for text in texts for vector in model.embed_texts([text])]
        if len(together) != len(texts):
            found.wrong(f"embed_texts() returns {len(together)} vectors for {len(texts)} texts. Return one a text.")
            return
        if any(not math.isclose(math.hypot(*vector), 1.0, abs_tol=1e-3) for vector in together):
            found.wrong("embed_texts() returns vectors that are not of unit length. Divide each by its length.")
        if any(abs(a - b) > 1e-3 for one, two in zip(together, alone, strict=True) for a, b in zip(one, two)):  # noqa: B905
            found.wrong("embed_texts() gives a text another vector beside other texts. A text's vector is its own.")


def _first_answers(found: Findings, model: Model, sheet: Sequence[Prompt], decoding: Decoding) -> list[Response] | None:
    """Ask all questions in one batch; return the answers, or None where there is nothing to compare with."""
    try:
        with poisoned(12), watched() as moved:
            given = ask(model, sheet)
    except Exception as problem:
        found.wrong(f"respond() under decoding {decoding.name!r} raises {described(problem)}.")
        return None
    if moved:
        found.wrong(
            f"respond() moves the global generator of {' and '.join(moved)}, which belongs to the whole process. Draw "
            "from a generator of your own, seeded by settings."
        )
    return given if look_at_responses(found, sheet, given, decoding) else None


def _look_at_variations(
    found: Findings,
    plugin: ModelPlugin,
    model: Model,
    settings: ModelSettings,
    sheet: Sequence[Prompt],
    first: list[Response],
    tolerance: float,
) -> None:
    """Ask the same questions in other ways, none of which may change an answer."""
    name = settings.decoding.name

    def need(given: list[Response], wrong: str) -> None:
        found.need(are_the_same(first, given, tolerance), f"Under decoding {name!r} {wrong}")

    with found.trying("respond(), asked again,"), poisoned(13):
        need(
            ask(model, sheet),
            "it answers otherwise when it is asked again. There is hidden randomness, or something is kept between "
            "batches; draw from a generator seeded by the question id, and keep nothing.",
        )
    with found.trying("respond() to one prompt"), poisoned(12):
        need(
            ask_alone(model, sheet),
            "it answers otherwise to a question alone than in a batch. No answer may hang on what else is in "
            "its batch: mask the padding, and normalise each row by itself.",
        )
    with found.trying("respond() to prompts in another order"), poisoned(12):
        need(
            ask(model, sheet[::-1])[::-1],
            "it answers otherwise when the batch stands in another order. No answer may hang on its place.",
        )
    if model.callers > 1:
        with found.trying(f"respond() in {model.callers} threads at a time"), poisoned(12):
            need(
                ask_side_by_side(model, sheet),
                f"it answers otherwise when {model.callers} threads ask it at a time, and it says callers = "
                f"{model.callers}. Keep nothing of a batch in the model, or say callers = 1.",
            )
    if model.needs_images:
        _look_at_leaks(found, model, sheet, name, first, tolerance)
        with found.trying("The preparer, after a journey to a worker process,"), poisoned(12):
            carried = _carried(model.preparer)
            if carried is not None:
                need(
                    ask(model, sheet, carried),
                    "it answers otherwise when its preparer has been sent to a worker process. What the preparer knows "
                    "has to be among its fields.",
                )
    with found.trying("load(), a second time,"), poisoned(14):
        other = plugin.load(settings)
        need(
            ask(other, sheet),
            "it answers otherwise when it is loaded anew. Weights that the checkpoint lacks are drawn at random, or a "
            "global generator is used.",
        )
        other.close()


def _look_at_leaks(
    found: Findings, model: Model, sheet: Sequence[Prompt], decoding: str, first: list[Response], tolerance: float
) -> None:
    """Ask about the same pictures under ids and file names that do not hold the label."""
    with found.trying("respond() to prompts with other ids"), poisoned(12):
        if not are_the_same(first, ask(model, elsewhere(sheet)), tolerance):
            found.wrong(
                f"Under decoding {decoding!r} it answers otherwise when the same pictures and words come under other "
                "question ids and file names. Those often hold the label; look at the picture and the text alone."
            )


def _carried(preparer: Preparer) -> Preparer | None:
    try:
        carried: Preparer = pickle.loads(pickle.dumps(preparer))  # noqa: S301 - what was just made of it
    except Exception:  # told already
        return None
    return carried


def _look_at_going_on(
    found: Findings,
    model: Model,
    sheet: Sequence[Prompt],
    name: str,
    decodings: Sequence[str],
    plugin: ModelPlugin,
    settings: ModelSettings,
    tolerance: float,
) -> None:
    """A model that takes another run's decoding has to answer as one that was loaded with it."""
    for other in decodings:
        decoding = Decoding(other, TOKENS)
        if other == name:
            continue
        with found.trying("go_on()"):
            if model.go_on(decoding):
                fresh = plugin.load(replace(settings, decoding=decoding))
                prompts = sheet_for(other)
                if not are_the_same(ask(model, prompts), ask(fresh, prompts), tolerance):
                    found.wrong(f"go_on() takes decoding {other!r} and answers otherwise than a model loaded with it.")
                fresh.close()
