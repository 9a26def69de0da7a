"""Predictions, maps and paths in the viewer rerun, on one time line `stamp`.

    world/vehicle                    pose of the grid's frame
    world/vehicle/voxels/seen        occupied voxels that the cameras saw; `completed` for the others
    world/vehicle/left/image, depth  left image and its depth in the camera's frustum
    world/vehicle/right/image
    world/map/seen, completed        the map over time
    world/trajectory, world/path     positions of the vehicle; planned path
    timings/STAGE                    durations, milliseconds
    legend                           colours of the classes

Only occupied voxels with an exposed face are logged, since the others are not visible. Requires the package rerun-sdk
from version 0.34 on, which introduced voxel grids.
"""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from occdepth_ros.camera import Matrix, PinholeCamera, StereoRig
from occdepth_ros.classes import ClassTable
from occdepth_ros.errors import OutputError, pip_install
from occdepth_ros.files import whole_file
from occdepth_ros.prediction import OccupancyPrediction
from occdepth_ros.visualization.canvas import completed_color
from occdepth_ros.visualization.panels import draw_legend
from occdepth_ros.visualization.ports import require_port

TIMELINE = "stamp"
SUFFIX = ".rrd"
JPEG_QUALITY = 85
MIN_FREE_BYTES = 64 << 20
"""Free disk space that is kept while a recording is written; a frame has 1 to 10 MB."""
UNIX_NS = 10**17
"""Stamps above this are times since 1970 (from 1973 on); others are durations since the start of a recording."""
LINE_M = 0.08
LEGEND_WIDTH = 460
TRAJECTORY_COLOR, PATH_COLOR = (220, 20, 60), (0, 160, 255)

Image = npt.NDArray[np.uint8]
Points = npt.NDArray[np.floating]


def import_rerun() -> Any:
    """Return the module rerun.

    Raises:
        OutputError: the package is not installed, or has no voxel grids.
    """
    remedy = "Install it: " + pip_install("'rerun-sdk>=0.34'") + "."
    try:
        rerun = import_module("rerun")
    except ImportError as error:
        text = f"the viewer requires the package rerun-sdk, and its import failed: {error}"
        raise OutputError(text, where="rerun", remedy=remedy) from error
    if not hasattr(rerun, "VoxelGridMap"):
        raise OutputError(f"rerun-sdk {rerun.__version__} has no voxel grids", where="rerun", remedy=remedy)
    return rerun


@contextmanager
def opened_log(save: Path | None, *, native: bool = False, port: int = 9090) -> Iterator[ViewerLog]:
    """Open a viewer, or a recording that is complete or absent.

    Args:
        save: file of the recording; None = no file, but a viewer.
        native: whether the viewer is rerun's own window; otherwise it is served to a browser.
        port: port of the page for browsers; the page reads the data from the next port.

    Raises:
        OutputError: rerun is not installed, the file cannot be written, or a port is in use.
    """
    rerun = import_rerun()
    stream = rerun.RecordingStream("occdepth")
    log = ViewerLog(rerun, stream)
    if save is not None:
        if save.suffix.lower() != SUFFIX:
            raise OutputError(
                f"{save.suffix or 'a name without suffix'} is not a recording of rerun",
                where=str(save),
                remedy=f"Give a name that ends in {SUFFIX}.",
            )
        with whole_file(save) as partial:
            _require_space(partial.parent)
            stream.save(partial, default_blueprint=_blueprint(rerun))
            log.before_frame = lambda: _require_space(partial.parent)
            yield log
            _require_space(partial.parent)
            stream.flush()
            stream.disconnect()
        return
    if native:
        stream.spawn(default_blueprint=_blueprint(rerun))
    else:
        for number in (port, port + 1):
            require_port(number)
        address = stream.serve_grpc(grpc_port=port + 1, default_blueprint=_blueprint(rerun))
        rerun.serve_web_viewer(web_port=port, open_browser=True, connect_to=address)
        print(f"viewer: http://localhost:{port}/?url={address}", flush=True)
    yield log
    stream.flush()


def _require_space(folder: Path) -> None:
    """Raise the error of a full disk before it is full: the file sink of rerun would then wait for ever."""
    if shutil.disk_usage(folder).free < MIN_FREE_BYTES:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class ViewerLog:
    """Writes to one stream of rerun.

    Args:
        rerun: the module.
        stream: an open stream.
    """

    def __init__(self, rerun: Any, stream: Any) -> None:
        self._rr, self._stream = rerun, stream
        self.before_frame: Callable[[], object] = lambda: None
        """Called before the entries of each time."""
        self._is_clock: bool | None = None
        self._track: list[tuple[float, float, float]] = []
        self._log("world", rerun.ViewCoordinates.RIGHT_HAND_Z_UP, static=True)

    def at(self, stamp_ns: int) -> None:
        """Set the time of subsequent entries, nanoseconds; the first time determines whether times are shown as clock
        or duration."""
        self.before_frame()
        if self._is_clock is None:
            self._is_clock = stamp_ns > UNIX_NS
        if self._is_clock:
            self._stream.set_time(TIMELINE, timestamp=np.datetime64(stamp_ns, "ns"))
        else:
            self._stream.set_time(TIMELINE, duration=np.timedelta64(stamp_ns, "ns"))

    def legend(self, classes: ClassTable) -> None:
        """Show the colours of the classes."""
        image = draw_legend(classes, np.arange(len(classes)), LEGEND_WIDTH)
        self._log("legend", self._rr.Image(image), static=True)

    def rig(self, rig: StereoRig) -> None:
        """Place both cameras in the grid's frame."""
        self.camera("left", rig.left, rig.left_from_grid)
        self.camera("right", rig.right, rig.right_from_grid)

    def camera(self, side: str, camera: PinholeCamera, camera_from_grid: Matrix) -> None:
        """Place one camera, by the pose `[4, 4]` of the grid's frame in its optical frame."""
        self._pose(f"world/vehicle/{side}", np.asarray(np.linalg.inv(camera_from_grid)))
        self._log(
            f"world/vehicle/{side}",
            self._rr.Pinhole(
                image_from_camera=camera.intrinsics,
                resolution=[camera.width, camera.height],
                camera_xyz=self._rr.ViewCoordinates.RDF,
                image_plane_distance=1.5,
            ),
        )

    def pose(self, world_from_grid: Matrix) -> None:
        """Place the vehicle in the fixed frame, `[4, 4]`, and extend its trajectory."""
        self._pose("world/vehicle", world_from_grid)
        x, y, z = (float(value) for value in world_from_grid[:3, 3])
        self._track.append((x, y, z))
        self._line("world/trajectory", np.array(self._track), TRAJECTORY_COLOR)

    def image(self, side: str, image: Image) -> None:
        """Show an image `[H, W, 3]` RGB of the left or of the right camera."""
        self._log(f"world/vehicle/{side}/image", self._rr.Image(image).compress(jpeg_quality=JPEG_QUALITY))

    def depth(self, depth: npt.NDArray[np.float32]) -> None:
        """Show the depth of the left image, `[H, W]` metres; values that are not finite have no depth."""
        shown = np.where(np.isfinite(depth), depth, 0).astype(np.float32)
        self._log("world/vehicle/left/depth", self._rr.DepthImage(shown, meter=1.0, depth_range=[0.0, 50.0]))

    def voxels(self, prediction: OccupancyPrediction) -> None:
        """Show the occupied voxels of a prediction in the grid's frame."""
        self._occupied("world/vehicle/voxels", prediction)

    def map(self, snapshot: OccupancyPrediction) -> None:
        """Show the occupied voxels of a map in the fixed frame."""
        self._occupied("world/map", snapshot)

    def map_points(
        self,
        points: Points,
        labels: npt.NDArray[np.uint8],
        seen: npt.NDArray[np.bool_],
        classes: ClassTable,
        edge: float,
    ) -> None:
        """Show a map by its occupied voxels.

        Args:
            points: centres in the fixed frame, `[N, 3]` metres.
            labels, seen: their class ids, and whether the cameras saw them, `[N]`.
            classes: colours.
            edge: edge of a voxel, metres.
        """
        index = np.floor(points / edge).astype(np.int32)
        offset = np.median(points - (index + 0.5) * edge, axis=0) if len(points) else np.zeros(3)
        self._cells("world/map", index, labels, seen, classes, edge, offset)

    def path(self, points: Points) -> None:
        """Show a planned path `[N, 3]` in the fixed frame; without points there is none."""
        self._line("world/path", points, PATH_COLOR)

    def timings(self, stages_ms: Mapping[str, float]) -> None:
        """Plot durations, milliseconds."""
        for stage, value in stages_ms.items():
            self._log(f"timings/{stage}", self._rr.Scalars(float(value)))

    def _occupied(self, entity: str, prediction: OccupancyPrediction) -> None:
        index = np.argwhere(exposed(prediction.occupied)).astype(np.int32)
        at = tuple(index.T)
        seen = ~prediction.completed[at]
        grid = prediction.grid
        origin = np.asarray(grid.origin)
        self._cells(entity, index, prediction.labels[at], seen, prediction.classes, grid.resolution, origin)

    def _cells(
        self,
        entity: str,
        index: npt.NDArray[np.int32],
        labels: npt.NDArray[np.uint8],
        seen: npt.NDArray[np.bool_],
        classes: ClassTable,
        edge: float,
        origin: npt.NDArray[np.float64],
    ) -> None:
        colors = classes.colors[labels]
        greyer = completed_color(colors.astype(np.float64)).astype(np.uint8)
        for name, chosen, color in (("seen", seen, colors), ("completed", ~seen, greyer)):
            cells = self._rr.VoxelGridMap(index[chosen], [edge] * 3, colors=color[chosen], translation=origin)
            self._log(f"{entity}/{name}", cells)

    def _line(self, entity: str, points: Points, color: tuple[int, int, int]) -> None:
        strips = [points] if len(points) > 1 else []
        self._log(entity, self._rr.LineStrips3D(strips, colors=[color] * len(strips), radii=[LINE_M] * len(strips)))

    def _pose(self, entity: str, pose: Matrix) -> None:
        self._log(entity, self._rr.Transform3D(translation=pose[:3, 3], mat3x3=pose[:3, :3]))

    def _log(self, entity: str, content: Any, *, static: bool = False) -> None:
        self._stream.log(entity, content, static=static)


def exposed(occupied: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return the occupied voxels with at least one free or unknown neighbour across a face, `[X, Y, Z]`.

    Voxels at the border of the grid count as exposed.
    """
    enclosed = np.zeros_like(occupied)
    inner = occupied[1:-1, 1:-1, 1:-1].copy()
    for axis in range(3):
        for part in (slice(None, -2), slice(2, None)):
            at = [slice(1, -1)] * 3
            at[axis] = part
            inner &= occupied[tuple(at)]
    enclosed[1:-1, 1:-1, 1:-1] = inner
    return occupied & ~enclosed


def wait_for_interrupt() -> None:
    """Keep the process, which serves the viewer, running until Ctrl-C."""
    print("Ctrl-C ends the viewer", flush=True)
    while True:
        time.sleep(1.0)


def _blueprint(rerun: Any) -> Any:
    """Arrange voxels and map as tabs of one 3-D view, next to the images, the legend and the timings."""
    views = import_module("rerun.blueprint")
    from_behind = views.EyeControls3D(
        position=[-9.0, 0.0, 7.0], look_target=[12.0, 0.0, -1.0], tracking_entity="world/vehicle"
    )
    without_depth = ["+ $origin/**", "- /world/vehicle/left/depth"]
    voxels = views.Spatial3DView(
        origin="/world",
        name="Voxels",
        contents=[*without_depth, "- /world/map/**"],
        eye_controls=from_behind,
    )
    built = views.Spatial3DView(
        origin="/world",
        name="Map",
        contents=[*without_depth, "- /world/vehicle/voxels/**"],
        eye_controls=from_behind,
    )
    images = views.Vertical(
        views.Spatial2DView(
            origin="/world/vehicle/left", name="Left image", contents=["+ $origin/**", "- /world/vehicle/left/depth"]
        ),
        views.Spatial2DView(
            origin="/world/vehicle/left", name="Depth", contents=["+ $origin/**", "- /world/vehicle/left/image"]
        ),
        views.TimeSeriesView(origin="/timings", name="Timings, ms"),
        views.Spatial2DView(origin="/legend", name="Classes"),
    )
    layout = views.Horizontal(images, views.Tabs(voxels, built), column_shares=[2, 5])
    return views.Blueprint(layout, views.TimePanel(timeline=TIMELINE, state="collapsed"), collapse_panels=True)
