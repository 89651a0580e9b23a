import io
import re

import pytest
from report_data import cost, header, result, summary
from rich.console import Console

from skipvid.core.costs import FrameCost, LayerCost
from skipvid.core.results import RunSummary
from skipvid.report import Agreement, Comparison, SummaryBuilder, ThresholdRow, render_report
from skipvid.report.units import count, milliseconds, percent, times


def printed(run: RunSummary, *arguments: object, width: int = 80, encoding: str = "utf-8", **options: object) -> str:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding)
    render_report(run, *arguments, console=Console(file=stream, width=width), **options)
    stream.flush()
    return raw.getvalue().decode(encoding)


def timed(model_ms: float, saved: int, *, keyframes: int = 1, **changes: object) -> RunSummary:
    """Four frames of a network of 1000 MACs, of which `saved` are saved in each."""
    builder = SummaryBuilder(header(**changes))
    layer = LayerCost("conv", "stem", "conv", 1000, 1000 - saved, 100, 100 - saved // 10)
    frame_cost = FrameCost.of([layer])
    for index in range(4):
        builder.add(result(index, frame_cost, keyframe=index < keyframes, model=model_ms))
    return builder.build(1.0)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_no_line_is_wider_than_the_console(width: int) -> None:
    rows = [ThresholdRow(0.02, 0.5, 0.6, 10.0, 20.0, 0.97)]
    text = printed(summary(), Comparison(41.2, Agreement(9, 1, 1, 0.3), 0.99), width=width, thresholds=rows, layers=True)
    assert max(map(len, text.splitlines())) <= width


def test_without_a_terminal_there_are_no_control_sequences_and_no_trailing_blanks() -> None:
    text = printed(summary(), layers=True)
    assert "\x1b" not in text
    assert not re.search(r"\S[ ]{20,}$", text.splitlines()[0])


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    stream = io.StringIO()
    render_report(timed(50.0, 500), Comparison(40.0), console=Console(file=stream, width=80, force_terminal=True))
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]", stream.getvalue())


def test_the_report_can_be_printed_where_only_ascii_can() -> None:
    text = printed(timed(50.0, 500), Comparison(40.0, Agreement(5, 1, 1), 0.9), encoding="ascii", layers=True)
    assert "Skipping does not pay" in text


@pytest.mark.parametrize("learned", [False, True])
def test_stage_rows_show_the_means_of_a_frame(learned: bool) -> None:
    builder = SummaryBuilder(header())
    for index in range(10):
        builder.add(result(index, cost(index, learned=learned)))
    run = builder.build(1.0)
    assert run.cost is not None
    stem = [layer for layer in run.cost.layers if layer.stage == "stem"]
    dense, gates = sum(x.dense_macs for x in stem) / 10, sum(x.gate_macs for x in stem) / 10
    spent, ops = gates + sum(x.macs for x in stem) / 10, sum(x.gate_ops for x in stem) / 10
    (row,) = [line for line in printed(run).splitlines() if line.startswith("stem")]
    skipped = percent(1 - sum(x.active for x in stem) / sum(x.outputs for x in stem))
    shown = [count(dense), count(spent), *([count(gates)] if learned else []), percent(1 - spent / dense), skipped, count(ops)]
    assert re.split(r"\s{2,}", row.strip()) == ["stem", *shown]
    (total,) = [line for line in printed(run).splitlines() if line.startswith("total")]
    assert percent(run.cost.saving) in total and percent(run.cost.skip_ratio) in total


def test_layers_are_listed_when_asked_for_and_long_names_keep_their_end() -> None:
    builder = SummaryBuilder(header())
    layer = LayerCost("backbone." * 12 + "last.conv_pwl", "stem", "conv", 1000, 10, 10, 1)
    builder.add(result(0, FrameCost.of([layer])))
    assert "conv_pwl" not in printed(builder.build(1.0))
    assert re.search(r"^\.\.\..*last\.conv_pwl", printed(builder.build(1.0), layers=True), re.MULTILINE)


def test_columns_of_gates_are_shown_only_where_there_are_such_gates() -> None:
    plain = printed(timed(10.0, 500))
    assert "Gate ops" not in plain and "of it gates" not in plain
    builder = SummaryBuilder(header())
    builder.add(result(0, cost(1, learned=True)))
    learned = printed(builder.build(1.0))
    assert "Gate ops" in learned and "of it gates" in learned


def test_skip_stands_beside_dense_with_their_ratio() -> None:
    text = printed(timed(20.0, 600), Comparison(50.0))
    assert "2.50x" in text and "20.0 ms against 50.0 ms" in text
    assert "does not pay" not in text


@pytest.mark.parametrize(
    ("run", "reason"),
    [
        (timed(60.0, 600, backend="reference"), "computes every layer in full"),
        (timed(60.0, 600, keyframes=3), "3 of 4 frames were keyframes"),
        (timed(60.0, 100), "only 10.0% of the MACs were saved"),
        (timed(60.0, 600), "the gates' own work"),
        (timed(53.0, 600), "the gates' own work"),
    ],
)
def test_where_skipping_does_not_pay_the_report_says_so_and_why(run: RunSummary, reason: str) -> None:
    text = " ".join(printed(run, Comparison(50.0)).split())
    assert "Skipping does not pay here" in text and reason in text


@pytest.mark.parametrize("ms", [49.0, 50.0, 52.0])
def test_times_that_differ_by_noise_are_no_verdict(ms: float) -> None:
    assert "does not pay" not in printed(timed(ms, 600), Comparison(50.0))


def test_a_dense_time_measured_within_the_run_is_used_too() -> None:
    builder = SummaryBuilder(header())
    builder.add(result(0, cost(0), model=10.0, dense_model=30.0))
    assert "3.00x" in printed(builder.build(1.0))


def test_a_run_without_gates_has_times_and_no_cost() -> None:
    builder = SummaryBuilder(header(gate="none"))
    builder.add(result(0, model=33.0))
    text = printed(builder.build(1.0))
    assert "no gates" in text and "33.0" in text and "MACs" not in text


def test_problems_dropped_frames_and_interruption_are_told() -> None:
    builder = SummaryBuilder(header())
    builder.add(result(0, cost(0)))
    text = printed(builder.build(1.0, dropped=3, problems=["read 1 of about 300 frames"], interrupted=True))
    assert "read 1 of about 300 frames" in text and "3 frames of the live source" in text and "interrupted after 1 frame\n" in text


def test_names_that_look_like_markup_are_printed_as_they_are() -> None:
    assert "[bold]x[/bold].mp4" in printed(summary(name="[bold]x[/bold].mp4"))


def test_what_is_not_counted_is_said() -> None:
    assert "Not among them" in printed(summary())


def test_a_sweep_has_a_row_for_each_threshold() -> None:
    rows = [ThresholdRow(0.0, 0.21, 0.2, 39.0, 40.0, 1.0), ThresholdRow(0.05, 0.8, 0.85, 10.0, 40.0)]
    text = printed(summary(), thresholds=rows)
    assert re.search(r"^\s*0 +21\.0% +20\.0% +39\.0 +40\.0 +1\.03x +1\.000", text, re.MULTILINE)
    assert re.search(r"^\s*0\.05 +80\.0% +85\.0% +10\.0 +40\.0 +4\.00x +-", text, re.MULTILINE)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (8, "8"), (999, "999"), (999.7, "1.00 k"), (1234, "1.23 k"), (999_600, "1.00 M"), (6.104e9, "6.10 G"), (43.44e6, "43.4 M")]
    + [(2.5e15, "2500 T")],
)
def test_counts_have_three_digits_and_a_unit(value: float, text: str) -> None:
    assert count(value) == text


@pytest.mark.parametrize(
    ("fraction", "text"),
    [(0.684, "68.4%"), (0.0, "0.0%"), (1.0, "100.0%"), (0.9999, "99.9%"), (0.00001, "<0.1%"), (-0.00001, ">-0.1%"), (-0.07, "-7.0%")],
)
def test_percentages_never_round_to_none_or_all(fraction: float, text: str) -> None:
    assert percent(fraction) == text


@pytest.mark.parametrize(("ms", "text"), [(0.0, "0.00"), (9.994, "9.99"), (9.996, "10.0"), (99.96, "100"), (1234.5, "1234")])
def test_milliseconds_have_three_digits(ms: float, text: str) -> None:
    assert milliseconds(ms) == text


@pytest.mark.parametrize(("ratio", "text"), [(0.94, "0.94x"), (2.256, "2.26x"), (12.34, "12.3x"), (123.4, "123x")])
def test_ratios_have_three_digits(ratio: float, text: str) -> None:
    assert times(ratio) == text
