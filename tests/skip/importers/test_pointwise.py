"""Point-wise functions without a kernel of their own run on changed pixels only, and compute what torch computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from exported import graph_of, operations, run
from function_network import Net
from torch import Tensor, nn
from torch.nn import functional

from skipvid.skip.api import convert
from skipvid.skip.config import SkipConfig

FUNCTIONS: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "gelu": lambda m, x: functional.gelu(x),
    "gelu by tanh": lambda m, x: functional.gelu(x, approximate="tanh"),
    "mish": lambda m, x: functional.mish(x),
    "prelu": lambda m, x: functional.prelu(x, m.one),
    "prelu by channel": lambda m, x: functional.prelu(x, m.each),
}


def net_of(name: str, **parts: nn.Module) -> Net:
    slopes = {"one": nn.Parameter(torch.tensor([1.7])), "each": nn.Parameter(torch.tensor([0.3, -0.2, 1.5, 0.0]))}
    return Net(FUNCTIONS[name], **slopes, **parts)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_are_those_of_torch_everywhere(name: str) -> None:
    net = net_of(name)
    x = torch.cat([torch.linspace(-12, 12, 40000), torch.tensor([-1e4, -100.0, -0.0, 0.0, 1e-30, 100.0, 1e4, 88.7])])[: 4 * 10002]
    x = x.view(1, 4, 2, -1)
    graph = graph_of(net, tuple(x.shape))
    assert not operations(graph)["aten"]
    with torch.no_grad():
        torch.testing.assert_close(run(graph, x)[0], net(x), rtol=1e-6, atol=2e-6)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_they_run_on_changed_pixels(name: str, backend: str) -> None:
    torch.manual_seed(0)
    inner = FUNCTIONS[name]
    net = net_of(name, first=nn.Conv2d(3, 4, 3, padding=1), last=nn.Conv2d(4, 4, 3, padding=1))
    net.function = lambda m, x: m.last(inner(m, m.first(x)))
    frame = torch.rand(1, 3, 24, 24)
    model, report = convert(net, frame, SkipConfig(threshold=0.0, backend=backend))
    assert not report.dense
    session = model.session()
    for number in range(5):
        frame = frame.clone()
        frame[..., 4:8, number : number + 4] = torch.rand(1, 3, 4, 4)
        got = session(frame)
        assert torch.equal(got, model.dense(frame))
        with torch.no_grad():
            torch.testing.assert_close(got, net(frame), rtol=1e-5, atol=1e-5)
    assert session.cost.saving > 0.8


def test_between_operations_of_torch_they_stay_one() -> None:
    graph = graph_of(Net(lambda m, x: functional.gelu(x.cumsum(3)).cumsum(3)), (1, 4, 6, 6))
    assert operations(graph) == {"aten": 3}
