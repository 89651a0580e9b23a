"""Networks drawn at random, sequential and branching: whatever a user builds must keep both promises, τ = 0 and the bound."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st
from promises import check_state, relative_error
from sample_frames import frames
from sample_networks import build
from torch import Tensor, nn
from torch.nn import functional

from skipvid.skip import cpu as native
from skipvid.skip.api import convert
from skipvid.skip.config import BACKENDS, SkipConfig
from skipvid.skip.reference.executor import ReferenceProgram

Entry = tuple[str, Callable[..., Tensor], tuple[int, ...]]
"""What an entry does in words, the operation, and the earlier results it reads."""


class Drawn(nn.Module):
    """Runs entries one after the other, keeping all results; returns the last three."""

    def __init__(self, entries: list[Entry]) -> None:
        super().__init__()
        self.entries = entries
        self.members = nn.ModuleList([operation for _, operation, _ in entries if isinstance(operation, nn.Module)])

    def forward(self, x: Tensor) -> list[Tensor]:
        results = [x]
        for _, operation, reads in self.entries:
            results.append(operation(*(results[position] for position in reads)))
        return results[-3:]


def draw_convolution(draw: st.DrawFn, channels: int, size: tuple[int, int]) -> nn.Module:
    groups = draw(st.sampled_from([1, 1, channels, 2 if channels % 2 == 0 else 1]))
    outputs = groups * draw(st.integers(1, max(1, 6 // groups)))
    kernel, dilation = [draw(st.integers(1, 5)) for _ in range(2)], [draw(st.integers(1, 2)) for _ in range(2)]
    padding = [draw(st.integers(0, 3)) for _ in range(2)]
    for axis in range(2):  # a window must fit
        while dilation[axis] * (kernel[axis] - 1) + 1 > size[axis] + 2 * padding[axis]:
            padding[axis] += 1
    stride = [draw(st.integers(1, 2)) if extent > 4 else 1 for extent in size]
    layers: list[nn.Module] = [nn.Conv2d(channels, outputs, kernel, stride, padding, dilation, groups, bias=draw(st.booleans()))]
    return nn.Sequential(*layers, *draw_tail(draw, outputs))


def draw_transposed(draw: st.DrawFn, channels: int, size: tuple[int, int]) -> nn.Module:
    groups = draw(st.sampled_from([1, 2 if channels % 2 == 0 else 1]))
    outputs = groups * draw(st.integers(1, 2))
    stride = [draw(st.integers(1, 2)) if extent < 12 else 1 for extent in size]
    kernel = [step + draw(st.integers(0, 2)) for step in stride]
    extra = [draw(st.integers(0, step - 1)) for step in stride]
    padding = [draw(st.integers(0, (k - 1) // 2)) if extent > 2 else 0 for k, extent in zip(kernel, size, strict=True)]
    return nn.Sequential(nn.ConvTranspose2d(channels, outputs, kernel, stride, padding, extra, groups), *draw_tail(draw, outputs))


def draw_tail(draw: st.DrawFn, channels: int) -> list[nn.Module]:
    """Perhaps a norm, perhaps an activation, perhaps in place."""
    tail: list[nn.Module] = [nn.BatchNorm2d(channels)] if draw(st.booleans()) else []
    inplace = draw(st.booleans())
    activation = draw(
        st.sampled_from([None, nn.ReLU(inplace), nn.SiLU(inplace), nn.Hardswish(inplace), nn.LeakyReLU(0.1, inplace), nn.Sigmoid()])
    )
    return [*tail, activation] if activation is not None else tail


class Squeeze(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.conv(functional.adaptive_avg_pool2d(x, 1)).sigmoid()


def draw_simple(draw: st.DrawFn, channels: int, size: tuple[int, int]) -> tuple[str, Callable[[Tensor], Tensor]]:
    """An operation on one map, without weights or with few."""
    kinds = ["squeeze", "slice", "pad", "nearest", "bilinear", "max", "mean", "scale", "activation", "dense"]
    kind = draw(st.sampled_from(kinds + ["shuffle"] * (channels % 2 == 0)))
    pads = [draw(st.integers(0, 2)) for _ in range(4)]
    target = [draw(st.integers(1, min(2 * extent, 16))) for extent in size]
    kernel, first = draw(st.integers(1, min(3, *size))), draw(st.integers(0, channels - 1))
    operations: dict[str, Callable[[Tensor], Tensor]] = {
        "squeeze": Squeeze(channels),
        "slice": lambda x: x[:, first:],
        "shuffle": lambda x: x.view(1, 2, channels // 2, *x.shape[2:]).transpose(1, 2).reshape(x.shape),
        "pad": lambda x: functional.pad(x, pads),
        "nearest": lambda x: functional.interpolate(x, target),
        "bilinear": lambda x: functional.interpolate(x, target, mode="bilinear", align_corners=bool(first % 2)),
        "max": nn.MaxPool2d(kernel, draw(st.integers(1, 2)), kernel // 2),
        "mean": nn.AvgPool2d(kernel, draw(st.integers(1, 2)), kernel // 2),
        "scale": lambda x: 1.5 * x - 0.25,
        "activation": lambda x: torch.relu(torch.tanh(x)),
        "dense": lambda x: x.softmax(1).roll(1, 3),
    }
    return kind, operations[kind]


@st.composite
def networks(draw: st.DrawFn) -> tuple[Drawn, tuple[int, ...]]:
    """A network and its input shape."""
    shape = (1, draw(st.integers(1, 4)), draw(st.integers(1, 15)), draw(st.integers(1, 15)))
    entries: list[Entry] = []
    maps = [shape]
    for _ in range(draw(st.integers(1, 7))):
        source = draw(st.sampled_from([len(maps) - 1, draw(st.integers(0, len(maps) - 1))]))
        _, channels, height, width = maps[source]
        alike = [position for position, other in enumerate(maps) if other[2:] == (height, width)]
        other = draw(st.sampled_from(alike))
        reads: tuple[int, ...] = (source,)
        kind = draw(st.sampled_from(["convolution", "convolution", "transposed", "simple", "join"]))
        operation: Callable[..., Tensor]
        if kind == "convolution":
            operation = draw_convolution(draw, channels, (height, width))
        elif kind == "transposed":
            operation = draw_transposed(draw, channels, (height, width))
        elif kind == "simple":
            kind, operation = draw_simple(draw, channels, (height, width))
        else:
            reads = (source, other)
            same = maps[source] == maps[other]
            operation = draw(st.sampled_from([torch.add, torch.mul, torch.sub])) if same and draw(st.booleans()) else concatenate
        entries.append((kind, operation, reads))
        maps.append(shape_after(operation, [maps[position] for position in reads]))
    return Drawn(entries), shape


def concatenate(*parts: Tensor) -> Tensor:
    return torch.cat(parts, 1)


def shape_after(operation: Callable[..., Tensor], shapes: list[tuple[int, ...]]) -> tuple[int, ...]:
    if isinstance(operation, nn.Module):
        operation.eval()
    with torch.no_grad():
        return tuple(operation(*(torch.zeros(shape) for shape in shapes)).shape)


@given(case=networks(), block=st.sampled_from([1, 2, 8]), threshold=st.sampled_from([0.05, 0.5]), seed=st.integers(0, 99))
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_random_network_keeps_both_promises(case: tuple[Drawn, tuple[int, ...]], block: int, threshold: float, seed: int) -> None:
    drawn, shape = case
    note("; ".join(f"{position + 1} = {kind}{list(reads)} {operation if isinstance(operation, nn.Module) else ''}"
                   for position, (kind, operation, reads) in enumerate(drawn.entries)))  # fmt: skip
    net = build(lambda: drawn)
    model = convert(net, torch.zeros(shape), SkipConfig(threshold=0, block=block, backend="reference"))[0]
    skipping = [
        model.regated(SkipConfig(threshold=0, block=block, backend=name)) for name in BACKENDS if name != "cpu" or native.status().available
    ]
    sessions = [(gated, gated.session()) for gated in skipping]
    program = model.regated(SkipConfig(threshold=threshold, block=block, backend="reference")).program((shape,))
    assert isinstance(program, ReferenceProgram)
    state = program.new_state()
    for number, frame in enumerate(frames(shape, 7, seed)):
        with torch.no_grad():
            original: list[Any] = net(frame.clone())
        for gated, session in sessions:
            what = f"frame {number}, back end {gated.backend.name}"
            for a, b, c in zip(session(frame), gated.dense(frame), original, strict=True):
                assert torch.equal(a, b), f"{what}: differs from dense"
                assert relative_error(a, c) <= 1e-4, f"{what}: {relative_error(a, c)} from the original"
        program.run(state, (frame,), number == 0)
        check_state(program, state, frame)
