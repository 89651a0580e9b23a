import numpy as np
import pytest

from skipvid.core.results import Detections, Frame, FrameResult
from skipvid.video.draw import HeatmapRenderer, TimeAverage
from skipvid.video.draw.heat import activity_of, blend_heat
from skipvid.video.draw.legend import legend_strip


def result(activity: np.ndarray | None, image: np.ndarray | None = None, index: int = 0) -> FrameResult:
    image = np.full((360, 640, 3), 110, np.uint8) if image is None else image
    return FrameResult(Frame(image, index, index / 25, "clip"), Detections.empty(), False, {}, None, activity)


def grid(value: float, shape: tuple[int, int] = (9, 16)) -> np.ndarray:
    return np.full(shape, value, np.float32)


def test_mode_frame_shows_the_frame_alone() -> None:
    renderer = HeatmapRenderer("frame")
    renderer.render(result(grid(1.0)))
    assert np.array_equal(renderer.render(result(grid(0.2))), HeatmapRenderer("frame").render(result(grid(0.2))))


def test_the_mean_of_a_constant_is_that_constant_from_the_first_frame_on() -> None:
    mean, single = HeatmapRenderer("mean", span=25), HeatmapRenderer("mean", span=1)
    expected = single.render(result(grid(0.5)))
    for index in range(5):
        drawn = mean.render(result(grid(0.5), index=index))
        assert np.abs(drawn.astype(int) - expected).max() <= 1


def test_the_mean_forgets_over_its_span() -> None:
    renderer = HeatmapRenderer("mean", span=10)
    heat = []
    for value in [1.0] * 40 + [0.0] * 40:
        heat.append(float(renderer.render(result(grid(value)))[:200].mean()))
    first, last = heat[39], heat[79]
    assert all(b < a for a, b in zip(heat[40:55], heat[41:56], strict=True))
    reached = next(i for i, value in enumerate(heat[40:]) if value < (first + last) / 2)
    assert 2 <= reached <= 10


def test_brightness_rises_with_activity() -> None:
    ramp = np.linspace(0, 1, 16, dtype=np.float32)[None]
    drawn = blend_heat(np.full((40, 320, 3), 110, np.uint8), ramp)
    luma = drawn[20, 10::20].astype(float) @ np.array([0.114, 0.587, 0.299])
    assert (np.diff(luma) > 0).all()


@pytest.mark.parametrize("value", [0.1, 0.25, 0.5, 0.75, 0.9])
def test_the_legend_shows_a_value_in_the_colour_that_the_map_gives_it_on_middle_grey(value: float) -> None:
    image = np.full((360, 640, 3), 110, np.uint8)
    colour = blend_heat(image, grid(value))[180, 320].astype(int)
    strip = legend_strip(image, "MACs spent").astype(int)
    bar = strip[np.ptp(strip, axis=2).mean(axis=1).argmax()]
    coloured = np.nonzero(np.ptp(bar, axis=1) > 12)[0]
    distance = np.abs(bar - colour).max(axis=1)
    assert distance.min() <= 3
    first = coloured.min() - 0.04 * np.ptp(coloured)  # inferno starts almost grey
    assert abs((distance.argmin() - first) / (coloured.max() - first) - value) < 0.05


def test_the_time_average_is_the_mean_of_all_frames() -> None:
    rng = np.random.default_rng(3)
    maps = rng.random((17, 9, 16)).astype(np.float32)
    still = TimeAverage()
    for index, activity in enumerate(maps):
        still.add(result(activity, rng.integers(0, 256, (36, 64, 3), np.uint8), index))
    assert still.frames == 17
    np.testing.assert_allclose(still.activity, maps.mean(axis=0), rtol=1e-6)


def test_the_still_lies_over_the_mean_picture() -> None:
    still = TimeAverage()
    for level in (0, 50, 250):
        still.add(result(grid(0.0), np.full((360, 640, 3), level, np.uint8)))
    drawn = still.render("clip.mp4")
    only = blend_heat(np.full((360, 640, 3), 100, np.uint8), grid(0.0))
    assert np.abs(drawn[drawn.shape[0] // 2, 320].astype(int) - only[0, 0]).max() <= 1


def test_a_change_of_size_or_of_grid_is_taken_in() -> None:
    still, renderer = TimeAverage(), HeatmapRenderer()
    for activity, size in [(grid(1.0), (360, 640)), (grid(0.0, (5, 5)), (200, 200)), (grid(0.5, (9, 16)), (200, 200))]:
        image = np.zeros((*size, 3), np.uint8)
        still.add(result(activity, image))
        assert renderer.render(result(activity, image)).shape == image.shape
    np.testing.assert_allclose(still.activity, grid(0.5), atol=1e-6)


def test_a_network_without_gates_computes_everything() -> None:
    assert np.array_equal(activity_of(result(None)), np.ones((1, 1), np.float32))


@pytest.mark.parametrize("size", [(1, 1), (20, 30), (120, 160), (160, 120), (720, 1280)])
def test_a_heatmap_has_the_size_of_its_frame(size: tuple[int, int]) -> None:
    assert HeatmapRenderer().render(result(grid(0.3), np.zeros((*size, 3), np.uint8))).shape == (*size, 3)


@pytest.mark.parametrize("size", [(8, 8), (120, 160), (1280, 720)])
def test_a_still_is_wide_enough_for_its_title_whatever_the_frame(size: tuple[int, int]) -> None:
    still = TimeAverage()
    still.add(result(grid(0.3), np.zeros((*size, 3), np.uint8)))
    drawn = still.render("x" * 300, ["efficientdet_d1", "threshold 0.03", "norm gate", "1 frame", "71% of MACs saved"] * 3)
    assert drawn.shape[1] >= 640


def test_an_average_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="no frame"):
        TimeAverage().render("clip.mp4")


@pytest.mark.parametrize("span", [0, -3])
def test_a_span_of_no_frames_is_refused(span: int) -> None:
    with pytest.raises(ValueError, match="at least 1 frame"):
        HeatmapRenderer(span=span)
