"""The norm gates' formula against one written out by hand, and blocks."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from skipvid.nn.norms import ChangeNorm
from skipvid.nn.window import Window, round_up_to_blocks


def mean_norm(values: Tensor, p: float) -> float:
    """The p-norm as a mean: mean magnitude, root mean square, or maximum."""
    return float(values.abs().max() if p == math.inf else values.abs().pow(p).mean() ** (1 / p))


@pytest.mark.parametrize("p", [1.0, 2.0, math.inf])
@pytest.mark.parametrize("form", ["input", "output"])
def test_relative_limit_turns_the_mean_norm_of_a_window_into_one_of_the_threshold(form: str, p: float) -> None:
    torch.manual_seed(0)
    change, weight, scale = torch.randn(1, 4, 3, 3), torch.randn(6, 4, 3, 3), 0.7
    norm = ChangeNorm(form, p, Window((3, 3)), 4, 6)
    size = mean_norm(change, p)  # equation 6, as a mean
    if form == "output":  # equation 7: times the weights' norm, and the number of products in an output
        size *= mean_norm(weight, p) * 4 * 9
    (amount,) = norm.amount(change).flatten().tolist()
    assert amount == pytest.approx(float(norm.relative_limit(size / scale, scale, weight)), rel=1e-5)


@pytest.mark.parametrize("p", [1.0, 2.0, math.inf])
def test_plain_limit_compares_the_product_of_both_norms(p: float) -> None:
    torch.manual_seed(1)
    change, weight = torch.randn(1, 4, 3, 3), torch.randn(6, 4, 3, 3)
    norm = ChangeNorm("output", p, Window((3, 3)), 4, 6)
    product = float(torch.linalg.vector_norm(change, p) * torch.linalg.vector_norm(weight, p))
    assert float(norm.amount(change)) == pytest.approx(float(norm.limit(product, weight)), rel=1e-5)


@pytest.mark.parametrize("threshold", [0.0, 0.1])
def test_nothing_comes_through_weights_of_zero(threshold: float) -> None:
    norm, weight = ChangeNorm("output", 1.0, Window(), 4, 6), torch.zeros(6, 4, 1, 1)
    assert norm.limit(threshold, weight) == norm.relative_limit(threshold, 1.0, weight) == math.inf


@pytest.mark.parametrize("block", [1, 2, 4, 8, 16])
@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_blocks_open_where_any_of_their_pixels_is_open(block: int, data: st.DataObject) -> None:
    size = (data.draw(st.integers(1, 20)), data.draw(st.integers(1, 20)))
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 1000)))
    mask = torch.rand((1, 1, *size), generator=generator) < data.draw(st.sampled_from([0.0, 0.02, 0.3, 1.0]))
    expected = torch.zeros_like(mask)
    for y, x in mask[0, 0].nonzero().tolist():
        expected[..., y // block * block : (y // block + 1) * block, x // block * block : (x // block + 1) * block] = True
    assert torch.equal(round_up_to_blocks(mask, block), expected)
