"""Networks whose weights say which layers are narrowed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import skipvid
from skipvid.core.errors import WeightsError
from skipvid.models import build_model, find_spec, load_weights
from skipvid.models.narrow import NarrowConv2d, narrow

LAYER = "layer1.0.conv3"
NORM = "layer1.0.bn3"


def narrowed(width: int, kernel: int = 3) -> dict[str, Tensor]:
    """The state of an hrnet-nano with one layer of 64 channels narrowed to `width`, its BatchNorm taken into it."""
    torch.manual_seed(0)
    state = {key: value for key, value in build_model("hrnet-nano").state_dict().items() if not key.startswith(f"{NORM}.")}
    weight = state.pop(f"{LAYER}.weight")
    state[f"{LAYER}.conv.weight"], state[f"{LAYER}.conv.bias"] = weight[:width], torch.randn(width)
    state[f"{LAYER}.cheap.weight"], state[f"{LAYER}.cheap.bias"] = torch.randn(64 - width, 1, kernel, kernel), torch.randn(64 - width)
    return state


@pytest.mark.parametrize(("width", "kernel"), [(32, 3), (16, 1), (22, 3), (63, 1)])
def test_a_file_with_narrowed_layers_makes_the_network_narrow(tmp_path: Path, width: int, kernel: int) -> None:
    state = narrowed(width, kernel)
    torch.save(state, tmp_path / "narrow.pt")
    net = find_spec("hrnet-nano").load(tmp_path / "narrow.pt", 17)
    layer = net.get_submodule(LAYER)
    assert isinstance(layer, NarrowConv2d) and isinstance(net.get_submodule(NORM), nn.Identity)
    assert isinstance(net.get_submodule("layer1.0.bn2"), nn.BatchNorm2d) and not net.training and not layer.training
    x = torch.randn(1, 16, 8, 6)
    with torch.no_grad():
        found = layer(x)
        computed = nn.functional.conv2d(x, state[f"{LAYER}.conv.weight"], state[f"{LAYER}.conv.bias"])
    assert found.shape == (1, 64, 8, 6) and torch.equal(found[:, :width], computed)
    for channel in range(width, 64):
        kernels = state[f"{LAYER}.cheap.weight"][channel - width : channel - width + 1]
        partner = computed[:, (channel - width) % width][:, None]
        expected = nn.functional.conv2d(partner, kernels, padding=kernel // 2) + state[f"{LAYER}.cheap.bias"][channel - width]
        torch.testing.assert_close(found[:, channel][:, None], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("width", [8, 5])
def test_a_narrow_layer_runs_in_every_back_end_and_counts_what_it_computes(width: int) -> None:
    torch.manual_seed(0)
    layer = NarrowConv2d(nn.Conv2d(4, 16, 3, padding=1), width, 3)
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), layer, nn.ReLU(), nn.Conv2d(16, 2, 1)).eval()
    frames = [torch.randn(1, 3, 24, 32)]
    frames.append(frames[0].clone())
    frames[1][..., 8:12, 10:20] += 1
    outputs: dict[str, list[Tensor]] = {}
    for backend in ("reference", "cpu"):
        model, _ = skipvid.convert(net, frames[0], skipvid.SkipConfig(threshold=0.0, backend=backend))
        session = model.session()
        outputs[backend] = [session(frame).clone() for frame in frames]
        assert session.cost.dense_macs == 24 * 32 * (3 * 4 + 4 * 9 * width + 9 * (16 - width) + 16 * 2)
        assert session.cost.macs < session.cost.dense_macs / 2
        with torch.no_grad():
            torch.testing.assert_close(outputs[backend][1], net(frames[1]), rtol=1e-4, atol=1e-4)
        assert torch.equal(outputs[backend][1], model.dense(frames[1]))  # τ = 0 has the bits of the dense run
    torch.testing.assert_close(outputs["cpu"], outputs["reference"], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda state: state.pop(f"{LAYER}.cheap.bias"), "cheap.bias' is missing"),
        (lambda state: state.update({f"{LAYER}.cheap.bias": torch.zeros(3)}), "cheap.bias' has shape"),
        (lambda state: state.update({f"{LAYER}.conv.weight": torch.zeros(30, 16, 1, 1)}), "conv.weight' has shape"),
        (lambda state: state.update({f"{LAYER}.cheap.weight": torch.zeros(64, 1, 3, 3)}), "is missing"),
        (lambda state: state.update({f"{LAYER}.cheap.weight": torch.zeros(8)}), "is missing"),
        (lambda state: state.update({f"{LAYER}.cheap.weight": torch.tensor(1.0)}), "is missing"),
        (lambda state: state.update({f"{LAYER}.cheap.weight": torch.zeros(32, 1, 2, 2)}), "is missing"),
        (lambda state: state.update({f"{LAYER}.cheap.weight": torch.zeros(32, 1, 3, 1)}), "is missing"),
        (lambda state: state.update({"nowhere.cheap.weight": torch.zeros(8, 1, 3, 3)}), "'nowhere.cheap.weight' is unexpected"),
        (lambda state: state.update({"layer1.cheap.weight": torch.zeros(8, 1, 3, 3)}), "'layer1.cheap.weight' is unexpected"),
    ],
)
def test_what_does_not_fit_is_named(change: Any, says: str) -> None:
    state = narrowed(32)
    change(state)
    with pytest.raises(WeightsError, match=says):
        load_weights(build_model("hrnet-nano"), state)


def test_a_missing_batch_norm_is_an_error_where_nothing_is_narrowed() -> None:
    state = {key: value for key, value in build_model("hrnet-nano").state_dict().items() if not key.startswith(f"{NORM}.")}
    net = build_model("hrnet-nano")
    narrow(net, state)
    assert isinstance(net.get_submodule(NORM), nn.BatchNorm2d)
    with pytest.raises(WeightsError, match="bn3.weight' is missing"):
        load_weights(net, state)
