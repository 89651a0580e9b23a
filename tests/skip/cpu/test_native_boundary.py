"""What crosses from Python into C++: numbers of maps, steps and segments, arrays of any shape. Nothing of it is believed."""

from __future__ import annotations

import threading
from collections.abc import Callable

import description_tables as tables
import numpy as np
import pytest

from skipvid.skip.cpu._native import Program, State, ThreadPool

POOL = ThreadPool(1)
FRAME = np.zeros((3, 9, 8), np.float32)
PIXELS = np.zeros((9, 8, 3), np.uint8)
VALUES = np.zeros((3, 256), np.float32)


def program() -> Program:
    """Maps of (3, 9, 8), (4, 9, 8) and (4, 9, 8); four steps."""
    return Program(tables.sample(tables.OWN), POOL)


@pytest.fixture
def state() -> State:
    return State(program(), False)


BY_MAP: dict[str, Callable[[State, int], object]] = {
    "rows": State.rows,
    "limit": State.limit,
    "any_changed": State.any_changed,
    "computed": State.computed,
    "changed": State.changed,
    "set_changed": lambda state, number: state.set_changed(number, np.zeros((9, 8), bool)),
    "weighted": lambda state, number: state.weighted(np.array([0, number], np.int32), np.ones(2, np.float32)),
}


@pytest.mark.parametrize("call", BY_MAP)
@pytest.mark.parametrize("number", [-1, 3, 2**31 - 1, -(2**31)])
def test_there_is_no_map_of_another_number(state: State, call: str, number: int) -> None:
    with pytest.raises(ValueError, match=f"there is no map {number}, the program has 3"):
        BY_MAP[call](state, number)


@pytest.mark.parametrize("number", [-1, 4, 2**31 - 1])
def test_there_is_no_step_of_another_number(state: State, number: int) -> None:
    with pytest.raises(ValueError, match=f"there is no step {number}, the program has 4"):
        state.output_limit(number)


@pytest.mark.parametrize("number", [-1, 1, 2**31 - 1])
def test_there_is_no_segment_of_another_number(number: int) -> None:
    own = program()
    with pytest.raises(ValueError, match=f"there is no segment {number}, the program has 1"):
        own.run(State(own, False), [FRAME], number, True, True)


@pytest.mark.parametrize("shape", [(9, 7), (8, 9), (0, 0), (10, 8), (1, 72)])
def test_a_mask_of_another_size_is_refused(state: State, shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=f"the mask is {shape[0]} x {shape[1]}, map 1 is 9 x 8"):
        state.set_changed(1, np.zeros(shape, bool))


@pytest.mark.parametrize(("maps", "weights"), [(0, 0), (2, 1), (1, 2)])
def test_as_many_weights_as_maps_are_added_up(state: State, maps: int, weights: int) -> None:
    with pytest.raises(ValueError, match=f"{maps} maps and {weights} weights"):
        state.weighted(np.zeros(maps, np.int32), np.ones(weights, np.float32))


BAD_INPUTS = {
    "no input": [],
    "too few channels": [FRAME[:2]],
    "too many channels": [np.zeros((4, 9, 8), np.float32)],
    "too few rows": [FRAME[:, :8]],
    "too few columns": [FRAME[:, :, :7]],
    "no rows": [FRAME[:, :0]],
    "transposed": [FRAME.transpose(0, 2, 1)],
}


@pytest.mark.parametrize("what", BAD_INPUTS)
def test_an_input_of_another_shape_is_refused(what: str) -> None:
    own = program()
    with pytest.raises(ValueError, match=r"instead of \(3, 9, 8\)|takes more inputs"):
        own.run(State(own, False), BAD_INPUTS[what], 0, True, True)


@pytest.mark.parametrize("array", [FRAME[0], FRAME[None], None, "x"])
def test_an_input_of_another_kind_is_refused(array: object) -> None:
    own = program()
    with pytest.raises(TypeError):
        own.run(State(own, False), [array], 0, True, True)  # type: ignore[list-item]


def test_an_input_may_have_any_strides() -> None:
    generator = np.random.default_rng(0)
    large = generator.normal(size=(18, 8, 6)).astype(np.float32)
    view = large.transpose(2, 0, 1)[::-2, ::-2]  # (3, 9, 8), strides of both signs
    results = []
    for array in (view, np.ascontiguousarray(view)):
        own = program()
        state = State(own, False)
        own.run(state, [array], 0, True, True)
        results.append(state.rows(2).copy())
    assert np.array_equal(*results)


BAD_PICTURES = {
    "too tall": (np.zeros((10, 8, 3), np.uint8), VALUES, (0, 1, 2)),
    "too wide": (np.zeros((9, 9, 3), np.uint8), VALUES, (0, 1, 2)),
    "an order beyond a pixel": (PIXELS, VALUES, (0, 1, 3)),
    "a negative order": (PIXELS, VALUES, (-1, 1, 2)),
}


@pytest.mark.parametrize("what", BAD_PICTURES)
def test_a_picture_that_does_not_fit_is_refused(what: str) -> None:
    own = program()
    with pytest.raises(ValueError, match="does not fit|order of a picture"):
        own.run_picture(State(own, False), *BAD_PICTURES[what], 0, True, True)


@pytest.mark.parametrize(
    ("pixels", "values"),
    [
        (np.zeros((9, 8, 4), np.uint8), VALUES),
        (PIXELS[0], VALUES),
        (PIXELS, VALUES[:2]),
        (PIXELS, VALUES[:, :255]),
    ],
)
def test_a_picture_of_another_layout_is_refused(pixels: np.ndarray, values: np.ndarray) -> None:
    own = program()
    with pytest.raises(TypeError):
        own.run_picture(State(own, False), pixels, values, (0, 1, 2), 0, True, True)


def test_a_picture_without_pixels_is_an_input_of_zeros() -> None:
    own = program()
    state = State(own, False)
    for keyframe in (True, False):
        own.run_picture(state, PIXELS[:0], VALUES + 1, (0, 1, 2), 0, keyframe, True)
    assert not state.rows(0).any()


def test_a_network_of_other_channels_takes_no_picture() -> None:
    own = Program(tables.put_together(tables.sample(tables.OWN), one_channel()), POOL)
    with pytest.raises(ValueError, match="does not fit an input of"):
        own.run_picture(State(own, False), PIXELS, VALUES, (0, 1, 2), 0, True, True)


def one_channel() -> tables.Tables:
    """The sample with an input of one channel; the weights of the first layer are more than it needs."""
    parts = tables.take_apart(tables.sample(tables.OWN))
    parts["maps"]["channels"][0] = 1
    parts["program"]["values"] -= 2 * 9 * 8
    return parts


def test_a_state_keeps_its_program_and_rows_keep_their_state() -> None:
    rows = State(program(), False).rows(2)
    assert rows.shape == (9, 8, 4) and not rows.any()


def test_a_state_runs_one_frame_at_a_time() -> None:
    own = program()
    state, errors = State(own, False), list[BaseException]()
    own.run(state, [FRAME], 0, True, True)
    barrier = threading.Barrier(2)

    def run() -> None:
        barrier.wait()
        for _ in range(2000):
            try:
                own.run(state, [FRAME], 0, True, True)
            except RuntimeError as error:
                errors.append(error)

    threads = [threading.Thread(target=run, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all("runs another frame at this moment" in str(error) for error in errors)


@pytest.mark.parametrize("bad", [None, bytearray(b"x"), "text", 7])
def test_a_description_is_bytes(bad: object) -> None:
    with pytest.raises(TypeError):
        Program(bad, POOL)  # type: ignore[arg-type]


def test_a_program_needs_a_pool_and_kernels_that_there_are() -> None:
    data = tables.sample(tables.OWN)
    with pytest.raises((TypeError, ValueError)):
        Program(data, None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="does not run the instruction set sse9"):
        Program(data, POOL, "sse9")
