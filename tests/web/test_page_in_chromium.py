"""The page in a browser: what is seen, drawing areas with the mouse and the keyboard, light and dark, on a phone."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

for name in ("starlette", "uvicorn"):
    pytest.importorskip(name, reason="the page is an extra: skipvid[web]")

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
from chromium_pipe import Chromium, find_chromium  # noqa: E402
from page_serving import Served, result  # noqa: E402

PROGRAM = find_chromium()
pytestmark = [pytest.mark.slow, pytest.mark.skipif(PROGRAM is None, reason="there is no Chromium")]


@contextmanager
def running(served: Served) -> Iterator[None]:
    """The first camera delivers ten pictures a second."""
    end = threading.Event()

    def deliver() -> None:
        index = 0
        while not end.wait(0.1):
            served.cameras[0].update(result(index, arrived=time.monotonic() - 0.02, size=(640, 480)), dropped=index // 4)
            index += 1

    thread = threading.Thread(target=deliver, daemon=True)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()


@pytest.fixture
def served(serve: Callable[..., Served]) -> Iterator[Served]:
    page = serve()
    with running(page):
        yield page


@pytest.fixture
def browser(served: Served) -> Iterator[Chromium]:
    assert PROGRAM is not None
    with Chromium(PROGRAM) as opened:
        opened.open(served.address.link)
        opened.until("document.querySelectorAll('canvas.drawn').length === 1")
        yield opened


def place(browser: Chromium, selector: str) -> tuple[float, float, float, float]:
    """left, top, width, height of the first element that fits, after it was scrolled into view."""
    script = f"""(() => {{
        const found = document.querySelector('{selector}');
        found.scrollIntoView({{block: 'center'}});
        const box = found.getBoundingClientRect();
        return [box.left, box.top, box.width, box.height];
    }})()"""
    left, top, width, height = browser.evaluate(script)
    return left, top, width, height


def click_on(browser: Chromium, selector: str, x: float = 0.5, y: float = 0.5) -> None:
    left, top, width, height = place(browser, selector)
    browser.click(left + x * width, top + y * height)


def kept(served: Served) -> list[Any]:
    file = served.files[0]
    return json.loads(file.read_text()) if file.exists() else []


def until(true: Callable[[], Any]) -> Any:
    end = time.monotonic() + 30
    while not (value := true()) and time.monotonic() < end:
        time.sleep(0.05)
    assert value
    return value


def test_pictures_go_on_and_numbers_and_identities_are_shown(browser: Chromium) -> None:
    canvas = "document.querySelector('canvas')"
    shade = f"{canvas}.getContext('2d').getImageData(0.9 * {canvas}.width, 0.8 * {canvas}.height, 1, 1).data[0]"
    first = browser.evaluate(shade)
    browser.until(f"{shade} !== {first}")
    browser.until("document.querySelector('.found').textContent.includes('#7 person')")
    text = browser.until("document.querySelector('.numbers').innerText.includes('ms') && document.querySelector('.card').innerText")
    assert "1 person" in text and "door: 2 right, 1 left" in text and "running" in text
    assert browser.evaluate("document.querySelectorAll('.card')[1].innerText").count("connecting") == 1


def test_everything_has_a_name_and_can_be_reached_with_the_keyboard(browser: Chromium) -> None:
    nameless = """[...document.querySelectorAll('button:not([hidden]), canvas, svg[role=img], main, section')].filter(
        (e) => !(e.getAttribute('aria-label') || e.textContent.trim())).length"""
    browser.until("document.querySelector('canvas').getAttribute('aria-label').includes('1 person')")
    browser.until("[...document.querySelectorAll('.card:first-child svg[role=img]')].every((e) => e.getAttribute('aria-label'))")
    assert browser.evaluate(f"{nameless} - document.querySelectorAll('.card')[1].querySelectorAll('svg[role=img], canvas').length") <= 0
    reached = []
    for _ in range(5):
        browser.press("Tab")
        reached.append(browser.evaluate("document.activeElement.textContent.trim()"))
    assert reached[0] == "To the cameras" and {"Mask", "Large", "Draw area to ignore"} <= set(reached)
    assert browser.evaluate("document.documentElement.lang") == "en" and browser.evaluate("document.querySelectorAll('h1').length") == 1


def test_an_area_is_drawn_with_the_mouse_and_kept(browser: Chromium, served: Served) -> None:
    browser.until("!document.querySelector('.draw').disabled")
    click_on(browser, ".draw")
    for x, y in ((0.1, 0.1), (0.5, 0.1), (0.5, 0.6)):
        click_on(browser, "svg.drawing", x, y)
    click_on(browser, ".close")
    (polygon,) = until(lambda: kept(served))
    assert polygon == [[pytest.approx(x, abs=0.01), pytest.approx(y, abs=0.01)] for x, y in ((0.1, 0.1), (0.5, 0.1), (0.5, 0.6))]
    browser.until("document.querySelector('.told').textContent.includes('yard_areas.json')")
    assert until(lambda: served.looked_at)[0].left_out(480, 640)[100, 200]
    assert browser.evaluate("document.querySelectorAll('svg.drawing')[0].querySelectorAll('polygon').length") == 1
    click_on(browser, ".clear")
    until(lambda: not served.files[0].exists())


def test_an_area_is_drawn_with_the_keyboard_alone(browser: Chromium, served: Served) -> None:
    browser.until("!document.querySelector('.draw').disabled")
    browser.evaluate("document.querySelector('.draw').focus()")
    browser.press("Enter")
    browser.until("document.activeElement.classList.contains('drawing')")
    browser.press(" ")
    browser.press("ArrowRight", shift=True)
    browser.press(" ")
    browser.press("ArrowUp")
    browser.press("Backspace")  # the second corner is taken back, and set again where the cross is now
    browser.press(" ")
    browser.press("ArrowDown", shift=True)
    browser.press(" ")
    assert browser.evaluate("document.getElementById('announcement').textContent") == "corner 3 at 60 %, 59 %"
    browser.press("Enter")
    (polygon,) = until(lambda: kept(served))
    assert polygon == [[0.5, 0.5], [0.6, 0.49], [0.6, 0.59]]
    browser.evaluate("document.querySelector('.draw').click()")
    browser.press(" ")
    browser.press("Escape")
    browser.until("document.activeElement.classList.contains('draw')")
    assert kept(served) == [polygon]


@pytest.mark.parametrize(("width", "mobile", "dark"), [(1300, False, False), (1300, False, True), (390, True, False), (320, True, True)])
def test_the_page_fits_its_window_and_follows_the_colours_of_the_system(
    width: int, mobile: bool, dark: bool, served: Served, tmp_path: Path
) -> None:
    assert PROGRAM is not None
    with Chromium(PROGRAM, dark=dark) as browser:
        browser.resize(width, 800, mobile)
        browser.open(served.address.link)
        browser.until("document.querySelectorAll('canvas.drawn').length === 1")
        assert browser.evaluate("document.documentElement.scrollWidth") <= width
        outside = "[...document.querySelectorAll('.card *')].filter((e) => e.getBoundingClientRect().right > innerWidth + 1).length"
        assert browser.evaluate(outside) == 0
        lightness = "getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g).map(Number).reduce((a, b) => a + b) / 765"
        assert (browser.evaluate(lightness) < 0.3) == dark
        browser.picture(tmp_path / "page.png")
        assert (tmp_path / "page.png").stat().st_size > 10_000
