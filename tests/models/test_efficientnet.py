"""The backbone's arithmetic: widths, paddings, strides."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from skipvid.models.efficientdet import CONFIGS
from skipvid.models.efficientnet import EfficientNetConfig, Stage
from skipvid.models.networks.efficientnet import Conv2d, EfficientNet, same_padding, scale_channels

TINY = EfficientNetConfig(
    stages=(
        Stage(repeats=1, kernel=3, stride=1, expand=1, channels=8),
        Stage(repeats=1, kernel=3, stride=2, expand=2, channels=8),
        Stage(repeats=2, kernel=5, stride=2, expand=2, channels=16),
        Stage(repeats=1, kernel=3, stride=2, expand=2, channels=24),
        Stage(repeats=1, kernel=3, stride=2, expand=2, channels=32),
    ),
    stem=8,
)


@pytest.mark.parametrize(
    ("channels", "width", "scaled"),
    [
        (32, 1.0, 32),
        (16, 1.1, 16),
        (24, 1.1, 24),
        (40, 1.1, 48),
        (112, 1.1, 120),
        (320, 1.2, 384),
        (32, 1.4, 48),
        (192, 1.4, 272),
        (4, 1.0, 8),
    ],
)
def test_widths_are_multiples_of_eight_and_never_below_nine_tenths(channels: int, width: float, scaled: int) -> None:
    assert scale_channels(channels, width) == scaled


@pytest.mark.parametrize(
    ("name", "channels", "blocks"),
    [
        ("tf_efficientdet_d0", (40, 112, 320), 16),
        ("tf_efficientdet_d1", (40, 112, 320), 23),
        ("tf_efficientdet_d2", (48, 120, 352), 23),
        ("tf_efficientdet_d3", (48, 136, 384), 26),
        ("tf_efficientdet_d4", (56, 160, 448), 32),
        ("tf_efficientdet_lite1", (40, 112, 320), 21),
        ("tf_efficientdet_lite2", (48, 120, 352), 21),
    ],
)
def test_backbones_have_the_published_widths_and_depths(name: str, channels: tuple[int, ...], blocks: int) -> None:
    with torch.device("meta"):
        net = EfficientNet(CONFIGS[name].backbone)
    assert net.channels == channels
    assert sum(len(stage) for stage in net.blocks) == blocks  # type: ignore[arg-type]


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [1, 2, 5, 8, 9, 31, 64])
def test_same_padding_gives_the_ceiling_and_puts_the_odd_pixel_after(size: int, kernel: int, stride: int) -> None:
    before, after = same_padding(size, kernel, stride)
    assert (size + before + after - kernel) // stride + 1 == -(-size // stride)
    assert 0 <= after - before <= 1
    if before + after:  # one pixel less would not be enough
        assert (size + before + after - 1 - kernel) // stride + 1 < -(-size // stride)


@pytest.mark.parametrize("size", [(8, 8), (9, 12), (5, 7)])
@pytest.mark.parametrize("kernel", [3, 5])
def test_a_same_convolution_is_an_explicit_pad_and_a_convolution(size: tuple[int, int], kernel: int) -> None:
    conv = Conv2d(2, 3, kernel, stride=2, same=True)
    x = torch.randn(1, 2, *size)
    (top, bottom), (left, right) = (same_padding(side, kernel, 2) for side in size)
    padded = torch.zeros(1, 2, size[0] + top + bottom, size[1] + left + right)
    padded[:, :, top : top + size[0], left : left + size[1]] = x
    torch.testing.assert_close(conv(x), F.conv2d(padded, conv.weight, stride=2))


@pytest.mark.parametrize("same", [False, True])
@pytest.mark.parametrize("size", [(64, 64), (96, 160), (65, 33)])
def test_maps_have_the_input_size_over_8_16_and_32_rounded_up(size: tuple[int, int], same: bool) -> None:
    net = EfficientNet(EfficientNetConfig(TINY.stages, stem=8, same_padding=same)).eval()
    maps = net(torch.randn(2, 3, *size))
    assert [tuple(m.shape) for m in maps] == [
        (2, channels, -(-size[0] // stride), -(-size[1] // stride)) for channels, stride in zip((16, 24, 32), (8, 16, 32), strict=True)
    ]


def test_squeeze_and_excite_makes_a_pixel_depend_on_the_whole_map_and_its_absence_does_not() -> None:
    x = torch.randn(1, 3, 256, 256)
    changed = x.clone()
    changed[:, :, :8, :8] += 1
    for squeeze in (True, False):
        net = EfficientNet(EfficientNetConfig(TINY.stages, stem=8, squeeze=squeeze)).eval()
        far = (net(x)[0] - net(changed)[0])[:, :, -1, -1].abs().max()
        assert (far > 0) == squeeze
