"""Middleware settings for large messages, as environment variables of the processes that are started."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_share_directory

VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
"""Environment variables of the profile file: up to Fast DDS 2, and from Fast DDS 3 on."""
PROFILE = Path("config") / "fastdds.xml"
SHARED_MEMORY = Path("/dev/shm")  # nosec B108: only its free space is read
LEAST_FREE = 160 << 20
"""Minimum free shared memory for several participants, bytes; many containers have a total of 64 MiB."""


def large_message_environment(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the environment variables that make Fast DDS use `config/fastdds.xml`.

    Measured with the replay, the node and a subscriber as three processes on two loaded cores, with pairs of 2.8 MB at
    10 Hz: 4 to 20 of 60 pairs arrived with the built-in transports, and all 60 with this profile.

    Args:
        environment: the current environment; an existing profile is kept.

    Returns:
        variables to add; empty if a profile is already set, shared memory is insufficient, or the file is missing.
    """
    if any(environment.get(name) for name in VARIABLES) or _free(SHARED_MEMORY) < LEAST_FREE:
        return {}
    profile = next((path for path in _profiles() if path.is_file()), None)
    return {} if profile is None else dict.fromkeys(VARIABLES, str(profile))


def _profiles() -> Iterator[Path]:
    yield Path(__file__).resolve().parents[2] / PROFILE
    with suppress(PackageNotFoundError):
        yield Path(get_package_share_directory("occdepth_ros")) / PROFILE


def _free(folder: Path) -> int:
    try:
        state = os.statvfs(folder)
    except OSError:
        return 0
    return state.f_bavail * state.f_frsize
