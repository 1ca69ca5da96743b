"""The text around a question: the checkpoint's template where it can ask about an image, else the family's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tiny
import tiny_families
import tiny_families_later

from fgvr_bench.engines.huggingface.loading import load_processor
from fgvr_bench.engines.huggingface.templates import Template, choose_template
from fgvr_bench.errors import ModelUnavailable
from fgvr_bench.interfaces import Decoding, ModelSettings
from fgvr_models.fuyu import FUYU
from fgvr_models.llava import LLAVA

WORDS_ONLY = "{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] }}{% endfor %}"
BLIND = "{{ messages[0].content[-1].text }}"
MUTE = "{% for part in messages[0].content %}<{{ part.type }}>{% endfor %}"


@pytest.fixture(scope="module")
def processor(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tiny_families.llava(tmp_path_factory.mktemp("llava"))
    return load_processor(LLAVA.plan(ModelSettings(checkpoint=str(folder), device="cpu")))


@pytest.mark.parametrize(
    ("template", "words"),
    [(WORDS_ONLY, "takes no images"), (BLIND, "leaves images out"), (MUTE, "leaves the question out")],
)
def test_a_template_that_cannot_ask_about_an_image_counts_for_none(
    processor: Any, monkeypatch: pytest.MonkeyPatch, template: str, words: str
) -> None:
    monkeypatch.setattr(processor, "chat_template", template)
    chosen = choose_template(processor, None, "<image>{}", "org/name")
    assert chosen == Template("<image>{}")
    with pytest.raises(ModelUnavailable, match=f"org/name has a chat template that {words}"):
        choose_template(processor, None, None, "org/name")


def test_the_checkpoints_own_template_comes_before_the_familys(processor: Any) -> None:
    assert choose_template(processor, None, "<image>{}", "org/name").chat
    assert choose_template(processor, "Q: {} <image>", None, "org/name") == Template("Q: {} <image>")


@pytest.mark.parametrize("call", ["strftime_now('%Y-%m-%d')", "strftime_now('%d %b %Y')", "strftime_now('%A')"])
def test_a_template_that_writes_the_date_writes_the_same_one_every_day(processor: Any, call: str) -> None:
    dated = Template(f"{{% set today = {call} %}}{{{{ 'It is ' + today + '.' }}}}<image>", chat=True)
    day = "26 Jul 2024" if "%b" in call else "2024-07-26"
    assert dated.render(processor, "Which?") == f"It is {day}.<image>"


def test_answers_begin_as_the_makers_texts_do(tmp_path: Path) -> None:
    folder = tiny_families_later.fuyu(tmp_path)
    model = FUYU.load(ModelSettings(checkpoint=str(folder), device="cpu", decoding=Decoding("logprob")))
    item = model.preparer.item(tiny.prompts(1)[0], tiny.pictures(1)[0])
    tokenizer = model.preparer.processor.tokenizer
    assert tokenizer.convert_ids_to_tokens(item["answer_tokens"]) == ["▁A", "▁B", "▁C", "▁D"]
    assert tokenizer.convert_ids_to_tokens(item["input_ids"][0, -2:]) == ["<0x0A>", "<0x04>"]
