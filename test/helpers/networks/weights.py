"""The weights that ship, for the tests that need them."""

from __future__ import annotations

from pathlib import Path

import pytest

WEIGHTS = Path(__file__).resolve().parents[3] / "occdepth_ros" / "weights"


def shipped_weights(model: str) -> Path:
    """Return the weights file that ships for a model, or skip the test in a checkout that lacks it."""
    path = WEIGHTS / f"{model}.safetensors"
    if not path.is_file():
        pytest.skip(f"{path} is absent; the repository carries it")
    return path
