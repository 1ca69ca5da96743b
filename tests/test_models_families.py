"""Every family of image-text-to-text models, with a tiny random checkpoint of its real class and processor."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import tiny
import tiny_families

from fgvr_bench.core.host import Host
from fgvr_bench.engines.huggingface import HuggingFacePlugin
from fgvr_bench.interfaces import Decoding, Model, ModelSettings

QUESTION = "Which bird is it?"

IM_USER, IM_ASSISTANT = "<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n"
QWEN_IMAGE = "<|vision_start|><|image_pad|><|vision_end|>"
DOCS = "https://huggingface.co/docs/transformers/model_doc/"

FAMILIES: dict[str, tuple[str, str, str]] = {
    # family: (model, the prompt as its makers write it, where they do)
    "blip2": ("blip2", QUESTION, DOCS + "blip-2"),
    "gemma3": (
        "gemma3",
        f"<bos><start_of_turn>user\n<start_of_image>{QUESTION}<end_of_turn>\n<start_of_turn>model\n",
        DOCS + "gemma3",
    ),
    "idefics": ("idefics", f"User:<image>{QUESTION}<end_of_utterance>\nAssistant:", DOCS + "idefics"),
    "idefics2": ("idefics2", f"User:<image>{QUESTION}<end_of_utterance>\nAssistant:", DOCS + "idefics2"),
    "idefics3": ("idefics3", f"<|im_start|>User:<image>{QUESTION}<end_of_utterance>\nAssistant:", DOCS + "idefics3"),
    "instructblip": ("instructblip", QUESTION, DOCS + "instructblip"),
    "internvl": ("internvl", f"{IM_USER}<IMG_CONTEXT>\n{QUESTION}{IM_ASSISTANT}", DOCS + "internvl"),
    "llava": ("llava", f"USER: <image>\n{QUESTION} ASSISTANT:", DOCS + "llava"),
    "llava_next": ("llava-next", f"[INST] <image>\n{QUESTION} [/INST]", DOCS + "llava_next"),
    "llava_onevision": (
        "llava-onevision",
        f"<|im_start|>user <image>\n{QUESTION}<|im_end|><|im_start|>assistant\n",
        DOCS + "llava_onevision",
    ),
    "mistral3": ("mistral-small", f"<s>[INST][IMG]{QUESTION}[/INST]", DOCS + "mistral3"),
    "mllama": (
        "llama-vision",
        f"<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n<|image|>{QUESTION}<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n",
        DOCS + "mllama",
    ),
    "paligemma": ("paligemma", f"<image>answer en {QUESTION}", DOCS + "paligemma"),
    "pixtral": ("pixtral", f"<s>[INST][IMG]{QUESTION}[/INST]", DOCS + "pixtral"),
    "qwen2_5_vl": (
        "qwen2.5-vl",
        f"<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{IM_USER}{QWEN_IMAGE}{QUESTION}{IM_ASSISTANT}",
        DOCS + "qwen2_5_vl",
    ),
    "qwen2_vl": (
        "qwen2-vl",
        f"<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{IM_USER}{QWEN_IMAGE}{QUESTION}{IM_ASSISTANT}",
        DOCS + "qwen2_vl",
    ),
    "qwen3_vl": ("qwen3-vl", f"{IM_USER}{QWEN_IMAGE}{QUESTION}{IM_ASSISTANT}", DOCS + "qwen3_vl"),
    "smolvlm": ("smolvlm", f"<|im_start|>User:<image>{QUESTION}<end_of_utterance>\nAssistant:", DOCS + "smolvlm"),
}


class Family:
    """One family's plugin and tiny checkpoint; loads each way of answering once."""

    def __init__(self, name: str, folder: Path, plugin: HuggingFacePlugin) -> None:
        self.name, self.folder, self.plugin = name, folder, plugin
        self._loaded: dict[Any, Model] = {}

    def load(self, decoding: str = "logprob", dtype: str = "float64", tokens: int = 6) -> Any:
        key = (decoding, dtype, tokens)
        if key not in self._loaded:
            settings = ModelSettings(
                checkpoint=str(self.folder), device="cpu", dtype=dtype, decoding=Decoding(decoding, tokens)
            )
            self._loaded[key] = self.plugin.load(settings)
        return self._loaded[key]


@pytest.fixture(scope="module")
def host() -> Host:
    made = Host()
    made.load_entry_points()
    return made


@pytest.fixture(scope="module", params=sorted(FAMILIES))
def family(request: pytest.FixtureRequest, host: Host, tmp_path_factory: pytest.TempPathFactory) -> Family:
    name = request.param
    if name == "smolvlm":
        pytest.importorskip("num2words", reason="SmolVLM's processor needs it: pip install num2words")
    plugin = host.models[FAMILIES[name][0]]
    assert isinstance(plugin, HuggingFacePlugin)
    return Family(name, tiny_families.BUILDERS[name](tmp_path_factory.mktemp(name)), plugin)


def items(model: Any, count: int = 8) -> list[Any]:
    return [model.preparer.item(*pair) for pair in zip(tiny.prompts(count), tiny.pictures(count), strict=True)]


def answers(model: Any, prepared: list[Any], size: int) -> list[Any]:
    prompts = tiny.prompts(len(prepared))
    return [
        response
        for start in range(0, len(prompts), size)
        for response in model.respond(
            prompts[start : start + size], model.preparer.batch(prepared[start : start + size])
        )
    ]


def test_every_family_with_a_tiny_checkpoint_has_a_golden_prompt() -> None:
    assert sorted(FAMILIES) == sorted(tiny_families.BUILDERS)


def test_the_prompt_is_what_the_makers_write(family: Family) -> None:
    model = family.load()
    assert model.preparer.template.render(model.preparer.processor, QUESTION) == FAMILIES[family.name][1]


def test_the_image_stands_before_the_question_and_the_text_begins_once(family: Family) -> None:
    model = family.load()
    tokenizer = model.preparer.processor.tokenizer
    item = items(model, 1)[0]
    ids = item["input_ids"][0].tolist()
    config = model.model.config
    image = getattr(config, "image_token_id", None) or getattr(config, "image_token_index", None)
    if image is None:
        image = tokenizer.convert_tokens_to_ids("<image>")
    question = tokenizer("Choices", add_special_tokens=False)["input_ids"]
    starts = [i for i in range(len(ids)) if ids[i : i + len(question)] == question]
    assert starts
    assert image in ids
    assert max(i for i, token in enumerate(ids) if token == image) < starts[0]
    if tokenizer.bos_token_id is not None and tokenizer.bos_token_id != tokenizer.pad_token_id:
        assert ids.count(tokenizer.bos_token_id) == 1


def test_scores_do_not_depend_on_the_batch_in_float64(family: Family) -> None:
    model = family.load("logprob")
    prepared = items(model)
    by_eight, by_three, alone = (answers(model, prepared, size) for size in (8, 3, 1))
    for one, three, eight in zip(alone, by_three, by_eight, strict=True):
        assert one.scores == pytest.approx(eight.scores, abs=1e-9)
        assert three.scores == pytest.approx(eight.scores, abs=1e-9)


def test_texts_do_not_depend_on_the_batch_in_float64(family: Family) -> None:
    model = family.load("generate")
    prepared = items(model)
    by_eight, by_three, alone = (answers(model, prepared, size) for size in (8, 3, 1))
    assert alone == by_three == by_eight


def test_verdicts_do_not_depend_on_the_batch_in_float32_but_for_near_ties(family: Family) -> None:
    model = family.load("logprob", "float32")
    prepared = items(model)
    for one, eight in zip(answers(model, prepared, 1), answers(model, prepared, 8), strict=True):
        best, second = sorted(one.scores)[:-3:-1]
        assert best - second < 1e-4 or one.scores.index(best) == eight.scores.index(max(eight.scores))


def test_the_first_generated_token_is_the_most_probable(family: Family) -> None:
    from fgvr_bench.engines.huggingface.decoding import rank
    from fgvr_bench.engines.huggingface.preparing import ANSWERS

    ranking, writing = family.load("logprob"), family.load("generate", tokens=1)
    batch = writing.preparer.batch(items(writing, 3))
    vocabulary = ranking.model.config.get_text_config().vocab_size
    scores = rank(ranking.model, dict(batch), [list(range(vocabulary))] * 3)
    best = [row.index(max(row)) for row in scores]
    assert sum(map(len, scores)) == 3 * vocabulary
    written = writing.respond(tiny.prompts(3), batch)
    ends = writing._ends
    expected = ["" if token in ends else writing._decode([token]).strip() for token in best]
    assert [response.completion for response in written] == expected
    assert ANSWERS not in batch


def test_another_image_changes_the_scores(family: Family) -> None:
    model = family.load("logprob")
    prompt, (first, second) = tiny.prompts(1)[0], tiny.pictures(2)
    responses = [
        model.respond([prompt], model.preparer.batch([model.preparer.item(prompt, image.resize((56, 56)))]))[0]
        for image in (first, second)
    ]
    assert responses[0].scores != pytest.approx(responses[1].scores, abs=1e-6)


def test_preparing_happens_in_other_processes_just_as_well(family: Family) -> None:
    import torch

    preparer = family.load("logprob").preparer
    carried = pickle.loads(pickle.dumps(preparer))
    prompt, image = tiny.prompts(1)[0], tiny.pictures(1)[0]
    here, there = preparer.item(prompt, image), carried.item(prompt, image)
    assert here.keys() == there.keys()
    for key, value in here.items():
        assert torch.equal(value, there[key]) if isinstance(value, torch.Tensor) else value == there[key]


def test_a_joined_batch_is_what_the_processor_itself_makes_of_it(family: Family) -> None:
    import torch

    if family.name == "idefics":
        pytest.skip("its processor is called with lists of words and images")
    preparer = family.load("generate").preparer
    # BLIP's processors pad between image and text, so theirs is the same for a single row only.
    count = 1 if "blip" in family.name else 3
    prompts, images = tiny.prompts(count), tiny.pictures(count)
    texts = [preparer.text(prompt) for prompt in prompts]
    ours = preparer.batch([preparer.item(*pair) for pair in zip(prompts, images, strict=True)])
    begins = preparer.processor.tokenizer.bos_token
    theirs = preparer.processor(
        text=texts,
        images=[[image] for image in images],
        return_tensors="pt",
        padding=True,
        padding_side="left",
        add_special_tokens=not (begins and texts[0].startswith(begins)),
    )
    for key, value in ours.items():
        assert torch.allclose(value.double(), theirs[key].to(value.dtype).double(), atol=1e-12), key
