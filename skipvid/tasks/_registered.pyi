import numpy as np
from numpy.typing import NDArray

from skipvid.tasks.displaced import Boxes

def shift_picture(
    pixels: NDArray[np.uint8], out: NDArray[np.uint8], across: NDArray[np.int16], down: NDArray[np.int16], x: int, y: int
) -> None: ...
def merge_changes(canvas: NDArray[np.uint8], picture: NDArray[np.uint8], share: int, base: int, mostly: float) -> None: ...
def turn_picture(
    pixels: NDArray[np.uint8],
    out: NDArray[np.uint8],
    across_x: NDArray[np.int32],
    across_y: NDArray[np.int32],
    down_x: NDArray[np.int32],
    down_y: NDArray[np.int32],
    kernels: NDArray[np.int16],
) -> None: ...
def measure_patches(
    picture: NDArray[np.uint8],
    centres: NDArray[np.float32],
    moved: NDArray[np.float32],
    levels: NDArray[np.uint8],
    descents: NDArray[np.float64],
    most: int,
    out: NDArray[np.float64],
) -> None: ...
def find_patches(
    picture: NDArray[np.uint8],
    centres: NDArray[np.float32],
    levels: NDArray[np.uint8],
    descents: NDArray[np.float64],
    limits: NDArray[np.float64],
    rounds: int,
    arrived: float,
    moved: NDArray[np.float32],
    out: NDArray[np.bool_],
) -> None: ...
def sum_changes(
    picture: NDArray[np.uint8],
    centres: NDArray[np.float32],
    moved: NDArray[np.float32],
    levels: NDArray[np.uint8],
    descents: NDArray[np.float64],
    chosen: NDArray[np.bool_],
    most: int,
) -> int: ...
def guess_patches(
    found: NDArray[np.float32], last: NDArray[np.float32], chosen: NDArray[np.bool_], scale: float, out: NDArray[np.float32]
) -> None: ...
def fit_similarity(
    at: NDArray[np.float32], to: NDArray[np.float32], chosen: NDArray[np.bool_]
) -> tuple[int, float, float, float, float, float, float, float, float]: ...
def average_pixels(pixels: NDArray[np.uint8], out: NDArray[np.uint8], down: Boxes, across: Boxes) -> None: ...
def average_planes(
    luma: NDArray[np.uint8],
    blue: NDArray[np.uint8],
    red: NDArray[np.uint8],
    out: NDArray[np.uint8],
    down: Boxes,
    across: Boxes,
    chroma_down: Boxes,
    chroma_across: Boxes,
    colours: NDArray[np.int16],
) -> None: ...
