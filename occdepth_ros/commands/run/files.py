"""The result folder of `occdepth run`: every file is complete or absent, and equal results give equal files."""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from occdepth_ros.errors import OutputError
from occdepth_ros.files import whole_file, write_whole

FORMAT = "occdepth-run-1"
MANIFEST = "manifest.json"
REPORT = "report.json"
_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)
_PARTIAL = re.compile(r"(^|/)\.[^/]+\.partial\.[a-z]+$")
_OURS = re.compile(r"\d{6}\.(npz|bt|ot)|frame_\d{6}\.png|panels/\d{6}_[a-z_]+\.png")


class ResultFolder:
    """A folder with the results of exactly one run.

    `manifest.json` lists every result file with its SHA-256. A folder with other files is refused; unchanged files of
    an earlier run are removed first. Each file is written under a temporary name and renamed when it is complete.

    Args:
        folder: the folder; created if it does not exist.

    Raises:
        OutputError: the folder cannot be created or written, or contains files that no earlier run wrote.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.digests: dict[str, str] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._remove_earlier_run()
        except OSError as error:
            raise _cannot_write(folder, error) from error
        self.write_manifest({}, complete=False)

    def _remove_earlier_run(self) -> None:
        present = {p.relative_to(self.folder).as_posix() for p in self.folder.rglob("*") if not p.is_dir()}
        if not present:
            return
        earlier = _read_manifest(self.folder / MANIFEST)
        if earlier is None:
            raise OutputError(
                f"the folder holds files that `occdepth run` did not write, such as {min(present)}",
                where=str(self.folder),
                remedy="Give a new or empty folder.",
            )
        files, complete = earlier
        # a run that was killed did not list its last files; those are recognized by name
        unlisted = {name for name in present - set(files) if _PARTIAL.search(name) or (not complete and is_ours(name))}
        foreign = present - set(files) - unlisted - {MANIFEST, REPORT}
        if foreign:
            raise OutputError(
                f"the folder holds {min(foreign)}, which no earlier run wrote",
                where=str(self.folder),
                remedy="Give a new folder, or move that file away.",
            )
        for name in sorted(present & set(files)):
            path = self.folder / name
            if path.is_symlink() or hashlib.sha256(path.read_bytes()).hexdigest() != files[name]:
                raise OutputError(
                    f"{name} was changed after the earlier run wrote it",
                    where=str(self.folder),
                    remedy="Give a new folder, or move that file away.",
                )
        for name in sorted((present & set(files)) | unlisted):
            (self.folder / name).unlink()
        (self.folder / REPORT).unlink(missing_ok=True)

    def write(self, name: str, produce: Callable[[Path], None]) -> None:
        """Call `produce` to write one result file, rename the file when it is complete, and list it.

        Raises:
            OutputError: the disk is full, or the folder is not writable.
        """
        with whole_file(self.folder / name) as partial:
            produce(partial)
        self.digests[name] = hashlib.sha256((self.folder / name).read_bytes()).hexdigest()

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Write a JSON file that is not listed as a result: the manifest or the report."""
        text = json.dumps(content, indent=2, allow_nan=False) + "\n"
        write_whole(self.folder / name, text.encode())

    def write_manifest(self, about: Mapping[str, Any], *, complete: bool) -> None:
        """Write the list of files; `about` describes their inputs."""
        content = {"format": FORMAT, "complete": complete, **about, "files": dict(sorted(self.digests.items()))}
        self.write_json(MANIFEST, content)


def write_npz(path: Path, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
    """Write a compressed npz file whose bytes depend only on the arrays (numpy's own writer stores the time)."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=4) as archive:
        for name, array in arrays.items():
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, np.ascontiguousarray(array), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", _ZIP_EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, buffer.getvalue())


def is_ours(name: str) -> bool:
    """Return whether `name` is the name of a frame's result file."""
    return _OURS.fullmatch(name) is not None


def _read_manifest(path: Path) -> tuple[dict[str, str], bool] | None:
    """Return the files of an earlier run by name, and whether it completed; None without an earlier run."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    if not isinstance(content, dict) or content.get("format") != FORMAT or not isinstance(content.get("files"), dict):
        return None
    return {str(k): str(v) for k, v in content["files"].items()}, content.get("complete") is True


def _cannot_write(path: Path, error: OSError) -> OutputError:
    reason = error.strerror or str(error)
    return OutputError(
        f"cannot write: {reason}", where=str(path), remedy="Give a writable folder on a disk with free space."
    )
