"""Damaged images and messages: their frames are left out, all others are read."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers.bags import START, Recorder
from helpers.sequences import BASELINE, kitti_odometry, make_image, projection

from occdepth_ros.errors import ImageError, SourceError
from occdepth_ros.sources import factory, open_source
from occdepth_ros.sources.bags.reader import BagReader
from occdepth_ros.sources.bags.source import BagSequence
from occdepth_ros.sources.readable import first_readable, readable_frames
from occdepth_ros.sources.sequence import FileSequence

STEP = 100_000_000


def record(
    path: Path, kind: str = "mcap", *, cut_images: tuple[int, ...] = (), cut_messages: tuple[int, ...] = ()
) -> Path:
    """Five compressed pairs; of some, the left image's file or its whole message is cut off."""
    contents = cv2.imencode(".jpg", make_image(0)[..., ::-1])[1].tobytes()
    with Recorder(path, kind) as bag:
        for index in range(5):
            stamp = START + index * STEP
            for side, tx in (("left", 0.0), ("right", -BASELINE)):
                topic = f"/{side}/image_rect/compressed"
                is_left = side == "left"
                bag.compressed(topic, contents[:-300] if is_left and index in cut_images else contents, stamp)
                if is_left and index in cut_messages:
                    bag.writer.write(bag.connections[topic], stamp + 1, b"\0\1\0\0" + b"\1\0\0\0")
                bag.info(f"/{side}/camera_info", projection(tx), stamp)
    return path


def read(path: Path) -> tuple[list[int], list[int]]:
    """Indices of the frames that were read and left out."""
    source = open_source(path)
    left_out: list[int] = []
    frames = readable_frames(source, range(len(source)), lambda index, _: left_out.append(index))
    return [index for index, _ in frames], left_out


@pytest.mark.parametrize("kind", ["mcap", "sqlite3", "ros1"])
@pytest.mark.parametrize("cut", [(0,), (2,), (0, 1, 4)])
def test_cut_images_of_a_bag_cost_their_frames_only(tmp_path: Path, kind: str, cut: tuple[int, ...]) -> None:
    path = record(tmp_path / ("drive.bag" if kind == "ros1" else "drive"), kind, cut_images=cut)
    assert read(path) == ([i for i in range(5) if i not in cut], list(cut))


def test_a_message_that_does_not_fit_its_type_is_left_out_and_named(tmp_path: Path) -> None:
    source = open_source(record(tmp_path / "drive", cut_messages=(0, 3)))
    assert len(source) == 5
    named = [warning for warning in source.description.warnings if warning.name == "damaged_messages"]
    assert len(named) == 1
    assert "2 messages" in str(named[0])


def test_a_bag_without_a_readable_pair_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="damaged or cut off"):
        open_source(record(tmp_path / "drive", cut_images=(0, 1, 2, 3, 4)))


@pytest.mark.parametrize("damaged", ["first", "middle", "empty", "text", "missing header"])
def test_damaged_files_of_a_folder_cost_their_frames_only(tmp_path: Path, damaged: str) -> None:
    folder = kitti_odometry(tmp_path, 4)
    index = 0 if damaged == "first" else 2
    file = sorted((folder / "image_2").iterdir())[index]
    whole = file.read_bytes()
    contents = {"empty": b"", "text": b"<html>not found</html>", "missing header": bytes(64) + whole[64:]}
    file.write_bytes(contents.get(damaged, whole[: len(whole) // 2]))
    assert read(folder) == ([i for i in range(4) if i != index], [index])
    source = open_source(folder)
    assert isinstance(source, FileSequence)
    source.check_sizes(range(4))
    expected = 1 if index == 0 else 0
    np.testing.assert_array_equal(first_readable(source, range(4)).left, source[expected].left)


def test_the_error_of_a_sequence_without_readable_frames_is_raised(tmp_path: Path) -> None:
    folder = kitti_odometry(tmp_path, 3)
    source = open_source(folder)
    for file in (folder / "image_2").iterdir():
        file.write_bytes(b"")
    with pytest.raises(ImageError, match="empty"):
        first_readable(source, range(3))


def open_files(path: Path) -> list[str]:
    """Files below a path that this process has open."""
    links = Path("/proc/self/fd")
    found = []
    for link in links.iterdir():
        try:
            target = str(link.readlink())
        except OSError:
            continue
        if target.startswith(str(path)):
            found.append(target)
    return found


needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files are listed in /proc")


@needs_proc
@pytest.mark.parametrize("kind", ["mcap", "sqlite3", "ros1"])
def test_a_reader_closes_its_files(tmp_path: Path, kind: str) -> None:
    path = record(tmp_path / ("drive.bag" if kind == "ros1" else "drive"), kind)
    with BagReader(path) as reader:
        assert reader.connections
        assert open_files(tmp_path)
    assert not open_files(tmp_path)
    assert reader.connections == []
    reader.close()


@needs_proc
def test_a_sequence_closes_its_bag(tmp_path: Path) -> None:
    path = record(tmp_path / "drive")
    with BagSequence(path) as source:
        assert source[1].left.any()
    assert not open_files(tmp_path)
    shutil.rmtree(path)


@needs_proc
def test_a_bag_that_is_refused_is_closed(tmp_path: Path) -> None:
    path = record(tmp_path / "drive", cut_images=(0, 1, 2, 3, 4))
    with pytest.raises(ImageError):
        BagSequence(path)
    assert not open_files(tmp_path)


def test_a_process_that_leaves_a_sequence_open_ends_without_a_message(tmp_path: Path) -> None:
    path = record(tmp_path / "drive", "sqlite3")
    code = f"from occdepth_ros.sources import open_source; source = open_source({str(path)!r}); print(len(source))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "5", "")


def test_a_folder_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path / "image_2"))

    monkeypatch.setattr(factory, "LAYOUTS", (factory.LAYOUTS[0]._replace(recognises=refused),))
    with pytest.raises(SourceError, match=r"image_2: the path cannot be read \(permission denied\)"):
        open_source(tmp_path)
