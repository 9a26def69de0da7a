"""One status message that is easy to fill."""

from __future__ import annotations

from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue


class DiagnosticStatusWrapper(DiagnosticStatus):
    """A ``DiagnosticStatus`` with methods to set, merge and add; levels are bytes, as in the message."""

    def __init__(self, *args: Any, **kwds: Any) -> None:
        super().__init__(*args, **kwds)

    def summary(self, *args: Any) -> None:
        """Set level and text: ``summary(level, text)`` or ``summary(status)``."""
        self.level, self.message = _level_and_text(*args)

    def clearSummary(self) -> None:
        """Set the level OK and an empty text."""
        self.summary(DiagnosticStatus.OK, "")

    def mergeSummary(self, *args: Any) -> None:
        """Merge a level and text in: the worse level stays.

        The texts are joined where both are OK or both are not; otherwise the text of the one that is not OK stays.
        """
        level, text = _level_and_text(*args)
        if (level == DiagnosticStatus.OK) == (self.level == DiagnosticStatus.OK):
            self.message = f"{self.message}; {text}" if self.message else text
        elif level > self.level:
            self.message = text
        self.level = max(level, self.level)

    def add(self, key: str, val: str) -> None:
        """Add a value under a key; both are strings."""
        self.values.append(KeyValue(key=key, value=val))


def _level_and_text(*args: Any) -> tuple[bytes, str]:
    if len(args) == 1:
        return args[0].level, args[0].message
    level, text = args
    return level, str(text)
