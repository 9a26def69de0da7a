"""The check of sign-offs finds commits whose author did not sign."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
AUTHOR = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("sign_offs", ROOT / "tools" / "sign_offs.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def commit(folder: Path, message: str) -> str:
    subprocess.run(["git", *AUTHOR, "commit", "-q", "--allow-empty", "-m", message], cwd=folder, check=True)
    return subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def history(tmp_path: Path) -> tuple[Path, str]:
    """A repository and its first commit, which needs no sign-off."""
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    return tmp_path, commit(tmp_path, "first")


def test_signed_commits_pass(tool: ModuleType, history: tuple[Path, str]) -> None:
    folder, first = history
    commit(folder, "second\n\nSigned-off-by: A <a@example.org>")
    assert tool.unsigned(folder, first) == []


@pytest.mark.parametrize(
    "message", ["forgotten", "forgotten\n\nA body.", "forgotten\n\nSigned-off-by: B <b@example.org>"]
)
def test_a_commit_without_the_sign_off_of_its_author_is_named(
    tool: ModuleType, history: tuple[Path, str], message: str
) -> None:
    folder, first = history
    commit(folder, message)
    commit(folder, "signed\n\nSigned-off-by: A <a@example.org>")
    (found,) = tool.unsigned(folder, first)
    assert found.endswith(" forgotten")


def test_a_checkout_without_that_history_is_not_judged(tool: ModuleType, history: tuple[Path, str]) -> None:
    folder, _ = history
    assert tool.unsigned(folder, "0" * 40) is None
    assert tool.unsigned(folder / "absent", "HEAD") is None
