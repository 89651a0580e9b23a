"""From decoded planes to standard colours: BT.709 in standard dynamic range, whatever the video has.

The numbers are those of ITU-T H.273, as libav uses them.
"""

from __future__ import annotations

from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorPrimaries, Colorspace, ColorTrc, VideoReformatter
from numpy.typing import NDArray

_UNSPECIFIED = 2
_BT2020 = 9
_BT2020_MATRIX = 9
_HDR = {16: "PQ", 18: "HLG"}
_WIDE = {9: "BT.2020", 11: "DCI-P3", 12: "Display P3"}
_BT709_CURVE = 1


def to_bgr(frame: av.VideoFrame, reformatter: VideoReformatter) -> NDArray[np.uint8]:
    """(H, W, 3) uint8, BGR, as stored. High dynamic range is mapped to standard range, a wide gamut into BT.709's."""
    if frame.format.is_rgb or not is_converted(frame):
        matrix = matrix_of(frame)
        return np.asarray(reformatter.reformat(frame, format="bgr24", src_colorspace=matrix).to_ndarray(), np.uint8)
    _complete_tags(frame)
    standard = reformatter.reformat(frame, format="bgr24", dst_color_trc=ColorTrc.BT709, dst_color_primaries=ColorPrimaries.BT709)
    return np.asarray(standard.to_ndarray(), np.uint8)


def is_converted(frame: av.VideoFrame) -> bool:
    """Whether the colours need more than a matrix."""
    return frame.color_trc in _HDR or frame.color_primaries in _WIDE


def colour_note(frame: av.VideoFrame) -> str | None:
    """One line on what was done to the colours, or cannot be done; None for standard video."""
    gamut = _WIDE.get(int(frame.color_primaries))
    if frame.color_trc in _HDR:
        return f"high dynamic range ({_HDR[int(frame.color_trc)]}, {gamut or 'BT.2020'}) was mapped to standard range, BT.709"
    if gamut is not None:
        return f"wide colours ({gamut}) were converted to BT.709"
    if any("DOVI" in str(data.type) for data in _side_data(frame)) and frame.color_trc == _UNSPECIFIED:
        return "Dolby Vision without a compatible base layer (profile 5): colours are wrong; convert it to HDR10 or SDR first"
    return None


class ColourNotes:
    """The notes of one stream, on frames whose tags differ from those of the frame before.

    Not on each frame: PyAV's side data and their frame hold each other, so that its planes stay until Python looks for garbage.
    """

    def __init__(self) -> None:
        self._tags: tuple[int, int] | None = None

    def of(self, frame: av.VideoFrame) -> str | None:
        """As colour_note; None where the tags are those of the frame before."""
        tags = (int(frame.color_trc), int(frame.color_primaries))
        if tags == self._tags:
            return None
        self._tags = tags
        return colour_note(frame)


def _side_data(frame: av.VideoFrame) -> list[Any]:
    return list(frame.side_data)


def _complete_tags(frame: av.VideoFrame) -> None:
    """What a tag leaves out follows from the others: PQ and HLG are BT.2100's, whose primaries and matrix are BT.2020's."""
    if frame.color_primaries == _UNSPECIFIED:
        frame.color_primaries = _BT2020
    if frame.color_trc == _UNSPECIFIED:
        frame.color_trc = _BT709_CURVE
    if frame.colorspace == _UNSPECIFIED:
        frame.colorspace = _BT2020_MATRIX if frame.color_primaries == _BT2020 else int(Colorspace.ITU709)


def matrix_of(frame: av.VideoFrame) -> Colorspace | None:
    """The YUV matrix to assume where a frame names none; None leaves it to the frame.

    libav takes BT.601 for untagged video; players take BT.709 where the picture is larger than SD.
    """
    larger = frame.width >= 1280 or frame.height > 576
    return Colorspace.ITU709 if frame.colorspace == _UNSPECIFIED and larger and not frame.format.is_rgb else None
