"""The detector: the published sizes, the pyramid's wiring, agreement with upstream, export and training."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from skipvid.models import build_model, load_weights
from skipvid.models.efficientdet import CONFIGS
from skipvid.models.efficientnet import EfficientNetConfig, Stage
from skipvid.models.networks.efficientdet import EfficientDet, bifpn_topology

NARROW = EfficientNetConfig(
    stages=(
        Stage(repeats=1, kernel=3, stride=1, expand=1, channels=8),
        Stage(repeats=1, kernel=3, stride=2, expand=2, channels=8),
        Stage(repeats=1, kernel=3, stride=2, expand=2, channels=8),
        Stage(repeats=1, kernel=3, stride=2, expand=2, channels=16),
        Stage(repeats=1, kernel=3, stride=2, expand=2, channels=24),
    ),
    stem=8,
)


def narrow(**changes: object) -> EfficientDet:
    """A whole detector of a few thousand parameters; every rule of the family applies to it."""
    config = replace(CONFIGS["tf_efficientdet_d0"], backbone=NARROW, fpn_channels=16, fpn_repeats=2, head_repeats=2, num_classes=3)
    torch.manual_seed(0)
    return EfficientDet(replace(config, **changes))  # type: ignore[arg-type]


def macs(net: nn.Module, size: tuple[int, int]) -> int:
    """Multiply-accumulates of all convolutions, counted from the shapes that pass through them."""
    total = 0

    def count(module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        nonlocal total
        assert isinstance(module, nn.Conv2d)
        total += output.numel() * module.weight[0].numel()

    hooks = [module.register_forward_hook(count) for module in net.modules() if isinstance(module, nn.Conv2d)]  # type: ignore[arg-type]
    with torch.no_grad():
        net(torch.zeros(1, 3, *size, device="meta"))
    for hook in hooks:
        hook.remove()
    return total


@pytest.mark.parametrize(
    ("name", "millions", "giga"),
    [("d0", 3.9, 2.5), ("d1", 6.6, 6.1), ("d2", 8.1, 11), ("d3", 12.0, 25), ("d4", 20.7, 55)],
)
def test_parameters_and_macs_are_those_of_table_1_of_the_paper(name: str, millions: float, giga: float) -> None:
    config = CONFIGS[f"tf_efficientdet_{name}"]
    with torch.device("meta"):
        net = EfficientDet(config).eval()
    assert sum(p.numel() for p in net.parameters()) / 1e6 == pytest.approx(millions, abs=0.05)
    assert macs(net, config.image_size) / 1e9 == pytest.approx(giga, rel=0.02)


def test_the_small_member_stays_small() -> None:
    with torch.device("meta"):
        net = EfficientDet(CONFIGS["efficientdet-nano"]).eval()
    assert 0.5e6 <= sum(p.numel() for p in net.parameters()) <= 1.5e6
    assert macs(net, (288, 512)) <= 0.6e9
    assert macs(net, (384, 512)) <= 0.8e9


def test_a_cell_of_the_pyramid_is_wired_as_in_figure_2d_of_the_paper() -> None:
    p3, p4, p5, p6, p7, td6, td5, td4, out3, out4, out5, out6 = range(12)
    assert bifpn_topology() == [
        (6, (p6, p7)),
        (5, (p5, td6)),
        (4, (p4, td5)),
        (3, (p3, td4)),
        (4, (p4, td4, out3)),
        (5, (p5, td5, out4)),
        (6, (p6, td6, out5)),
        (7, (p7, out6)),
    ]


def test_fusion_weights_are_clipped_at_zero_and_normalised() -> None:
    combine = narrow().fpn.cell[1].fnode[0].combine  # type: ignore[index, union-attr]
    maps = [torch.randn(1, 16, 2 ** (4 - level), 2 ** (4 - level)) for level in range(5)]
    with torch.no_grad():
        combine.edge_weights.copy_(torch.tensor([3.0, 1.0]))  # type: ignore[union-attr, operator]
        enlarged = maps[4].repeat_interleave(2, 2).repeat_interleave(2, 3)
        torch.testing.assert_close(combine(maps), (3 * maps[3] + enlarged) / (4 + 1e-4))  # type: ignore[operator]
        combine.edge_weights.copy_(torch.tensor([3.0, -1.0]))  # type: ignore[union-attr, operator]
        torch.testing.assert_close(combine(maps), 3 * maps[3] / (3 + 1e-4))  # type: ignore[operator]


def test_every_level_has_norms_of_its_own() -> None:
    net = narrow().eval()
    x = torch.randn(1, 3, 128, 128)
    with torch.no_grad():
        before = net(x)[0]
        net.class_net.bn_rep[0][2]["bn"].weight.mul_(2)  # type: ignore[index, union-attr, operator]
        after = net(x)[0]
    assert [not torch.equal(a, b) for a, b in zip(before, after, strict=True)] == [False, False, True, False, False]


@pytest.mark.parametrize("same", [False, True])
@pytest.mark.parametrize("size", [(128, 128), (256, 128), (384, 640), (288, 512), (320, 320), (32, 32), (96, 224)])
def test_outputs_cover_every_level_of_any_rectangle(size: tuple[int, int], same: bool) -> None:
    net = narrow(same_padding=same).eval()
    with torch.no_grad():
        classes, boxes = net(torch.randn(1, 3, *size))
    expected = [(-(-size[0] // stride), -(-size[1] // stride)) for stride in (8, 16, 32, 64, 128)]
    assert [tuple(m.shape) for m in classes] == [(1, 27, *level) for level in expected]
    assert [tuple(m.shape) for m in boxes] == [(1, 36, *level) for level in expected]


def test_both_namings_differ_in_biases_before_norms_alone() -> None:
    with torch.device("meta"):
        ported, plain = (EfficientDet(CONFIGS[name]).state_dict() for name in ("tf_efficientdet_d0", "efficientdet_d0"))
    extra = set(ported) - set(plain)
    assert set(plain) < set(ported)
    assert extra and all(key.endswith((".conv.bias", ".conv_pw.bias")) for key in extra)
    assert {key: tensor.shape for key, tensor in plain.items()} == {key: ported[key].shape for key in plain}


def test_untrained_scores_start_near_one_percent() -> None:
    net = build_model("efficientdet-nano", (128, 128))
    with torch.no_grad():
        classes, _ = net(torch.randn(1, 3, 128, 128))
    assert 0.003 < torch.cat([m.flatten() for m in classes]).median().sigmoid() < 0.03


def test_a_gradient_reaches_every_parameter_and_a_step_lowers_the_loss() -> None:
    net = narrow().train()
    x = torch.randn(4, 3, 128, 128)
    optimizer = torch.optim.SGD(net.parameters(), 0.05)
    losses = []
    for _ in range(3):
        classes, boxes = net(x)
        loss = sum((m.sigmoid() - 0.5).square().mean() for m in classes) + sum((m - 1).square().mean() for m in boxes)
        optimizer.zero_grad()
        loss.backward()
        losses.append(loss.item())
        # A bias before a BatchNorm in training mode has no effect, so its gradient is rounding alone.
        assert all(p.grad is not None for p in net.parameters())
        assert all(p.grad.abs().max() > 0 for name, p in net.named_parameters() if p.grad is not None and p.ndim == 4)
        optimizer.step()
    assert losses[2] < losses[1] < losses[0]


STATIC_OPERATIONS = {
    "add.Tensor",
    "batch_norm.default",
    "conv2d.default",
    "div.Tensor",
    "hardtanh.default",
    "max_pool2d.default",
    "mean.dim",
    "mul.Tensor",
    "pad.default",
    "relu.default",
    "select.int",
    "sigmoid.default",
    "silu.default",
    "sum.default",
    "upsample_nearest2d.vec",
}


@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")
@pytest.mark.parametrize(
    ("name", "size", "pads"),
    [
        ("narrow", (96, 160), None),
        pytest.param("efficientdet-nano", (96, 160), 0, marks=pytest.mark.slow),
        pytest.param("tf_efficientdet_d0", (128, 256), 19, marks=pytest.mark.slow),
        pytest.param("tf_efficientdet_lite0", (160, 96), None, marks=pytest.mark.slow),
        pytest.param("efficientdet_d0", (128, 128), 0, marks=pytest.mark.slow),
    ],
)
def test_it_exports_to_a_static_graph_that_computes_the_same(name: str, size: tuple[int, int], pads: int | None) -> None:
    net = narrow().eval() if name == "narrow" else build_model(name, size)
    x = torch.randn(1, 3, *size)
    program = torch.export.export(net, (x,))
    calls = [str(node.target).removeprefix("aten.") for node in program.graph.nodes if node.op == "call_function"]
    assert set(calls) <= STATIC_OPERATIONS
    if pads is not None:
        assert calls.count("pad.default") == pads
    with torch.no_grad():
        for ours, exported in zip(net(x), program.module()(x), strict=True):
            for a, b in zip(ours, exported, strict=True):
                assert torch.equal(a, b)


def fixtures() -> Path | None:
    """The folder of upstream's outputs: SKIPVID_FIXTURES, or the sibling of SKIPVID_DATA."""
    own, data = os.environ.get("SKIPVID_FIXTURES"), os.environ.get("SKIPVID_DATA")
    folder = Path(own) if own else Path(data).resolve().parent / "fixtures" if data else None
    return folder if folder is not None and folder.is_dir() else None


@pytest.mark.realdata
@pytest.mark.skipif(fixtures() is None, reason="neither SKIPVID_FIXTURES nor SKIPVID_DATA names a folder with upstream's outputs")
@pytest.mark.parametrize("file", ["effdet_tf_d0.pt", "effdet_tf_lite0.pt"])
def test_upstream_checkpoints_load_strictly_and_give_upstream_outputs(file: str) -> None:
    folder = fixtures()
    assert folder is not None
    fixture = torch.load(folder / file, weights_only=True)
    shape = fixture["input_shape"]
    net = build_model(fixture["model"], shape[2:])
    load_weights(net, fixture["state_dict"])
    with torch.no_grad():
        classes, boxes = net(torch.randn(shape, generator=torch.Generator().manual_seed(fixture["input_seed"])))
    for maps, shapes, samples, step in (
        (classes, fixture["class_shapes"], fixture["class_levels"], 97),
        (boxes, fixture["box_shapes"], fixture["box_levels"], 13),
    ):
        assert [tuple(m.shape) for m in maps] == [tuple(s) for s in shapes]
        for ours, theirs in zip(maps, samples, strict=True):
            assert (ours.flatten()[::step] - theirs).abs().max() <= 1e-4 * theirs.abs().max()
