"""What OpenVINO's Model API and OTX write into ONNX files: names, and how pictures become input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx")

from file_networks import ultralytics_file  # noqa: E402

from skipvid.core.errors import UsageError  # noqa: E402
from skipvid.models import DetectorSpec  # noqa: E402
from skipvid.tasks.model_info import ModelInfo, read_fill, read_model_info  # noqa: E402
from skipvid.tasks.network_files import FileChoice, open_spec, preset_of_file  # noqa: E402

OTX = {
    "model_info model_type": "YOLOX",
    "model_info labels": "person fork_lift pallet",
    "model_info label_ids": "0 1 2",
    "model_info mean_values": "123.675 116.28 103.53",
    "model_info scale_values": "58.395 57.12 57.375",
    "model_info reverse_input_channels": "True",
    "model_info resize_type": "fit_to_window_letterbox",
    "model_info pad_value": "128",
    "model_info confidence_threshold": "0.45",
    "model_info iou_threshold": "0.5",
}


def test_preset_takes_what_the_file_says(tmp_path: Path) -> None:
    path = ultralytics_file(tmp_path / "net.onnx", **OTX)
    preset = preset_of_file(path, "detect", FileChoice())
    assert preset.labels == ("person", "fork_lift", "pallet") and preset.channels == "rgb" and preset.score_threshold == 0.45
    np.testing.assert_allclose(preset.mean, (0.485, 0.456, 0.406), rtol=1e-6)
    np.testing.assert_allclose(preset.std, (0.229, 0.224, 0.225), rtol=1e-6)
    assert open_spec(preset, DetectorSpec, path).fill == 128


def test_flags_come_before_the_file(tmp_path: Path) -> None:
    names = tmp_path / "names.txt"
    names.write_text("a\nb\nc\n")
    choice = FileChoice(labels=names, channels="bgr", mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    path = ultralytics_file(tmp_path / "net.onnx", **{**OTX, "model_info mean_values": "of no use"})
    preset = preset_of_file(path, "detect", choice)
    assert open_spec(preset, DetectorSpec, path).fill == 128
    assert (preset.labels, preset.channels, preset.mean, preset.std) == (("a", "b", "c"), "bgr", (0.0,) * 3, (1.0,) * 3)


@pytest.mark.parametrize(
    ("metadata", "wanted"),
    [
        ({}, ModelInfo()),
        ({"mean_values": "1 2 3", "names": "{0: 'a'}", "model_info": "x", "model_info a b": "y"}, ModelInfo()),
        ({"model_info scale_values": "255"}, ModelInfo(mean=(0.0,) * 3, std=(1.0,) * 3)),
        ({"model_info scale_values": "255.0, 255.0, 255.0"}, ModelInfo(mean=(0.0,) * 3, std=(1.0,) * 3)),
        ({"model_info mean_values": "[51, 102, 153]"}, ModelInfo(mean=(0.2, 0.4, 0.6), std=(1 / 255,) * 3)),
        ({"model_info mean_values": "", "model_info scale_values": "[]"}, ModelInfo()),
        ({"model_info/reverse_input_channels": "YES"}, ModelInfo(channels="rgb")),
        ({"model_info.reverse_input_channels": "false"}, ModelInfo(channels="bgr")),
        ({"model_info labels": "a", "model_info pad_value": "0", "model_info confidence_threshold": "None"}, ModelInfo(("a",))),
    ],
    ids=lambda item: " ".join(item) if isinstance(item, dict) else "",
)
def test_spellings(metadata: dict[str, str], wanted: ModelInfo) -> None:
    assert read_model_info(metadata, "net.onnx") == wanted


@pytest.mark.parametrize(
    ("key", "value", "hint"),
    [
        ("mean_values", "1 2", "give --normalise, or --mean and --std"),
        ("mean_values", "one", "give --normalise, or --mean and --std"),
        ("scale_values", "58 0 57", "give --normalise, or --mean and --std"),
        ("scale_values", "nan", "give --normalise, or --mean and --std"),
        ("reverse_input_channels", "maybe", "give --channels rgb or bgr"),
        ("pad_value", "300", "export it again with a byte"),
        ("confidence_threshold", "45%", "export it again with a number from 0 to 1"),
    ],
)
def test_what_cannot_be_meant_is_refused(key: str, value: str, hint: str) -> None:
    metadata = {f"model_info {key}": value}
    with pytest.raises(UsageError) as raised:
        (read_fill if key == "pad_value" else read_model_info)(metadata, "net.onnx")
    assert str(raised.value) == f"net.onnx: its metadata say model_info {key} = {value}, which cannot be meant; {hint}"
    assert read_model_info(metadata, "net.onnx", {key}) == ModelInfo()


def test_names_that_are_not_one_for_each_class_are_an_error(tmp_path: Path) -> None:
    path = ultralytics_file(tmp_path / "net.onnx", **{**OTX, "model_info labels": "a b"})
    with pytest.raises(UsageError, match="with 2 labels"):
        preset_of_file(path, "detect", FileChoice())
