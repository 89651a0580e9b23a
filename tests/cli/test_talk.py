"""What reaches stderr and the log file at each volume, and the exit code of each kind of error."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from skipvid.cli.app import cli
from skipvid.cli.settings.groups import TalkSettings
from skipvid.cli.talk import Talk
from skipvid.core import errors


@pytest.mark.parametrize(
    ("volume", "shown"),
    [
        ({}, ["hello", "skipvid: warning: careful", "skipvid: broken"]),
        ({"verbose": True}, ["hello", "and more", "skipvid: warning: careful", "skipvid: broken"]),
        ({"quiet": True}, ["skipvid: warning: careful", "skipvid: broken"]),
    ],
)
def test_warnings_and_errors_are_always_told_details_only_when_asked(
    volume: dict[str, bool], shown: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log.txt"
    with Talk(TalkSettings(log_file=str(log), **volume)) as talk:
        talk.say("hello")
        talk.say("and more", detail=True)
        talk.warn("careful")
        talk.complain("broken")
    captured = capsys.readouterr()
    assert captured.err.splitlines() == shown and captured.out == ""
    # The log has everything, at any volume, each line behind its time.
    assert [line.split(" ", 1)[1] for line in log.read_text().splitlines()] == ["hello", "and more", "warning: careful", "error: broken"]


def test_every_kind_of_error_has_the_exit_code_that_the_help_promises() -> None:
    codes = {
        errors.SkipvidError: (1, "1 internal error"),
        errors.UsageError: (2, "2 usage"),
        errors.SourceError: (3, "3 source"),
        errors.PresetError: (4, "4 preset or weights"),
        errors.WeightsError: (4, "4 preset or weights"),
        errors.BackendError: (5, "5 back end"),
        errors.OutputError: (6, "6 output"),
        errors.SomeSourcesFailed: (7, "7 some of several sources failed"),
    }
    kinds = {kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.SkipvidError)}
    assert kinds == set(codes)
    help_text = " ".join(cli.get_help(click.Context(cli)).split())
    for kind, (code, words) in codes.items():
        assert kind.exit_code == code and words in help_text, kind
