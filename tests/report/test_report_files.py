import csv
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from report_data import cost, header, result, summary

from skipvid.core.costs import FrameCost, LayerCost
from skipvid.core.errors import OutputError
from skipvid.core.results import FrameResult
from skipvid.report import Agreement, Comparison, CostCsv, SummaryBuilder, ThresholdRow, summary_document, write_html
from skipvid.report.csvs import COLUMNS


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def run_of(frames: int, seed: int = 0) -> list[FrameResult]:
    return [result(i, cost(seed + i, learned=True), keyframe=i == 0, decode=1.0, model=20.0 + i) for i in range(frames)]


def summed(results: list[FrameResult], **changes: object):
    builder = SummaryBuilder(header(**changes))
    for one in results:
        builder.add(one)
    return builder.build(2.0)


def write_csv(path: Path, frames: int = 6) -> list[dict[str, str]]:
    results = run_of(frames)
    with CostCsv(path, header()) as sink:
        for one in results:
            sink.write(one)
        sink.finish(summed(results))
    return rows_of(path)


@pytest.mark.parametrize("column", ["dense_macs", "macs", "gate_macs", "gate_ops", "outputs", "active"])
def test_frames_and_stages_each_add_up_to_the_total(tmp_path: Path, column: str) -> None:
    rows = write_csv(tmp_path / "cost.csv")
    sums = {scope: sum(int(row[column]) for row in rows if row["scope"] == scope) for scope in ("frame", "stage", "total")}
    assert sums["frame"] == sums["stage"] == sums["total"] > 0


def test_layers_add_up_to_the_total_but_for_gates_beside_them(tmp_path: Path) -> None:
    rows = write_csv(tmp_path / "cost.csv", 6)
    layers = [row for row in rows if row["scope"] == "layer"]
    (total,) = [row for row in rows if row["scope"] == "total"]
    assert sum(int(row["macs"]) for row in layers) == int(total["macs"])
    assert sum(int(row["gate_ops"]) for row in layers) + 6 * 77 == int(total["gate_ops"])


def test_saving_and_skip_ratio_follow_from_the_other_columns_of_every_row(tmp_path: Path) -> None:
    counted = [row for row in write_csv(tmp_path / "cost.csv") if row["name"] != "other gates"]
    for row in counted:
        assert float(row["saving"]) == pytest.approx(1 - int(row["macs"]) / int(row["dense_macs"]), abs=1e-6)
        assert float(row["skip_ratio"]) == pytest.approx(1 - int(row["active"]) / int(row["outputs"]), abs=1e-6)


def test_each_row_fills_what_applies_to_it(tmp_path: Path) -> None:
    rows = write_csv(tmp_path / "cost.csv", 3)
    assert [row["scope"] for row in rows] == ["frame"] * 3 + ["layer"] * 5 + ["stage"] * 4 + ["total"]
    assert tuple(rows[0]) == COLUMNS
    first, layer, stage, total = rows[0], rows[3], rows[8], rows[-1]
    assert (first["frame"], first["time"], first["keyframe"], first["frames"], first["name"]) == ("0", "0.0", "1", "1", "")
    assert [row["keyframe"] for row in rows[:4]] == ["1", "0", "0", ""]
    assert rows[2]["time"] == "0.08" and rows[2]["model_ms"] == "22.0" and rows[2]["dense_model_ms"] == ""
    assert (layer["name"], layer["stage"], layer["kind"], layer["frames"], layer["frame"]) == ("net.0.conv", "stem", "conv", "3", "")
    assert (stage["name"], stage["stage"]) == ("stem", "")
    assert (total["model_ms"], total["threshold"], total["source"], total["preset"]) == ("21.0", "0.03", "clip.mp4", "d0")


def test_several_runs_share_a_file(tmp_path: Path) -> None:
    path = tmp_path / "cost.csv"
    first, second = run_of(3), run_of(2, seed=40)
    with CostCsv(path, header(threshold=0.02)) as sink:
        for one in first:
            sink.write(one)
        sink.end_run(summed(first))
        sink.next_run(header(threshold=0.05))
        for one in second:
            sink.write(one)
        sink.finish(summed(second))
    rows = rows_of(path)
    for threshold, results in (("0.02", first), ("0.05", second)):
        (total,) = [row for row in rows if row["scope"] == "total" and row["threshold"] == threshold]
        assert int(total["macs"]) == sum(one.cost.macs for one in results)
        assert len([row for row in rows if row["scope"] == "frame" and row["threshold"] == threshold]) == len(results)


def test_rows_of_a_source_that_failed_are_taken_back_from_among_those_of_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("skipvid.video.sinks.text._PIECE", 500)  # so that rows are cut where pieces end
    path = tmp_path / "cost.csv"
    names = ("first, one.mp4", 'failed, "two".mp4', "last.mp4")
    headers = [header(name) for name in names]
    runs = [run_of(4), run_of(4, seed=20), run_of(4, seed=40)]
    with CostCsv(path, headers[0]) as sink:
        for results in zip(*runs, strict=True):
            for its_header, one in zip(headers, results, strict=True):
                sink.write_of(its_header, one)
        sink.end_of(headers[0], summed(runs[0]))
        sink.drop_source(names[1])
        sink.end_of(headers[2], summed(runs[2]))
        sink.complete()
    rows = rows_of(path)
    assert [row["source"] for row in rows if row["scope"] == "frame"] == [names[0], names[2]] * 4
    assert {row["source"] for row in rows if row["scope"] == "total"} == {names[0], names[2]}
    assert all(len(row) == len(COLUMNS) and None not in row for row in rows)


def test_a_run_without_gates_has_times_alone(tmp_path: Path) -> None:
    path = tmp_path / "cost.csv"
    one = result(0, model=30.0)
    with CostCsv(path, header(gate="none")) as sink:
        sink.write(one)
        sink.finish(summed([one], gate="none"))
    assert [(row["scope"], row["macs"], row["model_ms"]) for row in rows_of(path)] == [("frame", "", "30.0"), ("total", "", "30.0")]


def test_a_csv_has_its_name_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "cost.csv"
    sink = CostCsv(path, header())
    sink.write(result(0, cost(0)))
    assert not path.exists() and len(list(tmp_path.glob("cost.csv.*.part"))) == 1
    sink.finish(summed([result(0, cost(0))]))
    sink.close()
    assert [file.name for file in tmp_path.iterdir()] == ["cost.csv"]


def test_a_csv_that_was_not_finished_is_thrown_away(tmp_path: Path) -> None:
    with CostCsv(tmp_path / "cost.csv", header()) as sink:
        sink.write(result(0, cost(0)))
    sink.close()
    assert not list(tmp_path.iterdir())


def test_an_output_that_cannot_be_written_is_told_with_its_name(tmp_path: Path) -> None:
    missing = tmp_path / "no" / "such" / "folder"
    with pytest.raises(OutputError, match=re.escape(str(missing / "cost.csv"))):
        CostCsv(missing / "cost.csv", header())
    with pytest.raises(OutputError, match=re.escape(str(missing / "r.html"))):
        write_html(missing / "r.html", summary())
    (tmp_path / "taken").mkdir()
    with pytest.raises(OutputError):
        write_html(tmp_path / "taken", summary())
    with CostCsv(tmp_path / "taken", header()) as sink, pytest.raises(OutputError):
        sink.finish(summary())
    assert [file.name for file in tmp_path.iterdir()] == ["taken"]


COMPARISON = Comparison(41.2, Agreement(90, 10, 10, 4.5), 0.98)
ROWS = [ThresholdRow(0.02, 0.5, 0.6, 10.0, 20.0, 0.97), ThresholdRow(0.05, 0.7, 0.8, 5.0, 20.0)]


def test_the_document_is_plain_json_with_the_numbers_of_the_run() -> None:
    run = summary(10)
    document = json.loads(json.dumps(summary_document(run, COMPARISON, ROWS), allow_nan=False))
    assert run.cost is not None
    assert document["schema"] == 1 and document["frames"] == 10 and document["fps"] == 5.0
    assert document["cost"]["macs"] == run.cost.macs and document["cost"]["saving"] == pytest.approx(run.cost.saving)
    assert [layer["name"] for layer in document["cost"]["layers"]] == [f"net.{i}.conv" for i in range(5)]
    assert [stage["name"] for stage in document["cost"]["stages"]] == ["stem", "body", "head", "other gates"]
    assert document["dense"]["speedup"] == pytest.approx(2.06) and document["dense"]["agreement"]["f1"] == 0.9
    assert [row["threshold"] for row in document["thresholds"]] == [0.02, 0.05] and document["thresholds"][1]["f1"] is None


def test_the_document_can_leave_the_layers_out_and_has_no_cost_without_gates() -> None:
    assert "layers" not in summary_document(summary(), layers=False)["cost"]
    assert summary_document(SummaryBuilder(header()).build(0.0))["cost"] is None


def test_numbers_that_are_not_finite_become_null() -> None:
    document = summary_document(summary(wall_seconds=float("inf")), Comparison(float("nan")))
    assert document["wall_seconds"] is None and document["dense"]["ms"] is None
    json.dumps(document, allow_nan=False)


class Checker(HTMLParser):
    """Checks that tags nest, and collects text and addresses."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def page(path: Path, **changes: object) -> Checker:
    builder = SummaryBuilder(header(**changes))
    for index in range(12):
        builder.add(result(index, cost(index), keyframe=index == 0))
    write_html(path, builder.build(2.0), comparison=COMPARISON, thresholds=ROWS, curve=builder.curve)
    checker = Checker()
    checker.feed(path.read_text(encoding="utf-8"))
    checker.close()
    assert not checker.open
    return checker


def test_the_page_is_well_formed_and_needs_nothing_from_elsewhere(tmp_path: Path) -> None:
    checker = page(tmp_path / "r.html")
    assert not {"script", "link", "img", "iframe"} & set(checker.tags)
    assert not {"src", "href"} & {name for name, _ in checker.attributes}
    assert "://" not in (tmp_path / "r.html").read_text(encoding="utf-8")
    assert [file.name for file in tmp_path.iterdir()] == ["r.html"]


def test_the_page_shows_every_layer_and_stage_and_the_whole_run(tmp_path: Path) -> None:
    checker = page(tmp_path / "r.html")
    text = "\n".join(checker.text)
    assert all(f"net.{index}.conv" in text for index in range(5)) and all(stage in text for stage in ("stem", "body", "head"))
    assert checker.tags.count("rect") == 2 * 5
    (line,) = [value for name, value in checker.attributes if name == "points" and value and value.count(",") == 12]
    heights = [float(point.split(",")[1]) for point in line.split()]
    assert heights.index(min(heights)) == max(range(12), key=lambda index: cost(index).saving)
    assert "0.900" in text


def test_names_are_escaped_in_the_page(tmp_path: Path) -> None:
    checker = page(tmp_path / "r.html", name="<script>alert(1)</script>&.mp4")
    assert "script" not in checker.tags
    assert "<script>alert(1)</script>&.mp4" in checker.text


def test_a_saving_of_nearly_nothing_does_not_break_the_page(tmp_path: Path) -> None:
    layer = LayerCost("conv", "stem", "conv", 10**6, 10**6 - 1, 10**6, 10**6 - 1)
    builder = SummaryBuilder(header())
    builder.add(result(0, FrameCost.of((layer,))))
    write_html(tmp_path / "r.html", builder.build(1.0), thresholds=[ThresholdRow(0.0, 1e-6, 1e-6, 1.0, 1.0)], curve=builder.curve)
    checker = Checker()
    checker.feed((tmp_path / "r.html").read_text(encoding="utf-8"))
    checker.close()
    assert not checker.open and checker.text.count("<0.1%") >= 8


def test_a_page_without_gates_comparison_or_curve_can_be_written(tmp_path: Path) -> None:
    write_html(tmp_path / "r.html", SummaryBuilder(header(gate="none")).build(0.0))
    assert "no gates" in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_the_report_shows_itself_and_says_that_its_numbers_are_made_up(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "skipvid.report", str(tmp_path / "r.html")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "made-up numbers" in done.stdout and "MACs saved" in done.stdout and not done.stderr
    assert "made-up numbers" in (tmp_path / "r.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(("module", "unwanted"), [("skipvid.report", "torch"), ("skipvid.report", "cv2"), ("skipvid.video.draw", "torch")])
def test_importing_is_light(module: str, unwanted: str) -> None:
    code = f"import sys, {module}; sys.exit({unwanted!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
