"""Errors of transform look-ups."""


class TransformException(Exception):
    """Base of all errors of the frame tree."""


class LookupException(TransformException):
    """A frame that nobody has published."""


class ConnectivityException(TransformException):
    """Two known frames without a chain of transforms between them."""


class ExtrapolationException(TransformException):
    """A time before the first or after the last known transform."""


class InvalidArgumentException(TransformException):
    """A frame name that cannot exist."""


class TimeoutException(TransformException):
    """A transform that did not come in time."""
