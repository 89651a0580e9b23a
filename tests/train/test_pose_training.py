"""Pose training: views of a person keep joints on their pixels, heat maps decode to the joints, OKS is COCO's, a network learns."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from by_heart import UNDISTORTED, coloured, learn_people, people
from click.testing import CliRunner

from skipvid.cli.app import cli
from skipvid.core.errors import UsageError
from skipvid.models import build_model, load_weights
from skipvid.models.heatmaps import COCO_TOLERANCES, STRIDE, decode_heatmaps
from skipvid.presets.preset import load_preset
from skipvid.train.loop import Schedule
from skipvid.train.oks import grade_people, near, oks
from skipvid.train.people import ABSENT, JOINTS, MIRRORED, PRESENT, UNKNOWN, Person
from skipvid.train.pose import heat_loss
from skipvid.train.pose_augment import PersonBatches, PoseAugment, draw_heat, vary
from skipvid.train.pose_teacher import PoseTeacher, heat_of

TURNED = PoseAugment(p_hidden=0, p_far=0, distortion=UNDISTORTED)
"""All changes of place, none of colour."""


@pytest.mark.parametrize("seed", range(12))
def test_a_varied_person_has_every_joint_on_its_own_dot(seed):
    person, colours = coloured(seed)
    image, joints, states = vary(person, (256, 192), np.random.default_rng(seed), TURNED)
    seen = np.flatnonzero(states == PRESENT)
    assert len(seen) >= 4
    mirrored = [image[int(round(y)), int(round(x))].astype(int) for x, y in joints[seen]]
    # Mirroring exchanges left and right: the dot of a left joint is then found where the right one is said to be.
    direct = [np.abs(colour - colours[joint]).max() for colour, joint in zip(mirrored, seen, strict=True)]
    swapped = [np.abs(colour - colours[MIRRORED[joint]]).max() for colour, joint in zip(mirrored, seen, strict=True)]
    assert min(max(direct), max(swapped)) < 12


def test_mirroring_happens_about_as_often_as_asked():
    person, _ = coloured()
    still = PoseAugment(scale=0, stretch=0, p_turn=0, shift=0, p_half=0, p_hidden=0, p_far=0, distortion=UNDISTORTED)
    left, right = 5, 6
    before = np.sign(person.joints[left, 0] - person.joints[right, 0])
    after = [vary(person, (256, 192), np.random.default_rng(seed), still)[1] for seed in range(60)]
    flips = sum(np.sign(joints[left, 0] - joints[right, 0]) == before for joints in after)
    # A mirror image exchanges the joints and their sides, so that their order stays.
    assert flips == 60 or 15 < flips < 45


def test_a_joint_outside_the_window_is_absent_and_an_unknown_one_stays_unknown():
    person, _ = coloured()
    states = person.states.copy()
    states[3] = UNKNOWN
    joints = person.joints.copy()
    joints[5] = (-500, -500)
    person = Person(person.image, person.box, joints, states, 1.0, "x")
    still = PoseAugment(p_mirror=0, p_half=0, p_hidden=0, p_far=0, distortion=UNDISTORTED)
    _, _, after = vary(person, (256, 192), np.random.default_rng(1), still)
    assert after[3] == UNKNOWN
    assert after[5] == ABSENT


@pytest.mark.parametrize("size", [(256, 192), (128, 96)])
def test_decoding_the_drawn_heat_maps_gives_the_joints_back(size):
    rng = np.random.default_rng(0)
    joints = (rng.uniform(0.2, 0.8, (1, JOINTS, 2)) * size[::-1]).astype(np.float32)
    present = np.ones((1, JOINTS), bool)
    present[0, 4] = False
    heat = draw_heat(joints, present, size)
    assert heat.shape == (1, JOINTS, size[0] // 4, size[1] // 4)
    found = decode_heatmaps(heat[0])
    np.testing.assert_allclose(found[present[0], :2] * STRIDE, joints[0, present[0]], atol=0.4)
    assert heat[0, 4].max() == 0


def test_batches_are_a_function_of_seed_and_step():
    people = [coloured(seed)[0] for seed in range(4)]
    one, again, other = (PersonBatches(people).batch(4, (64, 64), seed=1, step=step) for step in (5, 5, 6))
    np.testing.assert_array_equal(one.images, again.images)
    np.testing.assert_array_equal(one.heat, again.heat)
    assert not np.array_equal(one.images, other.images)


def test_a_source_without_a_share_is_not_drawn():
    first, second = coloured(0)[0], coloured(1)[0]
    second = Person(second.image[:, :, ::-1].copy(), second.box, second.joints, np.full(JOINTS, UNKNOWN, np.int8), 1.0, "other")
    batch = PersonBatches([first, second], PoseAugment(p_half=0), {"dots": 1.0}).batch(12, (64, 64), seed=0, step=0)
    assert batch.known.all()
    with pytest.raises(UsageError, match="no source has a share"):
        PersonBatches([first], shares={"elsewhere": 1.0})


def test_oks_is_one_for_the_truth_and_falls_as_coco_says():
    person, _ = coloured()
    assert oks(person.joints, person) == 1.0
    moved = person.joints.copy()
    moved[0, 0] += 2 * COCO_TOLERANCES[0] * np.sqrt(person.area)  # one spread of the nose: exp(-1/2)
    assert oks(moved, person) == pytest.approx((16 + np.exp(-0.5)) / 17)
    unlabelled = Person(person.image, person.box, person.joints, np.full(JOINTS, UNKNOWN, np.int8), 1.0, "x")
    assert np.isnan(oks(person.joints, unlabelled))


def test_grading_undoes_the_window():
    """A network that draws the true heat maps of a window gets an OKS of almost one, whatever the person's place in the picture."""
    person, _ = coloured()
    from skipvid.tasks.crops import CropWindow

    window = CropWindow.around(person.box, (256, 192))
    heat = draw_heat(window.to_input(person.joints)[None], np.ones((1, JOINTS), bool), (256, 192))
    grades = grade_people([person], lambda x: heat, (256, 192))
    assert grades["OKS"] > 0.99 and grades["PCK@0.2"] == 1.0


def test_pck_counts_labelled_joints_within_a_fifth_of_the_box():
    person, _ = coloured()  # the longer side of the box is 190
    states = person.states.copy()
    states[16] = UNKNOWN
    person = Person(person.image, person.box, person.joints, states, person.area, "x")
    moved = person.joints.copy()
    moved[0] += (37.9, 0)
    moved[1] += (38.1, 0)
    moved[16] += (1000, 0)
    assert near(moved, person).tolist() == [True, False, *[True] * 14]


def test_the_loss_counts_known_joints_only_and_is_one_for_the_dark():
    wanted = torch.rand(2, JOINTS, 8, 6)
    known = torch.ones(2, JOINTS, dtype=torch.bool)
    assert heat_loss(torch.zeros_like(wanted), wanted, known, near=4.0).item() == pytest.approx(1.0)
    known[:, 3] = False
    found = wanted.clone()
    found[:, 3] += 100
    assert heat_loss(found, wanted, known, near=4.0).item() == 0.0


@pytest.mark.slow
@pytest.mark.parametrize("half_precision", [pytest.param(False, id="float32"), pytest.param(None, id="as the machine does it")])
def test_a_pose_network_learns_a_few_persons_by_heart(tmp_path, half_precision):
    trained = learn_people(tmp_path, half_precision)
    untrained = grade_people(people(4), heat_of(build_model("hrnet-nano").eval()), (128, 96))
    assert trained.grades["OKS"] > 0.6 > 3 * untrained["OKS"]


def keypoint_file(folder: Path) -> Path:
    folder.mkdir()
    annotations, images = [], []
    for seed in range(3):
        person, _ = coloured(seed)
        cv2.imwrite(str(folder / f"{seed}.png"), person.image)
        images.append({"id": seed, "file_name": f"{seed}.png"})
        x1, y1, x2, y2 = (float(value) for value in person.box)
        points = [value for x, y in person.joints.tolist() for value in (x, y, 2)]
        annotations.append({"id": seed, "image_id": seed, "category_id": 1, "bbox": [x1, y1, x2 - x1, y2 - y1], "keypoints": points})
    path = folder / "labels.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "person"}]}))
    return path


def test_the_command_trains_resumes_writes_a_preset_and_grades_it(tmp_path):
    labels = keypoint_file(tmp_path / "set")
    mix = tmp_path / "mix.yaml"
    entry = "kind: coco, path: set, annotations: set/labels.json, share: 1"
    mix.write_text(f"sources:\n  - {{name: a, {entry}}}\n  - {{name: b, {entry}}}\nheld_out: [b]\n")
    call = [
        "train",
        "pose",
        str(mix),
        "--root",
        str(tmp_path),
        "-o",
        str(tmp_path / "run"),
        "--input",
        "64x64",
        "--steps",
        "2",
        "--batch",
        "16",
    ]
    first = CliRunner().invoke(cli, [*call, "--threads", "1", "-q"], catch_exceptions=False)
    assert first.exit_code == 0, first.output
    preset = load_preset(tmp_path / "run" / "my-pose.yaml")
    assert (preset.task, preset.image_size) == ("pose", (64, 64))
    load_weights(build_model("hrnet-nano"), tmp_path / "run" / "weights.pt")
    with pytest.raises(UsageError, match="already holds a run"):
        CliRunner().invoke(cli, [*call, "-q"], catch_exceptions=False)
    grade = ["train", "grade-pose", str(labels), str(labels.parent), "--preset", str(tmp_path / "run" / "my-pose.yaml"), "--threads", "1"]
    graded = CliRunner().invoke(cli, grade, catch_exceptions=False)
    assert graded.exit_code == 0, graded.output
    assert graded.output.startswith("persons\t3\nOKS\t0.")


@pytest.mark.parametrize(
    ("changes", "message"),
    [(["--input", "100x64"], "multiples of 32"), (["--network", "tinypose_256x192"], "no HRNet")],
)
def test_unfit_options_are_refused(tmp_path, changes, message):
    mix = tmp_path / "mix.yaml"
    mix.write_text("sources: []\n")
    with pytest.raises(UsageError, match=message):
        CliRunner().invoke(cli, ["train", "pose", str(mix), "-o", str(tmp_path / "run"), *changes], catch_exceptions=False)


def gym_clip(path: Path) -> Path:
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 240, 320, "yuv420p"
        for _ in range(12):
            for packet in stream.encode(av.VideoFrame.from_ndarray(coloured()[0].image, "bgr24")):
                container.mux(packet)
        for packet in stream.encode(None):
            container.mux(packet)
    return path


class OnePerson:
    """A detector that always finds the same person, from 70, 60 to 170, 250."""

    known = np.array([True, *[False] * 5])

    def detect(self, image):
        from skipvid.train.teachers import Found

        scale = image.shape[1] / 240
        return Found(np.array([[70, 60, 170, 250]], np.float32) * scale, np.ones(1, np.float32), np.zeros(1, np.int64))


def test_a_clip_without_labels_becomes_a_pose_preset(tmp_path, monkeypatch):
    from skipvid.presets.preset import DEFAULT_POSE
    from skipvid.train import distill

    def heat(x):
        maps = np.zeros((len(x), JOINTS, 64, 48), np.float32)
        maps[:, :, 30, 23:25] = 0.9  # the middle: a mirror image leaves it there
        return maps

    monkeypatch.setattr(distill, "open_preset_teacher", lambda name: OnePerson())
    start = tmp_path / "start.pt"
    torch.save(build_model(load_preset(DEFAULT_POSE).model).state_dict(), start)
    schedule = Schedule(1, batch=16, evaluate_every=1)
    arguments = {"name": "my-gym", "stride": 2, "held_out": 0.4, "start": start, "quiet": True, "report": lambda line: None}
    clip = gym_clip(tmp_path / "gym.mp4")
    path = distill.distill_pose(schedule, [clip], PoseTeacher(heat, (256, 192)), tmp_path / "out", **arguments)
    preset = load_preset(path)
    assert preset.task == "pose" and "OKS" in preset.description
    from skipvid.train.people import load_people

    people = load_people(tmp_path / "out" / "labels" / "00-gym.people.npz")
    assert len(people) == 6 and all((person.states == PRESENT).all() for person in people)
    with pytest.raises(UsageError, match="no person"):
        distill.distill_pose(schedule, [clip], PoseTeacher(lambda x: heat(x) * 0.1, (256, 192)), tmp_path / "none", **arguments)
