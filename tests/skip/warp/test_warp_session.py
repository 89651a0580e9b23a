"""Sessions of activation motion compensation: exact where nothing moves, keyframes where nothing matches, and every cost counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from function_network import Net
from numpy.typing import NDArray
from torch import nn

from skipvid.core.errors import UsageError
from skipvid.core.ratios import Narrower
from skipvid.skip.api import SkipModel
from skipvid.skip.config import SkipConfig
from skipvid.skip.picture import Picture
from skipvid.skip.warp.block_motion import block_motion, small_grey
from skipvid.skip.warp.session import WarpSession

SIZE = (192, 256)
ROOM = 64


def scene(seed: int = 0) -> NDArray[np.uint8]:
    noise = np.random.default_rng(seed).normal(0, 1, (SIZE[0] + 2 * ROOM, SIZE[1] + 2 * ROOM, 3))
    smooth = cv2.GaussianBlur(noise, (0, 0), 5.0)
    return np.clip(128 + 45 * smooth / smooth.std(), 0, 255).astype(np.uint8)


def seen(whole: NDArray[np.uint8], x: int = 0, y: int = 0, size: tuple[int, int] = SIZE) -> Picture:
    """What lies x, y pixels aside, in the middle where both are 0."""
    pixels = np.ascontiguousarray(whole[ROOM + y : ROOM + y + size[0], ROOM + x : ROOM + x + size[1]])
    tables = np.tile(np.linspace(-1, 1, 256, dtype=np.float32), (3, 1))
    return Picture(pixels, (-(-size[0] // 16) * 16, -(-size[1] // 16) * 16), tables, (2, 1, 0))


def network() -> nn.Module:
    """Most of its work stands before a map at an eighth of the size."""

    def layer(inputs: int, outputs: int, stride: int) -> nn.Module:
        return nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1), nn.ReLU())

    torch.manual_seed(0)
    return Net(
        lambda m, x: (lambda deep: [m.head(deep), m.other(m.down(deep))])(m.body(x)),
        body=nn.Sequential(layer(3, 12, 2), layer(12, 12, 2), layer(12, 8, 2)),
        down=layer(8, 8, 2),
        head=nn.Conv2d(8, 24, 3, padding=1),
        other=nn.Conv2d(8, 6, 1),
    )


@pytest.fixture(scope="module")
def source() -> SkipModel:
    return SkipModel(network(), SkipConfig(threshold=0.03, backend="reference"))


@pytest.fixture(params=["f32", "bf16"])
def model(source: SkipModel, backend: str, request: pytest.FixtureRequest) -> SkipModel:
    return source.regated(replace(source.config, backend=backend, threads=1, precision=request.param))


def same(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    return all(torch.equal(mine, theirs) for mine, theirs in zip(one, other, strict=True))


def test_a_still_scene_has_the_bits_of_the_dense_network(model: SkipModel) -> None:
    session, picture = model.warp_session(), seen(scene())
    for number in range(4):
        assert same(session(picture), model.dense(picture)), number
        assert session.keyframe == (number == 0)


def test_noise_leaves_the_maps_where_they_are(model: SkipModel) -> None:
    session, picture, random = model.warp_session(), seen(scene()), np.random.default_rng(1)
    first = [map_.clone() for map_ in session(picture)]
    noisy = np.clip(picture.pixels + random.normal(0, 2, picture.pixels.shape), 0, 255).astype(np.uint8)
    assert same(session(replace(picture, pixels=noisy)), first) and not session.keyframe


@pytest.mark.parametrize(("x", "y"), [(16, 0), (-16, 16)])
def test_a_shift_by_whole_cells_has_the_dense_bits_away_from_the_border(
    model: SkipModel, monkeypatch: pytest.MonkeyPatch, x: int, y: int
) -> None:
    monkeypatch.setattr("skipvid.skip.warp.session.MOST_UNMATCHED", 0.3)  # what comes in at the border matches nothing
    session, whole = model.warp_session(), scene()
    session(seen(whole))
    moved, dense = session(seen(whole, x, y)), model.dense(seen(whole, x, y))
    assert not session.keyframe
    for one, other in zip(moved, dense, strict=True):
        border = 6 * 8 * one.shape[2] // SIZE[0]
        inside = (..., slice(border, -border), slice(border, -border))
        assert one[inside].numel() and torch.equal(one[inside], other[inside]) and not torch.equal(one, other)


def test_costs_are_those_of_the_layers_that_ran_and_of_what_motion_took(model: SkipModel) -> None:
    session, whole = model.warp_session(), scene()
    behind = 8 * 24 * 9 * 24 * 32 + 8 * 8 * 9 * 12 * 16 + 8 * 6 * 12 * 16
    dense = 3 * 12 * 9 * 96 * 128 + 12 * 12 * 9 * 48 * 64 + 12 * 8 * 9 * 24 * 32 + behind
    session(seen(whole))
    first = session.cost
    assert (first.macs, first.dense_macs, first.gate_ops) == (dense, dense, 0)
    session(seen(whole))
    still = session.cost
    search = block_motion(small_grey(seen(whole).pixels), small_grey(seen(whole).pixels)).operations
    assert (still.macs, still.dense_macs, still.gate_ops) == (behind, dense, search)
    assert search > 289 * 48 * 64 * 3, "a difference, its magnitude and a sum for every shift"
    session(seen(whole, 4, 0))
    moved = session.cost
    assert not session.keyframe and moved.macs == behind
    assert search < moved.gate_ops <= search + 7 * 8 * 24 * 32
    assert [layer.active for layer in moved.layers] == [0 if layer.name.startswith("body") else layer.outputs for layer in moved.layers]
    assert {name: mask.all() for name, mask in session.computed.items()} == {
        layer.name: not layer.name.startswith("body") for layer in moved.layers
    }
    assert session.activity(8).shape == (24, 32)
    np.testing.assert_allclose(session.activity(8), behind / dense, rtol=1e-5)
    whole_dense = model.program(((1, 3, *SIZE),)).costs.dense_macs
    assert whole_dense == dense, "the yardstick is the plain network"


def test_another_scene_a_reset_another_size_and_refresh_are_keyframes(model: SkipModel) -> None:
    session, whole = model.warp_session(), scene()

    def keyframe(picture: Picture) -> bool:
        assert same(session(picture), model.dense(picture)) or not session.keyframe
        return session.keyframe

    assert [keyframe(seen(whole)) for _ in range(2)] == [True, False]
    assert keyframe(seen(scene(7))) and not keyframe(seen(scene(7)))
    assert session.cost.macs < session.cost.dense_macs
    session.reset()
    assert keyframe(seen(scene(7)))
    assert keyframe(seen(whole, size=(160, 256))) and not keyframe(seen(whole, size=(160, 256)))
    assert keyframe(seen(whole, size=(150, 250))), "another picture in an input of the same size"
    often = model.regated(replace(model.config, refresh=3)).warp_session()
    assert [(often(seen(whole)), often.keyframe)[1] for _ in range(7)] == [True, False, False] * 2 + [True]


def test_a_keyframe_in_vain_costs_the_search_too(model: SkipModel) -> None:
    session = model.warp_session()
    session(seen(scene()))
    session(seen(scene(7)))
    assert session.keyframe and session.cost.macs == session.cost.dense_macs and session.cost.gate_ops > 0


def test_after_a_frame_that_failed_follows_a_keyframe(model: SkipModel, monkeypatch: pytest.MonkeyPatch) -> None:
    session, picture = model.warp_session(), seen(scene())
    session(picture)

    def fails(*_: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr("skipvid.skip.warp.session.moved", fails)
        with pytest.raises(MemoryError):
            session(picture)
    session(picture)
    assert session.keyframe


def test_sessions_do_not_disturb_each_other(model: SkipModel) -> None:
    one, other = model.warp_session(), model.warp_session()
    pictures = [seen(scene(), x) for x in (0, 4, 8, 0)]
    alone: list[list[torch.Tensor]] = []
    for picture in pictures:
        alone.append([map_.clone() for map_ in one(picture)])
    again = model.warp_session()
    for picture, expected in zip(pictures, alone, strict=True):
        other(seen(scene(3), 8))
        assert same(again(picture), expected)
    assert again.memory_bytes == one.memory_bytes > 0


def test_it_says_that_it_has_no_bound(model: SkipModel) -> None:
    session = model.warp_session()
    for _ in range(3):
        session(seen(scene()))
    assert "1 of 3 frames were keyframes" in session.problem and "no bound" in session.problem


def narrower(net: nn.Module) -> nn.Module:
    net.narrower = Narrower((0.5,), (network(),), ({},), SimpleNamespace(outer_bias=(0, 0)))  # type: ignore[arg-type, assignment]
    return net


def of_a_tensor(session: Callable[..., object]) -> None:
    session(torch.zeros(1, 3, *SIZE))


def test_tensors_and_networks_of_several_widths_are_refused_in_one_line(source: SkipModel) -> None:
    with pytest.raises(UsageError, match="takes pictures"):
        of_a_tensor(source.warp_session())
    with pytest.raises(UsageError, match="one width"):
        SkipModel(narrower(network()), source.config).warp_session()(seen(scene()))


def test_it_is_a_session(source: SkipModel) -> None:
    session = source.warp_session()
    assert isinstance(session, WarpSession) and session.ratio == 1.0 and session.verdict == ""
