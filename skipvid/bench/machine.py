"""What the measurements were made on."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from pathlib import Path

from skipvid.skip import cpu as native

PACKAGES = ("torch", "onnxruntime", "openvino")


def machine_line() -> str:
    """Processor, cores that may be used, kernels, and versions of what is compared."""
    status = native.status()
    kernels = "no native kernels"
    if status.available:
        kernels = f"{status.instruction_sets[0]} kernels for f32, {status.half_sets[0]} for bf16"
    parts = [_processor(), f"{status.threads or os.cpu_count()} cores", kernels]
    for package in PACKAGES:
        try:
            parts.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return ", ".join(parts)


def _processor() -> str:
    """The processor's name, as far as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
