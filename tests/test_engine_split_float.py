"""Split products are nearly as exact as float32, and never silently wrong."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fgvr_bench.engines.split_float import SplitWeights, split_linear, split_products


def error_of(product: torch.Tensor, values: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> float:
    exact = torch.nn.functional.linear(values.double(), weight.double(), bias.double())
    return float((product.double() - exact).abs().max() / exact.abs().max())


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1e-4, 0.02, 1.0, 30.0]), st.sampled_from([0.01, 1.0, 100.0]))
def test_a_split_product_is_far_nearer_to_the_truth_than_one_in_half_precision(
    seed: int, scale: float, size: float
) -> None:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(5, 7, 96, generator=generator) * size
    weight, bias = torch.randn(33, 96, generator=generator) * scale, torch.randn(33, generator=generator)
    half = torch.nn.functional.linear(values.half().float(), weight.half().float(), bias)
    split = split_linear(SplitWeights(), values, weight, bias)
    assert split.shape == half.shape
    assert error_of(split, values, weight, bias) < max(4e-6, error_of(half, values, weight, bias) / 50)


def test_values_beyond_float16_do_not_pass_as_numbers() -> None:
    product = split_linear(SplitWeights(), torch.tensor([[1e6, 1.0]]), torch.ones(2, 2))
    assert not torch.isfinite(product).any()


def test_a_weight_is_split_once() -> None:
    weights, weight = SplitWeights(), torch.randn(4, 4)
    assert weights.of(weight)[0] is weights.of(weight)[0]


def test_products_on_a_cpu_are_left_as_they_are() -> None:
    layer, values = torch.nn.Linear(8, 8), torch.randn(3, 8)
    expected = layer(values)
    before = torch.backends.mha.get_fastpath_enabled()
    with split_products(SplitWeights()):
        assert torch.equal(layer(values), expected)
    assert torch.backends.mha.get_fastpath_enabled() == before


def attention(width: int) -> torch.nn.MultiheadAttention:
    return torch.nn.MultiheadAttention(width, 4, batch_first=True).eval().requires_grad_(False)


def test_the_projections_of_an_attention_layer_are_split_too() -> None:
    torch.manual_seed(0)
    layer, values, weights = attention(64), torch.randn(3, 9, 64), SplitWeights()
    exact = layer.double()(*[values.double()] * 3, need_weights=False)[0]
    layer.float()
    with split_products(weights, "cpu"):
        split = layer(values, values, values, need_weights=False)[0]
    assert len(weights) == 2
    assert float((split - exact).abs().max()) < 2e-6


def test_an_attention_layer_with_a_mask_is_left_as_it_is() -> None:
    layer, values, weights = attention(16), torch.randn(2, 5, 16), SplitWeights()
    mask = torch.ones(5, 5).triu(1).bool()
    expected = layer(values, values, values, need_weights=False, attn_mask=mask)[0]
    with split_products(weights, "cpu"):
        masked = layer(values, values, values, need_weights=False, attn_mask=mask)[0]
    assert torch.allclose(masked, expected, atol=1e-6)
    assert len(weights) == 0
