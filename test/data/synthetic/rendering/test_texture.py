"""Procedural textures: repeatable, tileable, filtered."""

from __future__ import annotations

import numpy as np
import pytest

from occdepth_ros.data.synthetic.rendering.texture import LEVELS, SIZE, noise, noise_levels, scatter, smooth_noise


def test_noise_is_normalized_tiles_and_loses_detail_with_the_level() -> None:
    levels = noise_levels()
    assert levels.shape == (LEVELS, SIZE, SIZE)
    assert abs(levels[0].mean()) < 1e-4
    assert levels[0].std() == pytest.approx(1, abs=1e-3)
    inner = np.abs(np.diff(levels[0], axis=0)).mean()
    assert np.abs(levels[0][0] - levels[0][-1]).mean() < 1.5 * inner
    deviation = [float(level.std()) for level in levels]
    assert deviation == sorted(deviation, reverse=True)


def test_look_up_repeats_the_tile_and_blurs_with_the_footprint() -> None:
    rng = np.random.default_rng(0)
    texel = 0.02
    u, v = rng.uniform(0, SIZE * texel, (2, 5000)).astype(np.float32)
    sharp = np.full(u.size, 1e-4, np.float32)
    here = smooth_noise(u, v, texel, sharp)
    # OpenCV 4 interpolates in steps of 1/32 pixel
    np.testing.assert_allclose(here, smooth_noise(u + SIZE * texel, v - SIZE * texel, texel, sharp), atol=0.2)
    for lookup in (noise, smooth_noise):
        spread = [lookup(u, v, texel, np.full(u.size, f, np.float32)).std() for f in (1e-4, 0.08, 0.4, 2.0)]
        assert spread == sorted(spread, reverse=True)
        assert spread[-1] < 0.8 * spread[0]


def test_smooth_noise_interpolates_between_texels() -> None:
    row, texel = noise_levels()[0][7], 0.1
    u = (np.arange(20, dtype=np.float32) + 0.5) * texel
    found = smooth_noise(u, np.full(20, 7 * texel, np.float32), texel, np.full(20, 1e-4, np.float32))
    np.testing.assert_allclose(found, (row[:20] + row[1:21]) / 2, atol=0.1)


def test_scattered_numbers_are_repeatable_and_uniform() -> None:
    i, j = np.meshgrid(np.arange(-100, 100), np.arange(100))
    numbers = scatter(i, j, 5)
    assert numbers.min() >= 0 and numbers.max() < 1
    assert numbers.mean() == pytest.approx(0.5, abs=0.01)
    np.testing.assert_allclose(np.histogram(numbers, 10, (0, 1))[0] / numbers.size, 0.1, atol=0.01)
    assert abs(np.corrcoef(numbers[:, 1:].ravel(), numbers[:, :-1].ravel())[0, 1]) < 0.02
