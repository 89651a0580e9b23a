"""When the worker threads are woken, on which processors, and what becomes of an exception in one of them."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from native_plans import frames, plan_of

from skipvid.skip.cpu._native import ThreadPool
from skipvid.skip.cpu.program import NativeProgram
from skipvid.skip.gates.norm import NormGate
from skipvid.skip.ir.graph import Node

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")

TASKS = Path("/proc/self/task")
SHAPE = (1, 16, 32, 32)
PROCESSORS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1


def _program(pool: ThreadPool | None = None, side: int = 32) -> tuple[NativeProgram, int]:
    """A program with a pool of its own, and the thread number of the pool's only worker; with the given one, 0."""
    weight = torch.randn(64, 16, 3, 3)
    attrs = {"stride": (1, 1), "pads": (1, 1, 1, 1), "dilation": (1, 1), "groups": 1}
    nodes = [
        Node("x", "input", (), (1, 16, side, side)),
        Node("convolved", "conv", ("x",), (1, 64, side, side), attrs=attrs, consts={"weight": weight}, layer="convolved"),
    ]
    plan = plan_of(nodes, [NormGate("x", 0.0)])
    if pool is not None:
        return NativeProgram(plan, pool), 0
    before = set(os.listdir(TASKS))
    pool = ThreadPool(2)
    (worker,) = set(os.listdir(TASKS)) - before
    return NativeProgram(plan, pool), int(worker)


def _times_asleep(thread: int) -> int:
    """How often a thread went to sleep: one that sleeps and is left alone does not do so again."""
    status = (TASKS / str(thread) / "status").read_text()
    return int(status.split("voluntary_ctxt_switches:")[1].split()[0])


def _wait_until_asleep(thread: int) -> None:
    while (TASKS / str(thread) / "stat").read_text().rsplit(")", 1)[1].split()[0] != "S":
        os.sched_yield()


def test_a_frame_in_which_nothing_changed_wakes_nobody() -> None:
    program, worker = _program()
    state = program.new_state()
    first, second, *_ = frames(SHAPE, 2, 0, share=0.5)
    program.run(state, [first], True)
    _wait_until_asleep(worker)
    asleep = _times_asleep(worker)
    for _ in range(20):
        assert program.run(state, [first], False).active == [0]
    assert _times_asleep(worker) == asleep
    assert program.run(state, [second], False).active[0] > 0
    _wait_until_asleep(worker)
    assert _times_asleep(worker) > asleep


@pytest.mark.skipif(PROCESSORS < 2, reason="needs two processors")
def test_workers_sleep_outside_of_the_callers_processor_and_run_anywhere() -> None:
    program, worker = _program()
    allowed = os.sched_getaffinity(0)
    state, places = program.new_state(), set()
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            places.add(frozenset(os.sched_getaffinity(worker)))

    watcher = threading.Thread(target=look, daemon=True)
    try:
        for own in sorted(allowed)[:2]:
            os.sched_setaffinity(0, {own})  # so that it is known where the caller runs
            os.sched_setaffinity(0, allowed)
            program.run(state, [torch.randn(SHAPE)], True)
            _wait_until_asleep(worker)
            asleep = os.sched_getaffinity(worker)
            assert asleep < allowed and len(asleep) == len(allowed) - 1
        watcher.start()
        while frozenset(allowed) not in places:
            program.run(state, [torch.randn(SHAPE)], True)
    finally:
        os.sched_setaffinity(0, allowed)
        done.set()
    watcher.join()


@pytest.mark.skipif(PROCESSORS < 2, reason="needs two processors")
def test_a_worker_that_lost_its_processor_in_a_loop_is_lent_the_callers() -> None:
    """Two other programs want one of two processors, so that a worker there is stopped in the middle of its work, and its caller waits."""
    pool = ThreadPool(2)
    program, _ = _program(pool, 256)  # frames that last longer than a scheduler's slice
    frame, place = [torch.ones(1, 16, 256, 256)], max(os.sched_getaffinity(0))
    want = program.run_dense(frame)[0].clone()
    crowded = os.getloadavg()[0] > 1.5 * PROCESSORS
    code = f"import os; os.sched_setaffinity(0, {{{place}}})\nwhile True: pass"
    others = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    try:
        end, same = time.monotonic() + (5 if crowded else 60), True
        while not pool.lent and time.monotonic() < end:
            same = same and torch.equal(program.run_dense(frame)[0], want)
    finally:
        for other in others:
            other.kill()
            other.wait()
    assert same
    if crowded and not pool.lent:
        pytest.skip("other work is on all processors, so that who waits gives its own away as it is")
    assert pool.lent


def test_a_caller_bound_to_one_processor_shares_it_with_the_workers() -> None:
    program, worker = _program()
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        program.run(program.new_state(), [torch.randn(SHAPE)], True)
        assert os.sched_getaffinity(worker) == allowed
    finally:
        os.sched_setaffinity(0, allowed)
