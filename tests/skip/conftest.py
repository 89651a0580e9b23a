"""The back ends that tests run on."""

from __future__ import annotations

import pytest

from skipvid.skip import cpu as native
from skipvid.skip.config import BACKENDS

collect_ignore = [] if native.status().available else ["cpu"]  # its tests import the extension; `backend` below says why they do not run


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    """Each back end by name; "cpu" is skipped where it was not built."""
    name: str = request.param
    if name == "cpu" and not native.status().available:
        pytest.skip(native.status().reason)
    return name
