"""Contrastive models as benchmark models: over all labels and over the four options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tiny

from fgvr_bench.engines.contrastive import ContrastivePlugin
from fgvr_bench.errors import UsageError
from fgvr_bench.interfaces import Decoding, ModelSettings
from fgvr_bench.types import FileImage, Prompt, ScoreKind
from fgvr_models.open_clip_zero_shot import CARDS

LABELS = ("Black_footed_Albatross", "crow", "rose", "F-16A/B", "desert-rose")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.clip(tmp_path_factory.mktemp("clip"))


def settings(folder: Path, **args: str) -> ModelSettings:
    return ModelSettings(
        checkpoint=str(folder), device="cpu", dtype="float64", decoding=Decoding("similarity"), args=args
    )


def asked(count: int, *choices: str) -> list[Prompt]:
    return [Prompt(f"q{n}", FileImage(""), "", (), choices or LABELS) for n in range(count)]


def respond(model: Any, prompts: list[Prompt], size: int = 8) -> list[Any]:
    images = tiny.pictures(len(prompts))
    items = [model.preparer.item(*pair) for pair in zip(prompts, images, strict=True)]
    return [
        response
        for start in range(0, len(prompts), size)
        for response in model.respond(prompts[start : start + size], model.preparer.batch(items[start : start + size]))
    ]


PLUGIN = ContrastivePlugin(CARDS[0])


def test_scores_are_similarities_in_the_order_of_the_choices(folder: Path) -> None:
    model = PLUGIN.load(settings(folder))
    straight = respond(model, asked(2))
    turned = respond(model, asked(2, *LABELS[::-1]))
    assert straight[0].score_kind is ScoreKind.SIMILARITY
    for one, other in zip(straight, turned, strict=True):
        assert one.scores == other.scores[::-1]
        assert all(-1 <= score <= 1 for score in one.scores)
    assert straight[0].scores != straight[1].scores


def test_scores_do_not_depend_on_batch_or_on_labels_met_before(folder: Path) -> None:
    fresh, used = PLUGIN.load(settings(folder)), PLUGIN.load(settings(folder))
    respond(used, asked(3, "tern", "owl", "rose"))
    for size in (1, 3, 8):
        for one, other in zip(respond(fresh, asked(8)), respond(used, asked(8), size), strict=True):
            assert one.scores == pytest.approx(other.scores, abs=1e-12)


def test_four_options_score_as_they_do_among_all_labels(folder: Path) -> None:
    model = PLUGIN.load(settings(folder))
    among_all = respond(model, asked(1))[0].scores
    four = respond(model, asked(1, *LABELS[:4]))[0].scores
    assert four == among_all[:4]


def test_labels_are_asked_as_published_unless_told_otherwise(folder: Path) -> None:
    kept = respond(PLUGIN.load(settings(folder)), asked(1))[0].scores
    spaced_model = PLUGIN.load(settings(folder, underscores_to_spaces="yes"))
    spaced = respond(spaced_model, asked(1))[0].scores
    written = respond(PLUGIN.load(settings(folder)), asked(1, "Black footed Albatross", "crow"))[0].scores
    assert kept[0] != spaced[0] == written[0]
    assert kept[1:] == spaced[1:]


def test_the_template_is_a_part_of_identity_and_has_a_place_for_the_label(folder: Path) -> None:
    plain, other = PLUGIN.identify(settings(folder)), PLUGIN.identify(settings(folder, template="a {label}"))
    assert plain["template"] == "an image of a {label}"
    assert plain != other
    with pytest.raises(UsageError, match=r"has no \{label\}"):
        PLUGIN.identify(settings(folder, template="a bird"))
    with pytest.raises(UsageError, match="Did you mean template"):
        PLUGIN.identify(settings(folder, templat="a {label}"))


def test_a_question_without_choices_is_one_failed_answer(folder: Path) -> None:
    model = PLUGIN.load(settings(folder))
    open_question = Prompt("q", FileImage(""), "What is it?", (), ())
    assert "can only choose" in respond(model, [open_question])[0].error
    first, second = respond(model, [open_question, asked(1)[0]])
    assert first.error is not None
    assert second.scores is not None


def test_an_architecture_can_be_named_after_the_colon() -> None:
    by_name = ContrastivePlugin(CARDS[1]).identify(ModelSettings(argument="ViT-B-32/laion2b_s34b_b79k", device="cpu"))
    assert by_name["checkpoint"] == "ViT-B-32/laion2b_s34b_b79k"
    with pytest.raises(UsageError, match="ViT-B-32"):
        ContrastivePlugin(CARDS[1]).identify(ModelSettings(argument="ViT-B-23/laion2b_s34b_b79k", device="cpu"))


def test_the_declared_checkpoints_are_known_to_open_clip() -> None:
    from fgvr_bench.engines import torchvision_ops

    torchvision_ops.ensure()
    import open_clip

    for card in CARDS:
        if card.checkpoint is not None:
            name, _, weights = card.checkpoint.partition("/")
            assert weights in open_clip.list_pretrained_tags_by_model(name)
