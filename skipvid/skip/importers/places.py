"""Where in a caller's network something is: module, file and line, for messages."""

from __future__ import annotations

import linecache
import re
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.fx import Node as FxNode

TORCH = str(Path(torch.__file__).parent)
OURS = str(Path(__file__).parents[1])
STANDARD = str(Path(linecache.__file__).parent)
LONGEST_CODE = 80
_FRAME = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+), in ')


def place_of_node(fx: FxNode) -> str:
    """Where a network calls the operation of an exported node, "" where that is not known."""
    modules = list((fx.meta.get("nn_module_stack") or {}).values())
    path, kind = modules[-1] if modules else ("", "")
    kind = kind if isinstance(kind, str) else getattr(kind, "__name__", "")
    frames = [(match["file"], int(match["line"])) for match in _FRAME.finditer(fx.meta.get("stack_trace") or "")]
    return _text(path, kind.rpartition(".")[2], frames)


def place_of_error(error: BaseException, net: nn.Module) -> str:
    """Where in a network an error came up, "" where it did not come up in one."""
    paths = {id(module): path for path, module in net.named_modules()}
    path, kind = "", ""
    frames: list[tuple[str, int]] = []
    for cause in reversed(list(causes(error))):
        for frame, line in traceback.walk_tb(cause.__traceback__):
            module = frame.f_locals.get("self")
            if isinstance(module, nn.Module) and id(module) in paths:
                path, kind = paths[id(module)], type(module).__name__
            if kind:
                frames.append((frame.f_code.co_filename, line))
        if frames:
            return _text(path, kind, frames)
    return ""


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those that it came from, the first one last."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _text(path: str, kind: str, frames: list[tuple[str, int]]) -> str:
    """The innermost frame that is the caller's own code; torch's own tells nobody anything."""
    own = [(file, line) for file, line in frames if _is_own(file)]
    module = f"{path} ({kind})" if path and kind else path or kind
    if not own:
        return module
    file, line = own[-1]
    code = linecache.getline(file, line).strip()
    code = f": {code[:LONGEST_CODE]}" if code else ""
    at = f"{Path(file).name} line {line}{code}"
    return f"{module}, {at}" if module else at


def _is_own(file: str) -> bool:
    standard = file.startswith(STANDARD) and "site-packages" not in file
    return not (standard or file.startswith((TORCH, OURS, "<")))


def operation_name(target: Any) -> str:
    """aten.nonzero.default -> nonzero; torchvision.nms.default -> torchvision.nms"""
    parts = str(target).split(".")
    return parts[1] if len(parts) > 1 and parts[0] == "aten" else ".".join(parts[:2])
