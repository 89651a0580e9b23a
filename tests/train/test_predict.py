"""Pictures laid out as inputs of a detector in training."""

import numpy as np
import pytest
import torch

from skipvid.models import build_model
from skipvid.train.predict import fit, fit_into, padded_size, predict


@pytest.mark.parametrize(
    ("size", "longest", "expected"),
    [((360, 640), 512, (288, 512)), ((480, 640), 512, (384, 512)), ((640, 360), 512, (512, 288)), ((1, 900), 64, (32, 64))],
)
def test_the_longer_side_gets_its_length_and_both_are_filled_up(size, longest, expected):
    assert padded_size(size, longest) == expected
    picture, scale = fit(np.full((*size, 3), 255, np.uint8), longest)
    assert picture.shape == (*expected, 3) and scale == longest / max(size)


def test_a_picture_of_the_shape_of_an_input_lies_in_it_as_it_would_alone():
    image = np.random.default_rng(0).integers(0, 256, (90, 160, 3), np.uint8)
    np.testing.assert_array_equal(fit_into(image, padded_size((90, 160), 128)), fit(image, 128)[0])


def test_a_picture_of_another_shape_is_seen_whole_and_the_rest_is_grey():
    upright = np.full((160, 80, 3), 255, np.uint8)
    upright[-4:] = 0
    placed = fit_into(upright, (96, 128))
    assert (placed[:90, :48] == 255).all() and (placed[95, :48] == 0).all() and (placed[:, 48:] == 114).all()


def test_shrinking_averages_every_pixel():
    image = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    blocks = image.reshape(64, 4, 64, 4, 3).mean((1, 3))
    assert np.abs(fit(image, 64)[0] - blocks).max() <= 1


def test_a_network_that_answers_in_half_precision_is_read_all_the_same():
    torch.manual_seed(0)
    net = build_model("efficientdet-nano").eval()
    with torch.autocast("cpu", torch.bfloat16):
        (found,) = predict(net, [np.zeros((48, 64, 3), np.uint8)], longest=64, floor=0.0)
    assert len(found.boxes) and found.boxes.dtype == found.scores.dtype == np.float32
