"""The renderer of the sample clips: what it draws must be repeatable, and what it says about it must be true."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tools.render_samples import CATEGORIES, SCENES, Annotation, exercise, render_scene, skeleton  # noqa: E402
from tools.render_samples.__main__ import SHIPPED, main  # noqa: E402
from tools.render_samples.camera import Camera  # noqa: E402
from tools.render_samples.canvas import Canvas  # noqa: E402
from tools.render_samples.light import Light  # noqa: E402
from tools.render_samples.mesh import box, ellipsoid, vertex_normals  # noqa: E402
from tools.render_samples.motion import walk  # noqa: E402
from tools.render_samples.noise import Noise, noise_tile  # noqa: E402
from tools.render_samples.paints import Plain  # noqa: E402
from tools.render_samples.person import Person  # noqa: E402
from tools.render_samples.raster import rasterise  # noqa: E402
from tools.render_samples.routes import Route, walking  # noqa: E402
from tools.render_samples.scene import QUALITIES  # noqa: E402
from tools.render_samples.scenery import Scenery  # noqa: E402
from tools.render_samples.truth import coco, mot  # noqa: E402
from tools.render_samples.vehicle import Vehicle  # noqa: E402
from tools.render_samples.wardrobe import draw_appearance  # noqa: E402

SMALL = (160, 96)


def first(scene: str, seed: int, count: int = 1) -> list[tuple[np.ndarray, list[Annotation]]]:
    frames = render_scene(scene, seed, SMALL, 25)
    return [next(frames) for _ in range(count)]


@pytest.mark.parametrize("scene", SCENES)
def test_a_seed_gives_the_same_frames_and_truth_every_time(scene: str) -> None:
    (image, annotations), (again, same) = first(scene, 5)[0], first(scene, 5)[0]
    assert np.array_equal(image, again)
    assert [item.track for item in annotations] == [item.track for item in same]
    assert all(np.array_equal(a.box, b.box) for a, b in zip(annotations, same, strict=True))


@pytest.mark.parametrize("scene", SCENES)
def test_frames_and_annotations_have_the_promised_form(scene: str) -> None:
    width, height = SMALL
    for image, objects in first(scene, 11, 2):
        assert image.shape == (height, width, 3) and image.dtype == np.uint8
        assert 30 < image.mean() < 200 and image.std() > 15
        assert objects and len({item.track for item in objects}) == len(objects)
        for item in objects:
            assert item.category in CATEGORIES and 0 <= item.visibility <= 1
            x1, y1, x2, y2 = item.box
            assert 0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height
            assert (item.keypoints is not None) == (item.category == 1)


def test_other_seeds_give_other_scenes() -> None:
    assert not np.array_equal(first("plaza", 1)[0][0], first("plaza", 2)[0][0])


@pytest.mark.slow
def test_an_identity_moves_little_from_frame_to_frame() -> None:
    frames = first("street", 9, 6)
    for (_, before), (_, after) in zip(frames, frames[1:], strict=False):
        known = {item.track: item for item in before if item.visibility > 0.9}
        for item in after:
            if item.track in known and item.visibility > 0.9:
                assert np.abs(item.box - known[item.track].box).max() < 0.12 * SMALL[0]
                assert item.category == known[item.track].category


def test_a_scene_of_one_exercise_shows_it_all_the_time() -> None:
    def lowest_hip(only: str) -> float:
        scene = exercise.build(3, 96, 96, 2.4, only)
        shots = [objects[0] for _, objects in scene.frames(6, 2.5, QUALITIES["fast"])]
        ankle = np.mean([shot.keypoints[15:17, 1].max() for shot in shots])
        return float(max(shot.keypoints[11:13, 1].max() for shot in shots) - ankle)

    # In squats the hips come near the ankles; in jumping jacks they never do.
    assert lowest_hip("squat") > lowest_hip("jack") + 6


def test_the_exerciser_s_visible_joints_lie_in_the_box() -> None:
    for _, objects in first("exercise", 3, 3):
        (person,) = objects
        assert person.keypoints is not None and person.visibility > 0.9
        seen = person.keypoints[person.keypoints[:, 2] == 2, :2]
        assert len(seen) >= 10
        assert (seen >= person.box[:2] - 1).all() and (seen <= person.box[2:] + 1).all()
        assert person.box[3] - person.box[1] > 0.4 * SMALL[1]


@pytest.mark.parametrize(("arguments", "named"), [(("moon", 1), "moon"), (("plaza", 1, SMALL, 1, 25.0, "best"), "best")])
def test_unknown_scenes_and_qualities_are_refused_by_name(arguments: tuple[object, ...], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        render_scene(*arguments)  # type: ignore[arg-type]


# The rasteriser and the camera


def test_a_triangle_covers_its_area_in_pixels() -> None:
    screen = np.array([[10.0, 10, 2], [10, 90, 2], [90, 10, 2]])
    fragments = rasterise(screen, np.array([[0, 1, 2]]), 100, 100)
    assert len(fragments.pixel) == pytest.approx(80 * 80 / 2, rel=0.02)
    assert not len(rasterise(screen, np.array([[0, 2, 1]]), 100, 100).pixel), "seen from behind"


def test_the_nearer_of_two_triangles_wins_every_pixel_they_share() -> None:
    square = np.array([[0.0, 0], [0, 50], [50, 0]])
    screen = np.concatenate([np.column_stack([square, np.full(3, 4.0)]), np.column_stack([square, np.full(3, 2.0)])])
    fragments = rasterise(screen, np.array([[0, 1, 2], [3, 4, 5]]), 50, 50)
    assert set(fragments.face) == {1} and np.allclose(fragments.inverse_depth, 0.5)


def test_values_are_interpolated_in_perspective() -> None:
    camera = Camera((0.0, 0.0, 1.5), 0.1, 0.3, 120.0, 160, 96)
    corners = np.array([[-2.0, 3, 0], [2, 3, 0], [2, 9, 0], [-2, 9, 0]])
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    fragments = rasterise(camera.project(corners), faces, 160, 96)
    found = fragments.interpolate(faces, corners[:, :2].astype(np.float32))
    wanted = [camera.ground_point(pixel % 160 + 0.5, pixel // 160 + 0.5) for pixel in fragments.pixel]
    assert len(found) > 1000 and np.abs(found - wanted).max() < 0.01


@pytest.mark.parametrize(("yaw", "pitch"), [(0.0, 0.2), (0.6, 0.4), (-1.1, 0.05)])
def test_the_ground_homography_agrees_with_the_projection(yaw: float, pitch: float) -> None:
    camera = Camera((0.5, -1.0, 4.0), yaw, pitch, 500.0, 640, 360)
    point = np.array([camera.position[0] + 12 * np.sin(yaw) + 1, camera.position[1] + 12 * np.cos(yaw), 0.0])
    x, y, depth = camera.project(point)
    assert depth > 5
    assert np.allclose(camera.ground_point(x, y), point[:2], atol=1e-6)
    assert np.allclose(camera.position + depth * camera.rays()[180, 320], [*camera.position], atol=depth * 1.1)
    ray = camera.scaled(2).project(point)
    assert np.allclose(ray[:2], [2 * x, 2 * y])


@pytest.mark.parametrize("shape", [ellipsoid(np.zeros(3), np.array([1.0, 2.0, 0.5])), box(-np.ones(3), np.ones(3), 0.2)])
def test_faces_turn_their_outsides_outward(shape: tuple[np.ndarray, np.ndarray]) -> None:
    vertices, faces = shape
    assert ((vertex_normals(vertices, faces) * vertices).sum(1) > 0).all()


def test_noise_repeats_without_a_seam() -> None:
    tile = noise_tile(np.random.default_rng(0), 128, 4, 4)
    inside = np.abs(np.diff(tile, axis=1)).mean()
    assert np.abs(tile[:, 0] - tile[:, -1]).mean() < 2 * inside
    noise = Noise(np.random.default_rng(0), 128)
    places = np.linspace(-1, 1, 40)
    assert np.allclose(noise(places, places * 0.5), noise(places + 3, places * 0.5 - 2), atol=1e-4)


# The skeleton and how it moves


@pytest.mark.parametrize("target", [(-0.1, 0.0, 0.075), (-0.15, 0.4, 0.1), (-0.12, 0.2, 0.5), (-0.3, -0.15, 0.09)])
def test_inverse_kinematics_puts_the_ankle_where_it_is_wanted(target: tuple[float, float, float]) -> None:
    rest = skeleton.rest_joints()
    pose = skeleton.Pose.standing(np.zeros(3), 0.0)
    pose.lift = -0.12
    skeleton.place_leg(pose, rest, 1.0, "left", np.array(target), np.array([-0.2, 1.0, 0.0]))
    _, joints = skeleton.forward(rest, pose)
    assert np.allclose(joints[skeleton.INDEX["left_foot"]], target, atol=2e-3)
    knee, hip = joints[skeleton.INDEX["left_shin"]], joints[skeleton.INDEX["left_thigh"]]
    assert np.linalg.norm(knee - hip) == pytest.approx(skeleton.THIGH, abs=2e-3)
    assert knee[1] > (hip[1] + target[1]) / 2, "knees bend forward"


@pytest.mark.parametrize("phase", np.linspace(0, 1, 7))
def test_a_walker_always_has_a_sole_on_the_ground(phase: float) -> None:
    rest = skeleton.rest_joints()
    world, joints = skeleton.forward(rest, walk(rest, 0.95, np.zeros(3), 0.4, float(phase), 1.0, np.zeros(4)), 0.95)
    feet = [skeleton.INDEX["left_foot"], skeleton.INDEX["right_foot"]]
    soles = [joints[foot] + world[foot] @ (np.array([0, y, -0.075]) * 0.95) for foot in feet for y in (-0.06, 0.13)]
    assert min(sole[2] for sole in soles) == pytest.approx(0, abs=0.02)
    assert skeleton.keypoints(world, joints, 0.95).shape == (17, 3)


def test_a_route_keeps_its_speed_and_waits_at_its_stop() -> None:
    route = Route(np.array([[0.0, 0], [20, 0]]), 1.5, [(6.0, 2.0)], seconds=14)
    travelled = np.array([route.at(t)[3] for t in np.arange(0, 14, 0.1)])
    steps = np.diff(travelled)
    assert (steps >= -1e-9).all() and steps.max() <= 0.151
    assert (np.abs(travelled - 6.0) < 0.1).sum() >= 20
    assert travelled[-1] > 10


# What hides what


@pytest.fixture
def stage() -> Iterator[tuple[Canvas, Scenery, Noise]]:
    noise = Noise(np.random.default_rng(0), 128)
    light = Light(np.array([0.3, -0.5, 0.81]), np.full(3, 2.0), np.full(3, 0.7), np.full(3, 0.3), 0.01)
    scenery = Scenery(Plain(np.full(3, 0.2), noise), [], light, noise)
    camera = Camera((0.0, -9.0, 1.6), 0.0, 0.08, 260.0, 240, 160)
    yield Canvas(camera, light, scenery.bake(camera)), scenery, noise


def _person(track: int, y: float, scenery: Scenery, noise: Noise) -> Person:
    look = draw_appearance(np.random.default_rng(4))
    still = walking(Route(np.array([[0.0, y], [0.0, y + 1]]), 1e-3, seconds=1), look.scale, "look", np.zeros(4))
    return Person(track, look, still, scenery.sunlight, noise)


def test_a_person_behind_a_car_is_known_to_be_hidden(stage: tuple[Canvas, Scenery, Noise]) -> None:
    canvas, scenery, noise = stage
    person = _person(1, 3.0, scenery, noise)
    still = (np.array([0.0, 0.0]), 1.5, 0.0)
    van = Vehicle(2, "van", np.random.default_rng(0), lambda _: still, scenery.sunlight, noise)
    found = []
    for actors in ([person], [person, van]):
        canvas.begin()
        for actor in actors:
            actor.update(0.0)
            actor.cast(canvas)
        canvas.light_ground()
        for actor in actors:
            actor.draw(canvas)
        seen = int((canvas.owner == 1).sum())
        annotation = person.annotation(canvas, seen, 1.0)
        assert annotation is not None and annotation.keypoints is not None
        found.append(annotation)
    alone, behind = found
    assert alone.visibility > 0.95 and behind.visibility < 0.2
    assert np.array_equal(alone.box, behind.box), "a box is that of the whole object"
    assert alone.keypoints is not None and behind.keypoints is not None
    assert (alone.keypoints[:, 2] == 2).sum() >= 8
    assert (behind.keypoints[5:, 2] == 1).all() and np.array_equal(alone.keypoints[:, :2], behind.keypoints[:, :2])


def test_a_shadow_darkens_the_ground_away_from_the_sun(stage: tuple[Canvas, Scenery, Noise]) -> None:
    canvas, scenery, noise = stage
    person = _person(1, 0.0, scenery, noise)
    canvas.begin()
    before = canvas.colour.copy()
    person.update(0.0)
    person.cast(canvas)
    canvas.light_ground()
    ratio = (canvas.colour / before).mean(-1)
    rows, columns = np.nonzero(ratio < 0.6)
    x, y, _ = canvas.camera.project(np.array([0.0, 0.0, 0.0]))
    assert len(rows) > 50 and columns.mean() < x and rows.mean() < y
    assert ratio.max() < 1.001


# Files


def _annotation(track: int, visibility: float, keypoints: bool) -> Annotation:
    points = np.column_stack([np.arange(17), np.arange(17), np.r_[np.zeros(5), np.ones(4), np.full(8, 2)]]).astype(np.float32)
    return Annotation(track, 1 if keypoints else 3, np.array([10, 20, 40, 80], np.float32), visibility, points if keypoints else None)


def test_coco_and_mot_hold_the_same_objects() -> None:
    frames = [[_annotation(1, 1.0, True), _annotation(2, 0.05, False)], [_annotation(2, 0.5, False)]]
    document = coco("clip.mp4", frames, 160, 96, 25)
    assert [(a["image_id"], a["track_id"], a["bbox"]) for a in document["annotations"]] == [
        (0, 1, [10.0, 20.0, 30.0, 60.0]),
        (1, 2, [10.0, 20.0, 30.0, 60.0]),
    ]
    person = document["annotations"][0]
    assert len(person["keypoints"]) == 51 and person["num_keypoints"] == 12
    assert [image["id"] for image in document["images"]] == [0, 1]
    assert mot(frames).splitlines() == ["1,1,10.00,20.00,30.00,60.00,1,1,1.000", "2,2,10.00,20.00,30.00,60.00,1,3,0.500"]


def test_the_command_writes_a_playable_clip_and_its_truth(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--scene", "exercise", "--seconds", "0.12", "--size", "128x96", "--quality", "fast", "--seed", "2", "--out", str(tmp_path)]
    assert main(arguments) == 0
    with av.open(str(tmp_path / "exercise.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt, stream.average_rate) == ("h264", "yuv420p", 25)
        assert sum(1 for _ in container.decode(stream)) == 3
    document = json.loads((tmp_path / "exercise.coco.json").read_text())
    assert len(document["images"]) == 3 and len(document["annotations"]) == 3
    assert len((tmp_path / "exercise.mot.txt").read_text().splitlines()) == 3
    assert "exercise.mp4" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--size", "99x64", "even"),
        ("--size", "big", "WIDTHxHEIGHT"),
        ("--seconds", "-1", "between"),
        ("--scene", "moon", "plaza"),
        ("--fps", "0", "fps"),
    ],
)
def test_bad_options_are_usage_errors(option: str, value: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([option, value, "--out", str(tmp_path)])
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err


SHIPPED_SO_FAR = sorted(path.stem for path in (ROOT / "sample_videos").glob("*.mp4"))


def test_the_demo_s_clip_is_shipped() -> None:
    assert "plaza" in SHIPPED_SO_FAR and set(SHIPPED_SO_FAR) <= set(SHIPPED)


@pytest.mark.parametrize("scene", SHIPPED_SO_FAR)
def test_the_shipped_clips_are_small_and_match_their_truth(scene: str) -> None:
    path = ROOT / "sample_videos" / f"{scene}.mp4"
    assert path.stat().st_size <= 3_000_000
    document = json.loads(path.with_suffix(".coco.json").read_text())
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        frames = sum(1 for packet in container.demux(stream) if packet.size)
        assert (stream.width, stream.height) == (document["images"][0]["width"], document["images"][0]["height"]) == SHIPPED[scene][2]
    assert frames == len(document["images"])
    assert 8 <= frames / 25 <= 15
    lines = path.with_name(f"{scene}.mot.txt").read_text().splitlines()
    assert len(lines) == len(document["annotations"]) > frames / 2
