"""What builds up or goes wrong over time: slow ramps, broken frames, dark starts, memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from sample_frames import frames
from sample_networks import NETWORKS, converted
from torch import nn
from torch.utils._pytree import tree_leaves

from skipvid.skip.api import convert
from skipvid.skip.config import SkipConfig

SHAPE = NETWORKS["everything"][1]


def test_slow_ramp_is_followed_within_the_bound(backend: str) -> None:
    """Half a grey level per frame is below the threshold in each frame, and 100 levels in all: the accumulated reference must see it."""
    torch.manual_seed(0)
    net = nn.Conv2d(3, 4, 3, padding=1).eval()
    threshold = 0.05
    session = convert(net, torch.zeros(1, 3, 16, 16), SkipConfig(threshold=threshold, backend=backend))[0].session()
    start = torch.rand(1, 3, 16, 16) * 0.5
    scale = float(start.abs().mean())
    step = 0.5 / 255
    assert step < threshold * scale / 5
    # A pixel's channels are off by τ·s on average, so one of them by 3·τ·s at most.
    allowed = 3 * threshold * scale * float(net.weight.detach().abs().sum((1, 2, 3)).max()) * (1 + 1e-4)
    idle, worst = 0, 0.0
    with torch.no_grad():
        first = net(start)
        for number in range(200):
            frame = start + step * number
            got, want = session(frame), net(frame)
            worst = max(worst, float((got - want).abs().max()))
            idle += session.cost.macs == 0
        assert idle > 100  # most frames were not worth a computation
        assert 0 < worst <= allowed
        assert float((want - first).abs().max()) > 3 * allowed  # and still the output went far beyond what one gate lets pass


@pytest.mark.parametrize("threshold", [0.0, 0.05])
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("when", [0, 3])
def test_broken_frame_is_forgotten_after_the_next_good_one(threshold: float, bad: float, when: int, backend: str) -> None:
    model = converted("everything")[1].regated(SkipConfig(threshold=threshold, backend=backend))
    session = model.session()
    for number, frame in enumerate(frames(SHAPE, 8)):
        broken = number == when
        if broken:
            frame[:, :, 3:9, 5] = bad
        got = tree_leaves(session(frame))
        assert broken or all(value.isfinite().all() for value in got), f"frame {number}"
        if not broken and threshold == 0:
            assert all(torch.equal(a, b) for a, b in zip(got, tree_leaves(model.dense(frame)), strict=True)), f"frame {number}"


@pytest.mark.parametrize("block", [1, 8])
def test_maps_of_nothing_but_zeros_have_scale_zero_and_pass_every_change(block: int, backend: str) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.ReLU(), nn.Conv2d(4, 2, 3, padding=1)).eval()
    model = convert(net, torch.zeros(1, 3, 12, 12), SkipConfig(threshold=0.5, block=block, backend=backend))[0]
    session = model.session()
    black = torch.zeros(1, 3, 12, 12)
    session(black)
    session(black)
    assert session.cost.macs == 0
    spot = black.clone()
    spot[..., 4, 4] = 1e-6
    got = session(spot)
    assert 0 < session.cost.macs < session.cost.dense_macs or block == 8
    assert torch.equal(got, model.dense(spot))


def test_identical_frames_cost_nothing_and_return_the_same(backend: str) -> None:
    for name in ("everything", "attention", "two images in a batch", "normalisations", "flip, roll and pixel shuffle"):
        session = converted(name)[1].regated(SkipConfig(threshold=0, backend=backend)).session()
        frame = next(frames(NETWORKS[name][1], 1))
        first = [leaf.clone() for leaf in tree_leaves(session(frame))]
        assert session.cost.macs == session.cost.dense_macs > 0
        second = tree_leaves(session(frame))
        assert session.cost.macs == 0 and session.cost.skip_ratio == 1.0 and session.cost.saving == 1.0, name
        assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


# In a process of its own: what other tests left to the collector or the allocator would be counted too.
ADVANCE_2000_FRAMES = """
import os
import sys
from pathlib import Path

import torch
from torch import nn

from skipvid.skip.api import convert
from skipvid.skip.config import SkipConfig


def resident_bytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def advance(count):
    for number in range(count):
        frame[:, :, number % 40, (number * 7) % 40] += 0.5
        session(frame)
        session.cost  # it must not keep anything either


torch.manual_seed(0)
net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 3, padding=1)).eval()
session = convert(net, torch.zeros(1, 3, 40, 40), SkipConfig(threshold=0.05, refresh=300, backend=sys.argv[1]))[0].session()
frame = torch.rand(1, 3, 40, 40)
advance(200)
state, resident = session.memory_bytes, resident_bytes()
advance(1800)
print(state, session.memory_bytes, resident_bytes() - resident)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="resident memory is read from /proc")
def test_memory_stays_flat_over_2000_frames(backend: str) -> None:
    done = subprocess.run([sys.executable, "-c", ADVANCE_2000_FRAMES, backend], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    state, later, grown = map(int, done.stdout.split())
    assert 4 * 40 * 40 * (3 + 4 + 2) <= state <= 4 * 40 * 40 * 50  # each map, and no more than some bookkeeping beside
    assert later == state
    assert grown < 1800 * 4 * 40 * 40 * 3 // 10  # a tenth of the frames that went through
