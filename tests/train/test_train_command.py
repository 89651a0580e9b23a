"""`skipvid train detector` and `skipvid distill` from the command line."""

import json

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from skipvid.cli.app import run
from skipvid.cli.distill import distill
from skipvid.cli.train import train
from skipvid.core.errors import UsageError, WeightsError
from skipvid.presets.preset import load_preset

SMALL = ["--steps", "2", "--batch", "2", "--crop", "64", "--size", "64", "--evaluate-every", "1", "--threads", "1", "-q"]


@pytest.fixture
def mix(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    image = np.full((64, 64, 3), 90, np.uint8)
    image[10:50, 20:40] = 240
    cv2.imwrite(str(folder / "x.png"), image)
    data = {
        "images": [{"id": 1, "file_name": "x.png"}],
        "categories": [{"id": 1, "name": "person"}],
        "annotations": [{"image_id": 1, "category_id": 1, "bbox": [20, 10, 20, 40]}],
    }
    (tmp_path / "labels.json").write_text(json.dumps(data))
    entry = "kind: coco, path: pictures, annotations: labels.json, share: 1"
    path = tmp_path / "my.mix.yaml"
    path.write_text(f"sources:\n  - {{name: a, {entry}}}\n  - {{name: b, {entry}}}\nheld_out: [b]\n")
    return path


def call(command, *arguments):
    return CliRunner().invoke(command, [str(argument) for argument in arguments], catch_exceptions=False)


def test_a_mix_becomes_a_preset_and_can_be_gone_on_with(tmp_path, mix):
    output = tmp_path / "run"
    call(train, "detector", mix, "--root", tmp_path, "-o", output, *SMALL)
    preset = load_preset(output / "my-detector.yaml")
    assert (output / preset.weights).is_file() and preset.image_size == 64
    assert "AP50" in preset.description
    call(train, "detector", mix, "--root", tmp_path, "-o", output, *SMALL, "--resume")
    with pytest.raises(UsageError, match="already holds a run"):
        call(train, "detector", mix, "--root", tmp_path, "-o", output, *SMALL)


def test_a_crop_that_is_no_multiple_of_32_is_refused_before_any_work(tmp_path, mix):
    with pytest.raises(UsageError, match="multiples of 32"):
        call(train, "detector", mix, "-o", tmp_path / "run", "--crop", "100")
    assert not (tmp_path / "run").exists()


def test_a_teacher_file_that_is_not_there_is_named(tmp_path):
    start = tmp_path / "start.pt"
    with pytest.raises(WeightsError, match="teacher.onnx"):
        call(distill, "clip.mp4", "-o", tmp_path / "out", "--teacher", tmp_path / "teacher.onnx", "--start", start)


@pytest.mark.parametrize("words", [["train", "--help"], ["train", "detector", "--help"], ["distill", "--help"]])
def test_help_is_there(words, capsys):
    assert run(words) == 0
    assert "Usage: skipvid" in capsys.readouterr().out


def test_unknown_sources_to_leave_out_are_named(tmp_path, mix):
    with pytest.raises(UsageError, match="no source 'c'"):
        call(train, "detector", mix, "--root", tmp_path, "-o", tmp_path / "run", "--without", "c")


def test_exams_are_graded_one_line_each(tmp_path, mix):
    for i in range(3):
        cv2.imwrite(str(tmp_path / "pictures" / f"f{i}.png"), np.full((64, 64, 3), 90, np.uint8))
    (tmp_path / "gt.txt").write_text("1,1,5,5,20,40,1\n")
    mix.write_text(mix.read_text() + "exams:\n  - {name: walk, path: pictures, truth: gt.txt, categories: [1]}\n")
    call(train, "detector", mix, "--root", tmp_path, "-o", tmp_path / "run", *SMALL)
    weights = tmp_path / "run" / "weights.pt"
    result = call(train, "grade", mix, "--root", tmp_path, "--weights", weights, "--size", "64", "--threads", "1")
    name, figure = result.stdout.split()
    assert name == "walk" and 0 <= float(figure) <= 1
    with pytest.raises(UsageError, match="nothing to grade"):
        call(train, "grade", mix, "--root", tmp_path)
