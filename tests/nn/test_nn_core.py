"""skipvid.nn against skipvid.convert: where both mean the same thing, they must do the same thing."""

from __future__ import annotations

import pytest
import torch
from nn_cases import sequence
from torch import nn

import skipvid
from skipvid.nn import NormGate, convert_modules, macs

NETS = {
    "plain": lambda: nn.Conv2d(4, 6, 3, padding=1),
    "strided, dilated, grouped": lambda: nn.Conv2d(4, 8, (3, 2), stride=2, padding=(2, 1), dilation=2, groups=2, bias=False),
    "depthwise": lambda: nn.Conv2d(4, 4, 5, padding=2, groups=4),
    "transposed": lambda: nn.ConvTranspose2d(4, 3, 4, stride=2, padding=1),
}


@pytest.mark.parametrize("block", [1, 4])
@pytest.mark.parametrize("tau", [0.0, 0.05, 0.4])
@pytest.mark.parametrize("kind", NETS)
def test_one_layer_computes_the_same_outputs_with_the_same_result(kind: str, tau: float, block: int) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(NETS[kind]()).eval()
    clip = sequence(6, 1, 4, 13, 18)
    model, _ = skipvid.convert(net, clip[:, 0], skipvid.SkipConfig(threshold=tau, block=block, backend="reference", dense_above=1.0))
    ours, _ = convert_modules(net, gate=NormGate(tau, block=block))
    session = model.session()
    skipped = 0
    with torch.no_grad():
        for frame in clip.unbind(1):
            torch.testing.assert_close(ours(frame), session(frame), rtol=0, atol=1e-5)
            (computed,) = session.computed.values()
            assert torch.equal(ours[0].masks[0][0], torch.from_numpy(computed))
            cost = macs(ours).total
            assert (cost.dense_macs, cost.macs.item()) == (session.cost.dense_macs, session.cost.macs)
            skipped += int((~ours[0].masks[0]).sum())
    assert tau == 0.0 or skipped > 0


@pytest.mark.parametrize("tau", [0.0, 0.1, 0.5])
def test_a_chain_of_layers_computes_the_same_outputs_with_the_same_result(tau: float) -> None:
    torch.manual_seed(1)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.Hardswish(), nn.Conv2d(8, 4, 1)
    ).eval()
    clip = sequence(8, 1, 3, 24, 22)
    model, _ = skipvid.convert(net, clip[:, 0], skipvid.SkipConfig(threshold=tau, backend="reference", dense_above=1.0))
    ours, _ = convert_modules(net, gate=NormGate(tau))
    session = model.session()
    with torch.no_grad():
        for frame in clip.unbind(1):
            torch.testing.assert_close(ours(frame), session(frame), rtol=0, atol=1e-5)
            theirs = {layer.name: layer.macs for layer in session.cost.layers}
            assert theirs == {name: cost.macs.item() for name, cost in macs(ours).layers.items()}
