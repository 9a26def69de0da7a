"""Stand-in for the ROS 2 package ``message_filters`` (Jazzy): the filters that pair messages by their time stamps.

Written for machines whose ROS 2 comes from PyPI, which carries no ``message_filters``; where the real package is
installed it is used and this one is not. Names, signatures and the dropping rules are the real package's.
"""

from message_filters._approximate_time import ApproximateTimeSynchronizer
from message_filters._cache import Cache
from message_filters._exact_time import TimeSynchronizer
from message_filters._simple import SimpleFilter, Subscriber

__all__ = ["ApproximateTimeSynchronizer", "Cache", "SimpleFilter", "Subscriber", "TimeSynchronizer"]
