"""One tiny checkpoint a family.  Chat templates render what the makers' own do (sources beside the goldens)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import tiny

from fgvr_bench.engines import torchvision_ops

QWEN_SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{% for part in message.content %}{% if part.type == 'image' %}IMAGE{% else %}{{ part.text }}{% endif %}"
    "{% endfor %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def seeded() -> None:
    """Make the next random weights the same every time; torchvision's import comes first."""
    torchvision_ops.ensure()
    import torch

    torch.manual_seed(0)


def spread(model: Any, scale: float = 0.2) -> Any:
    """Draw larger weights: with the usual tiny ones every answer would be all but the same."""
    import torch

    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1:
                parameter.normal_(0.0, scale, generator=generator)
            elif name.endswith("gate"):
                parameter.fill_(1.0)  # closed at the start of training: nothing would be seen through them
    return model.eval()


def text(kind: str, vocabulary: int, **more: Any) -> Any:
    """Return the configuration of a two-layer language model."""
    from transformers import CONFIG_MAPPING

    settings: dict[str, Any] = {
        "vocab_size": vocabulary,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 2048,
        "pad_token_id": 0,
    }
    return CONFIG_MAPPING[kind](**{**settings, **more})


def clip_vision(kind: str = "clip_vision_model", **more: Any) -> Any:
    """Return the configuration of a two-layer vision tower for 28-pixel images of four patches."""
    from transformers import CONFIG_MAPPING

    settings: dict[str, Any] = {
        "hidden_size": 24,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 28,
        "patch_size": 14,
    }
    return CONFIG_MAPPING[kind](**{**settings, **more})


LLAVA_TEMPLATE = (
    "{% for message in messages %}{{ message.role.upper() }}: "
    "{% for part in message.content %}{% if part.type == 'image' %}<image>\n{% else %}{{ part.text }} {% endif %}"
    "{% endfor %}{% endfor %}{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)


def llava(folder: Path, width: int | None = None) -> Path:
    seeded()
    from transformers import CLIPImageProcessor, LlavaConfig, LlavaForConditionalGeneration, LlavaProcessor

    sizes = {} if width is None else {"hidden_size": width, "intermediate_size": 2 * width}

    words = tiny.tokenizer(["<pad>", "<s>", "</s>", "<image>"], "<s>", "</s>", "<pad>", begins=True)
    config = LlavaConfig(
        text_config=text("llama", len(words), bos_token_id=1, eos_token_id=2, **sizes),
        vision_config=clip_vision(**sizes),
        image_token_index=3,
        vision_feature_select_strategy="default",
    )
    images = CLIPImageProcessor(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28})
    processor = LlavaProcessor(
        images,
        words,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=LLAVA_TEMPLATE,
    )
    return tiny.save(folder, spread(LlavaForConditionalGeneration(config)), processor)


MISTRAL_TEMPLATE = (
    "{% for message in messages %}{% if message.role == 'user' %}[INST] "
    "{% for part in message.content %}{% if part.type == 'image' %}<image>\n{% else %}{{ part.text }}{% endif %}"
    "{% endfor %} [/INST]{% else %} {{ message.content[0].text }}</s>{% endif %}{% endfor %}"
)


VICUNA_TEMPLATE = (
    "A chat between a curious human and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the human's questions. " + LLAVA_TEMPLATE
)


def llava_next_vicuna(folder: Path) -> Path:
    return llava_next(folder, "llama", VICUNA_TEMPLATE)


def llava_next(folder: Path, language: str = "mistral", template: str = MISTRAL_TEMPLATE) -> Path:
    seeded()
    from transformers import (
        LlavaNextConfig,
        LlavaNextForConditionalGeneration,
        LlavaNextImageProcessor,
        LlavaNextProcessor,
    )

    words = tiny.tokenizer(["<unk>", "<s>", "</s>", "<image>"], "<s>", "</s>", "<unk>", begins=True)
    grid = [[28, 56], [56, 28], [56, 56]]
    config = LlavaNextConfig(
        text_config=text(language, len(words), bos_token_id=1, eos_token_id=2),
        vision_config=clip_vision(),
        image_token_index=3,
        image_grid_pinpoints=grid,
        vision_feature_select_strategy="default",
    )
    images = LlavaNextImageProcessor(
        size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}, image_grid_pinpoints=grid
    )
    processor = LlavaNextProcessor(
        images,
        words,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=template,
    )
    return tiny.save(folder, spread(LlavaNextForConditionalGeneration(config)), processor)


ONEVISION_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }} "
    "{% for part in message.content %}{% if part.type == 'image' %}<image>\n{% else %}{{ part.text }}{% endif %}"
    "{% endfor %}<|im_end|>{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def llava_onevision(folder: Path) -> Path:
    seeded()
    from transformers import (
        LlavaOnevisionConfig,
        LlavaOnevisionForConditionalGeneration,
        LlavaOnevisionImageProcessor,
        LlavaOnevisionProcessor,
        LlavaOnevisionVideoProcessor,
    )

    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>", "<video>"]
    words = tiny.tokenizer(special, None, "<|im_end|>", "<|endoftext|>")
    grid = [[28, 28], [28, 56], [56, 28], [56, 56]]
    config = LlavaOnevisionConfig(
        text_config=text("qwen2", len(words), eos_token_id=2),
        vision_config=clip_vision("siglip_vision_model"),
        image_token_index=3,
        video_token_index=4,
        image_grid_pinpoints=grid,
        vision_feature_select_strategy="full",
    )
    processor = LlavaOnevisionProcessor(
        LlavaOnevisionImageProcessor(size={"height": 28, "width": 28}, image_grid_pinpoints=grid),
        words,
        LlavaOnevisionVideoProcessor(size={"height": 28, "width": 28}),
        num_image_tokens=4,
        vision_feature_select_strategy="full",
        chat_template=ONEVISION_TEMPLATE,
    )
    return tiny.save(folder, spread(LlavaOnevisionForConditionalGeneration(config)), processor)


def qwen_words() -> Any:
    """Return a tokenizer with the special tokens of Qwen2-VL and its successors."""
    return tiny.tokenizer(QWEN_SPECIAL, None, "<|im_end|>", "<|endoftext|>")


QWEN_IMAGE = "<|vision_start|><|image_pad|><|vision_end|>"
QWEN2_TEMPLATE = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n" + CHATML.replace("IMAGE", QWEN_IMAGE)


def qwen_ids() -> dict[str, int]:
    return {
        "vision_start_token_id": 3,
        "vision_end_token_id": 4,
        "image_token_id": 5,
        "video_token_id": 6,
    }


def qwen2_vl(folder: Path) -> Path:
    seeded()
    from transformers import (
        Qwen2VLConfig,
        Qwen2VLForConditionalGeneration,
        Qwen2VLImageProcessor,
        Qwen2VLProcessor,
        Qwen2VLVideoProcessor,
    )

    words = qwen_words()
    config = Qwen2VLConfig(
        text_config=text(
            "qwen2_vl_text",
            len(words),
            eos_token_id=2,
            rope_parameters={"rope_type": "default", "mrope_section": [1, 1, 2]},
        ).to_dict(),
        vision_config={
            "depth": 2,
            "embed_dim": 32,
            "hidden_size": 32,
            "num_heads": 2,
            "mlp_ratio": 2,
            "patch_size": 14,
        },
        **qwen_ids(),
    )
    images = Qwen2VLImageProcessor(min_pixels=28 * 28, max_pixels=28 * 28 * 6)
    processor = Qwen2VLProcessor(images, words, Qwen2VLVideoProcessor(), chat_template=QWEN2_TEMPLATE)
    return tiny.save(folder, spread(Qwen2VLForConditionalGeneration(config)), processor)


def qwen2_5_vl(folder: Path) -> Path:
    seeded()
    from transformers import (
        Qwen2_5_VLConfig,
        Qwen2_5_VLForConditionalGeneration,
        Qwen2_5_VLProcessor,
        Qwen2VLImageProcessor,
        Qwen2VLVideoProcessor,
    )

    words = qwen_words()
    config = Qwen2_5_VLConfig(
        text_config=text(
            "qwen2_5_vl_text",
            len(words),
            eos_token_id=2,
            rope_parameters={"rope_type": "default", "mrope_section": [1, 1, 2]},
        ).to_dict(),
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 48,
            "out_hidden_size": 32,
            "num_heads": 2,
            "patch_size": 14,
            "window_size": 56,
            "fullatt_block_indexes": [1],
        },
        **qwen_ids(),
    )
    images = Qwen2VLImageProcessor(min_pixels=28 * 28, max_pixels=28 * 28 * 6)
    processor = Qwen2_5_VLProcessor(images, words, Qwen2VLVideoProcessor(), chat_template=QWEN2_TEMPLATE)
    return tiny.save(folder, spread(Qwen2_5_VLForConditionalGeneration(config)), processor)


def qwen3_vl(folder: Path) -> Path:
    seeded()
    from transformers import (
        Qwen2VLImageProcessor,
        Qwen3VLConfig,
        Qwen3VLForConditionalGeneration,
        Qwen3VLProcessor,
        Qwen3VLVideoProcessor,
    )

    words = qwen_words()
    config = Qwen3VLConfig(
        text_config=text(
            "qwen3_vl_text",
            len(words),
            eos_token_id=2,
            head_dim=8,
            rope_parameters={"rope_type": "default", "mrope_section": [1, 1, 2], "mrope_interleaved": True},
        ).to_dict(),
        vision_config={
            "depth": 3,
            "hidden_size": 32,
            "intermediate_size": 48,
            "out_hidden_size": 32,
            "num_heads": 2,
            "patch_size": 16,
            "num_position_embeddings": 16,
            "deepstack_visual_indexes": [0, 1],
        },
        **qwen_ids(),
    )
    images = Qwen2VLImageProcessor(
        patch_size=16, image_mean=[0.5] * 3, image_std=[0.5] * 3, min_pixels=32 * 32, max_pixels=32 * 32 * 6
    )
    template = CHATML.replace("IMAGE", QWEN_IMAGE)
    processor = Qwen3VLProcessor(images, words, Qwen3VLVideoProcessor(), chat_template=template)
    return tiny.save(folder, spread(Qwen3VLForConditionalGeneration(config)), processor)


def internvl(folder: Path) -> Path:
    seeded()
    from transformers import (
        GotOcr2ImageProcessor,
        InternVLConfig,
        InternVLForConditionalGeneration,
        InternVLProcessor,
        InternVLVideoProcessor,
    )

    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<img>", "</img>", "<IMG_CONTEXT>", "<video>"]
    words = tiny.tokenizer(
        special,
        None,
        "<|im_end|>",
        "<|endoftext|>",
        start_image_token="<img>",
        end_image_token="</img>",
        context_image_token="<IMG_CONTEXT>",
        video_token="<video>",
    )
    config = InternVLConfig(
        text_config=text("qwen2", len(words), eos_token_id=2),
        vision_config=clip_vision("internvl_vision", image_size=[28, 28], patch_size=[7, 7]),
        image_token_id=5,
        image_seq_length=4,
    )
    processor = InternVLProcessor(
        GotOcr2ImageProcessor(size={"height": 28, "width": 28}, crop_to_patches=True, max_patches=3),
        words,
        InternVLVideoProcessor(),
        image_seq_length=4,
        chat_template=CHATML.replace("IMAGE", "<IMG_CONTEXT>\n"),
    )
    return tiny.save(folder, spread(InternVLForConditionalGeneration(config)), processor)


def paligemma(folder: Path) -> Path:
    seeded()
    from transformers import (
        PaliGemmaConfig,
        PaliGemmaForConditionalGeneration,
        PaliGemmaProcessor,
        SiglipImageProcessor,
    )

    words = tiny.tokenizer(["<pad>", "<eos>", "<bos>", "<image>"], "<bos>", "<eos>", "<pad>", image_token="<image>")
    config = PaliGemmaConfig(
        text_config=text("gemma", len(words), bos_token_id=2, eos_token_id=1, head_dim=8).to_dict(),
        vision_config=clip_vision("siglip_vision_model", vision_use_head=False, projection_dim=32).to_dict(),
        image_token_index=3,
        projection_dim=32,
    )
    images = SiglipImageProcessor(size={"height": 28, "width": 28})
    images.image_seq_length = 4
    processor = PaliGemmaProcessor(images, words)
    return tiny.save(folder, spread(PaliGemmaForConditionalGeneration(config)), processor)


GEMMA_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<start_of_turn>"
    "{{ 'model' if message.role == 'assistant' else message.role }}\n"
    "{% for part in message.content %}{% if part.type == 'image' %}<start_of_image>{% else %}{{ part.text | trim }}"
    "{% endif %}{% endfor %}<end_of_turn>\n{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)


def gemma3(folder: Path) -> Path:
    seeded()
    from transformers import (
        Gemma3Config,
        Gemma3ForConditionalGeneration,
        Gemma3ImageProcessor,
        Gemma3Processor,
    )

    special = ["<pad>", "<eos>", "<bos>", "<start_of_turn>", "<end_of_turn>"]
    special += ["<start_of_image>", "<end_of_image>", "<image_soft_token>"]
    words = tiny.tokenizer(
        special,
        "<bos>",
        "<eos>",
        "<pad>",
        begins=True,
        boi_token="<start_of_image>",
        eoi_token="<end_of_image>",
        image_token="<image_soft_token>",
    )
    config = Gemma3Config(
        text_config=text(
            "gemma3_text",
            len(words),
            bos_token_id=2,
            eos_token_id=1,
            head_dim=8,
            sliding_window=16,
            layer_types=["sliding_attention", "full_attention"],
        ).to_dict(),
        vision_config=clip_vision("siglip_vision_model", vision_use_head=False).to_dict(),
        mm_tokens_per_image=4,
        boi_token_index=5,
        eoi_token_index=6,
        image_token_index=7,
        eos_token_id=[1, 4],
    )
    processor = Gemma3Processor(
        Gemma3ImageProcessor(size={"height": 28, "width": 28}, do_pan_and_scan=False),
        words,
        chat_template=GEMMA_TEMPLATE,
        image_seq_length=4,
    )
    return tiny.save(folder, spread(Gemma3ForConditionalGeneration(config)), processor)


def q_former(**more: Any) -> dict[str, Any]:
    return {
        "hidden_size": 24,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "encoder_hidden_size": 24,
        **more,
    }


def blip2(folder: Path) -> Path:
    seeded()
    from transformers import (
        CONFIG_MAPPING,
        Blip2Config,
        Blip2ForConditionalGeneration,
        Blip2Processor,
        BlipImageProcessor,
    )

    words = tiny.tokenizer(["<pad>", "</s>", "<unk>", "<image>"], None, "</s>", "<pad>")
    language = CONFIG_MAPPING["t5"](
        vocab_size=len(words), d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4, decoder_start_token_id=0
    )
    config = Blip2Config(
        vision_config=clip_vision("blip_2_vision_model").to_dict(),
        qformer_config=q_former(),
        text_config=language.to_dict(),
        num_query_tokens=4,
        image_token_index=3,
    )
    images = BlipImageProcessor(size={"height": 28, "width": 28})
    processor = Blip2Processor(images, words, num_query_tokens=4)
    return tiny.save(folder, spread(Blip2ForConditionalGeneration(config)), processor)


def instructblip(folder: Path) -> Path:
    seeded()
    from transformers import (
        BlipImageProcessor,
        InstructBlipConfig,
        InstructBlipForConditionalGeneration,
        InstructBlipProcessor,
    )

    words = tiny.tokenizer(["<unk>", "<s>", "</s>", "<image>"], "<s>", "</s>", "<unk>", begins=True)
    queries = tiny.tokenizer(["[PAD]", "[CLS]", "[SEP]"], "[CLS]", "[SEP]", "[PAD]", begins=True)
    config = InstructBlipConfig(
        vision_config=clip_vision("instructblip_vision_model").to_dict(),
        qformer_config=q_former(vocab_size=len(queries)),
        text_config=text("llama", len(words), bos_token_id=1, eos_token_id=2).to_dict(),
        num_query_tokens=4,
        image_token_index=3,
    )
    images = BlipImageProcessor(size={"height": 28, "width": 28})
    processor = InstructBlipProcessor(images, words, queries, num_query_tokens=4)
    return tiny.save(folder, spread(InstructBlipForConditionalGeneration(config)), processor)


PIXTRAL_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{% if message.role == 'user' %}[INST]"
    "{% for part in message.content %}{% if part.type == 'image' %}[IMG]{% else %}{{ part.text }}{% endif %}"
    "{% endfor %}[/INST]{% else %}{{ message.content[0].text }}</s>{% endif %}{% endfor %}"
)
PIXTRAL_SPECIAL = ("<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[IMG]", "[IMG_BREAK]", "[IMG_END]", "<pad>")


def pixtral_processor(words: Any, merge: int) -> Any:
    from transformers import PixtralImageProcessor, PixtralProcessor

    images = PixtralImageProcessor(size={"longest_edge": 56}, patch_size={"height": 14, "width": 14})
    return PixtralProcessor(images, words, patch_size=14, spatial_merge_size=merge, chat_template=PIXTRAL_TEMPLATE)


def pixtral(folder: Path) -> Path:
    seeded()
    from transformers import LlavaConfig, LlavaForConditionalGeneration

    words = tiny.tokenizer(PIXTRAL_SPECIAL, "<s>", "</s>", "<pad>", begins=True)
    config = LlavaConfig(
        text_config=text("mistral", len(words), bos_token_id=1, eos_token_id=2, pad_token_id=8),
        vision_config=clip_vision("pixtral", image_size=56, head_dim=12),
        image_token_index=5,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
    )
    return tiny.save(folder, spread(LlavaForConditionalGeneration(config)), pixtral_processor(words, 1))


def mistral3(folder: Path) -> Path:
    seeded()
    from transformers import Mistral3Config, Mistral3ForConditionalGeneration

    words = tiny.tokenizer(PIXTRAL_SPECIAL, "<s>", "</s>", "<pad>", begins=True)
    config = Mistral3Config(
        text_config=text("mistral", len(words), bos_token_id=1, eos_token_id=2, pad_token_id=8),
        vision_config=clip_vision("pixtral", image_size=56, head_dim=12),
        image_token_index=5,
        spatial_merge_size=2,
        vision_feature_layer=-1,
    )
    return tiny.save(folder, spread(Mistral3ForConditionalGeneration(config)), pixtral_processor(words, 2))


IDEFICS2_TEMPLATE = (
    "{% for message in messages %}{{ message.role.capitalize() }}"
    "{{ ':' if message.content[0].type == 'image' else ': ' }}"
    "{% for part in message.content %}{% if part.type == 'image' %}<image>{% else %}{{ part.text }}{% endif %}"
    "{% endfor %}<end_of_utterance>\n{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}"
)


def idefics2(folder: Path) -> Path:
    seeded()
    from transformers import (
        Idefics2Config,
        Idefics2ForConditionalGeneration,
        Idefics2ImageProcessor,
        Idefics2Processor,
    )

    special = ["<unk>", "<s>", "</s>", "<fake_token_around_image>", "<image>", "<end_of_utterance>"]
    words = tiny.tokenizer(special, "<s>", "</s>", "<unk>", begins=True)
    config = Idefics2Config(
        text_config=text("mistral", len(words), bos_token_id=1, eos_token_id=2).to_dict(),
        vision_config=clip_vision("idefics2_vision", image_size=70).to_dict(),
        perceiver_config={
            "hidden_size": 32,
            "resampler_n_latents": 4,
            "resampler_depth": 2,
            "resampler_n_heads": 4,
            "num_key_value_heads": 2,
            "resampler_head_dim": 8,
        },
        image_token_id=4,
        eos_token_id=[2, 5],
    )
    images = Idefics2ImageProcessor(size={"longest_edge": 70, "shortest_edge": 28})
    processor = Idefics2Processor(images, words, image_seq_len=4, chat_template=IDEFICS2_TEMPLATE)
    return tiny.save(folder, spread(Idefics2ForConditionalGeneration(config)), processor)


IDEFICS3_SPECIAL = (
    "<pad>",
    "<|im_start|>",
    "<end_of_utterance>",
    "<fake_token_around_image>",
    "<image>",
    "<global-img>",
    *(f"<row_{row}_col_{column}>" for row in range(1, 5) for column in range(1, 5)),
)


def idefics3(folder: Path) -> Path:
    seeded()
    from transformers import (
        Idefics3Config,
        Idefics3ForConditionalGeneration,
        Idefics3ImageProcessor,
        Idefics3Processor,
    )

    begin = "<|begin_of_text|>"
    special = [begin if token == "<|im_start|>" else token for token in IDEFICS3_SPECIAL]
    words = tiny.tokenizer(special, begin, "<end_of_utterance>", "<pad>", begins=True)
    config = Idefics3Config(
        text_config=text("llama", len(words), eos_token_id=2, bos_token_id=1).to_dict(),
        vision_config=clip_vision("idefics3_vision", image_size=28, patch_size=7).to_dict(),
        image_token_id=4,
        scale_factor=2,
    )
    images = Idefics3ImageProcessor(size={"longest_edge": 56}, max_image_size={"longest_edge": 28})
    processor = Idefics3Processor(images, words, image_seq_len=4, chat_template=begin + IDEFICS2_TEMPLATE)
    return tiny.save(folder, spread(Idefics3ForConditionalGeneration(config)), processor)


def smolvlm(folder: Path) -> Path:
    seeded()
    from transformers import (
        SmolVLMConfig,
        SmolVLMForConditionalGeneration,
        SmolVLMImageProcessor,
        SmolVLMProcessor,
        SmolVLMVideoProcessor,
    )

    words = tiny.tokenizer(
        IDEFICS3_SPECIAL,
        "<|im_start|>",
        "<end_of_utterance>",
        "<pad>",
        fake_image_token="<fake_token_around_image>",
        image_token="<image>",
        global_image_token="<global-img>",
        end_of_utterance_token="<end_of_utterance>",
    )
    config = SmolVLMConfig(
        text_config=text("llama", len(words), eos_token_id=2, bos_token_id=1).to_dict(),
        vision_config=clip_vision("smolvlm_vision", image_size=28, patch_size=7).to_dict(),
        image_token_id=4,
        scale_factor=2,
    )
    processor = SmolVLMProcessor(
        SmolVLMImageProcessor(size={"longest_edge": 56}, max_image_size={"longest_edge": 28}),
        words,
        SmolVLMVideoProcessor(),
        image_seq_len=4,
        chat_template="<|im_start|>" + IDEFICS2_TEMPLATE,
    )
    return tiny.save(folder, spread(SmolVLMForConditionalGeneration(config)), processor)


def idefics(folder: Path) -> Path:
    seeded()
    from transformers import IdeficsConfig, IdeficsForVisionText2Text, IdeficsImageProcessor, IdeficsProcessor

    special = ["<unk>", "<s>", "</s>", "<fake_token_around_image>", "<image>", "<end_of_utterance>"]
    words = tiny.tokenizer(special, "<s>", "</s>", "<unk>")
    config = IdeficsConfig(
        vocab_size=len(words),
        additional_vocab_size=0,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=2048,
        cross_layer_interval=1,
        alpha_initializer="ones",
        use_resampler=True,
        vision_config={
            "embed_dim": 24,
            "image_size": 28,
            "patch_size": 14,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
        },
        perceiver_config={
            "use_resampler": True,
            "resampler_n_latents": 4,
            "resampler_depth": 2,
            "resampler_n_heads": 4,
            "resampler_head_dim": 8,
        },
    )
    processor = IdeficsProcessor(IdeficsImageProcessor(image_size=28), words)
    return tiny.save(folder, spread(IdeficsForVisionText2Text(config)), processor)


MLLAMA_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<|start_header_id|>{{ message.role }}<|end_header_id|>\n\n"
    "{% for part in message.content %}{% if part.type == 'image' %}<|image|>{% else %}{{ part.text }}{% endif %}"
    "{% endfor %}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)


def mllama(folder: Path) -> Path:
    seeded()
    from transformers import (
        MllamaConfig,
        MllamaForConditionalGeneration,
        MllamaImageProcessor,
        MllamaProcessor,
    )

    special = ["<|pad|>", "<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>"]
    words = tiny.tokenizer(
        [*special, "<|eot_id|>", "<|image|>"], "<|begin_of_text|>", "<|eot_id|>", "<|pad|>", begins=True
    )
    words.add_tokens(["<|outside|>"])  # in place of the image token, which no answer holds either
    config = MllamaConfig(
        text_config=text(
            "mllama_text_model",
            len(words) - 1,  # as the makers' image token, the last one stands outside of the output vocabulary
            num_hidden_layers=3,
            cross_attention_layers=[1],
            bos_token_id=1,
            eos_token_id=5,
            rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        ).to_dict(),
        vision_config={
            "hidden_size": 24,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_global_layers": 1,
            "attention_heads": 2,
            "vision_output_dim": 48,
            "intermediate_layers_indices": [0],
            "image_size": 28,
            "patch_size": 14,
            "max_num_tiles": 4,
        },
        image_token_index=6,
    )
    images = MllamaImageProcessor(size={"height": 28, "width": 28}, max_image_tiles=4)
    processor = MllamaProcessor(images, words, chat_template=MLLAMA_TEMPLATE)
    return tiny.save(folder, spread(MllamaForConditionalGeneration(config)), processor)


BUILDERS: dict[str, Callable[[Path], Path]] = {
    build.__name__: build
    for build in (
        blip2,
        gemma3,
        idefics,
        idefics2,
        idefics3,
        instructblip,
        internvl,
        llava,
        llava_next,
        llava_next_vicuna,
        llava_onevision,
        mistral3,
        mllama,
        paligemma,
        pixtral,
        qwen2_5_vl,
        qwen2_vl,
        qwen3_vl,
        smolvlm,
    )
}
