"""The wheel holds what the checkout has: it is built, installed into an empty environment, and used from there."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with nothing but the wheel in it; its dependencies are lent by the environment of the tests."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    quick = "--config-settings=cmake.define.SKIPVID_OPTIMISE=-O1"  # what is fast is the matter of other tests
    subprocess.run([*pip, "wheel", "--no-deps", quick, "--wheel-dir", str(folder), str(ROOT)], check=True)
    (wheel,) = folder.glob("skipvid-*.whl")
    venv.create(folder / "venv", with_pip=False)
    python = folder / "venv/bin/python"
    subprocess.run([*pip, "--python", str(python), "install", "--no-deps", str(wheel)], check=True)
    packages = next((folder / "venv/lib").iterdir()) / "site-packages"
    lent = [folder for folder in sys.path if folder.endswith(("site-packages", "dist-packages"))]
    (packages / "lent.pth").write_text("".join(f"{folder}\n" for folder in lent))
    return folder / "venv"


def call(environment: Path, *words: str) -> str:
    clean = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
    program = [str(environment / "bin/skipvid"), *words]
    done = subprocess.run(program, cwd=environment, env=clean, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_installed_package_is_the_wheel_s_own(environment: Path) -> None:
    where = [str(environment / "bin/python"), "-c", "import skipvid; print(skipvid.__file__)"]
    assert str(environment) in subprocess.run(where, cwd=environment, capture_output=True, text=True, check=True).stdout


def test_all_presets_are_in_the_wheel(environment: Path) -> None:
    listed = {line.split()[0] for line in call(environment, "presets", "list").splitlines()}
    assert listed == {path.stem for path in (ROOT / "presets").glob("*.yaml")}
    assert str(environment) in call(environment, "presets", "path")


def test_the_bundled_detector_works_offline_from_the_wheel(environment: Path) -> None:
    clip = ROOT / "sample_videos/plaza.mp4"
    lines = call(environment, "detect", str(clip), "--max-frames", "3", "--offline", "-o", "-").splitlines()
    assert len(lines) == 5 and '"label": "person"' in lines[3]


def test_detecting_posing_and_calibrating_need_no_training(environment: Path, tmp_path: Path) -> None:
    """Nothing of skipvid.train is imported, as though the extra did not exist."""
    forbid = """
import sys
class NoTraining:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[:2] == ["skipvid", "train"]:
            raise ImportError(f"{name} was asked for")
sys.meta_path.insert(0, NoTraining())
import skipvid
from skipvid.cli.app import run
sys.exit(run(sys.argv[1:]))
"""
    plaza, exercise = (str(ROOT / "sample_videos" / name) for name in ("plaza.mp4", "exercise.mp4"))
    clean = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
    for words in (
        ["--help"],
        ["presets", "list"],
        ["detect", plaza, "--max-frames", "2", "-o", "plaza.jsonl"],
        ["pose", exercise, "--max-frames", "2", "-o", "exercise.jsonl"],
        ["calibrate", plaza, "--max-frames", "4", "--inputs", "4", "-o", "own.yaml"],
    ):
        program = [str(environment / "bin/python"), "-c", forbid, *words]
        done = subprocess.run(program, cwd=tmp_path, env=clean, capture_output=True, text=True)
        assert done.returncode == 0, (words, done.stderr)


def test_what_training_needs_is_an_extra(environment: Path) -> None:
    code = (
        "import importlib.metadata as m; print(*m.metadata('skipvid').get_all('Provides-Extra')); print(*m.requires('skipvid'), sep='\\n')"
    )
    done = subprocess.run([str(environment / "bin/python"), "-c", code], cwd=environment, capture_output=True, text=True, check=True)
    extras, *needs = done.stdout.splitlines()
    assert {"train", "distill"} <= set(extras.split())
    assert any(line.startswith("onnxruntime") and 'extra == "train"' in line.replace("'", '"') for line in needs)
    plain = {line.split(">")[0] for line in needs if "extra" not in line}
    assert "torch" in plain and not plain & {"onnx", "onnxruntime", "openvino"}


def test_doctor_finds_nothing_wrong(environment: Path) -> None:
    assert "BAD" not in call(environment, "doctor")
