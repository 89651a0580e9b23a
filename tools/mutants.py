"""Small faults, put in one at a time: do the tests see them?

    python tools/mutants.py [--part NAME]... [--only NUMBER]... [--list] [--without-baseline]

Each row of mutant_rows.py is a fault that somebody could make: a piece of text that stands once in a file of the package, what takes its
place, and the tests that should fail. It is applied in a temporary copy of the package, the native library included: neither the checkout
nor an installation is touched. Prints a table of the faults and one of the parts; exits with 1 where a fault passed, and with 2 where a row
is no use any more: its text is not found, or found twice, or its tests fail without the fault, or none of them could run.
"""

from __future__ import annotations

import argparse
import compileall
import multiprocessing
import os
import py_compile
import shutil
import sys
import tempfile
from pathlib import Path

from mutant_rows import MUTANTS, Mutant

ROOT = Path(__file__).parents[1]
COPIED = ("skipvid", "tests", "presets", "pyproject.toml")
LINKED = ("sample_videos", "benchmarks", "docs", "tools", "README.md")
SECONDS = 600
"""After which a run of the tests counts as failed: a fault may make a loop endless."""

PRELOADED = ["av", "click", "cv2", "numpy", "pytest", "rich.console", "torch", "torch.export", "yaml"]  # no pytest plugin

# An editable installation finds its modules through a hook, which would come before the copy. Processes that tests start import this file.
BYPASS = """import sys
sys.meta_path[:] = [finder for finder in sys.meta_path if "editable" not in type(finder).__module__ + type(finder).__name__.lower()]
"""


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
    # Compiled once. By its time stamp a file that was changed twice within a second could be taken for the one compiled before.
    compileall.compile_dir(folder / "skipvid", quiet=1, invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH)


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
        os.environ.update(PYTHONPATH=str(folder), HYPOTHESIS_STORAGE_DIRECTORY=str(folder / "hypothesis"))
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
    counts = {mutant.part: [0, 0] for _, mutant in chosen}  # faults, and those that were seen
    for number, mutant in chosen:
        path = folder / "skipvid" / mutant.file
        original = path.read_text(encoding="utf-8")
        path.write_text(original.replace(mutant.text, mutant.replacement), encoding="utf-8")
        status = run_tests(folder, mutant.tests.split(), log)
        path.write_text(original, encoding="utf-8")
        failed = failed_test(log.read_text())
        if status is None or (status == 1 and failed):
            seen = failed or "out of time"
        elif status == 0:
            passed, seen = passed + 1, "**passed**"
        else:  # the tests could not run at all, which says nothing
            broken, seen = broken + 1, f"**pytest ended with {status}**"
            print(log.read_text(), file=sys.stderr)
        counts[mutant.part][0] += 1
        counts[mutant.part][1] += not seen.startswith("**")
        fault = f"`{mutant.text}` → `{mutant.replacement}`".replace("\n", "⏎")
        print(f"| {number} | {mutant.part} | {mutant.file} | {fault} | {seen} |", flush=True)
    print("\n| part | faults | seen |", "|---|---|---|", sep="\n")
    for part, (faults, seen_faults) in counts.items():
        print(f"| {part} | {faults} | {seen_faults} |")
    print(f"| all | {len(chosen)} | {len(chosen) - passed - broken} |", flush=True)
    return 2 if broken else 1 if passed else 0


def failed_test(log: str) -> str:
    """The name of the first test that failed, "" where none did."""
    lines = [line for line in log.splitlines() if line.startswith(("FAILED ", "ERROR "))]
    return lines[0].split(" - ")[0].rpartition("::")[2].partition("[")[0] if lines else ""


if __name__ == "__main__":
    sys.exit(main())
