"""The losses of stage I: the published numbers, the paper's formulae, and what neither may do."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from finedefics.contrast import Embeddings, diagonal_cross_entropy, paper_terms, released_terms
from finedefics.objective import (
    CHUNK,
    Losses,
    Temperatures,
    Weights,
    contrastive_terms,
    generation_loss,
    weighed,
)
from finedefics.texts import end_positions
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

from fgvr_bench.errors import DataInvalid

CASES = [
    "a_base",
    "b_no_negatives",
    "c_temperatures",
    "d_clamped",
    "g_f_right_padded",
    "l_neg_cat_only",
]
TERMS = {
    "loss_i2t": "image_to_attribute",
    "loss_t2i": "attribute_to_image",
    "loss_ia": "object_attribute",
    "loss_a2c": "attribute_to_category",
    "loss_c2a": "category_to_attribute",
    "loss_ac": "attribute_category",
    "loss_ccc": "category_category",
}


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def example(rows: int = 4, negatives: int = 5, size: int = 6, seed: int = 0) -> Embeddings:
    return Embeddings(
        image=drawn(seed, rows, size),
        attribute=drawn(seed + 1, rows, size),
        category=drawn(seed + 2, rows, size),
        neg_attribute=drawn(seed + 3, negatives, size),
        neg_category=drawn(seed + 4, negatives, size),
    )


@pytest.mark.parametrize("name", CASES)
def test_released_terms_of_the_published_hidden_states_are_the_published_losses(reference: Path, name: str) -> None:
    folder = reference / "stage1"
    case = json.loads((folder / "cases.json").read_text())[name]
    seen = load_file(folder / "cases" / f"{name}.outputs.safetensors")
    before = case["temperatures_before"]
    temperatures = Temperatures(before["ia_temp"], before["ac_temp"]).clamp_().requires_grad_(False)
    embeddings = Embeddings(
        image=seen["image_last_token_hidden"],
        attribute=seen["text_last_token_hidden"],
        category=seen["cat_last_token_hidden"],
        neg_attribute=seen.get("neg_att_last_token_hidden"),
        neg_category=seen.get("neg_cat_last_token_hidden"),
    )
    terms = contrastive_terms(embeddings, temperatures, "released")
    for published, ours in TERMS.items():
        assert float(terms[ours].detach()) == pytest.approx(case["losses"][published], rel=1e-6), published
    after = case["temperatures_after"]
    assert float(temperatures.object_attribute) == after["ia_temp"]
    assert float(temperatures.attribute_category) == after["ac_temp"]


@given(rows=st.integers(1, 5), columns=st.integers(1, 7), seed=st.integers(0, 99))
def test_diagonal_cross_entropy_counts_rows_past_the_last_column_as_nothing(rows: int, columns: int, seed: int) -> None:
    logits = drawn(seed, rows, columns)
    sums = 0.0
    for row in range(min(rows, columns)):
        sums -= math.log(math.exp(logits[row, row]) / sum(math.exp(value) for value in logits[row]))
    assert float(diagonal_cross_entropy(logits)) == pytest.approx(sums / rows)


def test_released_terms_with_more_images_and_fewer_descriptions_than_rows_follow_the_rule_in_words() -> None:
    # Two images of row 0, attributes in one of two rows: the case that misaligns the published batch.
    image, attribute, category, negative = (drawn(seed, count, 5) for seed, count in enumerate((3, 1, 2, 1)))
    terms = released_terms(
        Embeddings(image, attribute, category, negative, None), torch.tensor(0.07), torch.tensor(0.2)
    )
    z, a, c, n = (functional.normalize(each, dim=1) for each in (image, attribute, category, negative))
    to_attributes = (z @ torch.cat([a, n]).T / 0.07).log_softmax(1)
    # Image 1 is drawn to the negative description, image 2 has no target but counts in the mean.
    expected = -(to_attributes[0, 0] + to_attributes[1, 1]) / 3
    assert float(terms["image_to_attribute"]) == pytest.approx(float(expected), rel=1e-6)
    to_image = -(a @ z.T / 0.07).log_softmax(1)[0, 0]
    assert float(terms["attribute_to_image"]) == pytest.approx(float(to_image), rel=1e-6)
    back = -(c @ torch.cat([a, n]).T / 0.2).log_softmax(1)
    assert float(terms["category_to_attribute"]) == pytest.approx(float((back[0, 0] + back[1, 1]) / 2), rel=1e-6)
    pulled = -(c @ c.T / 0.07).log_softmax(1)[:, 0].mean()
    assert float(terms["category_category"]) == pytest.approx(float(pulled), rel=1e-6)


def by_hand(given_rows: Embeddings, warm: float, cool: float) -> dict[str, float]:
    """The formulae of `paper_terms` with loops over numbers."""
    sets = {
        name: functional.normalize(getattr(given_rows, name), dim=1).tolist()
        for name in ("image", "attribute", "category", "neg_attribute", "neg_category")
    }
    assert given_rows.category_ids is not None
    assert given_rows.neg_category_ids is not None
    assert given_rows.image_rows is not None
    own, others = given_rows.category_ids.tolist(), given_rows.neg_category_ids.tolist()
    rows = given_rows.image_rows.tolist()
    attributes, described = sets["attribute"] + sets["neg_attribute"], own + others
    categories, named = sets["category"] + sets["neg_category"], own + others

    def dot(left: list[float], right: list[float]) -> float:
        return sum(x * y for x, y in zip(left, right, strict=True))

    def contrast(left: Any, left_ids: Any, right: Any, right_ids: Any, partners: Any, heat: float) -> float:
        entropies = []
        for number, partner in enumerate(partners):
            if partner is None:
                continue
            kept = [
                math.exp(dot(left[number], column) / heat)
                for place, column in enumerate(right)
                if place == partner or right_ids[place] != left_ids[number]
            ]
            entropies.append(-math.log(math.exp(dot(left[number], right[partner]) / heat) / sum(kept)))
        return sum(entropies) / max(1, len(entropies))

    firsts = [next((place for place, owner in enumerate(rows) if owner == row), None) for row in range(len(own))]
    seen = [own[row] for row in rows]
    everyone = range(len(described))
    apart = []
    for number, category in enumerate(sets["category"]):
        terms = [math.exp(dot(category, c) / warm) for c, k in zip(categories, named, strict=True) if k != own[number]]
        apart.append(math.log(sum(terms)) if terms else 0.0)
    return {
        "image_to_attribute": contrast(sets["image"], seen, attributes, described, rows, warm),
        "attribute_to_image": contrast(sets["attribute"], own, sets["image"], seen, firsts, warm),
        "attribute_to_category": contrast(attributes, described, categories, named, everyone, cool),
        "category_to_attribute": contrast(categories, named, attributes, described, everyone, cool),
        "category_category": sum(apart) / len(apart),
    }


@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_paper_terms_are_the_formulae_whatever_repeats(data: st.DataObject) -> None:
    rows, negatives = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 5))
    numbers = st.integers(0, 3)
    images = data.draw(st.lists(st.integers(0, rows - 1), min_size=1, max_size=5))
    embeddings = replace(
        example(rows, negatives, seed=data.draw(st.integers(0, 999))),
        image=drawn(7, len(images), 6),
        image_rows=torch.tensor(images),
        category_ids=torch.tensor(data.draw(st.lists(numbers, min_size=rows, max_size=rows))),
        neg_category_ids=torch.tensor(data.draw(st.lists(numbers, min_size=negatives, max_size=negatives))),
    )
    terms = paper_terms(embeddings, torch.tensor(0.3), torch.tensor(0.4))
    for name, expected in by_hand(embeddings, 0.3, 0.4).items():
        assert float(terms[name]) == pytest.approx(expected, rel=1e-6, abs=1e-6), name  # logarithms of about 1


def test_negatives_without_partners_are_columns_only() -> None:
    paired = example(3, 2)
    unpaired = replace(paired, pairs=torch.tensor([-1, -1]))
    terms = paper_terms(unpaired, torch.tensor(0.3), torch.tensor(0.4))
    z, a, c = (functional.normalize(each, dim=1) for each in (paired.image, paired.attribute, paired.category))
    assert paired.neg_category is not None
    columns = torch.cat([c, functional.normalize(paired.neg_category, dim=1)])
    expected = functional.cross_entropy(a @ columns.T / 0.4, torch.arange(3))
    assert float(terms["attribute_to_category"]) == pytest.approx(float(expected), rel=1e-6)
    assert torch.isfinite(torch.stack(list(terms.values()))).all()
    assert z.shape == (3, 6)


def test_the_order_of_rows_changes_nothing_under_paper_and_something_under_released() -> None:
    embeddings = example()
    turned = Embeddings(
        **{
            name: getattr(embeddings, name).roll(1, dims=0)
            for name in ("image", "attribute", "category", "neg_attribute", "neg_category")
        }
    )
    before, after = (paper_terms(each, torch.tensor(0.1), torch.tensor(0.1)) for each in (embeddings, turned))
    for name, value in before.items():
        assert float(after[name]) == pytest.approx(float(value)), name
    pulled = [
        released_terms(each, torch.tensor(0.1), torch.tensor(0.1))["category_category"] for each in (embeddings, turned)
    ]
    assert abs(float(pulled[0] - pulled[1])) > 0.1


def test_the_second_category_is_pulled_to_the_first_under_released_and_driven_off_under_paper() -> None:
    towards = {}
    for name, terms in (("paper", paper_terms), ("released", released_terms)):
        embeddings = replace(example(2), neg_attribute=None, neg_category=None)
        category = embeddings.category.requires_grad_()
        terms(embeddings, torch.tensor(0.1), torch.tensor(0.1))["category_category"].backward()
        assert category.grad is not None
        towards[name] = float(-category.grad[1] @ category[0].detach())  # descent goes along minus the gradient
    assert towards["paper"] < 0 < towards["released"]


def test_another_row_of_the_same_category_is_no_negative_under_paper() -> None:
    embeddings = example(2, 1)
    for ids, zero in ((torch.tensor([5, 5]), True), (torch.tensor([5, 6]), False)):
        attribute = embeddings.attribute.clone().requires_grad_()
        given_rows = replace(
            embeddings, attribute=attribute, category_ids=ids, neg_category_ids=torch.tensor([5]), pairs=None
        )
        terms = paper_terms(given_rows, torch.tensor(0.1), torch.tensor(0.1))
        (gradient,) = torch.autograd.grad(terms["image_to_attribute"], attribute)
        assert bool((gradient == 0).all()) is zero
        assert (float(terms["category_category"]) == 0.0) is zero


def test_a_clamped_temperature_still_learns() -> None:
    temperatures = Temperatures(0.9, 1e-5).double().clamp_()
    assert [parameter.item() for parameter in temperatures.parameters()] == [0.5, 0.001]
    for reading in ("paper", "released"):
        temperatures.zero_grad()
        terms = contrastive_terms(example(), temperatures, reading)
        (terms["object_attribute"] + terms["attribute_category"]).backward()
        assert all(parameter.grad is not None and parameter.grad != 0 for parameter in temperatures.parameters())


def test_repulsion_alone_does_not_heat_the_temperature_under_paper() -> None:
    temperatures = Temperatures().double()
    terms = contrastive_terms(replace(example(), category=drawn(2, 4, 6).requires_grad_()), temperatures)
    terms["category_category"].backward()
    assert temperatures.object_attribute.grad is None


@pytest.mark.parametrize("reading", ["paper", "released"])
def test_gradients_are_those_of_finite_differences(reading: Any) -> None:
    fixed = example(3, 4, 5)

    def total(image: Tensor, attribute: Tensor, category: Tensor, warm: Tensor, cool: Tensor) -> Tensor:
        embeddings = replace(fixed, image=image, attribute=attribute, category=category)
        terms = (paper_terms if reading == "paper" else released_terms)(embeddings, warm, cool)
        return terms["object_attribute"] + terms["attribute_category"]

    inputs = [fixed.image, fixed.attribute, fixed.category, torch.tensor(0.3).double(), torch.tensor(0.2).double()]
    assert torch.autograd.gradcheck(total, [each.clone().requires_grad_() for each in inputs])


def test_similarities_are_not_rounded_under_autocast() -> None:
    embeddings = Embeddings(
        **{name: drawn(n, 3, 64).float() for n, name in enumerate(("image", "attribute", "category"))}
    )
    temperatures = Temperatures()
    plain = contrastive_terms(embeddings, temperatures)
    with torch.autocast("cpu", torch.bfloat16):
        cast = contrastive_terms(embeddings, temperatures)
    assert all(torch.equal(plain[name], cast[name]) for name in plain)


def test_generation_loss_is_a_mean_over_positions_however_they_are_cut() -> None:
    count = CHUNK + 3
    head = torch.nn.Linear(4, 7).double()
    hidden, targets = drawn(1, count, 4).requires_grad_(), torch.arange(count) % 7
    loss = generation_loss(hidden, targets, head)
    expected = functional.cross_entropy(head(hidden), targets)
    assert float(loss.detach()) == pytest.approx(float(expected.detach()))
    given_grad, expected_grad = torch.autograd.grad(loss, hidden), torch.autograd.grad(expected, hidden)
    assert torch.allclose(given_grad[0], expected_grad[0])
    assert float(generation_loss(hidden[:0], targets[:0], head)) == 0.0


def test_terms_of_weight_nothing_are_left_out() -> None:
    terms = contrastive_terms(example(), Temperatures())
    generation = torch.tensor(2.0)
    losses = weighed(generation, terms, Weights(category_category=0.0))
    assert losses.category_category is None
    assert losses.object_attribute is not None
    assert losses.attribute_category is not None
    expected = 2.0 + 0.5 * float(losses.object_attribute + losses.attribute_category)
    assert float(losses.total) == pytest.approx(expected)
    alone = weighed(generation, {}, Weights())
    assert set(alone.detached()) == {"total", "generation"}
    assert isinstance(alone, Losses)
    with pytest.raises(ValueError, match="every term"):
        weighed(None, {}, Weights())


def test_the_published_reading_never_gathers() -> None:
    with pytest.raises(ValueError, match="gather is for 'paper'"):
        contrastive_terms(example(), Temperatures(), "released", gather=True)


def test_ends_of_texts_are_found_as_published_and_failures_are_named(reference: Path) -> None:
    folder = reference / "stage1"
    for probe in json.loads((folder / "eos_probe.json").read_text()):
        ids = torch.tensor(probe["input_ids"])
        if probe["ok"]:
            rows, columns = end_positions(ids, 2, "released")
            assert [len(rows), 64] == probe["shape"], probe["name"]
            assert columns.tolist() == probe["where_eos_columns"] * (len(columns) // len(probe["where_eos_columns"]))
        else:
            with pytest.raises(DataInvalid, match="published code needs one in each"):
                end_positions(ids, 2, "released")


def test_under_paper_each_text_ends_at_its_last_end_and_one_without_is_named() -> None:
    rows, columns = end_positions(torch.tensor([[1, 2, 5, 2, 0], [1, 5, 2, 0, 0]]), 2)
    assert (rows.tolist(), columns.tolist()) == ([0, 1], [3, 2])
    with pytest.raises(DataInvalid, match=r"texts \[1\] of the batch"):
        end_positions(torch.tensor([[1, 2], [1, 5]]), 2)
