"""Batches: boxes stay on their objects, labels stay honest, and a step always gives the same pictures."""

import numpy as np
import pytest

from skipvid.core.errors import UsageError
from skipvid.train.augment import AugmentConfig, BatchMaker, clip_targets, distort
from skipvid.train.samples import CLASS_COUNT, Sample, Targets

PLAIN = AugmentConfig(p_colour=0, p_grey=0, p_blur=0, p_noise=0, p_jpeg=0, p_coarse=0)


def sample(source="a", box=(40, 30, 90, 110), size=(160, 200), known=None):
    image = np.full((*size, 3), 20, np.uint8)
    image[box[1] : box[3], box[0] : box[2]] = 250
    mask = np.ones(CLASS_COUNT, np.bool_) if known is None else np.isin(np.arange(CLASS_COUNT), known)
    return Sample(image, Targets.of([box], [2]), source, mask)


@pytest.mark.parametrize("mosaic", [0.0, 1.0])
def test_boxes_stay_on_their_objects(mosaic):
    config = AugmentConfig(longest=(150, 500), p_colour=0, p_grey=0, p_blur=0, p_noise=0, p_jpeg=0, p_coarse=0, p_mosaic=mosaic)
    maker = BatchMaker([sample()], config)
    seen = 0
    for step in range(5):
        batch = maker.batch(4, 256, seed=1, step=step)
        for image, targets in zip(batch.images, batch.targets, strict=True):
            bright = image[:, :, 0] > 140
            covered = np.zeros_like(bright)
            for x1, y1, x2, y2 in targets.boxes:
                covered[int(y1 - 2) if y1 > 2 else 0 : int(y2 + 3), int(x1 - 2) if x1 > 2 else 0 : int(x2 + 3)] = True
                middle = image[int((y1 + y2) / 2), int((x1 + x2) / 2), 0]
                assert middle > 140 or targets.ignore.any()
                seen += 1
            # A sliver that the crop leaves may have lost its label; anything larger has one.
            assert (bright & ~covered).sum() <= 0.1 * bright.sum() + 0.11 * 50 * 80 * (500 / 200) ** 2
    assert seen > 10


def test_the_same_step_gives_the_same_batch_and_another_step_another_one():
    maker = BatchMaker([sample(), sample(box=(10, 10, 60, 60))])
    first, again, later = maker.batch(3, 128, seed=7, step=4), maker.batch(3, 128, seed=7, step=4), maker.batch(3, 128, seed=7, step=5)
    np.testing.assert_array_equal(first.images, again.images)
    for a, b in zip(first.targets, again.targets, strict=True):
        np.testing.assert_array_equal(a.boxes, b.boxes)
    assert (first.images != later.images).any()


def test_a_mosaic_knows_only_the_classes_that_all_its_pictures_know():
    config = AugmentConfig(p_mosaic=1.0)
    maker = BatchMaker([sample("a", known=[0, 2]), sample("b", known=[2, 3])], config)
    masks = {tuple(mask) for step in range(8) for mask in maker.batch(4, 128, seed=0, step=step).known.tolist()}
    only_two = tuple(np.isin(np.arange(CLASS_COUNT), [2]).tolist())
    assert only_two in masks
    assert all(mask[2] and sum(mask) in (1, 2) for mask in masks)


def test_sources_are_drawn_by_their_shares():
    empty = Sample(np.zeros((160, 200, 3), np.uint8), Targets.empty(), "empty")
    config = AugmentConfig(longest=(60, 64), p_mosaic=0)  # always whole, so that a picture of "full" shows its object
    maker = BatchMaker([sample("full")] + [empty] * 50, config, {"full": 3.0, "empty": 1.0})
    drawn = [len(targets) > 0 for step in range(25) for targets in maker.batch(8, 64, seed=0, step=step).targets]
    assert 0.65 < np.mean(drawn) < 0.85


def test_shares_that_name_no_source_are_refused():
    with pytest.raises(UsageError, match="no source has a share"):
        BatchMaker([sample("a")], shares={"b": 1.0})


def test_no_samples_are_refused():
    with pytest.raises(UsageError, match="no sample"):
        BatchMaker([])


def test_cut_boxes_are_kept_ignored_or_dropped_by_what_is_left_of_them():
    boxes = np.array([[-5, 10, 20, 30], [-15, 10, 10, 30], [-95, 10, 5, 30], [40, 40, 43, 60], [200, 0, 220, 10]], np.float32)
    seen = clip_targets(boxes, Targets.of(boxes, [0, 1, 2, 3, 4]), np.array([100, 100]), AugmentConfig(visible=0.5, smallest=4))
    assert seen.classes.tolist() == [0, 1, 3]  # 80 %, 40 %, 5 %, whole but narrow, outside
    assert seen.ignore.tolist() == [False, True, True]
    assert seen.boxes[0].tolist() == [0, 10, 20, 30]


@pytest.mark.parametrize("name", ["p_colour", "p_grey", "p_blur", "p_noise", "p_jpeg", "p_coarse"])
def test_each_distortion_changes_the_picture_and_keeps_its_shape(name):
    config = AugmentConfig(**{f"p_{n}": float(f"p_{n}" == name) for n in ("colour", "grey", "blur", "noise", "jpeg", "coarse")})
    image = np.random.default_rng(0).integers(0, 255, (64, 96, 3), np.uint8)
    changed = distort(image.copy(), np.random.default_rng(3), config)
    assert changed.shape == image.shape and changed.dtype == np.uint8
    assert (changed != image).mean() > 0.2


def test_without_distortions_the_picture_stays():
    image = np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)
    np.testing.assert_array_equal(distort(image.copy(), np.random.default_rng(0), PLAIN), image)
