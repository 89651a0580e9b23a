"""EfficientNet and EfficientNet-Lite as feature extractors for a detector: maps at strides 8, 16 and 32.

Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks" (ICML 2019). Parameter names are those of timm's
EfficientNetFeatures, so that its checkpoints load unchanged; `tf_` networks pad like TensorFlow and use its BatchNorm epsilon.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skipvid.models.efficientnet import EfficientNetConfig

ACTIVATIONS: dict[str, type[nn.Module]] = {"silu": nn.SiLU, "relu6": nn.ReLU6}


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Padding before and after that makes the output ceil(size / stride) long, the odd pixel after (TensorFlow's "SAME")."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


class Conv2d(nn.Conv2d):
    """A convolution padded so that the output is ceil(size / stride): symmetrically, or like TensorFlow with `same`.

    The padding depends on the input's size alone, so that an exported graph holds it as a constant.
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, bias: bool = False, same: bool = False
    ) -> None:
        # At stride 1 both rules pad alike; leaving that to the convolution keeps a pad operation out of the graph.
        own_padding = (kernel - 1) // 2 if stride == 1 or not same else 0
        super().__init__(inputs, outputs, kernel, stride, own_padding, groups=groups, bias=bias)
        self.same = same and stride > 1

    def forward(self, x: Tensor) -> Tensor:
        if self.same:
            x = pad_same(x, self.kernel_size[0], self.stride[0], value=0.0)
        return super().forward(x)


def pad_same(x: Tensor, kernel: int, stride: int, value: float) -> Tensor:
    """x: (N, C, H, W), padded like TensorFlow for a window of `kernel` and `stride`."""
    top, bottom = same_padding(x.shape[2], kernel, stride)
    left, right = same_padding(x.shape[3], kernel, stride)
    return F.pad(x, (left, right, top, bottom), value=value)


class SqueezeExcite(nn.Module):
    """Scales every channel by a sigmoid of a small network on the channels' means."""

    def __init__(self, channels: int, reduced: int, activation: str) -> None:
        super().__init__()
        self.conv_reduce = nn.Conv2d(channels, reduced, 1)
        self.act1 = ACTIVATIONS[activation]()
        self.conv_expand = nn.Conv2d(reduced, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean((2, 3), keepdim=True)
        scale: Tensor = self.conv_expand(self.act1(self.conv_reduce(mean)))
        return x * scale.sigmoid()


class DepthwiseBlock(nn.Module):
    """Depthwise convolution, then a linear pointwise one: the first stage's block, which has nothing to expand."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, config: EfficientNetConfig) -> None:
        super().__init__()
        self.conv_dw = Conv2d(inputs, inputs, kernel, stride, groups=inputs, same=config.same_padding)
        self.bn1 = _norm(inputs, config)
        self.act = ACTIVATIONS[config.activation]()
        self.se = SqueezeExcite(inputs, max(1, inputs // 4), config.activation) if config.squeeze else nn.Identity()
        self.conv_pw = Conv2d(inputs, outputs, 1)
        self.bn2 = _norm(outputs, config)
        self.residual = config.shortcut and stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.bn2(self.conv_pw(self.se(self.act(self.bn1(self.conv_dw(x))))))
        return x + y if self.residual else y


class InvertedResidual(nn.Module):
    """Pointwise expansion, depthwise convolution, linear pointwise projection (MobileNetV2's block)."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expand: int, config: EfficientNetConfig) -> None:
        super().__init__()
        hidden = inputs * expand
        self.conv_pw = Conv2d(inputs, hidden, 1)
        self.bn1 = _norm(hidden, config)
        self.act = ACTIVATIONS[config.activation]()
        self.conv_dw = Conv2d(hidden, hidden, kernel, stride, groups=hidden, same=config.same_padding)
        self.bn2 = _norm(hidden, config)
        self.se = SqueezeExcite(hidden, max(1, inputs // 4), config.activation) if config.squeeze else nn.Identity()
        self.conv_pwl = Conv2d(hidden, outputs, 1)
        self.bn3 = _norm(outputs, config)
        self.residual = config.shortcut and stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.act(self.bn1(self.conv_pw(x)))
        hidden = self.se(self.act(self.bn2(self.conv_dw(hidden))))
        y: Tensor = self.bn3(self.conv_pwl(hidden))
        return x + y if self.residual else y


class EfficientNet(nn.Module):
    """x: (N, 3, H, W) float32 -> three maps (N, C_i, ceil(H / s), ceil(W / s)) for s = 8, 16, 32; C_i in `channels`."""

    def __init__(self, config: EfficientNetConfig) -> None:
        super().__init__()
        stem = scale_channels(config.stem, config.width) if config.scale_ends else config.stem
        self.conv_stem = Conv2d(3, stem, 3, stride=2, same=config.same_padding)
        self.bn1 = _norm(stem, config)
        self.act1 = ACTIVATIONS[config.activation]()
        self.blocks = nn.Sequential()
        strides: list[int] = []
        outputs: list[int] = []
        channels, stride = stem, 2
        for index, stage in enumerate(config.stages):
            end = index in (0, len(config.stages) - 1)
            repeats = stage.repeats if end and not config.scale_ends else math.ceil(stage.repeats * config.depth)
            width = scale_channels(stage.channels, config.width)
            blocks: list[nn.Module] = []
            for repeat in range(repeats):
                step = stage.stride if repeat == 0 else 1
                if stage.expand == 1:
                    blocks.append(DepthwiseBlock(channels, width, stage.kernel, step, config))
                else:
                    blocks.append(InvertedResidual(channels, width, stage.kernel, step, stage.expand, config))
                channels = width
            self.blocks.append(nn.Sequential(*blocks))
            stride *= stage.stride
            strides.append(stride)
            outputs.append(channels)
        last_of = {stride: index for index, stride in enumerate(strides)}
        self.taps = tuple(last_of[stride] for stride in (8, 16, 32))
        self.channels = tuple(outputs[index] for index in self.taps)
        _initialise(self)

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.act1(self.bn1(self.conv_stem(x)))
        maps = []
        for index, stage in enumerate(self.blocks):
            x = stage(x)
            if index in self.taps:
                maps.append(x)
        return maps


def scale_channels(channels: int, width: float) -> int:
    """channels × width to the nearest multiple of 8, but never below 90 % of it (the rule of the EfficientNet paper's code)."""
    exact = channels * width
    rounded = max(8, int(exact + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * exact else rounded


def _norm(channels: int, config: EfficientNetConfig) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=config.norm_eps, momentum=config.norm_momentum)


@torch.no_grad()
def _initialise(net: EfficientNet) -> None:
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.out_channels // module.groups * math.prod(module.kernel_size)
            nn.init.normal_(module.weight, std=math.sqrt(2.0 / fan_out))
            if module.bias is not None:
                nn.init.zeros_(module.bias)
