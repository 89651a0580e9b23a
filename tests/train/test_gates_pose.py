"""Learning gates for poses: windows that stay, persons that are followed, keypoints as a loss of their own."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from skipvid.core.errors import SourceError, UsageError
from skipvid.models import build_model
from skipvid.presets.preset import load_preset
from skipvid.train.clips import Piece, cut_pieces, read_labels
from skipvid.train.gates import GateExam, GateRecipe, make_student
from skipvid.train.loop import Schedule
from skipvid.train.pose_augment import draw_heat
from skipvid.train.pose_subject import PoseSubject, follow
from skipvid.train.samples import Targets

SAMPLES = Path(__file__).parents[2] / "sample_videos"


@pytest.fixture
def subject(tmp_path):
    torch.manual_seed(0)
    torch.save(build_model("tinypose_256x192").state_dict(), tmp_path / "random.pt")
    preset = replace(load_preset("tinypose_256x192"), image_size=(64, 32))
    found = np.array([[64, 40, 94, 90], [0, 0, 5, 9]], np.float32)  # the second is too small
    return PoseSubject(preset, tmp_path / "random.pt", lambda image: found)


def walking(labelled=False, length=9):
    """Somebody who moves by one pixel a frame, with all joints at the upper left corner of the box."""
    frames = np.full((length, 128, 192, 3), 90, np.uint8)
    targets = []
    for index in range(length):
        frames[index, 40:90, 60 + index : 90 + index] = 220
        person = Targets.of([[60 + index, 40, 90 + index, 90]], [0])
        targets.append(replace(person, joints=np.full((1, 17, 3), [60 + index, 40, 1], np.float32)))
    return Piece("a", frames, tuple(targets) if labelled else None)


def test_a_network_learns_on_windows_that_stay_on_a_person(subject):
    piece = walking()
    (person,) = subject.watched(piece)
    assert subject.keep([piece]) == [piece] and person.window.box[0] < 64 and person.window.box[3] > 90 and person.joints is None
    clip = subject.draw([piece], 3, 256, np.random.default_rng(0))
    assert clip.images.shape == (3, 64, 32, 3) and (clip.images[0] != clip.images[2]).any() and clip.joints is None
    recipe = GateRecipe(Schedule(10))
    student = make_student(subject, recipe, subject.example([piece], 256))
    grades = GateExam(subject, recipe, [piece])(student)
    assert 0 < grades["distance"] < 1 and 0 < grades["share"] < 1.2
    subject._find = lambda image: np.zeros((0, 4), np.float32)
    with pytest.raises(UsageError, match="no person was found"):
        subject.keep([walking()])


def test_labelled_joints_come_along_into_the_window(subject):
    piece = walking(labelled=True)
    seen = set()
    for seed in range(20):
        clip = subject.draw([piece], 2, 256, np.random.default_rng(seed))
        for image, joints in zip(clip.images, clip.joints, strict=True):
            bright = image[..., 0] > 150
            corner = np.argwhere(bright).min(0)[::-1]
            assert np.abs(joints[:, :2] - corner).max() <= 1.5 and (joints[:, 2] == 1).all()
            seen.add(tuple(corner))
    assert len(seen) > 1


def test_a_person_is_followed_by_overlap_from_the_middle_and_lost_where_nobody_is(subject):
    targets = list(walking(labelled=True, length=7).targets)
    other = Targets.of([[10, 40, 40, 90]], [0])
    boxes = np.concatenate([other.boxes, targets[5].boxes])
    both = Targets(boxes, np.zeros(2, np.int64), np.zeros(2, bool), np.zeros((2, 17, 3), np.float32))
    both.joints[1] = 7
    targets[5] = both
    targets[1] = replace(other, joints=np.ones((1, 17, 3), np.float32))
    joints = follow(np.array([63, 40, 93, 90], np.float32), targets)
    assert [float(frame[0, 0]) for frame in joints] == [0, 0, 62, 63, 64, 7, 66]  # from frame 1 on there is somebody else
    targets[3] = replace(targets[3], joints=None)
    assert follow(np.array([63, 40, 93, 90], np.float32), targets) is None


def test_keypoints_add_the_loss_of_pose_training_where_every_clip_has_them(subject):
    clips = [subject.draw([walking(labelled=True)], 2, 256, np.random.default_rng(seed)) for seed in range(2)]
    joints = np.concatenate([clip.joints for clip in clips])
    joints[:, :5, 2] = 0  # of which nothing is known
    for clip, own in zip(clips, (joints[:2], joints[2:]), strict=True):
        clip.joints[:] = own
    right = torch.from_numpy(draw_heat(joints[..., :2], np.ones((4, 17), bool), (64, 32)))
    assert float(subject.loss(right, right, clips)) < 1e-6
    unknown, known = right.clone(), right.clone()
    unknown[:, :5] += 0.3
    known[:, 5:] += 0.3
    assert float(subject.loss(unknown, unknown, clips)) < 1e-6 < 0.1 < float(subject.loss(known, known, clips))
    partly = [clips[0], replace(clips[1], joints=None)]
    assert float(subject.loss(known, known, partly)) == 0


def test_keypoints_are_read_from_coco_and_scaled_like_the_frames(tmp_path):
    labels = read_labels(SAMPLES / "exercise.coco.json")
    data = json.loads((SAMPLES / "exercise.coco.json").read_text())
    first = np.array(data["annotations"][0]["keypoints"], np.float32).reshape(17, 3)
    assert np.array_equal(labels[0].joints[0, :, :2], first[:, :2]) and np.array_equal(labels[0].joints[0, :, 2], first[:, 2] > 0)
    piece = cut_pieces([SAMPLES / "exercise.mp4"], [SAMPLES / "exercise.coco.json"], tmp_path, longest=640, length=9, most_frames=9)[0]
    assert piece.targets is not None and piece.frames.shape[2] == 640
    start = json.loads(next(tmp_path.glob("*.json")).read_text())["starts"][0]
    expected = (labels[start].joints[..., :2] + 0.5) / 2 - 0.5
    np.testing.assert_allclose(piece.targets[0].joints[..., :2], expected, atol=1e-3)
    for note in data["annotations"]:
        note["keypoints"] = [1, 2, 2]
    (tmp_path / "bad.json").write_text(json.dumps(data))
    with pytest.raises(SourceError, match="neither MOT text nor a COCO"):
        read_labels(tmp_path / "bad.json")
