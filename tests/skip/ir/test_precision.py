"""Half precision as the reference defines it: what is rounded, and what is not."""

from __future__ import annotations

import pytest
import torch
from sample_frames import frames
from sample_networks import NETWORKS, converted
from torch import Tensor, nn
from torch.nn import functional

from skipvid.skip import backends
from skipvid.skip import cpu as native
from skipvid.skip.api import SkipModel, convert
from skipvid.skip.config import SkipConfig
from skipvid.skip.ir.precision import rounded
from skipvid.skip.plan import Plan

HALF = SkipConfig(threshold=0.0, backend="reference", precision="bf16")


class Block(nn.Module):
    """A convolution, a depthwise one, and a chain of point-wise operations."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.depthwise = nn.Conv2d(8, 8, 3, groups=8)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.conv(x))
        return (self.depthwise(y) - x[:, :1, 2:-2, 2:-2]) * 0.37 + y[..., 1:-1, 1:-1]


@torch.no_grad()
def test_each_stored_map_is_rounded_once_and_the_weights_of_dense_layers_too() -> None:
    torch.manual_seed(0)
    net, x = Block().eval(), torch.randn(1, 3, 9, 11)
    model, _ = convert(net, x, HALF)
    conv, depthwise = net.conv, net.depthwise
    layer = next(node for node in model.program((x.shape,)).plan.graph if node.op == "conv")  # type: ignore[attr-defined]
    assert torch.equal(layer.consts["weight"], rounded(conv.weight))
    bias = layer.consts["bias"]  # makes up for the rounding: skipvid.skip.half_weights
    assert torch.allclose(bias, conv.bias, atol=0.01)
    y = rounded(torch.relu(functional.conv2d(rounded(x), rounded(conv.weight), bias)))
    z = rounded(functional.conv2d(y, depthwise.weight, depthwise.bias, groups=8))
    expected = rounded((z - rounded(x)[:, :1, 2:-2, 2:-2]) * 0.37 + y[..., 1:-1, 1:-1])
    assert torch.equal(model.session()(x), expected)
    assert torch.equal(model.dense(x), expected)


def plan_of(name: str, **settings: str) -> Plan:
    shape = NETWORKS[name][1]
    return converted(name)[1].regated(SkipConfig(backend="reference", **settings)).program((shape,)).plan  # type: ignore[arg-type]


@torch.no_grad()
@pytest.mark.parametrize("gate", ["norm", "norm-output"])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_stored_value_is_a_bfloat16_number_at_any_time(name: str, gate: str) -> None:
    shape = NETWORKS[name][1]
    program = converted(name)[1].regated(SkipConfig(threshold=0.1, gate=gate, backend="reference", precision="bf16")).program((shape,))
    state = program.new_state()
    for number, frame in enumerate(frames(shape, 6)):
        program.run(state, (frame,), number == 0)
        for stored in program.plan.rounded:
            value = state.values[stored]  # type: ignore[attr-defined]
            assert torch.equal(torch.nan_to_num(value), torch.nan_to_num(rounded(value))), f"frame {number}: {stored}"


@torch.no_grad()
@pytest.mark.parametrize("name", NETWORKS)
def test_threshold_zero_has_the_bits_of_the_dense_run(name: str) -> None:
    shape = NETWORKS[name][1]
    model = converted(name)[1].regated(HALF)
    session = model.session()
    for number, frame in enumerate(frames(shape, 5)):
        actual, expected = session(frame), model.dense(frame)
        for one, other in zip(torch.utils._pytree.tree_leaves(actual), torch.utils._pytree.tree_leaves(expected), strict=True):
            same = torch.equal(torch.nan_to_num(one), torch.nan_to_num(other)) if isinstance(one, Tensor) else one == other
            assert same, f"frame {number}"


@pytest.mark.parametrize("name", NETWORKS)
def test_f32_rounds_nothing(name: str) -> None:
    assert not plan_of(name).rounded
    assert plan_of(name, precision="bf16").rounded


def test_layers_that_share_a_weight_share_the_rounded_one() -> None:
    plan = plan_of("pyramid with shared heads", precision="bf16")
    weights = [node.consts["weight"] for node in plan.graph if node.layer == "classes"]
    assert len(weights) > 1 and len({id(weight) for weight in weights}) == 1


@pytest.mark.parametrize(
    ("settings", "fast", "expected"),
    [
        ({"precision": "auto"}, True, "bf16"),
        ({"precision": "auto"}, False, "f32"),
        ({"precision": "auto", "backend": "reference"}, True, "f32"),
        ({"precision": "auto", "reference": "previous"}, True, "f32"),
        ({"precision": "bf16"}, False, "bf16"),
        ({"precision": "f32"}, True, "f32"),
        ({}, True, "f32"),
    ],
)
def test_auto_is_bf16_where_the_processor_multiplies_it(
    settings: dict[str, str], fast: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets = ("avx512_bf16", "avx512", "generic") if fast else ("avx2", "generic")
    monkeypatch.setattr(backends.native, "status", lambda: native.Status(True, "", ("generic",), 1, sets))
    config = SkipConfig(**settings)  # type: ignore[arg-type]
    assert backends.precision_of(config) == expected
    assert SkipModel(nn.Conv2d(3, 4, 3).eval(), config).precision == expected
