"""A loaded image-text-to-text model that answers batches."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from fgvr_bench.engines.devices import check_device, device_kind
from fgvr_bench.engines.fetching import fetch
from fgvr_bench.engines.huggingface.answers import NotDistinct
from fgvr_bench.engines.huggingface.decoding import Rows, greedy, make_greedy, rank, sharpen
from fgvr_bench.engines.huggingface.loading import load_processor, load_weights, quiet
from fgvr_bench.engines.huggingface.plugin import HuggingFacePlugin, Plan
from fgvr_bench.engines.huggingface.preparing import ANSWERS, SHARED, HuggingFacePreparer, on_device
from fgvr_bench.engines.huggingface.sharing import pictures_once
from fgvr_bench.engines.huggingface.templates import choose_template
from fgvr_bench.engines.memory import fitting, memory_guard
from fgvr_bench.engines.turns import Streams, Turns
from fgvr_bench.errors import UsageError
from fgvr_bench.interfaces import Decoding, Model
from fgvr_bench.types import Json, Prompt, Response, ScoreKind, letters_for

BATCH_SIZES = {"cuda": 64, "mps": 4, "cpu": 4}
"""What ``--batch-size auto`` starts from: on a GPU as many as its memory has room for, at most these."""


class HuggingFaceModel(Model):
    """Processor, weights and a way of decoding."""

    alike = True

    def __init__(
        self,
        model: Any,
        preparer: HuggingFacePreparer,
        decoding: Decoding,
        plan: Plan,
        ends: frozenset[int],
        known: bool = True,
    ):
        """Put a model together.

        Args:
            model: transformers' model.
            preparer: what makes its batches.
            decoding: how it answers.
            plan: as it was loaded.
            ends: the tokens that end an answer.
            known: whether it is of a declared family: of these a test shows that two batches can be under way.
        """
        self.model = model
        self.preparer: HuggingFacePreparer = preparer
        self.batch_size = BATCH_SIZES[device_kind(plan.device)]
        self._decoding = decoding
        self._plan = plan
        self._ends = ends
        self._known = known
        self._turns, self._streams = Turns(), Streams()

    def fitting_batch_size(self, make: Callable[[int], tuple[Sequence[Prompt], Any]]) -> int:
        """Measure on a GPU how many questions its memory has room for; elsewhere a fixed number.

        Raises:
            OutOfMemory: not even two fit.
        """
        if device_kind(self._plan.device) != "cuda" or self._plan.spread:
            return self.batch_size
        return fitting(lambda count: self.respond(*make(count)), self.batch_size, share=0.9 / self.callers)

    def respond(self, prompts: Sequence[Prompt], batch: Any) -> Sequence[Response]:
        """Answer a batch that the preparer made.

        Raises:
            OutOfMemory: it does not fit.
        """
        if self._plan.compiled:
            from fgvr_bench.engines.huggingface.compiling import settle_compiler

            settle_compiler()
        device = self.model.device
        stream = self._streams.one(device) if self.callers > 1 else contextlib.nullcontext()
        with self._turns, stream, memory_guard(), contextlib.ExitStack() as once:
            inputs = on_device(batch, device)
            once.enter_context(pictures_once(self.model, batch[SHARED]))
            if self._decoding.name == "logprob":
                ranked = rank(self.model, inputs, batch[ANSWERS])
                once.close()
                with self._waiting():
                    scores = ranked.values()
                return [
                    Response(prompt.question_id, scores=row, score_kind=ScoreKind.LOGPROB)
                    for prompt, row in zip(prompts, scores, strict=True)
                ]
            rows = Rows(prompts, self._decode, self._ends, self._decoding)
            greedy(self.model, inputs, rows, encoded=once.close, waiting=self._waiting)
            return rows.responses()

    @property
    def callers(self) -> int:  # type: ignore[override]
        """Two on a GPU: one batch is given to it while the answers to the other are waited for."""
        alone = self._plan.spread or not (self._known or self._decoding.name == "logprob")
        return 2 if device_kind(self._plan.device) == "cuda" and not alone else 1

    @contextlib.contextmanager
    def _waiting(self) -> Iterator[None]:
        """Wait for the device while others use the model, and find it as it was."""
        held = [(part, part.rope_deltas) for part in self.model.modules() if hasattr(part, "rope_deltas")]
        with self._turns.waiting():
            yield
        for part, value in held:
            part.rope_deltas = value

    def go_on(self, decoding: Decoding) -> bool:
        """Take another run's decoding, where letters are ranked for both or for neither."""
        if (decoding.name == "logprob") != (self._decoding.name == "logprob"):
            return False
        self._decoding = decoding
        return True

    def facts(self) -> Mapping[str, Json]:
        """Return classes, number of parameters, attention and template."""
        processor = self.preparer.processor
        return {
            "model_class": type(self.model).__name__,
            "processor_class": type(processor).__name__,
            "image_processor_class": type(processor.image_processor).__name__,
            "tokenizer_class": type(processor.tokenizer).__name__,
            "parameters": int(self.model.num_parameters()),
            "attention": self._plan.attention,
            "compiled": self._plan.compiled,
            "quantize": self._plan.quantize,
            "template": self.preparer.template.text,
        }

    def close(self) -> None:
        """Let go of the weights."""
        import torch

        self.model = None
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _decode(self, tokens: list[int]) -> str:
        text: str = self.preparer.processor.tokenizer.decode(
            tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text


def load(plugin: HuggingFacePlugin, plan: Plan, decoding: Decoding) -> Model:
    """Load what a plan describes.

    Raises:
        ModelUnavailable, OutOfMemory: says what is missing and what to type.
        UsageError: letters are to be ranked that the tokenizer does not tell apart.
    """
    check_device(plan.device)
    if plan.checkpoint.folder is not None:
        fetch(plan.checkpoint)  # a folder without weights is told so before it is told that it has no processor
    processor = load_processor(plan)
    template = choose_template(processor, plan.template, plugin.template, plan.checkpoint.name)
    ranks = decoding.name == "logprob"
    if ranks:
        _check_letters(HuggingFacePreparer(processor, template, ranks=True), plan.checkpoint.name)
    model = load_weights(plan)
    with quiet():
        if plugin.adapt is not None:
            plugin.adapt(model)
        make_greedy(model)
        if plan.compiled:
            from fgvr_bench.engines.huggingface.compiling import compile_blocks

            compile_blocks(model)
        sharpen(model)
    context = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    preparer = HuggingFacePreparer(processor, template, plan.dtype, ranks, context, plugin.process, plugin.words_alone)
    ends = _end_tokens(plugin, model, processor.tokenizer)
    return HuggingFaceModel(model, preparer, decoding, plan, ends, plugin.known)


def _end_tokens(plugin: HuggingFacePlugin, model: Any, tokenizer: Any) -> frozenset[int]:
    """Return the tokens that end an answer: the checkpoint's, the tokenizer's and the family's."""
    ends: set[int] = set()
    for part in model.modules():
        given = getattr(getattr(part, "generation_config", None), "eos_token_id", None)
        ends.update([given] if isinstance(given, int) else given or ())
    if tokenizer.eos_token_id is not None:
        ends.add(int(tokenizer.eos_token_id))
    vocabulary = tokenizer.get_vocab()
    ends.update(vocabulary[token] for token in plugin.end_tokens if token in vocabulary)
    return frozenset(ends)


def _check_letters(preparer: HuggingFacePreparer, checkpoint: str) -> None:
    """Make sure, before any weights are loaded, that the tokenizer tells the first four letters apart."""
    letters = letters_for(("", "", "", ""))
    try:
        preparer.answer_tokens.find(preparer.template.render(preparer.processor, "?"), letters)
    except NotDistinct as error:
        raise UsageError(
            f"{checkpoint} cannot rank letters by their first token: {error}.", hint="Use --decoding generate."
        ) from error
