"""Configuration of the bird's-eye-view architecture."""

from __future__ import annotations

from dataclasses import dataclass

from occdepth_ros.errors import GridError
from occdepth_ros.grid import VoxelGrid

SEMANTIC_KITTI_GRID = VoxelGrid.semantic_kitti()

LIFT = 2
"""Edge of a lifted voxel, in voxels of the prediction."""
FINE = LIFT**3
"""Number of voxels of the prediction in one lifted voxel."""
GROUND_CLASSES = (9, 10, 11, 12, 17)
"""Class ids of the ground layout: road, parking, sidewalk, other-ground, terrain."""
STANDING_CLASSES = (1, 2, 3, 4, 5, 6, 7, 8, 13, 14, 15, 16, 18, 19)
"""All other class ids of SemanticKITTI."""
PERSONS = (6, 7, 8)
"""Class ids of persons and riders: person, bicyclist, motorcyclist."""
FIRST_PERSON, LAST_PERSON = STANDING_CLASSES.index(PERSONS[0]), STANDING_CLASSES.index(PERSONS[-1])
"""Indices of the first and the last of `PERSONS` among the standing classes."""
GROUND = len(STANDING_CLASSES)
"""Index of "any ground class" after the standing classes in the logits of a lifted voxel."""
KINDS = GROUND + 1
N_GROUND = len(GROUND_CLASSES)
N_CLASSES = 20
"""Number of classes of a pixel (0 = sky) and of a voxel (0 = free)."""
BANDS_M = (10.0, 20.0, 30.0)
"""Horizontal distances from the camera that divide a region into zones, metres."""
ZONES = 3 * (len(BANDS_M) + 1)
"""Number of zones with separate calibrations: four distance ranges of each region."""


@dataclass(frozen=True)
class BevConfig:
    """One configuration of the network.

    Args:
        name: preset name.
        image: height and width of the network's left image, pixels; three quarters of KITTI's.
        pyramid: channels of the 2-D decoder.
        n_features: channels of the image features that are lifted.
        hidden: channels of the per-voxel multi-layer perceptron.
        column: channels per lifted voxel that enter the bird's-eye view.
        surface: channels of the sparse convolutions near surfaces.
        stages: channels of the bird's-eye-view stages, finest first.
        depths: number of residual blocks of each stage on the descending path.
        grid: grid of the prediction; its origin is arbitrary.
        inverse_depth_error: true minus matched inverse depth of the training data, 1 / metres: the network has learned
            to place surfaces nearer than measured, so that it expects this error in every rig. Weights files hold the
            value of their training; it is that of the preset in files without it.
        person_offset: advantage of the logits of persons and riders in the choice of the class of a voxel: more of
            them are found, and more other voxels are called so.
    """

    name: str = "occdepth-edge"
    image: tuple[int, int] = (288, 928)
    pyramid: int = 64
    n_features: int = 8
    hidden: int = 64
    column: int = 12
    surface: int = 16
    stages: tuple[int, ...] = (96, 128, 160, 160)
    depths: tuple[int, ...] = (1, 2, 2, 2)
    grid: VoxelGrid = SEMANTIC_KITTI_GRID
    inverse_depth_error: float = 0.0
    person_offset: float = 0.0

    @property
    def layers(self) -> int:
        """Number of lifted voxels along z, which are stacked as channels; it is therefore fixed."""
        return self.grid.size[2] // LIFT

    @property
    def multiple(self) -> int:
        """Divisor of the grid's x and y sizes, voxels."""
        return 2 ** len(self.stages)

    def check_grid(self, grid: VoxelGrid) -> None:
        """Accept grids of the trained resolution and height, whose x and y sizes the stages divide.

        Raises:
            GridError: the resolution or the height differs, or a size cannot be halved often enough.
        """
        resolution, layers = self.grid.resolution, self.grid.size[2]
        if (
            abs(grid.resolution - resolution) > 1e-6
            or grid.size[2] != layers
            or any(n % self.multiple for n in grid.size[:2])
        ):
            raise GridError(
                f"{self.name} predicts {layers} layers of {resolution:g} m voxels with x and y sizes that "
                f"{self.multiple} divides, not {grid.size} of {grid.resolution:g} m",
                where="grid",
                remedy=f"Set resolution {resolution:g} m, z {layers}, and x and y to multiples of {self.multiple}.",
            )


class LiftedState:
    """State of a lifted voxel according to stereo matching: index of the network's learned rows."""

    OUT_OF_VIEW, UNMATCHED, NEAR, FRONT, BEHIND = range(5)
    COUNT = 5


PRESETS: dict[str, BevConfig] = {
    config.name: config
    for config in (BevConfig(), BevConfig("occdepth-edge-kitti", inverse_depth_error=7.75e-4, person_offset=1.0))
}
"""Configurations by name. The shipped weights of occdepth-edge-kitti were trained before KITTI's calibration was
corrected (`occdepth_ros.sources.layouts.kitti_correction`): 0.3 pixels."""
