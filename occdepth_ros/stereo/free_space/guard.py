"""Removal of free space on rays without a match or behind an ambiguous match; it becomes unknown for every model."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import StereoRig
from occdepth_ros.classes import EMPTY, SEMANTIC_KITTI, UNKNOWN
from occdepth_ros.compiled import compiled
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.prediction import Visibility
from occdepth_ros.stereo.projection import project_voxels

Voxels = npt.NDArray[np.uint8]

SEEN, HIDDEN = int(Visibility.SEEN), int(Visibility.HIDDEN)
CELL_PX = 8
"""Edge of the image cells whose share of matched pixels is compared, pixels of an image with width `WIDTH`."""
WIDTH = 1241
MIN_MATCHED_SHARE = 0.5
"""Smallest share of matched pixels in the 3x3 cells around a voxel's pixel for free space along its ray."""


class FreeSpaceGuard:
    """Removes the free space of one calibration that no match supports.

    Where the images contain no information (behind a covered part of a lens, in front of a uniform wall, in glare), a
    network predicts free space from its image prior, and a predicted depth marks voxels as seen.

    Args:
        rig: the calibrated cameras.
        grid: the voxels of the prediction.
    """

    def __init__(self, rig: StereoRig, grid: VoxelGrid) -> None:
        camera = rig.left
        cell = max(1, round(CELL_PX * camera.width / WIDTH))
        self._cells = -(-camera.width // cell), -(-camera.height // cell)
        found = project_voxels(grid, camera, rig.left_from_grid)
        count = np.count_nonzero(found.visible)
        # by cell, because few cells are limited: the voxels of all others are not read
        self._in_view, self._depth = np.empty(count, np.intp), np.empty(count, np.float32)
        self._bounds = np.zeros(self._cells[0] * self._cells[1] + 1, np.intp)
        pixels = found.column, found.row, found.depth, found.visible
        sort_by_cell(*pixels, cell, self._cells[0], self._bounds, self._in_view, self._depth)
        self._layers = grid.size[2]
        self.compile()

    def unsupported(self, matched: npt.NDArray[np.bool_]) -> npt.NDArray[np.intp]:
        """Return the flat indices of the voxels in view with few matches around their pixel, ascending.

        Args:
            matched: pixels of the left image with a match, `[H, W]`, of any size with the camera's aspect.
        """
        return np.sort(self._in_view[self._few_matches(matched).repeat(np.diff(self._bounds))])

    def _few_matches(self, matched: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Return whether less than `MIN_MATCHED_SHARE` of the pixels around each cell are matched, flat."""
        share = cv2.resize(255 * matched.astype(np.uint8), self._cells, interpolation=cv2.INTER_AREA)
        return np.asarray(cv2.blur(share, (3, 3)) < round(255 * MIN_MATCHED_SHARE)).ravel()

    def applied(
        self, labels: Voxels, confidence: Voxels, visibility: Voxels, matched: npt.NDArray[np.bool_]
    ) -> tuple[Voxels, Voxels, Voxels]:
        """Limit labels, confidence and visibility by the matches, `[X, Y, Z]` each.

        Free voxels without matches around their pixel become unknown, and no voxel in these areas is SEEN.

        Args:
            labels: class ids, 0 = free, 255 = unknown, `[X, Y, Z]` uint8.
            confidence: probability of the label times 255, `[X, Y, Z]` uint8.
            visibility: values of `Visibility`, `[X, Y, Z]` uint8.
            matched: as for `unsupported`.
        """
        labels, confidence, visibility = labels.copy(), confidence.copy(), visibility.copy()
        flat = labels.reshape(-1), confidence.reshape(-1), visibility.reshape(-1)
        write_unsupported(self._in_view, self._bounds, self._few_matches(matched), *flat)
        return labels, confidence, visibility

    def limited(
        self, labels: Voxels, confidence: Voxels, visibility: Voxels, nearest_m: npt.NDArray[np.float32]
    ) -> tuple[Voxels, Voxels, Voxels]:
        """Remove free space behind the nearest plausible surface; return labels, confidence and visibility, `[X, Y,
        Z]`.

        Such free voxels become unknown. The ground below them does not count as seen, because the surface may stand on
        it.

        Args:
            labels, confidence, visibility: as for `applied`.
            nearest_m: depth of that surface in the left image, `[H, W]` metres, of any size with the camera's aspect;
                infinite where the match is unambiguous.
        """
        # the smallest depth of a cell, because disparities increase towards the camera
        inverse = cv2.resize(1 / nearest_m, self._cells, interpolation=cv2.INTER_NEAREST)
        with np.errstate(divide="ignore"):
            limit = np.asarray(1 / cv2.dilate(inverse, np.ones((3, 3), np.uint8)), np.float32).ravel()
        behind = np.empty(len(self._depth), np.int32)
        voxels = self._in_view[behind[: write_behind(self._depth, self._bounds, limit, behind)]]
        labels, confidence, visibility = labels.copy(), confidence.copy(), visibility.copy()
        flat_labels, flat_visibility = labels.reshape(-1), visibility.reshape(-1)
        free = voxels[flat_labels[voxels] == EMPTY]
        flat_labels[free] = UNKNOWN
        confidence.reshape(-1)[free] = 0
        flat_visibility[free[flat_visibility[free] == int(Visibility.SEEN)]] = int(Visibility.HIDDEN)
        for below in (1, 2):
            ground = voxels[voxels % self._layers >= below] - below
            ground = ground[SEMANTIC_KITTI.is_ground[flat_labels[ground]]]
            flat_visibility[ground[flat_visibility[ground] == int(Visibility.SEEN)]] = int(Visibility.HIDDEN)
        return labels, confidence, visibility

    @staticmethod
    def compile() -> None:
        """Compile the loop or load it from the cache, which takes up to seconds."""
        depth, limit = np.ones(1, np.float32), np.ones(1, np.float32)
        bounds = np.array([0, 1])
        write_behind(depth, bounds, limit, np.empty(1, np.int32))
        volumes = np.zeros((3, 1), np.uint8)
        write_unsupported(np.zeros(1, np.intp), bounds, np.zeros(1, bool), *volumes)


@compiled
def sort_by_cell(
    column: npt.NDArray[np.int64],
    row: npt.NDArray[np.int64],
    depth: npt.NDArray[np.float64],
    visible: npt.NDArray[np.bool_],
    cell: int,
    across: int,
    bounds: npt.NDArray[np.intp],
    voxels: npt.NDArray[np.intp],
    depths: npt.NDArray[np.float32],
) -> None:
    """Write the visible voxels by cell of their pixel, in each cell ascending.

    Args:
        column, row, depth, visible: fields of `VoxelPixels`, `[N]`.
        cell: edge of a cell, pixels.
        across: number of cells in a row of the image.
        bounds: zeros, receive the index in `voxels` of the first voxel of each of C cells, followed by K, `[C + 1]`.
        voxels, depths: receive flat indices and depths, metres, `[K]`.
    """
    for voxel in range(len(visible)):
        if visible[voxel]:
            bounds[row[voxel] // cell * across + column[voxel] // cell + 1] += 1
    for at in range(1, len(bounds)):
        bounds[at] += bounds[at - 1]
    place = bounds.copy()
    for voxel in range(len(visible)):
        if visible[voxel]:
            at = row[voxel] // cell * across + column[voxel] // cell
            voxels[place[at]], depths[place[at]] = voxel, depth[voxel]
            place[at] += 1


@compiled
def write_behind(
    depth: npt.NDArray[np.float32],
    bounds: npt.NDArray[np.intp],
    limit: npt.NDArray[np.float32],
    out: npt.NDArray[np.int32],
) -> int:
    """Write the ascending indices of the N depths that exceed the limit of their cell; return their number.

    Args:
        depth: depths by cell, `[N]`, metres.
        bounds: index of the first depth of each of C cells, followed by N, `[C + 1]`.
        limit: limit of each cell, `[C]`, metres; infinite = none.
        out: receives at most N indices, `[>= N]`.
    """
    count = 0
    for cell in range(len(limit)):
        if limit[cell] == np.inf:
            continue
        for i in range(bounds[cell], bounds[cell + 1]):
            if depth[i] > limit[cell]:
                out[count] = i
                count += 1
    return count


@compiled
def write_unsupported(
    in_view: npt.NDArray[np.intp],
    bounds: npt.NDArray[np.intp],
    few_matches: npt.NDArray[np.bool_],
    labels: Voxels,
    confidence: Voxels,
    visibility: Voxels,
) -> None:
    """Set free voxels in cells with few matches to unknown, and hide all voxels there.

    Args:
        in_view: flat indices of voxels by cell, `[N]`.
        bounds: index of the first voxel of each of C cells in `in_view`, followed by N, `[C + 1]`.
        few_matches: whether a cell has few matches, `[C]`.
        labels, confidence, visibility: of all voxels, flat, changed.
    """
    for cell in range(len(few_matches)):
        if not few_matches[cell]:
            continue
        for i in range(bounds[cell], bounds[cell + 1]):
            voxel = in_view[i]
            if visibility[voxel] == SEEN:
                visibility[voxel] = HIDDEN
            if labels[voxel] == EMPTY:
                labels[voxel] = UNKNOWN
                confidence[voxel] = 0
