"""Whatever happens to a stream, its frames are those of a fresh one: sizes, kinds of input, resets, numbers that are none, threads.

tools/sanitize.sh runs this file under sanitizers: what it asks of the bits, they ask of the memory.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sample_networks import NETWORKS, converted
from torch import Tensor
from torch.utils._pytree import tree_leaves

from skipvid.core.errors import UsageError
from skipvid.skip import cpu as native
from skipvid.skip.api import SkipModel
from skipvid.skip.config import SkipConfig
from skipvid.skip.picture import Input, Picture
from skipvid.skip.session import Session

SIZES = (NETWORKS["everything"][1][2:], (31, 40))
"""Of the network's input."""
DENSE, GATED, BLOCKS, SMOOTHED, OUTPUTS = (
    {"threshold": 0.0},
    {"threshold": 0.1},
    {"threshold": 0.1, "block": 8, "refresh": 3},
    {"threshold": 0.05, "gate": "norm-smooth"},
    {"threshold": 0.13, "gate": "norm-output"},
)
CONFIGS = {"every change": DENSE, "norm gates": GATED, "blocks": BLOCKS, "smoothed gates": SMOOTHED, "output gates": OUTPUTS}


needs_native = pytest.mark.skipif(not native.status().available, reason=native.status().reason)


@dataclass(frozen=True)
class Event:
    """One thing that happens to a stream. kind: of CONTENTS, "reset" or "refused". size: of SIZES. picture: None = a tensor, else the share
    of the input's (height, width) that the picture covers. level: which tables a picture has."""

    kind: str
    size: int
    picture: tuple[float, float] | None
    level: int
    seed: int


CONTENTS = ("new", "patch", "pixel", "same", "nothing is a number", "infinite", "zero")
EVENTS = st.builds(
    Event,
    st.sampled_from((*CONTENTS, "patch", "patch", "pixel", "pixel", "reset", "refused")),
    st.sampled_from((0, 0, 0, 1)),
    st.sampled_from((None, (1.0, 1.0), (0.8, 1.0), (0.8, 0.5), (0.01, 0.01))),
    st.sampled_from((0, 0, 0, 1)),
    st.integers(0, 1000),
)


@cache
def model(backend: str, config: str, threads: int = 2) -> SkipModel:
    return converted("everything")[1].regated(SkipConfig(**CONFIGS[config], backend=backend, threads=threads))  # type: ignore[arg-type]


class Camera:
    """Turns events into inputs, each made from the one before where the size allows it."""

    def __init__(self) -> None:
        self.values: NDArray[np.float32] = np.zeros((0, 0, 3), np.float32)

    def shoot(self, event: Event) -> Input:
        height, width = SIZES[event.size]
        random = np.random.default_rng(event.seed)
        if event.picture is not None:
            height, width = (max(1, round(extent * share)) for extent, share in zip((height, width), event.picture, strict=True))
        if self.values.shape[:2] != (height, width) or event.kind == "new":
            self.values = random.random((height, width, 3), np.float32)
        self.values = self.values.copy()
        y, x = random.integers(height), random.integers(width)
        if event.kind == "patch":
            part = self.values[y : y + height // 3 + 1, x : x + width // 3 + 1]
            part[...] = random.random(part.shape, np.float32)
        elif event.kind == "pixel":
            self.values[y, x] = random.random(3, np.float32)
        elif event.kind == "zero":
            self.values[...] = 0
        elif event.kind in ("nothing is a number", "infinite"):
            self.values[y, x, random.integers(3)] = np.nan if event.kind.startswith("nothing") else np.inf
        if event.picture is None:
            return torch.from_numpy(self.values).permute(2, 0, 1)[None]
        pixels = np.nan_to_num(self.values * 255, nan=255, posinf=255).astype(np.uint8)
        levels = np.arange(256, dtype=np.float32) / 255
        return Picture(pixels, SIZES[event.size], np.stack([levels * (1 + event.level)] * 3), (2, 1, 0))


def same(one: Sequence[Tensor], other: Sequence[Tensor]) -> bool:
    """The same bits; of what is no number only that it is none."""
    return all(
        bool(((a == b) & (torch.signbit(a) == torch.signbit(b)) | a.isnan() & b.isnan()).all()) for a, b in zip(one, other, strict=True)
    )


def outputs(session: Session, item: Input) -> list[Tensor]:
    return [leaf.clone() for leaf in tree_leaves(session(item))]


def happens(events: Sequence[Event], network: SkipModel, dense: bool) -> list[list[Tensor]]:
    """Run a stream; checks each frame against a session that begins where this one must have begun anew, or against the dense network."""
    session, fresh, camera = network.session(), network.session(), Camera()
    before: object = None
    results = []
    for number, event in enumerate(events):
        if event.kind == "reset":
            session.reset()
            before = None
        elif event.kind == "refused":
            with pytest.raises(UsageError):
                session(torch.zeros(1, 3, *SIZES[event.size], dtype=torch.float64))
        else:
            item = camera.shoot(event)
            begins = (event.size, event.picture, event.picture is not None and event.level)
            if begins != before:
                fresh, before = network.session(), begins
            results.append(outputs(session, item))
            expected = outputs(fresh, item)
            assert same(results[-1], expected), f"event {number}, {event}: not what a fresh session gives"
            assert session.keyframe == fresh.keyframe and session.cost == fresh.cost, f"event {number}, {event}"
            assert not dense or same(results[-1], tree_leaves(network.dense(item))), f"event {number}, {event}: not the dense network's"
    return results


def check(backend: str, config: str, events: Sequence[Event]) -> None:
    happens(events, model(backend, config), dense=config == "every change")


@needs_native
@settings(max_examples=40)
@given(config=st.sampled_from(list(CONFIGS)), events=st.lists(EVENTS, min_size=2, max_size=14))
def test_every_frame_is_that_of_a_session_that_began_when_the_stream_did_anew(config: str, events: list[Event]) -> None:
    check("cpu", config, events)


@settings(max_examples=8)
@given(config=st.sampled_from(list(CONFIGS)), events=st.lists(EVENTS, min_size=2, max_size=8))
def test_so_it_is_on_the_reference(config: str, events: list[Event]) -> None:
    check("reference", config, events)


@needs_native
@settings(max_examples=10)
@given(
    config=st.sampled_from(list(CONFIGS)),
    streams=st.lists(st.lists(EVENTS, min_size=2, max_size=8), min_size=2, max_size=3),
    threads=st.sampled_from((1, 2, 3)),
)
def test_streams_in_threads_disturb_neither_each_other_nor_their_memory(config: str, streams: list[list[Event]], threads: int) -> None:
    network = model("cpu", config, threads)
    alone = [happens(events, network, dense=False) for events in streams]
    together: dict[int, list[list[Tensor]] | BaseException] = {}
    start = threading.Barrier(len(streams))

    def work(number: int) -> None:
        start.wait()
        try:
            together[number] = happens(streams[number], network, dense=False)
        except BaseException as error:
            together[number] = error

    workers = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(len(streams))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for number, expected in enumerate(alone):
        found = together[number]
        if isinstance(found, BaseException):
            raise found
        assert all(same(a, b) for a, b in zip(found, expected, strict=True))
