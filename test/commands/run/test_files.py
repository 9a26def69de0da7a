"""Files of `occdepth run`: complete or absent, an earlier run replaced, other files kept."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from occdepth_ros.commands.run.files import ResultFolder, is_ours, write_npz
from occdepth_ros.errors import OutputError


def digests(folder: Path) -> dict[str, str]:
    return json.loads((folder / "manifest.json").read_text())["files"]


def put(folder: ResultFolder, name: str, content: bytes) -> None:
    def write(path: Path) -> None:
        path.write_bytes(content)

    folder.write(name, write)


def test_npz_bytes_depend_only_on_the_arrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = {"labels": np.arange(24, dtype=np.uint8).reshape(2, 3, 4), "resolution": np.array(0.2)}
    write_npz(tmp_path / "a.npz", arrays)
    monkeypatch.setattr("time.time", lambda: 2e9)
    write_npz(tmp_path / "b.npz", arrays)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with np.load(tmp_path / "a.npz") as back:
        assert np.array_equal(back["labels"], arrays["labels"]) and back["resolution"] == 0.2


def test_a_folder_with_other_files_is_refused_and_unchanged(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"thesis\.txt"):
        ResultFolder(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_an_earlier_run_is_replaced_completely(tmp_path: Path) -> None:
    first = ResultFolder(tmp_path / "out")
    put(first, "000000.npz", b"a")
    put(first, "panels/000000_view.png", b"b")
    first.write_manifest({}, complete=True)
    second = ResultFolder(tmp_path / "out")
    assert not (tmp_path / "out" / "000000.npz").exists()
    put(second, "000001.npz", b"c")
    second.write_manifest({"model": "m"}, complete=True)
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert list(manifest["files"]) == ["000001.npz"] and manifest["complete"] and manifest["model"] == "m"


@pytest.mark.parametrize("change", ["edited", "added", "linked"])
def test_files_that_a_user_changed_are_kept(tmp_path: Path, change: str) -> None:
    first = ResultFolder(tmp_path)
    put(first, "000000.npz", b"a")
    first.write_manifest({}, complete=True)
    victim = tmp_path / "000000.npz"
    if change == "edited":
        victim.write_bytes(b"edited")
    elif change == "added":
        victim = tmp_path / "000007.npz"
        victim.write_bytes(b"mine")
    else:
        victim.rename(tmp_path.parent / "elsewhere.npz")
        victim.symlink_to(tmp_path.parent / "elsewhere.npz")
    before = victim.read_bytes()
    with pytest.raises(OutputError, match=victim.name):
        ResultFolder(tmp_path)
    assert victim.read_bytes() == before


def test_a_killed_run_can_be_repeated(tmp_path: Path) -> None:
    first = ResultFolder(tmp_path)
    put(first, "000000.npz", b"a")
    (tmp_path / ".000001.partial.npz").write_bytes(b"half")
    ResultFolder(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["manifest.json"]


def test_a_full_disk_leaves_no_partial_file(tmp_path: Path) -> None:
    folder = ResultFolder(tmp_path)

    def full(path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match="No space left on device"):
        folder.write("000000.npz", full)
    assert [p.name for p in tmp_path.iterdir()] == ["manifest.json"]


def test_an_unwritable_path_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        ResultFolder(tmp_path / "file" / "out")


def test_names_of_results_are_recognised() -> None:
    assert all(map(is_ours, ("000000.npz", "123456.bt", "000001.ot", "frame_000000.png", "panels/000000_view.png")))
    assert not any(map(is_ours, ("notes.txt", "0.npz", "frame_000000.jpg", "../000000.npz", "panels/../x.png")))
