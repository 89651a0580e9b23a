"""What stands before and behind a pose network: keypoints in the frame, boxes around them, movements between frames."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from skipvid.models import PoseSpec
from skipvid.presets.preset import Preset, load_preset
from skipvid.tasks.crops import CropWindow
from skipvid.tasks.engine import spec_for
from skipvid.tasks.pose import PoseTask, extent, movement


def task_of(preset: Preset) -> PoseTask:
    return PoseTask(preset, spec_for(preset, PoseSpec))


def keypoints(*rows: tuple[float, float, float]) -> NDArray[np.float32]:
    return np.array(rows, np.float32)


def test_a_peak_is_found_where_the_network_saw_it_in_the_frame() -> None:
    task = task_of(load_preset("hrnet_w32_256x192"))
    window = CropWindow(100, 50, 96, 128, (256, 192))
    rows, columns = np.mgrid[:64, :48]
    heat = np.exp(-((columns - 20) ** 2 + (rows - 30) ** 2) / 8)
    found = task.decode([np.repeat(heat.astype(np.float32)[None, None], 17, 1)], window)
    # Pixel (20, 30) of the map is pixel (80, 120) of the input, which is twice as fine as the frame.
    np.testing.assert_allclose(found[:, :2], [[100 + 80.5 / 2 - 0.5, 50 + 120.5 / 2 - 0.5]] * 17, atol=0.01)
    assert found[:, 2] == pytest.approx(1)


def test_joints_that_are_not_cocos_are_read_at_their_highest_pixel() -> None:
    task = task_of(replace(load_preset("hrnet_w32_256x192"), labels=("hook",)))
    heat = np.zeros((1, 1, 64, 48), np.float32)
    heat[0, 0, 10:20, 10:20] = 0.5
    heat[0, 0, 40, 30] = 0.6
    found = task.decode([heat], CropWindow(0, 0, 48, 64, (256, 192)))
    np.testing.assert_allclose(found[0, :2], [30, 40], atol=1)


def test_a_window_is_prepared_in_the_networks_colours_and_size() -> None:
    preset = load_preset("hrnet_w32_256x192")
    image = np.zeros((300, 300, 3), np.uint8)
    image[...] = (10, 100, 200)
    x = task_of(preset).prepare(image, CropWindow(0, 0, 96, 128, (256, 192))).tensor()
    assert x.shape == (1, 3, 256, 192) and x.dtype == torch.float32
    expected = [(value / 255 - m) / s for value, m, s in zip((200, 100, 10), preset.mean, preset.std, strict=True)]
    np.testing.assert_allclose(x[0, :, 5, 5], expected, rtol=1e-5)


def test_the_extent_holds_what_is_seen_and_stays_in_the_frame() -> None:
    points = keypoints((10, 20, 0.9), (90, 60, 0.8), (50, 180, 0.5), (500, 500, 0.1))
    np.testing.assert_allclose(extent(points, (185, 320)), [0, 4, 106, 185])
    assert extent(keypoints((1, 1, 0.9), (2, 2, 0.9), (3, 3, 0.2)), (100, 100)) is None


def test_a_movement_is_that_of_most_of_what_is_seen_in_both_frames() -> None:
    before = keypoints((10, 10, 0.9), (20, 20, 0.9), (30, 30, 0.9), (40, 40, 0.9), (50, 50, 0.1))
    after = before + np.array([[4, 2, 0], [4, 2, 0], [4, 2, 0], [90, -70, 0], [99, 99, 0]], np.float32)
    np.testing.assert_allclose(movement(before, after), [4, 2])
    after[:2, 2] = 0.1
    np.testing.assert_allclose(movement(before, after), [0, 0])
