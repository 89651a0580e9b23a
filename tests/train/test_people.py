"""Persons for pose training: cutting out keeps joints in place, packs keep everything, COCO keypoint files are read with care."""

import json

import cv2
import numpy as np
import pytest

from skipvid.core.errors import SourceError, UsageError
from skipvid.train.mix import Mix, PoseTeacherEntry, SourceEntry, load_mix
from skipvid.train.people import ABSENT, JOINTS, MIRRORED, PRESENT, UNKNOWN, Person, cut_out, load_people, save_people
from skipvid.train.people_sources import gather_people, read_people
from skipvid.train.pose_teacher import PoseTeacher, network_input, open_pose_teacher


def dotted(size=(300, 400), seed=0, box=(150, 60, 250, 260)):
    """A grey picture with a white dot at each of 17 joints inside the box."""
    rng = np.random.default_rng(seed)
    joints = np.stack([rng.integers(box[0] + 8, box[2] - 8, JOINTS), rng.integers(box[1] + 8, box[3] - 8, JOINTS)], 1).astype(np.float32)
    image = np.full((*size, 3), 60, np.uint8)
    for x, y in joints.astype(int):
        cv2.circle(image, (int(x), int(y)), 3, (255, 255, 255), -1)
    return Person(image, np.array(box, np.float32), joints, np.full(JOINTS, PRESENT, np.int8), 5000.0, "dots")


@pytest.mark.parametrize("box", [(150, 60, 250, 260), (0, 0, 120, 290), (320, 200, 399, 299)])
@pytest.mark.parametrize("height", [256, 90])
def test_cutting_out_keeps_every_joint_on_its_dot(box, height):
    person = dotted(box=box)
    small = cut_out(person, height)
    window = max(box[3] - box[1], (box[2] - box[0]) / 0.75) * 1.25
    scale = (small.box[3] - small.box[1]) / (box[3] - box[1])
    assert scale == pytest.approx(min(height / window, 1.0), rel=0.03)
    # A dot of three pixels' radius stays bright at its middle however the pixels fall, unless it has become smaller than a pixel.
    for x, y in np.rint(small.joints).astype(int):
        assert small.image[y, x].min() > 110
    assert small.area == pytest.approx(person.area * scale**2, rel=0.05)


def test_a_pack_gives_back_the_persons_it_was_given(tmp_path):
    people = [cut_out(dotted(seed=seed)) for seed in range(3)]
    save_people(tmp_path / "p.npz", people)
    for before, after in zip(people, load_people(tmp_path / "p.npz"), strict=True):
        assert np.abs(before.image.astype(int) - after.image).mean() < 4  # JPEG
        np.testing.assert_array_equal(before.joints, after.joints)
        np.testing.assert_array_equal(before.box, after.box)
        np.testing.assert_array_equal(before.states, after.states)
        assert (before.source, before.area) == (after.source, after.area)


def test_a_pack_may_be_empty_and_a_damaged_one_is_named(tmp_path):
    save_people(tmp_path / "none.npz", [])
    assert load_people(tmp_path / "none.npz") == []
    (tmp_path / "bad.npz").write_bytes(b"no pack")
    with pytest.raises(SourceError, match=r"bad\.npz"):
        load_people(tmp_path / "bad.npz")


def test_the_mirror_of_the_mirror_is_the_same_joint():
    assert [MIRRORED[joint] for joint in MIRRORED] == list(range(JOINTS))


def coco_file(folder, annotations):
    folder.mkdir(exist_ok=True)
    cv2.imwrite(str(folder / "a.png"), dotted().image)
    content = {
        "images": [{"id": 7, "file_name": "a.png"}],
        "categories": [{"id": 1, "name": "person"}, {"id": 3, "name": "car"}],
        "annotations": [{"id": n, "image_id": 7, "category_id": 1, **annotation} for n, annotation in enumerate(annotations)],
    }
    path = folder / "labels.json"
    path.write_text(json.dumps(content))
    return path


def keypoints(count):
    """count labelled joints, the rest without a label."""
    person = dotted()
    rows = [[float(x), float(y), 2] if n < count else [0, 0, 0] for n, (x, y) in enumerate(person.joints)]
    return [value for row in rows for value in row]


def test_a_coco_file_is_read_without_crowds_and_hidden_persons(tmp_path):
    box = [150, 60, 100, 200]
    path = coco_file(
        tmp_path / "set",
        [
            {"bbox": box, "keypoints": keypoints(5), "area": 9000},
            {"bbox": box, "iscrowd": 1, "keypoints": keypoints(5)},
            {"bbox": box, "visibility": 0.1, "keypoints": keypoints(5)},
            {"bbox": box, "category_id": 3},
            {"bbox": box},
        ],
    )
    people = list(read_people(path, path.parent, "set"))
    assert [(person.states == PRESENT).sum() for person in people] == [5, 0]
    assert people[0].area == 9000
    assert people[1].area == pytest.approx(0.53 * 100 * 200)
    np.testing.assert_array_equal(people[0].joints[:5], dotted().joints[:5])


def test_keypoints_that_are_not_coco_are_refused_with_the_file_named(tmp_path):
    path = coco_file(tmp_path / "set", [{"bbox": [1, 1, 50, 50], "keypoints": [1, 2, 2] * 14}])
    with pytest.raises(SourceError, match=r"labels\.json.*14 keypoints"):
        list(read_people(path, path.parent, "set"))


def knowing(scores):
    """A teacher that puts every joint in the middle of the window, each with its score."""

    def heat(x):
        maps = np.zeros((len(x), JOINTS, 64, 48), np.float32)
        maps[:, :, 31:33, 23:25] = np.asarray(scores, np.float32)[None, :, None, None]
        return maps

    return PoseTeacher(heat, (256, 192))


def test_a_teacher_fills_in_only_what_is_not_labelled():
    states = np.full(JOINTS, UNKNOWN, np.int8)
    states[:3] = PRESENT
    person = dotted()
    person = Person(person.image, person.box, person.joints, states, 1.0, "x")
    scores = [0.9] * 3 + [0.8] * 4 + [0.3] * 6 + [0.01] * 4  # the same for left and right
    done = knowing(scores).complete(person)
    np.testing.assert_array_equal(done.states, [PRESENT] * 7 + [UNKNOWN] * 6 + [ABSENT] * 4)
    np.testing.assert_array_equal(done.joints[:3], person.joints[:3])
    np.testing.assert_allclose(done.joints[3:7], np.tile([200, 160], (4, 1)), atol=2.5)  # the middle of the box, to a pixel of the heat map


def test_a_person_of_whom_the_teacher_knows_little_is_no_sample():
    nobody = dotted()
    nobody = Person(nobody.image, nobody.box, nobody.joints, np.full(JOINTS, UNKNOWN, np.int8), 1.0, "x")
    assert knowing([0.9] * 7 + [0.2] * 10).complete(nobody) is None
    assert knowing([0.9] * 8 + [0.2] * 9).complete(nobody) is not None


def test_gathering_keeps_labels_and_never_lets_the_teacher_near_what_is_held_out(tmp_path):
    path = coco_file(tmp_path / "set", [{"bbox": [150, 60, 100, 200], "keypoints": keypoints(5)}, {"bbox": [150, 60, 100, 200]}])
    entry = {"kind": "coco", "path": str(path.parent), "annotations": str(path), "share": 1.0}
    mix = Mix((), (SourceEntry(name="learn", **entry), SourceEntry(name="held", **entry)), held_out=("held",))
    people = gather_people(mix, tmp_path / "labels", knowing([0.9] * 17), lambda line: None)
    assert [(person.source, int((person.states == PRESENT).sum())) for person in people] == [("learn", 17), ("learn", 17), ("held", 5)]
    path.unlink()  # the second time all comes from the packs
    assert len(gather_people(mix, tmp_path / "labels", None, lambda line: None)) == 3


def test_a_clip_needs_a_pose_teacher(tmp_path):
    mix = Mix((), (SourceEntry(name="street", kind="clip", path="street.mp4", share=1.0),))
    with pytest.raises(UsageError, match=r"street.*no pose teacher"):
        gather_people(mix, tmp_path, None, lambda line: None)


def test_a_mix_names_its_pose_teacher(tmp_path):
    path = tmp_path / "mix.yaml"
    path.write_text("pose_teacher: {network: t.onnx}\nsources:\n  - {name: a, kind: clip, path: a.mp4, share: 1}\n")
    assert load_mix(path, tmp_path).pose_teacher == PoseTeacherEntry("t.onnx")
    path.write_text("pose_teacher: {net: t.onnx}\nsources: []\n")
    with pytest.raises(UsageError, match=r"pose_teacher: unknown key 'net'"):
        load_mix(path, tmp_path)


def test_a_detector_is_no_pose_teacher():
    with pytest.raises(UsageError, match="task 'detect'"):
        open_pose_teacher("efficientdet-nano")


def test_network_input_is_normalised_rgb():
    image = np.zeros((1, 2, 3, 3), np.uint8)
    image[..., 2] = 255  # red, in BGR
    x = network_input(image)
    assert x.shape == (1, 3, 2, 3)
    np.testing.assert_allclose(x[0, :, 0, 0], [(1 - 0.485) / 0.229, -0.456 / 0.224, -0.406 / 0.225], rtol=1e-5)
