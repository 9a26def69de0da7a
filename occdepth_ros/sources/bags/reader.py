"""Messages of ROS 1 and ROS 2 bags: one file, a rosbag2 folder, or the parts of a recording without metadata.

Only topics of the requested types are parsed, so that unknown or malformed definitions (such as those of
`_service_event` topics) have no effect.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Collection, Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import quote

from occdepth_ros.errors import InputWarning, SourceError
from occdepth_ros.files import LFS_POINTER, LFS_REMEDY
from occdepth_ros.sources.bags.recovery import RecoveredBag, decompressed

SUFFIXES = (".bag", ".mcap", ".db3")
REPAIR = {
    ".bag": "`rosbag reindex FILE` writes the index",
    ".mcap": "`mcap recover FILE -o NEW.mcap` writes a complete file",
    ".db3": "`ros2 bag reindex FOLDER` writes metadata.yaml; `sqlite3 FILE .recover` repairs the file",
}
_PART = re.compile(r"(.+?)(_\d+)?")
_ZSTD = b"\x28\xb5\x2f\xfd"
"""First bytes of a compressed message; serialised messages begin with 0."""


def suffix_of(path: Path) -> str | None:
    """Return the suffix of a bag file in lower case, without `.active` of an unclosed recording; None = not a bag."""
    name = path.name.lower().removesuffix(".active")
    return next((suffix for suffix in SUFFIXES if name.endswith(suffix)), None)


def is_bag(path: Path) -> bool:
    """Return whether the path is a bag file, a rosbag2 folder, or a folder with the parts of one recording."""
    if path.is_file():
        return suffix_of(path) is not None
    return (path / "metadata.yaml").is_file() or bool(parts_of(path))


def parts_of(folder: Path) -> list[Path]:
    """Return the files NAME_0, NAME_1, ... of the one recording in a folder; empty if there is not exactly one
    recording."""
    try:
        files = [path for path in folder.iterdir() if path.is_file() and suffix_of(path) and path.name[0] != "."]
    except OSError:
        return []
    names = {(_PART.fullmatch(path.name.partition(".")[0]) or [""])[1] for path in files}
    return sorted(files, key=_number) if len(names) == 1 else []


def _number(path: Path) -> tuple[int, str]:
    found = _PART.fullmatch(path.name.partition(".")[0])
    return int(found[2][1:]) if found and found[2] else -1, path.name


class BagReader:
    """Reads the messages of a bag; a context manager that closes its files.

    Args:
        path: a file, a rosbag2 folder, or a folder with the parts of one recording.

    Raises:
        SourceError: rosbags is missing, or the bag cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.warnings: list[InputWarning] = []
        self._rosbags = {name: import_rosbags(f"rosbags.{name}") for name in ("rosbag1", "rosbag2", "typesys")}
        self._parts: list[Any] = []
        self._files = [path] if path.is_file() else parts_of(path)
        self.is_ros1 = bool(self._files) and suffix_of(self._files[0]) == ".bag"
        if len(self._files) > 1:
            self._check_parts(path)
        if path.is_dir() and (path / "metadata.yaml").is_file():
            self._open_folder(path)
        elif not path.is_file():
            text = f"there is no metadata.yaml; {len(self._files)} storage files are read without it"
            self._warn("bag_metadata", text, path, "`ros2 bag reindex FOLDER` writes it.")
        for file in self._files:
            self._check_log(file)
        if not self._parts:
            self._parts = self._open_files()
            self.is_ros1 = self.is_ros1 or any(getattr(part, "is_ros1", False) for part in self._parts)
        stores = self._rosbags["typesys"]
        kind = stores.Stores.ROS1_NOETIC if self.is_ros1 else stores.Stores.ROS2_HUMBLE
        self._store = stores.get_typestore(kind)
        text = "geometry_msgs/TransformStamped[] transforms"
        for name in ("tf2_msgs/msg/TFMessage", "tf/msg/tfMessage"):
            if name not in self._store.fielddefs:
                self._store.register(stores.get_types_from_msg(text, name))

    def __enter__(self) -> BagReader:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files; a closed reader has no connections."""
        parts, self._parts = self._parts, []
        for part in parts:
            with suppress(Exception):  # a damaged file may raise any exception
                part.close()

    @property
    def connections(self) -> list[Any]:
        """Topics of all parts, with the attributes `topic` and `msgtype` ("sensor_msgs/msg/Image")."""
        return [connection for part in self._parts for connection in part.connections]

    def messages(
        self, connections: Collection[Any], start: int | None = None, stop: int | None = None
    ) -> Iterator[tuple[Any, int, bytes]]:
        """Yield connection, recording time (nanoseconds) and bytes by time, from `start` until before `stop`."""
        requested = {id(connection) for connection in connections}
        streams = []
        for part in self._parts:
            chosen = [connection for connection in part.connections if id(connection) in requested]
            if chosen:
                streams.append(part.messages(chosen, start, stop))
        for connection, time, data in heapq.merge(*streams, key=lambda message: message[1]):
            # only metadata.yaml states that messages are compressed, and it may be missing
            yield connection, time, decompressed(data, "zstd") if data[:4] == _ZSTD else data

    def deserialize(self, data: bytes, msgtype: str) -> Any:
        """Return the message object."""
        decode = self._store.deserialize_ros1 if self.is_ros1 else self._store.deserialize_cdr
        return decode(data, msgtype)

    def recover(self, reason: str) -> bool:
        """Read the files again without their indexes, for a reason; return whether this is possible."""
        if any(suffix_of(file) == ".db3" for file in self._files) or not self._files:
            return False
        if any(isinstance(part, RecoveredBag) for part in self._parts):
            return False
        self.close()
        self._parts = [self._recovered(file, reason) for file in self._files]
        return True

    def _open_folder(self, path: Path) -> None:
        try:
            reader = self._rosbags["rosbag2"].Reader(path)
            reader.open()
            self._parts = [reader]
        except Exception as error:  # the metadata may be any YAML; the reader raises exceptions of many types
            if not self._files:
                raise SourceError(
                    f"metadata.yaml cannot be used ({error}), and there is no storage file next to it",
                    where=str(path),
                    remedy="Copy the .mcap or .db3 files, too.",
                ) from error
            text = f"metadata.yaml does not open the recording ({error}); its {len(self._files)} storage files are read"
            self._warn("bag_metadata", f"{text} one by one", path, "`ros2 bag reindex FOLDER` writes it again.")

    def _check_parts(self, path: Path) -> None:
        """Warn if the numbers of the parts of a recording show that one is missing."""
        numbers = {_number(file)[0] for file in self._files}
        if missing := sorted(set(range(max(numbers, default=0))) - numbers):
            names = ", ".join(f"number {number}" for number in missing[:5])
            text = f"{len(missing)} of {len(missing) + len(numbers)} parts are missing: {names}"
            self._warn("bag_incomplete", text, path, "Copy the missing files, too.")

    def _open_files(self) -> list[Any]:
        """Open the files one by one; one that cannot be read is left out if another one can."""
        parts, failed = [], []
        for file in self._files:
            try:
                parts.append(self._open_file(file))
            except SourceError as error:
                failed.append(error)
        if failed and not parts:
            raise failed[0]
        for left_out in failed:
            self._warn("bag_incomplete", f"a part is left out: {left_out.what}", Path(left_out.where), left_out.remedy)
        return parts

    def _open_file(self, file: Path) -> Any:
        suffix = suffix_of(file)
        try:
            if suffix == ".bag":
                reader = self._rosbags["rosbag1"].Reader(file)
            elif suffix == ".mcap":
                reader = import_rosbags("rosbags.rosbag2.storage_mcap").McapReader(file)
            else:
                # it is opened by a URI, in which #, ? and % have a meaning
                reader = import_rosbags("rosbags.rosbag2.storage_sqlite3").Sqlite3Reader(Path(quote(str(file))))
            reader.open()
        except Exception as error:  # rosbags, sqlite3 and struct raise different exceptions for damaged files
            if suffix == ".db3":
                raise SourceError(
                    f"the bag cannot be read ({error})", where=str(file), remedy=f"{REPAIR['.db3']}."
                ) from error
            return self._recovered(file, str(error))
        return reader

    def _check_log(self, file: Path) -> None:
        """Warn about the write-ahead log of a SQLite file that was not closed; its messages are not read."""
        log = file.with_name(f"{file.name}-wal")
        if log.is_file() and log.stat().st_size:
            text = f"the file was not closed; the messages in {log.name} ({log.stat().st_size} bytes) are not read"
            remedy = "`sqlite3 FILE 'PRAGMA wal_checkpoint'` moves them into the file."
            self._warn("bag_incomplete", text, file, remedy)

    def _recovered(self, file: Path, reason: str) -> RecoveredBag:
        repair = REPAIR[suffix_of(file) or ".bag"]
        try:
            found = RecoveredBag(file)
        except (OSError, ValueError) as error:
            with suppress(OSError), file.open("rb") as opened:
                if opened.read(len(LFS_POINTER)) == LFS_POINTER:
                    raise SourceError("the file is a Git LFS pointer", where=str(file), remedy=LFS_REMEDY) from error
            raise SourceError(f"the bag cannot be read ({error})", where=str(file), remedy=f"{repair}.") from error
        if not len(found):
            raise SourceError(
                f"the bag cannot be read ({reason}), and no message in it is complete",
                where=str(file),
                remedy=f"Record it again; {repair} if more of it is left.",
            )
        text = f"the file was cut off, damaged, or not closed ({reason}); {len(found)} messages of it are readable"
        self._warn("bag_incomplete", text, file, f"{repair}.")
        return found

    def _warn(self, name: str, what: str, where: Path, remedy: str) -> None:
        self.warnings.append(InputWarning(name, what, str(where), remedy))


def import_rosbags(module: str) -> Any:
    """Return a module of the optional package rosbags.

    Raises:
        SourceError: rosbags is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise SourceError(
            "a bag requires the package rosbags",
            where=module,
            remedy="Install it: pip install rosbags",
        ) from error
