"""Named faults: raised by any part of a node, read by its diagnostics."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum

from occdepth_ros.errors import OccDepthError


class Component(str, Enum):
    """Part of the node that a fault belongs to; each is one status of `/diagnostics`."""

    INPUT = "input"
    SYNC = "synchronisation"
    CALIBRATION = "calibration"
    EXTRINSICS = "extrinsics"
    MODEL = "model"
    OUTPUT = "outputs"


@dataclass(frozen=True)
class Fault:
    """One present fault.

    Args:
        name: fixed identifier, such as "image_size"; tests and dashboards match it.
        component: part of the node that it belongs to.
        text: description with location and remedy.
        is_error: False for a warning; the node continues.
        since: start time, seconds of `time.monotonic`.
        lasts: seconds after which the fault expires; 0 keeps it until it is cleared.
    """

    name: str
    component: Component
    text: str
    is_error: bool
    since: float
    lasts: float = 0.0


class NamedError(OccDepthError):
    """An error with the name and the component of its fault.

    Args:
        name, component: as in `Fault`.
        what, where, remedy: as in `OccDepthError`.
    """

    def __init__(self, name: str, component: Component, what: str, *, where: str = "", remedy: str = "") -> None:
        super().__init__(what, where=where, remedy=remedy)
        self.name = name
        self.component = component


def describe(error: BaseException) -> str:
    """Return type and text of an unexpected error, such as "cv2.error: ..."."""
    kind = type(error)
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__.split('.')[0]}."
    return f"{module}{kind.__name__}: {error}"


@contextmanager
def naming(name: str, component: Component, what: str) -> Iterator[None]:
    """Give unexpected errors of a block the name and the component of a fault.

    Args:
        name, component: as in `Fault`.
        what: what failed.

    Raises:
        OccDepthError: an error that has its own text passes unchanged.
        NamedError: any other error.
    """
    try:
        yield
    except OccDepthError:
        raise
    except Exception as error:
        raise NamedError(name, component, f"{what} ({describe(error)})") from error


class FaultBoard:
    """The faults that are present, thread-safe; one fault per name."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._present: dict[str, Fault] = {}
        self._last: Fault | None = None

    def put(self, name: str, component: Component, text: str, *, is_error: bool = True, lasts: float = 0.0) -> bool:
        """Set a fault; returns whether it is new or its text changed."""
        now = time.monotonic()
        with self._lock:
            self._expire(now)
            old = self._present.get(name)
            since = old.since if old and not lasts else now
            fault = Fault(name, component, text, is_error, since, lasts)
            self._present[name] = fault
            is_new = old is None or old.text != text
            # faults that are checked periodically are set again and again
            if is_new:
                self._last = fault
        return is_new

    def clear(self, *names: str) -> list[str]:
        """Remove faults by name; returns the names that were present."""
        with self._lock:
            return [name for name in names if self._present.pop(name, None) is not None]

    def clear_component(self, component: Component, *, keep: tuple[str, ...] = ()) -> list[str]:
        """Remove all faults of a component except `keep`; returns the names that were present."""
        with self._lock:
            names = [
                f.name
                for f in self._present.values()
                if f.component is component and f.name not in keep and not f.lasts
            ]
            for name in names:
                del self._present[name]
        return names

    def present(self, component: Component | None = None) -> list[Fault]:
        """Return the present faults of a component (None: all), errors first, then by start time."""
        now = time.monotonic()
        with self._lock:
            self._expire(now)
            found = [f for f in self._present.values() if component is None or f.component is component]
        return sorted(found, key=lambda f: (not f.is_error, f.since))

    @property
    def last(self) -> Fault | None:
        """The most recently set fault, also if it has been cleared; None if no fault was set."""
        return self._last

    def _expire(self, now: float) -> None:
        ended = [f.name for f in self._present.values() if f.lasts and now - f.since > f.lasts]
        for name in ended:
            del self._present[name]
