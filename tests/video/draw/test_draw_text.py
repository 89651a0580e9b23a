import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skipvid.video.draw.text import DARK, LIGHT, Scale, fit, ink_for, measure, printable, put_plate, put_text


@pytest.mark.parametrize(
    ("text", "plain", "ascii_only"),
    [
        ("person 0.91", "person 0.91", "person 0.91"),
        ("  two\n lines\t\x00 ", "two lines", "two lines"),
        ("âgée", "âgée", "agee"),
        ("人 1", "人 1", "? 1"),
        ("\u202eevil", "evil", "evil"),
        ("", "", ""),
    ],
)
def test_text_is_made_printable_for_either_font(text: str, plain: str, ascii_only: str) -> None:
    assert printable(text, ascii_only=False) == plain
    assert printable(text, ascii_only=True) == ascii_only


@pytest.mark.parametrize("size", [10, 17, 40])
@pytest.mark.parametrize("text", ["person 0.91 #3", "gjpqy|", "W"])
def test_the_measured_size_holds_every_pixel_of_the_text(text: str, size: int) -> None:
    image = np.zeros((200, 900, 3), np.uint8)
    put_text(image, text, 100, 100, size, (255, 255, 255))
    width, ascent, descent = measure(text, size)
    rows, columns = np.nonzero(image.max(axis=2) > 40)
    assert rows.min() >= 100 - ascent and rows.max() <= 100 + descent
    assert columns.min() >= 99 and columns.max() <= 101 + width
    assert columns.max() - columns.min() > 0.8 * width - 4


def test_text_that_is_too_wide_first_shrinks_and_is_then_cut() -> None:
    width = measure("a long label", 30)[0]
    assert fit("a long label", 30, width) == ("a long label", 30)
    text, size = fit("a long label", 30, round(0.8 * width))
    assert text == "a long label" and 21 <= size < 30
    text, size = fit("a long label", 30, round(0.4 * width))
    assert size == 21 and text.endswith("..") and measure(text, size)[0] <= round(0.4 * width)
    assert fit("a long label", 30, 3) == ("", 21)


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.integers(1, 90), st.integers(1, 200)),
    st.integers(-300, 300),
    st.integers(-300, 300),
    st.text(max_size=40),
    st.integers(10, 40),
)
def test_a_plate_never_leaves_the_image(shape: tuple[int, int], left: int, top: int, text: str, size: int) -> None:
    # the image lies inside a larger one, whose rim must stay as it is
    whole = np.full((shape[0] + 20, shape[1] + 20, 3), 7, np.uint8)
    rim = np.ones(whole.shape[:2], bool)
    rim[10:-10, 10:-10] = False
    x0, y0, x1, y1 = put_plate(whole[10:-10, 10:-10], text, left, top, size, 3, (0, 200, 255))
    assert (whole[rim] == 7).all()
    if x1 > x0:
        assert 0 <= x0 and 0 <= y0 and x1 <= shape[1] and y1 <= shape[0]


@pytest.mark.parametrize(("plate", "ink"), [((255, 255, 255), DARK), ((0, 0, 0), LIGHT), ((0, 255, 255), DARK), ((200, 0, 0), LIGHT)])
def test_ink_stands_out_on_its_plate(plate: tuple[int, int, int], ink: tuple[int, int, int]) -> None:
    assert ink_for(plate) == ink


def test_sizes_grow_with_the_picture() -> None:
    scales = [Scale.of(np.zeros((h, w, 3), np.uint8)) for h, w in [(120, 160), (720, 1280), (1080, 1920), (2160, 3840)]]
    assert [s.text for s in scales] == sorted({s.text for s in scales})
    assert [s.line for s in scales] == sorted({s.line for s in scales})
