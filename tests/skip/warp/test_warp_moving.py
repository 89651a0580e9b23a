"""Moving maps by block motion: bilinear, as its definition says, and nothing where nothing moves."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from skipvid.skip.warp.block_motion import BLOCK
from skipvid.skip.warp.moving import OPERATIONS, moved


def as_defined(
    value: NDArray[np.float32], vectors: NDArray[np.float32], size: tuple[int, int], content: tuple[int, int]
) -> tuple[NDArray[np.float64], int]:
    """The same, cell by cell, and how many cells moved."""
    _, height, width = value.shape
    result, count = value.astype(np.float64), 0
    for row in range(height):
        for column in range(width):
            y, x = (row + 0.5) * size[0] / height, (column + 0.5) * size[1] / width
            if y >= content[0] or x >= content[1]:
                continue
            across, down = vectors[min(int(y // BLOCK), len(vectors) - 1), min(int(x // BLOCK), vectors.shape[1] - 1)]
            if across == down == 0:
                continue
            count += 1
            from_y = min(max(row + down * height / size[0], 0), height - 1)
            from_x = min(max(column + across * width / size[1], 0), width - 1)
            total = 0.0
            for other_row in range(height):
                for other_column in range(width):
                    weight = max(0, 1 - abs(from_y - other_row)) * max(0, 1 - abs(from_x - other_column))
                    total = total + weight * value[:, other_row, other_column].astype(np.float64)
            result[:, row, column] = total
    return result, count


@settings(max_examples=60)
@given(
    st.tuples(st.integers(2, 9), st.integers(2, 9)),
    st.sampled_from([4, 8, 16, 32, 24]),
    st.integers(1, 5),
    st.integers(0, 2**32 - 1),
    st.booleans(),
)
def test_maps_move_as_defined(cells: tuple[int, int], stride: int, channels: int, seed: int, last: bool) -> None:
    random = np.random.default_rng(seed)
    size = (cells[0] * stride, cells[1] * stride)
    content = tuple(int(random.integers(1, extent + 1)) for extent in size)
    blocks = tuple(-(-extent // BLOCK) for extent in content)
    vectors = random.uniform(-40, 40, (*blocks, 2)).astype(np.float32)
    vectors[random.random(blocks) < 0.4] = 0
    value = random.normal(0, 1, (channels, *cells)).astype(np.float32)
    tensor = torch.from_numpy(value)[None]
    given_value = tensor.contiguous(memory_format=torch.channels_last) if last else tensor
    actual, operations = moved(given_value, vectors, size, content)  # type: ignore[arg-type]
    expected, count = as_defined(value, vectors, size, content)  # type: ignore[arg-type]
    assert actual.shape == tensor.shape and actual.dtype == torch.float32
    np.testing.assert_allclose(actual[0].numpy(), expected, atol=1e-5)
    assert operations == OPERATIONS * channels * count
    assert torch.equal(given_value, tensor), "the keyframe's map stays as it is"


@pytest.mark.parametrize("stride", [8, 16, 32])
def test_a_shift_by_whole_cells_moves_whole_cells(stride: int) -> None:
    size = (160, 192)
    value = torch.from_numpy(np.random.default_rng(0).normal(0, 1, (1, 3, size[0] // stride, size[1] // stride)).astype(np.float32))
    vectors = np.zeros((10, 12, 2), np.float32)
    vectors[:] = (32, -32)
    actual = moved(value, vectors, size, size)[0]
    by = 32 // stride
    assert torch.equal(actual[..., by:, :-by], value[..., :-by, by:])


def test_a_map_in_which_nothing_moves_is_itself() -> None:
    value = torch.randn(1, 3, 4, 5)
    actual, operations = moved(value, np.zeros((4, 5, 2), np.float32), (64, 80), (64, 80))
    assert actual is value and operations == 0


def test_what_lies_beside_the_picture_stays() -> None:
    value = torch.randn(1, 2, 4, 6)
    actual, _ = moved(value, np.full((2, 3, 2), 16, np.float32), (64, 96), (32, 48))
    assert torch.equal(actual[..., 2:, :], value[..., 2:, :]) and torch.equal(actual[..., 3:], value[..., 3:])
    assert torch.equal(actual[..., 0, 0], value[..., 1, 1])
