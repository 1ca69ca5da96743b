"""The decoding loop: one prefill that ranks answers, or greedy text whose rows end one by one.

Both are handed to transformers' ``generate`` as its ``custom_generate``, so that caches, positions, encoders and
image inputs are prepared as the model's makers meant; only the loop is ours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fgvr_bench.interfaces import Decoding
from fgvr_bench.types import Prompt, Response, Stop

if TYPE_CHECKING:
    import torch

KEPT_SETTINGS = (
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
    "decoder_start_token_id",
    "forced_bos_token_id",
    "bad_words_ids",
    "suppress_tokens",
    "begin_suppress_tokens",
)
"""Generation settings of a checkpoint that greedy decoding keeps; sampling and penalties are dropped."""


@dataclass(slots=True)
class Row:
    """One answer in the making."""

    prompt: Prompt
    tokens: list[int] = field(default_factory=list)
    stop: Stop | None = None


class Rows:
    """The answers of a batch in the making; knows nothing of models."""

    def __init__(
        self, prompts: Sequence[Prompt], decode: Callable[[list[int]], str], ends: frozenset[int], decoding: Decoding
    ) -> None:
        """Start with no token.

        Args:
            prompts: one a row.
            decode: turns token numbers into text without special tokens.
            ends: the tokens that end an answer.
            decoding: the token limit, and the rule that settles a row early.
        """
        self.rows = [Row(prompt) for prompt in prompts]
        self.at_work = list(range(len(self.rows)))
        self._decode = decode
        self._ends = ends
        self.limit = decoding.max_new_tokens
        self._settled = decoding.settled

    def take(self, tokens: Sequence[int]) -> list[int]:
        """Take the next token of each row at work; return the places (among these) of the rows that go on."""
        going_on = []
        for place, (number, token) in enumerate(zip(self.at_work, tokens, strict=True)):
            row = self.rows[number]
            row.stop = self._after(row, token)
            if row.stop is None:
                going_on.append(place)
        self.at_work = [self.at_work[place] for place in going_on]
        return going_on

    def responses(self) -> list[Response]:
        """Return the answers, in the order of the prompts."""
        return [
            Response(row.prompt.question_id, completion=self._text(row), stop=row.stop, tokens=len(row.tokens))
            for row in self.rows
        ]

    def _text(self, row: Row) -> str:
        return self._decode(row.tokens).strip()

    def _after(self, row: Row, token: int) -> Stop | None:
        if token in self._ends:
            return Stop.EOS
        row.tokens.append(token)
        settled = self._settled
        # A character whose bytes are not all there yet is no part of the text to judge.
        if settled is not None and settled(self._text(row).rstrip("\ufffd"), row.prompt.letters, row.prompt.choices):
            return Stop.SETTLED
        return Stop.LENGTH if len(row.tokens) >= self.limit else None


def greedy(
    model: Any,
    inputs: dict[str, torch.Tensor],
    rows: Rows,
    encoded: Callable[[], object] = lambda: None,
    waiting: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> None:
    """Generate until every row has ended; `rows` collects the answers.

    Args:
        model: transformers' model.
        inputs: a batch on its device.
        rows: the answers in the making.
        encoded: called when pictures have been encoded.
        waiting: entered while the device is waited for.
    """
    import torch

    def loop(
        model: Any, input_ids: Any, logits_processor: Any, stopping_criteria: Any, generation_config: Any, **state: Any
    ) -> None:
        two_parts = bool(model.config.is_encoder_decoder)
        first: dict[str, Any] = {"is_first_iteration": True}
        while True:
            prepared = model.prepare_inputs_for_generation(input_ids, **first, **state)
            outputs = model(**prepared, return_dict=True)
            encoded()
            first = {"next_sequence_length": 1}
            state = model._update_model_kwargs_for_generation(outputs, state, is_encoder_decoder=two_parts)
            chosen = logits_processor(input_ids, outputs.logits[:, -1]).argmax(dim=-1)
            with waiting():
                tokens = chosen.tolist()
            going_on = rows.take(tokens)
            input_ids = torch.cat([input_ids, chosen[:, None].to(input_ids)], dim=-1)
            if not going_on:
                return
            if len(going_on) < len(chosen):
                places = torch.tensor(going_on, device=input_ids.device)
                input_ids = input_ids[places]
                state = _only(state, places, len(chosen))

    with torch.inference_mode(), _answering():
        model.generate(**inputs, custom_generate=loop, max_new_tokens=rows.limit)


@dataclass(frozen=True, slots=True)
class Ranked:
    """Log-probabilities that a device computes."""

    found: torch.Tensor
    """Shape (rows, most tokens of a row)."""
    counts: list[int]
    """Tokens of each row."""

    def values(self) -> list[tuple[float, ...]]:
        """Wait for them."""
        return [tuple(row[:count]) for row, count in zip(self.found.tolist(), self.counts, strict=True)]


def rank(model: Any, inputs: dict[str, torch.Tensor], tokens: list[list[int]]) -> Ranked:
    """Return for each row the log-probabilities of its tokens as the next one, over the whole vocabulary."""
    import torch

    ranked: list[Ranked] = []

    def loop(
        model: Any, input_ids: Any, logits_processor: Any, stopping_criteria: Any, generation_config: Any, **state: Any
    ) -> None:
        prepared = model.prepare_inputs_for_generation(input_ids, is_first_iteration=True, **state)
        logits = model(**prepared, return_dict=True).logits[:, -1]
        exact = torch.float64 if logits.dtype == torch.float64 else torch.float32
        widest = max(map(len, tokens))
        wanted = torch.tensor([[*row, *row[:1] * (widest - len(row))] for row in tokens])
        if logits.is_cuda:
            wanted = wanted.pin_memory()
        places = wanted.to(logits.device, non_blocking=True)
        ranked.append(Ranked(logits.to(exact).log_softmax(dim=-1).gather(1, places), list(map(len, tokens))))

    with torch.inference_mode(), _answering():
        model.generate(**inputs, custom_generate=loop, max_new_tokens=1, use_cache=False)
    return ranked[0]


ROWS_AT_A_TIME = 16384
"""Rows of the output layer that are widened to float32 at a time: 256 MB of a model with 4,096 hidden units."""

_at_work: ContextVar[bool] = ContextVar("answering", default=False)


@contextmanager
def _answering() -> Iterator[None]:
    """Tell the output layer of a model, for this thread, that it answers a batch (`sharpen`)."""
    before = _at_work.set(True)
    try:
        yield
    finally:
        _at_work.reset(before)


def sharpen(model: Any) -> None:
    """Let the output layer look at the last token alone, and answer in float32, while `greedy` and `rank` run.

    Logits of other tokens are never used there.  In half precision those of two letters often end in a tie, which is no
    verdict where letters are ranked, and the first one where they are written.
    """
    import torch

    head: Any = model.get_output_embeddings()
    if head is None:
        return

    def last_alone(_: Any, given: Any) -> Any:
        # Those of a batch do not lie together, and are slow then.
        return (given[0][..., -1:, :].contiguous(), *given[1:]) if _at_work.get() else None

    head.register_forward_pre_hook(last_alone)
    spread = hasattr(head, "_hf_hook")  # its weights are somewhere else until they are needed
    if type(head) is not torch.nn.Linear or spread or head.weight.dtype not in {torch.bfloat16, torch.float16}:
        return
    usual = head.forward

    def forward(hidden: torch.Tensor) -> torch.Tensor:
        if not _at_work.get():
            given: torch.Tensor = usual(hidden)
            return given
        parts = [hidden.float() @ rows.float().T for rows in torch.split(head.weight, ROWS_AT_A_TIME)]
        logits = torch.cat(parts, dim=-1)
        return logits if head.bias is None else logits + head.bias

    head.forward = forward  # type: ignore[assignment]


def make_greedy(model: Any) -> None:
    """Leave a model's generation settings with `KEPT_SETTINGS` only, in all its parts."""
    from transformers import GenerationConfig

    for part in model.modules():
        given = getattr(part, "generation_config", None)
        if given is not None:
            kept = {name: getattr(given, name, None) for name in KEPT_SETTINGS}
            part.generation_config = GenerationConfig(do_sample=False, num_beams=1, **kept)


def _only(state: dict[str, Any], places: torch.Tensor, rows: int) -> dict[str, Any]:
    """Return a loop's state for some of its rows; the cache is cut in place."""
    import torch

    kept: dict[str, Any] = {}
    for name, value in state.items():
        if hasattr(value, "batch_select_indices"):
            value.batch_select_indices(places)
        elif isinstance(value, torch.Tensor) and name.endswith("position_ids") and value.dim() == 3:
            value = value[:, places]  # several kinds of positions come first
        elif isinstance(value, torch.Tensor) and value.dim() > 0 and value.shape[0] == rows:
            value = value[places]
        elif isinstance(value, dict) and type(value) is not dict:
            value = type(value)(**_only(dict(value), places, rows))  # an encoder's outputs
        kept[name] = value
    return kept
