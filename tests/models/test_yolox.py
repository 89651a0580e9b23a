"""YOLOX: upstream's names and sizes, its head read another way, and the published network's output where the shared data is."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sparsity import assert_runs_wholly_sparsely_and_exactly
from torch import Tensor
from torch.nn import functional as F
from yolox_onnx import onnx_runner, state_from_onnx

from skipvid.models import DetectorSpec, build_model, find_spec, load_weights
from skipvid.models.detections import class_wise_nms
from skipvid.models.yolox import STRIDES, YoloxHead
from skipvid.train.norms import settle_norms

Floats = NDArray[np.float32]


@pytest.fixture(scope="module")
def net() -> Any:
    """With random weights and statistics that fit them: SiLU would let all signals fade away."""
    torch.manual_seed(0)
    net = build_model("yolox_nano")
    settle_norms(net, [torch.randn(16, 3, 128, 128)])
    return net


@pytest.mark.parametrize(
    ("name", "millions"),
    [("yolox_nano", 0.91), ("yolox_tiny", 5.06), ("yolox_s", 8.97), ("yolox_m", 25.33), ("yolox_l", 54.21), ("yolox_x", 99.07)],
)
def test_the_networks_have_the_published_numbers_of_parameters(name: str, millions: float) -> None:
    with torch.device("meta"):
        net = build_model(name)
    assert sum(each.numel() for each in net.parameters()) / 1e6 == pytest.approx(millions, abs=0.006)


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("backbone.backbone.stem.conv.conv.weight", (16, 12, 3, 3)),
        ("backbone.backbone.dark3.0.dconv.conv.weight", (32, 1, 3, 3)),
        ("backbone.backbone.dark3.1.m.2.conv2.pconv.bn.running_var", (32,)),
        ("backbone.backbone.dark5.1.conv2.conv.weight", (256, 512, 1, 1)),
        ("backbone.lateral_conv0.bn.weight", (128,)),
        ("backbone.C3_p4.conv3.conv.weight", (128, 128, 1, 1)),
        ("backbone.bu_conv2.pconv.conv.weight", (64, 64, 1, 1)),
        ("head.stems.2.conv.weight", (64, 256, 1, 1)),
        ("head.cls_convs.1.0.dconv.conv.weight", (64, 1, 3, 3)),
        ("head.obj_preds.0.bias", (1,)),
    ],
)
def test_parameters_have_upstream_s_names(net: Any, name: str, shape: tuple[int, ...]) -> None:
    assert tuple(net.state_dict()[name].shape) == shape


def test_larger_networks_have_plain_convolutions() -> None:
    with torch.device("meta"):
        state = build_model("yolox_s").state_dict()
    assert tuple(state["backbone.backbone.dark2.0.conv.weight"].shape) == (64, 32, 3, 3)
    assert tuple(state["head.reg_convs.0.1.conv.weight"].shape) == (128, 128, 3, 3)


def test_an_upstream_checkpoint_loads(net: Any, tmp_path: Path) -> None:
    path = tmp_path / "yolox_nano.pth"
    torch.save({"start_epoch": 300, "model": net.state_dict(), "optimizer": {"state": {}}}, path)
    other = build_model("yolox_nano")
    load_weights(other, path)
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in net.state_dict().items())


def test_the_stem_convolves_what_focus_puts_side_by_side(net: Any) -> None:
    stem, x = net.backbone.backbone.stem, torch.randn(2, 3, 64, 96)
    # Wang et al. and upstream: the four neighbours of a 2 x 2 block as channels, column by column.
    blocks = torch.cat([x[..., row::2, column::2] for column in (0, 1) for row in (0, 1)], 1)
    torch.testing.assert_close(stem(x), stem.conv(blocks), rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_a_converted_network_runs_wholly_sparsely_and_threshold_zero_is_exact(net: Any) -> None:
    assert_runs_wholly_sparsely_and_exactly(net, frames=3, atol=1e-3)  # deep and normalised: rounding grows to 1e-4


def flattened(output: tuple[list[Tensor], list[Tensor], list[Tensor]]) -> Floats:
    """One row for each cell, levels joined, as upstream's export has it: box terms, objectness and class scores."""
    rows = [torch.cat([boxes, objects.sigmoid(), classes.sigmoid()], 1).flatten(2) for classes, boxes, objects in zip(*output, strict=True)]
    return np.asarray(torch.cat(rows, 2)[0].T)


def decoded(rows: Floats, size: tuple[int, int], threshold: float) -> list[tuple[int, float, tuple[float, ...]]]:
    """Rows of cells -> (class, score, box) of what stays, best first: the paper's section 2.1, written as a loop over cells."""
    cells = [(x, y, stride) for stride in STRIDES for y in range(size[0] // stride) for x in range(size[1] // stride)]
    assert len(cells) == len(rows)
    found = []
    for (x, y, stride), row in zip(cells, rows.astype(float), strict=True):
        best = int(row[5:].argmax())
        score = row[4] * row[5 + best]
        if score > threshold:
            cx, cy, w, h = (x + row[0]) * stride, (y + row[1]) * stride, math.exp(row[2]) * stride, math.exp(row[3]) * stride
            box = np.clip([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2], 0, [size[1], size[0]] * 2)
            found.append((best, score, tuple(box)))
    if not found:
        return []
    classes, scores, boxes = (np.array(column) for column in zip(*found, strict=True))
    return [found[index] for index in class_wise_nms(boxes, scores, classes, 0.45)]


def read(output: tuple[list[Tensor], list[Tensor], list[Tensor]], size: tuple[int, int], threshold: float) -> Any:
    head = YoloxHead(size)
    maps = [each.numpy(force=True) for kind in output for each in kind]
    return head.choose([head.find(level, [maps[n] for n in numbers], threshold) for level, numbers in enumerate(head.levels)])


def random_output(size: tuple[int, int], classes: int = 5, seed: int = 0) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    shapes = [(size[0] // stride, size[1] // stride) for stride in STRIDES]
    channels = ((classes, 2.0), (4, 0.7), (1, 2.0))
    maps = tuple([spread * torch.randn(1, count, *shape, generator=generator) for shape in shapes] for count, spread in channels)
    return maps  # type: ignore[return-value]


@pytest.mark.parametrize("size", [(64, 96), (128, 64)])
@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.7])
def test_the_head_finds_what_the_definition_says(size: tuple[int, int], threshold: float) -> None:
    output = random_output(size)
    expected, found = decoded(flattened(output), size, threshold), read(output, size, threshold)
    assert len(expected) > 3
    assert found.classes.tolist() == [each[0] for each in expected][: len(found.classes)]
    assert len(found.classes) == min(100, len(expected))
    np.testing.assert_allclose(found.scores, [each[1] for each in expected], rtol=1e-5)
    np.testing.assert_allclose(found.boxes, [each[2] for each in expected], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("where", [0, 1, 2])
def test_what_is_no_number_is_no_object_and_what_is_endless_is_clipped(where: int) -> None:
    output = random_output((64, 64))
    output[where][0][0, :, 2, 3] = torch.nan
    output[1][1][0, 2:, 1, 1] = 1e4
    found = read(output, (64, 64), 0.05)
    assert len(found.scores) and np.isfinite(found.scores).all() and np.isfinite(found.boxes).all()
    assert (found.boxes >= 0).all() and (found.boxes <= 64).all()


def test_nothing_above_the_threshold_is_no_object() -> None:
    found = read(random_output((64, 64)), (64, 64), 1.0)
    assert found.boxes.shape == (0, 4) and found.scores.shape == found.classes.shape == (0,)


def test_a_fresh_network_believes_in_nothing() -> None:
    with torch.inference_mode():
        assert not len(read(build_model("yolox_nano")(torch.zeros(1, 3, 64, 64)), (64, 64), 0.1).scores)


def test_a_spec_tells_how_the_input_is_filled() -> None:
    spec = find_spec("yolox_nano")
    assert isinstance(spec, DetectorSpec) and spec.fill == 114 and spec.config.image_size == (416, 416)


@pytest.fixture(scope="module")
def published(data: Path) -> Path:
    """The ONNX file, where it is there and can be read."""
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    path = data / "weights" / "yolox_bigisland" / "yolox_nano.onnx"
    if not path.is_file():
        pytest.skip(f"{path.name} is not there")
    return path


@pytest.mark.realdata
def test_the_maps_are_those_of_the_published_network(published: Path) -> None:
    net = build_model("yolox_nano")
    load_weights(net, state_from_onnx(published))
    x = F.interpolate(torch.rand(1, 3, 52, 52, generator=torch.Generator().manual_seed(0)) * 255, (416, 416), mode="bilinear")
    with torch.inference_mode():
        np.testing.assert_allclose(flattened(net(x)), onnx_runner(published)(x.numpy()), atol=1e-4)
