"""Middleware settings for large messages, as environment variables of the processes that are started."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_share_directory

FAST_DDS = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
"""Environment variables of the profile file: up to Fast DDS 2, and from Fast DDS 3 on."""
CYCLONE_DDS = "CYCLONEDDS_URI"
VARIABLES = (*FAST_DDS, CYCLONE_DDS)
SHARED_MEMORY = Path("/dev/shm")  # nosec B108 # only its free space is read
MIN_FREE_BYTES = 160 << 20
"""Minimum free shared memory for several participants, bytes; many containers have a total of 64 MiB."""


def large_message_environment(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the environment variables that make Fast DDS and Cyclone DDS use the profiles of `config/`.

    Measured by `make soak` with grids of 6 MB at 10 Hz (docs/reliability.md): with the defaults of Fast DDS and Cyclone
    DDS less than half of them arrive, with these profiles all.

    Args:
        environment: the current environment; a profile that is set already is kept.

    Returns:
        variables to add; none for an implementation whose profile is set or missing, and none for Fast DDS if shared
        memory is insufficient.
    """
    added: dict[str, str] = {}
    fast, cyclone = _profile("fastdds.xml"), _profile("cyclonedds.xml")
    if fast and not any(environment.get(name) for name in FAST_DDS) and _free(SHARED_MEMORY) >= MIN_FREE_BYTES:
        added |= dict.fromkeys(FAST_DDS, str(fast))
    if cyclone and not environment.get(CYCLONE_DDS):
        added[CYCLONE_DDS] = cyclone.as_uri()
    return added


def _profile(name: str) -> Path | None:
    """Return a file of `config/`, of the sources or of the installed package; None if there is none."""
    folders = [Path(__file__).resolve().parents[2]]
    with suppress(PackageNotFoundError):
        folders.append(Path(get_package_share_directory("occdepth_ros")))
    return next((path for folder in folders if (path := folder / "config" / name).is_file()), None)


def _free(folder: Path) -> int:
    try:
        state = os.statvfs(folder)
    except OSError:
        return 0
    return state.f_bavail * state.f_frsize
