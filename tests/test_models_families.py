"""Every family of image-text-to-text models, with a tiny random checkpoint of its real class and processor."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import math
import pickle
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import tiny
import tiny_families
import tiny_families_later

from fgvr_bench.core.host import Host
from fgvr_bench.engines.huggingface import HuggingFacePlugin
from fgvr_bench.engines.huggingface.model import HuggingFaceModel
from fgvr_bench.engines.huggingface.preparing import SHARED
from fgvr_bench.engines.turns import Turns
from fgvr_bench.interfaces import Decoding, ModelSettings
from fgvr_bench.testing import check_model
from fgvr_bench.types import FileImage, NoImage, Prompt

QUESTION = "Which bird is it?"

IM_USER, IM_ASSISTANT = "<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n"
IM_SYSTEM = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
QWEN_IMAGE = "<|vision_start|><|image_pad|><|vision_end|>"
DEEPSEEK_SYSTEM = (
    "You are a helpful language and vision assistant. You are able to understand the visual content that the user "
    "provides, and assist the user with a variety of tasks using natural language."
)
VICUNA_SYSTEM = (
    "A chat between a curious human and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the human's questions."
)


def header(role: str) -> str:
    return f"<|start_header_id|>{role}<|end_header_id|>\n\n"


FAMILIES: dict[str, tuple[tuple[str, ...], str | None]] = {
    # family: (models, the prompt as its makers write it, by `template_source` of the model; None where they show none)
    "aya_vision": (("aya-vision",), None),
    "blip2": (("blip2",), f"Question: {QUESTION} Answer:"),
    "deepseek_vl": (("deepseek-vl-1.3b",), f"{DEEPSEEK_SYSTEM}\n\nUser: <image_placeholder>{QUESTION}\n\nAssistant:"),
    "deepseek_vl_hybrid": (
        ("deepseek-vl",),
        f"{DEEPSEEK_SYSTEM}\n\nUser: <image_placeholder>{QUESTION}\n\nAssistant:",
    ),
    "fuyu": (("fuyu",), f"{QUESTION}\n"),
    "gemma3": (
        ("gemma3",),
        f"<bos><start_of_turn>user\n<start_of_image>{QUESTION}<end_of_turn>\n<start_of_turn>model\n",
    ),
    "glm4v": (
        ("glm-4.1v",),
        f"[gMASK]<sop><|user|>\n<|begin_of_image|><|image|><|end_of_image|>{QUESTION}<|assistant|>\n",
    ),
    "idefics": (("idefics",), f"User:<image>{QUESTION}<end_of_utterance>\nAssistant:"),
    "idefics2": (("idefics2", "finedefics"), f"User:<image>{QUESTION}<end_of_utterance>\nAssistant:"),
    "idefics3": (("idefics3",), None),
    "instructblip": (("instructblip", "instructblip-flan-t5"), QUESTION),
    "internvl": (("internvl",), f"{IM_USER}<IMG_CONTEXT>\n{QUESTION}{IM_ASSISTANT}"),
    "janus": (("janus-pro",), f"<|User|>: <image_placeholder>\n{QUESTION}\n\n<|Assistant|>:"),
    "llava": (("llava",), f"USER: <image>\n{QUESTION} ASSISTANT:"),
    "llava_next": (("llava-next",), f"[INST] <image>\n{QUESTION} [/INST]"),
    "llava_next_vicuna": (("llava-next-vicuna",), f"{VICUNA_SYSTEM} USER: <image>\n{QUESTION} ASSISTANT:"),
    "llava_onevision": (
        ("llava-onevision",),
        f"<|im_start|>user <image>\n{QUESTION}<|im_end|><|im_start|>assistant\n",
    ),
    "mistral3": (("mistral-small",), None),
    "mllama": (
        ("llama-vision",),
        f"<|begin_of_text|>{header('user')}<|image|>{QUESTION}<|eot_id|>{header('assistant')}",
    ),
    "ovis2": (("ovis2",), f"{IM_SYSTEM}{IM_USER}<image>\n{QUESTION}{IM_ASSISTANT}"),
    "paligemma": (("paligemma",), f"<image>answer en {QUESTION}"),
    "perception_lm": (
        ("perception-lm",),
        f"<|begin_of_text|>{header('system')}{DEEPSEEK_SYSTEM}<|eot_id|>"
        f"{header('user')}<|image|>{QUESTION}<|eot_id|>{header('assistant')}",
    ),
    "phi4_multimodal": (("phi4-multimodal",), f"<|user|><|image|>{QUESTION}<|end|><|assistant|>"),
    "pixtral": (("pixtral",), f"<s>[INST][IMG]{QUESTION}[/INST]"),
    "qwen2_5_vl": (("qwen2.5-vl",), f"{IM_SYSTEM}{IM_USER}{QWEN_IMAGE}{QUESTION}{IM_ASSISTANT}"),
    "qwen2_vl": (("qwen2-vl",), f"{IM_SYSTEM}{IM_USER}{QWEN_IMAGE}{QUESTION}{IM_ASSISTANT}"),
    "qwen3_vl": (("qwen3-vl",), f"{IM_USER}{QWEN_IMAGE}{QUESTION}{IM_ASSISTANT}"),
    "qwen3_vl_moe": (("qwen3-vl-moe",), f"{IM_USER}{QWEN_IMAGE}{QUESTION}{IM_ASSISTANT}"),
    "smolvlm": (("smolvlm",), f"<|im_start|>User:<image>{QUESTION}<end_of_utterance>\nAssistant:"),
}
PICTURES = ("<start_of_image>", "[IMG]", "<|image|>")
"""Tokens that stand for a picture in a prompt and come again in what the processor makes of it."""

BUILDERS = {**tiny_families.BUILDERS, **tiny_families_later.BUILDERS}


COUNT, TOKENS = 8, 3
ODD_PICTURES = ((1, 1), (300, 1), (20_000, 100))
EVERY_ODD_PICTURE = ("llava_next", "qwen2_vl")
"""Families that are shown all of them, one that cuts pictures up and one that takes them as they are; any other is
shown one."""


class Family:
    """One family's plugin and tiny checkpoint; what several tests look at is loaded, prepared and answered once."""

    def __init__(self, name: str, folder: Path, plugin: HuggingFacePlugin) -> None:
        self.name, self.folder, self.plugin = name, folder, plugin
        self._loaded: dict[str, HuggingFaceModel] = {}
        self._items: dict[tuple[str, str], list[Any]] = {}
        self._answers: dict[tuple[str, str, int], list[Any]] = {}

    def load(self, decoding: str = "logprob", dtype: str = "float64", tokens: int = TOKENS) -> HuggingFaceModel:
        """Return a model that answers one way; all of one precision are around the same weights."""
        if dtype not in self._loaded:
            settings = ModelSettings(
                checkpoint=str(self.folder), device="cpu", dtype=dtype, decoding=Decoding("logprob", TOKENS)
            )
            loaded = self.plugin.load(settings)
            assert isinstance(loaded, HuggingFaceModel)
            self._loaded[dtype] = loaded
        first = self._loaded[dtype]
        if decoding == "logprob":
            return first
        preparer = copy.copy(first.preparer)
        preparer.ranks = False
        return HuggingFaceModel(first.model, preparer, Decoding(decoding, tokens), first._plan, first._ends)

    def items(self, decoding: str = "logprob", dtype: str = "float64") -> list[Any]:
        """Return eight prompts with their pictures, as they are prepared for the model."""
        key = (decoding, dtype)
        if key not in self._items:
            preparer = self.load(*key).preparer
            pairs = zip(tiny.prompts(COUNT), tiny.pictures(COUNT), strict=True)
            self._items[key] = [preparer.item(*pair) for pair in pairs]
        return self._items[key]

    def answers(self, decoding: str, dtype: str, size: int) -> list[Any]:
        """Return the answers to the eight in batches of `size`."""
        key = (decoding, dtype, size)
        if key not in self._answers:
            model, prompts, items = self.load(decoding, dtype), tiny.prompts(COUNT), self.items(decoding, dtype)
            parts = [slice(start, start + size) for start in range(0, COUNT, size)]
            self._answers[key] = [
                response
                for part in parts
                for response in model.respond(prompts[part], model.preparer.batch(items[part]))
            ]
        return self._answers[key]


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
    plugin = host.models[FAMILIES[name][0][0]]
    assert isinstance(plugin, HuggingFacePlugin)
    return Family(name, BUILDERS[name](tmp_path_factory.mktemp(name)), plugin)


def test_every_family_passes_the_conformance_kit(family: Family) -> None:
    # in one of its decodings, by turns: what the two share is one engine
    decodings = family.plugin.card.decodings
    turn = sorted(FAMILIES).index(family.name) % len(decodings)
    settings = ModelSettings(checkpoint=str(family.folder), device="cpu", dtype="float64")
    check_model(family.plugin, settings, decodings=decodings[turn : turn + 1])


def test_every_model_has_a_tiny_checkpoint_and_a_golden_prompt_where_its_makers_show_one(host: Host) -> None:
    assert sorted(FAMILIES) == sorted(BUILDERS)
    shown = {name: golden is not None for models, golden in FAMILIES.values() for name in models}
    declared = {
        plugin.card.name: plugin.template_source is not None
        for plugin in host.models
        if isinstance(plugin, HuggingFacePlugin) and plugin.card.checkpoint is not None
    }
    assert declared == shown


def test_the_prompt_is_what_the_makers_write(family: Family) -> None:
    golden = FAMILIES[family.name][1]
    if golden is None:
        pytest.skip("its template comes with the checkpoint, and nothing public shows it")
    model = family.load()
    assert model.preparer.template.render(model.preparer.processor, QUESTION) == golden


def test_special_tokens_of_the_prompt_reach_the_model_as_single_tokens_in_its_order(family: Family) -> None:
    model = family.load("generate")
    preparer = model.preparer
    tokenizer, placeholder = preparer.processor.tokenizer, getattr(preparer.processor, "image_token", "<image>")
    asked = Prompt("q", FileImage(""), QUESTION, ("A", "B"), ("crow", "tern"))
    text = preparer.text(asked)
    named = sorted((str(token) for token in tokenizer.all_special_tokens), key=len, reverse=True)
    named += [token for token in tokenizer.get_added_vocab() if token not in named]
    # What an image becomes belongs to the processor, and its tokens may frame a picture more than once.
    wanted = [token for token in named if token in text and token not in {placeholder, "<image>", *PICTURES}]
    written = re.findall("|".join(map(re.escape, wanted)), text) if wanted else []
    read = tokenizer.convert_ids_to_tokens(preparer.item(asked, tiny.pictures(1)[0])["input_ids"][0])
    assert [token for token in read if token in wanted] == written


def test_the_image_stands_before_the_question_and_the_text_begins_once(family: Family) -> None:
    model = family.load()
    tokenizer = model.preparer.processor.tokenizer
    item = family.items()[0]
    ids = item["input_ids"][0].tolist()
    config = model.model.config
    image = getattr(config, "image_token_id", None) or getattr(config, "image_token_index", None)
    if image is None:
        image = getattr(model.preparer.processor, "image_token_id", tokenizer.convert_tokens_to_ids("<image>"))
    assert image in ids
    last = max(i for i, token in enumerate(ids) if token == image)
    assert "Choices" in tokenizer.decode(ids[last + 1 :])
    assert "Choices" not in tokenizer.decode(ids[: last + 1])
    if tokenizer.bos_token_id is not None and tokenizer.bos_token_id != tokenizer.pad_token_id:
        assert ids.count(tokenizer.bos_token_id) == 1


def test_scores_do_not_depend_on_the_batch_in_float64(family: Family) -> None:
    by_eight, by_three, alone = (family.answers("logprob", "float64", size) for size in (8, 3, 1))
    for one, three, eight in zip(alone, by_three, by_eight, strict=True):
        assert one.scores == pytest.approx(eight.scores, abs=1e-9)
        assert three.scores == pytest.approx(eight.scores, abs=1e-9)


@pytest.mark.parametrize("decoding", ["logprob", "generate"])
def test_a_picture_asked_about_in_several_orders_is_encoded_once(family: Family, decoding: str) -> None:
    model = family.load(decoding)
    shown = [0, 0, 0, 1, 1, 2]
    prompts = [
        dataclasses.replace(prompt, image=FileImage(f"picture {picture}"))
        for prompt, picture in zip(tiny.prompts(len(shown)), shown, strict=True)
    ]
    pictures = tiny.pictures(3)
    items = [model.preparer.item(prompt, pictures[picture]) for prompt, picture in zip(prompts, shown, strict=True)]
    batch = model.preparer.batch(items)
    assert batch[SHARED].picture == tuple(shown)
    found, apart = model.respond(prompts, batch), model.respond(prompts, batch | {SHARED: None})
    for ours, plain in zip(found, apart, strict=True):
        assert ours.completion == plain.completion
        assert ours.scores == pytest.approx(plain.scores, abs=1e-9)


def test_a_prompt_of_words_alone_shows_no_picture(family: Family) -> None:
    model = family.load("generate")
    prompts = [dataclasses.replace(prompt, image=NoImage()) for prompt in tiny.prompts(3)]
    if not family.plugin.words_alone:
        with pytest.raises(ValueError, match="cannot be asked without a picture"):
            model.preparer.item(prompts[0], tiny.pictures(1)[0])
        return
    items = [model.preparer.item(prompt, tiny.pictures(1)[0]) for prompt in prompts]
    assert not [key for item in items for key in item if "pixel" in key or "image" in key]
    responses = model.respond(prompts, model.preparer.batch(items))
    assert [response.error for response in responses] == [None] * 3


def test_texts_do_not_depend_on_the_batch_in_float64(family: Family) -> None:
    by_eight, by_three, alone = (family.answers("generate", "float64", size) for size in (8, 3, 1))
    assert alone == by_three == by_eight


def test_two_batches_under_way_at_once_are_answered_as_one_by_one(
    family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    step_back = Turns.waiting

    @contextlib.contextmanager
    def slowly(self: Turns) -> Iterator[None]:
        with step_back(self):
            time.sleep(0.002)  # so that the other has its turn, as it has while a GPU works
            yield

    monkeypatch.setattr(Turns, "waiting", slowly)
    model = family.load("generate", "float64")
    items = family.items("generate", "float64")
    batches = [model.preparer.batch(items[:3]), model.preparer.batch(items[3:])]
    prompts = tiny.prompts(len(items))
    parts = [prompts[:3], prompts[3:]]
    alone = [model.respond(part, batch) for part, batch in zip(parts, batches, strict=True)]
    with ThreadPoolExecutor(2) as threads:
        together = list(threads.map(model.respond, parts * 3, batches * 3))
    assert together == alone * 3


def test_verdicts_do_not_depend_on_the_batch_in_float32_but_for_near_ties(family: Family) -> None:
    alone, by_eight = (family.answers("logprob", "float32", size) for size in (1, 8))
    for one, eight in zip(alone, by_eight, strict=True):
        best, second = sorted(one.scores)[:-3:-1]
        assert best - second < 1e-4 or one.scores.index(best) == eight.scores.index(max(eight.scores))


def test_in_half_precision_letters_are_ranked_in_float32_and_only_after_the_last_token(family: Family) -> None:
    import torch

    model, seen = family.load("logprob", "bfloat16"), []
    head = model.model.get_output_embeddings()
    hook = head.register_forward_hook(lambda _, given, logits: seen.append((logits.dtype, logits.shape[:-1])))
    batch = model.preparer.batch(family.items("logprob", "bfloat16")[:3])
    found = model.respond(tiny.prompts(3), batch)
    hook.remove()
    own_kind = type(head) is not torch.nn.Linear  # the first Idefics', of two parts, is left as it is
    assert seen == [(torch.bfloat16 if own_kind else torch.float32, (3, 1))]
    assert all(math.isfinite(score) for response in found for score in response.scores or ())


def test_the_first_generated_token_is_the_most_probable(family: Family) -> None:
    from fgvr_bench.engines.huggingface.decoding import rank
    from fgvr_bench.engines.huggingface.preparing import ANSWERS, on_device

    ranking, writing = family.load("logprob"), family.load("generate", tokens=1)
    batch = writing.preparer.batch(family.items("generate")[:3])
    vocabulary = ranking.model.config.get_text_config().vocab_size
    scores = rank(ranking.model, on_device(batch, "cpu"), [list(range(vocabulary))] * 3).values()
    best = [row.index(max(row)) for row in scores]
    assert sum(map(len, scores)) == 3 * vocabulary
    written = writing.respond(tiny.prompts(3), batch)
    ends = writing._ends
    expected = ["" if token in ends else writing._decode([token]).strip() for token in best]
    assert [response.completion for response in written] == expected
    assert ANSWERS not in batch


def test_odd_pictures_are_answered_or_refused(family: Family) -> None:
    """Whatever processor or model raise is one failed answer of a run, and its scores are numbers."""
    from PIL import Image

    model = family.load("logprob", "float32")
    prompt = tiny.prompts(1)[0]
    turn = sorted(FAMILIES).index(family.name) % len(ODD_PICTURES)
    for size in ODD_PICTURES if family.name in EVERY_ODD_PICTURE else ODD_PICTURES[turn : turn + 1]:
        try:
            batch = model.preparer.batch([model.preparer.item(prompt, Image.new("RGB", size, (200, 10, 10)))])
            scores = model.respond([prompt], batch)[0].scores
        except (ValueError, RuntimeError):
            continue
        assert all(math.isfinite(score) for score in scores)


def test_a_prompt_longer_than_the_context_is_refused(family: Family) -> None:
    model = family.load("generate")
    longest = model.preparer.longest
    if longest is None:
        pytest.skip("its language model takes any length")
    asked = Prompt("q", FileImage(""), "Which? " * longest, ("A", "B"), ("crow", "tern"))
    with pytest.raises(ValueError, match=f"the model takes {longest}"):
        model.preparer.item(asked, tiny.pictures(1)[0])


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
    here, there = family.items()[0], carried.item(tiny.prompts(1)[0], tiny.pictures(1)[0])
    assert here.keys() == there.keys()
    for key, value in here.items():
        assert torch.equal(value, there[key]) if isinstance(value, torch.Tensor) else value == there[key]


def test_a_joined_batch_is_what_the_processor_itself_makes_of_it(family: Family) -> None:
    import torch

    if family.plugin.process is not None:
        pytest.skip("its processor is called in a way of its own")
    preparer = family.load("generate").preparer
    # BLIP's processors pad between image and text, so theirs is the same for a single row only.
    count = 1 if "blip" in family.name else 3
    texts = [preparer.text(prompt) for prompt in tiny.prompts(count)]
    ours = preparer.batch(family.items("generate")[:count])
    begins = preparer.processor.tokenizer.bos_token
    theirs = preparer.processor(
        text=texts,
        images=[[image] for image in tiny.pictures(count)],
        return_tensors="pt",
        padding=True,
        padding_side="left",
        add_special_tokens=not (begins and texts[0].startswith(begins)),
    )
    assert theirs.keys() <= ours.keys() | {"labels"}
    for key, value in ours.items():
        if value is None:  # how pictures are shared by questions: there is nothing to share here
            continue
        assert torch.allclose(value.double(), theirs[key].to(value.dtype).double(), atol=1e-12), key
