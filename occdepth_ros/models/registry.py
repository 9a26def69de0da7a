"""The models by name, with their factories. The module of a model is imported when the model is created."""

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
    """A model in the registry.

    Args:
        factory: "module:callable"; the callable takes the keywords `name`, `weights` and `device`.
        summary: one line for help texts.
        needs_weights: whether the user must give a checkpoint, because the package contains none.
        published: whether its checkpoints were published by the authors, who trained on the benchmark's labels by
            index, although the labels lie one layer (0.2 m) below the grid of their projection.
    """

    factory: str
    summary: str
    needs_weights: bool
    published: bool = False

    def load(self) -> Callable[..., Any]:
        """Import the module of the factory and return the callable.

        Raises:
            ModelError: a package that the model needs, such as PyTorch, is not installed.
        """
        module, _, attribute = self.factory.partition(":")
        try:
            factory: Callable[..., Any] = getattr(import_module(module), attribute)
        except ModuleNotFoundError as error:
            name = (error.name or "").partition(".")[0]
            raise ModelError(
                f"the Python package {name}, which this model needs, is not installed",
                where="model",
                remedy=f"Install it: pip install {name} (outside a virtual environment with --break-system-packages); "
                f"or choose {FALLBACK_MODEL}, which needs no network.",
            ) from error
        return factory


_OCCDEPTH = "occdepth_ros.models.occdepth.predictor:OccDepthPredictor"

_EDGE = "occdepth_ros.models.edge.predictor:EdgePredictor"

_EDGE_BEV = "occdepth_ros.models.edge_bev.predictor:EdgeBevPredictor"

_MONOOCC = "occdepth_ros.models.monoocc.predictor:MonoOccPredictor"

MODELS: dict[str, ModelEntry] = {
    "occdepth-edge": ModelEntry(
        _EDGE_BEV,
        "image semantics and stereo evidence completed over the bird's-eye view, trained on synthetic streets; its "
        "weights ship",
        False,
    ),
    "occdepth-edge-kitti": ModelEntry(
        _EDGE_BEV,
        "the network of occdepth-edge trained on real streets; its weights ship, for non-commercial use only",
        False,
    ),
    "occdepth-edge-sfa": ModelEntry(
        _EDGE, "OccDepth's steps sized for small computers, trained on synthetic streets; its weights ship", False
    ),
    "stereo-geometry": ModelEntry(
        "occdepth_ros.models.stereo_geometry:StereoGeometry",
        "semi-global matching without weights and without completion: the baseline",
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
        "LMSCNet on the occupancy from semi-global matching",
        needs_weights=True,
    ),
    "aicnet-stereo": ModelEntry(
        "occdepth_ros.models.comparison.predictors:AicNetPredictor",
        "AICNet on the left image and the depth from semi-global matching",
        needs_weights=True,
    ),
    "js3cnet-stereo": ModelEntry(
        "occdepth_ros.models.comparison.predictors:Js3cNetPredictor",
        "JS3C-Net on the points from semi-global matching",
        needs_weights=True,
    ),
    "monoocc-s": ModelEntry(
        _MONOOCC, "MonoOcc-S of the paper (ResNet-50) on query proposals from stereo matching", True, published=True
    ),
    "monoocc-s-shipped": ModelEntry(
        _MONOOCC,
        "MonoOcc-S as configured by its authors, without the paper's contributions",
        True,
        published=True,
    ),
    "monoocc-edge": ModelEntry(
        _MONOOCC, "MonoOcc in a size for CPUs, trained on synthetic streets; its weights ship", False
    ),
    "monoocc-edge-kitti": ModelEntry(
        _MONOOCC,
        "the network of monoocc-edge trained on real streets; its weights ship, for non-commercial use only",
        False,
    ),
    "monoocc-l": ModelEntry(_MONOOCC, "MonoOcc-L of the paper (InternImage-XL)", True, published=True),
}

DEFAULT_MODEL = "occdepth-edge"
FALLBACK_MODEL = "stereo-geometry"
"""Fallback model of the node; it needs no weights, no GPU and no PyTorch."""
EXPORTED_SUFFIX = ".onnx"
"""Suffix of exported models, as written by `occdepth export`."""
_EXPORTED = "occdepth_ros.exporting.loading:load_exported"


def is_exported(weights: Path | str | None) -> bool:
    """Return whether the weights are an exported model, which holds its rig and its grid."""
    # predictors accept text too, such as "random"
    return weights is not None and Path(weights).suffix == EXPORTED_SUFFIX


def create_predictor(model: str, *, weights: Path | str | None = None, device: str = "auto") -> Predictor:
    """Make the predictor of a model; with an exported file as weights, the predictor that runs this file.

    Raises:
        ModelError: no model has this name, or a package that it needs is not installed.
        CheckpointError: the weights are missing or do not fit.
    """
    entry = MODELS.get(model)
    if entry is None:
        raise ModelError(f"there is no model {model!r}", where="model", remedy=f"Choose one of {', '.join(MODELS)}.")
    if is_exported(weights):
        entry = ModelEntry(_EXPORTED, entry.summary, needs_weights=True)
    predictor: Predictor = entry.load()(name=model, weights=weights, device=device)
    return predictor
