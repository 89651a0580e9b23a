"""Small networks with adaptive layers, and streams on which their policies choose this and that."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence

import torch
from hypothesis import strategies as st
from torch import Tensor, nn

import skipvid
from skipvid.nn import AdaptiveConv2d, adaptive_layers
from skipvid.skip.api import SkipModel
from skipvid.skip.config import SkipConfig

SHAPE = (1, 3, 20, 70)


def converted(net: nn.Module, shape: tuple[int, ...] = SHAPE, **settings: object) -> SkipModel:
    config = {"threshold": 0.0, "backend": "reference", "dense_above": 1.0, "threads": 1, **settings}
    return skipvid.convert(net, torch.zeros(shape), SkipConfig(**config))[0]  # type: ignore[arg-type]


def restless(net: nn.Module, seed: int, share: bool = True) -> nn.Module:
    """The network with random policies, cheap operations and reuse, in eval mode. share: let policies look at the active share, too."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for _, layer in adaptive_layers(net):
            for parameter in (*layer.policy.parameters(), *layer.cheap.parameters()):
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * (0.3 if parameter.dim() == 4 else 2.0))
            inner: Tensor = layer.policy.inner.weight  # type: ignore[union-attr, assignment]
            inner[:, :-1] *= 3
            inner[:, -1] *= share
            if layer.reuse:
                layer.reuse_scale.copy_(1 + 0.1 * torch.randn(layer.reuse_scale.shape, generator=generator))
                layer.reuse_shift.copy_(0.1 * torch.randn(layer.reuse_shift.shape, generator=generator))
    return net.eval()


def two_layers(seed: int, reuse: bool = True, share: bool = True, **settings: float) -> nn.Module:
    """Behind each other, with a norm and an activation between, and a convolution at the end."""
    torch.manual_seed(seed)
    return restless(
        nn.Sequential(
            AdaptiveConv2d(3, 32, 3, padding=1, reuse=reuse, hysteresis=0.1, **settings),  # type: ignore[arg-type]
            nn.BatchNorm2d(32),
            nn.ReLU(inplace=True),
            AdaptiveConv2d(32, 20, 3, stride=2, padding=1, groups=2, reuse=reuse, hysteresis=0.1, **settings),  # type: ignore[arg-type]
            nn.Conv2d(20, 4, 1),
        ),
        seed,
        share,
    )


def pinned(net: nn.Module, choices: Mapping[str, int]) -> nn.Module:
    """A copy of a network whose policies make these choices in all frames, so that it is converted to the same operations."""
    copied = copy.deepcopy(net)
    with torch.no_grad():
        for path, layer in adaptive_layers(copied):
            for parameter in layer.policy.parameters():
                parameter.zero_()
            layer.policy.outer.bias[choices[path]] = 9.0  # type: ignore[union-attr, index]
    return copied


def moving(shape: Sequence[int], count: int, seed: int) -> Iterator[Tensor]:
    """Frames that are new, or the last one with some pixels, with a patch, or with nothing changed."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(*shape, generator=generator)
    for _ in range(count):
        kind = int(torch.randint(0, 4, (1,), generator=generator))
        new = torch.rand(*shape, generator=generator) * torch.rand(1, shape[1], 1, 1, generator=generator) * 3
        if kind == 0:
            x = new
        elif kind == 1:
            x = torch.where(torch.rand(1, 1, *shape[2:], generator=generator) < 0.1, new, x)
        elif kind == 2:
            x = x.clone()
            x[:, :, shape[2] // 4 : shape[2] // 2, : shape[3] // 3] = new[:, :, :1, :1] * 2
        yield x


def in_whole_numbers(net: nn.Module, seed: int) -> nn.Module:
    """The network with small whole numbers for all but its policies: then sums are exact in any order, and so is what a gate compares."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if ".policy." not in name:
                parameter.copy_(torch.randint(-2, 3, parameter.shape, generator=generator))
            if name.endswith("reuse_scale"):
                parameter.fill_(1)
    return net


@st.composite
def drawn(draw: st.DrawFn) -> tuple[nn.Module, tuple[int, int, int, int]]:
    """One to three layers with all that Conv2d may have, in whole numbers; and the shape of the input."""
    shape = (1, draw(st.integers(1, 4)), draw(st.integers(3, 14)), draw(st.integers(3, 14)))
    channels, layers = shape[1], list[nn.Module]()
    torch.manual_seed(draw(st.integers(0, 999)))
    for _ in range(draw(st.integers(1, 3))):
        groups = 2 if channels % 2 == 0 and draw(st.booleans()) else 1
        outputs = groups * draw(st.integers(1, 20))
        ratios = draw(st.sampled_from([(1.0, 0.5, 0.25), (1.0, 0.6), (1.0,), (1.0, 0.7, 0.1)]))
        layers.append(
            AdaptiveConv2d(
                channels,
                outputs,
                draw(st.sampled_from([1, 3, (3, 1)])),
                stride=draw(st.sampled_from([1, 1, 2])) if min(shape[2:]) > 8 and len(layers) < 2 else 1,
                padding=1,
                dilation=1,
                groups=groups,
                bias=draw(st.booleans()),
                padding_mode=draw(st.sampled_from(["zeros", "zeros", "replicate"])),
                ratios=ratios,
                cheap_kernel=draw(st.sampled_from([1, 3])),
                reuse=draw(st.booleans()),
                hysteresis=draw(st.sampled_from([0.0, 0.5])),
                least_stay=draw(st.integers(1, 3)),
                longest_reuse=draw(st.sampled_from([1, 2, 4, 10**12])),
            )
        )
        layers += draw(st.sampled_from([[], [nn.ReLU(inplace=True)]]))
        channels = outputs
    seed = draw(st.integers(0, 999))
    return in_whole_numbers(restless(nn.Sequential(*layers), seed), seed), shape
