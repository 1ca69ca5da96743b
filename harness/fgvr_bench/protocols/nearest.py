"""Naming what is shown, where an answer that names no label is read as the label nearest to it in meaning.

What ``open-ended`` reads off an answer stands: a label, a rank, or a reason for none such as two labels.  Only an
answer in which it finds no name at all (``unread``) is compared with the labels, by a stated text model
(`fgvr_bench.core.text_models`), and then always has a nearest one, unless two are equally near at 6 decimals.
"""

from __future__ import annotations

from collections.abc import Mapping

from fgvr_bench.interfaces import AskContext
from fgvr_bench.protocols.openended import NEAREST, OpenEnded, Taxonomy, taxonomy_in
from fgvr_bench.types import Json, Reading, Response


class NearestName(OpenEnded):
    """What is shown, in the model's own words; read by meaning where it names no label."""

    name = "open-ended-nearest"

    def __init__(self, taxonomy: Taxonomy | None = None, model: Mapping[str, Json] | None = None) -> None:
        super().__init__(taxonomy)
        self.model = model
        """What tells the text model from others; None before `bound`, when nothing is read by meaning."""

    def identify(self, context: AskContext) -> Mapping[str, Json]:
        """Return the ranks above the labels, and the text model: the dataset's own, or open_clip's ViT-L-14.

        Raises:
            ModelUnavailable: the model is neither here nor to be had.
        """
        from fgvr_bench.core.text_models import identify_text_model

        return {**super().identify(context), "text_model": identify_text_model(context.clip_checkpoint)}

    def bound(self, facts: Mapping[str, Json]) -> NearestName:
        """Return the task with the ranks and the text model of the run; of a run without one, the default's.

        Raises:
            ModelUnavailable: the model is not here.
        """
        from fgvr_bench.core.text_models import identify_text_model, text_model

        model = facts.get("text_model")
        if not isinstance(model, dict):
            return NearestName(taxonomy_in(facts), identify_text_model())
        text_model(model)
        return NearestName(taxonomy_in(facts), model)

    def _named(self, response: Response, labels: tuple[str, ...]) -> tuple[int | None, Reading]:
        name, reading = super()._named(response, labels)
        if reading.rule != "unread" or self.model is None or not labels:
            return name, reading
        from fgvr_bench.core.text_models import text_model
        from fgvr_bench.protocols.scores import read_scores

        text = own_answer(response.completion or "")
        if not text:
            return None, reading
        found = read_scores(text_model(self.model).similarities(text, labels), len(labels))
        return found.choice, found if found.choice is None else Reading(found.choice, NEAREST)


def own_answer(completion: str) -> str:
    """Return what the model answers: its turn behind any thought, and of that what it tags or boxes.

    >>> own_answer("User: Which? Assistant: <think>A tern?</think> <answer>a gull</answer> User: And this?")
    'a gull'
    """
    from fgvr_bench.protocols import clean

    text = clean.after_thinking(clean.plain(clean.turn(completion)[0])) or ""
    for find in (clean.tagged_answer, clean.boxed):
        if found := find(text):
            text = found[0]
    return clean.unmarked(text).strip()
