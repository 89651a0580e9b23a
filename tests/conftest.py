"""What the tests share: real data where it is there, and one engine with random weights, exported once."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from skipvid.models import build_model
from skipvid.presets.preset import load_preset
from skipvid.skip.config import SkipConfig
from skipvid.tasks.detect_engine import DetectEngine

# Small networks gain nothing from a second thread, and tests may run beside each other. OMP_NUM_THREADS: to see that none hangs on this.
torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
settings.register_profile("shared machine", deadline=None)  # how long an example takes says something about the machine's other users
settings.load_profile("shared machine")

STATUS = pytest.StashKey[int]()


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    session.config.stash[STATUS] = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """A thread that a failed test left behind would keep the process, and with it the whole run, from ever ending."""
    left = [thread for thread in threading.enumerate() if thread is not threading.current_thread() and not thread.daemon]
    for thread in left:
        thread.join(10)
    if alive := [thread.name for thread in left if thread.is_alive()]:
        print(f"threads that tests left behind: {', '.join(alive)}", file=sys.stderr, flush=True)
        sys.stdout.flush()
        os._exit(config.stash.get(STATUS, 0) or 1)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Compiled programs and downloads of the tests lie by themselves; a network is compiled once for all commands that run it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SKIPVID_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real clips named by SKIPVID_DATA; tests that want it are skipped without."""
    folder = os.environ.get("SKIPVID_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("SKIPVID_DATA names no folder")
    return Path(folder)


@pytest.fixture(scope="session")
def random_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of efficientdet-nano with random weights that find something in every picture."""
    torch.manual_seed(0)
    net = build_model("efficientdet-nano")
    state = net.state_dict()
    for name, value in state.items():
        if name.startswith("class_net.predict") and name.endswith("bias"):
            value += 4.5  # the prior of a fresh detector finds nothing, and what is followed must score a quarter above what is shown
    path = tmp_path_factory.mktemp("weights") / "random.pt"
    torch.save(state, path)
    return path


@pytest.fixture(scope="session")
def engine(random_weights: Path) -> DetectEngine:
    """A detection engine with threshold 0.03; use `engine.regated` for other gates."""
    return DetectEngine(load_preset("efficientdet-nano"), SkipConfig(threshold=0.03), random_weights, "0" * 64)


@pytest.fixture
def full_disk() -> Callable[[int], AbstractContextManager[None]]:
    """A context in which no file grows beyond so many bytes, as on a full disk.

    A context, not the whole test: the limit holds for the process, and pytest's own log may be a longer file.
    """
    resource = pytest.importorskip("resource")

    @contextmanager
    def limited(size: int) -> Iterator[None]:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limited
