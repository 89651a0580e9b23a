"""ONNX's Resize and Upsample: their ways to place and weigh samples, by torch's own interpolation where that is the same."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from skipvid.skip.importers.onnx_call import Call, Table
from skipvid.skip.importers.onnx_file import Array

ROUNDING: dict[str, Callable[[Array], Array]] = {
    "floor": lambda value: np.floor(value),
    "ceil": lambda value: np.ceil(value),
    "round_prefer_floor": lambda value: np.ceil(value - 0.5),
    "round_prefer_ceil": lambda value: np.floor(value + 0.5),
}
KNOWN_PLACES = ("half_pixel", "pytorch_half_pixel", "half_pixel_symmetric", "align_corners", "asymmetric", "tf_half_pixel_for_nn")


def _resize(call: Call) -> Tensor:
    x = call.tensor(0)
    before_sizes = call.op.opset < 11  # opset 10: (X, scales)
    sizes, scales = _extents(call, x, 1 if before_sizes else 2, None if before_sizes else 3)
    if call.get("antialias", 0):
        raise call.refused("it averages while it shrinks (antialias)", "export it without")
    if call.text("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise call.refused("it keeps the picture's proportions", "export it with sizes of its own")
    place = call.text("coordinate_transformation_mode", "asymmetric" if before_sizes else "half_pixel")
    return _resampled(call, x, sizes, scales, place, call.text("nearest_mode", "floor" if before_sizes else "round_prefer_floor"))


def _upsample(call: Call) -> Tensor:
    x = call.tensor(0)
    scales = [float(item) for item in (call.array(1, "scales").reshape(-1) if call.has(1) else call.get("scales", []))]
    sizes = [int(np.floor(side * scale)) for side, scale in zip(x.shape, scales, strict=True)]
    return _resampled(call, x, sizes, scales, "asymmetric", "floor")


def _extents(call: Call, x: Tensor, scales_at: int, sizes_at: int | None) -> tuple[list[int], list[float]]:
    """The wanted extent and scale of every axis."""
    axes = [axis % x.dim() for axis in call.get("axes", range(x.dim()))]
    sizes, scales = list(x.shape), [1.0] * x.dim()
    given = call.array(scales_at, "scale").reshape(-1) if call.has(scales_at) else np.zeros(0)
    if len(given):
        for axis, scale in zip(axes, given, strict=True):
            scales[axis] = float(scale)
            sizes[axis] = int(np.floor(x.shape[axis] * float(scale)))
    elif sizes_at is not None and call.has(sizes_at):
        for axis, size in zip(axes, call.ints(sizes_at, "size"), strict=True):
            sizes[axis], scales[axis] = size, size / x.shape[axis]
    else:
        raise call.refused("it says neither a size nor a scale", "export the network again")
    return sizes, scales


def _resampled(call: Call, x: Tensor, sizes: list[int], scales: list[float], place: str, rounding: str) -> Tensor:
    if x.dim() != 4 or sizes[:2] != list(x.shape[:2]):
        raise call.refused(f"it resizes {tuple(x.shape)} to {tuple(sizes)}", "only height and width of pictures can be resized")
    if place not in KNOWN_PLACES:
        raise call.refused(f"its coordinate_transformation_mode is {place}", f"export it with one of {', '.join(KNOWN_PLACES)}")
    mode = call.text("mode", "nearest")
    size, factors = sizes[2:], scales[2:]
    if mode == "nearest":
        return _nearest(x, size, factors, place, rounding)
    if mode not in ("linear", "cubic"):
        raise call.refused(f"its mode is {mode}", "export it with nearest, linear or cubic")
    cubic = mode == "cubic"
    usual = not cubic or (call.get("cubic_coeff_a", -0.75) == -0.75 and not call.get("exclude_outside", 0))
    kind = "bicubic" if cubic else "bilinear"
    if usual and place == "align_corners":
        return F.interpolate(x, size=size, mode=kind, align_corners=True)
    single = 1 in size and place == "pytorch_half_pixel"
    if usual and place in ("half_pixel", "pytorch_half_pixel") and not single:
        exact = all(side * factor == wanted for side, factor, wanted in zip(x.shape[2:], factors, size, strict=True))
        if exact:
            return F.interpolate(x, size=size, mode=kind, align_corners=False)
        return F.interpolate(x, scale_factor=factors, mode=kind, align_corners=False, recompute_scale_factor=False)
    if cubic:
        raise call.refused(f"cubic resizing with {place}", "export it with half_pixel or align_corners")
    down, across = (_weights(old, new, factor, place) for old, new, factor in zip(x.shape[2:], size, factors, strict=True))
    return torch.matmul(torch.matmul(down, x), across.t())


def _nearest(x: Tensor, size: list[int], factors: list[float], place: str, rounding: str) -> Tensor:
    indices = [
        _picked(_sources(old, new, factor, place), rounding, old) for old, new, factor in zip(x.shape[2:], size, factors, strict=True)
    ]
    plain = [np.arange(new) * old // new for old, new in zip(x.shape[2:], size, strict=True)]
    if all(np.array_equal(index, usual) for index, usual in zip(indices, plain, strict=True)):
        return F.interpolate(x, size=size, mode="nearest")
    for axis, index in zip((2, 3), indices, strict=True):
        x = torch.index_select(x, axis, torch.tensor(index.tolist()))
    return x


def _sources(old: int, new: int, scale: float, place: str) -> Array:
    """The coordinate in the old axis for each position of the new one."""
    position = np.arange(new, dtype=np.float64)
    if place == "align_corners":
        return position * (old - 1) / (new - 1) if new > 1 else np.zeros(new)
    if place == "asymmetric":
        return position / scale
    if place == "tf_half_pixel_for_nn":
        return (position + 0.5) / scale
    if place == "pytorch_half_pixel" and new == 1:
        return np.zeros(1)
    source = (position + 0.5) / scale - 0.5
    if place == "half_pixel_symmetric":
        adjustment = new / (scale * old)
        source += old / 2 * (1 - adjustment)
    return source


def _picked(source: Array, rounding: str, old: int) -> Array:
    source = source.astype(np.float32).astype(np.float64)  # as runtimes compute it; a tie stays one
    picked = ROUNDING[rounding](source)
    return np.clip(picked, 0, old - 1).astype(np.int64)


def _weights(old: int, new: int, scale: float, place: str) -> Tensor:
    """(new, old): how much each old position counts for each new one, linearly between two."""
    source = np.clip(_sources(old, new, scale, place), 0, old - 1)
    low = np.floor(source).astype(np.int64)
    high = np.minimum(low + 1, old - 1)
    share = source - low
    weights = np.zeros((new, old), np.float32)
    rows = np.arange(new)
    np.add.at(weights, (rows, low), 1 - share)
    np.add.at(weights, (rows, high), share)
    return torch.tensor(weights.tolist())


RESIZES: Table = {"Resize": _resize, "Upsample": _upsample}
