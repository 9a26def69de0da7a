"""Golden files of MonoOcc's second stage, of its cross view transformer and of InternImage."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch

from occdepth_ros.checkpoints.golden.filling import fill_state
from occdepth_ros.checkpoints.golden.part_checks import PartCheck, differences, equal_labels, within_range
from occdepth_ros.checkpoints.golden.stored_outputs import StoredOutputs
from occdepth_ros.checkpoints.golden.verify import Verification
from occdepth_ros.errors import CheckpointError, GridError
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.loading.state import load_strict
from occdepth_ros.models.monoocc.config import SCALE, MonoOccConfig
from occdepth_ros.models.monoocc.cross_view import CrossViewTransformer, with_position
from occdepth_ros.models.monoocc.internimage import InternImage, InternImageConfig
from occdepth_ros.models.monoocc.network import MonoOcc
from occdepth_ros.models.monoocc.published import HEAD, flagged, load_published
from occdepth_ros.models.monoocc.reference_points import References
from occdepth_ros.models.runtime.device import pick_device

FEATURES = 1e-4
"""Largest difference of features, as a fraction of their range."""
LOGITS = 3e-4
"""Largest mean difference of the logits."""
LABELS = 0.999
"""Smallest fraction of voxels with equal labels."""
EXTENT = 51.2
"""Length of the scene in every file, metres; the lower corner of its grid is that of the benchmark."""


def verify_monoocc(stored: StoredOutputs, device: str) -> Verification:
    """Verify MonoOcc with one or several images.

    Raises:
        CheckpointError: the stored names, shapes or parts do not fit the network.
        ModelError: the device does not exist.
    """
    target = pick_device(device)
    state = fill_state(stored.shapes, stored.seed)
    config = _config(stored, state)
    network = MonoOcc(config).eval()
    load_published(network, state, where=str(stored.path))
    with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        checks = list(_compare(stored, network.to(target), target))
    return Verification("monoocc", len(stored.shapes), checks)


def verify_cross_view(stored: StoredOutputs, device: str) -> Verification:
    """Verify the cross view transformer.

    Raises:
        CheckpointError, ModelError: as `verify_monoocc`.
    """
    target, where = pick_device(device), str(stored.path)
    names = ("a", "b", "position_a", "position_b", "out_a", "out_b")
    for name in names:
        stored.expect({name: stored.arrays["a"].shape if "a" in stored.arrays else ()})
    network = CrossViewTransformer(stored.arrays["a"].shape[1]).eval()
    load_strict(network, fill_state(stored.shapes, stored.seed), where=where)
    network = network.to(target)
    with torch.inference_mode():
        inputs = [with_position(torch.from_numpy(stored.arrays[name][0]).to(target)) for name in ("a", "b")]
        outputs = [*inputs, *network(*inputs)]
    checks = [
        within_range(name, stored.arrays[name], value[None], FEATURES, where)
        for name, value in zip(names[2:], outputs, strict=True)
    ]
    return Verification("monoocc cross view transformer", len(stored.shapes), checks)


def verify_internimage(stored: StoredOutputs, device: str) -> Verification:
    """Verify InternImage.

    Raises:
        CheckpointError, ModelError: as `verify_monoocc`.
    """
    target, where = pick_device(device), str(stored.path)
    state = fill_state(stored.shapes, stored.seed)
    depths: list[int] = []
    while any(name.startswith(f"levels.{len(depths)}.") for name in state):
        prefix = f"levels.{len(depths)}.blocks."
        depths.append(len({name.split(".")[3] for name in state if name.startswith(prefix)}))
    stem = state.get("patch_embed.conv2.weight")
    if stem is None or stem.dim() != 4 or "image" not in stored.arrays:
        raise CheckpointError("the golden file has no stem or no image", where=where, remedy="Download it again.")
    network = InternImage(InternImageConfig(stem.shape[0], tuple(depths))).eval()
    load_strict(network, state, where=where)
    with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        stages = network.to(target).stages(torch.from_numpy(stored.arrays["image"]).to(target))
    keys = [f"stage{i}" for i in range(len(stages))]
    checks = [
        within_range(key, stored.arrays[key], value, FEATURES, where)
        for key, value in zip(keys, stages, strict=True)
        if key in stored.arrays
    ]
    return Verification("internimage", len(stored.shapes), checks)


def _config(stored: StoredOutputs, state: dict[str, torch.Tensor]) -> MonoOccConfig:
    """Return the configuration that a file's logits, tables and flags describe."""
    where = str(stored.path)
    try:
        _, x, y, z = stored.arrays["logits"].shape
        flags = json.loads(str(stored.meta["config"]).partition("flags ")[2] or "{}")
        grid = VoxelGrid((0.0, -EXTENT / 2, -2.0), (x, y, z), EXTENT / x)
        columns = state[HEAD + "positional_encoding.col_embed.weight"].shape[0]
        backbone = "internimage-xl" if "img_backbone.patch_embed.conv1.weight" in state else "resnet50"
        config = flagged(
            MonoOccConfig("monoocc-golden", backbone, columns=columns, grid=grid),  # type: ignore[arg-type]
            state,
        )
        # stand-in weights are nonzero everywhere, so the flag comes from the description
        config = replace(config, late=bool(flags.get("look_ahead")))
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, GridError) as error:
        raise CheckpointError(
            f"the golden file's description is inconsistent ({error})", where=where, remedy="Download it again."
        ) from error
    cameras, voxels = config.cameras, config.voxels
    height, width = stored.arrays["image"].shape[-2:] if "image" in stored.arrays else (0, 0)
    stored.expect(
        {"image": (cameras, 3, height, width), "proposal": (math.ceil(voxels / 8),), "lidar2img": (cameras, 4, 4)}
    )
    return config


def _compare(stored: StoredOutputs, network: MonoOcc, target: torch.device) -> Iterator[PartCheck]:
    arrays, head, where = stored.arrays, network.pts_bbox_head, str(stored.path)
    config = network.config
    images = torch.from_numpy(arrays["image"]).to(target)
    grid = config.working_grid(config.grid)
    assert grid.resolution == SCALE * config.grid.resolution
    size = images.shape[-2], images.shape[-1]
    references = References.of_matrices(grid, list(arrays["lidar2img"]), size).to(target)
    packed = arrays["proposal"].astype(np.uint8)
    proposed = torch.from_numpy(np.unpackbits(packed)[: config.voxels].astype(bool)).to(target)
    features = network.features(images)
    volumes = network.volumes(features, references, proposed)
    logits = head.classify(volumes.last)
    parts = {"fpn": features, "cross": volumes.cross, "self": volumes.attended, "late": volumes.late}
    if config.semantic:
        parts["semantic_logit"] = head.sem_decoder(head.exchanged(features))
    for key, value in parts.items():
        if value is not None and key in arrays:
            yield within_range(key, arrays[key], value, FEATURES, where)
    difference, _ = differences(arrays["logits"], logits, where)
    mean = float(difference.mean())
    yield PartCheck("logits", float(difference.max()), mean, mean, LOGITS, "mean <=")
    yield equal_labels(arrays["logits"].argmax(0), logits.argmax(0).cpu().numpy(), LABELS)
