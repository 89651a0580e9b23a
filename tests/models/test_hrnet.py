"""HRNet: the published sizes, agreement with upstream, both layouts of its checkpoints, export and training."""

from __future__ import annotations

import os
import sys
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sparsity import assert_runs_wholly_sparsely_and_exactly
from torch import Tensor

from skipvid.core.errors import WeightsError
from skipvid.models import build_model, load_weights
from skipvid.models.hrnet import CONFIGS
from skipvid.models.networks.hrnet import HRNet


def narrow(**changes: int) -> HRNet:
    """A whole network of few parameters; every rule of the family applies to it."""
    torch.manual_seed(0)
    return HRNet(replace(CONFIGS["hrnet-nano"], width=4, stem=8, bottleneck=4, blocks=1, **changes)).eval()


@pytest.mark.parametrize(("name", "millions"), [("hrnet_w32_256x192", 28.5), ("hrnet_w48_384x288", 63.6)])
def test_parameters_are_those_of_table_1_of_the_paper(name: str, millions: float) -> None:
    with torch.device("meta"):
        net = build_model(name)
    assert sum(p.numel() for p in net.parameters()) / 1e6 == pytest.approx(millions, abs=0.05)


@pytest.mark.parametrize("size", [(256, 192), (384, 288), (96, 224), (32, 32)])
def test_heat_maps_have_a_quarter_of_any_size(size: tuple[int, int]) -> None:
    with torch.no_grad():
        assert narrow()(torch.zeros(2, 3, *size)).shape == (2, 17, size[0] // 4, size[1] // 4)


def fixture() -> Path | None:
    """Upstream's output: in SKIPVID_FIXTURES, or in the sibling of SKIPVID_DATA."""
    own, data = os.environ.get("SKIPVID_FIXTURES"), os.environ.get("SKIPVID_DATA")
    folder = Path(own) if own else Path(data).resolve().parent / "fixtures" if data else None
    file = folder / "hrnet_w8.pt" if folder else None
    return file if file is not None and file.is_file() else None


@pytest.mark.realdata
@pytest.mark.skipif(fixture() is None, reason="neither SKIPVID_FIXTURES nor SKIPVID_DATA names a folder with upstream's outputs")
@pytest.mark.parametrize("mmpose", [False, True])
def test_heat_maps_agree_with_upstream_in_both_layouts(mmpose: bool) -> None:
    file = fixture()
    assert file is not None
    stored = torch.load(file, weights_only=True)
    state = as_mmpose(stored["state_dict"]) if mmpose else stored["state_dict"]
    net = HRNet(replace(CONFIGS["hrnet_w32_256x192"], width=8)).eval()
    load_weights(net, state)
    x = torch.randn(stored["input_shape"], generator=torch.Generator().manual_seed(stored["input_seed"]))
    with torch.no_grad():
        difference = (net(x) - stored["heatmap"].float()).abs().max()
    assert difference <= 1e-4 * stored["heatmap"].abs().max()


def as_mmpose(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same parameters under MMPose's names."""
    return {("head." if key.startswith("final_layer") else "backbone.") + key: value for key, value in state.items()}


def test_a_checkpoint_of_mmpose_loads_whatever_lies_beside_its_parameters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    history = types.ModuleType("mmengine.logging.history_buffer")

    class HistoryBuffer:
        def __init__(self) -> None:
            self._log_history = np.arange(3.0)

    HistoryBuffer.__module__, HistoryBuffer.__qualname__ = history.__name__, "HistoryBuffer"
    history.HistoryBuffer = HistoryBuffer  # type: ignore[attr-defined]
    for name in ("mmengine", "mmengine.logging"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, history.__name__, history)
    trained = narrow()
    file = tmp_path / "td-hm_hrnet.pth"
    meta = {"dataset_meta": {"sigmas": np.arange(17, dtype=np.float32), "name": "coco"}, "epoch": 210}
    state = {**as_mmpose(trained.state_dict()), "data_preprocessor.mean": torch.zeros(3, 1, 1)}
    torch.save({"meta": meta, "message_hub": {"loss": HistoryBuffer()}, "state_dict": state}, file)
    monkeypatch.undo()  # neither package is there where the file is read
    net = narrow()
    for parameter in net.parameters():
        parameter.data.zero_()
    load_weights(net, file)
    assert all(torch.equal(value, net.state_dict()[key]) for key, value in trained.state_dict().items())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda state: state.pop("backbone.stage3.1.fuse_layers.2.0.1.0.weight"), "'stage3.1.fuse_layers.2.0.1.0.weight' is missing"),
        (lambda state: state.update({"head.deconv_layers.0.weight": torch.zeros(1)}), "'deconv_layers.0.weight' is unexpected"),
        (lambda state: state.update({"head.final_layer.bias": torch.zeros(21)}), "'final_layer.bias' has shape (21,)"),
    ],
)
def test_any_other_difference_is_refused(change, words: str) -> None:  # type: ignore[no-untyped-def]
    state = as_mmpose(narrow().state_dict())
    change(state)
    with pytest.raises(WeightsError) as caught:
        load_weights(narrow(), state)
    assert words in str(caught.value)


def test_a_converted_network_runs_wholly_sparsely_and_threshold_zero_is_exact() -> None:
    net = narrow().requires_grad_(False)
    torch.manual_seed(1)
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.2, 0.2)  # type: ignore[union-attr, operator]
            module.running_var.uniform_(0.5, 1.5)  # type: ignore[union-attr, operator]
    assert_runs_wholly_sparsely_and_exactly(net, frames=4)


def test_gradients_reach_every_parameter() -> None:
    net = narrow().train()
    net(torch.randn(2, 3, 64, 64)).square().mean().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())
