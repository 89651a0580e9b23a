"""Pools in ceil_mode: their last windows reach beyond the map, and they are native all the same."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch
from exported import graph_of
from function_network import Net
from torch import Tensor
from torch.nn import functional

import skipvid

CASES = [
    (kernel, stride, padding, dilation)
    for kernel, stride, padding, dilation in product((2, 3, (3, 2)), (1, 2, 3), (0, 1), (1, 2))
    if padding * 2 <= (min(kernel) if isinstance(kernel, tuple) else kernel)
]


@pytest.mark.parametrize("size", [(8, 7), (9, 10)])
def test_every_pool_in_ceil_mode_gives_what_torch_gives(size: tuple[int, int]) -> None:
    def pools(m: Any, x: Tensor) -> list[Tensor]:
        found = [functional.max_pool2d(x, kernel, stride, padding, dilation, ceil_mode=True) for kernel, stride, padding, dilation in CASES]
        for kernel, stride, padding, dilation in CASES:
            if dilation == 1:
                found += [functional.avg_pool2d(x, kernel, stride, padding, True, counted) for counted in (False, True)]
        return found

    net = Net(pools).eval()
    example = torch.zeros(1, 4, *size)
    for backend in ("reference", "auto"):
        model, _ = skipvid.convert(net, example, skipvid.SkipConfig(threshold=0.0, threads=1, backend=backend))
        session = model.session()
        x = torch.randn(1, 4, *size, generator=torch.Generator().manual_seed(0))
        session(x)
        x = x.clone()
        x[:, :, -2:, -1:] += 1
        for ours, theirs in zip(session(x), net(x), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_pools_in_ceil_mode_run_pixel_by_pixel() -> None:
    counts = [node.op for node in graph_of(Net(lambda m, x: functional.max_pool2d(x, 3, 2, ceil_mode=True)), (1, 4, 8, 8))]
    assert counts == ["input", "max_pool"]
