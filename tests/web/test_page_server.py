"""The page's server over plain HTTP: pictures at the viewer's pace, areas, and who is let in."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable

import cv2
import numpy as np
import pytest

from skipvid.tasks.areas import read_area

for name in ("starlette", "uvicorn"):
    pytest.importorskip(name, reason="the page is an extra: skipvid[web]")

from page_serving import Served, result  # noqa: E402

Serve = Callable[..., Served]

TRIANGLE = [[0.1, 0.1], [0.4, 0.1], [0.1, 0.5]]


def pictures(served: Served, seen: str = "0,0", mask: str = "0,0", width: int = 640) -> list[tuple[int, int, np.ndarray]]:
    """(camera, number, picture) of each that is newer."""
    status, _, body = served.ask("GET", f"/pictures?seen={seen}&mask={mask}&width={width}")
    assert status == 200
    line, _, rest = body.partition(b"\n")
    found = []
    for each in json.loads(line):
        data, rest = rest[: each["bytes"]], rest[each["bytes"] :]
        found.append((each["camera"], each["number"], cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)))
    assert not rest
    return found


def test_the_page_and_its_parts_are_served_and_name_no_other_site(serve: Serve) -> None:
    served = serve()
    for path, kind in (("/", "text/html"), ("/page.css", "text/css"), ("/page.js", "javascript")):
        status, headers, body = served.ask("GET", path)
        assert status == 200 and kind in headers["content-type"] and "default-src 'none'" in headers["content-security-policy"]
        assert b"https://" not in body and body.replace(b"http://www.w3.org/2000/svg", b"").count(b"http://") == 0
    assert served.ask("GET", "/page.py")[0] == 404 and served.ask("GET", "/../board.py")[0] == 404


def test_a_viewer_gets_the_newest_picture_once_and_only_when_he_asks(serve: Serve) -> None:
    served = serve()
    for index in range(5):
        served.cameras[0].update(result(index, size=(640, 480)), dropped=0)
    ((camera, number, picture),) = pictures(served)
    assert (camera, number) == (0, 5) and picture.shape == (480, 640, 3)
    assert abs(int(picture[400, 600, 0]) - 44) < 4, "the newest of five"
    begin = time.monotonic()
    assert pictures(served, seen="5,0") == [] and 0.5 < time.monotonic() - begin < 10
    served.cameras[0].update(result(99), dropped=0)
    assert [number for _, number, _ in pictures(served, seen="5,0")] == [6]


def test_pictures_are_as_wide_as_asked_at_most_and_the_mask_is_the_viewer_s_choice(serve: Serve) -> None:
    served = serve()
    served.cameras[0].update(result(1, size=(640, 480)), dropped=0)
    ((_, _, plain),) = pictures(served, width=100)
    ((_, _, masked),) = pictures(served, mask="1,0", width=100)
    assert plain.shape == masked.shape == (75, 100, 3)
    assert np.abs(plain.astype(int) - masked).mean() > 2


def test_the_analysis_does_not_wait_for_viewers(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture is being drawn here until the test says so; results are taken in meanwhile."""
    from skipvid.web import board

    draw = board.draw_result
    drawing, go_on = threading.Event(), threading.Event()

    def slow(*arguments: object, **options: object) -> object:
        drawing.set()
        gone_on.append(go_on.wait(30))
        return draw(*arguments, **options)

    gone_on: list[bool] = []
    monkeypatch.setattr(board, "draw_result", slow)
    served = serve()
    served.cameras[0].update(result(0), dropped=0)
    viewer = threading.Thread(target=pictures, args=(served,), daemon=True)
    viewer.start()
    assert drawing.wait(30)
    for index in range(200):
        served.cameras[0].update(result(index), dropped=0)
    assert not gone_on and viewer.is_alive()
    go_on.set()
    viewer.join()
    assert gone_on == [True]


def test_numbers_say_how_each_camera_does(serve: Serve) -> None:
    served = serve()
    for index in range(3):
        served.cameras[0].update(result(index, arrived=time.monotonic() - 0.05), dropped=4)
    time.sleep(1.1)
    yard, gate = served.state()
    assert (yard["name"], yard["state"], yard["frames"], yard["dropped"]) == ("yard", "running", 3, 4)
    assert yard["labels"] == {"person": 1} and yard["ids"] == [[7, "person"]]
    assert yard["counts"] == [{"name": "door", "totals": {"right": 2, "left": 1}, "inside": None}]
    assert sum(yard["history"]["fps"]) == 3 and sum(yard["history"]["dropped"]) == 4 and 50 <= max(yard["history"]["delay_ms"]) < 1000
    assert gate["state"] == "connecting" and gate["frames"] == 0
    served.cameras[0].said("yard: connection lost (it ended); trying again")
    served.cameras[1].ended("gate: there is no camera", failed=True)
    assert [(each["state"], each["message"]) for each in served.state()] == [
        ("lost", "yard: connection lost (it ended); trying again"),
        ("failed", "gate: there is no camera"),
    ]


def test_an_area_that_is_drawn_is_kept_and_used_from_the_next_frame_on(serve: Serve) -> None:
    served = serve()
    status, _, body = served.ask("PUT", "/areas/0", [TRIANGLE])
    assert status == 200 and "next frame" in json.loads(body)["told"] and "yard_areas.json" in json.loads(body)["told"]
    assert read_area(str(served.files[0])).polygons == (tuple(map(tuple, TRIANGLE)),)
    assert served.looked_at == []
    served.cameras[0].update(result(0), dropped=0)
    (areas,) = served.looked_at
    assert areas is not None and areas.left_out(48, 64)[10, 10] and not areas.left_out(48, 64)[40, 50]
    assert served.state()[0]["areas"] == [TRIANGLE]
    assert served.ask("PUT", "/areas/0", [])[0] == 200
    served.cameras[0].update(result(1), dropped=0)
    assert served.looked_at[1:] == [None] and not served.files[0].exists()


@pytest.mark.parametrize(
    ("path", "content", "status", "why"),
    [
        ("/areas/0", [[[0, 0], [1, 0], [1, 1], [0, 1]]], 400, "leave nothing"),
        ("/areas/0", [[[0, 0], [1, 0]]], 400, "three points or more"),
        ("/areas/0", [[[0, 0], [2, 0], [1, 1]]], 400, "from 0 to 1"),
        ("/areas/0", [[[0, 0], [True, 0], [1, 1]]], 400, "from 0 to 1"),
        ("/areas/0", {"a": 1}, 400, "list of polygons"),
        ("/areas/1", [TRIANGLE], 400, "not known yet"),
        ("/areas/7", [TRIANGLE], 404, "2 cameras"),
        ("/areas/0", "x" * (2 << 20), 413, "too much"),
        ("/pictures?seen=0&mask=0", None, 400, "2 cameras"),
        ("/pictures?seen=0,x&mask=0,0", None, 400, "numbers"),
    ],
)
def test_what_cannot_be_meant_is_refused_and_changes_nothing(serve: Serve, path: str, content: object, status: int, why: str) -> None:
    served = serve()
    answer, _, body = served.ask("GET" if content is None else "PUT", path, content)
    assert answer == status and why in body.decode()
    assert not any(file.exists() for file in served.files) and served.state()[0]["areas"] == []


def test_on_the_loopback_no_other_name_and_no_other_site_gets_in(serve: Serve) -> None:
    served = serve()
    assert served.ask("GET", "/state", Host="evil.example")[0] == 400
    assert served.ask("GET", "/state", Host=f"localhost:{served.address.port}")[0] == 200
    assert served.ask("PUT", "/areas/0", [TRIANGLE], Origin="http://evil.example")[0] == 403
    own = f"127.0.0.1:{served.address.port}"
    assert served.ask("PUT", "/areas/0", [TRIANGLE], Host=own, Origin=f"http://{own}")[0] == 200


def test_from_elsewhere_only_who_has_the_token_gets_in(serve: Serve) -> None:
    served = serve("s3cret-töken")
    for path in ("/", "/page.js", "/state", "/pictures?seen=0,0&mask=0,0", "/?token=wrong", "/state?token=s3cret-t%C3%B6ken"):
        status, headers, body = served.ask("GET", path)
        assert status == 403 and b"skipvid printed" in body and "set-cookie" not in headers
    assert served.ask("PUT", "/areas/0", [TRIANGLE])[0] == 403 and not served.files[0].exists()
    assert served.ask("GET", "/state", Cookie=f"skipvid-{served.address.port}=wrong")[0] == 403


def test_the_address_that_is_printed_lets_a_browser_in_and_stays_in_no_history(serve: Serve) -> None:
    served = serve("token")
    status, headers, _ = served.ask("GET", served.address.link.partition(str(served.address.port))[2])
    cookie = headers["set-cookie"]
    assert status == 303 and headers["location"] == "/" and "HttpOnly" in cookie and "SameSite=strict" in cookie
    assert headers["referrer-policy"] == "no-referrer"
    for path in ("/", "/state"):
        assert served.ask("GET", path, Cookie=cookie.partition(";")[0])[0] == 200
