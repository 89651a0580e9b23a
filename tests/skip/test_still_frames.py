"""A frame in which nothing changed is never dense, whatever came before it, and costs nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sample_networks import NETWORKS, converted
from torch import Tensor
from torch.utils._pytree import tree_leaves

from skipvid.skip.config import SkipConfig
from skipvid.skip.picture import Picture
from skipvid.skip.session import Session

SHAPE = NETWORKS["everything"][1]


def session_of(backend: str, **config: Any) -> Session:
    return converted("everything")[1].regated(SkipConfig(**{"threshold": 0.0, "backend": backend, **config})).session()


def frame(seed: int) -> Tensor:
    return torch.rand(SHAPE, generator=torch.Generator().manual_seed(seed))


def picture(seed: int) -> Picture:
    pixels = np.random.default_rng(seed).integers(0, 256, (*SHAPE[2:], 3), np.uint8)
    return Picture(pixels, (SHAPE[2], SHAPE[3]), np.stack([np.arange(256, dtype=np.float32) / 255] * 3), (0, 1, 2))


@pytest.mark.parametrize("make", [frame, picture])
@pytest.mark.parametrize("moving", range(1, 20))
def test_the_first_frame_that_is_equal_to_the_last_is_not_dense(moving: int, make: Any, backend: str) -> None:
    session = session_of(backend)
    for number in range(moving):
        last = [leaf.clone() for leaf in tree_leaves(session(make(number)))]
    for _ in range(10):
        got = tree_leaves(session(make(moving - 1)))
        assert not session.keyframe and session.cost.macs == 0 and not any(session.changed)
        assert all(torch.equal(a, b) for a, b in zip(got, last, strict=True))
        assert not any(mask.any() for mask in session.computed.values()) and not session.activity().any()
    dense = session.model.dense(make(100))  # type: ignore[attr-defined]
    assert all(torch.equal(a, b) for a, b in zip(tree_leaves(session(make(100))), tree_leaves(dense), strict=True))


def test_what_the_caller_writes_into_the_same_memory_is_seen(backend: str) -> None:
    session, memory = session_of(backend), frame(0)
    for number in range(12):
        memory.copy_(frame(number))
        got = tree_leaves(session(memory))
        want = tree_leaves(session.model.dense(memory))  # type: ignore[attr-defined]
        assert all(torch.equal(a, b) for a, b in zip(got, want, strict=True))


def test_a_refresh_that_is_asked_for_is_kept(backend: str) -> None:
    session, keyframes = session_of(backend, refresh=4), []
    for _ in range(12):
        session(frame(1))
        keyframes.append(session.keyframe)
    assert keyframes == [True, False, False, False] * 3


def test_a_reset_forgets_the_last_frame(backend: str) -> None:
    session = session_of(backend)
    for number in range(9):
        session(frame(number))
    session.reset()
    session(frame(8))
    assert session.keyframe
