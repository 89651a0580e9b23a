"""Programs kept on disk: what is found runs as what was compiled; whatever is wrong with a file, the network is compiled anew."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sample_frames import frames
from sample_networks import NETWORKS

from skipvid.core.errors import BackendError
from skipvid.skip import cpu as native
from skipvid.skip import kept
from skipvid.skip.api import SkipModel
from skipvid.skip.config import SkipConfig
from skipvid.skip.kept import KeptPrograms, kept_bytes
from skipvid.skip.source import Source

pytestmark = pytest.mark.skipif(not native.status().available, reason=native.status().reason)

NAME = "ShuffleNet unit"
SHAPE = NETWORKS[NAME][1]
CONFIG = SkipConfig(threshold=0.05, backend="cpu", threads=1)


def model(folder: Path, built: list[str], config: SkipConfig = CONFIG, weights: str = "a" * 64, name: str = NAME) -> SkipModel:
    """As an engine makes it. built: grows when the network is made."""

    def make() -> torch.nn.Module:
        built.append(name)
        torch.manual_seed(1)
        return NETWORKS[name][0]().eval()

    return SkipModel(Source(make), config, kept=KeptPrograms(folder, {"weights": weights, "network": name, "outputs": "1"}))


def streams(network: SkipModel, count: int = 6) -> list[tuple[object, ...]]:
    """All that is known of a stream of frames."""
    session, found = network.session(), []
    for frame in frames(SHAPE, count):
        maps = session.maps(frame)
        computed = {name: mask.tobytes() for name, mask in session.computed.items()}
        dense = [item.tobytes() for item in network.dense_maps(frame)]
        account = (session.keyframe, session.changed, session.cost, computed, session.activity().tobytes())
        found.append(([item.tobytes() for item in maps], dense, *account))
    return found


def same(first: list[tuple[object, ...]], second: list[tuple[object, ...]]) -> bool:
    def plain(row: tuple[object, ...]) -> tuple[object, ...]:
        cost: Any = row[4]
        return (*row[:4], cost.counts.tobytes(), cost.other_gate_ops, list(cost.table.names), *row[5:])

    return [plain(row) for row in first] == [plain(row) for row in second]


@pytest.mark.parametrize("precision", ["f32", "bf16"])
@pytest.mark.parametrize("gate", ["norm", "norm-smooth", "norm-output", "none"])
def test_a_kept_program_does_what_the_compiled_one_did_and_the_network_is_not_made(gate: str, precision: str, tmp_path: Path) -> None:
    config, built = replace(CONFIG, gate=gate, precision=precision), list[str]()
    first = streams(model(tmp_path / "programs", built, config))
    second = streams(model(tmp_path / "programs", built, config))
    assert built == [NAME]
    assert same(first, second)


def test_a_kept_program_returns_what_the_network_returns(tmp_path: Path) -> None:
    results = []
    for _ in range(2):
        network = model(tmp_path, [])
        frame = next(iter(frames(SHAPE, 1)))
        results.append((network.session()(frame), network.dense(frame)))
    (a, b), (c, d) = results
    assert type(a) is type(c) and torch.equal(a, c) and torch.equal(b, d)


@pytest.mark.parametrize(
    "other",
    [
        {"threshold": 0.06},
        {"block": 2},
        {"gate": "norm-output"},
        {"precision": "bf16"},
        {"thresholds": {"x": 0.1}},
        {"scales": {"x": 0.1}},
        {"gate": "norm-output", "p": 2.0},
        {"gate": "norm-output", "input_threshold": 0.01},
    ],
)
def test_other_settings_are_another_program(other: dict[str, object], tmp_path: Path) -> None:
    store = KeptPrograms(tmp_path, {"weights": "a"})
    changed = replace(CONFIG, **other)  # type: ignore[arg-type]
    ours, theirs = (store._about(config, config.precision, (SHAPE,)) for config in (CONFIG, changed))
    assert store._path(ours) != store._path(theirs)


def test_other_weights_sizes_and_code_are_another_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def path(weights: str = "a", size: int = 32) -> Path:
        store = KeptPrograms(tmp_path, {"weights": weights})
        return store._path(store._about(CONFIG, "f32", ((1, 3, size, size),)))

    paths = [path(), path(weights="b"), path(size=64)]
    monkeypatch.setattr(kept, "_code", lambda: "newer")
    paths.append(path())
    assert len(set(paths)) == len(paths)


def test_threads_and_keyframes_share_a_program(tmp_path: Path) -> None:
    built = list[str]()
    for config in (CONFIG, replace(CONFIG, threads=2), replace(CONFIG, refresh=3, dense_above=1.0)):
        streams(model(tmp_path, built, config), 2)
    assert built == [NAME] and len(list(tmp_path.iterdir())) == 1


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def of_another(path: Path) -> None:
    """Put a whole file of another network in its place."""
    folder = path.parent / "other"
    other = model(folder, [], name="one pixel")
    other.program((NETWORKS["one pixel"][1],))
    (found,) = folder.glob("*.program")
    path.write_bytes(found.read_bytes())


@pytest.mark.parametrize("damage", [cut, flip, empty, replace_by_folder, of_another])
def test_a_file_that_is_damaged_or_foreign_is_compiled_anew(damage: Callable[[Path], None], tmp_path: Path) -> None:
    expected = streams(model(tmp_path, []))
    (path,) = tmp_path.glob("*.program")
    damage(path)
    built = list[str]()
    assert same(streams(model(tmp_path, built)), expected) and built == [NAME]
    if path.is_file():  # and the next run finds a sound one in its place
        assert same(streams(model(tmp_path, built)), expected) and built == [NAME]


def test_a_head_that_does_not_fit_its_description_is_refused(tmp_path: Path) -> None:
    from skipvid.skip.cpu import file
    from skipvid.skip.cpu.backend import NativeBackend

    model(tmp_path, []).program((SHAPE,))
    (path,) = tmp_path.glob("*.program")
    content, backend = file.read(path), NativeBackend(1)
    backend.load(content)
    output, unit, layers = content.outputs[0], content.units[0], content.costs.layers
    for wrong in (
        replace(content, outputs=(replace(output, map=10**6),)),
        replace(content, outputs=(replace(output, map=-1),)),
        replace(content, outputs=(replace(output, shape=(1, 7, 7, 7)),)),
        replace(content, layer_maps=content.layer_maps[:-1]),
        replace(content, layer_maps=(-1, *content.layer_maps[1:])),
        replace(content, costs=replace(content.costs, layers=(replace(layers[0], size=(1, 2)), *layers[1:]))),
        replace(content, segments=(0, 0)),
        replace(content, segments=()),
        replace(content, gates={"x": 10**6}),
        replace(content, units=(replace(unit, step=10**6),)),
        replace(content, units=(replace(unit, offsets=(1.0,) * 999),)),
        replace(content, description=content.description[:-16]),
    ):
        with pytest.raises(BackendError):
            backend.load(wrong)


def test_a_folder_that_cannot_be_made_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    built = list[str]()
    for _ in range(2):
        assert streams(model(tmp_path / "file" / "programs", built), 2)
    assert built == [NAME, NAME]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert streams(model(tmp_path, []), 2)
    tmp_path.chmod(0o700)


def test_what_pytorch_computes_a_part_of_is_not_kept(tmp_path: Path) -> None:
    built = list[str]()
    for _ in range(2):
        model(tmp_path, built, name="two images in a batch").program((NETWORKS["two images in a batch"][1],))
    assert built == ["two images in a batch"] * 2 and not list(tmp_path.glob("*.program"))


def test_gates_that_are_only_tried_are_not_kept(tmp_path: Path) -> None:
    network = model(tmp_path, [])
    network.regated(replace(CONFIG, threshold=0.5)).program((SHAPE,))
    assert not list(tmp_path.iterdir())
    network.regated(replace(CONFIG, threshold=0.5), keep=True).program((SHAPE,))
    assert len(list(tmp_path.iterdir())) == 1


def test_the_files_used_longest_ago_go_where_the_folder_grows_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3):
        model(tmp_path, [], replace(CONFIG, threshold=0.1 + number)).program((SHAPE,))
    paths = sorted(tmp_path.glob("*.program"), key=lambda path: path.stat().st_mtime_ns)
    for number, path in enumerate(paths):
        os.utime(path, (1e9 + number, 1e9 + number))
    old_part, new_part = (tmp_path / f"x.program.skipvid-{name}.part" for name in ("old", "new"))
    for part in (old_part, new_part):
        part.write_text("")
    os.utime(old_part, (1e9, 1e9))
    model(tmp_path, [], replace(CONFIG, threshold=0.1)).program((SHAPE,))  # is used again
    used = max(tmp_path.glob("*.program"), key=lambda path: path.stat().st_mtime)
    monkeypatch.setattr(kept, "LIMIT", int(2.5 * used.stat().st_size))
    model(tmp_path, [], replace(CONFIG, threshold=9.0)).program((SHAPE,))
    left = set(tmp_path.glob("*.program"))
    assert len(left) == 2 and used in left
    assert kept_bytes(tmp_path) == sum(path.stat().st_size for path in left)
    assert not old_part.exists() and new_part.exists()
    monkeypatch.setattr(kept, "LIMIT", 1)
    model(tmp_path, [], replace(CONFIG, threshold=10.0)).program((SHAPE,))
    assert len(list(tmp_path.glob("*.program"))) == 1  # the newest stays


def test_streams_that_are_copied_out_do_not_change_with_the_next_frame(tmp_path: Path) -> None:
    for _ in range(2):
        network = model(tmp_path, [])
        first, second = frames(SHAPE, 2)
        held = network.dense_maps(first)
        copies = [item.copy() for item in held]
        network.dense_maps(second)
        assert all(np.array_equal(a, b) for a, b in zip(held, copies, strict=True))
