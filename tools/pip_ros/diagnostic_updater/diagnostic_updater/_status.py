"""Status message with methods to fill it."""

from __future__ import annotations

from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue


class DiagnosticStatusWrapper(DiagnosticStatus):
    """A ``DiagnosticStatus`` with methods to set and merge summaries and to add values. Levels are bytes."""

    def __init__(self, *args: Any, **kwds: Any) -> None:
        super().__init__(*args, **kwds)

    def summary(self, *args: Any) -> None:
        """Set the level and the text: ``summary(level, text)`` or ``summary(status)``."""
        self.level, self.message = _level_and_text(*args)

    def clearSummary(self) -> None:
        """Set the level to OK and the text to an empty string."""
        self.summary(DiagnosticStatus.OK, "")

    def mergeSummary(self, *args: Any) -> None:
        """Merge a level and a text into the summary; the level becomes the higher one.

        If both levels are OK or neither is, the texts are joined; otherwise the text that is not OK is kept.
        """
        level, text = _level_and_text(*args)
        if (level == DiagnosticStatus.OK) == (self.level == DiagnosticStatus.OK):
            self.message = f"{self.message}; {text}" if self.message else text
        elif level > self.level:
            self.message = text
        self.level = max(level, self.level)

    def add(self, key: str, val: str) -> None:
        """Add a key and a value, both strings."""
        self.values.append(KeyValue(key=key, value=val))


def _level_and_text(*args: Any) -> tuple[bytes, str]:
    if len(args) == 1:
        return args[0].level, args[0].message
    level, text = args
    return level, str(text)
