"""occdepth-edge-sfa: stereo evidence of every voxel."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from helpers.networks.edge import (
    BEHIND,
    BINS,
    COARSE,
    COARSE_ABOVE,
    GRID,
    HEIGHT,
    HEIGHT_ABOVE,
    HITS,
    POSITION,
    RESIDUAL,
    RIG,
    SHOWN,
    VALID,
    WIDTH,
    geometry_of,
    no_match,
    plane,
    random_measurement,
    raw_images,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from occdepth_ros.models.edge.depth import voxel_depth
from occdepth_ros.models.edge.evidence import (
    CHANNELS,
    COARSE_REACH,
    FINE,
    FINE_REACH,
    GROUND_REACH,
    MATCH_SCALE,
    Measurement,
    StereoEvidence,
    evidence,
    folded,
    unfolded,
)
from occdepth_ros.models.edge.network import mirror
from occdepth_ros.models.images import ImageFit

pytestmark = pytest.mark.usefixtures("one_thread")


@settings(max_examples=50, deadline=None)
@given(st.tuples(*[st.integers(1, 5)] * 3), st.integers(0, 2**31))
def test_unfolding_inverts_folding(size: tuple[int, int, int], seed: int) -> None:
    x, y, z = size
    values = torch.rand(8 * x * y * z, generator=torch.Generator().manual_seed(seed))
    lifted = folded(values, size)
    assert lifted.shape == (FINE, x, y, z)
    assert torch.equal(unfolded(lifted, size).flatten(), values)
    assert torch.equal(unfolded(lifted.flatten(1), size).flatten(), values)
    dense = values.view(2 * x, 2 * y, 2 * z)
    assert torch.equal(lifted[:, -1, -1, -1], dense[-2:, -2:, -2:].flatten())


@pytest.mark.parametrize("depth", [3.3, 5.0, 7.7])
def test_the_distance_to_a_wall_changes_sign_at_its_depth(depth: float) -> None:
    channels = evidence(plane(depth), geometry_of())[0]
    assert channels.shape == (CHANNELS, 32, 32, 8)
    fine = unfolded(channels[:FINE], (32, 32, 8))
    # along the optical axis, which is x of the grid
    row = fine[:, GRID.size[1] // 2, GRID.size[2] // 2].numpy()
    centers = GRID.axis_centers(0)
    assert (row[centers < depth - 0.01][4:] < 0).all() and (row[centers > depth + 0.01] > 0).all()
    expected = ((centers - depth) / FINE_REACH).clip(-1, 1)
    np.testing.assert_allclose(row[4:], expected[4:], atol=1e-3)


def test_evidence_is_bounded_and_zero_without_a_match() -> None:
    geometry = geometry_of()
    channels = evidence(random_measurement(), geometry)[0]
    assert channels.isfinite().all()
    assert channels[:POSITION].abs().max() <= 1
    silent = channels[VALID] == 0
    assert 0.05 < silent.float().mean() < 0.95
    for first, count in ((BEHIND, FINE), (COARSE, 1), (RESIDUAL, 1)):
        assert not channels[first : first + count][:, silent].any()
    assert torch.equal(channels[POSITION:], geometry.position)


def test_without_a_match_only_ground_and_position_are_nonzero() -> None:
    channels = evidence(no_match(), geometry_of())[0]
    silent = [*range(HEIGHT_ABOVE), COARSE, RESIDUAL, VALID, SHOWN]
    assert not channels[silent].any()
    assert channels[POSITION:].any() and channels[COARSE_ABOVE].any()


def test_height_is_relative_to_the_ground() -> None:
    stereo = random_measurement()
    channels = evidence(stereo, geometry_of())[0]
    above = torch.arange(GRID.size[2]) + 0.5 - stereo.ground[..., None]
    fine = unfolded(channels[HEIGHT_ABOVE:COARSE], (32, 32, 8))
    torch.testing.assert_close(fine, (above / GROUND_REACH[0]).clamp(-1, 1))
    coarse = folded((above / GROUND_REACH[1]).clamp(-1, 1).flatten(), (32, 32, 8)).mean(0)
    torch.testing.assert_close(channels[COARSE_ABOVE], coarse)
    shown = stereo.ground_seen.view(32, 2, 32, 2).any(3).any(1)
    assert torch.equal(channels[SHOWN], shown[..., None].float().expand(32, 32, 8))


def test_the_coarse_distance_saturates_later_than_the_fine_one() -> None:
    depth = 3.3
    channels = evidence(plane(depth), geometry_of())[0]
    fine, coarse = channels[:FINE].mean(0), channels[COARSE]
    seen = channels[VALID] == 1
    assert coarse[seen].abs().max() > 0.99 and (fine.abs() >= coarse.abs() - 1e-5)[seen].all()
    lifted = GRID.coarsened(2)
    row = coarse[6:, lifted.size[1] // 2, lifted.size[2] // 2].numpy()
    expected = ((lifted.axis_centers(0)[6:] - depth) / COARSE_REACH).clip(-1, 1)
    np.testing.assert_allclose(row, expected, atol=1e-3)


def test_only_hit_voxels_are_filled() -> None:
    stereo = random_measurement()
    filled = unfolded(evidence(stereo, geometry_of())[0, HITS:HEIGHT_ABOVE], (32, 32, 8)).flatten()
    # a face of an invisible voxel has no expected number of pixels, but hit voxels are visible
    requested = torch.zeros(GRID.count, dtype=torch.bool)
    requested[stereo.hit_voxels] = True
    assert torch.equal(filled > 0, requested)


def test_matching_finds_the_disparity_of_a_wall() -> None:
    fit = ImageFit((HEIGHT, WIDTH), (HEIGHT, WIDTH), (HEIGHT + 8, WIDTH + 8))
    stereo = StereoEvidence(RIG, GRID, fit).measure(*raw_images(5.0))
    assert stereo.disparity.shape == (HEIGHT + 8, WIDTH + 8)
    assert not stereo.disparity[HEIGHT:].any() and not stereo.disparity[:, WIDTH:].any()
    found = stereo.disparity[stereo.disparity > 0]
    shift = round(float(RIG.left.projection[0, 0]) * RIG.baseline / 5.0)
    assert len(found) > 0.5 * HEIGHT * WIDTH
    assert found.median() == pytest.approx(shift, abs=0.1)
    depth = float(RIG.left.projection[0, 0]) * RIG.baseline / shift
    x = stereo.hit_voxels // (GRID.size[1] * GRID.size[2])
    assert abs(float(x.float().median()) * 0.2 + 0.1 - depth) < 0.3
    assert stereo.hits.min() >= 1 and len(stereo.hits) == len(stereo.hit_voxels)
    assert stereo.ground.shape == stereo.ground_seen.shape == GRID.size[:2]
    assert stereo.ground.isfinite().all() and stereo.ground.dtype == torch.float32


def test_the_disparity_of_larger_images_is_in_pixels_of_the_network_s_image() -> None:
    rng = np.random.default_rng(0)
    shift = 21
    right = rng.integers(0, 256, (2 * HEIGHT, 2 * WIDTH, 3), dtype=np.uint8)
    right = np.asarray(cv2.GaussianBlur(right, (0, 0), 1.5), np.uint8)
    fit = ImageFit.between((2 * HEIGHT, 2 * WIDTH), (HEIGHT, WIDTH))
    matcher = StereoEvidence(RIG.scaled(2 * WIDTH, 2 * HEIGHT), GRID, fit)
    assert matcher.fit.scaled == (round(MATCH_SCALE * HEIGHT), round(MATCH_SCALE * WIDTH))
    stereo = matcher.measure(np.roll(right, shift, 1), right)
    assert stereo.disparity.shape == (HEIGHT, WIDTH)
    found = stereo.disparity[stereo.disparity > 0]
    assert found.median() == pytest.approx(shift / 2, abs=0.2)
    # as many pixels of the network's end in voxels as show something within the grid
    inside = float((found > 0).sum())
    assert 0.5 * inside < float(stereo.hits.sum()) < 1.3 * inside


def test_a_mirrored_scene_has_mirrored_evidence() -> None:
    geometry, stereo = geometry_of(), random_measurement()
    logits = torch.randn(1, BINS.count, HEIGHT // 8, WIDTH // 8, generator=torch.Generator().manual_seed(1))
    channels = torch.cat([evidence(stereo, geometry), voxel_depth(logits, geometry)], 1)
    full = torch.zeros(GRID.count)
    full[stereo.hit_voxels] = stereo.hits
    full = full.view(GRID.size).flip(1).flatten()
    hit_voxels = full.nonzero()[:, 0]
    ground, seen = stereo.ground.flip(1), stereo.ground_seen.flip(1)
    other = Measurement(stereo.disparity.flip(1), hit_voxels, full[hit_voxels], ground, seen)
    expected = torch.cat([evidence(other, geometry), voxel_depth(logits.flip(3), geometry)], 1)
    assert channels[:, -2:].any()
    # pixels that lie between two may be rounded to the other side
    assert ((mirror(channels) - expected).abs() > 1e-4).float().mean() < 2e-3
    assert torch.equal(mirror(mirror(channels)), channels)
    assert not torch.allclose(mirror(channels), channels)
