"""Faults by name: what is wrong now, since when, and what to do; raised anywhere, read by the diagnostics."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from enum import Enum

from occdepth_ros.errors import OccDepthError


class Topic(str, Enum):
    """The part of the node that a fault belongs to; each is one diagnostic status."""

    INPUT = "input"
    SYNC = "synchronisation"
    CALIBRATION = "calibration"
    EXTRINSICS = "extrinsics"
    MODEL = "model"
    OUTPUT = "outputs"


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong.

    Args:
        name: short fixed name, such as "image_size"; tests and dashboards key on it.
        topic: where it belongs.
        text: what is wrong, where, and what to do.
        is_error: False for a state that the node works on in spite of.
        since: when it began, seconds of `time.monotonic`.
        lasts: seconds after which it ends by itself; 0 lasts until cleared.
    """

    name: str
    topic: Topic
    text: str
    is_error: bool
    since: float
    lasts: float = 0.0


class NamedError(OccDepthError):
    """An error that knows the fault it stands for.

    Args:
        name, topic: as in `Fault`.
        what, where, remedy: as in `OccDepthError`.
    """

    def __init__(self, name: str, topic: Topic, what: str, *, where: str = "", remedy: str = "") -> None:
        super().__init__(what, where=where, remedy=remedy)
        self.name = name
        self.topic = topic


class FaultBoard:
    """The faults that are present, thread-safe; one fault per name."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._present: dict[str, Fault] = {}
        self._last: Fault | None = None

    def put(self, name: str, topic: Topic, text: str, *, is_error: bool = True, lasts: float = 0.0) -> bool:
        """Note a fault; returns whether it is new or its text changed, which is when it deserves a log line."""
        now = time.monotonic()
        with self._lock:
            self._expire(now)
            old = self._present.get(name)
            since = old.since if old and not lasts else now
            fault = Fault(name, topic, text, is_error, since, lasts)
            self._present[name] = fault
            self._last = fault
        return old is None or old.text != text

    def clear(self, *names: str) -> list[str]:
        """End these faults; returns the names that were present."""
        with self._lock:
            return [name for name in names if self._present.pop(name, None) is not None]

    def clear_topic(self, topic: Topic, *, keep: tuple[str, ...] = ()) -> list[str]:
        """End all faults of one part, except `keep`; returns the names that were present."""
        with self._lock:
            names = [f.name for f in self._present.values() if f.topic is topic and f.name not in keep and not f.lasts]
            for name in names:
                del self._present[name]
        return names

    def present(self, topic: Topic | None = None) -> list[Fault]:
        """The faults of one part (or all), errors first, then the oldest first."""
        now = time.monotonic()
        with self._lock:
            self._expire(now)
            found = [f for f in self._present.values() if topic is None or f.topic is topic]
        return sorted(found, key=lambda f: (not f.is_error, f.since))

    @property
    def last(self) -> Fault | None:
        """The newest fault, present or not."""
        return self._last

    def _expire(self, now: float) -> None:
        ended = [f.name for f in self._present.values() if f.lasts and now - f.since > f.lasts]
        for name in ended:
            del self._present[name]
