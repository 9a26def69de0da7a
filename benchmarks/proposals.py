"""Coverage of occupied voxels by query proposals: `python -m benchmarks.proposals KITTI_SEQUENCE ...`.

Recall and precision of voxels of 0.4 m against the occupied voxels of a sequence's ground truth, without unknown
voxels, for every frame with ground truth and enough earlier frames.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import track

from occdepth_ros.classes import EMPTY, UNKNOWN
from occdepth_ros.data.pooling import downsample_labels
from occdepth_ros.models.mobilestereonet.depth import NETWORKS, StereoNetDepth
from occdepth_ros.models.monoocc.proposals.semi_global import SemiGlobalDepth
from occdepth_ros.models.monoocc.proposals.source import DepthSource
from occdepth_ros.models.monoocc.proposals.stereo import Refiner, StereoProposals, dilated, halved
from occdepth_ros.models.qpn.refiner import QpnRefiner
from occdepth_ros.sources.base import SceneGroundTruth, StereoSource
from occdepth_ros.sources.factory import open_source


@dataclass(frozen=True)
class Row:
    """Proposals of one kind against the ground truth, over all frames.

    Args:
        name: name of the kind.
        hits: number of proposals that are occupied.
        proposals: number of proposals with ground truth.
        occupied: number of occupied voxels.
    """

    name: str
    hits: int = 0
    proposals: int = 0
    occupied: int = 0

    def counted(self, proposals: npt.NDArray[np.bool_], ground_truth: npt.NDArray[np.uint8]) -> Row:
        """Return the row with an added frame; `ground_truth` has the resolution of the proposals."""
        labelled = ground_truth != UNKNOWN
        occupied = labelled & (ground_truth != EMPTY)
        return replace(
            self,
            hits=self.hits + int((proposals & occupied).sum()),
            proposals=self.proposals + int((proposals & labelled).sum()),
            occupied=self.occupied + int(occupied.sum()),
        )

    @property
    def scores(self) -> dict[str, float]:
        """Return recall, precision and IoU, percent."""
        union = self.proposals + self.occupied - self.hits
        pairs = {"recall": self.occupied, "precision": self.proposals, "iou": union}
        return {name: round(100 * self.hits / max(1, count), 1) for name, count in pairs.items()}


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table, and write it if requested."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.proposals", description=__doc__)
    parser.add_argument("sources", nargs="+", metavar="SEQUENCE", help="KITTI odometry sequences with ground truths")
    parser.add_argument("--history", type=int, default=5, help="earlier pairs that are merged (default: %(default)s)")
    parser.add_argument("--min-points", type=int, default=1, help="number of points of an occupied voxel (default: 1)")
    parser.add_argument("--depth", choices=["sgm", *NETWORKS], default="sgm", help="(default: %(default)s)")
    parser.add_argument("--depth-weights", type=Path, metavar="FILE", help="weights of the stereo network")
    parser.add_argument("--qpn", type=Path, metavar="FILE", help="weights of the query proposal network")
    parser.add_argument(
        "--threshold", type=float, default=0.5, help="smallest probability of a proposal (default: 0.5)"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    arguments = parser.parse_args(argv)
    depth: DepthSource = SemiGlobalDepth()
    if arguments.depth != "sgm":
        depth = StereoNetDepth(arguments.depth, arguments.depth_weights, device=arguments.device)
    refine = (
        None
        if arguments.qpn is None
        else QpnRefiner(arguments.qpn, device=arguments.device, threshold=arguments.threshold)
    )
    rows: dict[str, Row] = {}
    seconds: list[float] = []
    frames = 0
    for path in track(arguments.sources, "sequences", console=Console(stderr=True)):
        source = open_source(path)
        for index, ground_truth in _ground_truths(source, arguments.history):
            frames += 1
            for history in dict.fromkeys((0, arguments.history)):
                maker = StereoProposals(depth, history=history, min_points=arguments.min_points)
                seconds += _score(rows, maker, source, index, ground_truth, history, refine)
    for row in rows.values():
        text = "  ".join(f"{name} {value:5.1f} %" for name, value in row.scores.items())
        print(f"{row.name:<42}{text}")
    print(f"{frames} frames, {1e3 * float(np.median(seconds or [0])):.0f} ms a pair for depth and voxels (median)")
    if arguments.json is not None:
        found = {row.name: row.scores for row in rows.values()}
        arguments.json.write_text(json.dumps({"frames": frames, "rows": found}, indent=1) + "\n")


def _ground_truths(source: StereoSource, history: int) -> Iterator[tuple[int, SceneGroundTruth]]:
    for index in range(history, len(source)):
        ground_truth = source.ground_truth(index)
        if ground_truth is not None:
            yield index, ground_truth


def _score(
    rows: dict[str, Row],
    maker: StereoProposals,
    source: StereoSource,
    index: int,
    ground_truth: SceneGroundTruth,
    history: int,
    refine: Refiner | None,
) -> list[float]:
    """Count one frame; return the seconds of every pair."""
    seconds = []
    for i in range(index - history, index + 1):
        frame = source[i]
        start = time.perf_counter()
        maker.set_pose(frame.world_from_grid)
        occupancy = maker.measure(frame.left, frame.right, source.rig, ground_truth.grid)
        seconds.append(time.perf_counter() - start)
    coarse = halved(occupancy)
    kinds = {"half resolution": coarse, "half resolution, dilated by 1": dilated(coarse, 1)}
    if refine is not None:
        kinds["QPN"] = refine(occupancy, ground_truth.grid)
    labels = downsample_labels(ground_truth.labels, 2)
    for name, proposals in kinds.items():
        key = f"{1 + history} pairs, {name}" if history else f"1 pair, {name}"
        rows[key] = rows.get(key, Row(key)).counted(proposals, labels)
    return seconds


if __name__ == "__main__":
    main()
