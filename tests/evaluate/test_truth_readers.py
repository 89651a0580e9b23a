"""Every reader on a small folder of the published layout; whatever is not of it ends in one clear line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from skipvid.core.errors import SourceError
from skipvid.core.labels import COCO_KEYPOINTS, COCO_LABELS
from skipvid.core.results import Frame
from skipvid.evaluate.coco import read_coco
from skipvid.evaluate.detrac import VEHICLE, read_detrac
from skipvid.evaluate.jhmdb import JOINTS, coco_columns, read_jhmdb, read_joints_json
from skipvid.evaluate.mot import read_mot
from skipvid.evaluate.truth import FrameTruth, LabelledClip

SAMPLES = Path(__file__).parents[2] / "sample_videos"


def test_a_coco_file_of_a_video_is_read_by_frame() -> None:
    clip = read_coco(SAMPLES / "plaza.coco.json", str(SAMPLES / "plaza.mp4"))
    data = json.loads((SAMPLES / "plaza.coco.json").read_text())
    assert len(clip.frames) == len(data["images"]) and clip.keypoint_names == COCO_KEYPOINTS
    first = clip.frames[0]
    assert first.boxes[0].tolist() == [207, 278, 272, 404] and first.category_ids[0] == 1 and first.object_areas[0] == 8190
    assert first.keypoints is not None and first.keypoints.shape == (len(first), 17, 3)


def test_a_coco_file_of_pictures_is_read_by_name_and_categories_by_theirs(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    content = {
        "images": [{"id": 7, "file_name": "sub/b.jpg"}, {"id": 8, "file_name": "a.jpg"}],
        "categories": [{"id": 1, "name": "Car"}, {"id": 2, "name": "unicorn"}],
        "annotations": [
            {"image_id": 7, "category_id": 1, "bbox": [1, 2, 3, 4], "iscrowd": 1, "area": 12},
            {"image_id": 7, "category_id": 2, "bbox": [1, 2, 0, 4]},
        ],
    }
    (tmp_path / "truth.json").write_text(json.dumps(content))
    clip = read_coco(tmp_path / "truth.json", str(tmp_path / "pictures"))
    assert set(clip.by_file) == {"a.jpg", "sub/b.jpg"} and len(clip.by_file["a.jpg"]) == 0
    assert clip.by_file["sub/b.jpg"].category_ids.tolist() == [3] and clip.by_file["sub/b.jpg"].crowd.tolist() == [True]


def test_a_picture_is_found_by_its_file_even_with_other_folders_before_it() -> None:
    truths = {name: FrameTruth.of([]) for name in ("left/1.jpg", "right/1.jpg", "val/2.jpg")}
    clip = LabelledClip("c", "folder", by_file=truths)

    def found(file: str) -> FrameTruth | None:
        return clip.of(Frame(np.zeros((2, 2, 3), np.uint8), 0, 0.0, "folder", file=file))

    assert found("right/1.jpg") is truths["right/1.jpg"] and found("data/left/1.jpg") is truths["left/1.jpg"]
    assert found("2.jpg") is truths["val/2.jpg"] and found("1.jpg") is None and found("3.jpg") is None


def test_mot_rows_keep_their_class_and_what_does_not_count(tmp_path: Path) -> None:
    path = tmp_path / "gt.txt"
    path.write_text("2,1,10,20,30,40,1,1,1\n2,2,0,0,5,5,0,1,1\n4,3,0,0,5,5,1,3,0.1\n4,4,0,0,5,5,1,8,1\n")
    clip = read_mot(path, "clip.mp4", least_visible=0.25)
    assert sorted(clip.frames) == [1, 2, 3] and len(clip.frames[2]) == 0
    assert clip.frames[1].boxes[0].tolist() == [10, 20, 40, 60] and clip.frames[1].crowd.tolist() == [False, True]
    assert clip.frames[3].category_ids.tolist() == [3, 0] and clip.frames[3].crowd.all()
    assert read_mot(SAMPLES / "plaza.mot.txt", "plaza.mp4").frames[0].boxes[0].tolist() == [207, 278, 272, 404]


def test_a_class_that_the_network_does_not_know_is_none_of_its_classes(tmp_path: Path) -> None:
    path = tmp_path / "truth.json"
    names = {1: "unicorn", 2: "Pedestrian", 3: "helmet", 7: "car"}
    content = {
        "images": [{"id": 0}],
        "categories": [{"id": number, "name": name} for number, name in names.items()],
        "annotations": [{"image_id": 0, "category_id": number, "bbox": [1, 2, 3, 4], "visibility": None} for number in names],
    }
    path.write_text(json.dumps(content))
    unicorn, person, helmet, car = read_coco(path, "clip.mp4").frames[0].category_ids.tolist()
    assert person == 1 and car == 3 and not {unicorn, helmet} & set(COCO_LABELS.categories)
    own = read_coco(path, "clip.mp4", {1: "vest", 2: "helmet"}).frames[0].category_ids.tolist()
    assert own[2] == 2 and not {own[0], own[1], own[3]} & {1, 2}, "numbers are the network's, by name"


def test_a_byte_order_mark_and_windows_line_ends_and_paths_change_nothing(tmp_path: Path) -> None:
    mark = b"\xef\xbb\xbf"
    content = {
        "images": [{"id": 0, "file_name": "sub\\a.jpg"}],
        "categories": [{"id": 1, "name": "person"}],
        "annotations": [{"image_id": 0, "category_id": 1, "bbox": [1, 2, 3, 4]}],
    }
    (tmp_path / "truth.json").write_bytes(mark + json.dumps(content).encode())
    assert read_coco(tmp_path / "truth.json", str(tmp_path)).by_file.keys() == {"sub/a.jpg"}
    (tmp_path / "gt.txt").write_bytes(mark + b"1,1,10,20,30,40,1,1,1\r\n2,1,10,20,30,40,1,1,1\r\n")
    assert sorted(read_mot(tmp_path / "gt.txt", "clip.mp4").frames) == [0, 1]
    split = write_jhmdb(tmp_path) / "splits" / "walk_test_split1.txt"
    split.write_bytes(mark + b"clip_a.avi 2 \r\nclip_b.avi 1 \r\n")
    assert [clip.name for clip in read_jhmdb(tmp_path)] == ["clip_a"]


def test_boxes_without_an_area_are_no_objects(tmp_path: Path) -> None:
    (tmp_path / "gt.txt").write_text("1,1,10,20,0,40,1,1,1\n1,2,10,20,30,-4,1,1,1\n1,3,10,20,30,40,1,1,1\n")
    assert read_mot(tmp_path / "gt.txt", "clip.mp4").frames[0].boxes.tolist() == [[10, 20, 40, 60]]
    (clip,) = read_detrac(write_detrac(tmp_path, DETRAC.replace('height="162.2"', 'height="0"')))
    assert len(clip.frames[0]) == 2


def pictures(folder: Path, names: list[str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


def truth_in(clip: LabelledClip, file: str, place: int) -> list[list[float]]:
    found = clip.of(Frame(np.zeros((2, 2, 3), np.uint8), place, 0.0, "folder", file=file))
    assert found is not None
    return found.boxes.tolist()


def test_a_picture_that_is_missing_moves_no_other(tmp_path: Path) -> None:
    (clip,) = read_detrac(write_detrac(tmp_path))
    assert truth_in(clip, "img00003.jpg", 1)[0] == [11, 20, 41, 70] and truth_in(clip, "img00002.jpg", 1) == truth_in(clip, "", 1)
    truth = tmp_path / "gt.txt"
    truth.write_text("".join(f"{frame},1,{frame},0,9,9,1,1,1\n" for frame in range(1, 6)))
    for kept in ([1, 2, 4, 5], [2, 4, 5], [3, 4, 5], [1, 2, 3, 4, 5]):
        folder = pictures(tmp_path / str(kept), [f"{number:06d}.jpg" for number in kept])
        clip = read_mot(truth, str(folder))
        assert [truth_in(clip, f"{number:06d}.jpg", place)[0][0] for place, number in enumerate(kept)] == kept
    others = pictures(tmp_path / "others", [f"{number}.jpg" for number in range(100, 105)])  # cut out of more, and counted anew
    assert truth_in(read_mot(truth, str(others)), "102.jpg", 2)[0][0] == 3


def test_corrected_annotations_of_ua_detrac_come_before_the_first(tmp_path: Path) -> None:
    folder = write_detrac(tmp_path)
    old = folder / "DETRAC-Train-Annotations-XML" / "MVI_20011.xml"
    old.with_name("MVI_20011_v3.xml").write_text(DETRAC.replace('left="10"', 'left="12"'))
    (clip,) = read_detrac(folder)
    assert clip.name == clip.group == "MVI_20011" and clip.frames[0].boxes[1].tolist() == [12, 20, 42, 70]
    old.unlink()
    assert [clip.name for clip in read_detrac(folder)] == ["MVI_20011"]


DETRAC = """<?xml version="1.0" encoding="utf-8"?>
<sequence name="MVI_20011">
  <sequence_attribute camera_state="unstable" sence_weather="sunny"/>
  <ignored_region><box height="53.75" left="778.75" top="24.75" width="181.75"/></ignored_region>
  <frame density="2" num="1"><target_list>
    <target id="1"><box height="162.2" left="592.75" top="378.8" width="160.05"/><attribute vehicle_type="car"/></target>
    <target id="2"><box height="50" left="10" top="20" width="30"/><attribute vehicle_type="bus"/></target>
  </target_list></frame>
  <frame density="1" num="3"><target_list>
    <target id="2"><box height="50" left="11" top="20" width="30"/></target>
  </target_list></frame>
</sequence>
"""


def write_detrac(folder: Path, text: str = DETRAC) -> Path:
    pictures = folder / "DETRAC-train-data" / "Insight-MVT_Annotation_Train" / "MVI_20011"
    pictures.mkdir(parents=True)
    (folder / "DETRAC-Train-Annotations-XML").mkdir()
    (folder / "DETRAC-Train-Annotations-XML" / "MVI_20011.xml").write_text(text)
    return folder


def test_ua_detrac_is_read_in_its_published_layout(tmp_path: Path) -> None:
    (clip,) = read_detrac(write_detrac(tmp_path))
    assert clip.name == "MVI_20011" and clip.source.endswith("MVI_20011") and sorted(clip.frames) == [0, 1, 2]
    first = clip.frames[0]
    assert first.category_ids.tolist() == [VEHICLE, VEHICLE, 0] and first.crowd.tolist() == [False, False, True]
    assert first.boxes[0].tolist() == pytest.approx([592.75, 378.8, 752.8, 541.0])
    assert clip.frames[1].crowd.tolist() == [True], "a frame without a vehicle still has its ignored regions"


def write_jhmdb(folder: Path) -> Path:
    savemat = pytest.importorskip("scipy.io").savemat
    for kind, name, split in (("walk", "clip_a", 2), ("walk", "clip_b", 1)):
        labels, pictures = folder / "joint_positions" / kind / name, folder / "Rename_Images" / kind / name
        labels.mkdir(parents=True)
        pictures.mkdir(parents=True)
        points = np.stack(np.meshgrid(np.arange(15.0) * 10 + 1, np.arange(3.0) + 101, indexing="ij")[:2]).astype(np.float64)
        points[0, 14] = 400  # outside the picture
        savemat(labels / "joint_positions.mat", {"pos_img": points, "scale": np.ones((1, 3))})
        (folder / "splits").mkdir(exist_ok=True)
        with (folder / "splits" / "walk_test_split1.txt").open("a") as file:
            file.write(f"{name}.avi {split} \n")
    return folder


def test_jhmdb_is_read_in_its_published_layout(tmp_path: Path) -> None:
    (clip,) = read_jhmdb(write_jhmdb(tmp_path))
    assert clip.name == "clip_a" and len(clip.frames) == 3 and clip.keypoint_names == JOINTS
    keypoints = clip.frames[2].keypoints
    assert keypoints is not None and keypoints[0, 3].tolist() == [30, 102, 2], "0-based pixels"
    assert keypoints[0, 14, 2] == 0, "outside the picture is not labelled"
    assert {clip.name for clip in read_jhmdb(tmp_path, split=None)} == {"clip_a", "clip_b"}


def test_a_clip_of_one_frame_and_joints_that_are_no_numbers(tmp_path: Path) -> None:
    mat = write_jhmdb(tmp_path) / "joint_positions" / "walk" / "clip_a" / "joint_positions.mat"
    points = np.full((2, 15), 50.0)
    points[:, 3] = np.nan
    pytest.importorskip("scipy.io").savemat(mat, {"pos_img": points})  # MATLAB keeps no last dimension of one
    (clip,) = read_jhmdb(tmp_path)
    keypoints = clip.frames[0].keypoints
    assert len(clip.frames) == 1 and keypoints is not None and np.isfinite(keypoints).all() and keypoints[0, 3, 2] == 0


def test_joints_are_matched_to_cocos_by_name() -> None:
    own, other = coco_columns(JOINTS, COCO_KEYPOINTS)
    pairs = {JOINTS[a]: COCO_KEYPOINTS[b] for a, b in zip(own, other, strict=True)}
    assert pairs.pop("face") == "nose" and all(a == b for a, b in pairs.items()) and len(pairs) == 12


@pytest.mark.realdata
def test_the_json_of_the_shared_jhmdb_clips_is_read(data: Path) -> None:
    clips = read_joints_json(data / "sequences" / "jhmdb" / "joints.json")
    assert len(clips) == 24 and all(Path(clip.source).is_file() for clip in clips)
    assert all(truth.keypoints is not None for clip in clips for truth in clip.frames.values() if len(truth))


def broken(folder: Path, kind: str) -> None:
    """Call a reader on something that is not what it reads."""
    path = folder / "file"
    if kind == "coco":
        path.write_text('{"images": [{"id": 1}], "categories": [], "annotations": [{"image_id": 1}]}')
        read_coco(path, "clip.mp4")
    elif kind == "mot":
        path.write_text("1,1,2,3,4,5,1\n1,2,x,3,4,5,1\n")
        read_mot(path, "clip.mp4")
    elif kind == "detrac xml":
        read_detrac(write_detrac(folder, "<annotation/>"))
    elif kind == "detrac":
        read_detrac(folder)
    elif kind == "jhmdb":
        read_jhmdb(folder, split=None)
    elif kind.startswith("coco "):
        box = {"coco box": "[1, 2, 3]", "coco number": "[NaN, 2, 3, 4]", "coco huge": f"[1, 2, 3, {10**400}]"}[kind]
        annotation = f'{{"id": 5, "image_id": 1, "category_id": 1, "bbox": {box}}}'
        path.write_text(f'{{"images": [{{"id": 1}}], "categories": [{{"id": 1, "name": "car"}}], "annotations": [{annotation}]}}')
        read_coco(path, "clip.mp4")
    elif kind == "gone":
        read_coco(path, "clip.mp4")
    elif kind == "mot number":
        path.write_text("1,1,2,inf,4,5,1\n")
        read_mot(path, "clip.mp4")
    elif kind == "mot first":
        path.write_text("0,1,2,3,4,5,1\n1,1,2,3,4,5,1\n")
        read_mot(path, "clip.mp4")
    elif kind == "detrac first":
        read_detrac(write_detrac(folder, DETRAC.replace('num="1"', 'num="0"')))
    elif kind in ("mat empty", "mat 7.3"):
        head = b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + bytes(100)
        (write_jhmdb(folder) / "joint_positions/walk/clip_a/joint_positions.mat").write_bytes(b"" if kind == "mat empty" else head)
        read_jhmdb(folder)
    elif kind == "split without a clip":
        (write_jhmdb(folder) / "splits" / "walk_test_split1.txt").write_text("clip_a.avi 1\n")
        read_jhmdb(folder)
    elif kind == "split":
        read_jhmdb(folder)
    else:
        path.write_text('{"joint_names": ["neck"], "width": 3, "height": 3, "clips": {}}')
        read_joints_json(path)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("coco", "not a COCO file"),
        ("coco box", "annotation 5 has the bbox"),
        ("coco number", "annotation 5 has the bbox"),
        ("coco huge", "not a COCO file .OverflowError"),
        ("gone", "file: cannot be read: No such file"),
        ("mot", "line 2: not a row of a MOT file"),
        ("mot number", "line 1: not a row of a MOT file"),
        ("mot first", "frame 0 comes before the first, 1; add --first-frame 0"),
        ("detrac first", "frame 0: they are counted from 1"),
        ("mat empty", "not a joint_positions.mat of JHMDB"),
        ("mat 7.3", "MATLAB 7.3.*save"),
        ("split without a clip", "none of its clips is a test clip of split 1"),
        ("detrac xml", "not an annotation file of UA-DETRAC: its root is <annotation>"),
        ("detrac", "no sequence of UA-DETRAC"),
        ("jhmdb", "no labelled clip of JHMDB"),
        ("split", "no \\*_test_split1.txt"),
        ("joints", "not a file of joints"),
    ],
)
def test_what_is_not_of_the_layout_is_named(tmp_path: Path, kind: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        broken(tmp_path, kind)


@pytest.mark.parametrize(
    ("text", "message"), [("", "it is empty"), ("{", "no JSON: Expecting property name"), ('{"images": []}', "'categories' is missing")]
)
def test_why_a_file_is_not_of_coco_is_said_in_words(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "truth.json"
    path.write_text(text)
    with pytest.raises(SourceError, match=message) as refused:
        read_coco(path, "clip.mp4", {})
    assert "Error" not in str(refused.value)


@pytest.mark.parametrize(
    ("size", "fits"), [({"width": 6, "height": 4}, True), ({"width": 4, "height": 6}, False), ({"width": 0}, True), ({}, True)]
)
def test_the_truth_of_a_clip_of_another_size_is_refused(tmp_path: Path, size: dict[str, int], fits: bool) -> None:
    """Its boxes would lie elsewhere, and nothing would ever be lost by them."""
    (tmp_path / "truth.json").write_text(json.dumps({"images": [{"id": 0, **size}], "categories": [], "annotations": []}))
    clip = read_coco(tmp_path / "truth.json", "clip.mp4")
    frame = Frame(np.zeros((4, 6, 3), np.uint8), 0, 0.0, "clip.mp4")
    if fits:
        assert clip.of(frame) is not None
    else:
        with pytest.raises(SourceError, match="clip: the truth is about pictures of 4 x 6 pixels, frame 0 has 6 x 4"):
            clip.of(frame)
