"""Adaptive pools of any size run pixel by pixel."""

from __future__ import annotations

import pytest
import torch
from exported import graph_of, operations
from function_network import Net
from torch import Tensor, nn
from torch.nn import functional

from skipvid.skip.api import convert
from skipvid.skip.config import SkipConfig

SIZES = [(7, 5), (1, 3), (4, 6), (12, 18), (5, 1), (13, 20), (1, 1), (24, 36)]


def pooled(x: Tensor, size: tuple[int, int]) -> list[Tensor]:
    return [functional.adaptive_avg_pool2d(x, size), functional.adaptive_max_pool2d(x, size)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("precision", ["f32", "bf16"])
def test_adaptive_pools_give_what_torch_gives(size: tuple[int, int], precision: str, backend: str) -> None:
    torch.manual_seed(0)
    net = Net(lambda m, x: [m.last(y) for y in pooled(m.first(x), size)], first=nn.Conv2d(3, 8, 1), last=nn.Conv2d(8, 4, 1))
    net.requires_grad_(False)
    x = torch.rand(1, 3, 12, 18)
    model, report = convert(net, x, SkipConfig(threshold=0.0, backend=backend, precision=precision, dense_above=1.0))
    assert not report.fallbacks
    session = model.session()
    for number in range(4):
        x = x.clone()
        x[..., 3 * number, 2 : 4 + number] += 1
        found = session(x)
        assert all(torch.equal(ours, dense) for ours, dense in zip(found, model.dense(x), strict=True))
        if precision == "f32":
            for ours, theirs in zip(found, net(x), strict=True):
                torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_equal_windows_are_ordinary_pools_and_single_pixels_none() -> None:
    graph = graph_of(Net(lambda m, x: pooled(x, (6, 6))), (1, 4, 12, 18))
    assert operations(graph) == {"avg_pool": 1, "max_pool": 1}
    assert operations(graph_of(Net(lambda m, x: pooled(x.relu(), (12, 18))), (1, 4, 12, 18))) == {"activation": 1}


def test_places_of_the_largest_numbers_are_left_to_torch() -> None:
    net = Net(lambda m, x: functional.adaptive_max_pool2d(x, (5, 5), return_indices=True))
    x = torch.rand(1, 4, 12, 18)
    values, places = convert(net, x)[0].session()(x)
    assert torch.equal(values, net(x)[0]) and torch.equal(places, net(x)[1])


@pytest.mark.parametrize("size", [(5, 7), (1, 1)])
def test_windows_that_are_huge_are_left_to_torch(size: tuple[int, int]) -> None:
    graph = graph_of(Net(lambda m, x: functional.adaptive_max_pool2d(x, size)), (1, 2, 500, 500))
    assert operations(graph) == {"aten": 1}
