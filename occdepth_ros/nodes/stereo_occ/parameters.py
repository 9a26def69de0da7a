"""The parameters of the node `stereo_occ`, declared once: name, type, default, range, meaning.

The ROS declarations, the checks, `config/stereo_occ.yaml` and the table of docs/parameters.md all come from `Settings`.
This module does not import ROS.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any, TypeVar

from occdepth_ros.errors import OccDepthError
from occdepth_ros.models.registry import DEFAULT_MODEL, FALLBACK_MODEL, MODELS
from occdepth_ros.outputs.selection import INCLUDES, Include

T = TypeVar("T")


class ParameterError(OccDepthError):
    """A parameter whose value cannot be used."""


@dataclass(frozen=True)
class Rule:
    """What may be said of one parameter.

    Args:
        text: what it means, with units.
        group: heading that it is listed under.
        low, high: range of a number, or of every number of an array, both included.
        choices: allowed words.
        lengths: allowed lengths of an array.
        live: whether it may change while the node is configured.
    """

    text: str
    group: str
    low: float = -math.inf
    high: float = math.inf
    choices: tuple[str, ...] = ()
    lengths: tuple[int, ...] = ()
    live: bool = False


def _parameter(default: T, group: str, text: str, **rule: Any) -> T:
    lengths = rule.pop("lengths", (len(default),) if isinstance(default, tuple) else ())
    declared: T = field(default=default, metadata={"rule": Rule(text, group, lengths=lengths, **rule)})
    return declared


def _switch(topic: str) -> bool:
    return _parameter(True, "Outputs", f"Whether `~/{topic}` is published (when somebody listens).", live=True)


def _rate(topic: str) -> float:
    text = f"Highest rate of `~/{topic}`, Hz; 0 publishes every prediction."
    return _parameter(0.0, "Outputs", text, low=0.0, high=1000.0, live=True)


def _include(default: Include, what: str) -> Include:
    text = f"Which occupied voxels enter {what}: seen by the cameras, completed inside their view, or all."
    return _parameter(default, "Outputs", text, choices=INCLUDES, live=True)


@dataclass(frozen=True)
class Settings:
    """All parameters with their values; a field is a parameter.

    Raises:
        ParameterError: values contradict each other.
    """

    autostart: bool = _parameter(True, "Life", "Configure and activate at start, without a lifecycle manager.")

    model: str = _parameter(DEFAULT_MODEL, "Model", "Which model predicts.", choices=tuple(MODELS))
    weights: str = _parameter("", "Model", "Checkpoint file; empty takes the model's own weights.")
    device: str = _parameter("auto", "Model", "Where the model runs: `auto`, `cpu`, `cuda` or `cuda:N`.")
    fallback: bool = _parameter(
        True, "Model", f"Go on with `{FALLBACK_MODEL}` when the model cannot be loaded or GPU memory is out."
    )
    fallback_retry: float = _parameter(
        60.0, "Model", "How often the wished model is tried again during a fallback, s; 0 never.", low=0.0, high=86400.0
    )
    warm_up: bool = _parameter(True, "Model", "Predict an empty pair while configuring, so that the first is not slow.")

    grid_frame: str = _parameter("velodyne", "Grid", "Frame that the voxel grid is fixed in; outputs carry it.")
    grid_origin: tuple[float, ...] = _parameter(
        (0.0, -25.6, -2.0), "Grid", "Lower corner x, y, z of the grid in `grid_frame`, m.", low=-1e4, high=1e4
    )
    grid_size: tuple[int, ...] = _parameter((256, 256, 32), "Grid", "Voxels along x, y, z.", low=1, high=4096)
    grid_resolution: float = _parameter(0.2, "Grid", "Edge of a voxel, m.", low=1e-3, high=100.0)
    fixed_frame: str = _parameter(
        "map",
        "Grid",
        "Frame that does not move, in which TF says where `grid_frame` is: models that merge earlier pairs do so where "
        "TF has it, and see each pair alone where not.",
    )

    extrinsics: str = _parameter(
        "auto",
        "Extrinsics",
        "Where the grid's pose in the left camera comes from: `tf`, `parameters` (`camera_from_grid_*`), "
        "or `auto`: TF, and parameters where TF has none.",
        choices=("auto", "tf", "parameters"),
    )
    camera_from_grid_translation: tuple[float, ...] = _parameter(
        (0.0, 0.0, 0.0), "Extrinsics", "Origin of `grid_frame` in the left optical frame, m.", low=-1e4, high=1e4
    )
    camera_from_grid_rotation: tuple[float, ...] = _parameter(
        (0.5, -0.5, 0.5, 0.5),
        "Extrinsics",
        "Rotation of `grid_frame` in the left optical frame: quaternion x, y, z, w, or roll, pitch, yaw, rad "
        "(default: a level camera looking along x).",
        lengths=(3, 4),
        low=-10.0,
        high=10.0,
    )
    tf_timeout: float = _parameter(
        1.0, "Extrinsics", "How long `auto` waits for TF before it takes the parameters, s.", low=0.0, high=3600.0
    )

    approximate_sync: bool = _parameter(False, "Input", "Pair images whose stamps differ by up to `slop`.")
    slop: float = _parameter(
        0.02, "Input", "Largest difference of stamps with `approximate_sync`, s.", low=0.0, high=1.0
    )
    queue_size: int = _parameter(10, "Input", "Images per side that wait for their partner.", low=1, high=1000)
    rectify: bool = _parameter(False, "Input", "The images are raw: undistort and rectify them by CameraInfo.")
    input_timeout: float = _parameter(
        2.0,
        "Input",
        "After this long without a message a stream counts as stopped, s.",
        low=0.1,
        high=3600.0,
        live=True,
    )

    publish_octomap_binary: bool = _switch("octomap_binary")
    octomap_binary_rate: float = _rate("octomap_binary")
    publish_octomap_full: bool = _switch("octomap_full")
    octomap_full_rate: float = _rate("octomap_full")
    publish_markers: bool = _switch("markers")
    markers_rate: float = _rate("markers")
    publish_points: bool = _switch("points")
    points_rate: float = _rate("points")
    publish_grid: bool = _switch("grid")
    grid_rate: float = _rate("grid")
    publish_occupancy_grid: bool = _switch("occupancy_grid")
    occupancy_grid_rate: float = _rate("occupancy_grid")
    publish_depth: bool = _switch("depth")
    depth_rate: float = _rate("depth")
    publish_processing_time: bool = _parameter(
        True, "Outputs", "Whether `~/debug/processing_time/*` is published (when somebody listens).", live=True
    )
    octomap_include: Include = _include("seen+completed", "the OctoMaps")  # noqa: RUF009 a word, not a list
    markers_include: Include = _include("all", "the markers")  # noqa: RUF009 a word, not a list
    points_include: Include = _include("all", "the cloud")  # noqa: RUF009 a word, not a list
    occupancy_grid_include: Include = _include("seen+completed", "the occupancy grid")  # noqa: RUF009 a word, not a list
    min_confidence: float = _parameter(
        0.0,
        "Outputs",
        "Probability below which a voxel counts as unknown (not in `~/grid`).",
        low=0.0,
        high=1.0,
        live=True,
    )
    max_markers: int = _parameter(50000, "Outputs", "Most cubes in `~/markers`.", low=1, high=10_000_000, live=True)
    occupancy_min_height: float = _parameter(
        0.3, "Outputs", "Lower edge of the obstacle band of `~/occupancy_grid`, m above the local ground.", live=True
    )
    occupancy_max_height: float = _parameter(
        2.0, "Outputs", "Upper edge of the obstacle band of `~/occupancy_grid`, m above the local ground.", live=True
    )

    def __post_init__(self) -> None:
        if self.occupancy_min_height >= self.occupancy_max_height:
            raise ParameterError(
                f"the band from {self.occupancy_min_height:g} m to {self.occupancy_max_height:g} m is empty",
                where="occupancy_min_height, occupancy_max_height",
                remedy="Set both at once, the lower edge below the upper one.",
            )
        if len(self.camera_from_grid_rotation) == 4 and math.hypot(*self.camera_from_grid_rotation) < 1e-3:
            raise ParameterError(
                "the quaternion is zero", where="camera_from_grid_rotation", remedy="No rotation is 0, 0, 0, 1."
            )

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> Settings:
        """Check every value and build the settings; what is not named keeps its default."""
        return cls(**{name: checked(name, value) for name, value in values.items()})


PARAMETERS: dict[str, Field[Any]] = {entry.name: entry for entry in fields(Settings)}


def rule_of(name: str) -> Rule:
    """The rule of a declared parameter."""
    rule: Rule = PARAMETERS[name].metadata["rule"]
    return rule


def checked(name: str, value: Any) -> Any:
    """The value in its declared type, whole numbers taken as floats where floats are wanted.

    Raises:
        ParameterError: wrong type, length or range, or an unknown word.
    """
    default, rule = PARAMETERS[name].default, rule_of(name)
    if isinstance(default, tuple):
        if isinstance(value, str | bytes) or not hasattr(value, "__len__") or len(value) not in rule.lengths:
            counts = " or ".join(map(str, rule.lengths))
            raise ParameterError(f"{value!r} is not an array of {counts} numbers", where=name, remedy=rule.text)
        return tuple(checked_scalar(name, rule, type(default[0]), entry) for entry in value)
    return checked_scalar(name, rule, type(default), value)


def checked_scalar(name: str, rule: Rule, kind: type, value: Any) -> Any:
    """One value of type `kind` that keeps to a rule.

    Raises:
        ParameterError: wrong type or range, or an unknown word.
    """
    words = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not kind:
        raise ParameterError(f"{value!r} is not {words[kind]}", where=name, remedy=rule.text)
    if kind is str and rule.choices and value not in rule.choices:
        raise ParameterError(f"{value!r} is not one of {', '.join(rule.choices)}", where=name, remedy=rule.text)
    if isinstance(value, int | float) and not isinstance(value, bool) and not rule.low <= value <= rule.high:
        raise ParameterError(f"{value} is not within {rule.low:g} to {rule.high:g}", where=name, remedy=rule.text)
    return value
