"""Reading checkpoints: every upstream wrapping, and one clear line for everything else."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from skipvid.core.errors import WeightsError
from skipvid.models import load_weights
from skipvid.models.checkpoint import read_state_dict


class Config:
    name = "tiny-net"


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.config = Config()
        self.conv = nn.Conv2d(3, 4, 3)
        self.bn = nn.BatchNorm2d(4)


def trained() -> dict[str, Tensor]:
    torch.manual_seed(1)
    net = Net()
    net.bn.running_var.uniform_(0.5, 2)  # type: ignore[operator, union-attr]
    return net.state_dict()


WRAPPINGS: dict[str, Callable[[dict[str, Tensor]], Any]] = {
    "bare": lambda state: state,
    "state_dict": lambda state: {"state_dict": state, "epoch": 3, "arch": "x"},
    "model": lambda state: {"model": state, "optimizer": {}},
    "a model named beside its state dict": lambda state: {"model": "tiny-net", "state_dict": state},
    "the averaged state first": lambda state: {"state_dict": {k: v * 0 for k, v in state.items()}, "state_dict_ema": state},
    "data parallel": lambda state: {f"module.{key}": value for key, value in state.items()},
    "data parallel, wrapped": lambda state: {"state_dict": {f"module.{key}": value for key, value in state.items()}},
    "training bench": lambda state: {"state_dict": {f"model.{key}": value for key, value in state.items()}},
    "without counters": lambda state: {key: value for key, value in state.items() if "num_batches" not in key},
}


@pytest.mark.parametrize("wrap", WRAPPINGS.values(), ids=WRAPPINGS)
@pytest.mark.parametrize("from_file", [True, False])
def test_every_wrapping_of_upstream_is_recognised(wrap: Callable[[dict[str, Tensor]], Any], from_file: bool, tmp_path: Path) -> None:
    state = trained()
    content = wrap(state)
    if from_file:
        torch.save(content, tmp_path / "net.pth")
        content = tmp_path / "net.pth"
    net = Net()
    load_weights(net, content)
    for key, value in net.state_dict().items():
        assert torch.equal(value, state[key])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_stored_precision_becomes_the_networks_own(dtype: torch.dtype, tmp_path: Path) -> None:
    state = {key: value.to(dtype) if value.is_floating_point() else value for key, value in trained().items()}
    torch.save(state, tmp_path / "half.pt")
    net = Net()
    load_weights(net, tmp_path / "half.pt")
    assert net.conv.weight.dtype == torch.float32
    assert torch.equal(net.conv.weight, state["conv.weight"].float())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda s: s.pop("conv.bias"), "'conv.bias' is missing (1 of 7 missing, 0 unexpected)"),
        (lambda s: s.update({"head.weight": torch.zeros(2)}), "'head.weight' is unexpected"),
        (
            lambda s: s.update({"conv.weight": torch.zeros(4, 3, 1, 1)}),
            "'conv.weight' has shape (4, 3, 1, 1), the network has (4, 3, 3, 3)",
        ),
    ],
)
def test_a_misfit_names_file_key_and_network_and_changes_nothing(
    change: Callable[[dict[str, Tensor]], None], says: str, tmp_path: Path
) -> None:
    state = trained()
    change(state)
    torch.save(state, tmp_path / "other.pth")
    net = Net()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    with pytest.raises(WeightsError) as caught:
        load_weights(net, tmp_path / "other.pth")
    message = str(caught.value)
    assert says in message and "tiny-net" in message and "other.pth" in message and "\n" not in message
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


class Bomb:
    """Pickled, it is a call of os.mkdir."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Callable[..., None], tuple[str]]:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("archive", [True, False])
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_a_file_that_would_run_code_is_refused_and_does_not_run(archive: bool, protocol: int, tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    file = tmp_path / "evil.pth"
    if archive:
        torch.save({"state_dict": {"x": Bomb(marker)}}, file, pickle_protocol=protocol)
    else:
        file.write_bytes(pickle.dumps(Bomb(marker), protocol=protocol))
    with pytest.raises(WeightsError, match=r"evil\.pth") as caught:
        load_weights(Net(), file)
    assert not marker.exists()
    assert "\n" not in str(caught.value)
    # torch refuses later protocols before it comes to the call, and so cannot tell what the file is.
    assert ("could run code" if protocol == 2 else "plain tensors") in str(caught.value)


def _truncate(path: Path) -> None:
    torch.save(trained(), path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _flip(path: Path) -> None:
    torch.save(trained(), path)
    content = bytearray(path.read_bytes())
    content[: len(content) // 3] = bytes(len(content) // 3)
    path.write_bytes(content)


UNREADABLE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "truncated": (_truncate, "damaged"),
    "overwritten": (_flip, "damaged"),
    "empty": (lambda path: path.write_bytes(b""), "damaged"),
    "a web page": (lambda path: path.write_text("<!doctype html><title>404</title>"), "damaged"),
    "plain text": (lambda path: path.write_text("hello\n"), "damaged"),
    "missing": (lambda path: None, "does not exist"),
    "a folder": (lambda path: path.mkdir(), "not a file"),
    "a tensor": (lambda path: torch.save(torch.zeros(3), path), "not a state dict"),
    "a list": (lambda path: torch.save([torch.zeros(3)], path), "not a state dict"),
    "numbers": (lambda path: torch.save({"lr": 0.1}, path), "'lr' is a float, not a tensor"),
    "nothing": (lambda path: torch.save({}, path), "holds no parameters"),
}


@pytest.mark.parametrize(("write", "says"), UNREADABLE.values(), ids=UNREADABLE)
def test_anything_else_gets_one_line_that_names_the_file(write: Callable[[Path], Any], says: str, tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    write(file)
    with pytest.raises(WeightsError) as caught:
        read_state_dict(file)
    message = str(caught.value)
    assert says in message and "weights.pth" in message and "\n" not in message
