"""Training a detector from end to end on pictures drawn here: it learns, its weights and preset load, a clip can be distilled."""

import av
import numpy as np
import pytest
import torch
from by_heart import detector_recipe as recipe
from by_heart import learn_pictures, samples

from skipvid.core.errors import UsageError
from skipvid.models import build_model, load_weights
from skipvid.presets.preset import load_preset
from skipvid.train import detector
from skipvid.train.detector import train_detector
from skipvid.train.distill import distill_detector
from skipvid.train.measure import exams_of_samples
from skipvid.train.samples import CLASS_COUNT, Sample, Targets
from skipvid.train.ship import export_weights
from skipvid.train.teachers import Found


@pytest.mark.slow
def test_a_detector_learns_a_handful_of_pictures_by_heart(tmp_path):
    trained = learn_pictures(tmp_path)
    assert trained.grades["person"] > 0.75
    assert trained.grades["car"] > 0.75
    untrained = build_model("efficientdet-nano", num_classes=CLASS_COUNT)
    for exam in exams_of_samples(samples(6)):
        assert exam.grade(untrained, longest=128, anchor_scale=untrained.config.anchor_scale) < 0.2


def test_exported_weights_are_small_and_load_strictly(tmp_path):
    net = build_model("efficientdet-nano")
    digest = export_weights(net.state_dict(), tmp_path / "w.pt", {"network": "efficientdet-nano"})
    other = build_model("efficientdet-nano")
    load_weights(other, tmp_path / "w.pt")
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(net(x)[0][0], other(x)[0][0], atol=0.05)
    assert len(digest) == 64
    assert (tmp_path / "w.pt").stat().st_size < 0.6 * sum(t.numel() * 4 for t in net.state_dict().values())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"start": "a.pt", "backbone": "b.xml"}, "both weights and a backbone", id="two starts"),
    ],
)
def test_options_that_do_not_fit_together_are_refused(tmp_path, changes, message):
    with pytest.raises(UsageError, match=message):
        train_detector(recipe(1), samples(1), [], tmp_path, quiet=True, **changes)


def test_a_batch_of_one_picture_is_refused():
    with pytest.raises(UsageError, match="batch of one picture"):
        recipe(1, batch=1)


def test_statistics_are_measured_on_pictures_as_they_are_used(tmp_path, monkeypatch):
    """Uncropped, as large as in use, in the input that most of them have."""
    shapes = []
    monkeypatch.setattr(detector, "settle_norms", lambda net, batches, keep: shapes.extend(tuple(batch.shape) for batch in batches))
    wide = [Sample(np.full((90, 160, 3), 255, np.uint8), Targets.empty(), "wide") for _ in range(9)]
    tall = [Sample(np.full((160, 90, 3), 255, np.uint8), Targets.empty(), "tall")]
    train_detector(recipe(1, batch=4), wide + tall, [], tmp_path, quiet=True)
    assert shapes == [(4, 3, 96, 128)] * 3


def test_exams_leave_out_pictures_in_which_the_class_is_not_labelled():
    labelled, blind = samples(2)
    blind = Sample(blind.image, blind.targets, "drawn", np.isin(np.arange(CLASS_COUNT), [2]))
    exams = {exam.name: exam for exam in exams_of_samples([labelled, blind])}
    assert len(exams["person"].images) == 1 and len(exams["car"].images) == 2
    assert set(exams) == {"person", "car"}


class DrawnTeacher:
    """Finds bright rectangles."""

    known = np.ones(CLASS_COUNT, np.bool_)

    def __init__(self, blind=False):
        self.blind = blind

    def detect(self, image):
        bright = image.min(2) > 180
        if self.blind or not bright.any():
            return Found(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))
        rows, columns = np.flatnonzero(bright.any(1)), np.flatnonzero(bright.any(0))
        box = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
        return Found(np.array([box], np.float32), np.array([0.9], np.float32), np.array([0]))


@pytest.fixture
def clip(tmp_path):
    path = tmp_path / "walk.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width = stream.height = 128
        stream.pix_fmt = "yuv420p"
        for i in range(20):
            image = np.full((128, 128, 3), 100, np.uint8)
            image[40:90, 10 + 4 * i : 30 + 4 * i] = 250
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        container.mux(stream.encode())
    return path


def test_a_clip_becomes_a_preset_that_loads(tmp_path, clip):
    lines = []
    folder = tmp_path / "out"
    path = distill_detector(recipe(2), [clip], DrawnTeacher(), folder, name="my-camera", stride=2, quiet=True, report=lines.append)
    preset = load_preset(path)
    assert preset.name == "my-camera" and preset.labels[0] == "person"
    net = build_model(preset.model, num_classes=preset.label_set.num_outputs)
    load_weights(net, path.parent / preset.weights)
    assert lines[-1] == "8 frames with 8 objects to learn from, 2 held out"


def test_a_labelled_clip_is_not_labelled_again(tmp_path, clip):
    folder = tmp_path / "out"
    distill_detector(recipe(1), [clip], DrawnTeacher(), folder, name="a", stride=5, quiet=True, report=lambda line: None)
    lines = []
    distill_detector(recipe(1), [clip], DrawnTeacher(blind=True), folder, name="a", stride=5, resume=True, quiet=True, report=lines.append)
    assert not any(line.startswith("labelling") for line in lines)


def test_a_teacher_that_sees_nothing_is_an_error(tmp_path, clip):
    with pytest.raises(UsageError, match="sure of no object"):
        distill_detector(recipe(1), [clip], DrawnTeacher(blind=True), tmp_path / "out", name="a", quiet=True, report=lambda line: None)
