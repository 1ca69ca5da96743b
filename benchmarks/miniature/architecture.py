"""The tiny Idefics2: configuration, tokenizer, processor, and weights drawn anew."""

from __future__ import annotations

import re
import string
from collections.abc import Iterable
from typing import Any

from fgvr_bench.engines import torchvision_ops

PIXELS = 96
LATENTS = 16
SPECIAL = ("<unk>", "<s>", "</s>", "<fake_token_around_image>", "<image>", "<end_of_utterance>")
IMAGE_TOKEN = SPECIAL.index("<image>")
END_OF_UTTERANCE = SPECIAL.index("<end_of_utterance>")
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ message.role.capitalize() }}"
    "{{ ':' if message.content[0].type == 'image' else ': ' }}"
    "{% for part in message.content %}{% if part.type == 'image' %}<image>{% else %}{{ part.text }}{% endif %}"
    "{% endfor %}<end_of_utterance>\n{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}"
)
"""What Idefics2's renders, for messages whose content is a list of parts."""
CONTEXT = 1024


def make_tokenizer(texts: Iterable[str]) -> Any:
    """Return a tokenizer of the words of `texts`, which spells every other word.

    A word is one token with the space before it (SentencePiece's ``▁``) or without, as it stands in the texts; so are
    signs.  Pieces between special tokens begin with ``▁`` whether or not a space is written there: versions of
    transformers differ in whether Idefics2's processor writes one after the picture.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words: set[str] = set()
    for text in texts:
        plain = re.sub("|".join(map(re.escape, SPECIAL)), " ", f" {text}")
        words.update(re.findall(r"▁?[A-Za-z]{2,}|▁[A-Za-z]\b", re.sub(" +", "▁", plain)))
    signs = ["▁", "\n", *string.ascii_letters, *string.digits, *string.punctuation]
    pieces = [(token, 0.0) for token in SPECIAL] + [(sign, -10.0) for sign in signs]
    pieces += [(word, -1.0) for word in sorted(words)]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=0))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in SPECIAL])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", SPECIAL.index("<s>"))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        pad_token="<unk>",
        padding_side="left",
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
    )


def make_processor(tokenizer: Any) -> Any:
    """Return Idefics2's processor for pictures of 96 pixels."""
    torchvision_ops.ensure()
    from transformers import Idefics2ImageProcessor, Idefics2Processor

    images = Idefics2ImageProcessor(
        size={"longest_edge": PIXELS, "shortest_edge": PIXELS},
        image_mean=[0.5, 0.5, 0.5],
        image_std=[0.5, 0.5, 0.5],
        do_image_splitting=False,
    )
    return Idefics2Processor(images, tokenizer, image_seq_len=LATENTS, chat_template=CHAT_TEMPLATE)


def make_config(vocabulary: int, hidden: int = 128, layers: int = 4) -> Any:
    """Return the configuration; the tests take a smaller one."""
    from transformers import Idefics2Config

    spread = {"initializer_range": 0.05}
    return Idefics2Config(
        text_config={
            "model_type": "mistral",
            "vocab_size": vocabulary,
            "hidden_size": hidden,
            "intermediate_size": 3 * hidden,
            "num_hidden_layers": layers,
            "num_attention_heads": 4,
            "num_key_value_heads": 4,
            "head_dim": hidden // 4,
            "max_position_embeddings": CONTEXT,
            "sliding_window": None,
            "rms_norm_eps": 1e-5,
            "pad_token_id": 0,
            "bos_token_id": 1,
            "eos_token_id": 2,
            **spread,
        },
        vision_config={
            "hidden_size": hidden,
            "intermediate_size": 3 * hidden,
            "num_hidden_layers": layers,
            "num_attention_heads": 4,
            "image_size": PIXELS,
            "patch_size": 12,
            **spread,
        },
        perceiver_config={
            "hidden_size": hidden,
            "rms_norm_eps": 1e-5,
            "resampler_n_latents": LATENTS,
            "resampler_depth": 2,
            "resampler_n_heads": 4,
            "resampler_head_dim": hidden // 4,
            "num_key_value_heads": 4,
            **spread,
        },
        image_token_id=IMAGE_TOKEN,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=[2, END_OF_UTTERANCE],
        tie_word_embeddings=False,
    )


def make_model(config: Any, seed: int) -> Any:
    """Draw a model's weights; its patch positions are those of the table that evaluation uses."""
    torchvision_ops.ensure()
    import torch
    from transformers import Idefics2ForConditionalGeneration

    from fgvr_models._idefics2_positions import use_table

    torch.manual_seed(seed)
    model = Idefics2ForConditionalGeneration(config)
    latents = model.model.connector.perceiver_resampler.latents
    with torch.no_grad():  # transformers makes them all ones, and alike they would stay: it expects trained weights
        latents.normal_(0.0, 0.2)
    use_table(model)
    return model
