"""From training rows to the tensors of a step: questions with pictures, and the four groups of texts of stage I.

Two readings, as of the losses (`finedefics.objective`).

``paper`` (any family): the processor is called as the harness calls it when it asks the model; rows are padded on the
right; labels are -100 wherever nothing is to be learnt: padding, the prompt (unless `answer_only` is off), image
tokens always.  Texts come with masks and with the ids of their categories.

``released`` (Idefics2): equal to the published collator, byte for byte, wherever that one is sane.  It keeps:

* rows and texts padded on the tokenizer's own side, texts without masks;
* labels that are the input with padding renamed to the image token;
* texts of such rows only as have them: with attributes in some rows, descriptions and rows part company;
* texts not at all unless some row has a category; negatives, where there are descriptions, not unless some row has a
  negative description (``neg_cat_tokens`` is None where there are negative descriptions only);
* an empty negative (a cell that ends with the separator) as a text of two tokens;
* images as they are stored: no EXIF rotation, transparency dropped;
* ``pixel_attention_mask`` in 64-bit floating point where rows differ in their number of images, else in integers.

It differs, on purpose, where the published one is not sane:

* descriptions without a category in a batch leave the published tokenizer with end-of-text switched on, so that every
  later prompt ends in ``</s>``; here a batch never depends on another;
* ``<end_of_utterance>`` is dropped where *base* stands anywhere in the model's path; here `end_of_utterance` says so;
* cells that pandas takes for missing (``NA``, ``None``, ``null``) or for numbers are text here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fgvr_bench.engines.huggingface.templates import choose_template
from fgvr_bench.engines.torchvision_ops import Carried
from fgvr_bench.errors import DataInvalid, UsageError
from finedefics.inputs import as_stored, stored, unrounded, upright, without_splitting

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

    from finedefics.objective import Reading
    from finedefics.rows import TrainingRow

IGNORED = -100
"""Label of a position that nothing is learnt at."""

Batch = dict[str, Any]
"""Tensors by name; see `Collator.__call__`."""


class Collator:
    """Makes batches; holds copies of the processor's parts, never changes what it was given."""

    def __init__(
        self,
        processor: Any,
        reading: Reading = "paper",
        *,
        answer_only: bool = True,
        texts: bool = True,
        end_of_utterance: bool = True,
    ) -> None:
        """Make a collator.

        Args:
            processor: transformers' processor, with tokenizer, image processor and chat template.
            reading: see the module.
            answer_only: whether only the answer's tokens and the end token after it are learnt; ``paper`` only.
            texts: whether descriptions and categories are taken along (stage I).
            end_of_utterance: whether turns end with that token; off for base models, ``released`` only.

        Raises:
            UsageError: a reading that the processor's family does not have.
            ModelUnavailable: the processor has no chat template.
        """
        self.reading = reading
        self.answer_only = answer_only
        self.texts = texts
        self.end_of_utterance = end_of_utterance
        self._carried = Carried(without_splitting(processor))
        self._tokenizer = self._processor.tokenizer
        if reading == "released":
            if not hasattr(processor, "fake_image_token"):
                raise UsageError(
                    f"The reading 'released' is that of Idefics2; {type(processor).__name__} is of another family.",
                    hint="Leave --reading out.",
                )
            self._tokenizer = as_stored(processor.tokenizer)
            self._images = Carried(unrounded(self._processor.image_processor))
        else:
            self._tokenizer.padding_side = "right"
        name = getattr(self._tokenizer, "name_or_path", "")
        self._template = choose_template(self._processor, None, None, name).text

    @property
    def _processor(self) -> Any:
        return self._carried.value

    def __call__(self, rows: Sequence[TrainingRow]) -> Batch:
        """Make one batch.

        Args:
            rows: B training rows.

        Returns:
            ``input_ids``, ``attention_mask``, ``labels`` of shape (B, T); ``pixel_values`` and what else the family's
            image processor gives; with texts ``att_tokens``, ``cat_tokens``, ``neg_att_tokens``, ``neg_cat_tokens`` of
            shape (texts, tokens), each ending with end-of-text.  ``paper`` adds ``att_mask`` and so on, ``lines``
            (B,), ``image_rows`` (I,), ``category_ids`` (B,), ``neg_att_ids`` (P,), ``neg_cat_ids`` (Q,) and ``pairs``
            (P,) for `finedefics.objective.Embeddings`.

        Raises:
            DataInvalid: an image cannot be read; ``paper``: only some rows have descriptions or categories, or a text
                is empty.
        """
        return self._released(rows) if self.reading == "released" else self._paper(rows)

    def _released(self, rows: Sequence[TrainingRow]) -> Batch:
        prompts = [self._expanded(self._rendered(row, row.answer)) for row in rows]
        words = self._tokenizer(prompts, padding=True, return_tensors="pt")
        pictures = self._images.value(
            [[stored(path, row) for path in row.image_paths] for row in rows], return_tensors="pt"
        )
        labels = words["input_ids"].clone()
        labels[labels == self._tokenizer.pad_token_id] = self._processor.image_token_id
        batch: Batch = {
            "input_ids": words["input_ids"],
            "attention_mask": words["attention_mask"],
            "pixel_values": pictures["pixel_values"],
            "pixel_attention_mask": pictures["pixel_attention_mask"],
            "labels": labels,
        }
        if len({len(row.image_paths) for row in rows}) > 1:
            batch["pixel_attention_mask"] = batch["pixel_attention_mask"].double()
        if self.texts:
            batch.update(self._released_texts(rows))
        return batch

    def _released_texts(self, rows: Sequence[TrainingRow]) -> Batch:
        attributes = [row.attribute for row in rows if row.attribute is not None]
        categories = [row.category for row in rows if row.category is not None]
        neg_attributes = [text for row in rows for text in row.neg_attributes]
        neg_categories = [text for row in rows for text in row.neg_categories]
        if not categories:
            return {}
        batch: Batch = {"cat_tokens": self._tokens(categories)[0]}
        if attributes:
            batch["att_tokens"] = self._tokens(attributes)[0]
            if neg_attributes:
                batch["neg_att_tokens"] = self._tokens(neg_attributes)[0]
                batch["neg_cat_tokens"] = self._tokens(neg_categories)[0] if neg_categories else None
        elif neg_categories:
            batch["neg_cat_tokens"] = self._tokens(neg_categories)[0]
        return batch

    def _paper(self, rows: Sequence[TrainingRow]) -> Batch:
        import torch

        pictures = [[upright(path, row) for path in row.image_paths] for row in rows]
        texts = [self._rendered(row, row.answer) for row in rows]
        batch: Batch = dict(self._processed(texts, pictures))
        labels = torch.where(batch["attention_mask"].bool(), batch["input_ids"], IGNORED)
        labels[labels == self._image_token()] = IGNORED
        if self.answer_only:
            asked = self._processed([self._rendered(row, None) for row in rows], pictures)["input_ids"]
            for label, whole, prompt in zip(labels, batch["input_ids"], asked, strict=True):
                label[: _shared(whole, prompt)] = IGNORED
        batch["labels"] = labels
        batch["lines"] = torch.tensor([row.line for row in rows])
        batch["image_rows"] = torch.tensor([number for number, row in enumerate(rows) for _ in row.image_paths])
        if self.texts:
            batch.update(self._paper_texts(rows))
        return batch

    def _paper_texts(self, rows: Sequence[TrainingRow]) -> Batch:
        import torch

        having = [row.attribute is not None and row.category is not None for row in rows]
        if not any(having):
            return {}
        for row, has in zip(rows, having, strict=True):
            written = (row.attribute or "", row.category or "", *row.neg_attributes, *row.neg_categories)
            if not has or not all(text.strip() for text in written):
                raise DataInvalid(
                    f"{row.where}: no attribute, no category or an empty negative, among rows that have them.",
                    hint="Correct the row or leave it out.",
                )
        groups = {
            "att": [row.attribute or "" for row in rows],
            "cat": [row.category or "" for row in rows],
            "neg_att": [text for row in rows for text in row.neg_attributes],
            "neg_cat": [text for row in rows for text in row.neg_categories],
        }
        batch: Batch = {}
        for name, texts in groups.items():
            if texts:
                batch[f"{name}_tokens"], batch[f"{name}_mask"] = self._tokens([text.strip() for text in texts])
        batch["category_ids"] = torch.tensor([category_id(name) for name in groups["cat"]])
        batch["neg_cat_ids"] = torch.tensor([category_id(name) for name in groups["neg_cat"]], dtype=torch.long)
        batch["neg_att_ids"], batch["pairs"] = _paired(rows)
        return batch

    def _rendered(self, row: TrainingRow, answer: str | None) -> str:
        """Return the chat template's text: pictures, the question, and the answer with what ends it."""
        content = [{"type": "image"}] * len(row.image_paths) + [{"type": "text", "text": row.question}]
        turns: list[dict[str, Any]] = [{"role": "user", "content": content}]
        if answer is None:
            prompt: str = self._processor.apply_chat_template(
                turns, chat_template=self._template, add_generation_prompt=True
            )
            return prompt
        turns.append({"role": "assistant", "content": [{"type": "text", "text": answer}]})
        text: str = self._processor.apply_chat_template(
            turns, chat_template=self._template, add_generation_prompt=False
        ).strip()
        if self.reading == "released":
            return text if self.end_of_utterance else text.replace("<end_of_utterance>", "")
        # A template that leaves the answer open would teach the model never to stop.
        closed = text.endswith(tuple(self._tokenizer.all_special_tokens))
        return text if closed else text + str(self._tokenizer.eos_token)

    def _expanded(self, text: str) -> str:
        """Return the text with each image's tokens, two adjacent fake tokens made one."""
        fake, image = self._processor.fake_image_token, self._processor.image_token
        whole = text.replace(image, f"{fake}{image * self._processor.image_seq_len}{fake}")
        return whole.replace(f"{fake}{fake}", fake)

    def _processed(self, texts: list[str], pictures: list[list[Image]]) -> Any:
        """Call the processor as the harness does: a text that begins with the token for it gets no second one."""
        begins = self._tokenizer.bos_token
        return self._processor(
            text=texts,
            images=pictures,
            padding=True,
            return_tensors="pt",
            add_special_tokens=not (begins and texts[0].startswith(begins)),
        )

    def _image_token(self) -> int:
        return int(self._processor.image_token_id)

    def _tokens(self, texts: list[str]) -> tuple[Tensor, Tensor]:
        """Return ids and mask of texts that each end with end-of-text, padded on the tokenizer's side."""
        import torch

        ends = self._tokenizer.eos_token_id
        ids = [[*self._tokenizer(text).input_ids, ends] for text in texts]
        width = max(map(len, ids))
        tokens = torch.full((len(ids), width), int(self._tokenizer.pad_token_id))
        mask = torch.zeros((len(ids), width), dtype=torch.long)
        for number, each in enumerate(ids):
            place = slice(0, len(each)) if self._tokenizer.padding_side == "right" else slice(width - len(each), width)
            tokens[number, place] = torch.tensor(each)
            mask[number, place] = 1
        return tokens, mask


def category_id(name: str) -> int:
    """Return a number for a category, the same in every process: 62 bits of a digest of its name.

    Spelling counts, but for spaces at the ends.
    """
    return int.from_bytes(hashlib.blake2b(name.strip().encode(), digest_size=8).digest(), "big") >> 2


def _paired(rows: Sequence[TrainingRow]) -> tuple[Tensor, Tensor]:
    """Return for each negative description its category's id and its place among the negative names, -1 unknown."""
    import torch

    ids: list[int] = []
    places: list[int] = []
    start = 0
    for row in rows:
        paired = len(row.neg_attributes) == len(row.neg_categories)
        for number in range(len(row.neg_attributes)):
            ids.append(category_id(row.neg_categories[number]) if paired else -1)
            places.append(start + number if paired else -1)
        start += len(row.neg_categories)
    return torch.tensor(ids, dtype=torch.long), torch.tensor(places, dtype=torch.long)


def _shared(whole: Tensor, prompt: Tensor) -> int:
    """Return how many tokens at the beginning two rows share; padding is on the right."""
    width = min(len(whole), len(prompt))
    different = (whole[:width] != prompt[:width]).nonzero()
    return int(different[0]) if len(different) else width
