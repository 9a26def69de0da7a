"""Atomic writing of files and folders: each is complete or absent; and files that are not what their name says."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from occdepth_ros.errors import OutputError

LFS_POINTER = b"version https://git-lfs"
"""Beginning of the text that Git LFS leaves in place of a file that was not fetched."""
LFS_REMEDY = "Fetch the contents with `git lfs pull`."


@contextmanager
def _naming_errors(path: Path) -> Iterator[None]:
    """Turn errors of the file system into an `OutputError` that names `path`."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"cannot write: {error.strerror or error}",
            where=str(path),
            remedy="Give a writable path on a disk with free space.",
        ) from error


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`; rename it to `path` when the block ends without an exception.

    Missing folders are created. The temporary name keeps the suffix, because video writers derive the format from it,
    and contains the process id: of several processes that write the same file, the last one wins. Temporary files of
    ended processes that were killed while they wrote the same `path` are removed first.

    Raises:
        OutputError: the disk is full, or the folder is not writable.
    """
    partial = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        with _naming_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            _remove_partials(path, f".{path.stem}.", f".partial{path.suffix}")
            yield partial
            partial.replace(path)
    finally:
        # the parent may be a file, and an error here would hide the first one
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file atomically.

    Raises:
        OutputError: the file cannot be written.
    """
    with whole_file(path) as partial:
        partial.write_bytes(content)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Yield the temporary place of a folder, which does not exist yet; move it to `path` when the block succeeds.

    The place has the name of `path`, in a hidden folder beside it, so that the move does not cross file systems.
    Hidden folders of ended processes that were killed while they wrote the same `path` are removed first.

    Raises:
        OutputError: `path` is a file or a folder with files, the disk is full, or the folder is not writable.
    """
    if path.is_file() or (path.is_dir() and any(path.iterdir())):
        raise OutputError("the path already exists", where=str(path), remedy="Give the path of a new folder.")
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with _naming_errors(path):
            _remove_partials(path, f".{path.name}.", ".partial")
            partial.mkdir(parents=True)
            yield partial / path.name
            (partial / path.name).replace(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _remove_partials(path: Path, start: str, end: str) -> None:
    """Remove files and folders of ended processes beside `path`: their id is between `start` and `end` in the name."""
    name = re.compile(rf"{re.escape(start)}(\d+){re.escape(end)}")
    for found in path.parent.iterdir() if path.parent.is_dir() else ():
        match = name.fullmatch(found.name)
        if not match or _runs(int(match[1])):
            continue
        if found.is_dir() and not found.is_symlink():
            shutil.rmtree(found, ignore_errors=True)
        else:
            with suppress(OSError):
                found.unlink()


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OverflowError, OSError):  # of another user, or not a number of a process
        return True
    return True
