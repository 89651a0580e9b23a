"""Small faults, put in one at a time: do the tests see them?

    python tools/mutants.py [--part NAME]... [--only NUMBER]... [--list] [--without-baseline]

Each row of MUTANTS is a fault that somebody could make: a piece of text that stands once in a file of the package, what takes its place,
and the tests that should fail. It is applied in a temporary copy of the package, the native library included: neither the checkout nor an
installation is touched. Prints a table; exits with 1 where a fault passed, and with 2 where a row is no use any more: its text is not
found, or found twice, or its tests fail without the fault, or none of them could run.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
COPIED = ("skipvid", "tests", "presets", "pyproject.toml")
LINKED = ("sample_videos", "benchmarks", "docs", "tools", "README.md")
SECONDS = 600
"""After which a run of the tests counts as failed: a fault may make a loop endless."""

PRELOADED = ["av", "cv2", "numpy", "pytest", "torch", "torch.export", "yaml"]

# An editable installation finds its modules through a hook, which would come before the copy. Processes that tests start import this file.
BYPASS = """import sys
sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in type(finder).__module__ + type(finder).__name__.lower()]
"""


class Mutant(NamedTuple):
    part: str
    file: str  # below skipvid/
    text: str
    replacement: str
    tests: str  # below tests/, with pytest's options


MUTANTS = (
    Mutant("engine", "skip/gates/norm.py", "~(total <= self.threshold * scale", "(total > self.threshold * scale", "skip/gates"),
    Mutant("engine", "skip/gates/norm.py", "~(total <= self.threshold * scale", "~(total < self.threshold * scale", "skip/gates"),
    Mutant("engine", "skip/gates/norm.py", "return scale if math.isfinite(scale) else 0.0", "return scale", "skip/gates"),
    Mutant("engine", "skip/gates/norm.py", "channels = distance.shape[1] if", "channels = 1 if", "skip/gates"),
    Mutant("engine", "skip/gates/norm.py", "return 3 * channels + 1", "return 3 * channels", "skip/ir skip/test_frame_cost.py"),
    Mutant("engine", "skip/gates/output_norm.py", "self.p if self.threshold > 0 else 1.0", "self.p", "skip/gates"),
    Mutant(
        "engine",
        "skip/ir/cost.py",
        "(total * active + outputs // 2) // outputs",
        "total * active // outputs",
        "skip/ir skip/test_frame_cost.py",
    ),
    Mutant("engine", "skip/ir/cost.py", "math.prod(inputs[0].size) * node", "math.prod(node.size) * node", "skip/ir"),
    Mutant("engine", "skip/ir/footprint.py", "if size in (extent, 2 * extent) else low", "if size == extent else low", "skip/ir"),
    Mutant("engine", "skip/ir/footprint.py", "slack = 1e-4 + 1e-6 * out", "slack = 0 * out", "skip/ir"),
    Mutant(
        "engine", "skip/account.py", "    _add_gates(counts, units.measured, run.measured_pixels)", "    pass", "skip/test_frame_cost.py"
    ),
    Mutant(
        "engine", "skip/session.py", "1 if self.keyframe else self._since_keyframe + 1", "self._since_keyframe + 1", "skip/test_sessions.py"
    ),
    Mutant(
        "engine",
        "skip/session.py",
        "self._current = False\n        self._seen = None\n        if gated_next:",
        "self._seen = None\n        if gated_next:",
        "skip/test_sessions.py",
    ),
    Mutant(
        "engine",
        "skip/session.py",
        "min(2 * self._dense_run or 1, LONGEST_DENSE_RUN)",
        "min(self._dense_run or 1, LONGEST_DENSE_RUN)",
        "skip/test_sessions.py",
    ),
    Mutant(
        "report",
        "report/summary.py",
        "result.cost.dense_macs, result.cost.macs, result.keyframe)",
        "result.cost.dense_macs, result.cost.sums.macs, result.keyframe)",
        "report/test_report_summary.py",
    ),
    Mutant("report", "core/costs.py", "gate_ops + other_gate_ops)", "gate_ops)", "core report"),
    Mutant(
        "report",
        "core/costs.py",
        "1.0 - (self.macs + self.gate_macs) / self.dense_macs",
        "1.0 - self.macs / self.dense_macs",
        "core report",
    ),
    Mutant("report", "report/units.py", 'return "99.9%"', "return shown", "report"),
    Mutant("report", "report/units.py", "value >= 9.995 else f", "value >= 10 else f", "report"),
    Mutant("report", "report/agreement.py", "overlaps[row, best] >= iou", "overlaps[row, best] > iou", "report/test_report_agreement.py"),
    Mutant("report", "report/agreement.py", "overlaps[:, best] = -1.0", "overlaps[row, best] = -1.0", "report/test_report_agreement.py"),
    Mutant("report", "report/agreement.py", "np.argsort(-other.scores", "np.argsort(other.scores", "report/test_report_agreement.py"),
    Mutant("report", "report/csvs.py", "round(value, 6) if", "round(value, 3) if", "report"),
    Mutant("report", "report/csvs.py", '"keyframe": int(result.keyframe)', '"keyframe": 1', "report"),
    Mutant("report", "report/verdict.py", "skip < dense", "skip <= dense", "report"),
    Mutant("report", "report/charts.py", "spent = layer.macs + layer.gate_macs", "spent = layer.macs", "report"),
    Mutant("report", "report/charts.py", "low = min(0.0, *(point.saving for point in points))", "low = 0.0", "report"),
    Mutant(
        "sources",
        "video/sources/timing.py",
        "        if now > last:\n            return now\n",
        "        return now\n",
        "video/sources/test_video_sources.py",
    ),
    Mutant("sources", "video/sources/orientation.py", "True, c < 0, b < 0", "True, b < 0, c < 0", "video/sources/test_video_sources.py"),
    Mutant("sources", "video/sources/options.py", "time >= end", "time > end", "video/sources"),
    Mutant("sources", "video/sources/options.py", "self._taken >= most", "self._taken > most", "video/sources"),
    Mutant("sources", "video/sources/options.py", "time < self._options.start", "time <= self._options.start", "video/sources"),
    Mutant(
        "sources",
        "video/sources/specs.py",
        '(0, int(digits), "")',
        "(0, 0, digits)",
        "video/sources/test_specs.py video/sources/test_image_sources.py",
    ),
    Mutant("sources", "video/sources/specs.py", 'parts.netloc.rpartition("@")[2]', "parts.netloc", "video/sources/test_specs.py"),
    Mutant("sources", "video/sources/webcam.py", "+= self._newest is not None", "+= 1", "video/sources/test_webcam.py"),
    Mutant("sources", "video/sources/webcam.py", "number - first, seconds", "number, seconds", "video/sources/test_webcam.py"),
    Mutant("sinks", "video/sinks/tables.py", "[result.frame.index + 1,", "[result.frame.index,", "video/sinks/test_tables.py"),
    Mutant("sinks", "video/sinks/tables.py", "(x1, y1, x2 - x1, y2 - y1)", "(x1, y1, x2, y2)", "video/sinks/test_tables.py"),
    Mutant("sinks", "video/sinks/tables.py", "4 if k % 3 == 2 else 2", "2", "video/sinks/test_tables.py"),
    Mutant("sinks", "video/sinks/coco.py", "image_id = frame.index + 1", "image_id = frame.index", "video/sinks/test_coco_sink.py"),
    Mutant("sinks", "video/sinks/coco.py", "2 if s > 0 else 0", "2 if s >= 0 else 0", "video/sinks/test_coco_sink.py"),
    Mutant("sinks", "video/sinks/records.py", "round(value, digits) + 0.0 if", "round(value, digits) if", "video/sinks/test_json_sinks.py"),
    Mutant("sinks", "video/sinks/records.py", "ensure_ascii=False", "ensure_ascii=True", "video/sinks/test_json_sinks.py"),
    Mutant("sinks", "video/sinks/targets.py", "max(known, key=len)", "min(known, key=len)", "video/sinks/test_targets.py"),
    Mutant("sinks", "video/sinks/targets.py", "os.path.samefile(source, path)", "source == str(path)", "video/sinks/test_targets.py"),
    Mutant("sinks", "video/sinks/targets.py", "key = os.path.realpath(target)", "key = target", "video/sinks/test_targets.py"),
    Mutant("sinks", "video/sinks/video.py", "max(self._last + 1, round(", "max(self._last, round(", "video/sinks/test_video_sink.py"),
    Mutant("sinks", "video/sinks/video.py", "packet.duration = rest", "pass", "video/sinks/test_video_sink.py"),
    Mutant(
        "sinks", "video/sinks/video.py", "interpolation=cv2.INTER_AREA", "interpolation=cv2.INTER_NEAREST", "video/sinks/test_video_sink.py"
    ),
    Mutant("sinks", "core/files.py", "file.discard()", "pass", "core report"),
    Mutant("tasks", "tasks/letterbox.py", "cv2.INTER_AREA if height", "cv2.INTER_LINEAR if height", "tasks/test_letterbox.py"),
    Mutant("tasks", "tasks/letterbox.py", "-(-side // stride)", "side // stride", "tasks/test_letterbox.py"),
    Mutant("tasks", "tasks/crops.py", "cv2.INTER_AREA if shrinks", "cv2.INTER_LINEAR if shrinks", "tasks/test_crops.py"),
    Mutant("tasks", "tasks/crops.py", "(points + 0.5) * scale - 0.5 + (", "points * scale + (", "tasks/test_crops.py"),
    Mutant("tasks", "tasks/crops.py", "wanted.height * self.largest", "wanted.height * 10", "tasks/test_crops.py"),
    Mutant("tasks", "tasks/track.py", "weight = 1.0 if self.lost else SMOOTHING", "weight = SMOOTHING", "tasks/test_track.py"),
    Mutant("tasks", "tasks/track.py", "self.tracks.remove(min(lost", "self.tracks.remove(max(lost", "tasks/test_track.py"),
    Mutant("tasks", "tasks/track.py", "scores[column] >= self._start_score", "scores[column] > 0", "tasks/test_track.py"),
    Mutant("tasks", "tasks/track.py", "max(time - self.seen, 0.0), COASTING)", "max(time - self.seen, 0.0), 1e9)", "tasks/test_track.py"),
    Mutant(
        "tasks",
        "tasks/join.py",
        "density = patch.macs / max((x2 - x1) * (y2 - y1), 1.0)",
        "density = 1.0 * patch.macs",
        "tasks/test_join.py",
    ),
    Mutant(
        "tasks",
        "tasks/scene.py",
        "self._previous, thumbnail",
        "self._previous, thumbnail if self._previous is None else self._previous",
        "tasks/test_scene.py",
    ),
    Mutant("tasks", "models/heatmaps.py", "0.25 * np.sign(", "-0.25 * np.sign(", "models/test_heatmaps.py"),
    Mutant("tasks", "models/detections.py", "(classes[rest] != classes[best]) | (inter", "(inter", "models/test_anchors.py"),
    Mutant(
        "tasks",
        "models/detections.py",
        "intersection <= iou_threshold * union",
        "intersection < iou_threshold * union",
        "models/test_anchors.py",
    ),
    Mutant("cli", "cli/settings/types.py", "if not 0 <= number <= 1", "if not 0 <= number < 1", "cli/test_settings.py"),
    Mutant(
        "cli",
        "cli/settings/types.py",
        'is not a number of 0 or more, such as 0.03", param, ctx)\n        return number',
        'is not a number of 0 or more, such as 0.03", param, ctx)\n        return abs(number) or 0.03',
        "cli/test_settings.py",
    ),
    Mutant("cli", "cli/settings/precedence.py", "of_preset if given is None else given", "given or of_preset", "cli/test_settings.py"),
    Mutant("cli", "cli/talk.py", "self.verbose or not detail", "True", "cli/test_commands.py cli/test_errors.py"),
    Mutant("cli", "cli/talk.py", '_echo(f"skipvid: warning: {text}")', "pass", "cli/test_commands.py cli/test_errors.py"),
    Mutant("cli", "core/errors.py", "exit_code = 6", "exit_code = 1", "cli/test_errors.py video/sinks/test_targets.py"),
    Mutant("cli", "core/errors.py", "exit_code = 7", "exit_code = 0", "cli/test_commands.py cli/test_errors.py"),
)


def unfit(mutants: list[tuple[int, Mutant]]) -> list[str]:
    """A line for each row whose text does not stand in its file exactly once."""
    lines = []
    for number, mutant in mutants:
        path = ROOT / "skipvid" / mutant.file
        found = path.read_text(encoding="utf-8").count(mutant.text) if path.exists() else 0
        if found != 1:
            lines.append(f"{number}: {mutant.text!r} stands {found} times in skipvid/{mutant.file}, not once")
    return lines


def copy_tree(folder: Path) -> None:
    """The package as it would be imported here, its tests, and what these read."""
    import skipvid.skip.cpu

    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__", "_native*.so"))
        else:
            shutil.copy(source, folder / name)
    for name in LINKED:
        if (ROOT / name).exists():
            (folder / name).symlink_to(ROOT / name)
    for place in skipvid.skip.cpu.__path__:
        for library in Path(place).glob("_native*.so"):
            shutil.copy(library, folder / "skipvid" / "skip" / "cpu")
    (folder / "sitecustomize.py").write_text(BYPASS, encoding="utf-8")


def run_tests(folder: Path, tests: list[str], log: Path) -> int | None:
    """pytest's exit status on the copy, None where it ran out of time. What it printed goes to `log`.

    Each run is a fork of a process that has imported everything but skipvid, which takes longer than most of the tests.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    process = context.Process(target=_pytest, args=(folder, tests, log))
    process.start()
    process.join(SECONDS)
    if process.exitcode is None:
        process.kill()
        process.join()
        return None
    return process.exitcode


def _pytest(folder: Path, tests: list[str], log: Path) -> None:
    with log.open("w") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    exec(BYPASS)
    import pytest

    import skipvid

    if not Path(skipvid.__file__).is_relative_to(folder):
        print(f"{skipvid.__file__} is not the copy")
        os._exit(pytest.ExitCode.INTERNAL_ERROR)
    selection = [word if word.startswith("-") else f"tests/{word}" for word in tests]
    status = pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-m", "not realdata", *selection])
    sys.stdout.flush()
    os._exit(int(status))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", action="append", choices=sorted({mutant.part for mutant in MUTANTS}))
    parser.add_argument("--only", action="append", type=int, metavar="NUMBER")
    parser.add_argument("--list", action="store_true", help="check that every row still fits, and print them")
    parser.add_argument("--without-baseline", action="store_true", help="do not run the tests without a fault first")
    arguments = parser.parse_args()
    chosen = [
        (number, mutant)
        for number, mutant in enumerate(MUTANTS, start=1)
        if (not arguments.part or mutant.part in arguments.part) and (not arguments.only or number in arguments.only)
    ]
    if lines := unfit(chosen):
        print(*lines, sep="\n", file=sys.stderr)
        return 2
    if arguments.list:
        print(
            *(f"{number:3d} {mutant.part:8s} {mutant.file}: {mutant.text} -> {mutant.replacement}" for number, mutant in chosen), sep="\n"
        )
        return 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        copy_tree(folder)
        # Read by the server that the runs are forked from, which starts with the first of them.
        os.environ.update(PYTHONPATH=str(folder), PYTHONDONTWRITEBYTECODE="1", HYPOTHESIS_STORAGE_DIRECTORY=str(folder / "hypothesis"))
        log = folder / "log.txt"
        if not arguments.without_baseline:
            words = sorted({word for _, mutant in chosen for word in mutant.tests.split()})
            if run_tests(folder, words, log) != 0:
                print(log.read_text(), "the tests fail without any fault", sep="\n", file=sys.stderr)
                return 2
        return judge(folder, chosen, log)


def judge(folder: Path, chosen: list[tuple[int, Mutant]], log: Path) -> int:
    """Try the faults, print the table, and return the exit status."""
    print("| # | part | file | fault | seen |", "|---|---|---|---|---|", sep="\n", flush=True)
    passed = broken = 0
    for number, mutant in chosen:
        path = folder / "skipvid" / mutant.file
        original = path.read_text(encoding="utf-8")
        path.write_text(original.replace(mutant.text, mutant.replacement), encoding="utf-8")
        status = run_tests(folder, mutant.tests.split(), log)
        path.write_text(original, encoding="utf-8")
        if status in (1, None):
            seen = "out of time" if status is None else failed_test(log.read_text())
        elif status == 0:
            passed, seen = passed + 1, "**passed**"
        else:
            broken, seen = broken + 1, f"**pytest ended with {status}**"
            print(log.read_text(), file=sys.stderr)
        fault = f"`{mutant.text}` → `{mutant.replacement}`".replace("\n", "⏎")
        print(f"| {number} | {mutant.part} | {mutant.file} | {fault} | {seen} |", flush=True)
    print(f"\n{len(chosen) - passed - broken} of {len(chosen)} faults were seen", flush=True)
    return 2 if broken else 1 if passed else 0


def failed_test(log: str) -> str:
    """The name of the first test that failed."""
    lines = [line for line in log.splitlines() if line.startswith(("FAILED ", "ERROR "))]
    return lines[0].split(" - ")[0].rpartition("::")[2].partition("[")[0] if lines else "no test named"


if __name__ == "__main__":
    sys.exit(main())
