"""Stretches of dense frames: when they begin and end, and that no promise is lost before, in and after them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sample_networks import build
from session_promises import Pyramid, check_promises
from torch import Tensor, nn

from skipvid.skip.account import frame_cost
from skipvid.skip.api import SkipModel, convert
from skipvid.skip.config import SkipConfig
from skipvid.skip.dense_stretch import FIRST_FAR, LONGEST, SHORTEST, DenseStretch, changed_share
from skipvid.skip.picture import Picture

SHAPE = (1, 3, 32, 48)
TABLES = np.array([np.arange(256) / 255 - mean for mean in (0.2, 0.5, 0.7)], np.float32)


def lengths(*shares: float, above: float = 0.5) -> list[int]:
    """Of the stretches that follow gated frames of these shares of the MACs."""
    stretch, found = DenseStretch(0.05), []
    for share in shares:
        stretch.gated(share, above)
        found.append(stretch.left)
        while stretch.left:
            stretch.passed()
    return found


def test_stretches_grow_while_gates_do_not_pay_and_are_gone_when_they_do() -> None:
    assert lengths(*[0.6] * 5) == [SHORTEST, 8, LONGEST, LONGEST, LONGEST]
    assert lengths(0.9, 0.9, 0.9, 0.1, 0.6) == [FIRST_FAR, LONGEST, LONGEST, 0, SHORTEST]
    assert lengths(1.0, above=1.0) == [0]
    assert lengths(0.77, above=0.55) == [FIRST_FAR] and lengths(0.77, above=0.7) == [SHORTEST]


def test_stretches_grow_where_gates_pay_for_a_few_frames_and_hardly() -> None:
    assert lengths(0.6, 0.45, 0.6, 0.45, 0.4, 0.6) == [SHORTEST, 0, 8, 0, 0, LONGEST]
    assert lengths(0.6, 0.3, 0.6, 0.45, *[0.4] * 9, 0.6) == [SHORTEST, 0, SHORTEST, *[0] * 10, SHORTEST]
    assert lengths(0.4, 1e-3, above=0.0)[0] == SHORTEST  # gates that never pay


def noise(seed: int, share: float, still: Tensor) -> Tensor:
    """A frame in which about a share of the rows is another one."""
    frame = still.clone()
    rows = round(share * frame.shape[2])
    frame[:, :, :rows] = torch.randn(1, 3, rows, frame.shape[3], generator=torch.Generator().manual_seed(seed))
    return frame


def begun(share: float = 0.9) -> DenseStretch:
    stretch = DenseStretch(0.05)
    stretch.gated(share, 0.5)
    return stretch


def test_a_stretch_ends_where_two_frames_rest_and_not_for_one() -> None:
    still, stretch = torch.randn(1, 3, 64, 64), begun()
    frames = [noise(number, 0.8, still) for number in range(4)]
    for last, frame in zip(frames, frames[1:], strict=False):
        stretch.look([frame], [last])
        stretch.passed()
    assert stretch.left == FIRST_FAR - 3
    stretch.look([still], [still])
    stretch.look([frames[0]], [still])
    stretch.look([still], [still])
    assert stretch.left == FIRST_FAR - 3
    stretch.look([still], [still])
    assert stretch.left == 1  # this frame is the keyframe that a gated one can follow


def test_a_stretch_that_times_asked_for_is_not_ended_by_rest() -> None:
    still, stretch = torch.randn(1, 3, 64, 64), DenseStretch(0.05)
    stretch.prolong(5)
    for _ in range(3):
        stretch.look([still], [still])
    assert stretch.left == 5
    begun().prolong(1)
    longer = begun()
    longer.prolong(1)
    assert longer.left == FIRST_FAR


def test_equal_frames_do_not_end_a_stretch_one_by_one() -> None:
    still, stretch = torch.randn(1, 3, 64, 64), begun()
    for number in range(6):  # a recording brought to twice its rate
        stretch.repeated()
        stretch.look([noise(number, 0.9, still)], [noise(number + 1, 0.9, still)])
    assert stretch.left == FIRST_FAR
    stretch.repeated()
    stretch.repeated()
    assert stretch.left == 0


@pytest.mark.parametrize("lasts", [False, True])
def test_pictures_end_a_stretch_where_they_rest_whether_they_last_or_not(lasts: bool) -> None:
    random = np.random.default_rng(3)
    moving = [random.integers(0, 256, (64, 64, 3), np.uint8) for _ in range(3)]
    pictures = [Picture(pixels, (64, 64), TABLES, (2, 1, 0), lasts) for pixels in [*moving, *[moving[2].copy() for _ in range(2)]]]
    stretch = begun()
    stretch.look([pictures[1]], [pictures[0]])
    # The third one is not looked at: what is known of the second is none of it.
    stretch.look([pictures[3]], [pictures[2]])
    assert stretch.left == FIRST_FAR
    stretch.look([pictures[4]], [pictures[3]])
    assert stretch.left == 1


def test_the_share_of_changed_pixels_is_counted_in_the_unit_of_the_threshold() -> None:
    last = torch.ones(1, 2, 16, 24)
    frame = last.clone()
    frame[:, :, 0, 0] = 1.2  # one of the six pixels that are looked at, in both channels
    frame[:, 0, 8, 8] = 1.2  # in one
    unit = float(frame[:, :, ::8, ::8].abs().mean())
    assert changed_share([frame], [last], 0.19 / unit) == pytest.approx(1 / 6)
    assert changed_share([frame], [last], 0.09 / unit) == pytest.approx(2 / 6)
    assert changed_share([frame], [last], 0.21 / unit) == 0.0
    assert changed_share([frame], [frame.clone()], 0.0) == 0.0


def test_a_picture_is_looked_at_as_the_tensor_that_it_stands_for() -> None:
    rng = np.random.default_rng(1)
    pictures = [Picture(rng.integers(0, 256, (20, 31, 3), dtype=np.uint8), (24, 32), TABLES, (2, 1, 0)) for _ in range(2)]
    for threshold in (0.0, 0.3, 1.0):
        as_pictures = changed_share(pictures[:1], pictures[1:], threshold)
        assert as_pictures == changed_share([pictures[0].tensor()], [pictures[1].tensor()], threshold)
    assert as_pictures is not None and 0 < as_pictures < 1


def test_infinities_change_nothing_that_can_be_counted_and_warn_of_nothing() -> None:
    frame = torch.full((1, 1, 8, 8), float("inf"))
    assert changed_share([frame], [frame.clone()], 0.1) == 0.0


@pytest.mark.parametrize("shapes", [((1, 4),), ((1, 3, 8, 8), (1, 3, 8, 8)), ((1, 3, 8),)])
def test_what_is_no_single_map_is_not_looked_at(shapes: tuple[tuple[int, ...], ...]) -> None:
    inputs = [torch.randn(shape) for shape in shapes]
    assert changed_share(inputs, inputs, 0.1) is None


@pytest.fixture(scope="module")
def pyramid() -> SkipModel:
    return convert(build(Pyramid), torch.zeros(SHAPE), SkipConfig(threshold=0.0, backend="reference"))[0]


def test_a_camera_that_comes_to_rest_is_found_within_four_frames(pyramid: SkipModel, backend: str) -> None:
    model = pyramid.regated(SkipConfig(threshold=0.05, backend=backend))
    session, still, keyframes = model.session(), torch.randn(SHAPE), []
    for number in range(80):
        frame = torch.randn(SHAPE) if number < 60 else still.clone()
        frame[0, :, number % 24, 5] += 1.0  # no two frames are equal
        session(frame)
        keyframes.append(session.keyframe)
    assert keyframes[:3] == [True, False, True]
    assert sum(not keyframe for keyframe in keyframes[:60]) <= 4  # frames that were tried
    assert not any(keyframes[65:])


def test_a_frame_that_is_unlike_those_around_it_begins_no_stretch(pyramid: SkipModel, backend: str) -> None:
    session, still = pyramid.regated(SkipConfig(threshold=0.05, backend=backend)).session(), torch.randn(SHAPE)
    for frame in (still, -still):
        session(frame)
    assert not session.keyframe and session.cost.saving < 0.1
    session(still)
    assert session.keyframe  # as always
    session.reset()
    session(still)
    session.expect_stray()
    session(-still)
    assert session.keyframe and session.cost.saving == 0
    session(still + 0)  # as before that one
    assert not session.keyframe and session.cost.saving == 1
    session(-still)
    assert not session.keyframe
    session(still)
    assert session.keyframe  # it was said of that frame only


def test_the_frame_behind_a_stray_has_the_dense_bits_and_is_read_as_a_whole(pyramid: SkipModel, backend: str) -> None:
    model = pyramid.regated(SkipConfig(threshold=0.0, backend=backend, dense_above=1.0))
    session, frames = model.session(), [torch.randn(SHAPE) for _ in range(2)]
    later = frames[0].clone()
    later[..., :5, :5] += 1
    for frame, stray in ((frames[0], False), (frames[1], True), (frames[1], True), (later, False), (later, False)):
        if stray:
            session.expect_stray()
        found = [output.copy() for output in session.maps(frame)]
        assert all((mine == theirs).all() for mine, theirs in zip(found, model.dense_maps(frame), strict=True))
        kept = session.changed
        if frame is frames[1]:
            assert session.keyframe or not any(kept), "one equal to the last frame is not computed"
    session.expect_stray()
    session.maps(frames[1])
    session.maps(later)
    assert not session.keyframe and all(session.changed) and session.cost.macs == 0


def test_nothing_steps_aside_in_a_stretch_or_before_the_first_frame(pyramid: SkipModel, backend: str) -> None:
    session, frame = pyramid.regated(SkipConfig(threshold=0.05, backend=backend)).session(), torch.randn(SHAPE)
    session.expect_stray()
    session(frame)
    session(frame + 0.0)
    assert not session.keyframe and session.cost.macs == 0, "the first frame is one that can be gated by"


def test_a_dense_frame_costs_everything_and_its_account_is_as_if_counted_anew(pyramid: SkipModel, backend: str) -> None:
    model = pyramid.regated(SkipConfig(threshold=0.05, backend=backend))
    session = model.session()
    seen = {True: 0, False: 0}
    for _ in range(14):
        session(torch.randn(SHAPE))
        last = session._last()
        cost, counted = session.cost, frame_cost(last.costs, last.run)
        assert (cost.counts == counted.counts).all() and cost.table == counted.table
        assert all((session.activity(stride) == replace(last, whole=None).activity(stride)()).all() for stride in (8, 16))
        if session.keyframe:
            assert cost.macs == cost.dense_macs and cost.gate_ops == 0
            assert all(mask.all() for mask in session.computed.values())
            session.activity(8)[:] = 0  # belongs to the caller
        seen[session.keyframe] += 1
    assert seen[True] > 8 and seen[False] > 1


KINDS = ("move", "rest", "same", "drift")


def play(plan: list[tuple[str, int]], seed: int) -> list[Tensor]:
    """Frames: all of it changes, a corner does, nothing does, or all of it by a little."""
    generator = torch.Generator().manual_seed(seed)
    frame = torch.randn(SHAPE, generator=generator)
    frames = []
    for kind, count in plan:
        for _ in range(count):
            if kind == "move":
                frame = torch.randn(SHAPE, generator=generator)
            elif kind == "rest":
                frame = frame.clone()
                frame[:, :, :6, :6] = torch.randn(1, 3, 6, 6, generator=generator)
            elif kind == "drift":
                frame = frame + 0.02 * torch.randn(SHAPE, generator=generator)
            frames.append(frame)
    return frames


plans = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(1, 12)), min_size=1, max_size=6)


@pytest.mark.parametrize("precision", ["f32", "bf16"])
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plan=plans, seed=st.integers(0, 1000), above=st.sampled_from([0.1, 0.5, 0.8]), refresh=st.sampled_from([0, 7]))
def test_threshold_0_has_the_dense_bits_through_any_moves_and_rests(
    pyramid: SkipModel, backend: str, precision: str, plan: list[tuple[str, int]], seed: int, above: float, refresh: int
) -> None:
    config = SkipConfig(threshold=0.0, backend=backend, precision=precision, dense_above=above, refresh=refresh)
    model = pyramid.regated(config)
    session = model.session()
    for number, frame in enumerate(play(plan, seed)):
        for got, want in zip(session(frame), model.dense(frame), strict=True):
            assert torch.equal(got, want), f"frame {number} of {plan}"


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plan=plans, seed=st.integers(0, 1000), threshold=st.sampled_from([0.02, 0.2]), above=st.sampled_from([0.3, 0.6]))
def test_every_gated_frame_keeps_its_bounds_whatever_stretches_came_before(
    pyramid: SkipModel, backend: str, plan: list[tuple[str, int]], seed: int, threshold: float, above: float
) -> None:
    model = pyramid.regated(SkipConfig(threshold=threshold, backend=backend, dense_above=above))
    session = model.session()
    for frame in play(plan, seed):
        outputs = session(frame)
        if session._current:
            check_promises(session, frame)
        elif session.keyframe:
            assert all(torch.equal(got, want) for got, want in zip(outputs, model.dense(frame), strict=True))


def test_a_stretch_needs_a_fraction_of_the_memory_of_a_stream(backend: str) -> None:
    if backend == "reference":
        pytest.skip("the reference keeps all maps")
    net = nn.Sequential(*(nn.Conv2d(8 if number else 3, 8, 3, padding=1) for number in range(16))).eval()
    model = convert(net, torch.zeros(1, 3, 64, 64), SkipConfig(threshold=0.0, backend=backend))[0]
    session = model.session()
    session(torch.randn(1, 3, 64, 64))
    before = session.memory_bytes
    for _ in range(3):
        session(torch.randn(1, 3, 64, 64))
    assert session.keyframe and before < session.memory_bytes < 1.3 * before
