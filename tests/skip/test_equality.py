"""The definition: with threshold 0 a session computes the same bits as the dense network, and with any threshold what the bound allows."""

from __future__ import annotations

import pytest
import torch
from promises import check_state, relative_error
from sample_frames import frames
from sample_networks import NETWORKS, converted, dense_leaves
from torch import Tensor
from torch.utils._pytree import tree_leaves

from skipvid.skip.api import SkipModel
from skipvid.skip.config import SkipConfig
from skipvid.skip.reference.executor import ReferenceProgram


@pytest.mark.parametrize("name", NETWORKS)
def test_threshold_zero_gives_the_bits_of_dense_and_the_result_of_the_original(name: str, backend: str) -> None:
    net, model = converted(name)
    shape = NETWORKS[name][1]
    for block in (1, 4):
        gated = model.regated(SkipConfig(threshold=0, block=block, backend=backend))
        session = gated.session()
        for number, frame in enumerate(frames(shape, 14, seed=block)):
            got, dense, original = tree_leaves(session(frame)), tree_leaves(gated.dense(frame)), dense_leaves(net, frame)
            for a, b, c in zip(got, dense, original, strict=True):
                if not isinstance(a, Tensor):
                    assert a == b == c
                    continue
                assert torch.equal(a, b), f"frame {number}: {(a != b).sum()} of {a.numel()} values differ from dense"
                assert (a.shape, a.dtype) == (c.shape, c.dtype)
                assert relative_error(a, c) <= 1e-4, f"frame {number}: {relative_error(a, c)} from the original network"


@pytest.mark.parametrize(("block", "count"), [(1, 300), (2, 60), (4, 60), (8, 60), (16, 300)])
def test_threshold_zero_equals_dense_after_hundreds_of_frames(block: int, count: int, backend: str) -> None:
    net, model = converted("everything")
    model = model.regated(SkipConfig(threshold=0, block=block, backend=backend, dense_above=1.0))  # in large blocks much is computed
    session = model.session()
    skipped = 0
    for number, frame in enumerate(frames(NETWORKS["everything"][1], count, seed=block)):
        got = tree_leaves(session(frame))
        if number % 7 == 0 or number > count - 10:
            assert all(torch.equal(a, b) for a, b in zip(got, tree_leaves(model.dense(frame)), strict=True)), f"frame {number}"
            assert all(relative_error(a, b) <= 1e-4 for a, b in zip(got, dense_leaves(net, frame), strict=True)), f"frame {number}"
        skipped += session.cost.saving > 0.2
    assert skipped > count / 3  # the equality is not that of a session that computes everything


def run_checked(model: SkipModel, shape: tuple[int, ...], count: int, seed: int = 0) -> None:
    program = model.program((shape,))
    assert isinstance(program, ReferenceProgram)
    state = program.new_state()
    for number, frame in enumerate(frames(shape, count, seed)):
        program.run(state, (frame,), number in (0, 17))
        check_state(program, state, frame)


@pytest.mark.parametrize("threshold", [0.0, 0.01, 0.1, 1.0])
@pytest.mark.parametrize("block", [1, 2, 16])
def test_bound_and_invariant_hold_on_every_map_after_every_frame(threshold: float, block: int) -> None:
    model = converted("everything")[1].regated(SkipConfig(threshold=threshold, block=block, backend="reference"))
    run_checked(model, NETWORKS["everything"][1], 40)


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "types"])  # a boolean output has no distance
def test_bound_and_invariant_hold_for_every_network(name: str) -> None:
    run_checked(converted(name)[1].regated(SkipConfig(threshold=0.1, block=2, backend="reference")), NETWORKS[name][1], 20)


def test_bound_holds_with_thresholds_and_scales_of_each_map() -> None:
    model = converted("everything")[1]
    gates = list(model.program((NETWORKS["everything"][1],)).plan.gates)
    thresholds = {name: 0.02 * position for position, name in enumerate(gates)}
    config = SkipConfig(threshold=0.5, backend="reference", thresholds=thresholds, scales={name: 0.5 for name in gates[::2]})
    run_checked(model.regated(config), NETWORKS["everything"][1], 20)


def test_larger_threshold_costs_less_and_every_threshold_below_dense(backend: str) -> None:
    model, shape = converted("everything")[1], NETWORKS["everything"][1]
    totals = []
    for threshold in (0.0, 0.05, 0.5):
        session = model.regated(SkipConfig(threshold=threshold, backend=backend)).session()
        total = 0
        for frame in frames(shape, 30):
            session(frame)
            total += session.cost.macs
        totals.append(total)
    assert totals[0] > totals[1] > totals[2] > 0
    assert totals[0] < 30 * model.program((shape,)).plan.dense_macs
