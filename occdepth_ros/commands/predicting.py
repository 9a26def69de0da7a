"""Prediction of the frames of a sequence, where pairs overlap."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from occdepth_ros.engine import Engine, one_ahead
from occdepth_ros.prediction import OccupancyPrediction
from occdepth_ros.sources.base import StereoFrame
from occdepth_ros.stereo.pair_checks.input_checks import InputChecks


def predicted(
    engine: Engine, frames: Iterable[tuple[int, StereoFrame]], checks: InputChecks | None = None
) -> Iterator[tuple[int, StereoFrame, OccupancyPrediction]]:
    """Yield each frame with its prediction; the next frame is read and begun before the present one is completed.

    Args:
        engine: predicts the frames; `Engine.ambiguous_share` is that of the frame that was yielded last.
        frames: index and images, in the order of the sequence.
        checks: input checks that `frames` applied to each pair; None = none.

    Raises:
        OccDepthError: see `Engine.begin`; or an error of `frames`, raised after the frames before it.
    """
    begun = (
        (
            index,
            frame,
            engine.begin(
                frame.left,
                frame.right,
                stamp_ns=frame.stamp_ns,
                world_from_grid=frame.world_from_grid,
                rig=frame.rig,
                blind=None if checks is None else checks.static_pattern,
            ),
        )
        for index, frame in frames
    )
    for index, frame, complete in one_ahead(begun):
        yield index, frame, complete()
