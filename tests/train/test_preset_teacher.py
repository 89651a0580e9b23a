"""Detectors of skipvid as teachers, of whatever family; and what gates are learned for."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from skipvid.core.errors import PresetError, UsageError
from skipvid.core.results import Frame
from skipvid.models import build_model
from skipvid.presets.preset import DEFAULT_DETECT, dump_preset, load_preset
from skipvid.presets.weights import resolve_weights
from skipvid.skip.config import SkipConfig
from skipvid.tasks.detect_engine import DetectEngine
from skipvid.train.norms import settle_norms
from skipvid.train.open_subject import open_subject
from skipvid.train.preset_teacher import FLOOR, open_preset_teacher
from skipvid.train.samples import CATEGORY_IDS

CLIP = Path(__file__).parents[2] / "sample_videos" / "plaza.mp4"


def first_picture():
    capture = cv2.VideoCapture(str(CLIP))
    found, image = capture.read()
    capture.release()
    assert found
    return image


@pytest.fixture(scope="module")
def yolox(tmp_path_factory):
    """A preset file of a YOLOX with random weights that believes in something everywhere."""
    folder = tmp_path_factory.mktemp("yolox")
    torch.manual_seed(0)
    net = build_model("yolox_nano")
    settle_norms(net, [torch.rand(8, 3, 96, 160) * 255])
    state = net.state_dict()
    for name, value in state.items():
        if "_preds." in name:
            value += 4.6 if name.endswith("bias") else 0.0
    torch.save(state, folder / "random.pth")
    preset = replace(load_preset("yolox_nano"), name="random", weights="random.pth", image_size=160)
    (folder / "random.yaml").write_text(dump_preset(preset))
    return folder / "random.yaml"


@pytest.mark.parametrize("which", ["bundled", "yolox"])
def test_a_teacher_finds_what_its_preset_finds_of_our_classes(which, yolox):
    image = first_picture()
    name = DEFAULT_DETECT if which == "bundled" else str(yolox)
    preset = load_preset(name)
    engine = DetectEngine(preset, SkipConfig(gate="none", backend="reference"), resolve_weights(preset).path, score_threshold=FLOOR)
    expected = engine.dense_stream().process(Frame(image, 0, 0.0, "plaza")).detections
    ours = np.isin(expected.category_ids, CATEGORY_IDS)
    found = open_preset_teacher(name).detect(image)
    assert len(found) > 3 and found.classes.tolist() == [CATEGORY_IDS.index(number) for number in expected.category_ids[ours]]
    np.testing.assert_allclose(found.boxes, expected.boxes[ours], atol=0.05)
    np.testing.assert_allclose(found.scores, expected.scores[ours], atol=1e-4)


def test_a_teacher_knows_which_of_our_classes_it_can_see(yolox):
    assert open_preset_teacher(str(yolox)).known.all() and open_preset_teacher(DEFAULT_DETECT).known.all()


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({}, UsageError, "gates can be learned for detectors with anchors only, and yolox_nano has none"),
        ({"task": "pose"}, PresetError, "the network yolox_nano is for the task 'detect', not 'pose'"),
    ],
)
def test_a_network_whose_gates_cannot_be_learned_is_refused(changes, error, says, yolox):
    preset = load_preset(yolox)
    with pytest.raises(error, match=says):
        open_subject(replace(preset, **changes), yolox.parent / "random.pth")
