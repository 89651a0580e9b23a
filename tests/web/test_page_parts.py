"""Addresses as users write them, and numbers by second."""

from __future__ import annotations

import socket

import pytest

from skipvid.core.errors import UsageError
from skipvid.web.address import Address, listen, read_address
from skipvid.web.history import SECONDS, History


@pytest.mark.parametrize(
    ("text", "host", "port", "secret"),
    [
        ("8090", "127.0.0.1", 8090, False),
        (":8090", "127.0.0.1", 8090, False),
        ("localhost:0", "localhost", 0, False),
        ("127.0.0.5:80", "127.0.0.5", 80, False),
        ("[::1]:80", "::1", 80, False),
        ("0.0.0.0:8090", "0.0.0.0", 8090, True),
        ("[::]:8090", "::", 8090, True),
        ("localhost.example:1", "localhost.example", 1, True),
        ("10.0.0.7:8090", "10.0.0.7", 8090, True),
    ],
)
def test_all_but_the_loopback_needs_a_token_that_is_new_each_time(text: str, host: str, port: int, secret: bool) -> None:
    address = read_address(text)
    assert (address.host, address.port, address.token is not None) == (host, port, secret)
    if secret:
        assert address.token is not None and len(address.token) >= 32 and address.token != read_address(text).token
        assert address.link.endswith(f":{port}/?token={address.token}") and "0.0.0.0" not in address.link and "[::]" not in address.link
    else:
        assert "token" not in address.link


@pytest.mark.parametrize("text", ["", "x", "70000", "-1", "host:", "1.2.3.4", "80 ", "８０"])
def test_what_names_no_port_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="names no port"):
        read_address(text)


def test_a_port_that_is_taken_is_told_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"--web 127.0.0.1:{port} cannot be used: .*in use"):
            listen(Address("127.0.0.1", port))


def test_history_has_a_number_for_each_second_whether_or_not_frames_came() -> None:
    history = History()
    for now, dropped in ((10.1, 0), (10.9, 3), (13.5, 4)):
        history.add(now, saving=0.5, delay_ms=40.0, dropped=dropped)
    assert history.series(14.2) == {
        "fps": [2.0, 0.0, 0.0, 1.0],
        "saving": [0.5, 0.0, 0.0, 0.5],
        "delay_ms": [40.0, 0.0, 0.0, 40.0],
        "dropped": [3.0, 0.0, 0.0, 1.0],
    }
    assert History().series(5.0)["fps"] == []


def test_history_does_not_grow() -> None:
    history = History()
    for second in range(1000):
        history.add(second + 0.5, None, None, 0)
    assert len(history.series(1000.5)["fps"]) == SECONDS and len(history._seconds) <= SECONDS + 1
