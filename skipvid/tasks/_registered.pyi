import numpy as np
from numpy.typing import NDArray

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
def align_patches(
    picture: NDArray[np.uint8],
    centres: NDArray[np.float32],
    levels: NDArray[np.uint8],
    descents: NDArray[np.float64],
    rounds: int,
    arrived: float,
    moved: NDArray[np.float32],
    left: NDArray[np.float64],
) -> None: ...
