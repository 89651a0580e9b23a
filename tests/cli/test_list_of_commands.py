"""The lists of commands in help: told without importing them."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from skipvid.cli.app import COMMANDS, cli
from skipvid.cli.train import COMMANDS as TRAININGS


@pytest.mark.parametrize(("words", "entries"), [((), COMMANDS), (("train",), TRAININGS)])
def test_help_tells_every_command_in_a_line(words: tuple[str, ...], entries: dict[str, tuple[str, str]]) -> None:
    lines = CliRunner().invoke(cli, [*words, "--help"], terminal_width=80).output.splitlines()
    listed = lines[lines.index("Commands:") + 1 :]
    assert [line.split(maxsplit=1) for line in listed] == [[name, summary] for name, (_, summary) in entries.items()]


@pytest.mark.parametrize("entries", [COMMANDS, TRAININGS])
def test_every_command_is_where_its_entry_says(entries: dict[str, tuple[str, str]]) -> None:
    group = cli if entries is COMMANDS else cli.get_command(click.Context(cli), "train")
    assert isinstance(group, click.Group)
    for name in entries:
        assert isinstance(group.get_command(click.Context(group), name), click.Command), name


def test_help_imports_no_command() -> None:
    code = "import sys; from skipvid.cli.app import run; run(['--help']); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert not {module for module, _ in COMMANDS.values()} & set(done.stderr.split())
