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

from skipvid.skip import cpu as native
from skipvid.skip.api import convert
from skipvid.skip.config import SkipConfig
from skipvid.skip.gates.base import GatedGraph
from skipvid.skip.plan import make_plan

needs_native = pytest.mark.skipif(not native.status().available, reason=native.status().reason)
SETS = native.status().instruction_sets

FUNCTIONS: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "gelu": lambda m, x: functional.gelu(x),
    "gelu by tanh": lambda m, x: functional.gelu(x, approximate="tanh"),
    "mish": lambda m, x: functional.mish(x),
    "softplus": lambda m, x: functional.softplus(x),
    "softplus with a beta": lambda m, x: functional.softplus(x, 2.0, 5.0),
    "erf": lambda m, x: x.erf(),
    "exp": lambda m, x: x.exp(),
    "log": lambda m, x: x.log(),
    "square root": lambda m, x: x.sqrt(),
    "reciprocal root": lambda m, x: x.rsqrt(),
    "reciprocal": lambda m, x: 2.5 / x,
    "magnitude": lambda m, x: -x.abs(),
    "clamped from below": lambda m, x: x.clamp(min=-0.5),
    "clamped from above": lambda m, x: x.clamp(max=0.25),
    "powers": lambda m, x: x**2 + x.square() * 0.5 - x**3,
    "root as a power": lambda m, x: x**0.5,
    "selu": lambda m, x: functional.selu(x),
    "celu": lambda m, x: functional.celu(x, 0.7),
    "logarithm of the logistic function": lambda m, x: functional.logsigmoid(x),
    "softshrink": lambda m, x: functional.softshrink(x, 0.3),
    "the larger of two": lambda m, x: torch.maximum(x, 0.3 - x),
    "the smaller of two": lambda m, x: torch.min(x, x * x),
    "softsign": lambda m, x: functional.softsign(x),
    "prelu": lambda m, x: functional.prelu(x, m.one),
    "prelu by channel": lambda m, x: functional.prelu(x, m.each),
}


def net_of(name: str, **parts: nn.Module) -> Net:
    slopes = {"one": nn.Parameter(torch.tensor([1.7])), "each": nn.Parameter(torch.tensor([0.3, -0.2, 1.5, 0.0]))}
    return Net(FUNCTIONS[name], **slopes, **parts)


def numbers() -> Tensor:
    """(1, 4, 2, N), from where functions are 0 to where they leave the numbers, with both ends of what a float can hold."""
    ends = torch.tensor(
        [-1e4, -100.0, -88.8, -0.0, 0.0, 1e-45, 1e-40, 1e-38, 1e-30, 1e-4, -1e-4, 88.0, 88.7, 88.8, 100.0, 1e4, 3e38, torch.inf, -torch.inf]
    )
    spread = torch.cat([torch.linspace(-12, 12, 40000), torch.logspace(-37, 37, 2000), -torch.logspace(-37, 2, 500), ends])
    return spread[: len(spread) // 8 * 8].view(1, 4, 2, -1)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_are_those_of_torch_everywhere(name: str) -> None:
    net, x = net_of(name), numbers()
    graph = graph_of(net, tuple(x.shape))
    assert not operations(graph)["aten"]
    with torch.no_grad():
        torch.testing.assert_close(run(graph, x)[0], net(x), rtol=1e-6, atol=2e-6, equal_nan=True)


@needs_native
@pytest.mark.parametrize("instruction_set", SETS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_kernels_compute_what_torch_computes_everywhere(name: str, instruction_set: str) -> None:
    x = numbers()
    graph = graph_of(net_of(name), tuple(x.shape))
    from skipvid.skip.cpu.backend import NativeBackend

    program = NativeBackend(1, instruction_set).compile(make_plan(GatedGraph(graph, {})))
    got, want = program.run_dense([x])[0], FUNCTIONS[name](net_of(name), x).detach()
    near = ~(want.abs() < 1.2e-38) & (x.isfinite() | (name not in {"gelu", "gelu by tanh", "mish"}))  # torch has NaN there, too, or 0
    torch.testing.assert_close(got[near], want[near], rtol=2e-6, atol=2e-6, equal_nan=True)
    if name in {"exp", "erf", "log", "square root", "reciprocal", "reciprocal root", "softplus"}:  # in proportion to the number itself
        torch.testing.assert_close(got[near], want[near], rtol=2e-6, atol=0, equal_nan=True)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_they_run_on_changed_pixels(name: str, backend: str) -> None:
    torch.manual_seed(0)
    inner = FUNCTIONS[name]
    net = net_of(name, first=nn.Conv2d(3, 4, 3, padding=1), last=nn.Conv2d(4, 4, 3, padding=1))
    if name in {"log", "square root", "reciprocal root", "reciprocal", "root as a power"}:
        net.first.weight.data.abs_()
        net.first.bias.data.fill_(0.5)
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
    assert operations(graph) == {"aten": 2, "activation": 1}
