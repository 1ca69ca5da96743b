"""Tiny checkpoints of the families that came later; see tiny_families."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import tiny
from tiny_families import CHATML, QWEN_IMAGE, clip_vision, qwen_ids, qwen_words, seeded, spread, text


def fuyu_words() -> Any:
    """Return a Unigram tokenizer: Fuyu's image tokens are pieces of its vocabulary, after the space that begins."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers
    from transformers import PreTrainedTokenizerFast

    special = ["|ENDOFTEXT|", "<s>", "<unk>"]
    words = [*(f"▁{word}" for word in tiny.WORDS), *(f"▁{letter}" for letter in tiny.LETTERS), *tiny.WORDS]
    pieces = [(token, 0.0) for token in [*special, "|SPEAKER|", "|NEWLINE|"]]
    pieces += [(f"<0x{byte:02X}>", -20.0) for byte in range(256)]
    pieces += [(word, -5.0) for word in words]
    pieces += [(chr(code), -10.0) for code in [*range(33, 127), 0x2581]]
    made = Tokenizer(models.Unigram(pieces, unk_id=2, byte_fallback=True))
    made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    made.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    made.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in special])
    return PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token="<s>", eos_token="|ENDOFTEXT|", unk_token="<unk>", pad_token="|ENDOFTEXT|"
    )


def fuyu(folder: Path) -> Path:
    seeded()
    from transformers import FuyuConfig, FuyuForCausalLM, FuyuImageProcessor, FuyuProcessor

    words = fuyu_words()
    config = FuyuConfig(
        text_config=text(
            "persimmon", len(words), num_key_value_heads=4, bos_token_id=1, eos_token_id=0, partial_rotary_factor=0.5
        ).to_dict(),
        patch_size=10,
        image_token_id=words.convert_tokens_to_ids("|SPEAKER|"),
    )
    images = FuyuImageProcessor(size={"height": 60, "width": 80}, patch_size={"height": 10, "width": 10})
    return tiny.save(folder, spread(FuyuForCausalLM(config)), FuyuProcessor(images, words))


PHI4_TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>"
    "{% for part in message.content %}{% if part.type == 'image' %}<|image|>{% else %}{{ part.text }}{% endif %}"
    "{% endfor %}<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def phi4_multimodal(folder: Path) -> Path:
    seeded()
    from transformers import (
        Phi4MultimodalConfig,
        Phi4MultimodalFeatureExtractor,
        Phi4MultimodalForCausalLM,
        Phi4MultimodalImageProcessor,
        Phi4MultimodalProcessor,
    )

    special = ["<|endoftext|>", "<|user|>", "<|assistant|>", "<|end|>", "<|image|>", "<|audio|>"]
    words = tiny.tokenizer(
        special, "<|endoftext|>", "<|endoftext|>", "<|endoftext|>", image_token="<|image|>", audio_token="<|audio|>"
    )
    config = Phi4MultimodalConfig(
        vocab_size=len(words),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=8192,
        bos_token_id=0,
        eos_token_id=[0, 3],
        pad_token_id=0,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 1.0},
        vision_config={
            "hidden_size": 8,
            "intermediate_size": 12,
            "num_hidden_layers": 2,
            "num_attention_heads": 1,
            "image_size": 128,
            "crop_size": 128,
            "patch_size": 4,  # the processor counts on 32 patches a side
            "image_token_id": 4,
        },
        audio_config={
            "hidden_size": 8,
            "intermediate_size": 8,
            "num_blocks": 1,
            "num_attention_heads": 2,
            "depthwise_separable_out_channel": 8,
            "nemo_conv_channels": 8,
            "audio_token_id": 5,
        },
    )
    processor = Phi4MultimodalProcessor(
        Phi4MultimodalImageProcessor(size={"height": 128, "width": 128}, patch_size=4, dynamic_hd=4),
        Phi4MultimodalFeatureExtractor(),
        words,
        chat_template=PHI4_TEMPLATE,
    )
    return tiny.save(folder, spread(Phi4MultimodalForCausalLM(config)), processor)


DEEPSEEK_TEMPLATE = (
    "SYSTEM{% for message in messages %}"
    "{% if message.role == 'user' %}USER: {% else %}ASSISTANT: {% endif %}"
    "{% for part in message.content %}{% if part.type == 'image' %}<image_placeholder>NEWLINE"
    "{% else %}{{ part.text }}{% endif %}{% endfor %}"
    "{% if message.role == 'user' %}{{ '\n\n' }}{% else %}END{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)
DEEPSEEK_SYSTEM = (
    "You are a helpful language and vision assistant. You are able to understand the visual content that the user "
    "provides, and assist the user with a variety of tasks using natural language.\n\n"
)
DEEPSEEK_END = "<｜end▁of▁sentence｜>"
DEEPSEEK_BEGIN = "<｜begin▁of▁sentence｜>"
DEEPSEEK_SPECIAL = (
    DEEPSEEK_BEGIN,
    DEEPSEEK_END,
    "<image_placeholder>",
    "<begin_of_image>",
    "<end_of_image>",
)


def deepseek_template(system: str, user: str, assistant: str, newline: str) -> str:
    pieces = {"SYSTEM": system, "USER": user, "ASSISTANT": assistant, "NEWLINE": newline, "END": DEEPSEEK_END}
    made = DEEPSEEK_TEMPLATE
    for name, piece in pieces.items():
        made = made.replace(name, piece)
    return made


def deepseek_words() -> Any:
    return tiny.tokenizer(
        DEEPSEEK_SPECIAL,
        DEEPSEEK_BEGIN,
        DEEPSEEK_END,
        DEEPSEEK_END,
        begins=True,
        image_token="<image_placeholder>",
        boi_token="<begin_of_image>",
        eoi_token="<end_of_image>",
    )


def deepseek_vl(folder: Path) -> Path:
    seeded()
    from transformers import (
        DeepseekVLConfig,
        DeepseekVLForConditionalGeneration,
        DeepseekVLImageProcessor,
        DeepseekVLProcessor,
    )

    words = deepseek_words()
    config = DeepseekVLConfig(
        text_config=text("llama", len(words), bos_token_id=0, eos_token_id=1).to_dict(),
        vision_config=clip_vision("siglip_vision_model", vision_use_head=False).to_dict(),
        image_token_id=2,
    )
    processor = DeepseekVLProcessor(
        DeepseekVLImageProcessor(size={"height": 28, "width": 28}),
        words,
        chat_template=deepseek_template(DEEPSEEK_SYSTEM, "User", "Assistant", ""),
        num_image_tokens=4,
    )
    return tiny.save(folder, spread(DeepseekVLForConditionalGeneration(config)), processor)


def deepseek_vl_hybrid(folder: Path) -> Path:
    seeded()
    from transformers import (
        DeepseekVLHybridConfig,
        DeepseekVLHybridForConditionalGeneration,
        DeepseekVLHybridImageProcessor,
        DeepseekVLHybridProcessor,
    )

    words = deepseek_words()
    config = DeepseekVLHybridConfig(
        text_config=text("llama", len(words), bos_token_id=0, eos_token_id=1).to_dict(),
        vision_config=clip_vision("siglip_vision_model", vision_use_head=False, image_size=28, patch_size=7).to_dict(),
        high_res_vision_config={
            "model_type": "sam_vision_model",
            "hidden_size": 24,
            "output_channels": 12,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 64,
            "patch_size": 4,
            "window_size": 4,
            "global_attn_indexes": [1],
            "mlp_dim": 32,
            "num_pos_feats": 6,
        },
        image_token_id=2,
    )
    processor = DeepseekVLHybridProcessor(
        DeepseekVLHybridImageProcessor(size={"height": 28, "width": 28}, high_res_size={"height": 64, "width": 64}),
        words,
        chat_template=deepseek_template(DEEPSEEK_SYSTEM, "User", "Assistant", ""),
        num_image_tokens=16,
    )
    return tiny.save(folder, spread(DeepseekVLHybridForConditionalGeneration(config)), processor)


def janus(folder: Path) -> Path:
    seeded()
    from transformers import JanusConfig, JanusForConditionalGeneration, JanusImageProcessor, JanusProcessor

    words = deepseek_words()
    config = JanusConfig(
        text_config=text("llama", len(words), bos_token_id=0, eos_token_id=1).to_dict(),
        vision_config={
            "hidden_size": 24,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 28,
            "patch_size": 14,
            "projection_dim": 32,
            "num_image_tokens": 4,
        },
        vq_config={
            "embed_dim": 4,
            "num_embeddings": 8,
            "latent_channels": 4,
            "base_channels": 32,
            "channel_multiplier": [1, 1],
            "num_res_blocks": 1,
            "projection_dim": 32,
            "image_token_embed_dim": 32,
        },
        image_token_id=2,
    )
    processor = JanusProcessor(
        JanusImageProcessor(size={"height": 28, "width": 28}),
        words,
        chat_template=deepseek_template("", "<|User|>", "<|Assistant|>", "\n"),
        use_default_system_prompt=True,
        num_image_tokens=4,
    )
    return tiny.save(folder, spread(JanusForConditionalGeneration(config)), processor)


SYSTEM = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"


def ovis2(folder: Path) -> Path:
    seeded()
    from transformers import Ovis2Config, Ovis2ForConditionalGeneration, Ovis2ImageProcessor, Ovis2Processor

    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>", "<IMG_ATOM>"]
    indicators = ["<IMG_START>", "<IMG_GRID>", "<IMG_COL>", "<IMG_ROW>", "<IMG_END>"]
    words = tiny.tokenizer([*special, *indicators], None, "<|im_end|>", "<|endoftext|>", image_token="<IMG_ATOM>")
    config = Ovis2Config(
        text_config=text("qwen2", len(words), eos_token_id=2).to_dict(),
        vision_config={
            "hidden_size": 24,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 28,
            "patch_size": 7,
            "hidden_stride": 2,
            "vocab_size": 20,
        },
        image_token_id=4,
        visual_indicator_token_ids=[5, 6, 7, 8, 9],
        vocab_size=len(words),
        hidden_size=32,
    )
    processor = Ovis2Processor(
        Ovis2ImageProcessor(size={"height": 28, "width": 28}, crop_to_patches=True, max_patches=4),
        words,
        chat_template="<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        + CHATML.replace("IMAGE", "<image>\n"),
        image_seq_length=4,
    )
    return tiny.save(folder, spread(Ovis2ForConditionalGeneration(config)), processor)


GLM_TEMPLATE = (
    "[gMASK]<sop>{% for message in messages %}<|{{ message.role }}|>\n"
    "{% for part in message.content %}{% if part.type == 'image' %}<|begin_of_image|><|image|><|end_of_image|>"
    "{% else %}{{ part.text }}{% endif %}{% endfor %}"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


def glm4v(folder: Path) -> Path:
    seeded()
    from transformers import (
        Glm4vConfig,
        Glm4vForConditionalGeneration,
        Glm4vImageProcessor,
        Glm4vProcessor,
        Glm4vVideoProcessor,
    )

    special = [
        "<|endoftext|>",
        "[gMASK]",
        "<sop>",
        "<|user|>",
        "<|assistant|>",
        "<|begin_of_image|>",
        "<|end_of_image|>",
    ]
    special += ["<|image|>", "<|video|>", "<|begin_of_video|>", "<|end_of_video|>"]
    words = tiny.tokenizer(special, None, "<|endoftext|>", "<|endoftext|>")
    config = Glm4vConfig(
        text_config=text(
            "glm4v_text",
            len(words),
            eos_token_id=[0, 3],
            rope_parameters={"rope_type": "default", "mrope_section": [1, 1, 2], "partial_rotary_factor": 1.0},
        ).to_dict(),
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "num_heads": 2,
            "image_size": 56,
            "out_hidden_size": 32,
            "intermediate_size": 48,
        },
        image_start_token_id=5,
        image_end_token_id=6,
        image_token_id=7,
        video_token_id=8,
        video_start_token_id=9,
        video_end_token_id=10,
    )
    images = Glm4vImageProcessor(size={"shortest_edge": 28 * 28, "longest_edge": 28 * 28 * 12})
    processor = Glm4vProcessor(images, words, Glm4vVideoProcessor(), chat_template=GLM_TEMPLATE)
    return tiny.save(folder, spread(Glm4vForConditionalGeneration(config)), processor)


def qwen3_vl_moe(folder: Path) -> Path:
    seeded()
    from transformers import (
        Qwen2VLImageProcessor,
        Qwen3VLMoeConfig,
        Qwen3VLMoeForConditionalGeneration,
        Qwen3VLProcessor,
        Qwen3VLVideoProcessor,
    )

    words = qwen_words()
    config = Qwen3VLMoeConfig(
        text_config=text(
            "qwen3_vl_moe_text",
            len(words),
            eos_token_id=2,
            head_dim=8,
            num_experts=4,
            num_experts_per_tok=2,
            moe_intermediate_size=24,
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
    images = Qwen2VLImageProcessor(patch_size=16, size={"shortest_edge": 32 * 32, "longest_edge": 32 * 32 * 6})
    processor = Qwen3VLProcessor(
        images, words, Qwen3VLVideoProcessor(), chat_template=CHATML.replace("IMAGE", QWEN_IMAGE)
    )
    return tiny.save(folder, spread(Qwen3VLMoeForConditionalGeneration(config)), processor)


COHERE_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<|START_OF_TURN_TOKEN|>"
    "{% if message.role == 'user' %}<|USER_TOKEN|>{% else %}<|CHATBOT_TOKEN|><|START_RESPONSE|>{% endif %}"
    "{% for part in message.content %}{% if part.type == 'image' %}<image>{% else %}{{ part.text }}{% endif %}"
    "{% endfor %}{% if message.role == 'assistant' %}<|END_RESPONSE|>{% endif %}<|END_OF_TURN_TOKEN|>{% endfor %}"
    "{% if add_generation_prompt %}<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|><|START_RESPONSE|>{% endif %}"
)


def aya_vision(folder: Path) -> Path:
    seeded()
    from transformers import (
        AyaVisionConfig,
        AyaVisionForConditionalGeneration,
        AyaVisionProcessor,
        GotOcr2ImageProcessor,
    )

    special = ["<PAD>", "<BOS_TOKEN>", "<|END_OF_TURN_TOKEN|>", "<|START_OF_TURN_TOKEN|>", "<|USER_TOKEN|>"]
    special += ["<|CHATBOT_TOKEN|>", "<|START_RESPONSE|>", "<|END_RESPONSE|>", "<image>", "<|IMG_PATCH|>"]
    special += ["<|START_OF_IMG|>", "<|END_OF_IMG|>", "<|IMG_LINE_BREAK|>", "TILE", "TILE_GLOBAL"]
    words = tiny.tokenizer(special, "<BOS_TOKEN>", "<|END_OF_TURN_TOKEN|>", "<PAD>", begins=True)
    config = AyaVisionConfig(
        text_config=text(
            "cohere2",
            len(words),
            bos_token_id=1,
            eos_token_id=2,
            head_dim=8,
            sliding_window=16,
            layer_types=["sliding_attention", "full_attention"],
        ).to_dict(),
        vision_config=clip_vision("siglip_vision_model", vision_use_head=False, image_size=28, patch_size=7).to_dict(),
        image_token_index=9,
        downsample_factor=2,
    )
    processor = AyaVisionProcessor(
        GotOcr2ImageProcessor(size={"height": 28, "width": 28}, crop_to_patches=True, max_patches=3),
        words,
        patch_size=7,
        img_size=28,
        downsample_factor=2,
        chat_template=COHERE_TEMPLATE,
    )
    return tiny.save(folder, spread(AyaVisionForConditionalGeneration(config)), processor)


PERCEPTION_TEMPLATE = (
    "{{ bos_token }}<|start_header_id|>system<|end_header_id|>\n\n"
    + DEEPSEEK_SYSTEM.strip()
    + "<|eot_id|>{% for message in messages %}<|start_header_id|>{{ message.role }}<|end_header_id|>\n\n"
    "{% for part in message.content %}{% if part.type == 'image' %}<|image|>{% else %}{{ part.text | trim }}{% endif %}"
    "{% endfor %}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)


def perception_lm(folder: Path) -> Path:
    seeded()
    from transformers import (
        PerceptionLMConfig,
        PerceptionLMForConditionalGeneration,
        PerceptionLMImageProcessor,
        PerceptionLMProcessor,
        PerceptionLMVideoProcessor,
        TimmWrapperConfig,
    )

    special = ["<|pad|>", "<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>"]
    special += ["<|eot_id|>", "<|image|>", "<|video|>"]
    words = tiny.tokenizer(
        special,
        "<|begin_of_text|>",
        "<|eot_id|>",
        "<|pad|>",
        begins=True,
        image_token="<|image|>",
        video_token="<|video|>",
    )
    vision = TimmWrapperConfig(
        architecture="vit_pe_core_large_patch14_336",
        do_pooling=False,
        num_labels=1,
        model_args={
            "embed_dim": 24,
            "depth": 2,
            "num_heads": 2,
            "img_size": (28, 28),
            "patch_size": 7,
            "global_pool": "",
            "use_post_transformer_norm": False,
            "init_values": 0.1,
            "ref_feat_shape": (4, 4),
            "mlp_ratio": 2.0,
        },
    )
    config = PerceptionLMConfig(
        text_config=text("llama", len(words), bos_token_id=1, eos_token_id=[2, 5]).to_dict(),
        vision_config=vision.to_dict(),
        vision_use_cls_token=True,
        projector_pooling_ratio=2,
        image_token_id=6,
        video_token_id=7,
    )
    processor = PerceptionLMProcessor(
        PerceptionLMVideoProcessor(size={"height": 28, "width": 28}),
        PerceptionLMImageProcessor(tile_size=28, max_num_tiles=4, size={"height": 28, "width": 28}),
        words,
        patch_size=7,
        pooling_ratio=2,
        chat_template=PERCEPTION_TEMPLATE,
    )
    return tiny.save(folder, spread(PerceptionLMForConditionalGeneration(config)), processor)


BUILDERS: dict[str, Callable[[Path], Path]] = {
    build.__name__: build
    for build in (
        aya_vision,
        deepseek_vl,
        deepseek_vl_hybrid,
        fuyu,
        glm4v,
        janus,
        ovis2,
        perception_lm,
        phi4_multimodal,
        qwen3_vl_moe,
    )
}
