"""Reproducible runs: deterministic algorithms, and digests of input files."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

from occdepth_ros.engine import Engine


def make_repeatable(engine: Engine) -> None:
    """Select deterministic algorithms for a model on a GPU, which are slower."""
    torch = sys.modules.get("torch")
    if torch is not None and str(getattr(engine.predictor, "device", "cpu")).startswith("cuda"):
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.backends.cudnn.benchmark = False
        torch.use_deterministic_algorithms(True, warn_only=True)


def sha256_of(path: Path) -> str | None:
    """Return the SHA-256 of a file, None if the path is not a file."""
    if not path.is_file():
        return None
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
