"""Good inputs of every kind, small ones, and the ways in which tools/fuzz.py spoils them."""

from __future__ import annotations

import hashlib
import io
import json
import random
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from torch import nn

from skipvid.models import build_model
from skipvid.presets.preset import preset_folder
from skipvid.skip.api import convert
from skipvid.skip.config import SkipConfig
from skipvid.skip.cpu import file
from skipvid.skip.cpu.program import NativeProgram
from skipvid.skip.gates.learned import LearnedGate, save_gates

VIDEOS = {
    # name: (video codec, sound codec or None, pixel format)
    "h264.mp4": ("libx264", "aac", "yuv420p"),
    "silent.mp4": ("libx264", None, "yuv420p"),
    "h264.mkv": ("libx264", "libopus", "yuv420p"),
    "vp9.webm": ("libvpx-vp9", "libopus", "yuv420p"),
    "mpeg4.avi": ("mpeg4", "libmp3lame", "yuv420p"),
    "silent.avi": ("mpeg4", None, "yuv420p"),
    "h264.mov": ("libx264", "aac", "yuv420p"),
    "h264.ts": ("libx264", "aac", "yuv420p"),
    "silent.ts": ("libx264", None, "yuv420p"),
    "h264.flv": ("libx264", "aac", "yuv420p"),
    "mpeg2.mpg": ("mpeg2video", "mp2", "yuv420p"),
    "wmv2.wmv": ("wmv2", "wmav2", "yuv420p"),
    "mjpeg.mjpeg": ("mjpeg", None, "yuvj420p"),
    "anim.gif": ("gif", None, "rgb8"),
    "one.png": ("png", None, "rgb24"),
    "one.jpg": ("mjpeg", None, "yuvj420p"),
}
_MUXERS = {"mpg": "mpeg", "wmv": "asf", "ts": "mpegts", "png": "image2", "jpg": "image2"}


def make_videos(folder: Path) -> list[Path]:
    """Clips of ten pictures, one of each kind that this build of FFmpeg can write."""
    made = []
    for name, (codec, sound, pixels) in VIDEOS.items():
        path = folder / name
        try:
            _write_video(path, codec, sound, pixels)
        except (av.FFmpegError, ValueError, av.codec.codec.UnknownCodecError):
            path.unlink(missing_ok=True)
            continue
        made.append(path)
    return made


def _write_video(path: Path, codec: str, sound: str | None, pixels: str) -> None:
    noise = np.random.default_rng(0).integers(0, 60, (48, 64, 3), np.uint8)
    still = path.suffix in (".png", ".jpg")
    with av.open(str(path), "w", format=_MUXERS.get(path.suffix[1:])) as container:
        video = container.add_stream(codec, rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, pixels
        audio = container.add_stream(sound, rate=48000, layout="mono") if sound else None
        for index in range(1 if still else 10):
            image = noise.copy()
            image[10:30, 4 * index : 4 * index + 20] += 150
            container.mux(video.encode(av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format=pixels)))
        container.mux(video.encode())
        if audio is None:
            return
        resampler = av.AudioResampler(audio.codec_context.format, audio.layout, audio.rate, audio.codec_context.frame_size or 1024)
        for begin in range(0, 19200, 1920):
            samples = (3000 * np.sin(np.arange(begin, begin + 1920) / 20)).astype(np.int16)[None]
            frame = av.AudioFrame.from_ndarray(samples, "s16", "mono")
            frame.rate, frame.pts, frame.time_base = 48000, begin, Fraction(1, 48000)
            for part in resampler.resample(frame):
                container.mux(audio.encode(part))
        container.mux(audio.encode())


def make_presets(folder: Path) -> list[Path]:
    """The presets of the package."""
    del folder
    return sorted(preset_folder().glob("*.yaml"))


def make_settings(folder: Path) -> list[Path]:
    """Settings files as --config reads them."""
    text = "threshold: 0.05\nmax-frames: 4\ngate: norm\nblock: 2\noutput: [o.jsonl]\nconf: 0.4\nstart: 0.0\n"
    (folder / "a.yaml").write_text(text + "stride: 1\nrefresh: 0\noverwrite: true\n")
    (folder / "b.yaml").write_text("preset: efficientdet-nano\nthreads: 1\nlayers: false\nend: 2.5\noverlay: none\nquiet: true\n")
    return [folder / "a.yaml", folder / "b.yaml"]


def make_weights(folder: Path) -> list[Path]:
    """Checkpoints in the layouts that are read, and learned gates."""
    torch.manual_seed(0)
    state = {name: value for name, value in build_model("efficientdet-nano").state_dict().items() if value.numel() < 4000}
    torch.save(state, folder / "state.pt")
    torch.save({"state_dict": {f"module.{k}": v for k, v in state.items()}, "epoch": 3}, folder / "wrapped.pth")
    torch.save(state, folder / "old.pt", _use_new_zipfile_serialization=False)
    save_gates({"a": LearnedGate(torch.ones(3), -0.5), "b": LearnedGate(torch.zeros(8), 1.0)}, folder / "gates.pt", {"steps": 3})
    return sorted(folder.glob("*.pt*"))


def make_labels(folder: Path) -> list[Path]:
    """Ground truth: COCO with boxes and keypoints, MOT text."""
    annotations = [
        {
            "id": n,
            "image_id": n % 3 + 1,
            "category_id": 1,
            "bbox": [n, 2, 10, 20],
            "area": 200,
            "iscrowd": 0,
            "keypoints": [1, 2, 2] * 17,
            "num_keypoints": 17,
        }
        for n in range(1, 7)
    ]
    images = [{"id": n, "file_name": f"{n}.png", "width": 64, "height": 48} for n in (1, 2, 3)]
    document = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "person"}]}
    (folder / "gt.json").write_text(json.dumps(document, indent=1))
    (folder / "gt.txt").write_text("".join(f"{n},{n % 2 + 1},{n}.5,3,10,20,1,1,1\n" for n in range(1, 20)))
    return [folder / "gt.json", folder / "gt.txt"]


def make_programs(folder: Path) -> list[Path]:
    """Compiled networks on disk: a plain one, and one with pooling, a depthwise layer, a sum and output gates."""
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 3, stride=2)).eval()
    deep = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1),
        nn.BatchNorm2d(8),
        nn.SiLU(),
        nn.Conv2d(8, 8, 5, padding=2, groups=8),
        nn.MaxPool2d(2),
        nn.Upsample(scale_factor=2),
        nn.Conv2d(8, 5, 1),
    ).eval()
    for name, net, gate in (("plain", plain, "norm"), ("deep", deep, "norm-output")):
        model, _ = convert(net, torch.zeros(1, 3, 16, 20), SkipConfig(threshold=0.05, gate=gate, backend="cpu"))
        program = model.program(((1, 3, 16, 20),))
        assert isinstance(program, NativeProgram)
        file.write(folder / f"{name}.program", program.as_file({"network": name}))
    return sorted(folder.glob("*.program"))


MAKERS: dict[str, Callable[[Path], list[Path]]] = {
    "video": make_videos,
    "preset": make_presets,
    "settings": make_settings,
    "weights": make_weights,
    "labels": make_labels,
    "program": make_programs,
}
"""Kind -> what makes its good inputs. A new kind of file is a line here, one in SPOILERS, and one in fuzz.py's CHECKS."""


def spoil_bytes(data: bytes, draw: random.Random) -> bytes:
    """One to three faults that disks, networks and other programs make."""
    spoiled = bytearray(data)
    for _ in range(draw.choice((1, 1, 2, 3))):
        draw.choice(_FAULTS)(spoiled, draw)
    return bytes(spoiled)


def _flip_bits(data: bytearray, draw: random.Random) -> None:
    for _ in range(draw.choice((1, 3, 20, 200)) if data else 0):
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)


def _cut_off(data: bytearray, draw: random.Random) -> None:
    del data[draw.randrange(len(data) + 1) :]


def _cut_out(data: bytearray, draw: random.Random) -> None:
    begin = draw.randrange(len(data) + 1)
    del data[begin : begin + draw.choice((1, 7, 188, 4000))]


def _repeat(data: bytearray, draw: random.Random) -> None:
    begin = draw.randrange(len(data) + 1)
    part = data[begin : begin + draw.choice((16, 500, 5000))]
    data[begin:begin] = part


def _zeros(data: bytearray, draw: random.Random) -> None:
    begin = draw.randrange(len(data) + 1)
    part = data[begin : begin + draw.choice((4, 64, 2048))]
    data[begin : begin + len(part)] = bytes(len(part))


def _lie(data: bytearray, draw: random.Random) -> None:
    """A number of the header (or of the index, which often stands last) says something else."""
    for _ in range(draw.choice((1, 4)) if len(data) > 8 else 0):
        place = draw.randrange(min(1200, len(data) - 4))
        if draw.random() < 0.5:
            place = len(data) - 4 - place
        width = draw.choice((1, 2, 4))
        value = draw.choice((0, 1, (1 << 8 * width) - 1, (1 << (8 * width - 1)) - 1, draw.randrange(1 << 8 * width)))
        data[place : place + width] = value.to_bytes(width, draw.choice(("big", "little")))


def _junk_before(data: bytearray, draw: random.Random) -> None:
    data[0:0] = draw.randbytes(draw.choice((1, 100, 3000)))


_FAULTS = (_flip_bits, _cut_off, _cut_out, _repeat, _zeros, _lie, _lie, _junk_before)

_VALUES = (
    "",
    "null",
    "true",
    "-1",
    "0",
    "1e999",
    ".nan",
    ".inf",
    "99999999999999999999",
    "[1, 2, 3]",
    "{a: b}",
    "'\\0'",
    '"\\u0000"',
    "!!python/object:os.system x",
    "&a [*a]",
    "2024-01-01",
    "0x10",
    "norm",
    "é\u202e",
    "a" * 5000,
    "[[[[[[[[[[]]]]]]]]]]",
    "~",
    "- x",
    "0.5",
    "'1'",
    "/dev/null",
    "*.mp4",
    "..",
)


def spoil_text(data: bytes, draw: random.Random) -> bytes:
    """A value, key or line that is wrong; now and then, broken bytes."""
    if draw.random() < 0.2:
        return spoil_bytes(data, draw)
    lines = data.decode("utf-8").split("\n")
    for _ in range(draw.choice((1, 1, 2))):
        place = draw.randrange(len(lines))
        key, colon, _rest = lines[place].partition(":")
        match draw.randrange(6):
            case 0:
                lines.pop(place) if len(lines) > 1 else None
            case 1:
                lines.insert(place, lines[place])
            case 2:
                lines[place] = key[::-1] + colon + _rest
            case 3:
                lines[place] = lines[place] + draw.choice((":", "]", "\t", " #", ",", '"'))
            case _:
                lines[place] = f"{key}{colon} {draw.choice(_VALUES)}" if colon else draw.choice(_VALUES)
    return "\n".join(lines).encode("utf-8", "surrogateescape")


def spoil_labels(data: bytes, draw: random.Random) -> bytes:
    """A number or a word of JSON or of a table is another one."""
    if draw.random() < 0.3:
        return spoil_bytes(data, draw)
    text = data.decode()
    for _ in range(draw.choice((1, 2, 4))):
        places = [n for n, char in enumerate(text) if char.isdigit()] or [0]
        place = draw.choice(places)
        value = draw.choice(("-1", "1e999", "NaN", "null", '"x"', "[]", "{}", "99999999999999999999", "0.5", "true", "", "-Infinity"))
        text = text[:place] + value + text[place + 1 :]
    return text.encode()


def repack(data: bytes, draw: random.Random) -> bytes:
    """A checkpoint whose content is wrong in a file that is whole, or a file that is not."""
    if draw.random() < 0.6:
        return spoil_bytes(data, draw)
    content = torch.load(io.BytesIO(data), weights_only=True)
    wrong = (
        None,
        3,
        "text",
        [],
        {},
        {1: torch.zeros(1)},
        {"state_dict": 3},
        torch.zeros(2),
        {"a": float("nan")},
        {"kind": "skipvid gates 1", "gates": {"a": 3}},
    )
    target = content
    while isinstance(target, dict) and any(isinstance(value, dict) for value in target.values()) and draw.random() < 0.7:
        target = next(value for value in target.values() if isinstance(value, dict))
    if isinstance(target, dict) and target and draw.random() < 0.8:
        key = draw.choice(list(target))
        target[key] = draw.choice((*wrong, torch.full((3,), float("nan")), torch.zeros(0), torch.zeros(3, dtype=torch.int8), 1e999, True))
    else:
        content = draw.choice(wrong)
    packed = io.BytesIO()
    torch.save(content, packed)
    return packed.getvalue()


def spoil_program(data: bytes, draw: random.Random) -> bytes:
    """Damage, which the digest tells; or a wrong head or description under a digest that is right."""
    if draw.random() < 0.2:
        return spoil_bytes(data, draw)
    start = len(file.MAGIC) + 32
    length = int.from_bytes(data[start : start + 8], "little")
    head, description = data[start + 8 : start + 8 + length], data[start + 8 + length :]
    if draw.random() < 0.3:
        head = spoil_labels(head, draw)
    else:
        description = _wrong_words(description, draw) if draw.random() < 0.8 else spoil_bytes(description, draw)
    content = len(head).to_bytes(8, "little") + head + description
    return file.MAGIC + hashlib.sha256(content).digest() + content


def _wrong_words(data: bytes, draw: random.Random) -> bytes:
    """Some of the numbers of four bytes that descriptions consist of are others: near ones, those of other places, and extremes."""
    spoiled = bytearray(data)
    reach = draw.choice((200, 2000, len(data)))  # the tables come before the weights
    for _ in range(draw.choice((1, 1, 2, 5))):
        place, other = (4 * draw.randrange(min(reach, len(data)) // 4) for _ in range(2))
        value = int.from_bytes(spoiled[place : place + 4], "little")
        near = value + draw.choice((-2, -1, 1, 2, value))
        value = draw.choice((near, near, int.from_bytes(data[other : other + 4], "little"), 0, 1, 1 << 31, (1 << 32) - 1, 1 << 20))
        spoiled[place : place + 4] = (value % (1 << 32)).to_bytes(4, "little")
    return bytes(spoiled)


SPOILERS: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "video": spoil_bytes,
    "preset": spoil_text,
    "settings": spoil_text,
    "weights": repack,
    "labels": spoil_labels,
    "program": spoil_program,
}
