"""Look-up of files next to a folder that may be a symbolic link."""

from __future__ import annotations

import os
from pathlib import Path


def relative_file(folder: Path, relative: str) -> Path | None:
    """Return the existing file at a path relative to a folder: relative to the link first, then to its target.

    Args:
        folder: a folder, or a symbolic link to one.
        relative: path from the folder, such as "../calib_cam_to_cam.txt"; `..` removes a name without following a link,
            and `{name}` is the name of the link or of its target.
    """
    places = (folder.absolute(), folder.resolve())
    candidates = [Path(os.path.normpath(place / relative.format(name=place.name))) for place in places]
    return next((candidate for candidate in candidates if candidate.is_file()), None)
