"""Class maps of network files against ONNX Runtime, under gates, and where the pixels of a frame lie in them."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from file_networks import SIZE, segment_file, segment_net  # noqa: E402
from moving_square import frames  # noqa: E402

sys.path.append(str(Path(__file__).parents[1] / "skip" / "importers"))

from onnx_graphs import runtime  # noqa: E402

from skipvid.core.errors import UsageError  # noqa: E402
from skipvid.presets.preset import Preset, load_preset, save_preset  # noqa: E402
from skipvid.skip.config import SkipConfig  # noqa: E402
from skipvid.tasks.network_files import FileChoice, preset_of_file  # noqa: E402
from skipvid.tasks.picture_task import PictureTask  # noqa: E402
from skipvid.tasks.segment_engine import SegmentEngine  # noqa: E402

ENDS = ("scores", "numbers", "numbers, kept", "chance", "logit", "coarse")


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    path = tmp_path / "labels.txt"
    path.write_text("background\nroad\nperson\n")
    return path


def preset_of(path: Path, end: str, labels: Path) -> Preset:
    return preset_of_file(path, "segment", FileChoice(labels=None if end in ("chance", "logit") else labels))


def engine_of(preset: Preset, threshold: float = 0.0) -> SegmentEngine:
    return SegmentEngine(preset, SkipConfig(threshold=threshold, threads=1), Path(preset.weights))


def expected(values: np.ndarray, end: str) -> np.ndarray:
    if end in ("scores", "coarse"):
        return np.asarray(values[0].argmax(0))
    return np.asarray(values.reshape(values.shape[-2:]) > (0.5 if end == "chance" else 0) if end in ("chance", "logit") else values)


@pytest.mark.parametrize("end", ENDS)
def test_class_map_is_what_onnx_runtime_finds(end: str, labels: Path, tmp_path: Path) -> None:
    path = segment_file(tmp_path / "net.onnx", end)
    preset = preset_of(path, end, labels)
    assert preset.task == "segment" and preset.mean == (0.485, 0.456, 0.406)
    engine = engine_of(preset)
    stream, task = engine.stream(), PictureTask(preset, None)
    for frame in frames(4, SIZE):
        found = stream.process(frame)
        assert found.class_map is not None and not len(found.detections)
        values = runtime(path, task.prepare(frame.image).tensor().numpy())[0]
        wanted = expected(values, end).reshape(values.shape[-2:])
        assert len(np.unique(wanted)) > 1
        # Two scores may be equal to a last bit.
        assert (found.class_map.cells == wanted).mean() > 0.999
        assert found.class_map.pixels.shape == SIZE and found.class_map.pixels.dtype == np.uint8
    assert found.cost is not None and found.cost.saving > 0


def test_network_ends_before_the_numbers_so_that_nothing_runs_in_pytorch(labels: Path, tmp_path: Path) -> None:
    for end in ("numbers", "numbers, kept"):
        engine = engine_of(preset_of(segment_file(tmp_path / "net.onnx", end), end, labels))
        program = engine.model.planned(((1, 3, *SIZE),))
        assert not program.fallbacks and program.plan.graph.nodes[-1].op != "argmax"


def test_exported_program_is_read_too(labels: Path, tmp_path: Path) -> None:
    for end in ("scores", "numbers"):
        program = torch.export.export(segment_net(end), (torch.zeros(1, 3, *SIZE),))
        torch.export.save(program, tmp_path / "net.pt2")
        preset = preset_of_file(tmp_path / "net.pt2", "segment", FileChoice(labels=labels))
        assert preset.head == ("segment" if end == "scores" else "segment-numbers")
        found = engine_of(preset).stream().process(frames(1, SIZE)[0])
        assert found.class_map is not None and len(found.class_map.shown) > 1


def test_gated_maps_are_near_the_dense_ones_and_at_threshold_zero_the_same(labels: Path, tmp_path: Path) -> None:
    preset = preset_of(segment_file(tmp_path / "net.onnx"), "scores", labels)
    for threshold, least in ((0.0, 1.0), (0.05, 0.9)):
        engine = engine_of(preset, threshold)
        gated, dense = engine.stream(), engine.dense_stream()
        for frame in frames(6, SIZE):
            one, other = gated.process(frame).class_map, dense.process(frame).class_map
            assert one is not None and other is not None
            assert (one.pixels == other.pixels).mean() >= least


def test_unchanged_frame_keeps_the_class_map_and_a_new_size_begins_anew(labels: Path, tmp_path: Path) -> None:
    engine = engine_of(preset_of(segment_file(tmp_path / "net.onnx"), "scores", labels))
    stream, (first, second) = engine.stream(), frames(2, SIZE)
    one = stream.process(first).class_map
    assert stream.process(first).class_map is one and stream.process(second).class_map is not one
    other = stream.process(frames(1, (128, 96))[0])
    assert other.keyframe and other.class_map is not None and other.class_map.pixels.shape == (128, 96)


@pytest.mark.parametrize("size", [(64, 96), (45, 96), (640, 333), (7, 500), (1, 1), (33, 31)])
@pytest.mark.parametrize("end", ["scores", "coarse"])
def test_each_pixel_has_the_class_of_the_cell_in_which_its_middle_lies(
    size: tuple[int, int], end: str, labels: Path, tmp_path: Path
) -> None:
    engine = engine_of(preset_of(segment_file(tmp_path / "net.onnx", end), end, labels))
    stream = engine.stream()
    found = stream.process(frames(1, size)[0]).class_map
    assert found is not None and found.pixels.shape == size
    task = PictureTask(engine.preset, None)
    height, width = task.letterbox(size).content_size
    cell = 1 if end == "scores" else 4
    for y in range(0, size[0], 5):
        for x in range(0, size[1], 7):
            row, column = int((y + 0.5) * height / size[0] / cell), int((x + 0.5) * width / size[1] / cell)
            assert found.pixels[y, x] == found.cells[row, column]
    assert found.cells.shape[0] <= -(-height // cell) and found.cells.shape[1] <= -(-width // cell)  # nothing of the filling


def test_preset_of_class_maps_is_written_and_read(labels: Path, tmp_path: Path) -> None:
    preset = preset_of(segment_file(tmp_path / "net.onnx"), "scores", labels)
    again = load_preset(save_preset(preset, tmp_path / "mine.yaml"))
    assert (again.task, again.head, again.labels) == ("segment", "segment", ("background", "road", "person"))
    assert engine_of(again).categories == {0: "background", 1: "road", 2: "person"}


def test_what_cannot_be_meant_is_said(labels: Path, tmp_path: Path) -> None:
    path = segment_file(tmp_path / "net.onnx", classes=5)
    with pytest.raises(UsageError, match="it has 5 classes without names; give them, one a line: --labels FILE"):
        preset_of_file(path, "segment", FileChoice())
    with pytest.raises(UsageError, match="1x5x64x96 with 3 labels"):
        preset_of_file(path, "segment", FileChoice(labels=labels))
    with pytest.raises(UsageError, match="it has classes without names"):
        program = torch.export.export(segment_net("numbers"), (torch.zeros(1, 3, *SIZE),))
        torch.export.save(program, tmp_path / "net.pt2")
        preset_of_file(tmp_path / "net.pt2", "segment", FileChoice())
    engine = engine_of(preset_of(segment_file(tmp_path / "net.onnx"), "scores", labels))
    for motion in ("auto", "canvas"):
        with pytest.raises(UsageError, match=f"--motion {motion} is for detectors"):
            engine.use_motion(motion)
    engine.preset = replace(engine.preset, motion="auto", denoise="auto")
    with pytest.raises(UsageError, match="says 'motion: auto', which is for detectors"):
        engine.use_motion(None)
    with pytest.raises(UsageError, match="says 'denoise: auto', which is for detectors"):
        engine.use_denoising(None)
    engine.use_motion("none")
    engine.use_denoising("none")
