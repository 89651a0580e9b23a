"""Inputs that are still bytes: the same bits as their tensors, on every back end and through every gate."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import nn

from skipvid.skip.api import convert
from skipvid.skip.config import SkipConfig
from skipvid.skip.picture import Picture, copied, same_values

SIZE = (24, 80)


def picture(pixels: NDArray[np.uint8], order: tuple[int, int, int] = (2, 1, 0)) -> Picture:
    levels = np.arange(256, dtype=np.float32) / 255
    tables = np.stack([(levels - mean) / deviation for mean, deviation in ((0.5, 0.2), (0.4, 0.3), (0.3, 0.1))])
    return Picture(np.ascontiguousarray(pixels), SIZE, tables.astype(np.float32), order)


def stream(height: int, width: int, count: int, seed: int) -> list[NDArray[np.uint8]]:
    """Pictures in each of which a rectangle, a few single bytes, or nothing is new."""
    random = np.random.default_rng(seed)
    frames = [random.integers(0, 256, (height, width, 3), np.uint8)]
    for number in range(1, count):
        frame = frames[-1].copy()
        if number % 3 == 0:
            frame[: height // 2, width // 3 :] = random.integers(0, 256, frame[: height // 2, width // 3 :].shape, np.uint8)
        elif number % 3 == 1:
            frame[random.integers(0, height, 9), random.integers(0, width, 9), random.integers(0, 3, 9)] += 1
        frames.append(frame)
    return frames


def noisy_stream(height: int, width: int, count: int, seed: int) -> list[NDArray[np.uint8]]:
    """Pictures whose pixels rest in most frames, and wander a few grey levels in others: about as far as gates look."""
    random = np.random.default_rng(seed)
    frames = [random.integers(0, 256, (height, width, 3), np.uint8)]
    for _ in range(1, count):
        step = random.integers(-3, 4, frames[-1].shape) * (random.random((height, width, 1)) < 0.3)
        frames.append(np.clip(frames[-1] + step, 0, 255).astype(np.uint8))
    return frames


@pytest.mark.parametrize("threshold", [0.0, 0.02, 0.05])
@pytest.mark.parametrize("block", [1, 8])
@pytest.mark.parametrize("kind", [stream, noisy_stream])
@pytest.mark.parametrize("order", [(2, 1, 0), (0, 1, 2)])
@pytest.mark.parametrize("precision", ["f32", "bf16"])
def test_a_stream_of_pictures_has_the_bits_of_the_stream_of_their_tensors(
    backend: str, threshold: float, block: int, kind, order, precision: str
) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 4, 3, 2)).eval()
    config = SkipConfig(threshold=threshold, block=block, backend=backend, threads=2, precision=precision)
    model, _ = convert(net, torch.zeros(1, 3, *SIZE), config)
    of_pictures, of_tensors = model.session(), model.session()
    for number, pixels in enumerate(kind(20, 77, 9, 1)):
        item = picture(pixels, order)
        actual, expected = of_pictures(item), of_tensors(item.tensor())
        assert torch.equal(actual, expected), f"frame {number}"
        assert of_pictures.cost == of_tensors.cost
        assert torch.equal(model.dense(item), model.dense(item.tensor()))


def test_small_changes_add_up_until_the_gate_opens(backend: str) -> None:
    model, _ = convert(nn.Conv2d(3, 4, 1).eval(), torch.zeros(1, 3, *SIZE), SkipConfig(threshold=0.2, backend=backend))
    session, opened = model.session(), []
    pixels = np.full((*SIZE, 3), 100, np.uint8)
    for _ in range(30):
        session(picture(pixels))
        opened.append(session.cost.macs > 0)
        pixels = pixels.copy()
        pixels[5, 70, 1] += 4
    assert opened[0] and not opened[1] and 2 <= sum(opened) < 10


def test_a_scene_that_was_said_to_move_and_did_not_is_compared_anew(backend: str) -> None:
    model, _ = convert(nn.Conv2d(3, 4, 3).eval(), torch.zeros(1, 3, *SIZE), SkipConfig(threshold=0.0, backend=backend))
    session, items = model.session(), [picture(pixels) for pixels in stream(*SIZE, 4, 5)]
    for item in items:
        session(item)
    session.shift(0, 8)
    assert torch.equal(session(items[-1]), model.dense(items[-1])) and not session.keyframe


def test_the_caller_may_write_the_next_frame_into_the_same_memory(backend: str) -> None:
    model, _ = convert(nn.Conv2d(3, 4, 3).eval(), torch.zeros(1, 3, *SIZE), SkipConfig(threshold=0.0, backend=backend))
    session, pixels = model.session(), np.zeros((*SIZE, 3), np.uint8)
    for pixels[...] in stream(*SIZE, 6, 2):
        assert torch.equal(session(picture(pixels)), model.dense(picture(pixels).tensor()))


def test_a_change_from_tensors_to_pictures_is_a_keyframe(backend: str) -> None:
    model, _ = convert(nn.Conv2d(3, 4, 3).eval(), torch.zeros(1, 3, *SIZE), SkipConfig(backend=backend))
    session, item = model.session(), picture(stream(*SIZE, 1, 3)[0])
    keyframes = []
    for value in (item, item, item.tensor(), item.tensor(), item):
        session(value)
        keyframes.append(session.keyframe)
    assert keyframes == [True, False, True, False, True]


def test_a_picture_that_means_something_else_begins_the_stream_anew(backend: str) -> None:
    """Its place in the input, its order of channels and its tables: equal bytes are equal values only where these are."""
    model, _ = convert(nn.Conv2d(3, 4, 3).eval(), torch.zeros(1, 3, *SIZE), SkipConfig(threshold=0.0, backend=backend))
    session, pixels = model.session(), stream(20, 60, 1, 3)[0]
    first = picture(pixels)
    changes = [
        first,
        first,
        picture(pixels[:18]),
        picture(pixels[:18, :50]),
        first,
        picture(pixels, (0, 1, 2)),
        first,
        replace(first, tables=first.tables + 1),
    ]
    keyframes = []
    for number, item in enumerate(changes):
        assert torch.equal(session(item), model.dense(item)), f"frame {number}"
        keyframes.append(session.keyframe)
    assert keyframes == [True, False, True, True, True, True, True, True]


@pytest.mark.parametrize("channel", [0, 1, 2])
def test_pictures_are_the_same_only_where_every_byte_is(channel: int) -> None:
    pixels = stream(20, 60, 1, 4)[0]
    (kept,) = copied([picture(pixels)])
    assert same_values([picture(pixels)], [kept])
    pixels[19, 59, channel] ^= 1
    assert not same_values([picture(pixels)], [kept])  # nor does what was copied follow the caller's memory


def test_what_lasts_is_not_copied_and_never_written_into() -> None:
    first, second, third = stream(20, 60, 3, 5)
    lasting = replace(picture(first), lasts=True)
    (kept,) = copied([lasting])
    assert kept is lasting
    before = first.copy()
    (other,) = copied([picture(second)], [kept])
    assert np.array_equal(first, before) and same_values([other], [picture(second)])
    (again,) = copied([picture(third)], [other])
    assert isinstance(other, Picture) and isinstance(again, Picture) and again.pixels is other.pixels  # that memory is the copy's own


@settings(max_examples=25, deadline=None)
@given(height=st.integers(1, SIZE[0]), width=st.integers(1, SIZE[1]), seed=st.integers(0, 99))
def test_what_a_picture_does_not_cover_is_zero(height: int, width: int, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    item = picture(pixels)
    tensor = item.tensor()
    assert tensor.shape == item.shape and not tensor[:, :, height:].any() and not tensor[:, :, :, width:].any()
    assert float(tensor[0, 0, 0, 0]) == item.tables[0, pixels[0, 0, 2]]


@pytest.mark.parametrize(
    ("pixels", "order"),
    [
        (np.zeros((25, 80, 3), np.uint8), (0, 1, 2)),
        (np.zeros((24, 80), np.uint8), (0, 1, 2)),
        (np.zeros((24, 80, 3), np.float32), (0, 1, 2)),
        (np.zeros((24, 80, 6), np.uint8)[..., ::2], (0, 1, 2)),
        (np.zeros((24, 80, 3), np.uint8), (0, 1, 3)),
    ],
)
def test_a_picture_that_cannot_be_one_is_refused(pixels, order) -> None:
    with pytest.raises(ValueError):
        Picture(pixels, SIZE, np.zeros((3, 256), np.float32), order)
