"""Sheets and sums of gate maps."""

from __future__ import annotations

import math

import numpy as np
import pytest

from skipvid.video.draw.gate_maps import MOST_PICTURES, GateMaps, covered
from skipvid.video.draw.text import AMBER

IMAGE = np.full((120, 160, 3), 128, np.uint8)
BOX = np.array([[40, 30, 80, 60]], np.float32)


def test_cells_that_a_box_touches_are_covered() -> None:
    assert covered(BOX, (120, 160), (4, 4)).tolist() == [
        [False, False, False, False],
        [False, True, False, False],
        [False, False, False, False],
        [False, False, False, False],
    ]
    assert covered(BOX + 1, (120, 160), (4, 4)).sum() == 4
    assert not covered(np.zeros((0, 4), np.float32), (120, 160), (4, 4)).any()


def test_shares_tell_the_foreground_from_the_background() -> None:
    maps = GateMaps()
    front = covered(BOX, (120, 160), (4, 4))
    maps.add(IMAGE, BOX, {"first": front, "vector": np.ones((1, 1), np.bool_)})
    maps.add(IMAGE, BOX, {"first": np.ones((4, 4), np.bool_), "vector": np.ones((1, 1), np.bool_)})
    (share,) = maps.shares
    assert (share.layer, share.foreground, share.background) == ("first", 1.0, 0.5)
    alone = GateMaps()
    alone.add(IMAGE, np.zeros((0, 4), np.float32), {"first": front})
    assert math.isnan(alone.shares[0].foreground) and alone.shares[0].background == 1 / 16


def test_a_sheet_shows_the_computed_part_of_each_chosen_layer() -> None:
    maps = GateMaps()
    masks = {f"layer.{number}": np.zeros((6, 8), np.bool_) for number in range(80)}
    masks["layer.0"][:3, :4] = True
    maps.add(IMAGE, BOX, masks)
    sheet = maps.render("clip.mp4")
    assert sheet.dtype == np.uint8 and sheet.shape[1] == 5 * 256
    rows = -(-MOST_PICTURES // 5)
    tile = sheet.shape[0] // rows
    assert tile > 192
    outline = (sheet == AMBER).all(2)
    assert outline[:, :256].any() and outline[-200:, -256:].sum() < outline[:, :256].sum()


def test_there_is_no_sheet_of_nothing() -> None:
    with pytest.raises(ValueError, match="no frame yet"):
        GateMaps().render("")
