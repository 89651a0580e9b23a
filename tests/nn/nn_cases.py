"""Shared by the tests of skipvid.nn: random sequences with local changes, and layers of every geometry."""

from __future__ import annotations

from typing import Any

import torch
from hypothesis import strategies as st
from torch import Tensor


def sequence(frames: int, *shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    """(N, T, C, H, W): a random first frame; in later ones a patch changes much, half of the other pixels very little."""
    generator = torch.Generator().manual_seed(seed)
    clip = torch.randn(shape[0], 1, *shape[1:], generator=generator, dtype=dtype).repeat(1, frames, 1, 1, 1)
    for t in range(1, frames):
        flicker = 0.01 * torch.randn(clip[:, :1].shape, generator=generator, dtype=dtype)
        clip[:, t:] += flicker * (torch.rand(shape[0], 1, 1, *shape[2:], generator=generator) < 0.5)
        top, left = (int(torch.randint(0, extent, (), generator=generator)) for extent in shape[-2:])
        patch = clip[:, t:, :, top : top + 3, left : left + 3]
        patch += torch.randn(patch[:, :1].shape, generator=generator, dtype=dtype)
    return clip


def stream(layer: torch.nn.Module, clip: Tensor) -> Tensor:
    """The frames of a clip, one call after the other."""
    return torch.stack([layer(frame) for frame in clip.unbind(1)], 1)


@st.composite
def conv_arguments(draw: st.DrawFn) -> tuple[dict[str, Any], tuple[int, int, int, int]]:
    """All arguments of Conv2d, and the shape (N, C, H, W) of frames that they can take."""
    groups = draw(st.sampled_from([1, 1, 2, 4]))
    channels = 4 if groups > 1 else draw(st.integers(1, 4))
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    dilation = draw(st.tuples(st.integers(1, 2), st.integers(1, 3)))
    padding = draw(st.sampled_from(["same", "valid"]) | st.tuples(st.integers(0, 3), st.integers(0, 3)))
    stride = (1, 1) if padding == "same" else draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    mode = draw(st.sampled_from(["zeros", "reflect", "replicate", "circular"]))
    extents = []
    for axis in range(2):
        reach = dilation[axis] * (kernel[axis] - 1)
        pad = reach if padding == "same" else 0 if padding == "valid" else padding[axis]
        extents.append(draw(st.integers(max(reach + 1, pad + 1), reach + pad + 6)))
    arguments = {
        "in_channels": channels,
        "out_channels": 4 * draw(st.integers(1, 2)),
        "kernel_size": kernel,
        "stride": stride,
        "padding": padding,
        "dilation": dilation,
        "groups": groups,
        "bias": draw(st.booleans()),
        "padding_mode": mode,
    }
    return arguments, (draw(st.integers(1, 3)), channels, extents[0], extents[1])
