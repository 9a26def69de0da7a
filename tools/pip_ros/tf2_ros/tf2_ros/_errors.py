"""Errors of transform lookups."""


class TransformException(Exception):
    """Base class of errors of the frame tree."""


class LookupException(TransformException):
    """The frame does not exist."""


class ConnectivityException(TransformException):
    """The frames are not connected by transforms."""


class ExtrapolationException(TransformException):
    """The requested time is before the first or after the last stored transform."""


class InvalidArgumentException(TransformException):
    """The frame name is invalid."""


class TimeoutException(TransformException):
    """The transform was not available before the timeout."""
