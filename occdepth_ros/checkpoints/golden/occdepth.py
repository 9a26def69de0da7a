"""Verification of OccDepth with a golden file, part by part."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from occdepth_ros.checkpoints.golden.filling import fill_state
from occdepth_ros.checkpoints.golden.occdepth_file import GoldenFile
from occdepth_ros.checkpoints.golden.part_checks import PartCheck, differences, equal_labels, within_range
from occdepth_ros.errors import ImageError, SourceError
from occdepth_ros.models.images import normalize
from occdepth_ros.models.loading.state import load_strict
from occdepth_ros.models.occdepth.geometry import SceneGeometry
from occdepth_ros.models.occdepth.network import OccDepth
from occdepth_ros.models.runtime.device import pick_device
from occdepth_ros.models.runtime.inference import channels_last

DEPTH_GAIN = 4.0
"""Factor of the depth logits' weights in golden files, which sharpens the depth distribution."""


@dataclass(frozen=True)
class Tolerance:
    """Largest differences of a float32 network from the golden values.

    Args:
        features: largest difference of 2-D features and Stereo-SFA, as a fraction of their range.
        depth: largest difference of depth distribution, voxel weight and 3-D input, as a fraction of their range.
        logits: mean difference of the logits.
        labels: smallest fraction of voxels with equal labels.
    """

    features: float = 1e-3
    depth: float = 1e-3
    logits: float = 3e-4
    labels: float = 0.999


TOLERANCES = {"b3": Tolerance(), "b4": Tolerance(), "b7": Tolerance(depth=1e-2, logits=3e-3, labels=0.995)}
"""Tolerances by backbone: float32 rounding errors grow with the depth of the network."""


def verify_network(golden: GoldenFile, *, dataset: Path | None = None, device: str = "cpu") -> list[PartCheck]:
    """Fill a network with the file's stand-in weights, run it in float32 and compare every stored part.

    Args:
        golden: the file.
        dataset: folder of the KITTI odometry sequences, for files whose input is a real frame.
        device: "auto", "cpu", "cuda" or "cuda:N".

    Raises:
        CheckpointError: the stored names, shapes or parts do not fit the network.
        SourceError, ImageError: the real frame is missing.
        ModelError: the device does not exist.
    """
    target = pick_device(device)
    images = golden_images(golden, dataset).to(target)
    network = channels_last(golden_network(golden).to(target))
    geometry = SceneGeometry.of_views(golden.config, golden.views, golden.config.grid).to(target)
    # TF32 would add differences
    with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        return list(_compare(golden, network, images, geometry))


def golden_network(golden: GoldenFile) -> OccDepth:
    """Return the golden file's network with its stand-in weights, for inference."""
    network = OccDepth(golden.config).eval()
    state = fill_state(golden.shapes, golden.seed)
    depth_head = "flosp_depth.depth_net.0.depth_pred.weight"
    if depth_head in state:
        state[depth_head] *= DEPTH_GAIN
    for key, array in golden.arrays.items():
        if key.startswith("bn/"):
            state[key.removeprefix("bn/")] = torch.from_numpy(array)
    # buffers with constants of the configuration keep the network's own values
    constants = {k: v for k, v in network.state_dict().items() if k.startswith("flosp_depth.voxel_")}
    load_strict(network, state | constants, where=str(golden.path))
    return network


def golden_images(golden: GoldenFile, dataset: Path | None) -> torch.Tensor:
    """Return the input images, `[1, V, 3, H, W]`, normalised."""
    if "image_u8" in golden.arrays:
        return normalize(torch.from_numpy(golden.arrays["image_u8"]))[None, None]
    if golden.frame is None:
        return torch.from_numpy(golden.arrays["image"])[None]
    root = dataset or golden.path.parent.parent / "data" / "kitti_mini"
    sequence, _, frame = golden.frame.partition("/")
    folders = [base / "sequences" / sequence for base in (root, root / "dataset")]
    folder = next((f for f in folders if f.is_dir()), None)
    if folder is None:
        raise SourceError(
            f"there is no sequence {sequence!r} of a KITTI odometry dataset",
            where=str(root),
            remedy="Give the folder above `sequences` with --dataset.",
        )
    height, width = golden.config.image
    images = []
    for camera in (2, 3)[: golden.config.views]:
        path = folder / f"image_{camera}" / f"{frame}.png"
        image = cv2.imread(str(path), cv2.IMREAD_COLOR) if path.is_file() else None
        if image is None or image.shape[0] < height or image.shape[1] < width:
            raise ImageError(
                f"the image is missing, damaged, or smaller than {width}x{height}",
                where=str(path),
                remedy="The golden outputs were computed from this frame: use the data set's original file.",
            )
        images.append(cv2.cvtColor(image[:height, :width], cv2.COLOR_BGR2RGB))
    return normalize(torch.from_numpy(np.stack(images)))[None]


def _compare(
    golden: GoldenFile, network: OccDepth, images: torch.Tensor, geometry: SceneGeometry
) -> Iterator[PartCheck]:
    config, tolerance, where = golden.config, TOLERANCES[golden.config.backbone], str(golden.path)

    def ranged(part: str, key: str, value: torch.Tensor, limit: float) -> Iterator[PartCheck]:
        if key in golden.arrays:
            yield within_range(part, golden.arrays[key], value, limit, f"{where}: {key}")

    features = network.features(images)
    if config.virtual_bf is not None:
        depth_image = torch.from_numpy(golden.arrays["depth"]).to(images.device)[None]
        features = network.with_virtual_view(features, depth_image)
    for scale in sorted(features):
        for view in range(config.views):
            side = ("left", "right")[view]
            value = features[scale][0, view]
            yield from ranged(f"2-D 1/{scale} {side}", f"rgb{view}_1_{scale}", value, tolerance.features)
    for scale in config.scales:
        lifted = network.volume_of_rows(network.lift_scale(scale, features[scale][0], geometry)[None], geometry)
        yield from ranged(f"SFA 1/{scale}", f"sfa_{scale}", lifted[0], tolerance.features)
    depth = network.depth(features, geometry)
    if depth is not None:
        weight = network.voxel_weight(depth, geometry)
        yield from ranged("OAD weight", "oad_weight", weight[0], tolerance.depth)
    volume = network.weigh(network.lift(features, geometry), depth, geometry)
    yield from ranged("3-D input", "x3d", volume[0], tolerance.depth)
    if depth is not None:
        yield from ranged("depth", "depth_pred", depth[0], tolerance.depth)
    logits = network.net_3d_decoder(volume).logits[0]
    difference, _ = differences(golden.arrays["logits"], logits, where)
    mean = float(difference.mean())
    yield PartCheck("logits", float(difference.max()), mean, mean, tolerance.logits, "mean <=")
    yield equal_labels(golden.arrays["labels"], logits.argmax(dim=0).cpu().numpy(), tolerance.labels)
