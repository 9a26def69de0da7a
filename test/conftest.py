"""Folders outside the repository that some tests need; they skip where those are absent."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def shared_folder(*parts: str) -> Path:
    """Return a folder below the shared one (variable OCCDEPTH_SHARED, else beside the checkout), or skip the test."""
    folder = Path(os.environ.get("OCCDEPTH_SHARED") or ROOT.parent / "shared").joinpath(*parts)
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent; OCCDEPTH_SHARED names its place")
    return folder


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Folder of the data and golden files that are not shipped."""
    return shared_folder()


@pytest.fixture(scope="session")
def kitti_mini() -> Path:
    """A few frames of KITTI odometry: dataset/sequences/00."""
    return shared_folder("data", "kitti_mini")


@pytest.fixture(scope="session")
def kitti_raw_mini() -> Path:
    """A few frames of a KITTI raw drive."""
    return shared_folder("data", "kitti_raw_mini")


@pytest.fixture(scope="session")
def golden_dir() -> Path:
    """Golden inputs and outputs of the published networks."""
    return shared_folder("golden")
