"""Rotation matrices, quaternions and Euler angles agree with each other and with OpenCV's Rodrigues formula."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from occdepth_ros.rotation import from_quaternion, from_roll_pitch_yaw, quaternion_of

angles = st.lists(st.floats(-3.0, 3.0), min_size=3, max_size=3)
quaternions = st.lists(st.floats(-1.0, 1.0), min_size=4, max_size=4).filter(lambda q: np.linalg.norm(q) > 0.1)


@given(angles)
def test_roll_pitch_yaw_rotate_about_the_fixed_axes_in_this_order(angles: list[float]) -> None:
    about = [cv2.Rodrigues(np.eye(3)[axis] * angle)[0] for axis, angle in enumerate(angles)]
    np.testing.assert_allclose(from_roll_pitch_yaw(*angles), about[2] @ about[1] @ about[0], atol=1e-12)


@given(quaternions)
def test_a_quaternion_of_any_length_is_a_rotation_about_its_axis(quaternion: list[float]) -> None:
    rotation = from_quaternion(quaternion)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    axis, w = np.array(quaternion[:3]), quaternion[3]
    np.testing.assert_allclose(rotation @ axis, axis, atol=1e-12)
    assert np.trace(rotation) == pytest.approx(4 * w * w / np.dot(quaternion, quaternion) - 1)


@pytest.mark.parametrize("axis", [(0.0, 0.0, 0.0), (np.pi, 0.0, 0.0), (0.0, 0.0, -np.pi), (0.3, -1.2, 0.5)])
def test_the_quaternion_gives_the_rotation_back(axis: tuple[float, float, float]) -> None:
    rotation = cv2.Rodrigues(np.array(axis))[0]
    quaternion = quaternion_of(rotation)
    assert quaternion[3] >= 0 and np.linalg.norm(quaternion) == pytest.approx(1)
    np.testing.assert_allclose(from_quaternion(quaternion), rotation, atol=1e-9)


@given(quaternions)
def test_the_round_trip_of_a_quaternion_keeps_the_rotation(quaternion: list[float]) -> None:
    rotation = from_quaternion(quaternion)
    np.testing.assert_allclose(from_quaternion(quaternion_of(rotation)), rotation, atol=1e-9)


def test_arrays_of_rotations_equal_single_ones() -> None:
    rng = np.random.default_rng(0)
    many = rng.normal(size=(2, 5, 4))
    np.testing.assert_allclose(from_quaternion(many)[1, 3], from_quaternion(many[1, 3]), atol=1e-15)
    roll, pitch, yaw = rng.normal(size=(3, 7))
    found = from_roll_pitch_yaw(roll, pitch, yaw)
    assert found.shape == (7, 3, 3)
    np.testing.assert_allclose(found[4], from_roll_pitch_yaw(roll[4], pitch[4], yaw[4]), atol=1e-15)
