"""The command line: output and exit codes."""

from __future__ import annotations

import argparse
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from occdepth_ros import __version__, cli
from occdepth_ros.errors import OccDepthError, SourceError


def offer(monkeypatch: pytest.MonkeyPatch, run: Any) -> None:
    """Add the verb `occdepth fake NUMBER`."""

    def add_arguments(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("number", type=int)

    monkeypatch.setitem(cli.VERBS, "fake", "pretend to work")
    module = SimpleNamespace(add_arguments=add_arguments, run=run)
    monkeypatch.setitem(sys.modules, "occdepth_ros.commands.fake", module)


def test_a_verb_gets_its_arguments_and_gives_the_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, lambda arguments: arguments.number + 1)
    assert cli.main(["fake", "41"]) == 42


def test_user_errors_are_printed_as_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(arguments: argparse.Namespace) -> int:
        raise SourceError("the folder is empty", where="some/folder", remedy="Unpack the archive.")

    offer(monkeypatch, run)
    assert cli.main(["fake", "1"]) == 2
    captured = capsys.readouterr()
    assert captured.err == "occdepth fake: some/folder: the folder is empty. Unpack the archive.\n"
    assert captured.out == ""


def test_interrupts_end_without_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(arguments: argparse.Namespace) -> int:
        raise KeyboardInterrupt

    offer(monkeypatch, run)
    assert cli.main(["fake", "1"]) == 130


def test_programming_errors_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(arguments: argparse.Namespace) -> int:
        raise RuntimeError("a bug")

    offer(monkeypatch, run)
    with pytest.raises(RuntimeError, match="a bug"):
        cli.main(["fake", "1"])


@pytest.mark.parametrize("arguments", [["no-such-verb"], ["fake"], ["fake", "x"]])
def test_invalid_command_lines_print_the_usage(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    offer(monkeypatch, lambda arguments: 0)
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2
    assert "usage: occdepth" in capsys.readouterr().err


def test_without_arguments_every_verb_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 2
    listed = capsys.readouterr().err
    assert set(cli.VERBS) <= set(listed.split())


def test_help_names_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    for verb in cli.VERBS:
        assert verb in text


@pytest.mark.parametrize("verb", sorted(cli.VERBS))
def test_every_verb_has_a_help_text(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([verb, "--help"])
    assert ended.value.code == 0
    assert f"usage: occdepth {verb}" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--version"])
    assert capsys.readouterr().out.strip() == __version__


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({}, "it broke"),
        ({"where": "a.npz"}, "a.npz: it broke"),
        ({"remedy": "Mend it."}, "it broke. Mend it."),
        ({"where": "a.npz", "remedy": "Mend it."}, "a.npz: it broke. Mend it."),
    ],
)
def test_errors_are_sentences(arguments: dict[str, str], text: str) -> None:
    assert str(OccDepthError("it broke", **arguments)) == text


def test_a_former_option_name_works_with_a_warning(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = SimpleNamespace(
        add_arguments=lambda parser: parser.add_argument("--images", required=True),
        run=lambda arguments: 7 if arguments.images == "out" else 1,
    )
    monkeypatch.setitem(sys.modules, "occdepth_ros.commands.run", module)
    assert cli.main(["run", "--pictures=out"]) == 7
    assert "--pictures is deprecated; use --images" in capsys.readouterr().err
