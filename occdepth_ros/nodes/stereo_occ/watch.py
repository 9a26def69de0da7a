"""Watches the streams: which stopped, which never came, and whether images find their partners."""

from __future__ import annotations

import time

from occdepth_ros.nodes.faults import Component, FaultBoard
from occdepth_ros.nodes.stereo_occ.calibration import StereoCalibration
from occdepth_ros.nodes.stereo_occ.sync import SIDES, PairSynchronizer


class StreamWatch:
    """Turns silence into faults; call `check` now and then.

    Args:
        synchronizer, calibration: what is watched.
        faults: receives "stream_stopped", "camera_info" and "unsynchronised".
        names: the resolved topic names of the images by side, for the texts.
    """

    def __init__(
        self,
        synchronizer: PairSynchronizer,
        calibration: StereoCalibration,
        faults: FaultBoard,
        names: dict[str, str],
    ) -> None:
        self._synchronizer = synchronizer
        self._calibration = calibration
        self._faults = faults
        self._names = names
        self._began = time.monotonic()

    def check(self, timeout: float) -> None:
        """Compare with the clock; `timeout` in seconds."""
        now = time.monotonic()
        if now - self._began < timeout:
            return
        silent = [text for side in SIDES if (text := self._silence(side, now, timeout))]
        if silent:
            text = f"{'; '.join(silent)}. Start the camera, or remap the topic (`ros2 topic info -v` shows who sends)."
            self._faults.put("stream_stopped", Component.INPUT, text)
        else:
            self._faults.clear("stream_stopped")
        self._check_partners(now, timeout, is_silent=bool(silent))
        missing = self._calibration.missing
        if missing and len(silent) < len(SIDES):
            text = (
                f"no message on {', '.join(f'{side}/camera_info' for side in missing)}. Publish it, or remap the topic."
            )
            self._faults.put("camera_info", Component.CALIBRATION, text)

    def _silence(self, side: str, now: float, timeout: float) -> str:
        arrival = self._synchronizer.last_arrival[side]
        if arrival is None:
            return f"nothing came on {self._names[side]}"
        # whole seconds, so that the text (and the log) does not change with every check
        return f"{self._names[side]} stopped" if now - arrival > timeout else ""

    def _check_partners(self, now: float, timeout: float, *, is_silent: bool) -> None:
        last = self._synchronizer.last_pair
        if is_silent or now - max(last or 0.0, self._began) <= timeout:
            self._faults.clear("unsynchronised")
            return
        left, right = (self._synchronizer.last_stamp[side] for side in SIDES)
        difference = "unknown" if left is None or right is None else f"{1e-6 * (left - right):.0f} ms"
        text = (
            f"both streams arrive, but no two stamps match (the newest differ by {difference}). Trigger the cameras "
            "together, or set approximate_sync and a slop above the difference."
        )
        self._faults.put("unsynchronised", Component.SYNC, text)
