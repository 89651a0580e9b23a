"""The report of a conversion: totals first, layers by stage, and everything that PyTorch computes by name."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from function_network import Net
from sample_networks import NETWORKS, converted
from torch import Tensor, nn

from skipvid.skip import cpu as native
from skipvid.skip.api import convert
from skipvid.skip.config import SkipConfig

needs_native = pytest.mark.skipif(not native.status().available, reason=native.status().reason)
FRAME = torch.zeros(1, 3, 16, 16)


class Block(nn.Module):
    """A block of a transformer on tokens, nearly all of whose products are those of tokens with each other."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.inner, self.outer = nn.LayerNorm(8), nn.Linear(8, 1), nn.Linear(1, 8)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.outer(nn.functional.gelu(self.inner(self.norm(x))))
        return x + (x @ x.transpose(1, 2)).relu() @ x  # type: ignore[no-any-return]


class Tokens(nn.Module):
    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.stem, self.blocks = nn.Conv2d(3, 8, 1), nn.Sequential(*(Block() for _ in range(blocks)))

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(self.stem(x).flatten(2).transpose(1, 2))  # type: ignore[no-any-return]


@needs_native
@pytest.mark.parametrize("name", NETWORKS)
def test_all_that_pytorch_computes_is_named(name: str) -> None:
    net, shape = NETWORKS[name][0], NETWORKS[name][1]
    model, report = convert(converted(name)[0], torch.zeros(shape), SkipConfig(backend="cpu"))
    fallbacks = {node for node, _ in model.program((shape,)).fallbacks}
    assert fallbacks == set(report.fallbacks) <= {node for node, _, _ in report.dense}
    assert all(node in report.details() for node in fallbacks) and net is not None


@needs_native
def test_a_broadcast_between_values_that_are_no_maps_is_named() -> None:
    def forward(m: Any, x: Tensor) -> Tensor:
        y = m.conv(x).flatten(2)
        return y * y.amax(1, keepdim=True)  # type: ignore[no-any-return]

    report = convert(Net(forward, conv=nn.Conv2d(3, 8, 3)), FRAME, SkipConfig(backend="cpu"))[1]
    lines = [line for line in str(report).splitlines() if line.startswith("in PyTorch: ")]
    assert [line.split("(")[1].split(")")[0] for line in lines] == ["flatten", "amax", "mul"]


@needs_native
def test_totals_come_first_and_hundreds_of_layers_are_folded() -> None:
    report = convert(Tokens(40).eval(), FRAME, SkipConfig(backend="cpu"))[1]
    lines = str(report).splitlines()
    assert len(report.layers) == 161 and len(lines) < 40 and len(report.details().splitlines()) > 161
    assert "M MACs" in lines[0] and "in PyTorch" in lines[0] and "state per stream" in lines[0]
    assert report.share("PyTorch") > 0.9 and abs(sum(map(report.share, ("sparse", "dense", "PyTorch"))) - 1) < 1e-9
    assert "of the MACs are in fallbacks: skipping will not pay" in str(report)
    assert sum(layer.macs for layer in report.layers) == report.dense_macs


def test_shares_are_those_of_the_layers(backend: str) -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 1000)).eval()
    report = convert(net, FRAME, SkipConfig(backend=backend))[1]
    assert {layer.name: layer.way for layer in report.layers} == {"0": "sparse", "4": "dense"}
    assert report.share("sparse") == 14 * 14 * 8 * 27 / (14 * 14 * 8 * 27 + 8000)
    assert "will not pay" not in str(report)
    dense = convert(net, FRAME, SkipConfig(backend=backend, gate="none"))[1]
    assert dense.share("dense") == 1


def test_the_state_of_a_stream_is_told_as_it_will_be(backend: str) -> None:
    for net in (Tokens(6).eval(), converted("everything")[0]):
        shape = (1, 3, 16, 16) if isinstance(net, Tokens) else NETWORKS["everything"][1]
        model, report = convert(net, torch.zeros(shape), SkipConfig(backend=backend, threshold=0.1))
        session = model.session()
        session(torch.rand(shape))
        session(torch.rand(shape))
        assert 0.5 * report.state_bytes <= session.memory_bytes <= 1.1 * report.state_bytes + 4096
