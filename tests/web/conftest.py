"""The page is an extra: its tests are skipped where it is not installed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Serves a page of two cameras until the test ends; token: as for other machines."""
    from page_serving import Served

    from skipvid.web.address import Address

    with ExitStack() as stack:

        def start(token: str | None = None) -> Served:
            served = Served(tmp_path, Address("127.0.0.1", 0, token))
            stack.enter_context(served.server)
            return served

        yield start
