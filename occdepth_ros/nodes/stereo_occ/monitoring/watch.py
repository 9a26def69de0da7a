"""Supervises the input streams and the rates: missing streams, lost images, slow predictions."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from occdepth_ros.nodes.faults import Component, FaultBoard
from occdepth_ros.nodes.stereo_occ.calibration import StereoCalibration
from occdepth_ros.nodes.stereo_occ.sync import SIDES, PairSynchronizer

RATE_WINDOW = 10.0
"""Duration over which rates are compared, seconds."""
MIN_COUNT = 10
"""Minimum number of images or pairs in the window for a comparison."""
MIN_SHARE = 0.5
"""Fraction of paired images, or of predicted pairs, below which a warning is set."""
MIN_ARRIVED = 0.75
"""Number of images relative to that of CameraInfo messages, which are lost less often, below which a warning is set."""
SAME_PHASE = 0.05
"""Maximum deviation of a stamp difference from a whole number of periods, as a fraction of a period, with which the
cameras are synchronised."""


@dataclass(frozen=True)
class _Counts:
    """Counters at one time, seconds of `time.monotonic`."""

    time: float
    infos: int
    images: int
    pairs: int
    handled: int


class StreamWatch:
    """Sets and clears faults of the streams; `check` is called periodically.

    Args:
        synchronizer, calibration: supervised components.
        faults: receives "stream_stopped", "stream_ended", "camera_info", "unsynchronised", "images_lost" and
            "slow_rate".
        names: resolved topic names of the images by side.
        advice: returns which live topics to use, for the text of a fault.
    """

    def __init__(
        self,
        synchronizer: PairSynchronizer,
        calibration: StereoCalibration,
        faults: FaultBoard,
        names: dict[str, str],
        advice: Callable[[], str] = str,
    ) -> None:
        self._synchronizer = synchronizer
        self._calibration = calibration
        self._faults = faults
        self._names = names
        self._advice = advice
        self._began = time.monotonic()
        self._is_checked = False
        self._history: deque[_Counts] = deque()
        self._last_stamp_of_replay: int | None = None
        self._stamps: dict[str, tuple[int | None, float]] = dict.fromkeys(SIDES, (None, self._began))
        """Newest stamp of each side, and the time at which it was first seen."""

    @property
    def has_no_input(self) -> bool:
        """Whether no image was received on either side within the timeout."""
        return self._is_checked and not any(self._synchronizer.last_arrival.values())

    def replay_ended(self, last_stamp_ns: int) -> None:
        """Record that a replay has published its last pair, with this stamp (ns)."""
        self._last_stamp_of_replay = last_stamp_ns

    def check(self, timeout: float, handled: int, processing_ms: float) -> None:
        """Update the faults.

        Args:
            timeout: time without a message after which a stream is reported as stopped, seconds.
            handled: number of pairs that were predicted or rejected since the activation.
            processing_ms: median processing time of a pair, milliseconds, for the text of a fault.
        """
        now = time.monotonic()
        self._check_rates(now, handled, processing_ms)
        for side, stamp in self._synchronizer.last_stamp.items():
            if stamp != self._stamps[side][0]:
                self._stamps[side] = stamp, now
        if now - self._began < timeout:
            return
        self._is_checked = True
        silent = self._check_silence(now, timeout)
        self._check_partners(now, timeout, is_silent=silent > 0)
        missing = self._calibration.missing
        if missing and silent < len(SIDES):
            topics = ", ".join(f"{side}/camera_info" for side in missing)
            self._faults.put(
                "camera_info", Component.CALIBRATION, f"no message on {topics}. Publish the topic, or remap it."
            )

    def _check_silence(self, now: float, timeout: float) -> int:
        """Return the number of streams without a recent message."""
        arrivals = self._synchronizer.last_arrival
        never = [side for side in SIDES if arrivals[side] is None]
        stopped = [side for side in SIDES if (at := arrivals[side]) is not None and now - at > timeout]
        if not never and not stopped:
            self._faults.clear("stream_stopped", "stream_ended")
            return 0
        newest = max((stamp for stamp in self._synchronizer.last_stamp.values() if stamp is not None), default=None)
        if newest is not None and self._last_stamp_of_replay is not None and newest <= self._last_stamp_of_replay:
            self._faults.clear("stream_stopped")
            text = "the replay has published its last pair. The outputs keep their last content."
            self._faults.put("stream_ended", Component.INPUT, text, is_error=False)
            return len(never) + len(stopped)
        self._faults.clear("stream_ended")
        texts = [f"no message received on {self._names[side]}" for side in never]
        texts += [f"{self._names[side]} stopped" for side in stopped]
        remedy = self._advice() if never else ""
        text = f"{'; '.join(texts)}. {remedy or 'Start the camera, or remap the topic'}"
        text += " (`ros2 topic info -v` lists publishers)."
        # before the first message, a missing stream is a warning
        self._faults.put("stream_stopped", Component.INPUT, text, is_error=len(never) < len(SIDES))
        return len(never) + len(stopped)

    def _check_partners(self, now: float, timeout: float, *, is_silent: bool) -> None:
        last = self._synchronizer.last_pair
        if is_silent or now - max(last or 0.0, self._began) <= timeout:
            self._faults.clear("unsynchronised")
            return
        left, right = (self._synchronizer.last_stamp[side] for side in SIDES)
        if left is None or right is None:
            return
        periods = [period for period in self._synchronizer.periods_ns.values() if period]
        text = f"both streams arrive, but no two stamps match: {unpaired_text(left - right, min(periods, default=0))}"
        # images with the stamp of an earlier one are not used
        repeated = [side for side in SIDES if now - self._stamps[side][1] > timeout]
        if left == right or repeated:
            stamp, of = (
                (left, "") if left == right else (self._stamps[repeated[0]][0], f" of {self._names[repeated[0]]}")
            )
            text = (
                f"both streams arrive, but all images{of} have the stamp {1e-9 * (stamp or 0):.3f} s. Configure the "
                "driver to stamp each image with the time at which it was taken."
            )
        self._faults.put("unsynchronised", Component.SYNC, text)

    def _check_rates(self, now: float, handled: int, processing_ms: float) -> None:
        synchronizer = self._synchronizer
        infos, images = (max(counted.received.values()) for counted in (self._calibration, synchronizer))
        self._history.append(_Counts(now, infos, images, synchronizer.pairs, handled))
        while now - self._history[0].time > RATE_WINDOW:
            self._history.popleft()
        first, last = self._history[0], self._history[-1]
        seconds = last.time - first.time
        if seconds < 0.9 * RATE_WINDOW:
            return
        images, pairs, done = last.images - first.images, last.pairs - first.pairs, last.handled - first.handled
        infos = last.infos - first.infos
        if infos >= MIN_COUNT and 0 < images < MIN_ARRIVED * infos:
            # CameraInfo is small: it arrives where images of the same camera are lost
            text = (
                f"{images} images but {infos} CameraInfo messages of a camera arrived in {seconds:.0f} s. Unless the "
                f"images are throttled, they are lost in transport: {TRANSPORT_REMEDY}"
            )
            self._faults.put("images_lost", Component.SYNC, text, is_error=False)
        elif images >= MIN_COUNT and 0 < pairs < MIN_SHARE * images:
            text = (
                f"{images - pairs} of {images} images in {seconds:.0f} s have no partner. If `ros2 topic hz` shows a "
                f"lower rate than the camera's, images are lost in transport: {TRANSPORT_REMEDY}"
            )
            self._faults.put("images_lost", Component.SYNC, text, is_error=False)
        else:
            self._faults.clear("images_lost")
        if pairs >= MIN_COUNT and done < MIN_SHARE * pairs:
            text = (
                f"{done / seconds:.1f} of {pairs / seconds:.1f} pairs per second are predicted ({processing_ms:.0f} ms "
                "each). Choose a smaller model or a GPU (parameters model, device), reduce grid_size, or reduce the "
                "camera rate."
            )
            self._faults.put("slow_rate", Component.OUTPUT, text, is_error=False)
        else:
            self._faults.clear("slow_rate")


TRANSPORT_REMEDY = (
    "set FASTRTPS_DEFAULT_PROFILES_FILE to the package's config/fastdds.xml for the camera driver and this node, "
    "or reduce the image size. If the driver publishes reliably, the node subscribes reliably by itself."
)


def unpaired_text(difference_ns: int, period_ns: int) -> str:
    """Describe why images with these stamps are not paired, with a remedy.

    Args:
        difference_ns: newest left stamp minus newest right stamp, nanoseconds.
        period_ns: measured period of the streams, nanoseconds; 0 = not measured.
    """
    difference = f"the newest differ by {1e-6 * difference_ns:.0f} ms"
    if period_ns > 0:
        periods = round(difference_ns / period_ns)
        remainder = difference_ns - periods * period_ns
        if abs(remainder) <= max(SAME_PHASE * period_ns, 1_000_000):
            return (
                f"{difference}, {abs(periods)} whole periods of {1e-6 * period_ns:.0f} ms, so images are lost in "
                f"transport. Remedy: {TRANSPORT_REMEDY}"
            )
        return (
            f"{difference}, and the cameras trigger {1e-6 * abs(remainder):.0f} ms apart. Trigger them together, or "
            "set approximate_sync and a slop above the difference."
        )
    return f"{difference}. Trigger the cameras together, or set approximate_sync and a slop above the difference."
