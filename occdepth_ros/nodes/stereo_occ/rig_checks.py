"""Checks the pose of the cameras while the node runs: configured pose, age of TF, and measured ground plane."""

from __future__ import annotations

import numpy as np

from occdepth_ros.camera import StereoRig
from occdepth_ros.errors import CalibrationError, InputWarning
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.nodes.conversions import ImageArray
from occdepth_ros.nodes.faults import Component, NamedError
from occdepth_ros.nodes.stereo_occ.extrinsics import GridPose
from occdepth_ros.nodes.stereo_occ.parameters import Settings
from occdepth_ros.sources.grid_frames import is_base_frame
from occdepth_ros.stereo.calibration.extrinsics_checks import (
    check_baseline_in_tf,
    check_extrinsics,
    check_view,
    summarize,
)
from occdepth_ros.stereo.ground.history import KEPT, GroundHistory
from occdepth_ros.stereo.ground.pose import (
    MIN_MEASUREMENTS,
    PITCH_LIMIT_PLACES,
    GroundPose,
    GroundPoseMeter,
    check_ground_pose,
    with_measured_pose,
)
from occdepth_ros.stereo.pair_checks.row_watch import RowWatch

FIRST_PERIOD, SECOND_PERIOD, PERIOD = 5, 15, 100
"""Pairs between two measurements of the ground: before the first `MIN_MEASUREMENTS` measurements, before `KEPT`
measurements or `PITCH_LIMIT_PLACES`, and later."""
CHANGE_PERIOD = 100
"""Pairs for which a change of a static transform is reported."""
MOVED = 0.02
"""Change of an element of the configured pose (translation in metres) that restarts the measurements."""


class RigChecks:
    """Checks the rig of each pair; used by one thread.

    Args:
        settings: `tf_age_*`, `measured_extrinsics` and `grid_frame` are used.
        grid: the voxel grid.
    """

    def __init__(self, settings: Settings, grid: VoxelGrid) -> None:
        self._settings = settings
        self._grid = grid
        self._is_base = is_base_frame(grid.frame_id)
        self.stated: StereoRig | None = None
        """The rig with the configured pose; None before the first pair."""
        self.images = "left/image_rect and right/image_rect"
        """Names of the image topics, for the description."""
        self.choice = ""
        """Why these topics were chosen, for the description; empty = by name."""
        self.summary = ""
        """One-line description of the rig in use."""
        self._pose_source = ""
        self._meter: GroundPoseMeter | None = None
        self._measured = GroundHistory()
        self._countdown = FIRST_PERIOD
        self._static: tuple[InputWarning, ...] = ()
        self._age: tuple[InputWarning, ...] = ()
        self._change: tuple[InputWarning, ...] = ()
        self._change_countdown = 0
        self._ground: tuple[InputWarning, ...] = ()
        self._rows: RowWatch | None = None
        self._upside_down: tuple[InputWarning, ...] = ()
        self._replaced: StereoRig | None = None

    @property
    def warnings(self) -> tuple[InputWarning, ...]:
        """Warnings about the pose in use."""
        rows = self._rows.warnings if self._rows else ()
        return (*self._static, *self._change, *self._age, *self._ground, *rows, *self._upside_down)

    @property
    def measured(self) -> GroundPose | None:
        """Median of the measurements of the ground; None before the first one."""
        return self._measured.median

    def checked(self, rig: StereoRig, pose: GridPose) -> StereoRig:
        """Check the pose of a pair and return the rig to use, with the measured pose if it is requested.

        Raises:
            NamedError: "camera_looks_up" if the cameras point at the sky, "old_tf" if the transform is too old.
        """
        self._check_age(pose)
        self._change_countdown -= 1
        if self._change_countdown <= 0:
            self._change = ()
        if rig is not self.stated:
            where = "the transform" if "tf" in pose.source else "camera_from_grid_*"
            try:
                found = check_extrinsics(rig, where)
            except CalibrationError as error:
                raise NamedError(
                    "camera_looks_up", Component.EXTRINSICS, error.what, where=error.where, remedy=error.remedy
                ) from error
            found += check_baseline_in_tf(rig, pose.left_from_right, "the transform between the cameras")
            self._static = (*pose.warnings, *found, *check_view(rig, self._grid, where, is_base=self._is_base))
            self._note_static_change(rig, pose)
            self._restart_where_moved(rig)
            first = self.stated is None
            self.stated = rig
            self._replaced = None
            if first or pose.source != self._pose_source:
                self._pose_source = pose.source
                self.summary = summarize(rig, self._grid, self.images, self.choice, pose.source)
        return self._with_measured(rig)

    def measure(self, left: ImageArray, right: ImageArray, stamp_ns: int) -> None:
        """Measure the ground plane in some of the pairs and compare the running median with the configured pose.

        Args:
            left, right: `[H, W, 3]` RGB uint8.
            stamp_ns: time of the pair, nanoseconds.
        """
        if self.stated is None:
            return
        self._rows = self._rows or RowWatch(self.stated)
        self._rows.check(left, right, self.images)
        self._countdown -= 1
        if self._countdown > 0:
            return
        self._countdown = self._period()
        try:
            self._meter = self._meter or GroundPoseMeter(self.stated)
        except CalibrationError:  # images that are too small for stereo matching; models that use it report the error
            self._countdown = PERIOD
            return
        found = self._meter.measure(left, right)
        self._upside_down = self._meter.warnings(self.images)
        if found is None:
            return
        self._measured.add(found, left, stamp_ns)
        median = self.measured
        if median is None or median.pairs < MIN_MEASUREMENTS:
            return
        if self._settings.measured_extrinsics:
            self._ground = ()
            return
        self._ground = check_ground_pose(
            self.stated,
            self._grid,
            median,
            is_base=self._is_base,
            where="extrinsics",
            remedy="Correct the transform or camera_from_grid_*, or set measured_extrinsics to true.",
        )

    def _period(self) -> int:
        count, median = len(self._measured), self.measured
        if median is None or count < MIN_MEASUREMENTS:
            return FIRST_PERIOD
        return SECOND_PERIOD if count < KEPT and median.places < PITCH_LIMIT_PLACES else PERIOD

    def _check_age(self, pose: GridPose) -> None:
        settings = self._settings
        self._age = ()
        if not pose.is_outside or abs(pose.age) <= settings.tf_age_warning:
            return
        # whole seconds, so that the text and the log do not change with every pair
        seconds = int(abs(pose.age))
        text = f"the newest transform is more than {seconds} s older than the images"
        remedy = "Restart the publisher of the transform"
        if pose.age < 0:
            text = f"the images are stamped more than {seconds} s before the transforms"
            remedy = "Stamp images and transforms by one clock"
        if settings.tf_age_error and abs(pose.age) > settings.tf_age_error:
            raise NamedError(
                "old_tf",
                Component.EXTRINSICS,
                text,
                where=settings.grid_frame,
                remedy=f"{remedy}, or set tf_age_error to a longer time.",
            )
        self._age = (InputWarning("old_tf", f"{text}: the pose may be wrong", settings.grid_frame, f"{remedy}."),)

    def _note_static_change(self, rig: StereoRig, pose: GridPose) -> None:
        """Warn for `CHANGE_PERIOD` pairs where a transform that is static has changed."""
        old = self.stated
        if old is None or "static" not in pose.source or pose.source != self._pose_source:
            return
        change = rig.left_from_grid @ np.linalg.inv(old.left_from_grid)
        if np.abs(change - np.eye(4)).max() <= MOVED:
            return
        angle = np.degrees(np.arccos(np.clip((np.trace(change[:3, :3]) - 1) / 2, -1, 1)))
        text = (
            f"the static transform of the cameras has changed by {np.linalg.norm(change[:3, 3]):.2f} m and "
            f"{angle:.1f} degrees"
        )
        remedy = "If it was not corrected on purpose, two nodes publish it: see `ros2 topic info -v /tf_static`."
        self._change = (InputWarning("static_tf_changed", text, self._settings.grid_frame, remedy),)
        self._change_countdown = CHANGE_PERIOD

    def _restart_where_moved(self, rig: StereoRig) -> None:
        old = self.stated
        same_camera = old is not None and np.array_equal(old.left.projection, rig.left.projection)
        if old is None or not same_camera or np.abs(old.left_from_grid - rig.left_from_grid).max() > MOVED:
            self._meter, self._measured, self._ground, self._countdown = None, GroundHistory(), (), FIRST_PERIOD
            self._upside_down = ()
        # rows do not depend on the pose, which changes with every pair of a pan unit
        if not same_camera:
            self._rows = None

    def _with_measured(self, rig: StereoRig) -> StereoRig:
        if not self._settings.measured_extrinsics or len(self._measured) < MIN_MEASUREMENTS:
            return rig
        if self._replaced is None:
            median = self.measured
            assert median is not None
            self._replaced = with_measured_pose(rig, self._grid, median, is_base=self._is_base)
            self.summary = summarize(self._replaced, self._grid, self.images, self.choice, "the measured ground")
        return self._replaced
