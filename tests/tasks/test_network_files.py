"""Networks from files through the engine: their presets, what they find, and what is asked when a file says too little."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from file_networks import SIZE, heat_map_file, ultralytics_file, yolov8_file, yolox_file  # noqa: E402
from moving_square import assert_same, frames  # noqa: E402
from onnx_graphs import runtime  # noqa: E402

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

from reference_decodes import chosen, nanodet, yolox  # noqa: E402

from skipvid.core.errors import PresetError, SkipvidError, UsageError, WeightsError  # noqa: E402
from skipvid.core.labels import COCO_KEYPOINTS  # noqa: E402
from skipvid.models.spec import DetectorSpec  # noqa: E402
from skipvid.presets.preset import Preset, dump_preset, load_preset, save_preset  # noqa: E402
from skipvid.skip.config import SkipConfig  # noqa: E402
from skipvid.skip.importers import files  # noqa: E402
from skipvid.skip.importers.onnx_file import read_onnx  # noqa: E402
from skipvid.tasks.detect_engine import DetectEngine  # noqa: E402
from skipvid.tasks.engine import spec_for  # noqa: E402
from skipvid.tasks.network_files import FileChoice, preset_of_file, read_labels  # noqa: E402

THRESHOLD = 0.2


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    path = tmp_path / "labels.txt"
    path.write_text("person\ncar\nkite surfer\n\n")
    return path


def engine_of(preset: Preset, threshold: float = 0.0) -> DetectEngine:
    return DetectEngine(replace(preset, score_threshold=THRESHOLD), SkipConfig(threshold=threshold, threads=1), Path(preset.weights))


def test_yolox_file_finds_what_onnx_runtime_and_the_reference_find(labels: Path, tmp_path: Path) -> None:
    path = yolox_file(tmp_path / "net.onnx")
    preset = preset_of_file(path, "detect", FileChoice(labels=labels))
    assert (preset.head, preset.image_size, preset.channels, preset.labels) == ("yolox", SIZE, "bgr", ("person", "car", "kite surfer"))
    assert preset.std == (1 / 255,) * 3
    engine = engine_of(replace(preset, std=(1.0, 1.0, 1.0)))  # random weights would make boxes of any size of whole bytes
    assert engine.categories == {1: "person", 3: "car", 91: "kite surfer"}
    stream, task = engine.stream(), engine.task()
    for frame in frames(4, SIZE):
        found = stream.process(frame).detections
        rows = runtime(path, task.prepare(frame.image).tensor().numpy())[0][0]
        expected = [each for each in chosen(yolox(rows, SIZE), SIZE, THRESHOLD, 0.45) if min(np.subtract(each[2][2:], each[2][:2])) > 0]
        assert len(expected) > 5
        assert [found.labels[n] for n in range(len(found))] == [("person", "car", "kite surfer")[each[0]] for each in expected]
        np.testing.assert_allclose(found.scores, [each[1] for each in expected], atol=1e-4)
        np.testing.assert_allclose(found.boxes, [each[2] for each in expected], atol=0.02)


def test_gates_skip_and_threshold_zero_is_the_dense_network(labels: Path, tmp_path: Path) -> None:
    engine = engine_of(preset_of_file(yolox_file(tmp_path / "net.onnx"), "detect", FileChoice(labels=labels)))
    gated, dense = engine.stream(), engine.dense_stream()
    for frame in frames(4, SIZE):
        one, other = gated.process(frame), dense.process(frame)
        assert_same(one.detections, other.detections)
    assert one.cost is not None and 0 < one.cost.saving < 1


def test_network_ends_at_its_maps_where_rows_are_nothing_else(labels: Path, tmp_path: Path) -> None:
    engine = engine_of(preset_of_file(yolox_file(tmp_path / "net.onnx"), "detect", FileChoice(labels=labels)))
    program = engine.model.planned(((1, 3, *SIZE),))
    assert not program.fallbacks and len(program.plan.graph.outputs) == 3
    assert engine.task()._make_head(SIZE).levels == ((0,), (1,), (2,))


@pytest.mark.parametrize(("classes", "bins", "masks"), [(3, 16, 0), (64, 16, 0), (3, 1, 0), (32, 16, 32)])
def test_yolov8_is_read_from_the_maps_that_its_rows_are_decoded_from(classes: int, bins: int, masks: int, tmp_path: Path) -> None:
    path, names = yolov8_file(tmp_path / "net.onnx", classes, bins, masks), tmp_path / "names.txt"
    names.write_text("\n".join(f"class {number}" for number in range(classes)))
    preset = preset_of_file(path, "detect", FileChoice(labels=names))
    engine = engine_of(preset)
    assert preset.head == "yolov8" and not engine.model.planned(((1, 3, *SIZE),)).fallbacks
    assert engine.task()._make_head(SIZE).levels == ((0, 3), (1, 4), (2, 5))
    stream, task = engine.stream(), engine.task()
    for frame in frames(3, SIZE):
        found = stream.process(frame).detections
        rows = runtime(path, task.prepare(frame.image).tensor().numpy())[0][0].T
        half = rows[:, 2:4] / 2
        boxes = np.concatenate([rows[:, :2] - half, rows[:, :2] + half], 1)
        scores = rows[:, 4 : 4 + classes]
        expected = chosen((boxes, scores.max(1), scores.argmax(1)), SIZE, THRESHOLD, 0.7)
        expected = [each for each in expected if min(np.subtract(each[2][2:], each[2][:2])) > 0]
        assert len(expected) > 2
        assert list(found.labels) == [f"class {each[0]}" for each in expected]
        np.testing.assert_allclose(found.boxes, [each[2] for each in expected], atol=0.02)
        np.testing.assert_allclose(found.scores, [each[1] for each in expected], atol=1e-4)


def test_yolov8_decoded_in_another_way_is_read_from_its_rows(tmp_path: Path) -> None:
    path = ultralytics_file(tmp_path / "net.onnx", names="['a', 'b', 'c']")
    engine = engine_of(preset_of_file(path, "detect", FileChoice()))
    assert engine.task()._make_head(SIZE).levels == ((0,),)


def test_metadata_gives_names_size_and_stride(tmp_path: Path) -> None:
    names = "{0: 'person', 1: 'forklift', 2: 'pallet'}"
    path = ultralytics_file(tmp_path / "net.onnx", ("height", "width"), names=names, stride="32", imgsz="[64, 96]", task="detect")
    preset = preset_of_file(path, "detect", FileChoice())
    assert (preset.head, preset.labels, preset.image_size, preset.size_multiple) == ("yolov8", ("person", "forklift", "pallet"), 96, 32)
    assert (preset.channels, preset.mean, preset.std) == ("rgb", (0, 0, 0), (1, 1, 1))
    engine = engine_of(preset)
    assert engine.networks(360, 640)[0][2] == (64, 96) and engine.networks(640, 360)[0][2] == (96, 64)
    for size in ((60, 96), (96, 60)):
        frame = frames(1, size)[0]
        found = engine.stream().process(frame).detections
        rows = runtime(path, engine.task().prepare(frame.image).tensor().numpy())[0][0]
        assert len(found) and float(found.scores.max()) == pytest.approx(float(rows[4:].max()), abs=1e-4)


def test_caller_s_word_is_above_the_file_s(labels: Path, tmp_path: Path) -> None:
    path = ultralytics_file(tmp_path / "net.onnx", ("h", "w"), names="['a', 'b', 'c']", imgsz="[64, 96]")
    choice = FileChoice(labels=labels, size=(128, 64), channels="bgr", mean=(0.1, 0.2, 0.3), std=(1, 2, 3))
    preset = preset_of_file(path, "detect", choice)
    assert (preset.labels[0], preset.image_size, preset.channels, preset.mean, preset.std) == (
        "person", (128, 64), "bgr", (0.1, 0.2, 0.3), (1, 2, 3),
    )  # fmt: skip
    assert preset_of_file(path, "detect", replace(choice, size=(160,))).image_size == 160


def test_preset_of_a_file_is_read_as_it_was_written(labels: Path, tmp_path: Path) -> None:
    preset = preset_of_file(yolox_file(tmp_path / "net.onnx"), None, FileChoice(labels=labels))
    again = load_preset(save_preset(preset, tmp_path / "mine.yaml"))
    assert replace(again, folder=None) == preset and "model: file" in dump_preset(preset)


def test_joints_of_a_pose_network_are_named_by_their_number(tmp_path: Path) -> None:
    preset = preset_of_file(heat_map_file(tmp_path / "net.onnx"), None, FileChoice())
    assert (preset.task, preset.head, preset.keypoints, preset.image_size) == ("pose", "heatmaps", COCO_KEYPOINTS, SIZE)


REFUSED: list[tuple[dict[str, Any], FileChoice, type[SkipvidError], str]] = [
    ({}, FileChoice(), UsageError, r"net\.onnx: it has 3 classes without names; give them, one a line: --labels FILE"),
    ({"size": ("h", "w")}, FileChoice(), UsageError, r"its size is open; give one: --size 640x640"),
    ({}, FileChoice(size=(32, 32)), UsageError, r"input x is 64x96 \(height x width\), not 32x32"),
    ({}, FileChoice(head="yolox"), UsageError, "the head yolox does not fit its outputs .* 1x7x126"),
    ({}, FileChoice(head="yolo"), PresetError, "unknown head 'yolo'; "),
    ({"names": "['a', 'b']"}, FileChoice(), UsageError, "no head for 'detect' is known that reads its outputs .* with 2 labels"),
]


@pytest.mark.parametrize(("file", "choice", "error", "message"), REFUSED)
def test_what_is_missing_is_asked_in_one_line(
    file: dict[str, Any], choice: FileChoice, error: type[SkipvidError], message: str, tmp_path: Path
) -> None:
    path = ultralytics_file(tmp_path / "net.onnx", **file)
    with pytest.raises(error, match=message) as caught:
        preset_of_file(path, "detect", choice)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "is empty"), ("a\n\nb\n", "line 2: an empty name"), ("a\nb\na\n", "line 3: a is there twice")],
)
def test_labels_that_cannot_be_meant_are_named(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_text(text)
    with pytest.raises(PresetError, match=message):
        read_labels(path)
    with pytest.raises(PresetError, match="cannot be read: No such file"):
        read_labels(tmp_path / "none.txt")


def test_file_that_was_changed_or_moved_is_told(labels: Path, tmp_path: Path) -> None:
    path = yolox_file(tmp_path / "net.onnx")
    preset = preset_of_file(path, "detect", FileChoice(labels=labels))
    with pytest.raises(UsageError, match="the head yolox does not fit its outputs"):
        engine_of(replace(preset, labels=("person", "car")))
    path.unlink()
    with pytest.raises(WeightsError, match=r"network file .*net\.onnx is missing"):
        engine_of(preset)


def test_network_files_are_not_trained(labels: Path, tmp_path: Path) -> None:
    preset = preset_of_file(yolox_file(tmp_path / "net.onnx"), "detect", FileChoice(labels=labels))
    with pytest.raises(PresetError, match="is a network from a file, which can be run but not trained"):
        spec_for(preset, DetectorSpec)


def test_networks_on_other_things_than_one_picture_are_refused(tmp_path: Path) -> None:
    class Two(torch.nn.Module):
        def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return x + y

    for number, (net, examples, message) in enumerate(
        [
            (Two(), (torch.zeros(1, 3, 8, 8),) * 2, "it has 2 inputs; only networks whose one input is the picture"),
            (torch.nn.Conv2d(1, 4, 3), (torch.zeros(1, 1, 8, 8),), r"its input is \(1, 1, 8, 8\); only networks on colour pictures"),
        ]
    ):
        path = tmp_path / f"net{number}.pt2"
        torch.export.save(torch.export.export(net.eval(), examples), path)
        with pytest.raises(UsageError, match=message):
            preset_of_file(path, "detect", FileChoice())


@pytest.mark.parametrize("size", [SIZE, ("height", "width")])
def test_file_is_read_once_for_its_preset_and_its_engine(size: tuple[Any, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    monkeypatch.setattr(files, "read_onnx", lambda path: read.append(path) or read_onnx(path))  # type: ignore[func-returns-value]
    names = "['a', 'b', 'c']"
    path = ultralytics_file(tmp_path / "net.onnx", size, names=names, stride="32", imgsz="[64, 96]")
    preset = preset_of_file(path, "detect", FileChoice())
    engine = engine_of(preset)
    assert len(read) == 1 and engine.stream().process(frames(1, SIZE)[0]).detections.labels
    ultralytics_file(path, size, names=names, stride="32", imgsz="[64, 96]", date="today")
    preset_of_file(path, "detect", FileChoice())
    engine_of(preset)
    engine_of(preset)
    assert len(read) == 3  # another file, and an engine that follows no preset


@pytest.mark.realdata
@pytest.mark.parametrize(("folder", "file"), [("yolox_bigisland", "yolox_nano"), ("nanodet", "nanodet_m")])
def test_published_networks_find_what_onnx_runtime_finds(folder: str, file: str, data: Path) -> None:
    """Every box of both, in three clips' first frames and some later, threshold 0: F1 of 1 at an IoU of 0.99."""
    from skipvid.train.readers import read_frames

    path, overlap = data / "weights" / folder / f"{file}.onnx", 0.45 if file == "yolox_nano" else 0.6
    preset = preset_of_file(path, "detect", FileChoice())
    engine = engine_of(preset)
    stream, task = engine.stream(), engine.task()
    from skipvid.core.results import Frame

    total = 0
    for index, image in list(read_frames(data / "sequences" / "pets09_s2l1" / "vtest_480x360.avi", 40))[:6]:
        frame = Frame(image, index, index / 10, "clip")
        found = stream.process(frame).detections
        outputs = runtime(path, task.prepare(image).tensor().numpy())
        decoded = yolox(outputs[0][0], (416, 416)) if file == "yolox_nano" else nanodet(outputs, (416, 416))
        expected = chosen(decoded, (416, 416), THRESHOLD, overlap)
        boxes = task.letterbox(image.shape[:2]).boxes_to_frame(np.array([each[2] for each in expected], np.float32).reshape(-1, 4))
        visible = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
        names = np.array(preset.labels)[[each[0] for each in expected]][visible]
        assert list(found.labels) == names.tolist()
        np.testing.assert_allclose(found.scores, np.array([each[1] for each in expected])[visible], atol=2e-4)
        np.testing.assert_allclose(found.boxes, boxes[visible], atol=0.1)
        total += len(found)
    assert total > 20
