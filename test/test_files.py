"""Checks of output paths before a computation, and atomic writing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from occdepth_ros.errors import OutputError
from occdepth_ros.files import (
    check_file_path,
    check_folder_path,
    check_new_files,
    create_folder,
    whole_file,
    whole_folder,
)


def test_a_file_path_is_no_folder_and_a_folder_path_is_no_file(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for path in (None, file, tmp_path / "new"):
        check_file_path(path)
    for path in (None, tmp_path, tmp_path / "new"):
        check_folder_path(path)
    with pytest.raises(OutputError, match="the path is a folder"):
        check_file_path(tmp_path)
    with pytest.raises(OutputError, match="the path is a file"):
        check_folder_path(file)


def test_the_first_existing_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "b").touch()
    check_new_files([tmp_path / "a"])
    with pytest.raises(OutputError, match=r"b: the file exists already"):
        check_new_files(tmp_path / name for name in "abc")


def test_folders_are_created_with_their_parents(tmp_path: Path) -> None:
    for _ in range(2):
        create_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot create the folder"):
        create_folder(tmp_path / "file")


def test_an_exception_leaves_neither_file_nor_temporary_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="stopped"), whole_file(tmp_path / "out.txt") as partial:
        partial.write_text("half")
        raise ValueError("stopped")
    assert list(tmp_path.iterdir()) == []
    with whole_file(tmp_path / "out.txt") as partial:
        partial.write_text("whole")
    assert [path.name for path in tmp_path.iterdir()] == ["out.txt"]


def test_a_folder_replaces_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with whole_folder(tmp_path / "out") as partial:
        partial.mkdir()
        (partial / "file").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "file"]


def test_temporary_files_of_ended_processes_are_removed(tmp_path: Path) -> None:
    waiting = [sys.executable, "-c", "input()"]
    with (
        subprocess.Popen(waiting, stdin=subprocess.PIPE) as ended,
        subprocess.Popen(waiting, stdin=subprocess.PIPE) as running,
    ):
        ended.communicate(b"\n")
        for process in (ended, running):
            (tmp_path / f".out.{process.pid}.partial.txt").touch()
        with whole_file(tmp_path / "out.txt") as partial:
            partial.touch()
        assert {path.name for path in tmp_path.iterdir()} == {"out.txt", f".out.{running.pid}.partial.txt"}
        assert running.poll() is None
        running.communicate(b"\n")
