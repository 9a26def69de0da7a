"""`occdepth convert` as a user runs it."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.sequences import kitti_odometry

from occdepth_ros.cli import main
from occdepth_ros.sources.factory import open_source


def test_folders_become_recordings_and_bags_become_kitti_folders(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = kitti_odometry(tmp_path / "00", 4)
    assert main(["convert", str(source), str(tmp_path / "bag"), "--start", "1", "--count", "2"]) == 0
    assert "2 pairs, grid frame 'velodyne'" in capsys.readouterr().out
    assert main(["convert", str(tmp_path / "bag"), str(tmp_path / "back")]) == 0
    back, original = open_source(tmp_path / "back"), open_source(source)
    assert [back[i].stamp_ns for i in range(2)] == [original[i].stamp_ns for i in (1, 2)]
    np.testing.assert_array_equal(back[1].right, original[2].right)


def test_predictions_of_a_recording_equal_those_of_its_source(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["convert", "sample", str(tmp_path / "bag"), "--count", "2", "--compressed"]) == 0
    for name, source in (("a", "sample"), ("b", str(tmp_path / "bag"))):
        options = ["--source", source, "--out", str(tmp_path / name), "--model", "stereo-geometry", "--count", "2"]
        assert main(["run", *options]) == 0
    for index in range(2):
        with np.load(tmp_path / "a" / f"{index:06d}.npz") as a, np.load(tmp_path / "b" / f"{index:06d}.npz") as b:
            # poses pass through a quaternion: a voxel at the border of a surface may change
            assert np.mean(a["labels"] != b["labels"]) < 1e-4
    # the first image of the sample has the stamp 0, and so has its recording
    printed = "".join(capsys.readouterr())
    assert "no_stamp" not in printed and "note: the first stamp is 0" in printed


def test_an_existing_result_and_a_useless_option_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = kitti_odometry(tmp_path / "00", 2)
    assert main(["convert", str(source), str(source)]) == 2
    assert "the path already exists" in capsys.readouterr().err
    assert main(["convert", str(source), str(tmp_path / "kitti"), "--to", "kitti", "--compressed"]) == 2
    assert "--compressed" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["00"]


def test_a_damaged_image_costs_its_frame_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = kitti_odometry(tmp_path / "00", 3)
    image = source / "image_3" / "000002.png"
    image.write_bytes(image.read_bytes()[:-20])
    assert main(["convert", str(source), str(tmp_path / "bag")]) == 0
    printed = capsys.readouterr()
    assert "damaged_image: frame 2 is left out" in printed.err
    assert "000002.png" in printed.err
    assert "2 pairs" in printed.out
    assert len(open_source(tmp_path / "bag")) == 2


def test_a_source_of_damaged_images_leaves_no_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = kitti_odometry(tmp_path / "00", 2)
    for image in (source / "image_3").iterdir():
        image.write_bytes(image.read_bytes()[:-20])
    assert main(["convert", str(source), str(tmp_path / "bag")]) == 2
    assert "damaged or cut off" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["00"]


STOPPED_AFTER_ONE = """
import signal, sys, time
from occdepth_ros.cli import main
from occdepth_ros.commands import convert

def read_frames(source, frames, left_out):
    yield source[0]
    print("ready", flush=True)
    time.sleep(600)

# background jobs of a shell ignore SIGINT
signal.signal(signal.SIGINT, signal.default_int_handler)
convert.read_frames = read_frames
sys.exit(main(["convert", *sys.argv[1:]]))
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_killed_conversion_leaves_no_result_and_the_next_one_cleans_up(
    tmp_path: Path, number: signal.Signals
) -> None:
    source = kitti_odometry(tmp_path / "00", 2)
    out = tmp_path / "results" / "bag"
    command = [sys.executable, "-c", STOPPED_AFTER_ONE, str(source), str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        assert [path.name for path in out.parent.iterdir()] == [f".bag.{process.pid}.partial"]
        process.send_signal(number)
        assert process.wait() == (-9 if number == signal.SIGKILL else 130)
    assert bool(list(out.parent.iterdir())) == (number == signal.SIGKILL)
    assert main(["convert", str(source), str(out)]) == 0
    assert [path.name for path in out.parent.iterdir()] == ["bag"]
