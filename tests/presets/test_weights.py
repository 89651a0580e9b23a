"""The store of weights, against a real HTTP server on this machine that misbehaves on order."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from skipvid.core.errors import WeightsError
from skipvid.core.folders import cache_folder
from skipvid.presets import weights
from skipvid.presets.preset import Preset, load_preset
from skipvid.presets.weights import file_sha256, movable, resolve_weights

CONTENT = bytes(range(256)) * 4000  # 1,024,000 bytes
DIGEST = hashlib.sha256(CONTENT).hexdigest()
NAME = f"net-{DIGEST[:8]}.pth"


@dataclass
class Behaviour:
    """What the server does; the lists are used up, one entry for each request."""

    content: bytes = CONTENT
    ranges: bool = True
    length: bool = True
    drop_after: list[int] = field(default_factory=list)  # bytes sent before the connection is cut
    statuses: list[int] = field(default_factory=list)  # answers without a body
    requests: list[str] = field(default_factory=list)  # Range of each request, or "all"
    open: threading.Event = field(default_factory=threading.Event)  # answers wait for it


class Server:
    def __init__(self) -> None:
        behaviour = self.behaviour = Behaviour()
        behaviour.open.set()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                wanted = self.headers.get("Range")
                behaviour.requests.append(wanted or "all")
                behaviour.open.wait(30)
                if behaviour.statuses:
                    self.send_error(behaviour.statuses.pop(0))
                    return
                start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and behaviour.ranges else 0
                if start and start >= len(behaviour.content):
                    self.send_error(416)
                    return
                body = behaviour.content[start:]
                self.send_response(206 if start else 200)
                if start:
                    self.send_header("Content-Range", f"bytes {start}-{len(behaviour.content) - 1}/{len(behaviour.content)}")
                if behaviour.length:
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[: behaviour.drop_after.pop(0)] if behaviour.drop_after else body)

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v0.1/{NAME}"

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(weights, "PAUSE", 0.0)
    running = Server()
    yield running
    running.close()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SKIPVID_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SKIPVID_OFFLINE", raising=False)
    return tmp_path / "cache" / "weights"


def preset(url: str, sha256: str = DIGEST[:8]) -> Preset:
    return replace(load_preset("tf_efficientdet_d0"), weights=url, sha256=sha256)


def good_files(cache: Path) -> list[str]:
    """Names in the cache under which a file would be taken for whole."""
    return sorted(path.name for path in cache.iterdir() if path.suffix not in (".part", ".lock")) if cache.is_dir() else []


@pytest.mark.parametrize("length", [True, False])
@pytest.mark.parametrize("sha256", [DIGEST[:8], DIGEST])
def test_a_file_is_downloaded_once_and_then_found_without_a_connection(server: Server, cache: Path, length: bool, sha256: str) -> None:
    server.behaviour.length = length
    steps: list[tuple[int, int | None]] = []
    found = resolve_weights(preset(server.url, sha256), progress=lambda done, total: steps.append((done, total)))
    assert found.path == cache / NAME
    assert found.sha256 == DIGEST == file_sha256(found.path)
    assert found.path.read_bytes() == CONTENT
    assert steps[-1] == (len(CONTENT), len(CONTENT) if length else None)
    assert [done for done, _ in steps] == sorted({done for done, _ in steps})
    for offline in (False, True):
        assert resolve_weights(preset(server.url, sha256), offline=offline) == found
    assert server.behaviour.requests == ["all"]
    assert good_files(cache) == [NAME]


def test_a_connection_that_breaks_is_continued_where_it_broke(server: Server) -> None:
    server.behaviour.drop_after = [300_000, 0, 500_000]
    steps: list[int] = []
    found = resolve_weights(preset(server.url), progress=lambda done, total: steps.append(done))
    assert found.sha256 == DIGEST
    assert server.behaviour.requests == ["all", "bytes=300000-", "bytes=300000-", "bytes=800000-"]
    assert steps == sorted(steps) and steps[-1] == len(CONTENT)


def test_a_later_run_continues_what_an_earlier_one_left(server: Server, cache: Path) -> None:
    server.behaviour.drop_after = [700_000, 0, 0, 0, 0]
    with pytest.raises(WeightsError, match="broke off after 700000 of 1024000 bytes"):
        resolve_weights(preset(server.url))
    assert good_files(cache) == []
    assert resolve_weights(preset(server.url)).sha256 == DIGEST
    assert server.behaviour.requests[-1] == "bytes=700000-"


def test_a_server_without_ranges_sends_everything_again(server: Server) -> None:
    server.behaviour.ranges = False
    server.behaviour.drop_after = [300_000]
    assert resolve_weights(preset(server.url)).sha256 == DIGEST
    assert server.behaviour.requests == ["all", "bytes=300000-"]


@pytest.mark.parametrize("left", [b"x" * 1000, b"x" * len(CONTENT), b"x" * (len(CONTENT) + 5)], ids=["shorter", "as long", "longer"])
def test_a_beginning_of_another_file_is_thrown_away(server: Server, cache: Path, left: bytes) -> None:
    cache.mkdir(parents=True)
    (cache / f"{NAME}.part").write_bytes(left)
    assert resolve_weights(preset(server.url)).sha256 == DIGEST
    assert server.behaviour.requests == [f"bytes={len(left)}-", "all"]


def test_a_whole_file_left_without_its_name_is_taken(server: Server, cache: Path) -> None:
    cache.mkdir(parents=True)
    (cache / f"{NAME}.part").write_bytes(CONTENT)
    assert resolve_weights(preset(server.url)).sha256 == DIGEST
    assert server.behaviour.requests == [f"bytes={len(CONTENT)}-"]


@pytest.mark.parametrize("content", [CONTENT[:-1], b"<html>sign in to this network</html>", CONTENT + b"!", b""])
def test_another_file_is_refused_with_its_hash_and_leaves_nothing(server: Server, cache: Path, content: bytes) -> None:
    server.behaviour.content = content
    with pytest.raises(WeightsError) as caught:
        resolve_weights(preset(server.url))
    message = str(caught.value)
    assert hashlib.sha256(content).hexdigest()[:8] in message and DIGEST[:8] in message and server.url in message
    assert "\n" not in message
    assert [path.name for path in cache.iterdir() if path.suffix != ".lock"] == []


@pytest.mark.parametrize("status", [403, 404, 410])
def test_an_answer_that_will_not_change_is_reported_at_once(server: Server, cache: Path, status: int) -> None:
    server.behaviour.statuses = [status]
    with pytest.raises(WeightsError, match=f"the server answers {status} ") as caught:
        resolve_weights(preset(server.url))
    assert server.behaviour.requests == ["all"]
    assert server.url in str(caught.value) and str(cache / NAME) in str(caught.value)
    assert good_files(cache) == []


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_server_is_asked_again(server: Server, status: int) -> None:
    server.behaviour.statuses = [status, status]
    assert resolve_weights(preset(server.url)).sha256 == DIGEST
    assert len(server.behaviour.requests) == 3


def test_a_server_that_stays_busy_is_given_up(server: Server) -> None:
    server.behaviour.statuses = [503] * 10
    with pytest.raises(WeightsError, match="the server answers 503"):
        resolve_weights(preset(server.url))
    assert len(server.behaviour.requests) == weights.ATTEMPTS


def test_without_a_network_the_line_says_what_to_get_and_where_to_put_it(server: Server, cache: Path) -> None:
    server.close()
    with pytest.raises(WeightsError, match="no connection") as caught:
        resolve_weights(preset(server.url))
    message = str(caught.value)
    assert server.url in message and DIGEST[:8] in message and str(cache / NAME) in message and "\n" not in message
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("by", ["argument", "environment"])
def test_offline_never_connects_and_says_the_same(server: Server, cache: Path, by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if by == "environment":
        monkeypatch.setenv("SKIPVID_OFFLINE", "1")
    with pytest.raises(WeightsError, match="offline, and .* is not in the cache") as caught:
        resolve_weights(preset(server.url), offline=by == "argument")
    assert server.url in str(caught.value) and str(cache / NAME) in str(caught.value)
    assert server.behaviour.requests == []


def test_a_damaged_file_in_the_cache_is_not_used_and_is_replaced(server: Server, cache: Path) -> None:
    cache.mkdir(parents=True)
    (cache / NAME).write_bytes(CONTENT[:1000])
    with pytest.raises(WeightsError, match="is damaged"):
        resolve_weights(preset(server.url), offline=True)
    assert resolve_weights(preset(server.url)).sha256 == DIGEST
    assert (cache / NAME).read_bytes() == CONTENT


def test_two_files_of_one_name_lie_side_by_side(server: Server, cache: Path) -> None:
    url = server.url.replace(NAME, "model.pth?download=1")
    first = resolve_weights(preset(url))
    server.behaviour.content = b"another"
    second = resolve_weights(preset(url, hashlib.sha256(b"another").hexdigest()))
    assert first.path == cache / f"model-{DIGEST[:8]}.pth"
    assert second.path != first.path and first.path.read_bytes() == CONTENT and second.path.read_bytes() == b"another"


def test_processes_that_want_one_file_download_it_once(server: Server, cache: Path) -> None:
    program = (
        "import sys; from dataclasses import replace; from skipvid.presets.preset import load_preset;"
        "from skipvid.presets.weights import resolve_weights;"
        "preset = replace(load_preset('tf_efficientdet_d0'), weights=sys.argv[1], sha256=sys.argv[2]);"
        "print('ready', flush=True); print(resolve_weights(preset).sha256)"
    )
    server.behaviour.open.clear()
    command = [sys.executable, "-c", program, server.url, DIGEST[:8]]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    for process in processes:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    time.sleep(0.5)  # all three have asked by now, or wait for the one that did
    server.behaviour.open.set()
    assert [process.communicate(timeout=60)[0].strip() for process in processes] == [DIGEST] * 3
    assert server.behaviour.requests == ["all"]
    assert good_files(cache) == [NAME]


def test_a_cache_that_cannot_be_written_gets_one_line(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SKIPVID_CACHE", str(tmp_path / "file"))
    with pytest.raises(WeightsError, match="cannot be written") as caught:
        resolve_weights(preset(server.url))
    assert "SKIPVID_CACHE" in str(caught.value)


def test_the_cache_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SKIPVID_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert cache_folder("weights") == Path("/xdg/skipvid/weights")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/me")
    assert cache_folder("weights") == Path("/home/me/.cache/skipvid/weights")


def test_a_file_given_by_hand_is_used_whatever_its_hash(server: Server, tmp_path: Path) -> None:
    mine = tmp_path / "mine.pth"
    mine.write_bytes(b"mine")
    found = resolve_weights(preset(server.url), override=mine)
    assert found == weights.Weights(mine, hashlib.sha256(b"mine").hexdigest())
    assert server.behaviour.requests == []


@pytest.mark.parametrize(("make", "says"), [(lambda path: None, "is missing"), (lambda path: path.mkdir(), "is not a file")])
def test_a_file_given_by_hand_must_be_one(make: object, says: str, tmp_path: Path) -> None:
    make(tmp_path / "mine.pth")  # type: ignore[operator]
    with pytest.raises(WeightsError, match=rf"mine\.pth {says}"):
        resolve_weights(load_preset("tf_efficientdet_d0"), override=tmp_path / "mine.pth")


def test_a_path_in_a_preset_is_relative_to_the_preset_file(tmp_path: Path) -> None:
    (tmp_path / "nets").mkdir()
    (tmp_path / "nets" / "own.pt").write_bytes(b"own")
    digest = hashlib.sha256(b"own").hexdigest()
    mine = replace(preset("nets/own.pt", digest), folder=tmp_path)
    assert resolve_weights(mine, offline=True) == weights.Weights(tmp_path / "nets" / "own.pt", digest)
    with pytest.raises(WeightsError, match="damaged or another one"):
        resolve_weights(replace(mine, sha256="00000000"))


def test_bundled_files_lie_in_the_package(tmp_path: Path) -> None:
    import skipvid

    with pytest.raises(WeightsError, match="is missing") as caught:
        resolve_weights(preset("bundled:no-such-net.pt", ""))
    assert str(Path(skipvid.__file__).parent / "data" / "no-such-net.pt") in str(caught.value)


def test_a_movable_preset_names_a_file_by_its_whole_path_and_leaves_what_is_bundled(tmp_path: Path) -> None:
    bundled = load_preset("efficientdet-nano")
    assert movable(bundled) == bundled
    (tmp_path / "net.pth").write_bytes(CONTENT)
    near = replace(bundled, weights="net.pth", sha256=DIGEST, folder=tmp_path)
    elsewhere = replace(movable(near), folder=tmp_path / "elsewhere")
    assert resolve_weights(elsewhere).path == (tmp_path / "net.pth").resolve()
    assert elsewhere.sha256 == DIGEST
    assert movable(bundled, tmp_path / "net.pth").weights == str((tmp_path / "net.pth").resolve())
