"""OccDepth: Stereo-SFA, virtual view and depth weight against direct evaluations of their definitions."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
import pytest
import torch
from helpers.networks.occdepth import tiny, views
from hypothesis import given, settings
from hypothesis import strategies as st

from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.occdepth.config import DepthBins
from occdepth_ros.models.occdepth.geometry import SceneGeometry, sampling_positions
from occdepth_ros.models.occdepth.network import OccDepth
from occdepth_ros.models.occdepth.oad import sample_weight
from occdepth_ros.models.occdepth.sfa import fuse_views, lift_views
from occdepth_ros.models.occdepth.virtual_stereo import warp_to_right

pytestmark = pytest.mark.usefixtures("one_thread")


def numpy_sfa(
    features: npt.NDArray[np.float64], pixels: npt.NDArray[np.int64], visible: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64]:
    """Stereo-SFA voxel by voxel, as written down in the paper and the published code."""
    n_views, channels = features.shape[:2]
    flat = features.reshape(n_views, channels, -1)
    out = np.zeros((pixels.shape[1], channels))
    for n in range(pixels.shape[1]):
        means = []
        for v in range(n_views):
            chosen = [flat[v, :, p] for p, seen in zip(pixels[v, n], visible[v, n], strict=True) if seen]
            means.append(np.mean(chosen, axis=0) if chosen else None)
        if n_views == 1:
            out[n] = 0 if means[0] is None else means[0]
            continue
        for i in range(n_views):
            for j in range(i + 1, n_views):
                a, b = means[i], means[j]
                if a is not None and b is not None:
                    cosine = a @ b / max(np.linalg.norm(a), 1e-8) / max(np.linalg.norm(b), 1e-8)
                    out[n] += cosine * (a + b)
                else:
                    out[n] += 0 if a is None else a
                    out[n] += 0 if b is None else b
        out[n] /= n_views * (n_views - 1)
    return out


@settings(max_examples=30, deadline=None)
@given(
    n_views=st.integers(1, 3),
    pattern=st.integers(1, 5),
    channels=st.integers(1, 6),
    seed=st.integers(0, 2**32 - 1),
)
def test_sfa_equals_its_definition(n_views: int, pattern: int, channels: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((n_views, channels, 3, 4))
    features[:, :, 0, 0] = 0  # a pixel without any feature: the cosine must not divide by zero
    pixels = rng.integers(0, 12, (n_views, 20, pattern))
    visible = rng.random((n_views, 20, pattern)) < 0.6
    views_of = [torch.from_numpy(a) for a in (features, pixels, visible)]
    out = lift_views(views_of[0], views_of[1], views_of[2])
    assert np.allclose(out.numpy(), numpy_sfa(features, pixels, visible), atol=1e-12)


def test_sfa_of_two_views_halves_and_keeps_the_sign() -> None:
    left, right = torch.tensor([[1.0, 0.0]] * 4), torch.tensor([[-1.0, 0.5]] * 4)
    visible = torch.tensor([[True, True, False, False], [True, False, True, False]])
    fused = fuse_views([left * visible[0][:, None], right * visible[1][:, None]], visible)
    cosine = -1 / 1.25**0.5
    expected = torch.tensor([[0.0, cosine * 0.25], [0.5, 0.0], [-0.5, 0.25], [0.0, 0.0]])
    assert torch.allclose(fused, expected)


def test_mean_fusion_averages_the_views_that_see_a_voxel() -> None:
    rng = np.random.default_rng(3)
    features = torch.from_numpy(rng.standard_normal((2, 3, 2, 2)))
    pixels = torch.zeros(2, 4, 1, dtype=torch.int64)
    visible = torch.tensor([[True, True, False, False], [True, False, True, False]])[:, :, None]
    left, right = features[0, :, 0, 0], features[1, :, 0, 0]
    expected = torch.stack([(left + right) / 2, left, right, torch.zeros_like(left)])
    assert torch.allclose(lift_views(features, pixels, visible, "mean"), expected)


def test_virtual_view_moves_features_by_their_disparity() -> None:
    features = torch.arange(40.0).repeat(6, 1)[None, None]  # value = column
    depth = torch.full((1, 24, 160), 2.0)
    depth[:, :, 80:] = 0  # no depth: no disparity
    warped = warp_to_right(features, depth, bf=10.0)[0, 0]
    # 5 map pixels of disparity, and half a pixel that published weights expect
    assert torch.allclose(warped[:, 1:18], features[0, 0, :, 1:18] + 5 - 0.5)
    assert torch.allclose(warped[:, 21:], features[0, 0, :, 21:] - 0.5)
    assert warped.isfinite().all()


def test_lifting_reads_the_pixel_that_a_voxel_projects_to() -> None:
    config = tiny(views=1, depth=None)
    network = OccDepth(config).eval()
    [(cam, pose)] = views(config)
    geometry = SceneGeometry.of_views(config, [(cam, pose)], config.grid)
    height, width = config.image
    maps = {}
    for scale in config.scales:
        row, column = torch.meshgrid(torch.arange(-(-height // scale)), torch.arange(-(-width // scale)), indexing="ij")
        maps[scale] = torch.stack([row, column]).float()[None, None]
    volume = network.lift(maps, geometry)[0]
    lifted = config.lifted_grid
    for index in np.ndindex(*lifted.size):
        x, y, z = (pose[:3, :3] @ lifted.centers_of(np.array(index))).astype(np.float64)
        u, v = np.rint(x / z * 60 + width / 2), np.rint(y / z * 60 + height / 2)
        inside = 0 <= u < width and 0 <= v < height
        expected = [sum(w // s for s in config.scales) if inside else 0 for w in (v, u)]
        assert volume[(slice(None), *index)].tolist() == expected


def numpy_trilinear(volume: npt.NDArray[np.float64], position: npt.NDArray[np.float64]) -> float:
    """Value at a position in cells (bin, row, column), zero outside."""
    total = 0.0
    base = np.floor(position).astype(int)
    for corner in np.ndindex(2, 2, 2):
        cell = base + corner
        if (cell >= 0).all() and (cell < volume.shape).all():
            total += volume[tuple(cell)] * np.prod(1 - np.abs(position - cell))
    return total


def test_depth_weight_equals_its_definition() -> None:
    config = tiny(depth=DepthBins(near=1.0, far=5.0, count=13), image=(64, 96))
    assert config.depth is not None
    rng = np.random.default_rng(0)
    depth = rng.random((2, 13, 8, 12))
    cams = views(config)
    geometry = SceneGeometry.of_views(config, cams, config.grid)
    assert geometry.oad_grid is not None
    weight = sample_weight(torch.from_numpy(depth)[None], geometry.oad_grid, geometry.oad_inside)[0, 0].numpy()
    lifted, height, width, d = config.lifted_grid, *config.image, 13
    delta = 2 * (5.0 - 1.0) / (d * (d + 1))
    for index in list(np.ndindex(*lifted.size))[::17]:
        total = inside = 0.0
        for v, (_, pose) in enumerate(cams):
            x, y, z = pose[:3, :3] @ lifted.centers_of(np.array(index)) + pose[:3, 3]
            if z < 1.0:
                continue
            b = -0.5 + 0.5 * np.sqrt(1 + 8 * (z - 1.0) / delta)
            u, w = x / z * 60 + width / 2, y / z * 60 + height / 2
            # normalised as if corners were aligned, sampled as if they were not
            position = np.array([b * d / (d - 1), w * 8 / (height - 1), u * 12 / (width - 1)]) - 0.5
            total += numpy_trilinear(depth[v], position)
            inside += numpy_trilinear(np.ones_like(depth[v]), position)
        assert weight[index] == pytest.approx(total / inside if inside > 0 else 0.0, abs=2e-5)


def test_one_view_is_not_normalised_by_its_own_bounds() -> None:
    config = tiny(views=1)
    geometry = SceneGeometry.of_views(config, views(config), config.grid)
    assert geometry.oad_inside is None
    assert geometry.oad_grid is not None
    weight = sample_weight(torch.ones(1, 1, 104, 8, 12), geometry.oad_grid, None)
    assert float(((weight > 0.01) & (weight < 0.99)).float().mean()) > 0


@given(depth=st.floats(2.0, 54.0))
def test_depth_bins_read_as_published(depth: float) -> None:
    bins = DepthBins()
    edges = bins.near + (bins.far - bins.near) * np.cumsum(np.arange(105)) / np.arange(105).sum()
    position = float(bins.position(np.array([depth]))[0])
    below = int(np.clip(np.floor(position), 0, 103))
    assert edges[below] - 1e-6 <= depth <= edges[below + 1] + 1e-6
    uniform = float(DepthBins(sampling="uniform").position(np.array([depth]))[0])
    assert uniform == pytest.approx((depth - 2.0) / 0.5)


@pytest.mark.parametrize("spacing", ["uniform", "lid"])
def test_equal_spacing_of_supervised_and_sampled_bins_agrees(spacing: Literal["uniform", "lid"]) -> None:
    bins = DepthBins(supervised=spacing, sampling=spacing)
    edges = bins.edges()
    assert (edges[0], edges[-1]) == (2.0, 54.0)
    assert np.allclose(bins.position(edges), np.arange(105))
    assert ((bins.centers() > edges[:-1]) & (bins.centers() < edges[1:])).all()


@pytest.mark.parametrize(("depth", "read"), [(3, 13.6), (5, 24.3), (10, 40.4), (20, 61.1), (30, 76.4), (50, 100.4)])
def test_bin_mismatch_of_published_weights(depth: float, read: float) -> None:
    position = DepthBins().position(np.array([float(depth)]))[0]
    assert position * 104 / 103 - 0.5 == pytest.approx(read, abs=0.06)


def test_sampling_positions_are_finite_and_outside_behind_the_camera() -> None:
    config = tiny()
    grid = VoxelGrid((-3.2, -3.2, -1.0), (32, 32, 16), 0.2)
    [(cam, pose), _] = views(config)
    assert config.depth is not None
    positions = sampling_positions(grid, cam, pose, config.depth, 96, 64)
    assert np.isfinite(positions).all()
    near = grid.axis_centers(0) < 2.0 - 1e-6
    assert (positions[near] == -2).all()
