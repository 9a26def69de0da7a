"""`occdepth calibrate`: fit probabilities and limits of a network, and store them in its weights file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track

from occdepth_ros.checkpoints.calibrated import write_calibration
from occdepth_ros.commands.eval.data import SCORED, Opened, open_scenes
from occdepth_ros.commands.options.scenes import add_scan_arguments
from occdepth_ros.data.factory import current_name
from occdepth_ros.data.semantic_kitti.dataset import OFFICIAL
from occdepth_ros.errors import ModelError, SourceError
from occdepth_ros.evaluation.alignment import comparable_labels
from occdepth_ros.evaluation.occupancy_calibration import (
    FREE,
    REGIONS,
    ZONE_NAMES,
    OccupancyCounts,
    choose_limits,
    fit_calibration,
    held_out_reliability,
    reliability,
)
from occdepth_ros.evaluation.report import write_report
from occdepth_ros.evaluation.report_tables import print_calibration
from occdepth_ros.evaluation.scenes import SceneModel
from occdepth_ros.files import check_file_path
from occdepth_ros.models.edge_bev.evidence import Measurement
from occdepth_ros.models.edge_bev.levelling import unknown_below_ground
from occdepth_ros.models.edge_bev.loading import SHIPPED
from occdepth_ros.models.edge_bev.predictor import EdgeBevPredictor
from occdepth_ros.models.edge_bev.readout import VoxelProbabilities
from occdepth_ros.visualization.reliability import write_reliability

SUMMARY = "calibrate the probabilities of a network on scenes kept for it, and choose its limits"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    add = parser.add_argument
    add("--weights", type=Path, metavar="FILE", required=True, help="weights to calibrate")
    add("--out", type=Path, metavar="FILE", required=True, help="weights file to write; may be the same")
    add("--model", choices=list(SHIPPED), metavar="NAME", default=next(iter(SHIPPED)), help="default: %(default)s")
    add("--dataset", type=current_name, choices=list(SCORED), default="semantic_kitti", help="default: %(default)s")
    add("--root", type=Path, metavar="DIR", help="folder of the data set, as for occdepth eval")
    add("--sequences", nargs="+", metavar="SS", default=[], help="places that the network was not trained on")
    add("--labels", metavar="NAME", default=OFFICIAL, help="ground truth of the probabilities, as for occdepth eval")
    add_scan_arguments(parser)
    add(
        "--limits-labels",
        metavar="NAME",
        help="additional ground truth of the limits; that of the probabilities then has half weight (default: none)",
    )
    add(
        "--free",
        type=float,
        nargs=len(REGIONS),
        metavar="P",
        default=list(FREE),
        help=f"largest probability of occupied at which a voxel is free: {', '.join(REGIONS)} (default: "
        f"{' '.join(f'{p:g}' for p in FREE)})",
    )
    add(
        "--fold",
        nargs="+",
        action="append",
        metavar=("FILE", "SS"),
        default=[],
        help="fit to predictions of these weights on places held out from their training, instead of predictions of "
        "--weights on --sequences; may be given several times",
    )
    add(
        "--limits-factor",
        type=float,
        nargs=len(REGIONS),
        metavar="F",
        default=[1.0] * len(REGIONS),
        help=f"factors of the limits: {', '.join(REGIONS)}; below 1 where the ground truth is sharper than reality, as "
        "of synthetic scenes (default: 1)",
    )
    add("--count", type=int, metavar="N", help="only the first N scenes (default: all)")
    add("--seed", type=int, metavar="S", default=0, help="of generated scenes (default: %(default)s)")
    add("--cache", type=Path, metavar="DIR", help="folder of computed labels (default: they are not kept)")
    add("--device", metavar="D", default="auto", help="auto, cpu, cuda or cuda:N (default: %(default)s)")
    add("--figure", type=Path, metavar="PNG", help="draw the reliability diagrams")
    add("--json", type=Path, metavar="FILE", help="write the report there")


def run(arguments: argparse.Namespace) -> int:
    """Run the verb.

    Raises:
        OccDepthError: data set, weights or output path is not usable.
    """
    if not all(0 < p < 1 for p in arguments.free):
        raise SourceError("a probability is not between 0 and 1", where="--free", remedy="Such as 0.06 0.02 0.06.")
    if not all(0 < factor <= 1 for factor in arguments.limits_factor):
        raise SourceError("a factor is not between 0 and 1", where="--limits-factor", remedy="Such as 0.2 0.2 0.3.")
    for path in (arguments.out, arguments.figure, arguments.json):
        check_file_path(path)
    places: dict[str, OccupancyCounts] = {}
    chosen: dict[str, OccupancyCounts] = {}
    for weights, *sequences in arguments.fold or [(arguments.weights, *arguments.sequences)]:
        model = SceneModel(arguments.model, weights=Path(weights), device=arguments.device)
        own = argparse.Namespace(**{**vars(arguments), "sequences": sequences})
        opened = open_scenes(own)
        places |= count_places(model, opened)
        if arguments.limits_labels is not None:
            own.labels, own.rule, own.later, own.variants = arguments.limits_labels, None, None, None
            chosen |= count_places(model, open_scenes(own))
    total = OccupancyCounts.sum(list(places.values()))
    calibration = fit_calibration(total)
    if chosen:
        limits = choose_limits(OccupancyCounts.sum(list(chosen.values())), calibration, arguments.free, total)
    else:
        limits = choose_limits(total, calibration, arguments.free)
    limits = limits * np.repeat(arguments.limits_factor, len(limits) // len(REGIONS))[:, None]
    write_calibration(arguments.weights, arguments.out, calibration, limits)
    held_out = len(places) > 1
    found = (
        held_out_reliability(places, arguments.free)
        if held_out
        else reliability(OccupancyCounts.sum(list(places.values())), calibration, limits)
    )
    report: dict[str, Any] = {
        "places": list(places),
        "ground_truth": opened.ground_truth,
        "measured": "each place with the calibration of the others" if held_out else "the scenes of the fit themselves",
        "scale_and_offset": {name: row.round(4).tolist() for name, row in zip(ZONE_NAMES, calibration, strict=True)},
        "limits": {name: row.round(4).tolist() for name, row in zip(ZONE_NAMES, limits, strict=True)},
        "calibration": {name: part.report() for name, part in found.items()},
    }
    console = Console()
    print_calibration(report["calibration"], console)
    for name in ZONE_NAMES:
        (scale, offset), (low, high) = report["scale_and_offset"][name], report["limits"][name]
        bounds = f"free below {low:.3f}, occupied from {high:.3f}"
        console.print(f"{name}: logit x {scale:.3f} {offset:+.3f}; {bounds}", highlight=False)
    console.print(f"measured on {report['measured']}; wrote {arguments.out}", highlight=False, soft_wrap=True)
    if arguments.json is not None:
        write_report(arguments.json, report)
    if arguments.figure is not None:
        title = f"{arguments.model}, {opened.ground_truth}, {len(places)} places"
        write_reliability(arguments.figure, report["calibration"], title)
    return 0


def count_places(model: SceneModel, opened: Opened) -> dict[str, OccupancyCounts]:
    """Predict all scenes and count their voxels by place; a sequence is one place.

    Raises:
        ModelError: the model has no calibration.
        OccDepthError: a scene or the model is not usable.
    """
    places: dict[str, OccupancyCounts] = {}
    found: list[tuple[VoxelProbabilities, Measurement]] = []
    for index in track(range(len(opened.scenes)), opened.ground_truth, console=Console(stderr=True), transient=True):
        example = opened.scenes[index]
        predictor = model.engine_for(example).predictor
        if not isinstance(predictor, EdgeBevPredictor):
            raise ModelError("the model has no calibration", where="--model", remedy=f"Use {', '.join(SHIPPED)}.")
        found.clear()
        predictor.observer, predictor.follows_ground = lambda *observed: found.append(observed), False
        model.predict(example)
        predictor.observer, predictor.follows_ground = None, True
        own, measured = found[0]
        # a prediction has no occupied voxel below the ground, whatever the limits are
        _, probability = unknown_below_ground(own.names.clone(), own.probability, measured)
        place = example.name.rpartition("/")[0]
        occupied, names, certainty, zone = (
            values.cpu().numpy() for values in (probability, own.names, own.certainty, own.zone)
        )
        # scores exclude the layer that the ground truth cannot contain
        labels = comparable_labels(example.target, example.grid, example.grid, example.target)
        places.setdefault(place, OccupancyCounts.empty()).add(occupied, names, certainty, zone, labels)
    return places
