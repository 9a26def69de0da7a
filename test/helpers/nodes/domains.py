"""ROS domains of tests: no two nodes of a test run share one unless they should hear each other."""

from __future__ import annotations

import itertools
import os

PER_WORKER = 25
"""Domains of one pytest-xdist worker; four workers use the domains 1 to 100."""
_COUNT = itertools.count(1)


def next_domain() -> int:
    """A domain that differs from those of other workers and from the previous 23 of this one.

    `conftest.py` sets `ROS_DOMAIN_ID` to the first domain of the worker. That one is left to the processes that
    inherit it.
    """
    first = int(os.environ["ROS_DOMAIN_ID"])
    return 1 + (first - 1 + 1 + next(_COUNT) % (PER_WORKER - 1)) % 100
