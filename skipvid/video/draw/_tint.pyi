import numpy as np
from numpy.typing import NDArray

def tint_cells(
    plane: NDArray[np.uint8],
    out: NDArray[np.uint8],
    cells: NDArray[np.uint8],
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    factors: NDArray[np.uint16],
    offsets: NDArray[np.uint16],
) -> None: ...
def draw_lines(plane: NDArray[np.uint8], lines: NDArray[np.int32], level: int, halved: bool) -> None: ...
