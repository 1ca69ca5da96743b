"""What becomes of a prompt and its image before the model: in worker processes, without a device."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fgvr_bench.core.shared_memory import room
from fgvr_bench.engines.devices import torch_dtype
from fgvr_bench.engines.huggingface.answers import AnswerTokens
from fgvr_bench.engines.huggingface.sharing import find_shared
from fgvr_bench.engines.huggingface.templates import Template, image_placeholder
from fgvr_bench.engines.torchvision_ops import Carried
from fgvr_bench.interfaces import Preparer
from fgvr_bench.types import NoImage, Prompt

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

ANSWERS = "answer_tokens"
"""Key of a batch beside the model's inputs: for each row the tokens to rank."""
SHARED = "shared_pictures"
"""Key of a batch beside the model's inputs: which rows show the same picture, or None."""
SOURCE = "picture"
"""Key of an item beside the model's inputs: where its picture comes from."""


Process = Callable[[Any, str, "Image"], dict[str, Any]]
"""``process(processor, text, image)``: the model's inputs; a function of a module, so that it can be pickled."""


def call_processor(processor: Any, text: str, image: Image) -> dict[str, Any]:
    """Call a processor as most want to be called; a text that begins with the token for it gets no second one."""
    special = _wants_special(processor, text)
    return dict(processor(text=[text], images=[image], return_tensors="pt", add_special_tokens=special))


def call_without_image(processor: Any, text: str) -> dict[str, Any]:
    """Return the inputs of a prompt of words alone."""
    special = _wants_special(processor, text)
    return dict(processor.tokenizer([text], return_tensors="pt", add_special_tokens=special))


def _wants_special(processor: Any, text: str) -> bool:
    begins = processor.tokenizer.bos_token
    return not (begins and text.startswith(begins))


class HuggingFacePreparer(Preparer):
    """Chat template and processor for one prompt; padding for a batch.

    Holds the processor, never weights.  Every item is processed on its own, so that what becomes of it cannot depend
    on its neighbours; a batch only pads.
    """

    def __init__(
        self,
        processor: Any,
        template: Template,
        dtype: str = "float32",
        ranks: bool = False,
        longest: int | None = None,
        process: Process | None = None,
        words_alone: bool = True,
    ) -> None:
        """Make a preparer.

        Args:
            processor: transformers' processor, with tokenizer and image processor.
            template: the text around a question.
            dtype: the model's precision, which pixels are converted to.
            ranks: whether answers are ranked by one prefill, so that their tokens have to be found.
            longest: how many tokens the model takes, answer included; None where unknown.
            process: calls the processor, for families whose processor is called in its own way.
            words_alone: whether the model can be asked without a picture.
        """
        self.template = template
        self.dtype = dtype
        self.ranks = ranks
        self.longest = longest
        self._process = process or call_processor
        self._words_alone = words_alone
        self._carried = Carried(processor)
        self._placeholder = image_placeholder(processor)
        tokenizer = processor.tokenizer
        self._pad = int(tokenizer.pad_token_id or 0)
        self.answer_tokens = AnswerTokens(tokenizer, template.separator(processor))

    @property
    def processor(self) -> Any:
        """Transformers' processor."""
        return self._carried.value

    def text(self, prompt: Prompt) -> str:
        """Return the text that the processor gets.

        A prompt that holds the image's placeholder is a whole prompt already (a template of protocol ``foci``) and
        stays as it is; a label that spells the placeholder makes no such prompt.
        """
        if isinstance(prompt.image, NoImage):
            return self.template.render(self.processor, prompt.text, picture=False)
        whole = self._placeholder in prompt.text and not any(self._placeholder in label for label in prompt.choices)
        return prompt.text if whole else self.template.render(self.processor, prompt.text)

    def item(self, prompt: Prompt, image: Image) -> dict[str, Any]:
        """Return the model's inputs for one prompt: tensors with a first dimension of rows, images or patches.

        Raises:
            ValueError: the prompt is longer than the model takes, or the processor refuses text or image.
            NotDistinct: answers are to be ranked and two begin with the same token.
        """
        text = self.text(prompt)
        blind = isinstance(prompt.image, NoImage)
        if blind and not self._words_alone:
            raise ValueError("this model cannot be asked without a picture")
        inputs = call_without_image(self.processor, text) if blind else self._process(self.processor, text, image)
        inputs.pop("labels", None)  # targets for training, which some processors add unasked
        if self.ranks:
            shared, firsts = self.answer_tokens.find(text, prompt.letters or prompt.choices)
            inputs = _extended(inputs, shared)
            inputs[ANSWERS] = firsts
        length = inputs["input_ids"].shape[1]
        if self.longest is not None and length >= self.longest:
            raise ValueError(f"the prompt has {length} tokens, and the model takes {self.longest}")
        pixels = torch_dtype(self.dtype)
        item = {key: _small(key, value, inputs, pixels) for key, value in inputs.items()}
        return {**item, SOURCE: prompt.image}

    def batch(self, items: list[dict[str, Any]]) -> dict[str, Any]:
        """Join items: prompts are padded on the left, all else at its far sides, both with what the model masks."""
        joined: dict[str, Any] = {ANSWERS: [item[ANSWERS] for item in items]} if self.ranks else {}
        joined[SHARED] = find_shared([item[SOURCE] for item in items], items)
        for key in items[0]:
            if key in {ANSWERS, SOURCE}:
                continue
            values = [item[key] for item in items]
            if _is_text(key, items[0]):
                joined[key] = _joined(values, self._pad if key == "input_ids" else 0, left=True)
            else:
                joined[key] = _joined(values, 0, left=False)
        return joined


def on_device(batch: dict[str, Any], device: Any) -> dict[str, torch.Tensor]:
    """Return the model's inputs of a batch on a device, as the processor made them."""
    import torch

    moved = {key: value.to(device, non_blocking=True) for key, value in batch.items() if key not in {ANSWERS, SHARED}}
    return {key: value.long() if value.dtype == torch.uint8 else value for key, value in moved.items()}


def _small(key: str, value: Any, item: dict[str, Any], pixels: torch.dtype) -> Any:
    """Return an input as it travels: pixels in the model's precision, a mask over pixels in bytes, not in eights."""
    import torch

    if not isinstance(value, torch.Tensor):
        return value
    if value.dtype == torch.int64 and key.endswith("mask") and not _is_text(key, item):
        return value.to(torch.uint8)
    return value.to(pixels) if value.is_floating_point() else value


def _is_text(key: str, item: dict[str, Any]) -> bool:
    """Say whether a tensor's second dimension counts the prompt's tokens."""
    # A Q-Former's own text can be just as long, and its absolute positions want padding on the right.
    is_text: bool = not key.startswith("qformer") and item[key].shape[:2] == item["input_ids"].shape[:2]
    return is_text


def _extended(inputs: dict[str, Any], tokens: list[int]) -> dict[str, Any]:
    """Return the inputs with tokens appended to the text; what is said of the last token holds for them too."""
    import torch

    if not tokens:
        return inputs
    extended = dict(inputs)
    for key, value in inputs.items():
        if value.shape[:2] == inputs["input_ids"].shape[:2]:
            extended[key] = torch.cat([value, *[value[:, -1:]] * len(tokens)], dim=1)
    extended["input_ids"][:, -len(tokens) :] = torch.tensor(tokens)
    return extended


def _joined(values: list[torch.Tensor], fill: int, left: bool) -> torch.Tensor:
    """Concatenate along the first dimension; pad the others to the longest, on the left or on the far side."""
    import torch

    shape = [max(sizes) for sizes in zip(*(value.shape[1:] for value in values), strict=True)]
    joined = room([sum(value.shape[0] for value in values), *shape], values[0].dtype)
    if all(list(value.shape[1:]) == shape for value in values):
        return torch.cat(values, out=joined)
    joined.fill_(fill)
    start = 0
    for value in values:
        place: list[slice] = [slice(start, start + value.shape[0])]
        for position, (size, most) in enumerate(zip(value.shape[1:], shape, strict=True)):
            place.append(slice(most - size, most) if left and position == 0 else slice(0, size))
        joined[tuple(place)] = value
        start += value.shape[0]
    return joined
