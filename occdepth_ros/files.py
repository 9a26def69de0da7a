"""Atomic writing of files and folders, and detection of Git LFS pointers in place of files."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from occdepth_ros.errors import OutputError

LFS_POINTER = b"version https://git-lfs"
"""First bytes of a Git LFS pointer, which takes the place of a file that was not fetched."""
LFS_REMEDY = "Fetch the contents with `git lfs pull`."


@contextmanager
def _naming_errors(path: Path) -> Iterator[None]:
    """Convert file system errors to an `OutputError` that names `path`."""
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
    and contains the process id: if several processes write the same file, the last one wins. Temporary files of
    processes that were killed while they wrote the same `path` are removed first.

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
        # the parent may be a file; an error here would hide the original one
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
    """Yield a temporary path for a folder, which does not exist yet; move it to `path` if the block succeeds.

    The temporary path has the name of `path` and is in a hidden folder next to it, so that the move does not cross file
    systems. Hidden folders of processes that were killed while they wrote the same `path` are removed first.

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
            if path.is_dir():
                path.rmdir()  # Windows does not replace an empty folder
            (partial / path.name).replace(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def create_folder(path: Path) -> None:
    """Create a folder with its parents; an existing one is kept.

    Raises:
        OutputError: the path is a file, or its parent is not writable.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot create the folder: {error.strerror or error}", where=str(path), remedy="Give another path."
        ) from error


def check_file_path(path: Path | None) -> None:
    """Check that a file can have this path, before a long computation; None passes.

    Raises:
        OutputError: the path is a folder.
    """
    if path is not None and path.is_dir():
        raise OutputError("the path is a folder", where=str(path), remedy="Give the path of a file.")


def check_folder_path(path: Path | None) -> None:
    """Check that a folder can have this path, before a long computation; None passes.

    Raises:
        OutputError: the path is a file.
    """
    if path is not None and path.exists() and not path.is_dir():
        raise OutputError("the path is a file", where=str(path), remedy="Give the path of a folder.")


def check_new_files(paths: Iterable[Path]) -> None:
    """Check that no file would be overwritten.

    Raises:
        OutputError: a path exists.
    """
    existing = next((path for path in paths if path.exists()), None)
    if existing is not None:
        raise OutputError(
            "the file exists already", where=str(existing), remedy="Give a new name or folder, or move the file away."
        )


def _remove_partials(path: Path, start: str, end: str) -> None:
    """Remove temporary files of ended processes next to `path`; `start` and `end` enclose the process id in the
    name."""
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
    if sys.platform == "win32":  # os.kill(process, 0) would send Ctrl+C there
        return _runs_on_windows(process)
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OverflowError, OSError):  # owned by another user, or not a process id
        return True
    return True


def _runs_on_windows(process: int) -> bool:
    synchronize, access_denied, wait_timeout = 0x100000, 5, 0x102  # winnt.h, winerror.h, winbase.h
    if process >= 2**32:  # not a process id
        return True
    kernel: Any = ctypes.WinDLL("kernel32", use_last_error=True)  # type: ignore[attr-defined]
    kernel.OpenProcess.restype = ctypes.c_void_p
    handle = kernel.OpenProcess(synchronize, False, process)
    if not handle:
        return ctypes.get_last_error() == access_denied  # type: ignore[attr-defined]
    try:
        return bool(kernel.WaitForSingleObject(ctypes.c_void_p(handle), 0) == wait_timeout)
    finally:
        kernel.CloseHandle(ctypes.c_void_p(handle))
