"""Common arguments of the verbs that read a data set of scenes."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from occdepth_ros.data.example import SceneDataset
from occdepth_ros.data.factory import DATASETS, current_name, open_dataset
from occdepth_ros.data.scans.completion import RULES
from occdepth_ros.data.semantic_kitti.dataset import OFFICIAL
from occdepth_ros.data.semantic_kitti.scan_options import ScanOptions
from occdepth_ros.errors import SourceError


def add_dataset_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare `--dataset`, `--root`, `--sequences`, `--labels`."""
    add = parser.add_argument
    add("--dataset", type=current_name, choices=list(DATASETS), required=True, help="which data set")
    add("--root", type=Path, metavar="DIR", help="its folder; without one, synthetic is generated")
    add(
        "--sequences",
        nargs="+",
        metavar="S",
        default=[],
        help="semantic_kitti: numbers, train, val (default: train); synthetic: train or test of a folder, or "
        "SPLIT:SEED:COUNT to be generated; nyu: train or test; tartanair: such as Easy/P000, train, val; folder: names "
        "of folders below the root",
    )
    add(
        "--labels",
        metavar="NAME",
        default=OFFICIAL,
        help="official, scans, or a derived ground truth such as recon10; tartanair: fused, visible",
    )


def add_scan_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare `--rule`, `--later`, `--variants`, for `--labels scans`."""
    add = parser.add_argument
    add(
        "--rule",
        choices=list(RULES),
        help="for --labels scans, rule for labels: around (scans before and after the frame; the default), "
        "recon10 (the frame and later scans, similar to the labels of that name), any-sight (as recon10, and hidden "
        "space that later scans found free is labelled as free), all-scans (all scans of the drive within 70 m, "
        "without the trails of moving objects)",
    )
    add(
        "--later",
        type=int,
        metavar="K",
        help="for --labels scans: skip frames with fewer later scans within reach (default: 0)",
    )
    add(
        "--variants",
        type=int,
        metavar="N",
        help="for --labels scans: scenes of each frame, the first on the original grid, the others on rotated and "
        "shifted grids (default: 1)",
    )


def scan_options(rule: str | None, later: int | None, variants: int | None) -> ScanOptions | None:
    """Return the options of these arguments; None if none is set.

    Raises:
        SourceError: the rule does not exist, or a number is out of range.
    """
    if rule is None and later is None and variants is None:
        return None
    if rule is not None and rule not in RULES:
        raise SourceError(
            f"there is no rule {rule!r} for labels from scans",
            where="rule",
            remedy=f"Choose from {', '.join(RULES)}.",
        )
    chosen = ScanOptions() if rule is None else ScanOptions(rule=RULES[rule])
    return replace(
        chosen,
        later=chosen.later if later is None else later,
        variants=chosen.variants if variants is None else variants,
    )


def open_scenes(arguments: argparse.Namespace, cache: Path | None = None, past: Sequence[int] = ()) -> SceneDataset:
    """Open the data set of these arguments; `cache` is the folder of computed labels, `past` as in `Request`.

    Raises:
        OccDepthError: the data set is incomplete.
    """
    scans = None
    if "rule" in arguments:
        scans = scan_options(arguments.rule, arguments.later, arguments.variants)
    return open_dataset(
        arguments.dataset,
        arguments.root,
        arguments.sequences,
        labels=arguments.labels,
        cache=cache,
        scans=scans,
        past=past,
    )


@dataclass(frozen=True)
class Share:
    """An additional data set of a mixture.

    Args:
        share: fraction of the training scenes, above 0 and below 1.
        dataset: name of the data set.
        scenes: the opened data set.
        terms: names of the loss terms that it supervises; None = all.
    """

    share: float
    dataset: str
    scenes: SceneDataset
    terms: frozenset[str] | None = None


SHARE_KEYS = ("root", "sequences", "labels", "rule", "later", "variants", "terms")


def open_share(words: Sequence[str], cache: Path | None = None, past: Sequence[int] = ()) -> Share:
    """Open the data set of an argument SHARE DATASET [KEY=VALUE ...]; commas separate sequences and terms.

    `cache` and `past` as in `open_scenes`.

    Raises:
        SourceError: a word is invalid.
        OccDepthError: the data set is incomplete.
    """
    where = f"--and {' '.join(words)}"
    usage = "Give SHARE DATASET [KEY=VALUE ...], such as 0.4 synthetic root=DIR sequences=train."
    try:
        share = float(words[0])
    except ValueError:
        raise SourceError(f"{words[0]!r} is not a share", where=where, remedy=usage) from None
    if not 0 < share < 1:
        raise SourceError(f"a share of {share:g} is not between 0 and 1", where=where, remedy=usage)
    if len(words) < 2:
        raise SourceError("the name of the data set is missing", where=where, remedy=usage)
    values: dict[str, str] = {}
    for word in words[2:]:
        key, sign, value = word.partition("=")
        if key not in SHARE_KEYS or not sign or not value:
            raise SourceError(
                f"{word!r} is not KEY=VALUE", where=where, remedy=f"{usage} Keys: {', '.join(SHARE_KEYS)}."
            )
        values[key] = value
    try:
        later, variants = (int(values[key]) if key in values else None for key in ("later", "variants"))
    except ValueError:
        raise SourceError("later and variants must be whole numbers", where=where, remedy=usage) from None
    kind = current_name(words[1])
    scenes = open_dataset(
        kind,
        Path(values["root"]) if "root" in values else None,
        values["sequences"].split(",") if "sequences" in values else (),
        labels=values.get("labels", OFFICIAL),
        cache=cache,
        scans=scan_options(values.get("rule"), later, variants),
        past=past,
    )
    terms = frozenset(values["terms"].split(",")) if "terms" in values else None
    return Share(share, kind, scenes, terms)
