"""`skipvid doctor`: what this installation can do, and why not more."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass

import click

from skipvid import __version__
from skipvid.cli.settings.command import command
from skipvid.cli.settings.fields import flag
from skipvid.core.errors import BackendError, SkipvidError


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the examination. ok: False where something that skipvid needs does not work."""

    topic: str
    ok: bool
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DoctorSettings:
    """Settings of `doctor`."""

    as_json: bool = flag("--json", help="Print one JSON document.")


@command(DoctorSettings)
def doctor(settings: DoctorSettings) -> None:
    """Examine the installation: packages, back ends, video codecs, models, display."""
    findings = [_examine(topic, check) for topic, check in CHECKS.items()]
    if settings.as_json:
        click.echo(json.dumps({"skipvid": __version__, "findings": [asdict(finding) for finding in findings]}, indent=2))
    else:
        width = max(len(finding.topic) for finding in findings)
        for finding in findings:
            click.echo(f"{'ok ' if finding.ok else 'BAD'} {finding.topic:{width}}  {finding.text}")
    if bad := [finding.topic for finding in findings if not finding.ok]:
        raise BackendError(f"not working: {', '.join(bad)}", "see the lines marked BAD")


def _examine(topic: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(topic, True, check())
    except SkipvidError as error:
        return Finding(topic, False, str(error))
    except Exception as error:  # a broken package may raise anything while it is imported
        return Finding(topic, False, f"{type(error).__name__}: {error}")


def _python() -> str:
    return f"{platform.python_version()} on {platform.system()} {platform.machine()}, {os.cpu_count()} cores"


def _packages() -> str:
    names = ("torch", "opencv-python", "av", "numpy", "click", "rich")
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in names)


def _backends() -> str:
    from skipvid.skip import cpu as native

    status = native.status()
    if not status.available:
        return f"reference only: {status.reason}; {native.HOW_TO_BUILD}"
    half = f"bf16 with {status.half_sets[0]} kernels, precision auto is {'bf16' if status.multiplies_bf16 else 'f32'}"
    return f"cpu with {status.instruction_sets[0]} kernels on {status.threads} threads, {half}; reference; auto uses cpu"


def _network() -> str:
    import torch

    from skipvid.skip.api import convert
    from skipvid.skip.config import SkipConfig

    net = torch.nn.Conv2d(3, 4, 3, padding=1).eval()
    model, _ = convert(net, torch.zeros(1, 3, 16, 16), SkipConfig(threshold=0.0))
    session = model.session()
    frame = torch.rand(1, 3, 16, 16)
    session(frame)
    with torch.no_grad():
        difference = float((session(frame) - net(frame)).abs().max())
    if difference > 1e-5 or session.cost.macs:
        raise BackendError(f"a small network differs from PyTorch by {difference:.1e}")
    return f"a gated convolution agrees with PyTorch to {difference:.0e}; an unchanged frame costs nothing"


def _codecs() -> str:

    missing = [name for name in ("libx264", "libvpx-vp9") if not _has_encoder(name)]
    if "libx264" in missing:
        raise BackendError("this PyAV cannot write H.264 (libx264)", "install the wheel from PyPI: pip install --force-reinstall av")
    return "H.264 and VP9 can be written" if not missing else "H.264 can be written, VP9 (.webm) cannot"


def _has_encoder(name: str) -> bool:
    import av

    try:
        av.Codec(name, "w")
    except ValueError:  # the base of PyAV's UnknownCodecError
        return False
    return True


def _models() -> str:
    from skipvid.presets.preset import list_presets

    presets = list_presets()
    return f"{len(presets)} presets: {', '.join(preset.name for preset in presets)}"


def _cache() -> str:
    from skipvid.core.folders import cache_folder
    from skipvid.skip.kept import LIMIT, kept_bytes

    folder = cache_folder("programs")
    programs = f"{kept_bytes(folder) / 2**20:.1f} MiB of compiled programs in {folder}, at most {LIMIT // 2**20} MiB"
    return f"{programs}; weights in {cache_folder('weights')}"


def _display() -> str:
    for name in ("WAYLAND_DISPLAY", "DISPLAY"):
        if os.environ.get(name):
            return f"{name}={os.environ[name]}"
    return "none (only needed to show windows)"


CHECKS: dict[str, Callable[[], str]] = {
    "python": _python,
    "packages": _packages,
    "back ends": _backends,
    "network": _network,
    "video": _codecs,
    "presets": _models,
    "cache": _cache,
    "display": _display,
}
