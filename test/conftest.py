"""Fixtures of several test files: folders outside the repository (tests skip without them), one thread for torch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parents[1]

# A busy machine must not cause failures. Fewer examples (100 is hypothesis' default) are for `make coverage`, where
# each line has to run once.
EXAMPLES = int(os.environ.get("OCCDEPTH_EXAMPLES", "100"))
settings.register_profile("untimed", deadline=None, max_examples=EXAMPLES)
settings.load_profile("untimed")


def shared_folder(*parts: str) -> Path:
    """Return a folder below the shared one (variable OCCDEPTH_SHARED, else next to the checkout), or skip the test."""
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


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Limit torch to one thread; more threads do not help small tensors and are slow on a busy machine."""
    import torch  # do not import torch for tests without a network

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def seeded() -> None:
    """Seed torch's random numbers."""
    import torch

    torch.manual_seed(0)
