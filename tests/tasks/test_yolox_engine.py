"""A second family of detectors through the same engine: its own file in models/ is all that knows of it."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from moving_square import assert_same, frames

from skipvid.models import build_model
from skipvid.presets.preset import Preset, dump_preset, load_preset
from skipvid.skip.config import SkipConfig
from skipvid.tasks.detect_engine import DetectEngine
from skipvid.train.norms import settle_norms

sys.path.append(str(Path(__file__).parents[1] / "models"))  # the reader of the published weights


@pytest.fixture(scope="module")
def preset() -> Preset:
    return load_preset("yolox_nano")


@pytest.fixture(scope="module")
def engine(preset: Preset, tmp_path_factory: pytest.TempPathFactory) -> DetectEngine:
    """With random weights that believe in something everywhere, more or less."""
    torch.manual_seed(0)
    net = build_model("yolox_nano")
    settle_norms(net, [torch.rand(8, 3, 96, 160) * 255])
    state = net.state_dict()
    for name, value in state.items():
        if "_preds." in name and name.endswith("weight"):
            value *= 5.0
        elif "_preds." in name:
            value += 4.6
    path = tmp_path_factory.mktemp("yolox") / "random.pth"
    torch.save({"model": state}, path)
    return DetectEngine(replace(preset, image_size=160), SkipConfig(threshold=0.0), path)


def test_the_input_is_the_picture_s_own_bytes_on_grey(engine: DetectEngine) -> None:
    image = np.random.default_rng(0).integers(0, 256, (90, 160, 3), np.uint8)
    x = engine.task().prepare(image).tensor().numpy()
    assert x.shape == (1, 3, 96, 160)
    assert np.array_equal(x[0, :, :90], image.transpose(2, 0, 1).astype(np.float32))
    assert (x[0, :, 90:] == 114).all()


def test_threshold_zero_finds_what_the_dense_network_finds(engine: DetectEngine) -> None:
    gated, dense = engine.stream(), engine.dense_stream()
    for frame in frames(4):
        one, other = gated.process(frame), dense.process(frame)
        assert len(other.detections) > 5
        assert_same(one.detections, other.detections)
    assert one.cost is not None and 0 < one.cost.saving < 1


def test_a_still_picture_costs_nothing(engine: DetectEngine) -> None:
    stream = engine.stream()
    frame = frames(1)[0]
    first, second = stream.process(frame), stream.process(replace(frame, index=1))
    assert second.cost is not None and second.cost.saving == 1
    assert_same(first.detections, second.detections)


@pytest.mark.realdata
def test_the_published_network_finds_pedestrians_as_its_own_runtime_does(data: Path, preset: Preset, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from test_yolox import decoded
    from yolox_onnx import onnx_runner, state_from_onnx

    from skipvid.cli.app import run as command
    from skipvid.train.evaluate import average_precision
    from skipvid.train.readers import read_mot
    from skipvid.train.teachers import Found
    from skipvid.video.sources.open import open_source
    from skipvid.video.sources.options import ReadOptions

    file, folder = data / "weights" / "yolox_bigisland" / "yolox_nano.onnx", data / "sequences" / "pets09_s2l1"
    weights, settings = tmp_path / "yolox.pt", tmp_path / "mine.yaml"
    torch.save({"model": state_from_onnx(file)}, weights)
    square = replace(preset, name="mine", image_size=(416, 416), threshold=0.0, score_threshold=0.05, description="published")
    settings.write_text(dump_preset(square))
    clip, output = folder / "vtest_480x360.avi", tmp_path / "out.jsonl"
    words = [
        "detect",
        str(clip),
        "--preset",
        str(settings),
        "--weights",
        str(weights),
        "--stride",
        "12",
        "--max-frames",
        "60",
        "--precision",
        "f32",  # its own runtime's
        "-o",
        str(output),
        "-q",
    ]
    assert command(words) == 0
    records = [record for record in map(json.loads, output.read_text().splitlines()) if record["type"] == "frame"]
    assert len(records) == 60

    task = DetectEngine(square, SkipConfig(), weights).task()
    run, letterbox = onnx_runner(file), task.letterbox((360, 480))
    with open_source(str(clip), ReadOptions(stride=12, max_frames=6)) as source:
        same_frames = list(source)
    for record, frame in zip(records, same_frames, strict=False):
        assert record["frame"] == frame.index
        rows = run(task.prepare(frame.picture).tensor().numpy())
        expected = decoded(rows, (416, 416), 0.05)
        boxes = letterbox.boxes_to_frame(np.array([each[2] for each in expected], np.float32))
        visible = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
        found = record["detections"]
        assert [each["score"] for each in found] == pytest.approx([each[1] for each in np.array(expected, object)[visible]], abs=2e-4)
        np.testing.assert_allclose([each["box"] for each in found], boxes[visible], atol=0.06)

    truths = read_mot(folder / "gt_mot_480x360.txt")
    persons = [[each for each in record["detections"] if each["label"] == "person"] for record in records]
    found_persons = [
        Found(
            np.array([p["box"] for p in each], np.float32), np.array([p["score"] for p in each], np.float32), np.zeros(len(each), np.int64)
        )
        for each in persons
    ]
    assert average_precision(found_persons, [truths[record["frame"] + 1] for record in records]) > 0.87
