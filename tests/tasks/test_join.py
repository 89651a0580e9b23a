"""Activity of several networks in one frame."""

from __future__ import annotations

import numpy as np
import pytest

from skipvid.tasks.join import FINER, GRID_CELLS, Patch, join_activity


def test_activity_of_one_network_over_the_whole_frame_is_its_own() -> None:
    grid = np.linspace(0, 1, 24, dtype=np.float32).reshape(4, 6)
    joined = join_activity([Patch(grid, (0, 0, 600, 400), 1000)], (400, 600))
    assert joined.shape == (round(GRID_CELLS * 4 / 6), GRID_CELLS)
    np.testing.assert_allclose(joined[13::27, 13::27], grid[:, :6], atol=0.01)


def test_a_cell_under_two_networks_weighs_them_by_their_macs() -> None:
    frame = Patch(np.zeros((10, 10), np.float32), (0, 0, 100, 100), 1000)
    person = Patch(np.ones((4, 4), np.float32), (50, 0, 100, 50), 3000)
    joined = join_activity([frame, person], (100, 100))
    half = GRID_CELLS // 2
    # 1000 MACs on 100 x 100 pixels, all reused, under 3000 on 50 x 50, all computed.
    np.testing.assert_allclose(joined[: half - 1, half + 1 :], 3000 / 2500 / (3000 / 2500 + 1000 / 10000), rtol=1e-5)
    assert joined[half + 1 :].max() == 0 and joined[:, : half - 1].max() == 0


@pytest.mark.parametrize("left", [-30, 10, 33.3, 80])
def test_a_patch_lies_where_its_window_lies_even_beyond_the_frame(left: float) -> None:
    person = Patch(np.ones((8, 8), np.float32), (left, 20, left + 40, 60), 100)
    joined = join_activity([person], (100, 100))
    columns = np.flatnonzero(joined.max(0) > 0.5) * 100 / GRID_CELLS
    cell = 100 / GRID_CELLS
    assert columns[0] == pytest.approx(max(left, 0), abs=cell * (1 + 1 / FINER))
    assert columns[-1] + cell == pytest.approx(min(left + 40, 100), abs=cell * (1 + 1 / FINER))


def test_without_any_network_nothing_was_computed() -> None:
    assert join_activity([], (30, 60)).max() == 0
