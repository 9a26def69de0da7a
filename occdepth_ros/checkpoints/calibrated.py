"""Replacement of the calibration and the limits in a weights file; all other tensors and the header are kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import save

from occdepth_ros.checkpoints.packing import header_of
from occdepth_ros.errors import CheckpointError
from occdepth_ros.files import write_whole
from occdepth_ros.models.loading.state import read_state

BUFFERS = ("calibration", "limits")
"""Names of the buffers of calibration and limits."""


def write_calibration(
    source: Path, target: Path, calibration: npt.NDArray[np.float64], limits: npt.NDArray[np.float64]
) -> None:
    """Write a copy of a weights file with this calibration and these limits.

    Args:
        source: weights of a network with the buffers `BUFFERS`; it may equal `target`.
        target: safetensors file, written completely or not at all.
        calibration: scale and offset of the logit by zone, `[ZONES, 2]`.
        limits: calibrated probabilities by zone below which a voxel is free and from which it is occupied,
            `[ZONES, 2]`.

    Raises:
        CheckpointError: the source is damaged, or its network has no calibration.
        OutputError: the target cannot be written.
    """
    state = dict(read_state(source))
    header = header_of(source)
    for name, values in zip(BUFFERS, (calibration, limits), strict=True):
        if name not in state or state[name].shape != values.shape:
            raise CheckpointError(
                f"the network has no tensor {name!r} of the shape {values.shape}",
                where=str(source),
                remedy="Calibrate weights of occdepth-edge or occdepth-edge-kitti.",
            )
        state[name] = torch.from_numpy(values).float()
    write_whole(target, save({name: tensor.contiguous() for name, tensor in state.items()}, header or None))
