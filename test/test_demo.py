"""The demo: refuses bad requests before it starts anything, and leaves no process behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from occdepth_ros.nodes import demo, middleware
from occdepth_ros.nodes.demo_processes import Child, ProcessError


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
def test_bad_requests_end_before_anything_starts(
    arguments: list[str], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    assert demo.main(arguments) == 1
    error = " ".join(capsys.readouterr().err.split())
    assert error.startswith("demo: ") and sentence in error
    assert list(tmp_path.iterdir()) == []


def test_the_demo_keeps_to_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ROS_DOMAIN_ID", raising=False)
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "SUBNET")
    demo.isolate()
    assert os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "LOCALHOST"
    assert 1 <= int(os.environ["ROS_DOMAIN_ID"]) <= 101
    monkeypatch.setenv("ROS_DOMAIN_ID", "7")
    demo.isolate()
    assert os.environ["ROS_DOMAIN_ID"] == "7"


def test_the_middleware_profile_is_used_unless_another_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(middleware, "LEAST_FREE", 0)
    added = middleware.large_message_environment({})
    assert set(added) == set(middleware.VARIABLES)
    root = ElementTree.parse(added["FASTDDS_DEFAULT_PROFILES_FILE"]).getroot()
    name = root.tag.removesuffix("dds")
    segment = root.find(f".//{name}segment_size")
    assert segment is not None and int(segment.text or 0) > 8 * 1242 * 375 * 3
    assert middleware.large_message_environment({"FASTRTPS_DEFAULT_PROFILES_FILE": "mine.xml"}) == {}


def test_the_middleware_profile_is_left_out_where_shared_memory_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(middleware, "LEAST_FREE", 1 << 60)
    assert middleware.large_message_environment({}) == {}


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


def test_a_failing_process_is_told_with_the_end_of_its_log(module: Callable[[str], str], tmp_path: Path) -> None:
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
    monkeypatch.setattr("occdepth_ros.nodes.demo_processes.PATIENCE_S", (0.2, 0.2, 5.0))
    with Child("node", module(STUBBORN), [], tmp_path / "node.log") as child:
        assert wait_until(lambda: child.tail().strip().isdecimal())
        helper = int(child.tail())
        assert alive(helper)
    assert child.exit_code == -signal.SIGKILL
    assert wait_until(lambda: not alive(helper), 5.0)


def test_a_polite_process_is_asked_first(module: Callable[[str], str], tmp_path: Path) -> None:
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
from occdepth_ros.nodes.demo_processes import Child
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
