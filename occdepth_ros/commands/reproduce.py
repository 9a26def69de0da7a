"""`occdepth reproduce`: run the stages of a plan, with cross-validation over places and a final training."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from occdepth_ros.errors import RecipeError, TrainingError
from occdepth_ros.evaluation.metrics import CompletionScores
from occdepth_ros.evaluation.places import place_report
from occdepth_ros.evaluation.report import by_class, confusion_of, headline, present, write_report

SUMMARY = "run the stages of a plan: cross-validation over places, then the final training"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    from occdepth_ros.training.plan import FINAL, plan_names

    add = parser.add_argument
    add("plan", metavar="NAME|FILE", help=f"a YAML file, or {', '.join(plan_names())}")
    add("--data", nargs="+", metavar="NAME=DIR", default=[], help="folders of the data sets that the plan names")
    add("--out", type=Path, metavar="DIR", required=True, help="folder of results; finished stages are not repeated")
    add("--runs", nargs="+", metavar="RUN", help=f"names of folds, and {FINAL} (default: all)")
    add("--steps", type=int, metavar="N", help="train every stage for N steps only, as a trial")
    add("--list", action="store_true", help="print the commands and run nothing")


def run(arguments: argparse.Namespace) -> int:
    """Run the verb.

    Raises:
        RecipeError: the plan or an argument is invalid.
        TrainingError: a stage failed.
    """
    from occdepth_ros.cli import main
    from occdepth_ros.training.plan import FINAL, read_plan

    plan = read_plan(arguments.plan)
    data: dict[str, Path] = {}
    for word in arguments.data:
        name, sign, path = word.partition("=")
        if not sign or name not in plan.data:
            raise RecipeError(f"{word!r} is not NAME=DIR", where="--data", remedy=f"Names: {', '.join(plan.data)}.")
        data[name] = Path(path).absolute()
    runs = arguments.runs or [*plan.folds, FINAL]
    console = Console(stderr=True)
    scores: list[Path] = []
    for step in plan.steps(data, arguments.out.absolute(), runs):
        words = list(step.words)
        if arguments.steps is not None and words[0] == "train":
            words += ["--set", f"steps={arguments.steps}", "--set", f"save_every={arguments.steps}"]
        if step.stage.name == "scores":
            scores.append(step.result)
        if arguments.list:
            print(f"# {step.run}, {step.stage.name}\noccdepth {' '.join(words)}")
        elif step.result.is_file():
            console.print(f"{step.run}, {step.stage.name}: finished before", highlight=False)
        else:
            console.print(f"{step.run}, {step.stage.name}", style="bold", highlight=False)
            step.folder.mkdir(parents=True, exist_ok=True)
            code = main(words)
            if code or not step.result.is_file():
                raise TrainingError(
                    f"the stage ended with exit code {code} and did not write {step.stage.result}",
                    where=f"{step.run}, {step.stage.name}",
                    remedy="Remove the cause and repeat the command: finished stages are not repeated.",
                )
    if scores and not arguments.list:
        report = pooled(scores)
        write_report(arguments.out / "cross_validation.json", report)
        print_pooled(report)
    return 0


def pooled(paths: list[Path]) -> dict[str, Any]:
    """Return the scores of all folds together, from the reports of `occdepth eval`, percent."""
    by_place: dict[str, Any] = {}
    for path in paths:
        by_place |= json.loads(path.read_text(encoding="utf-8"))["by_sequence"]
    confusions = [confusion_of(values["confusion"]) for values in by_place.values()]
    total = CompletionScores()
    total.confusion = np.sum(confusions, 0)
    total.scenes = sum(values["frames"] for values in by_place.values())
    return {
        "frames": total.scenes,
        **headline(total),
        **present(total),
        **by_class(total),
        "places": place_report(confusions),
        "by_place": {
            name: {key: values[key] for key in ("frames", "sc_iou", "ssc_miou")} for name, values in by_place.items()
        },
    }


def print_pooled(report: dict[str, Any]) -> None:
    """Print the scores of the cross-validation with their intervals."""
    places = report["places"]
    print(f"cross-validation, {report['frames']} frames of {places['count']} places, percent")
    for key, name in (("sc_iou", "SC IoU"), ("ssc_miou", "SSC mIoU")):
        text = f"  {name} {report[key]:.1f}"
        if "pooled_interval" in places:
            text += " [{:.1f}, {:.1f}]".format(*places["pooled_interval"][key])
        print(f"{text}; mean over places {places['mean'][key]:.1f}")
    for name, values in report["by_place"].items():
        print(f"  {name}: {values['sc_iou']:.1f} / {values['ssc_miou']:.1f}")
