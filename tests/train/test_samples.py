"""Samples and packs of them."""

import numpy as np
import pytest

from skipvid.core.errors import OutputError, SourceError
from skipvid.train.samples import CLASS_COUNT, Sample, Targets, load_pack, save_pack, shrink


def sample(source, boxes, classes, ignore=None, known=None, shade=100):
    image = np.full((40, 60, 3), shade, np.uint8)
    mask = np.ones(CLASS_COUNT, np.bool_) if known is None else np.isin(np.arange(CLASS_COUNT), known)
    return Sample(image, Targets.of(boxes, classes, ignore), source, mask)


def test_a_pack_gives_back_what_was_put_in(tmp_path):
    samples = [
        sample("a", [(1, 2, 30, 20), (5, 5, 9, 9)], [0, 3], [False, True], shade=50),
        sample("b", [], [], known=[0, 2], shade=200),
        sample("a", [(0, 0, 60, 40)], [5]),
    ]
    save_pack(tmp_path / "pack.npz", samples)
    loaded = load_pack(tmp_path / "pack.npz")
    assert [s.source for s in loaded] == ["a", "b", "a"]
    for given, got in zip(samples, loaded, strict=True):
        np.testing.assert_array_equal(got.targets.boxes, given.targets.boxes)
        np.testing.assert_array_equal(got.targets.classes, given.targets.classes)
        np.testing.assert_array_equal(got.targets.ignore, given.targets.ignore)
        np.testing.assert_array_equal(got.known, given.known)
        assert np.abs(got.image.astype(int) - given.image).max() <= 2
    assert list(tmp_path.iterdir()) == [tmp_path / "pack.npz"]


def test_a_damaged_pack_is_named(tmp_path):
    (tmp_path / "pack.npz").write_bytes(b"PK nothing")
    with pytest.raises(SourceError, match="pack.npz"):
        load_pack(tmp_path / "pack.npz")


def test_a_pack_for_a_folder_that_is_not_there_is_an_output_error(tmp_path):
    with pytest.raises(OutputError, match="nowhere"):
        save_pack(tmp_path / "nowhere" / "pack.npz", [sample("a", [], [])])


def test_shrinking_scales_the_boxes_with_the_picture():
    image, boxes = shrink(np.zeros((100, 200, 3), np.uint8), np.array([[20, 10, 100, 50]], np.float32), 100)
    assert image.shape == (50, 100, 3)
    assert boxes.tolist() == [[10, 5, 50, 25]]


def test_a_small_picture_is_not_enlarged():
    image, boxes = shrink(np.zeros((10, 20, 3), np.uint8), np.array([[2, 1, 10, 5]], np.float32), 100)
    assert image.shape == (10, 20, 3) and boxes.tolist() == [[2, 1, 10, 5]]


def test_targets_that_do_not_fit_together_are_refused():
    with pytest.raises(ValueError, match="do not fit"):
        Targets(np.zeros((2, 4), np.float32), np.zeros(1, np.int64), np.zeros(2, np.bool_))
