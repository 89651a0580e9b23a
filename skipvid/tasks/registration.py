"""The network's input from a camera that moves: frames are registered at the coarser of two resolutions, their own and the network's.

Where the network's picture is the smaller one, frames are scaled first, and little is left to be moved; what was only shifted is sampled
from the frame once more, at the place that was found. Where frames are enlarged for the network they are registered before: linear
interpolation blurs each place of an enlarged picture by how it lies between the frame's pixels, and that pattern must not move over the
scene.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from skipvid.skip.picture import Picture
from skipvid.tasks.areas import HeldOut
from skipvid.tasks.auto_canvas import make_canvas
from skipvid.tasks.canvas import Canvas, Seen, Tally
from skipvid.tasks.displaced import source_of
from skipvid.tasks.letterbox import Letterbox, Preprocessor
from skipvid.tasks.look_ahead import Image
from skipvid.tasks.motion_choice import DENSE_ABOVE
from skipvid.tasks.moved import cut_to_frame, to_picture
from skipvid.tasks.similarity import STANDSTILL, Similarity

T = TypeVar("T", np.float32, np.bool_)


class Registration:
    """Makes the network's pictures of one stream's frames of one size, and leads back from them to the frame.

    `look` and `forget` may be called from several threads, by one at a time; the rest belongs to the thread whose frame it is.
    seen: what became of the picture that was shown last.
    motion: of skipvid.core.motions. held: what is left out of the pictures: no motion is looked for there.
    dense_above: the network's, as in SkipConfig. tally: counts on what was registered of the stream before; None: nothing was.
    """

    def __init__(
        self,
        motion: str,
        letterbox: Letterbox,
        preprocess: Preprocessor,
        held: HeldOut | None = None,
        dense_above: float = DENSE_ABOVE,
        tally: Tally | None = None,
    ) -> None:
        self._letterbox = letterbox
        self._preprocess = preprocess
        self._enlarged = letterbox.content_size[0] > letterbox.frame_size[0]
        self._size = letterbox.frame_size if self._enlarged else letterbox.content_size
        self._moves = False  # in the last picture; where they are enlarged, since the anchor: by then all come from BGR
        self._canvas = make_canvas(motion, self._size, held, self._enlarged, dense_above)
        self._tally = Tally() if tally is None else tally
        self.seen = Seen()

    def forget(self) -> None:
        """The next picture that is looked at has nothing in common with those before, or a canvas is used from it on, or no longer."""
        self._moves = False
        if self._canvas is not None:
            self._canvas.forget()

    def spent(self, share: float, dense_macs: int) -> bool:
        """Be told which share of how many dense MACs the picture that was shown last took. Returns whether to `forget` those before."""
        return self._canvas is not None and self._canvas.choose(share, dense_macs, self.seen)

    @property
    def rests(self) -> bool:
        """Whether nothing is looked at, nor is about to be, so that boxes of the frames before are not asked for."""
        return self._canvas is None or self._canvas.rests

    @property
    def note(self) -> str | None:
        """How much was registered, in words; None for a camera that did not move."""
        return self._tally.note

    def show(self, seen: Seen) -> None:
        """Let all that leads back to the frame be of a picture of which `look` said this."""
        self.seen = seen
        self._tally.add(seen)

    def look(self, picture: Image, boxes: NDArray[np.float32] | None) -> tuple[Picture, Seen]:
        """picture: the next frame's, (H, W, 3) uint8 BGR where it is an array -> the network's input, and what became of it; one that has
        not moved has the bits that it has without registration.

        boxes: (K, 4) xyxy in pixels of the input, of what may move by itself.
        """
        canvas = self._canvas
        if canvas is None or not canvas.looks:
            if canvas is not None:
                canvas.pass_by()
            return self._preprocess(picture, self._letterbox), Seen()
        on_canvas = None if boxes is None else boxes * self._per_input_pixel()
        made = self._before_enlarging(canvas, picture, on_canvas) if self._enlarged else self._scaled(canvas, picture, on_canvas)
        return made, canvas.seen

    @property
    def moves(self) -> bool:
        """Whether the next picture that is scaled down is expected to have moved. Any thread may ask; it may have changed by then."""
        return self._moves and not self._enlarged

    def _scaled(self, canvas: Canvas, picture: Image, boxes: NDArray[np.float32] | None) -> Picture:
        source = source_of(picture, self._size) if self._moves else None
        if source is None:
            prepared = self._preprocess(picture, self._letterbox)
            content = prepared.pixels[: self._size[0], : self._size[1]]
            registered = canvas.register(content, boxes, partial(source_of, picture, self._size))
        else:  # to within a grey level the same, and sooner made: that will do to see how it has moved
            content = source.whole()
            registered = canvas.register(content, boxes, lambda: source)
        self._moves = canvas.motion is not STANDSTILL
        if registered is content:
            return prepared if source is None else self._preprocess(picture, self._letterbox)
        prepared = self._preprocess(registered, self._letterbox)
        return prepared if prepared.lasts else replace(prepared, pixels=registered.copy(), lasts=True)  # the canvas is drawn on further

    def _before_enlarging(self, canvas: Canvas, picture: Image, boxes: NDArray[np.float32] | None) -> Picture:
        image = picture if isinstance(picture, np.ndarray) else picture.bgr()
        registered = canvas.register(image, boxes)
        self._moves = registered is not image or (self._moves and not canvas.anchored)
        # A stored picture is enlarged by other code, whose rounding differs: not by turns with this.
        return self._preprocess(registered if self._moves else picture, self._letterbox)

    def _per_input_pixel(self) -> NDArray[np.float32]:
        """Pixels of the canvas for one of the input: x, y, x, y."""
        (height, width), (rows, columns) = self._size, self._letterbox.content_size
        return np.array([width / columns, height / rows] * 2, np.float32)

    @property
    def frame_motion(self) -> Similarity:
        """From the anchor to the last frame, in pixels of frames."""
        if self.seen.motion is STANDSTILL:
            return STANDSTILL
        (height, width), (rows, columns) = self._letterbox.frame_size, self._size
        return self.seen.motion.scaled(width / columns, height / rows)

    def boxes_to_frame(self, boxes: NDArray[np.float32], seen: Seen) -> NDArray[np.float32]:
        """(K, 4) xyxy in pixels of the input, of a picture that became this -> of the frame, cut to it."""
        box = self._letterbox
        if seen.motion is STANDSTILL:
            return box.boxes_to_frame(boxes)
        moved = seen.motion.boxes(boxes * self._per_input_pixel())
        return cut_to_frame(box.uncut_to_frame((moved / self._per_input_pixel()).astype(np.float32)), box.frame_size)

    def points_to_frame(self, points: NDArray[np.float32], seen: Seen) -> NDArray[np.float32]:
        """(K, J, 3), x and y in pixels of the input and a score -> of the frame, as above; they may lie beyond it."""
        box, places = self._letterbox, points[..., :2]
        if seen.motion is not STANDSTILL:
            unit = self._per_input_pixel()[:2]
            places = (seen.motion.points(places * unit) / unit).astype(np.float32)
        flat = places.reshape(-1, 2)
        moved = box.uncut_to_frame(np.concatenate([flat, flat], 1))[:, :2].reshape(places.shape)
        return np.concatenate([moved, points[..., 2:]], 2).astype(np.float32)

    def to_frame(self, grid: NDArray[T], cell: tuple[float, float], seen: Seen) -> NDArray[T]:
        """A grid (h, w) over the canvas, of a picture that became this, over the frame. cell: (height, width) of one, input pixels."""
        if seen.motion is STANDSTILL:
            return grid
        per_pixel = self._per_input_pixel()
        return to_picture(grid, seen.motion, (cell[0] * float(per_pixel[1]), cell[1] * float(per_pixel[0])))
