"""Where the few set voxels of a dense grid are."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Index = npt.NDArray[np.intp]


def set_voxels(mask: npt.NDArray[np.bool_]) -> Index:
    """Flat indices of the True elements, ascending, `[N]`.

    Looks at eight voxels at a time first: most of a street is empty, and so are most of these groups.
    """
    flat = np.ascontiguousarray(mask).reshape(-1)
    if flat.size % 8:
        return np.flatnonzero(flat)
    groups = np.flatnonzero(flat.view(np.uint64) != 0)
    within = np.flatnonzero(flat.reshape(-1, 8).take(groups, axis=0))
    return (groups.take(within >> 3) << 3) + (within & 7)


def unravel(flat: Index, shape: tuple[int, int, int]) -> tuple[Index, Index, Index]:
    """Voxel indices x, y, z of flat indices."""
    # a division by one number is vectorised, divmod is not
    column = flat // shape[2]
    x = column // shape[1]
    return x, column - x * shape[1], flat - column * shape[2]
