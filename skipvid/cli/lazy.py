"""A group whose commands are imported when they are wanted: `skipvid --help` must not wait for torch."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import click


class LazyGroup(click.Group):
    """modules: command -> the module that defines it under that name, with _ for -; a list in help keeps their order."""

    def __init__(self, *arguments: Any, modules: Mapping[str, str], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._modules = modules

    def list_commands(self, context: click.Context) -> list[str]:
        return list(self._modules)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in self._modules:
            return None
        command: click.Command = getattr(importlib.import_module(self._modules[name]), name.replace("-", "_"))
        return command
