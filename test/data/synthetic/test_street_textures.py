from __future__ import annotations

import numpy as np
import pytest

from occdepth_ros.data.street.textures import SIZE, Texture, cells, noise


def test_noise_is_repeatable_normalised_and_tiles() -> None:
    field = noise(3, slope=0.8)
    np.testing.assert_array_equal(field, noise(3, slope=0.8))
    assert abs(field.mean()) < 1e-5
    assert field.std() == pytest.approx(1, abs=1e-4)
    inner = np.abs(np.diff(field, axis=0)).mean()
    seam = np.abs(field[0] - field[-1]).mean()
    assert seam < 1.5 * inner


def test_stretched_noise_is_longer_along_v() -> None:
    field = noise(4, slope=0.5, stretch=6.0)
    assert np.abs(np.diff(field, axis=1)).mean() > 2 * np.abs(np.diff(field, axis=0)).mean()


def test_cells_have_joints_and_a_tint_per_stone() -> None:
    stone, tint = cells(4, 8, joint=0.2, seed=0)
    assert stone[SIZE // 16, SIZE // 8] == 1
    assert stone[0, 0] == 0
    assert len(np.unique(tint)) == 32


def test_look_up_repeats_the_tile_and_blurs_with_the_footprint() -> None:
    texture = Texture.from_tile(noise(5, slope=0.1), 2.0)
    rng = np.random.default_rng(0)
    u, v = rng.uniform(0, 2, (2, 5000)).astype(np.float32)
    sharp = np.full(u.size, 1e-4, np.float32)
    here = texture.sample(u, v, sharp)[:, 0]
    # OpenCV 4 interpolates in steps of 1/32 pixel
    np.testing.assert_allclose(here, texture.sample(u + 4, v - 2, sharp)[:, 0], atol=0.1)
    deviation = [texture.sample(u, v, np.full(u.size, f, np.float32))[:, 0].std() for f in (1e-4, 0.02, 0.1, 0.5)]
    assert deviation == sorted(deviation, reverse=True)
    assert deviation[-1] < 0.2 * deviation[0]
