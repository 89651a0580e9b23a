"""The backbone taken from a PP-LCNet: a factorised pointwise convolution is the same function, bottlenecks keep what matters."""

import pytest
import torch
from torch import nn

from skipvid.core.errors import WeightsError
from skipvid.models import build_model
from skipvid.models.efficientnet import EfficientNetConfig, Stage
from skipvid.models.networks.efficientnet import EfficientNet
from skipvid.train.transplant import LcNet, _Conv, _factorise, _Separable, transplant

SHALLOW = EfficientNetConfig(tuple(Stage(repeats=1, kernel=3, stride=2, expand=1, channels=16) for _ in range(5)), squeeze=False)


def conv(outputs, inputs, kernel, stride=1, groups=1):
    return _Conv(torch.randn(outputs, inputs // groups, kernel, kernel) * 0.5, torch.randn(outputs) * 0.2, stride, groups)


def test_a_factorisation_of_full_rank_is_exact():
    torch.manual_seed(0)
    weight, x = torch.randn(16, 8), torch.randn(4, 8, 6, 6)
    expansion, reduced, share = _factorise(weight, x, 8)
    assert torch.allclose(expansion @ reduced, weight, atol=1e-5)
    assert share == pytest.approx(1.0)


def test_a_bottleneck_keeps_the_outputs_that_vary_most():
    torch.manual_seed(0)
    x = torch.randn(8, 6, 10, 10) * torch.tensor([5.0, 4.0, 3.0, 0.1, 0.1, 0.1])[:, None, None]
    weight = torch.linalg.qr(torch.randn(6, 6))[0]
    expansion, reduced, share = _factorise(weight, x, 3)
    flat = x.transpose(0, 1).flatten(1)
    error = ((expansion @ reduced - weight) @ flat).square().sum() / (weight @ flat).square().sum()
    assert share > 0.99 and error < 0.01
    # Cutting the weights alone cannot know which inputs vary.
    u, s, v = torch.linalg.svd(weight)
    blind = (u[:, :3] * s[:3]) @ v[:3]
    assert ((blind - weight) @ flat).square().sum() / (weight @ flat).square().sum() > 10 * error


def chain():
    source = LcNet(conv(16, 3, 3, stride=2))
    widths = [(16, 24, 3, 1), (24, 48, 3, 2), (48, 48, 3, 1), (48, 96, 3, 2), (96, 96, 3, 1), (96, 192, 3, 2)]
    widths += [(192, 192, 5, 1)] * 5 + [(192, 384, 5, 2), (384, 384, 5, 1)]
    for inputs, outputs, kernel, stride in widths:
        source.blocks.append(_Separable(conv(inputs, inputs, kernel, stride, inputs), conv(outputs, inputs, 1)))
    return source


def test_every_channel_gets_the_mean_and_spread_that_it_has_in_the_source():
    torch.manual_seed(1)
    source, net = chain(), build_model("efficientdet-nano").backbone
    x = torch.randn(4, 3, 64, 64)
    kept = transplant(source, net, x)
    assert len(kept) == 13 and all(0 < share <= 1.0001 for share in kept)
    seen = {}
    norms = {"stem": net.bn1, "first": net.blocks[1][0].bn1, "deep": net.blocks[6][2].bn2}
    hooks = [norm.register_forward_hook(lambda m, i, o, name=name: seen.update({name: o})) for name, norm in norms.items()]
    net.eval()(x)
    for hook in hooks:
        hook.remove()
    trace = source.trace(x)
    for name, wanted in (("stem", trace.stem), ("first", trace.pointwise[0]), ("deep", trace.depthwise[8])):
        assert torch.allclose(seen[name].mean((0, 2, 3)), wanted.mean((0, 2, 3)), atol=1e-2 * wanted.std().item())
        assert torch.allclose(seen[name].std((0, 2, 3)), wanted.std((0, 2, 3)), rtol=2e-2)


def test_the_stem_is_the_sources_stem():
    torch.manual_seed(1)
    source, net = chain(), build_model("efficientdet-nano").backbone
    x = torch.randn(4, 3, 64, 64)
    transplant(source, net, x)
    assert torch.allclose(net.eval().bn1(net.conv_stem(x)), source.trace(x).stem, atol=1e-3)


def test_a_network_of_another_width_is_refused():
    source, net = chain(), build_model("efficientdet-nano").backbone
    source.stem = conv(16, 3, 5, stride=2)
    with pytest.raises(WeightsError, match="do not fit"):
        transplant(source, net, torch.randn(1, 3, 64, 64))


def test_networks_of_another_depth_are_refused():
    with pytest.raises(WeightsError, match="13 blocks cannot fill 5"):
        transplant(chain(), EfficientNet(SHALLOW), torch.randn(1, 3, 64, 64))


def test_training_mode_is_left_as_it_was():
    torch.manual_seed(1)
    net = build_model("efficientdet-nano").backbone.train()
    transplant(chain(), net, torch.randn(2, 3, 64, 64))
    assert net.training and all(m.training for m in net.modules() if isinstance(m, nn.BatchNorm2d))
