"""What the native program does not take, whoever calls it; and what is left of a stream when a frame fails."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from native_plans import conv, image, native, plan_of
from torch import nn

from skipvid.core.errors import BackendError
from skipvid.skip.api import convert
from skipvid.skip.config import SkipConfig
from skipvid.skip.cpu._native import LARGEST_EXTENT
from skipvid.skip.cpu.program import NativeProgram
from skipvid.skip.gates.norm import NormGate
from skipvid.skip.picture import Picture

TABLES = np.zeros((3, 256), np.float32)

needs_limits = pytest.mark.skipif(
    not Path("/proc/self/statm").exists() or "san.so" in os.environ.get("LD_PRELOAD", ""),
    reason="sets limits that only Linux keeps, and that leave no room for the memory of a sanitizer",
)


def program() -> NativeProgram:
    return native(plan_of([image(3, 16, 24), conv("y", "x", 3, 4, 3)], [NormGate("x", 0.0)]), 2)


def picture(height: int, width: int) -> Picture:
    return Picture(np.zeros((height, width, 3), np.uint8), (16, 24), TABLES, (0, 1, 2))


def test_a_map_longer_than_a_pixels_number_is_refused_at_conversion() -> None:
    net = nn.Conv2d(3, 4, 1).eval()
    for size in ((1, LARGEST_EXTENT + 1), (LARGEST_EXTENT + 1, 1)):
        with pytest.raises(BackendError, match=f"{size[0]} x {size[1]} pixels"):
            convert(net, torch.zeros(1, 3, *size), SkipConfig(backend="cpu"))


def test_the_longest_map_has_the_bits_of_a_dense_run_to_its_end() -> None:
    torch.manual_seed(0)
    model, _ = convert(nn.Conv2d(3, 4, (1, 3), padding=(0, 1)).eval(), torch.zeros(1, 3, 1, LARGEST_EXTENT), SkipConfig(threshold=0.0))
    session, frame = model.session(), torch.rand(1, 3, 1, LARGEST_EXTENT)
    session(frame)
    frame[0, :, 0, -1] += 1
    assert torch.equal(session(frame), model.dense(frame))
    (computed,) = session.computed.values()
    assert computed.sum() == 2


@pytest.mark.parametrize("shape", [(1, 3, 16, 23), (1, 3, 15, 24), (1, 4, 16, 24), (1, 2, 16, 24), (1, 3, 24, 16)])
def test_an_input_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    network = program()
    with pytest.raises(ValueError, match="instead of"):
        network.run(network.new_state(), [torch.zeros(shape)], True)


def test_an_input_that_is_missing_is_refused() -> None:
    network = native(plan_of([image(3, 16, 24), image(3, 16, 24, "z"), conv("y", "x", 3, 4), conv("w", "z", 3, 4)], outputs=["y", "w"]))
    with pytest.raises(ValueError, match="takes more inputs"):
        network.run(network.new_state(), [torch.zeros(1, 3, 16, 24)], True)


@pytest.mark.parametrize(("before", "after"), [((12, 24), (16, 24)), ((16, 24), (12, 24)), ((16, 20), (16, 24)), ((16, 24), (16, 20))])
def test_a_picture_of_another_size_without_a_keyframe_is_refused(before: tuple[int, int], after: tuple[int, int]) -> None:
    network = program()
    state = network.new_state()
    network.run(state, [picture(*before)], True)
    with pytest.raises(ValueError, match="needs a keyframe"):
        network.run(state, [picture(*after)], False)
    network.run(state, [picture(*after)], True)
    network.run(state, [picture(*after)], False)


def test_a_picture_after_numbers_without_a_keyframe_is_refused() -> None:
    network = program()
    state = network.new_state()
    network.run(state, [picture(16, 24)], True)
    network.run(state, [torch.zeros(1, 3, 16, 24)], False)
    with pytest.raises(ValueError, match="needs a keyframe"):
        network.run(state, [picture(16, 24)], False)


def test_a_picture_larger_than_the_input_is_refused() -> None:
    network = program()
    large = Picture(np.zeros((17, 24, 3), np.uint8), (17, 24), TABLES, (0, 1, 2))
    with pytest.raises(ValueError, match="does not fit"):
        network.run(network.new_state(), [large], True)


def test_a_state_of_another_program_is_refused() -> None:
    one, other = program(), program()
    with pytest.raises(RuntimeError, match="another program"):
        one.run(other.new_state(), [torch.zeros(1, 3, 16, 24)], True)


def test_a_state_without_a_frame_or_after_one_that_failed_takes_keyframes_only() -> None:
    network = program()
    state, frame = network.new_state(), torch.zeros(1, 3, 16, 24)
    with pytest.raises(RuntimeError, match="needs a keyframe"):
        network.run(state, [frame], False)
    network.run(state, [frame], True)
    with pytest.raises(ValueError):
        network.run(state, [torch.zeros(1, 3, 16, 23)], False)
    with pytest.raises(RuntimeError, match="needs a keyframe"):
        network.run(state, [frame], False)
    network.run(state, [frame], True)
    network.run(state, [frame], False)


@needs_limits
def test_more_threads_than_the_machine_gives_are_a_clear_error() -> None:
    code = (
        "import resource\n"
        "from skipvid.core.errors import BackendError\n"
        "from skipvid.skip.cpu.backend import _pool\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2 << 30, resource.RLIM_INFINITY))\n"
        "try:\n    _pool(3000)\nexcept BackendError as error:\n    print(error)\n"
        "_pool(2)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "3000 threads cannot be started" in done.stdout


OUT_OF_MEMORY = """
import resource
import torch
from native_plans import conv, image, native, plan_of
from skipvid.skip.gates.norm import NormGate

# Lists of pointers, one for each pixel and tap, are made in the threads: megabytes for a window this large.
plan = plan_of([image(3, 24, 48), conv("y", "x", 3, 16, 3), conv("z", "y", 16, 16, 61)], [NormGate("x", 0.0)])
frames = [torch.rand(1, 3, 24, 48) for _ in range(3)]
for threads in (1, 2):
    program = native(plan, threads)
    state = program.new_state()
    with open("/proc/self/statm") as text:
        used = int(text.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 18), resource.RLIM_INFINITY))
    try:
        program.run(state, [frames[0]], True)
    except MemoryError:
        print("no memory")
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    try:
        program.run(state, [frames[0]], False)
    except RuntimeError as error:
        print(error)
    for number, frame in enumerate(frames):
        (output,) = program.run(state, [frame], number == 0).outputs
        assert torch.equal(output, program.run_dense([frame])[0])
"""


@needs_limits
def test_a_frame_that_finds_no_memory_raises_and_the_next_is_a_sound_keyframe() -> None:
    # Blocks that were freed before the limit was set are given back, rather than kept for the frame.
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent), "MALLOC_MMAP_THRESHOLD_": "65536"}
    done = subprocess.run([sys.executable, "-c", OUT_OF_MEMORY], capture_output=True, text=True, timeout=120, env=environment)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[::2] == ["no memory"] * 2 and all("needs a keyframe" in line for line in lines[1::2])
