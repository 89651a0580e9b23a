"""Shifts that cross from Python into C++: what cannot be moved is refused there."""

from __future__ import annotations

import description_tables as tables
import numpy as np
import pytest

from skipvid.skip.cpu._native import Program, State, ThreadPool

POOL = ThreadPool(1)
FRAME = np.zeros((3, 9, 8), np.float32)


@pytest.mark.parametrize("shift", [(9, 0), (-9, 0), (0, 8), (0, -(2**31)), (2**31 - 1, 1)])
def test_a_shift_that_leaves_nothing_of_the_input_is_refused(shift: tuple[int, int]) -> None:
    program = Program(tables.sample(tables.OWN), POOL)
    state = State(program, False)
    program.run(state, [FRAME], 0, True, True)
    with pytest.raises(ValueError, match="leaves nothing of the input" if program.moves else "moves nothing"):
        program.run(state, [FRAME], 0, False, True, *shift)


def test_a_keyframe_moves_nothing() -> None:
    program = Program(tables.sample(tables.OWN), POOL)
    with pytest.raises(RuntimeError, match="keyframe"):
        program.run(State(program, False), [FRAME], 0, True, True, 1, 0)
