"""Compiled programs on disk: what is read back runs with the same bits, without torch; what is damaged is one clear error."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import description_tables as tables
import numpy as np
import pytest
import torch
from sample_frames import frames
from sample_networks import NETWORKS

from skipvid.core.errors import BackendError, OutputError
from skipvid.skip.cpu import file
from skipvid.skip.cpu._native import ThreadPool, instruction_sets
from skipvid.skip.cpu.backend import NativeBackend
from skipvid.skip.cpu.program import NativeProgram

GATES = ("norm", "norm-output")


def compiled(name: str, gate: str = "norm", instruction_set: str = "") -> NativeProgram:
    return NativeBackend(1, instruction_set).compile(tables.plan_of(name, gate=gate))


def keepable() -> list[str]:
    kept = []
    for name in NETWORKS:
        try:
            compiled(name).as_file()
        except BackendError:
            continue
        kept.append(name)
    return kept


# Runs in a process of its own. Arguments: the file, frames (.npy), where to put the outputs, the instruction set.
WITHOUT_TORCH = """
import sys
from pathlib import Path
import numpy as np
from skipvid.skip.cpu import file
from skipvid.skip.cpu._native import State, ThreadPool

kept, pool = file.read(Path(sys.argv[1])), ThreadPool(1)
program = kept.build(pool, sys.argv[4])
state, results = State(program, False), []
for number, frame in enumerate(np.load(sys.argv[2])):
    for segment in kept.segments:
        program.run(state, [frame[0]], segment, number == 0, True)
    for output in kept.outputs:
        rows = state.rows(output.map)
        results.append((rows.transpose(2, 0, 1) if len(output.shape) == 4 else rows).reshape(output.shape).copy())
    counts = state.counts()
    results.append(np.array([counts[number] for number in kept.layer_maps], np.float32))
np.savez(sys.argv[3], *results)
assert "torch" not in sys.modules, "reading a program imported torch"
"""


@pytest.mark.parametrize(("name", "gate"), [("ShuffleNet unit", "norm"), ("many to one pixel", "norm-output")])
def test_a_program_that_was_read_back_runs_without_torch_and_has_the_same_bits(name: str, gate: str, tmp_path: Path) -> None:
    for instruction_set in instruction_sets():
        program = compiled(name, gate, instruction_set)
        file.write(tmp_path / "program", program.as_file({"network": name}))
        stream = list(frames(NETWORKS[name][1], 4))
        np.save(tmp_path / "frames.npy", np.stack([frame.numpy() for frame in stream]))
        arguments = [str(tmp_path / part) for part in ("program", "frames.npy", "results.npz")]
        done = subprocess.run(
            [sys.executable, "-c", WITHOUT_TORCH, *arguments, instruction_set], capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        with np.load(tmp_path / "results.npz") as results:
            found = iter([results[key] for key in results.files])
        state = program.new_state()
        for number, frame in enumerate(stream):
            run = program.run(state, [frame], number == 0)
            for expected in run.outputs:
                assert np.array_equal(next(found), expected.numpy(), equal_nan=True), f"frame {number}"
            assert next(found).tolist() == list(run.active), f"frame {number}"


@pytest.mark.parametrize("gate", GATES)
def test_every_sample_network_comes_back_as_it_was_written(gate: str, tmp_path: Path) -> None:
    names = keepable()
    assert len(names) > 10
    for name in names:
        program = compiled(name, gate)
        kept = program.as_file({"network": name})
        file.write(tmp_path / "program", kept)
        back = file.read(tmp_path / "program")
        assert back == kept
        assert [layer.name for layer in back.costs.layers] == [layer.name for layer in program.plan.layers]
        first, second = (tables.run_frames(description) for description in (kept.description, back.description))
        assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(first, second, strict=True)), name


def test_a_file_is_the_same_for_every_instruction_set() -> None:
    files = [compiled("ShuffleNet unit", instruction_set=name).as_file() for name in instruction_sets()]
    assert all(other == files[0] for other in files)


def test_what_needs_pytorch_is_not_written() -> None:
    with pytest.raises(BackendError, match="PyTorch computes"):
        compiled("two images in a batch").as_file()


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "program"
    file.write(path, compiled("one pixel").as_file())
    return path


@pytest.mark.parametrize("at", [20, 50, 60, 200, -1])
def test_a_changed_byte_is_damage(written: Path, at: int) -> None:
    data = bytearray(written.read_bytes())
    data[at] ^= 1
    written.write_bytes(data)
    with pytest.raises(BackendError, match="is damaged") as caught:
        file.read(written)
    assert str(written) in caught.value.message and caught.value.hint


@pytest.mark.parametrize("size", [0, 5, 16, 30, 60, 300, -1])
def test_a_file_that_was_cut_off_is_refused(written: Path, size: int) -> None:
    written.write_bytes(written.read_bytes()[:size])
    with pytest.raises(BackendError, match="is damaged|is no compiled program"):
        file.read(written)


def rewritten(path: Path, head: dict[str, object] | bytes, description: bytes) -> None:
    """A file of this content whose digest is right."""
    text = head if isinstance(head, bytes) else json.dumps(head).encode()
    content = len(text).to_bytes(8, "little") + text + description
    path.write_bytes(file.MAGIC + hashlib.sha256(content).digest() + content)


def test_files_of_others_and_of_other_versions_are_refused(written: Path, tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(3)}, tmp_path / "weights.pth")
    with pytest.raises(BackendError, match="no compiled program"):
        file.read(tmp_path / "weights.pth")
    with pytest.raises(BackendError, match="cannot be read"):
        file.read(tmp_path / "missing")
    with pytest.raises(BackendError, match="cannot be read"):
        file.read(tmp_path)
    rewritten(written, {"format": file.FORMAT + 1}, b"")
    with pytest.raises(BackendError, match=f"has format {file.FORMAT + 1}, this version of skipvid reads format {file.FORMAT}"):
        file.read(written)


@pytest.mark.parametrize("head", [b"", b"{", b"[]", b"7", b"null", b'{"format":2}', b'{"format":2,"inputs":7}', b"\xff\xfe", b"[" * 5000])
def test_a_head_that_makes_no_sense_is_damage(written: Path, head: bytes) -> None:
    rewritten(written, head, b"")
    with pytest.raises(BackendError, match="is damaged"):
        file.read(written)


def test_a_description_that_cpp_refuses_is_an_error_of_the_back_end(written: Path) -> None:
    kept = file.read(written)
    with pytest.raises(BackendError, match="the native program cannot be built: the description ends within"):
        file.build(kept.description[:-8], ThreadPool(1))


def test_writing_into_no_folder_is_an_error_of_the_output(tmp_path: Path) -> None:
    with pytest.raises(OutputError):
        file.write(tmp_path / "missing" / "program", compiled("one pixel").as_file())
