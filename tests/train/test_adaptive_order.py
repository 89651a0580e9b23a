"""Renumbering channels: the network computes what it did, and partners resemble each other."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from test_train_adaptive import leaves, shaken
from torch import nn

from skipvid.train.adaptive_order import chains, pair_channels, paired_order, renumber


@pytest.mark.parametrize("name", ["efficientdet-nano", "tf_efficientdet_lite0", "hrnet-nano"])
def test_a_network_with_renumbered_channels_computes_what_it_did(name: str) -> None:
    net, x = shaken(name), torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        before = leaves(net(x))
        weights = {key: value.clone() for key, value in net.state_dict().items()}
        found = list(chains(net))
        generator = torch.Generator().manual_seed(0)
        for chain in found:
            width = net.get_submodule(chain.writer).weight.shape[0]  # type: ignore[union-attr]
            renumber(net, chain, torch.randperm(int(width), generator=generator))  # type: ignore[arg-type]
        assert len(found) > 15
        for chain in found:
            assert not torch.equal(weights[f"{chain.writer}.weight"], net.get_parameter(f"{chain.writer}.weight"))
        for one, other in zip(leaves(net(x)), before, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4 * float(other.abs().max()))


@pytest.mark.parametrize("name", ["efficientdet-nano", "tf_efficientdet_lite0"])
def test_blocks_that_the_pyramid_reads_or_a_shortcut_adds_to_are_left(name: str) -> None:
    net = shaken(name)
    writers = {chain.writer for chain in chains(net)}
    backbone: Any = net.backbone
    for stage, part in enumerate(backbone.blocks):
        for number, block in enumerate(part):
            path = f"backbone.blocks.{stage}.{number}.conv_pwl"
            if block.residual or (stage in backbone.taps and number == len(part) - 1):
                assert path not in writers
    assert "class_net.conv_rep.1.conv_pw" in writers
    assert ("backbone.blocks.6.0.conv_pwl" in writers) == (name == "efficientdet-nano")  # Lite0 adds its blocks up


def test_partners_are_those_that_are_most_alike() -> None:
    """Eight channels: two groups of four; in each two pairs of twins, of opposite sign."""
    torch.manual_seed(0)
    group, twin, own = torch.randn(2, 4000), torch.randn(4, 4000), torch.randn(8, 4000)
    rows = torch.stack([group[n // 4] + 0.5 * twin[n // 2] + 0.1 * own[n] for n in range(8)])
    rows[1::2] *= -2
    shuffled = torch.tensor([3, 6, 0, 5, 1, 7, 2, 4])
    order = shuffled[paired_order(rows[shuffled])].tolist()
    assert sorted(order) == list(range(8))
    assert all(order[i] // 2 == order[i + 4] // 2 for i in range(4))  # twins at one half
    assert all(order[i] // 4 == order[i + 2] // 4 for i in (0, 1))  # of one group at one quarter


def test_channels_that_never_change_have_partners_too() -> None:
    assert sorted(paired_order(torch.zeros(8, 50)).tolist()) == list(range(8))


def test_pairing_leaves_less_to_be_explained() -> None:
    net = shaken("hrnet-nano")
    path = "stage2.0.branches.1.0.conv1"
    x = torch.randn(2, 3, 64, 64)

    def apart() -> float:
        maps = []
        hook = net.get_submodule(path).register_forward_hook(lambda module, inputs, output: maps.append(output))
        with torch.no_grad():
            net(x)
        hook.remove()
        rows = maps[0].transpose(0, 1).flatten(1)
        alike = torch.corrcoef(rows).abs()
        return float(torch.stack([alike[i, i + 16] for i in range(16)]).mean())

    before = apart()
    assert pair_channels(net, [path, "stage2.0.branches.1.0.conv2"], x) == [path]  # what is added to others cannot be renumbered
    assert apart() > before + 0.05
    assert isinstance(net.get_submodule(path), nn.Conv2d)
