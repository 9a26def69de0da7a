"""The demo: rejects invalid options before it starts a process, and stops all its processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
from helpers import sequences
from helpers.networks.weights import shipped_weights

from occdepth_ros.demo import __main__ as demo
from occdepth_ros.demo.processes import Child, ProcessError
from occdepth_ros.models.registry import DEFAULT_MODEL
from occdepth_ros.nodes import middleware


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--model", "occnet-9"], "there is no model 'occnet-9'"),
        (["--model", "occdepth-b3"], "needs weights"),
        (["--weights", "nowhere.pt"], "nowhere.pt: there is no such file"),
        (["--source", "no/such/folder"], "no/such/folder"),
        (["--count", "0"], "--count"),
        (["--rate", "0"], "--rate"),
        (["--rate", "nan"], "--rate"),
    ],
)
def test_invalid_options_are_rejected_before_a_process_starts(
    arguments: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert demo.main(arguments) == 1
    error = " ".join(capsys.readouterr().err.split())
    assert error.startswith("demo: ") and sentence in error
    assert list(tmp_path.iterdir()) == []


def test_the_demo_limits_discovery_to_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ROS_DOMAIN_ID", raising=False)
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "SUBNET")
    demo.isolate()
    assert os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "LOCALHOST"
    assert 1 <= int(os.environ["ROS_DOMAIN_ID"]) <= 101
    monkeypatch.setenv("ROS_DOMAIN_ID", "7")
    demo.isolate()
    assert os.environ["ROS_DOMAIN_ID"] == "7"


def test_the_middleware_profiles_are_used_unless_others_are_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(middleware, "MIN_FREE_BYTES", 0)
    added = middleware.large_message_environment({})
    assert set(added) == set(middleware.VARIABLES)
    segment = _setting(Path(added["FASTDDS_DEFAULT_PROFILES_FILE"]), "segment_size")
    assert int(segment) > 8 * 1242 * 375 * 3
    fragment = _setting(Path(added["CYCLONEDDS_URI"].removeprefix("file://")), "FragmentSize")
    assert 60_000 < int(fragment.removesuffix("B")) < 65_507
    chosen = {"FASTRTPS_DEFAULT_PROFILES_FILE": "mine.xml", "CYCLONEDDS_URI": "<CycloneDDS/>"}
    assert middleware.large_message_environment(chosen) == {}


def _setting(profile: Path, name: str) -> str:
    found = ElementTree.parse(profile).getroot().find(f".//{{*}}{name}")
    assert found is not None and found.text
    return found.text


def test_the_fast_dds_profile_is_left_out_where_shared_memory_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(middleware, "MIN_FREE_BYTES", 1 << 60)
    assert set(middleware.large_message_environment({})) == {"CYCLONEDDS_URI"}


@pytest.mark.ros
@pytest.mark.parametrize(
    ("frames", "period", "pairs"), [(10, 0.1, 100), (100, 0.1, 100), (101, 0.1, 101), (4541, 0.1, 300), (1, 100.0, 1)]
)
def test_short_sequences_are_repeated_and_long_ones_cut(frames: int, period: float, pairs: int) -> None:
    from occdepth_ros.demo.playback import default_pairs

    assert default_pairs(frames, period) == pairs


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], str]]:
    """Makes a module from its source and returns its name."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *filter(None, sys.path)]))

    def make(source: str) -> str:
        (tmp_path / "demo_test_child.py").write_text(source)
        return "demo_test_child"

    yield make


def wait_until(condition: Callable[[], bool], patience: float = 20.0) -> bool:
    end = time.monotonic() + patience
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return False


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state not in ("Z", "X")


def test_a_failed_process_is_reported_with_the_end_of_its_log(module: Callable[[str], str], tmp_path: Path) -> None:
    name = module("print('loading')\nraise SystemExit('the weights are damaged')\n")
    with Child("node", name, [], tmp_path / "node.log") as child:
        assert wait_until(lambda: child.exit_code is not None)
        with pytest.raises(ProcessError, match=r"node failed with exit code 1[\s\S]*loading\nthe weights are damaged"):
            child.check()


def test_arguments_reach_the_module(module: Callable[[str], str], tmp_path: Path) -> None:
    name = module("import sys\nprint(sys.argv[1:], __name__)\n")
    with Child("node", name, ["--ros-args", "-p", "a:=b"], tmp_path / "node.log") as child:
        assert wait_until(lambda: child.exit_code is not None)
        child.check()
    assert "['--ros-args', '-p', 'a:=b'] __main__" in child.tail()


STUBBORN = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(helper.pid, flush=True)
time.sleep(600)
"""


def test_a_stubborn_process_and_its_helpers_are_ended(
    module: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("occdepth_ros.demo.processes.PATIENCE_S", (0.2, 0.2, 5.0))
    with Child("node", module(STUBBORN), [], tmp_path / "node.log") as child:
        assert wait_until(lambda: child.tail().strip().isdecimal())
        helper = int(child.tail())
        assert alive(helper)
    assert child.exit_code == -signal.SIGKILL
    assert wait_until(lambda: not alive(helper), 5.0)


def test_sigint_is_sent_before_other_signals(module: Callable[[str], str], tmp_path: Path) -> None:
    name = module(
        "import time\nprint('up', flush=True)\ntry:\n    time.sleep(600)\nexcept KeyboardInterrupt:\n    pass\n"
    )
    with Child("node", name, [], tmp_path / "node.log") as child:
        assert wait_until(lambda: "up" in child.tail())
        assert child.stop() == 0


PARENT = """
import sys, time
from pathlib import Path
from xml.etree import ElementTree
from occdepth_ros.demo.processes import Child
child = Child("node", "demo_test_child", [], Path(sys.argv[1]))
print(child.process.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs PR_SET_PDEATHSIG of Linux")
def test_processes_end_with_a_killed_demo(module: Callable[[str], str], tmp_path: Path) -> None:
    module("import time\nprint('up', flush=True)\ntime.sleep(600)\n")
    log = tmp_path / "node.log"
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(log)], stdout=subprocess.PIPE, text=True)
    try:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert wait_until(lambda: log.exists() and "up" in log.read_text())
        assert alive(child)
    finally:
        parent.kill()
        parent.wait()
    assert wait_until(lambda: not alive(child))


def wall(folder: Path, frames: int) -> Path:
    """A sequence before a textured wall, with ground truth for its first frame."""
    sequences.kitti_odometry(folder, frames)
    for i in range(frames):
        shape = (sequences.HEIGHT, sequences.WIDTH + 6, 3)
        texture = cv2.GaussianBlur(np.random.default_rng(i).integers(0, 255, shape, np.uint8), (3, 3), 0)
        sequences.save(folder / "image_2" / f"{i:06d}.png", texture[:, :-6])
        sequences.save(folder / "image_3" / f"{i:06d}.png", texture[:, 6:])
    target = np.zeros((256, 256, 32), np.uint8)
    target[39:41, 110:150, 6:18] = 13
    (folder / "voxels").mkdir()
    np.savez_compressed(folder / "voxels" / "000000.wall.npz", target=target)
    return folder


@pytest.mark.ros
def test_the_demo_receives_every_topic_and_writes_report_and_images(tmp_path: Path) -> None:
    sequence, out = wall(tmp_path / "wall", 3), tmp_path / "out"
    command = [sys.executable, "-m", "occdepth_ros.demo", "--source", str(sequence), "--out", str(out)]
    command += ["--model", "stereo-geometry"]
    done = subprocess.run([*command, "--count", "24"], capture_output=True, text=True, timeout=240, check=False)
    logs = [log.read_text() for log in out.glob("*.log")]
    assert done.returncode == 0, "\n".join([done.stdout, done.stderr, *logs])
    report = json.loads((out / "report.json").read_text())
    assert {"source", "model", "frames", "dropped", "topics", "latency_ms", "scores"} <= set(report)
    assert report["source"] == str(sequence) and report["model"] == "stereo-geometry"
    counts = {name: topic["count"] for name, topic in report["topics"].items()}
    assert all(counts.values()), counts
    assert report["frames"] == 24 == counts["/left/image_rect"] == counts["/right/camera_info"]
    assert report["dropped"] == 24 - counts["/stereo_occ/grid"]
    assert report["topics"]["/stereo_occ/grid"]["bytes"] > counts["/stereo_occ/grid"] * 3 * 256 * 256 * 32
    latency = report["latency_ms"]
    assert 0 < latency["p50"] <= latency["p95"] <= latency["p99"] <= latency["max"] < 60_000
    fields = json.loads((out / "real_time.json").read_text())
    (rate,) = (name for name in fields if name.endswith("fps"))
    assert fields[rate]["BasicPerformanceMetrics.NUM_FRAMES_SENT"] == 24
    assert fields[rate]["BasicPerformanceMetrics.NUM_MISSED_FRAMES"] == report["dropped"]
    assert fields[rate]["ResourceMetrics.MEAN_NODE_CPU_UTILIZATION"] > 0
    assert "latency p99, ms" in done.stdout and fields["metadata"]["model"] == "stereo-geometry"
    assert report["scores"]["wall"]["scenes"] == 1 and report["scores"]["wall"]["sc_iou"] > 0
    assert {"input.png", "depth.png", "view.png", "above.png", "ground_truth_view.png", "frame_000000.png"} <= {
        image.name for image in out.glob("*.png")
    }
    assert "24 pairs sent" in done.stdout and "~/octomap_binary" in done.stdout


@pytest.mark.ros
def test_the_demo_runs_with_the_default_model(tmp_path: Path) -> None:
    shipped_weights(DEFAULT_MODEL)
    sequence, out = wall(tmp_path / "wall", 3), tmp_path / "out"
    command = [sys.executable, "-m", "occdepth_ros.demo", "--source", str(sequence), "--out", str(out)]
    done = subprocess.run([*command, "--count", "12"], capture_output=True, text=True, timeout=240, check=False)
    logs = [log.read_text() for log in out.glob("*.log")]
    assert done.returncode == 0, "\n".join([done.stdout, done.stderr, *logs])
    report = json.loads((out / "report.json").read_text())
    counts = {name: topic["count"] for name, topic in report["topics"].items()}
    assert report["model"] == "occdepth-edge" and all(counts.values()), counts
    # a machine that is slower than the sequence drops pairs, which the report counts
    assert report["frames"] == 12 and report["dropped"] == 12 - counts["/stereo_occ/grid"]
    assert list(out.glob("frame_??????.png")) and (out / "view.png").is_file()


@pytest.mark.ros
def test_damaged_weights_end_the_demo_with_the_reason(tmp_path: Path) -> None:
    weights, out = tmp_path / "damaged.pt", tmp_path / "out"
    weights.write_bytes(b"not weights" * 100)
    command = [sys.executable, "-m", "occdepth_ros.demo", "--source", str(wall(tmp_path / "wall", 1))]
    command += ["--out", str(out), "--model", "occdepth-b3", "--weights", str(weights)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 1 and "damaged.pt" in done.stderr
    assert not (out / "report.json").exists()
