"""Networks that are not ours on frames of a real clip; the long version, with a table, is benchmarks/equality.py."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch

from skipvid.skip.api import convert
from skipvid.skip.config import SkipConfig

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
FOREIGN = ("PP-TinyPose", "FastestDet")


@pytest.fixture(scope="module")
def equality() -> Iterator[ModuleType]:
    """The benchmark as a module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))  # it imports its neighbours
        yield importlib.import_module("equality")


@pytest.mark.realdata
@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_network_at_threshold_zero_equals_itself_over_300_real_frames(name: str, data: Path, equality: ModuleType) -> None:
    subject = equality.SUBJECTS[name]
    net = subject.load(data)
    model, _ = convert(net, torch.zeros(1, 3, *subject.size), SkipConfig(threshold=0))
    found = equality.measure_equality(net, model, equality.inputs(data, subject, 300))
    print(f"\n{name}: largest difference {found.absolute:.2e}, relative {found.relative:.2e}, over {found.frames} frames")
    assert found.frames == 300 and found.same_bits == 300
    assert found.relative <= 1e-4
    assert found.macs < found.dense_macs


@pytest.mark.realdata
@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", FOREIGN)
def test_bound_holds_on_every_map_of_a_foreign_network_over_a_real_clip(name: str, data: Path, equality: ModuleType) -> None:
    subject = equality.SUBJECTS[name]
    model, _ = convert(subject.load(data), torch.zeros(1, 3, *subject.size), SkipConfig(threshold=0.05, backend="reference"))
    found = equality.measure_bound(model, equality.inputs(data, subject, 40))
    print(f"\n{name}: the worst of {found.gates} maps, {found.map}, used {found.usage:.5f} of its bound")
    assert 0.5 < found.usage <= 1 + 1e-4
    assert found.macs < 0.6 * found.dense_macs
