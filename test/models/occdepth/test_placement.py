"""Tables of the networks for any image size, rig and grid, against projections of single points."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from occdepth_ros.camera import PinholeCamera, StereoRig
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.edge.config import PRESETS as EDGE_PRESETS
from occdepth_ros.models.edge.geometry import EdgeGeometry
from occdepth_ros.models.images import ImageFit, resized
from occdepth_ros.models.occdepth.config import PRESETS
from occdepth_ros.models.occdepth.geometry import SceneGeometry
from occdepth_ros.models.readout import VisibilityTable
from occdepth_ros.prediction import Visibility
from occdepth_ros.stereo.free_space.carving import RayCarver

SIZE = (16, 16, 16)
EDGE = EDGE_PRESETS["occdepth-edge-sfa"]
KITTI = PRESETS["occdepth-b3"]
OPTICAL = np.array([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]])

sizes = st.tuples(st.integers(60, 1300), st.integers(80, 2000))
angles = st.tuples(*[st.floats(-0.4, 0.4)] * 3)
places = st.tuples(*[st.floats(-3.0, 3.0)] * 3)
zooms = st.floats(0.3, 4.0)


def rotated(roll: float, pitch: float, yaw: float) -> npt.NDArray[np.float64]:
    """A rotation of the grid's frame."""
    out = np.eye(3)
    for axis, angle in enumerate((roll, pitch, yaw)):
        step = np.eye(3)
        a, b = (axis + 1) % 3, (axis + 2) % 3
        step[a, a] = step[b, b] = np.cos(angle)
        step[a, b], step[b, a] = -np.sin(angle), np.sin(angle)
        out = step @ out
    return out


def rig_of(
    size: tuple[int, int],
    mounting: tuple[float, float, float] = (0, 0, 0),
    at: tuple[float, float, float] = (0, 0, 0),
    zoom: float = 1.0,
) -> StereoRig:
    """A rig whose camera is mounted anywhere, pitched, rolled and yawed; its principal points differ by 7 pixels.

    Its view is 80 degrees wide; a zoom of 0.3 makes it 140, one of 4 makes it 24.
    """
    height, width = size
    focal = zoom * width
    left = np.array([[0.6 * focal, 0, 0.48 * width], [0, 0.62 * focal, 0.53 * height], [0, 0, 1]])
    right = left.copy()
    right[0, 2] -= 7
    pose = np.eye(4)
    pose[:3, :3] = OPTICAL @ rotated(*mounting)
    pose[:3, 3] = pose[:3, :3] @ -np.array(at)
    t = np.array([[0.06], [0], [0.002]])
    return StereoRig(
        PinholeCamera(left @ np.hstack([np.eye(3), t]), width, height),
        PinholeCamera(right @ np.hstack([np.eye(3), t - [[0.4], [0], [0]]]), width, height),
        pose,
    )


def pixels_of(rig: StereoRig, points: npt.NDArray[np.float64]) -> list[npt.NDArray[np.float64]]:
    """Column, row and depth of points of the grid's frame, `[N, 3]`, by camera."""
    seen = np.hstack([points, np.ones((len(points), 1))]) @ rig.reference_from_grid.T
    images = [seen @ camera.projection.T for camera in (rig.left, rig.right)]
    return [np.hstack([image[:, :2] / image[:, 2:], image[:, 2:]]) for image in images]


def by_hand(rig: StereoRig, grid: VoxelGrid, fit: ImageFit) -> list[npt.NDArray[np.float64]]:
    """Where voxel centres lie in the network's image: projected into the rig's own, then scaled as its pixels are."""
    index = np.stack(np.unravel_index(np.arange(grid.count), grid.size), 1)
    out = []
    for image in pixels_of(rig, grid.centers_of(index)):
        for axis, (before, after) in enumerate(zip(fit.source[::-1], fit.scaled[::-1], strict=True)):
            # a pixel's centre is an integer, its edges are half a pixel away
            image[:, axis] = (image[:, axis] + 0.5) * after / before - 0.5
        out.append(image)
    return out


def inside(image: npt.NDArray[np.float64], fit: ImageFit, margin: float) -> npt.NDArray[np.bool_]:
    """Points that lie in the part of the network's image that shows the scene, by a margin in pixels."""
    height, width = fit.content
    u, v, z = image.T
    low, high = -0.5 + margin, -0.5 - margin
    # the tables cut off nearer points at depths between 0.1 and 0.2 m
    nearest = 0.2 if margin > 0 else 0.09
    return (z > nearest) & (u > low) & (u < width + high) & (v > low) & (v < height + high)


@settings(max_examples=40)
@given(sizes, st.sampled_from([KITTI.image, EDGE.image, (64, 192)]), angles, places, zooms)
def test_the_rig_of_a_fit_projects_to_the_scaled_and_cropped_pixel(
    size: tuple[int, int],
    target: tuple[int, int],
    mounting: tuple[float, float, float],
    at: tuple[float, float, float],
    zoom: float,
) -> None:
    rig, fit = rig_of(size, mounting, at, zoom), ImageFit.between(size, target)
    points = np.random.default_rng(0).uniform((4, -6, -2), (40, 6, 4), (30, 3))
    grid = VoxelGrid((0.0, 0.0, 0.0), SIZE, 1.0)
    fitted = fit.rig(rig)
    assert (fitted.left.height, fitted.left.width) == fit.content
    for whole, scaled in zip(pixels_of(rig, points), pixels_of(fitted, points), strict=True):
        expected = (whole[:, :2] + 0.5) * np.array(fit.scaled[::-1]) / size[::-1] - 0.5
        np.testing.assert_allclose(scaled[:, :2], expected, atol=1e-6 * max(size), rtol=1e-9)
        np.testing.assert_allclose(scaled[:, 2], whole[:, 2], rtol=1e-9)
    assert by_hand(rig, grid, fit)[0].shape == (grid.count, 3)


@settings(max_examples=25)
@given(sizes, st.integers(0, 2**31))
def test_restored_images_agree_with_the_source(size: tuple[int, int], seed: int) -> None:
    fit = ImageFit.between(size, (64, 192))
    rng = np.random.default_rng(seed)
    v, u = int(rng.integers(size[0])), int(rng.integers(size[1]))
    # the network's image holds its own coordinates: column plus a thousand rows
    rows, columns = torch.meshgrid(torch.arange(64.0), torch.arange(192.0), indexing="ij")
    back = fit.restore(columns + 1000 * rows)
    assert back.shape == size
    at = float(back[v, u])
    expected_v, expected_u = ((n + 0.5) * fit.scaled[i] / size[i] - 0.5 for i, n in enumerate((v, u)))
    if np.isnan(at):
        assert expected_v > fit.content[0] - 1 or expected_u > fit.content[1] - 1
    else:
        assert abs(at // 1000 - expected_v) <= 0.51 and abs(at % 1000 - expected_u) <= 0.51


def check_pixels(
    flat: npt.NDArray[np.int64],
    visible: npt.NDArray[np.bool_],
    image: npt.NDArray[np.float64],
    fit: ImageFit,
    cell: int,
    row_width: int,
) -> None:
    """Flat cells of one view against the point-by-point projection; the last bit may round the other way."""
    surely, maybe = inside(image, fit, 1e-2), inside(image, fit, -1e-2)
    assert visible[surely].all()
    assert not visible[~maybe].any()
    u, v = image[surely, 0], image[surely, 1]
    column, row = flat[surely] % row_width, flat[surely] // row_width
    for found, exact in ((column, u), (row, v)):
        assert ((found == (exact - 0.01).round() // cell) | (found == (exact + 0.01).round() // cell)).all()


@settings(max_examples=12)
@given(sizes, angles, places, st.tuples(*[st.floats(-4, 12)] * 3), zooms)
def test_tables_of_occdepth_are_the_projection(
    size: tuple[int, int],
    mounting: tuple[float, float, float],
    at: tuple[float, float, float],
    origin: tuple[float, float, float],
    zoom: float,
) -> None:
    grid = VoxelGrid(origin, SIZE, 0.6, "anywhere")
    config = replace(KITTI, grid=grid)
    rig, fit = rig_of(size, mounting, at, zoom), ImageFit.between(size, config.image)
    fitted = fit.rig(rig)
    tables = SceneGeometry.of_rig(config, fitted, grid)
    images = by_hand(rig, grid.coarsened(config.project_scale), fit)
    for view, image in enumerate(images):
        visible = tables.visible[view, :, 0].numpy()
        for scale, flat in tables.pixels.items():
            width = -(-config.image[1] // scale)
            check_pixels(flat[view, :, 0].numpy(), visible, image, fit, scale, width)
        # the depth distribution is read at the same place: u and v of the image's corners are -1 and 1
        assert tables.oad_grid is not None
        u = (tables.oad_grid[view].reshape(-1, 3)[:, 0].numpy() + 1) / 2 * (config.image[1] - 1)
        within = inside(image, fit, 0.01) & (image[:, 2] > 2.1) & (image[:, 2] < 50)
        np.testing.assert_allclose(u[within], image[within, 0], atol=1e-2)
    table = VisibilityTable.of_camera(grid, fitted.left, fitted.left_from_grid)
    image = by_hand(rig, grid, fit)[0]
    pixel = table.pixel.flatten().numpy()
    visible = table.unseen.flatten().numpy() == Visibility.HIDDEN
    check_pixels(pixel.astype(np.int64), visible, image, fit, 1, table.width)
    nearest = table.nearest.flatten().numpy()
    half_diagonal = grid.resolution * 3**0.5 / 2
    np.testing.assert_allclose(nearest[visible], image[visible, 2] - half_diagonal, atol=1e-4)
    assert np.isinf(nearest[~visible]).all()


@settings(max_examples=12)
@given(sizes, angles, places, st.tuples(*[st.floats(-4, 12)] * 3), zooms)
def test_tables_of_occdepth_edge_are_the_projection(
    size: tuple[int, int],
    mounting: tuple[float, float, float],
    at: tuple[float, float, float],
    origin: tuple[float, float, float],
    zoom: float,
) -> None:
    grid = VoxelGrid(origin, SIZE, 0.6, "anywhere")
    rig, fit = rig_of(size, mounting, at, zoom), ImageFit.between(size, EDGE.image)
    tables = EdgeGeometry.of_rig(EDGE, fit.rig(rig), grid)
    coarse = by_hand(rig, grid.coarsened(2), fit)
    for view, image in enumerate(coarse):
        cells = tables.pixels[view].numpy()
        check_pixels(cells, tables.visible[view].numpy(), image, fit, 4, EDGE.image[1] // 4)
    image = by_hand(rig, grid, fit)[0]
    shown = tables.fine_depth.isfinite().numpy()
    check_pixels(tables.fine_pixel.numpy(), shown, image, fit, 1, EDGE.image[1])
    np.testing.assert_allclose(tables.fine_depth.numpy()[shown], image[shown, 2], atol=1e-4)
    # depth times disparity in the network's image, as measured by matching
    left, right = coarse
    disparity = left[:, 0] - right[:, 0] - fit.rig(rig).disparity_offset
    within = left[:, 2] > 1
    np.testing.assert_allclose(disparity[within] * left[within, 2], tables.focal_baseline, rtol=0.02)


@pytest.mark.parametrize("zoom", [0.5, 1.0, 2.0])
def test_another_field_of_view_is_read_at_its_own_pixels(zoom: float) -> None:
    """An image of the network's size is not resized for any focal length: voxels project as in the rig."""
    size = (370, 1200)
    rig, fit = rig_of(size, zoom=zoom), ImageFit.between(size, KITTI.image)
    assert fit.scaled == size
    grid = VoxelGrid((10.0, -3.2, -3.2), SIZE, 0.4)
    tables = SceneGeometry.of_rig(replace(KITTI, grid=grid, project_scale=1), fit.rig(rig), grid)
    columns = (tables.pixels[1] % KITTI.image[1])[0, :, 0].view(*SIZE)
    # voxels 13 m ahead, whose centres are 3.2 m apart across
    one, other = (7, 0, 8), (7, 8, 8)
    assert tables.visible[0, :, 0].view(*SIZE)[[7, 7], [0, 8], [8, 8]].all()
    assert float(columns[one] - columns[other]) == pytest.approx(0.6 * zoom * size[1] * 3.2 / 13, abs=1)


@pytest.mark.parametrize("away", [(700.0, -40.0, 3.0), (1e4, -1e4, 100.0), (4.5e5, 5.4e6, 800.0)])
def test_a_grid_far_from_its_frame_keeps_its_precision(away: tuple[float, float, float]) -> None:
    """A map's frame: float32 coordinates would be centimetres off, and metres in UTM."""
    grid = VoxelGrid((0.6, -4.8, -2.0), SIZE, 0.6, "velodyne")
    rig = rig_of((370, 1220), (0.02, 0.1, -0.05))
    there = np.eye(4)
    there[:3, 3] = [-x for x in away]
    moved_rig = replace(rig, reference_from_grid=rig.reference_from_grid @ there)
    x, y, z = (o + a for o, a in zip(grid.origin, away, strict=True))
    moved = replace(grid, origin=(x, y, z))
    config = replace(KITTI, grid=grid)
    here, far = SceneGeometry.of_rig(config, rig, grid), SceneGeometry.of_rig(config, moved_rig, moved)
    assert (here.pixels[1] == far.pixels[1]).float().mean() > 0.999
    assert here.oad_grid is not None and far.oad_grid is not None
    torch.testing.assert_close(here.oad_grid, far.oad_grid, atol=1e-4, rtol=0)
    fit = ImageFit.between((370, 1220), EDGE.image)
    a, b = (EdgeGeometry.of_rig(EDGE, fit.rig(r), g) for r, g in ((rig, grid), (moved_rig, moved)))
    assert (a.fine_pixel == b.fine_pixel).float().mean() > 0.995
    torch.testing.assert_close(a.position, b.position, atol=1e-5, rtol=0)
    lines = [RayCarver(r, g, 300.0) for r, g in ((rig, grid), (moved_rig, moved))]
    assert len(np.setxor1d(lines[0].in_view, lines[1].in_view)) <= 0.001 * grid.count


@pytest.mark.parametrize("size", [(96, 320), (120, 400), (376, 1241), (720, 1280)])
def test_resized_images_agree_with_their_rig(size: tuple[int, int]) -> None:
    fit = ImageFit.between(size, EDGE.image)
    rows, columns = np.mgrid[: size[0], : size[1]]
    v, u = 0.4 * size[0], 0.3 * size[1]
    spread = size[1] / 40
    blob = (250 * np.exp(-((columns - u) ** 2 + (rows - v) ** 2) / (2 * spread**2))).astype(np.uint8)
    small = resized(np.repeat(blob[..., None], 3, 2), fit)[..., 0].astype(float)
    small[small < 10] = 0
    found = [float((axis * small).sum() / small.sum()) for axis in np.mgrid[: small.shape[0], : small.shape[1]]]
    expected = [(n + 0.5) * fit.scaled[i] / size[i] - 0.5 for i, n in enumerate((v, u))]
    np.testing.assert_allclose(found, expected, atol=0.1)
    if fit.scaled > fit.source:
        # enlarged smoothly: no two neighbours are copies of one pixel along a slope
        slope = small[int(expected[0])][: int(expected[1])]
        rising = slope[(slope > 60) & (slope < 200)]
        assert (np.diff(rising) != 0).all()
