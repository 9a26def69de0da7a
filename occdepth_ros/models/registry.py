"""The models by name, and how each is made. Heavy imports wait until a model is asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from occdepth_ros.errors import ModelError
from occdepth_ros.models.predictor import Predictor


@dataclass(frozen=True)
class ModelEntry:
    """A model that users can name.

    Args:
        factory: "module:callable"; the callable takes the keywords `name`, `weights` and `device`.
        summary: one line for help texts.
        needs_weights: whether the user must give a checkpoint: it is worth nothing without, and none ships.
        published: whether its checkpoints come from the authors, who trained on the benchmark's labels index by index
            though these lie one layer lower than the grid that they project with.
    """

    factory: str
    summary: str
    needs_weights: bool
    published: bool = False

    def load(self) -> Callable[..., Any]:
        """Import the module of the factory and return the callable."""
        module, _, attribute = self.factory.partition(":")
        factory: Callable[..., Any] = getattr(import_module(module), attribute)
        return factory


_OCCDEPTH = "occdepth_ros.models.occdepth.predictor:OccDepthPredictor"

_EDGE = "occdepth_ros.models.edge.predictor:EdgePredictor"

_MONOOCC = "occdepth_ros.models.monoocc.predictor:MonoOccPredictor"

MODELS: dict[str, ModelEntry] = {
    "occdepth-edge": ModelEntry(
        _EDGE, "OccDepth's steps sized for small computers, taught on generated streets; its weights ship", False
    ),
    "occdepth-edge-kitti": ModelEntry(
        _EDGE, "occdepth-edge adapted to KITTI; its weights ship, for non-commercial use only", False
    ),
    "stereo-geometry": ModelEntry(
        "occdepth_ros.models.stereo_geometry:StereoGeometry",
        "semi-global matching, no weights, nothing completed: the honest baseline",
        needs_weights=False,
    ),
    "occdepth-b3": ModelEntry(
        _OCCDEPTH,
        "OccDepth as released (EfficientNet-B3, 32 channels, Stereo-SFA, OAD, CRP, cascade head)",
        needs_weights=True,
        published=True,
    ),
    "occdepth-b7": ModelEntry(
        _OCCDEPTH, "OccDepth's best of the paper (EfficientNet-B7, 64 channels)", True, published=True
    ),
    "occdepth-b7-flosp": ModelEntry(_OCCDEPTH, "occdepth-b7 without the depth module", True, published=True),
    "occdepth-mono": ModelEntry(
        _OCCDEPTH, "OccDepth on the left image alone (24 channels, no CRP, no cascade)", True, published=True
    ),
    "monoscene": ModelEntry(_OCCDEPTH, "MonoScene on the left image, which OccDepth builds on", True, published=True),
    "monoscene-stereo": ModelEntry(
        _OCCDEPTH, "MonoScene on both images, their features averaged", True, published=True
    ),
    "occdepth-small": ModelEntry(_OCCDEPTH, "OccDepth behind EfficientNet-Lite0, half-size images", True),
    "monoscene-small": ModelEntry(_OCCDEPTH, "monoscene in the size of occdepth-small", True),
    "monoscene-stereo-small": ModelEntry(_OCCDEPTH, "monoscene-stereo in the size of occdepth-small", True),
    "lmscnet-stereo": ModelEntry(
        "occdepth_ros.models.comparison.predictors:LmscNetPredictor",
        "LMSCNet on the occupancy that semi-global matching measures",
        needs_weights=True,
    ),
    "aicnet-stereo": ModelEntry(
        "occdepth_ros.models.comparison.predictors:AicNetPredictor",
        "AICNet on the left image and the depth that semi-global matching measures",
        needs_weights=True,
    ),
    "js3cnet-stereo": ModelEntry(
        "occdepth_ros.models.comparison.predictors:Js3cNetPredictor",
        "JS3C-Net on the points that semi-global matching measures",
        needs_weights=True,
    ),
    "monoocc-s": ModelEntry(
        _MONOOCC, "MonoOcc-S of the paper (ResNet-50) on query proposals from stereo matching", True, published=True
    ),
    "monoocc-s-shipped": ModelEntry(
        _MONOOCC, "MonoOcc-S as its authors configured it, none of its contributions: VoxFormer-S", True, published=True
    ),
    "monoocc-edge": ModelEntry(
        _MONOOCC, "MonoOcc in a size that a CPU runs and trains, taught on generated streets; its weights ship", False
    ),
    "monoocc-l": ModelEntry(_MONOOCC, "MonoOcc-L of the paper (InternImage-XL)", True, published=True),
}

DEFAULT_MODEL = "occdepth-edge"
FALLBACK_MODEL = "stereo-geometry"
"""What the node goes on with when another model cannot run: it needs no weights, no GPU and no torch."""


EXPORTED_SUFFIX = ".onnx"
"""Weights files that hold the whole model, as `occdepth export` writes them."""
_EXPORTED = "occdepth_ros.exporting.predictor:ExportedPredictor"


def is_exported(weights: Path | None) -> bool:
    """Whether the weights are an exported model, which knows its rig and its grid."""
    # predictors take text as well, such as "random"
    return weights is not None and Path(weights).suffix == EXPORTED_SUFFIX


def create_predictor(model: str, *, weights: Path | None = None, device: str = "auto") -> Predictor:
    """Make the predictor called `model`; with an exported file as weights, the one that runs this file.

    Raises:
        ModelError: no model has this name.
        CheckpointError: the weights are missing or do not fit.
    """
    entry = MODELS.get(model)
    if entry is None:
        raise ModelError(f"there is no model {model!r}", where="model", remedy=f"Choose one of {', '.join(MODELS)}.")
    if is_exported(weights):
        entry = ModelEntry(_EXPORTED, entry.summary, needs_weights=True)
    predictor: Predictor = entry.load()(name=model, weights=weights, device=device)
    return predictor
