"""Preset files: those that come with the package, and everything that can be wrong with one."""

from __future__ import annotations

import copy
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from skipvid.core.errors import PresetError
from skipvid.core.labels import COCO_KEYPOINTS
from skipvid.models import build_model
from skipvid.models.efficientdet import CONFIGS
from skipvid.presets.preset import DEFAULT_DETECT, dump_preset, list_presets, load_preset, preset_folder, preset_names

GOOD = (preset_folder() / "tf_efficientdet_d0.yaml").read_text()


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_of_the_package_fits_its_network_and_its_file(name: str) -> None:
    preset = load_preset(name)
    assert preset.name == name
    with torch.device("meta"):
        config: Any = build_model(preset.model).config
    if preset.task == "detect":
        assert config.num_classes == preset.label_set.num_outputs and preset.keypoints == ()
        assert preset.image_size == max(config.image_size)
    else:
        assert config.joints == preset.label_set.num_outputs
        assert preset.keypoints == COCO_KEYPOINTS
        assert preset.image_size == config.image_size
    if preset.weights.startswith("https:"):
        assert re.search(rf"-{preset.sha256}(_\d{{8}})?\.pth$", preset.weights)
    settings, _, _ = (preset_folder() / f"{name}.yaml").read_text().partition("\nthresholds:")
    assert 15 <= len(settings.splitlines()) <= 25


def test_the_default_comes_first_and_carries_its_weights() -> None:
    assert list_presets()[0].name == DEFAULT_DETECT
    assert list_presets()[0].weights.startswith("bundled:")
    assert {preset.model for preset in list_presets() if preset.task == "detect"} >= set(CONFIGS)


@pytest.mark.parametrize(
    ("name", "source", "expected"),
    [
        ("efficientdet-nano", (1080, 1920), (320, 544)),
        ("efficientdet-nano", (1920, 1080), (544, 320)),
        ("efficientdet-nano", (480, 854), (320, 544)),
        ("efficientdet-nano", (360, 480), (416, 544)),
        ("efficientdet-nano", (200, 200), (544, 544)),
        ("efficientdet-nano", (10, 4000), (32, 544)),
        ("tf_efficientdet_d0", (1080, 1920), (384, 512)),
        ("tf_efficientdet_d1", (1080, 1920), (384, 640)),
        ("tf_efficientdet_lite0", (1080, 1920), (192, 320)),
    ],
)
def test_the_input_follows_the_shape_of_the_source(name: str, source: tuple[int, int], expected: tuple[int, int]) -> None:
    assert load_preset(name).input_size(*source) == expected


def test_a_fixed_input_size_does_not_follow() -> None:
    assert replace(load_preset(DEFAULT_DETECT), image_size=(256, 192)).input_size(1080, 1920) == (256, 192)


def test_a_dumped_preset_reads_as_itself(tmp_path: Path) -> None:
    calibrated = replace(
        load_preset("tf_efficientdet_d0"),
        image_size=(256, 192),
        size_multiple=32,
        labels=("person", "forklift"),
        scales={"backbone.blocks.0.0": 0.1234567890123, "fpn.cell.0": 1e-7},
        thresholds={"fpn.cell.0": 0.0},
        description="Größe: 1 # no comment",
        gate="norm-output",
        reference="previous",
        p=float("inf"),
        input_threshold=0.01,
        dense_above=0.5,
        gate_weights="gates.pt",
        gate_sha256="0" * 64,
        folder=tmp_path,
    )
    assert load_preset(written(tmp_path, dump_preset(calibrated))) == calibrated
    assert copy.deepcopy(calibrated) == calibrated


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("efficientdet_nano", "did you mean efficientdet-nano?"),
        ("resnet", "known: efficientdet-nano, "),
        ("nowhere/mine.yaml", "does not exist"),
        ("../presets/tf_efficientdet_d0", "unknown preset"),
    ],
)
def test_an_unknown_name_is_answered_with_the_known_ones(name: str, says: str) -> None:
    with pytest.raises(PresetError) as caught:
        load_preset(name)
    assert says in str(caught.value) and "\n" not in str(caught.value)


WRONG_VALUES = {
    "task": ["segmentation", 1, None],
    "model": ["", 3, None],
    "labels": ["imagenet", [], ["car", "car"], [1, 2], 3],
    "image_size": [0, -128, 1.5, "512", True, [512], [512, 0], [1, 2, 3]],
    "size_multiple": [0, 2.0, "128"],
    "channels": ["rbg", None],
    "mean": [[0.5, 0.5], [0.5, 0.5, "x"], 0.5, [0.5, 0.5, 123.0]],
    "std": [[0, 1, 1], [1, 1, float("nan")]],
    "weights": [None, "", 7],
    "sha256": [12345678, "f153", "F153E0CF", "xyzxyzxy", None],
    "score_threshold": [-0.1, 1.1, "0.3", True],
    "gate": ["Norm", True, 0],
    "threshold": [-0.01, float("nan"), float("inf"), "0.03"],
    "block": [0, 3, 32, True, 1.5, "4"],
    "licence": [None, 2],
    "scales": [[1], {"a": 0}, {"a": "b"}, {1: 1.0}],
    "thresholds": [{"a": -1}, {"a": True}],
    "reference": ["last", True],
    "p": [3, "2", True, 0.5],
    "input_threshold": [-0.1, "0.01"],
    "dense_above": [-0.1, 1.5, "0.5"],
    "gate_weights": ["", 4],
    "gate_sha256": ["f153", 12345678],
}


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in WRONG_VALUES.items() for value in values])
def test_a_wrong_value_is_answered_with_file_key_value_and_rule(key: str, value: object, tmp_path: Path) -> None:
    content = yaml.safe_load(GOOD)
    content[key] = value
    with pytest.raises(PresetError, match=rf"mine\.yaml: '{key}' must be .*, got ") as caught:
        load_preset(written(tmp_path, yaml.safe_dump(content)))
    assert repr(value) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: t.replace("threshold: 0.03", "treshold: 0.03"), "unknown key 'treshold'; did you mean 'threshold'? allowed: name, "),
        (lambda t: t + "\nzzz: 1\n", "unknown key 'zzz'; allowed: name, "),
        (lambda t: t + "\n3: 1\n", "unknown key '3'"),
        (lambda t: t.replace("folder", "").replace("name:", "folder: x\nname:"), "unknown key 'folder'"),
        (lambda t: t.replace("gate: norm\n", ""), "'gate' is missing; it must be one of norm, norm-smooth, norm-output, gumbel, none"),
        (lambda t: t.replace("gate: norm\n", "gate: gumbel\n"), "'gate_weights' is missing, which gate gumbel needs"),
        (lambda t: t.replace("image_size: 512", "image_size: 500"), "'image_size' must be a multiple of 'size_multiple' (128), got 500"),
        (lambda t: t.replace("image_size: 512", "image_size: [512, 300]"), "'image_size' must be a multiple"),
        (lambda t: t.replace('"f153e0cf"', '""'), "'sha256' must not be empty where 'weights' is a URL"),
        (lambda t: re.sub("weights: .*", "weights: https://example.org/", t), "must end in a file name"),
        (lambda t: t.replace("task: detect", "task: pose"), "'labels' must be a list of the joints' names where 'task' is pose"),
        (lambda t: t + "\nscales: {a: [}\n", "is not valid YAML, line "),
        (lambda t: t + "\nx: !!python/object/apply:os.getcwd []\n", "is not valid YAML, line "),
        (lambda t: "- a\n- b\n", "is not a list of 'key: value' lines"),
        (lambda t: "", "is not a list of 'key: value' lines"),
    ],
)
def test_a_malformed_file_gets_one_clear_line(change: object, says: str, tmp_path: Path) -> None:
    with pytest.raises(PresetError) as caught:
        load_preset(written(tmp_path, change(GOOD)))  # type: ignore[operator]
    message = str(caught.value)
    assert says in message and "mine.yaml" in message and "\n" not in message


@pytest.mark.parametrize("make", [lambda path: path.mkdir(), lambda path: path.write_bytes(b"\xff\xfe\x00name: x")])
def test_a_file_that_is_no_text_gets_one_clear_line(make: object, tmp_path: Path) -> None:
    path = tmp_path / "mine.yml"
    make(path)  # type: ignore[operator]
    with pytest.raises(PresetError, match=r"mine\.yml cannot be read"):
        load_preset(path)
