"""Small networks that between them use what real networks use, and some spellings that a converter may get wrong.

`NETWORKS`: name -> (factory, input shape). Each forward is as a user would write it; seeds are fixed by `build`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import torch
from function_network import Net
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._pytree import tree_leaves

from skipvid.skip.api import SkipModel, convert
from skipvid.skip.config import SkipConfig


def build(factory: Callable[[], nn.Module]) -> nn.Module:
    """The network in eval mode, with fixed random weights and BatchNorm statistics as if it had been trained."""
    torch.manual_seed(0)
    net = factory().eval()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.3)
            module.running_mean.normal_(std=0.3)
            module.running_var.uniform_(0.5, 2.0)
    return net


@cache
def converted(name: str) -> tuple[nn.Module, SkipModel]:
    """A network of NETWORKS and its conversion, exported once for all tests; give it gates with `regated`."""
    factory, shape = NETWORKS[name]
    net = build(factory)
    return net, convert(net, torch.zeros(shape), SkipConfig(threshold=0, backend="reference"))[0]


def dense_leaves(net: nn.Module, frame: Tensor) -> list[Any]:
    """What the original network returns, as a flat list. Some of the networks write into their input: they get a copy."""
    with torch.no_grad():
        return tree_leaves(net(frame.clone()))


class SqueezeExcite(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.reduce, self.expand = nn.Conv2d(channels, 4, 1), nn.Conv2d(4, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.expand(functional.silu(self.reduce(x.mean((2, 3), keepdim=True)))))


class Everything(nn.Module):
    """Dilation, groups, transposed and asymmetric convolutions, SE, concat, in-place ReLU, bilinear resize, a linear head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(inplace=True))
        self.dilated = nn.Sequential(nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=4), nn.BatchNorm2d(8), nn.SiLU(inplace=True))
        self.asymmetric = nn.Sequential(nn.Conv2d(8, 8, (1, 5), padding=(0, 2)), nn.Conv2d(8, 8, (5, 2), stride=(2, 1), padding=(2, 1)))
        self.squeeze = SqueezeExcite(8)
        self.up = nn.ConvTranspose2d(8, 6, 3, stride=2, padding=1, output_padding=(1, 0), groups=2)
        self.norm = nn.BatchNorm2d(6)
        self.mix = nn.Conv2d(14, 5, 1)
        self.head = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> dict[str, Any]:
        stem = self.stem(x)
        deep = self.squeeze(self.asymmetric(self.dilated(stem) + stem))
        up = functional.interpolate(self.norm(self.up(deep)), size=stem.shape[2:], mode="bilinear", align_corners=False)
        mixed = functional.relu_(self.mix(torch.cat([functional.pad(stem, (0, 0, 0, 0)), up], 1)))
        return {"map": mixed, "scores": (self.head(functional.adaptive_avg_pool2d(mixed, 1).flatten(1)),)}


def _conv(inputs: int = 3, outputs: int = 4, kernel: int = 3, **options: Any) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, padding=options.pop("padding", kernel // 2), **options)


def _aliased_relu(m: Any, x: Tensor) -> Tensor:
    before = m.conv(x)
    after = functional.relu_(before)
    return before + 2 * after  # `before` was overwritten


def _view_of_overwritten(m: Any, x: Tensor) -> Tensor:
    y = m.conv(x)
    half = y[:, :2]
    y.mul_(2.0)
    return m.last(half)


def _slice_assigned(m: Any, x: Tensor) -> Tensor:
    y = m.conv(x)
    y[:, 1] = y[:, 0] * 2
    y[:, :, :2] = 0.5
    return m.last(y)


def _overwritten_input(m: Any, x: Tensor) -> Tensor:
    x -= 0.5
    x /= 0.25
    return m.conv(x)


def _without_grad(m: Any, x: Tensor) -> Tensor:
    with torch.no_grad():
        y = m.conv(x.float())
    return m.last(y.to(torch.float32))


def _shuffle(groups: int) -> Callable[[Any, Tensor], Tensor]:
    def forward(m: Any, x: Tensor) -> Tensor:
        y = m.conv(x)
        _, c, h, w = y.shape
        return m.last(y.view(1, groups, c // groups, h, w).transpose(1, 2).reshape(1, c, h, w))

    return forward


def _shufflenet(m: Any, x: Tensor) -> Tensor:
    y = m.conv(x)
    _, c, h, w = y.shape
    pairs = y.reshape(c // 2, 2, h * w).permute(1, 0, 2).reshape(2, -1, c // 2, h, w)
    return torch.cat([pairs[0], m.branch(pairs[1])], 1)


def _attention(m: Any, x: Tensor) -> Tensor:
    y = m.conv(x)
    _, c, h, w = y.shape
    tokens = y.flatten(2).transpose(1, 2)
    weights = torch.softmax(tokens @ tokens.transpose(1, 2) / c**0.5, -1)
    return m.last(m.project(weights @ tokens).transpose(1, 2).reshape(1, c, h, w))


def _windows(m: Any, x: Tensor) -> Tensor:
    """A block of a transformer on shifted windows of 4 x 4 pixels, and a token of its own in front of the list."""
    y = m.conv(x).permute(0, 2, 3, 1)
    _, h, w, c = y.shape
    shifted = functional.layer_norm(y, (c,)).roll((-1, -2), (1, 2))
    windows = shifted.view(1, h // 4, 4, w // 4, 4, c).permute(0, 1, 3, 2, 4, 5).reshape(-1, 16, c)
    q, k, v = m.qkv(windows).chunk(3, -1)
    windows = m.project(functional.scaled_dot_product_attention(q, k, v))
    back = windows.view(1, h // 4, w // 4, 4, 4, c).permute(0, 1, 3, 2, 4, 5).reshape(1, h, w, c).roll((1, 2), (1, 2))
    tokens = torch.cat([m.token, (y + back).flatten(1, 2)], 1)
    tokens = tokens + m.outer(functional.gelu(m.inner(tokens))).softmax(-1)
    return m.last(tokens[:, 1:].transpose(1, 2).reshape(1, c, h, w)) * m.head(tokens[:, 0]).view(1, 4, 1, 1)


def _spatial_attention(m: Any, x: Tensor) -> Tensor:
    y = m.conv(x)
    return y * torch.sigmoid(m.attend(torch.cat([y.mean(1, keepdim=True), y.amax(1, keepdim=True)], 1)))


def _coordinate_attention(m: Any, x: Tensor) -> Tensor:
    y = m.conv(x)
    rows, columns = m.rows(y.mean(3, keepdim=True)), m.columns(y.mean(2, keepdim=True))
    return m.last(y * rows.sigmoid() * columns.sigmoid())


def _pyramid(m: Any, x: Tensor) -> list[tuple[Tensor, Tensor]]:
    levels = [m.conv(x)]
    for _ in range(2):
        levels.append(functional.max_pool2d(levels[-1], 3, 2, 1))
    weights = functional.relu(m.weights)
    weights = weights / (weights.sum() + 1e-4)
    up = functional.interpolate(levels[2], scale_factor=2.0, mode="nearest")
    fused = weights[0] * levels[1] + weights[1] * up[:, :, : levels[1].shape[2], : levels[1].shape[3]]
    return [(m.classes(level), m.boxes(functional.silu(level))) for level in (levels[0], fused, levels[2])]


def _outputs_of_all_kinds(m: Any, x: Tensor) -> dict[str, Any]:
    y = m.conv(x)
    return {"twice": [y, y], "input": x, "constant": m.weight, "number": 3, "nothing": None, "nested": ({"relu": y.relu()},), "raw": y}


def _typed(m: Any, x: Tensor) -> tuple[Tensor, ...]:
    y = m.conv(x)
    best = y.argmax(1, keepdim=True)
    return best + 1, best.float() / 2, y.double() * m.fine + 1.5, (y > 0) & (best > 1), y.half(), torch.where(y > 0, y, 0.0), best * 2


def _two_images_in_a_batch(m: Any, x: Tensor) -> Tensor:
    y = m.conv(torch.cat([x, x.flip(3)], 0)) + m.conv(x)
    y = functional.avg_pool2d(functional.relu(y) + m.bias, 2) * y.mean((2, 3), keepdim=True)
    return m.last(y[:1] + y[1:].flip(3)).unsqueeze(2) + m.conv(x)[:, :, ::2, ::2]


def _unbatched(m: Any, x: Tensor) -> Tensor:
    y = m.conv(x)
    return m.last(y + y[0] * 0.5) + (m.conv(x[0]) + y)[:, :1]


def _dynamic_filter(m: Any, x: Tensor) -> Tensor:
    kernel = m.make(functional.adaptive_avg_pool2d(x, 1)).view(4, 3, 1, 1)
    return m.last(functional.conv2d(x, kernel))


def _resizes(m: Any, x: Tensor) -> tuple[Tensor, ...]:
    y = m.conv(x)
    return tuple(
        m.last(functional.interpolate(y, mode=mode, **size, **({} if mode.startswith("nearest") else {"align_corners": corners})))
        for mode, corners in (("nearest", False), ("bilinear", False), ("bilinear", True), ("nearest-exact", False), ("bicubic", False))
        for size in ({"size": (13, 9)}, {"scale_factor": 2.1}, {"scale_factor": (0.6, 1.5)})
    )


def _norms(m: Any, x: Tensor) -> Tensor:
    y = m.conv(x)
    tokens = m.layer(y.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    return m.last(m.group(y) + m.instance(y) + tokens)


def _activations(m: Any, x: Tensor) -> list[Tensor]:
    kinds = (
        *(nn.ReLU(), nn.ReLU6(), nn.Hardtanh(-0.5, 0.5), nn.SiLU(), nn.Sigmoid(), nn.Tanh(), nn.Hardswish(), nn.Hardsigmoid()),
        *(nn.LeakyReLU(0.1), nn.LeakyReLU(), nn.ELU(0.7), nn.ELU(), nn.SELU(), nn.CELU(0.3), nn.GELU(), nn.Mish(), nn.Softplus()),
        *(nn.PReLU(4, 0.2), nn.Threshold(0.1, 0.3), lambda y: y.clamp(0, 6), lambda y: y.clamp_min(0), lambda y: y.abs().sqrt()),
    )
    return [m.last(kind(m.conv(x))) for kind in kinds]


def _arithmetic(m: Any, x: Tensor) -> Tensor:
    y = m.conv(x)
    y = (2 - y) * 0.5 + 1 / (y.abs() + 1)
    y = torch.sub(y, m.channel, alpha=2) + torch.add(y, y.relu(), alpha=0.3)
    y = (y * m.space - 3) / m.channel.abs().add(0.5) - (m.channel - y)
    return m.last(y / (y.sigmoid() + 1) + 5 - y * y)


def _double_activations(m: Any, x: Tensor) -> Tensor:
    y = functional.relu6(functional.relu(m.conv(x))).sigmoid()
    return torch.tanh(torch.sigmoid(m.last(y)))


NETWORKS: Mapping[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "everything": (Everything, (1, 3, 45, 37)),
    "activation of activation": (lambda: Net(_double_activations, conv=_conv(), last=_conv(4)), (1, 3, 9, 8)),
    "activations": (lambda: Net(_activations, conv=_conv(), last=_conv(4, 2)), (1, 3, 7, 6)),
    "aliased in-place ReLU": (lambda: Net(_aliased_relu, conv=_conv()), (1, 3, 8, 8)),
    "arithmetic": (
        lambda: Net(_arithmetic, conv=_conv(), last=_conv(4), channel=torch.randn(4, 1, 1), space=torch.randn(7, 6)),
        (1, 3, 7, 6),
    ),
    "attention": (lambda: Net(_attention, conv=_conv(), project=nn.Linear(4, 4), last=_conv(4)), (1, 3, 6, 5)),
    "BatchNorm of a vector": (
        lambda: Net(
            lambda m, x: m.last(m.norm(m.linear(m.conv(x).mean((2, 3))))),
            conv=_conv(),
            linear=nn.Linear(4, 6),
            norm=nn.BatchNorm1d(6),
            last=nn.Linear(6, 2),
        ),
        (1, 3, 8, 8),
    ),
    "coordinate attention": (
        lambda: Net(_coordinate_attention, conv=_conv(), rows=_conv(4, 4, 1), columns=_conv(4, 4, 1), last=_conv(4)),
        (1, 3, 8, 7),
    ),
    "coordinates concatenated": (
        lambda: Net(lambda m, x: m.last(torch.cat([x, m.grid], 1)), grid=torch.randn(1, 2, 8, 8), last=_conv(5)),
        (1, 3, 8, 8),
    ),
    "dropout": (
        lambda: nn.Sequential(_conv(), nn.Dropout(), nn.ReLU(inplace=True), nn.Dropout2d(), _conv(4), nn.AlphaDropout()),
        (1, 3, 8, 8),
    ),
    "dynamic filter": (lambda: Net(_dynamic_filter, make=_conv(3, 12, 1), last=_conv(4)), (1, 3, 8, 8)),
    "flatten": (
        lambda: nn.Sequential(_conv(stride=2), nn.ReLU6(inplace=True), nn.Flatten(), nn.Linear(4 * 4 * 4, 5), nn.ReLU(), nn.Linear(5, 2)),
        (1, 3, 8, 8),
    ),
    "flip, roll and pixel shuffle": (
        lambda: Net(lambda m, x: m.last(functional.pixel_shuffle(m.conv(x).flip(3).roll(1, 2), 2)), conv=_conv(), last=_conv(1)),
        (1, 3, 8, 7),
    ),
    "input normalised in place": (lambda: Net(_overwritten_input, conv=_conv()), (1, 3, 8, 8)),
    "many to one pixel": (
        lambda: nn.Sequential(
            _conv(stride=2), nn.ReLU(), _conv(4, stride=2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), _conv(4), nn.Tanh(), _conv(4)
        ),
        (1, 3, 8, 8),
    ),
    "no_grad and casts": (lambda: Net(_without_grad, conv=_conv(), last=_conv(4)), (1, 3, 8, 8)),
    "normalisations": (
        lambda: Net(
            _norms, conv=_conv(), group=nn.GroupNorm(2, 4), instance=nn.InstanceNorm2d(4, affine=True), layer=nn.LayerNorm(4), last=_conv(4)
        ),
        (1, 3, 8, 7),
    ),
    "one pixel": (lambda: nn.Sequential(_conv(), nn.ReLU(), _conv(4)), (1, 3, 1, 1)),
    "outputs of all kinds": (lambda: Net(_outputs_of_all_kinds, conv=_conv(), weight=nn.Parameter(torch.randn(3))), (1, 3, 8, 8)),
    "paddings": (
        lambda: Net(
            lambda m, x: (
                m.even(functional.pad(m.same(x), (0, 1, 2, 0))),
                functional.max_pool2d(functional.pad(x, (0, 1, 0, 1), value=float("-inf")), 3, 2),
                functional.avg_pool2d(functional.pad(x, (2, 2, 2, 2)), 3, 2),
                functional.avg_pool2d(functional.pad(x, (2, 1, 0, 1)), (3, 2), 1),
                functional.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
                functional.avg_pool2d(x, 3, 2, 1, ceil_mode=True),
                functional.max_pool2d(x, 3, 2, 1, ceil_mode=True),
                m.even(functional.pad(m.same(x), (-1, 2), value=0.7)),
                m.reflect(x),
                m.even(functional.pad(functional.pad(m.same(x), (1, 1, 1, 1)), (0, 1, 0, 0))),
            ),
            same=nn.Conv2d(3, 4, 4, padding="same", dilation=1),
            even=nn.Conv2d(4, 4, 2, padding=1, dilation=3),
            reflect=nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"),
        ),
        (1, 3, 11, 9),
    ),
    "pyramid with shared heads": (
        lambda: Net(_pyramid, conv=_conv(), weights=nn.Parameter(torch.rand(2)), classes=_conv(4, 3), boxes=_conv(4, 2)),
        (1, 3, 17, 12),
    ),
    "resizes": (lambda: Net(_resizes, conv=_conv(), last=_conv(4, 2)), (1, 3, 5, 7)),
    "shuffle, 2 groups": (lambda: Net(_shuffle(2), conv=_conv(3, 8), last=_conv(8)), (1, 3, 8, 8)),
    "shuffle, 4 groups": (lambda: Net(_shuffle(4), conv=_conv(3, 8), last=_conv(8)), (1, 3, 8, 8)),
    "ShuffleNet unit": (lambda: Net(_shufflenet, conv=_conv(3, 8), branch=_conv(4)), (1, 3, 8, 8)),
    "slice assignment": (lambda: Net(_slice_assigned, conv=_conv(), last=_conv(4)), (1, 3, 8, 8)),
    "windows of tokens": (
        lambda: Net(
            _windows,
            conv=_conv(),
            qkv=nn.Linear(4, 12),
            project=nn.Linear(4, 4),
            token=nn.Parameter(torch.randn(1, 1, 4)),
            inner=nn.Linear(4, 8),
            outer=nn.Linear(8, 4),
            head=nn.Linear(4, 4),
            last=_conv(4),
        ),
        (1, 3, 8, 12),
    ),
    "spatial attention": (lambda: Net(_spatial_attention, conv=_conv(), attend=_conv(2, 1)), (1, 3, 8, 8)),
    "two images in a batch": (
        lambda: Net(_two_images_in_a_batch, conv=_conv(), last=_conv(4), bias=torch.randn(1, 4, 1, 1)),
        (1, 3, 8, 8),
    ),
    "types": (lambda: Net(_typed, conv=_conv(), fine=torch.randn(4, 1, 1, dtype=torch.float64)), (1, 3, 8, 8)),
    "unbatched": (lambda: Net(_unbatched, conv=_conv(), last=_conv(4)), (1, 3, 8, 8)),
    "view of an overwritten map": (lambda: Net(_view_of_overwritten, conv=_conv(), last=_conv(2)), (1, 3, 8, 8)),
}
