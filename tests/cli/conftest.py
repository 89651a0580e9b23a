"""What the tests of commands share."""

from __future__ import annotations

from pathlib import Path

import pytest

from skipvid.cli.networks import skip_config
from skipvid.cli.settings.groups import NetworkSettings
from skipvid.cli.talk import Talk
from skipvid.presets.preset import Preset
from skipvid.tasks.detect_engine import DetectEngine


@pytest.fixture
def empty_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: DetectEngine) -> Path:
    """A working directory; commands find the tests' detector loaded already, with the gates that their options ask for."""

    def loaded(settings: NetworkSettings, preset: Preset, talk: Talk) -> DetectEngine:
        return engine.regated(skip_config(settings, preset, talk))

    monkeypatch.setattr("skipvid.cli.networks.load_detect_engine", loaded)
    monkeypatch.chdir(tmp_path)
    return tmp_path
