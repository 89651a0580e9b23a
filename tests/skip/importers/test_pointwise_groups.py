"""Point-wise operations of torch's without a kernel run in PyTorch, on the pixels that changed."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from exported import graph_of, operations
from function_network import Net
from torch import Tensor, nn
from torch.nn import functional

from skipvid.skip import cpu as native
from skipvid.skip.api import SkipModel, convert
from skipvid.skip.config import SkipConfig
from skipvid.skip.cpu import fallback
from skipvid.skip.session import Session

needs_native = pytest.mark.skipif(not native.status().available, reason=native.status().reason)
SHAPE = (1, 3, 20, 24)

FUNCTIONS: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "sine": lambda m, y: y.sin(),
    "hardshrink": lambda m, y: functional.hardshrink(y),
    "tanhshrink": lambda m, y: functional.tanhshrink(y) + 0.0,
    "threshold": lambda m, y: functional.threshold(y, 0.1, 0.3),
    "a power": lambda m, y: (y.abs() + 0.1) ** 2.5,
    "a chain": lambda m, y: y.sin().floor().clamp(-1, 1).expm1(),
    "a condition": lambda m, y: torch.where((y > 0.1) & ~(y > 0.9), y.sin(), 2 * y),
    "a mask": lambda m, y: y * (y > 0).float(),
    "a comparison of two": lambda m, y: y.masked_fill(y < y.tanh() * 0.9, 0.25),
    "a vector": lambda m, y: torch.atan2(y, y.mean((2, 3), keepdim=True)),
    "one channel": lambda m, y: torch.lerp(y, y.mean(1, keepdim=True), 0.25),
    "constants by channel": lambda m, y: y.clamp(m.low, m.low + 0.7),
    "a constant by channel and a number": lambda m, y: torch.maximum(y, m.low) + torch.maximum(y, torch.tensor(0.2)),
    "tokens": lambda m, y: y.flatten(2).transpose(1, 2).cos().transpose(1, 2).reshape(y.shape),
    "two lists of tokens": lambda m, y: torch.hypot(t := y.flatten(2).transpose(1, 2), t.roll(1, 1)).transpose(1, 2).reshape(y.shape),
    "a long chain": lambda m, y: functools.reduce(lambda z, _: z.sin() + 0.1 * z.floor(), range(20), y),
    "read twice": lambda m, y: (c := y.cos()).floor() + c,
}


def model_of(name: str, **options: Any) -> tuple[nn.Module, SkipModel]:
    torch.manual_seed(0)
    low = nn.Parameter(torch.rand(8, 1, 1) - 0.6)
    parts = {"first": nn.Conv2d(3, 8, 3, padding=1), "last": nn.Conv2d(8, 4, 1), "low": low}
    net = Net(lambda m, x: m.last(FUNCTIONS[name](m, m.first(x))), **parts).requires_grad_(False)
    return net, convert(net, torch.zeros(SHAPE), SkipConfig(dense_above=1.0, threads=1, **options))[0]


def stream(session: Session, frames: int = 5) -> Any:
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(SHAPE, generator=generator)
    for number in range(frames):
        x = x.clone()
        x[..., 4:9, 3 * number : 3 * number + 4] = torch.rand(1, 3, 5, 4, generator=generator)
        yield x, session(x)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_nothing_of_it_runs_on_whole_maps(name: str) -> None:
    _, model = model_of(name)
    program = model.program((SHAPE,))
    by_name = program.plan.graph.by_name  # type: ignore[attr-defined]
    assert {by_name[node].op for node, _ in program.fallbacks} <= {"pointwise"}


@pytest.mark.parametrize("precision", ["f32", "bf16"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_threshold_zero_has_the_bits_of_the_dense_run(name: str, precision: str, backend: str) -> None:
    net, model = model_of(name, threshold=0.0, backend=backend, precision=precision)
    for x, result in stream(model.session()):
        assert torch.equal(result, model.dense(x))
        if precision == "f32":
            torch.testing.assert_close(result, net(x), rtol=1e-5, atol=1e-5)


@needs_native
@pytest.mark.parametrize("name", FUNCTIONS)
def test_gated_streams_agree_with_the_reference(name: str) -> None:
    sessions = [model_of(name, threshold=0.1, backend=backend)[1].session() for backend in ("cpu", "reference")]
    for (_, ours), (_, theirs) in zip(*(stream(session) for session in sessions), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    masks = [session.computed for session in sessions]
    assert all((masks[0][layer] == masks[1][layer]).mean() > 0.98 for layer in masks[1])


@needs_native
@pytest.mark.parametrize("name", ["sine", "a condition", "tokens", "a vector"])
def test_a_patch_costs_its_own_pixels(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    session = model_of(name, threshold=0.05)[1].session()
    counts = []

    def counted(node: Any, rows: Any) -> Tensor:
        counts.append(max(len(each) for each in rows))
        return evaluate(node, rows)

    evaluate = fallback.on_rows
    frames = stream(session)
    next(frames)
    monkeypatch.setattr(fallback, "on_rows", counted)
    next(frames)
    reached = 7 * 6 + (0 if name != "a vector" else 20 * 24)  # of the patch that is new
    assert len(counts) == 1 and 0 < counts[0] <= max(reached, 7 * 6)
    counts.clear()
    x = torch.rand(SHAPE)
    session(x)
    session(x)
    session(x)
    assert len(counts) <= 2  # an unchanged frame computes nothing


@pytest.mark.parametrize(
    "function",
    [
        lambda x: torch.where(x.cumsum(3) > 0, x, -x),  # the condition is of a value that is kept
        lambda x: (x > 0).any(1, keepdim=True) * x,
        lambda x: torch.maximum(x, torch.linspace(-1, 1, 6)),  # differs from column to column
    ],
    ids=["a condition on a running sum", "a condition over channels", "a constant by column"],
)
def test_what_is_not_point_wise_in_all_its_inputs_is_left_to_torch(function: Callable[[Tensor], Tensor]) -> None:
    net = Net(lambda m, x: function(x))
    assert operations(graph_of(net, (1, 4, 6, 6)))["aten"]
    x = torch.randn(1, 4, 6, 6)
    assert torch.equal(convert(net, x, SkipConfig(threshold=0.0))[0].session()(x), net(x))
