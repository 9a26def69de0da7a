"""Comparison of the reference network with the optimized predictor: stage times, peak memory, label agreement."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch

from occdepth_ros.camera import StereoRig
from occdepth_ros.engine import one_ahead
from occdepth_ros.evaluation.reference_paths import Compared, InferencePath, Stages
from occdepth_ros.grid import VoxelGrid
from occdepth_ros.models.predictor import ImageArray, StagedPredictor
from occdepth_ros.models.runtime.memory import memory_by_default, release_freed_memory

STATUS = Path("/proc/self/status")
RESET = Path("/proc/self/clear_refs")

Result = TypeVar("Result")


@dataclass(frozen=True)
class Comparison:
    """Medians over the frames.

    Args:
        model: name of the model.
        device: device of both paths.
        frames: number of frames.
        reference_stages, optimized_stages: milliseconds by stage.
        label_agreement: fraction of all voxels of all frames with equal labels.
        reference_peak_mb, peak_mb: peak memory of the reference network and of the predictor, 10^6 bytes: allocated on
            a CUDA device; of the whole process on a CPU, including the weights of both networks; None if the system
            does not report it.
        reference_cpu_ms, optimized_cpu_ms: CPU time of all threads for one frame, which depends less on other
            processes than wall-clock time; None on a CUDA device.
        overlapped_ms: time per pair when each pair begins before the previous one is completed, as in the node; None
            if the predictor cannot do that, or for one pair.
    """

    model: str
    device: str
    frames: int
    reference_stages: Stages
    optimized_stages: Stages
    label_agreement: float
    reference_peak_mb: float | None
    peak_mb: float | None
    reference_cpu_ms: float | None = None
    optimized_cpu_ms: float | None = None
    overlapped_ms: float | None = None

    @property
    def reference_ms(self) -> float:
        """Time of the reference network for one frame, ms."""
        return sum(self.reference_stages.values())

    @property
    def optimized_ms(self) -> float:
        """Time of the predictor for one frame, ms."""
        return sum(self.optimized_stages.values())

    @property
    def cpu_speedup(self) -> float | None:
        """Ratio of the CPU times of reference network and predictor."""
        if self.reference_cpu_ms is None or self.optimized_cpu_ms is None:
            return None
        return self.reference_cpu_ms / self.optimized_cpu_ms

    def rows(self) -> list[tuple[str, float, float]]:
        """Return the name of every stage with its time in both paths, in execution order."""
        optimized = dict(self.optimized_stages)
        if set(optimized) != set(self.reference_stages):
            # a single stage of the reference network corresponds to several stages of the predictor
            whole = [stage for stage in self.reference_stages if stage not in optimized]
            inside = sum(optimized.pop(stage) for stage in [*optimized] if stage not in self.reference_stages)
            optimized |= dict.fromkeys(whole[:1], inside)
        return [(stage, reference, optimized[stage]) for stage, reference in self.reference_stages.items()]

    def record(self) -> dict[str, object]:
        """Return the comparison as a JSON object."""
        return {
            "model": self.model,
            "device": self.device,
            "frames": self.frames,
            "reference_ms": self.reference_ms,
            "optimized_ms": self.optimized_ms,
            "speedup": self.reference_ms / self.optimized_ms,
            "reference_cpu_ms": self.reference_cpu_ms,
            "optimized_cpu_ms": self.optimized_cpu_ms,
            "cpu_speedup": self.cpu_speedup,
            "overlapped_ms": self.overlapped_ms,
            "label_agreement": self.label_agreement,
            "reference_peak_mb": self.reference_peak_mb,
            "peak_mb": self.peak_mb,
            "stages": {
                s: {"reference_ms": reference, "optimized_ms": optimized} for s, reference, optimized in self.rows()
            },
        }


def compare(
    predictor: Compared,
    reference: InferencePath,
    rig: StereoRig,
    grid: VoxelGrid,
    pairs: Sequence[tuple[ImageArray, ImageArray]],
) -> Comparison:
    """Run both paths alternately on the same pairs.

    The reference network runs with the default memory settings of a program. The predictor predicts each pair once
    before it is timed, so that its memory is allocated, as in a running system.

    Args:
        predictor: the optimized path.
        reference: the reference path, calibrated, on the same device.
        rig: calibration of the pairs.
        grid: the voxels to predict.
        pairs: left and right images, at least one pair.

    Raises:
        GridError, ModelError, CheckpointError: as for the predictor.
    """
    predictor.calibrate(rig, grid)
    on_cpu = predictor.device.type == "cpu"
    reference_stages, optimized_stages, reference_cpu, optimized_cpu = [], [], [], []
    equal, reference_peaks, optimized_peaks = [], [], []
    for left, right in pairs:
        with memory_by_default():
            start = time.process_time()
            (labels, stages), peak = _with_peak(predictor.device, partial(reference, left, right))
            reference_cpu.append(1e3 * (time.process_time() - start))
        reference_stages.append(stages)
        reference_peaks.append(peak)
        # the first inference includes memory allocation and kernel selection
        _, peak = _with_peak(predictor.device, partial(predictor.infer, left, right))
        optimized_peaks.append(peak)
        start = time.process_time()
        result = predictor.infer(left, right)
        optimized_cpu.append(1e3 * (time.process_time() - start))
        optimized_stages.append(dict(result.timings_ms))
        equal.append(float((result.labels == labels).mean()))
    return Comparison(
        predictor.name,
        str(predictor.device),
        len(pairs),
        _medians(reference_stages),
        _medians(optimized_stages),
        statistics.fmean(equal),
        _largest(reference_peaks),
        _largest(optimized_peaks),
        statistics.median(reference_cpu) if on_cpu else None,
        statistics.median(optimized_cpu) if on_cpu else None,
        overlapped_ms(predictor, pairs) if isinstance(predictor, StagedPredictor) and len(pairs) > 1 else None,
    )


def overlapped_ms(predictor: StagedPredictor, pairs: Sequence[tuple[ImageArray, ImageArray]]) -> float:
    """Return the mean wall-clock time per pair when each begins before the previous one is completed, ms."""
    start = time.perf_counter()
    for complete in one_ahead(predictor.begin(left, right) for left, right in pairs):
        complete()
    return 1e3 * (time.perf_counter() - start) / len(pairs)


def _medians(runs: Sequence[Stages]) -> Stages:
    return {stage: statistics.median(run[stage] for run in runs) for stage in runs[0]}


def _largest(peaks: Sequence[float | None]) -> float | None:
    return max((p for p in peaks if p is not None), default=None)


def _with_peak(device: torch.device, work: Callable[[], Result]) -> tuple[Result, float | None]:
    """Return the result of a function and the peak memory during the call, 10^6 bytes."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        result = work()
        return result, torch.cuda.max_memory_allocated(device) / 1e6
    try:
        # 5 resets the peak of the resident memory to its present value
        release_freed_memory()
        RESET.write_text("5")
    except OSError:
        return work(), None
    result = work()
    line = next((x for x in STATUS.read_text().splitlines() if x.startswith("VmHWM:")), None)
    return result, None if line is None else int(line.split()[1]) * 1024 / 1e6
