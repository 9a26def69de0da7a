"""`run_node`: what a signal causes is no error, and everything else is."""

from __future__ import annotations

from collections.abc import Callable

import pytest

pytest.importorskip("rclpy", reason="rclpy is not installed: run make env")

import rclpy
from rclpy.node import Node

from occdepth_ros.errors import OccDepthError
from occdepth_ros.nodes.running import run_node
from occdepth_ros.nodes.stereo_occ.parameters import Settings

pytestmark = pytest.mark.ros


def failing(error: Callable[[], Exception], *, shut_down: bool) -> Callable[[], Node]:
    """A node whose first callback fails, after a shutdown as a signal causes it, or without one."""

    def create() -> Node:
        node = rclpy.create_node("running_test")

        def fail() -> None:
            if shut_down:
                rclpy.shutdown()
            raise error()

        node.create_timer(0.001, fail)
        return node

    return create


def interrupted_conversion() -> SystemError:
    error = SystemError("service_take_request returned a result with an exception set")
    error.__cause__ = KeyboardInterrupt()
    return error


def run(create: Callable[[], Node]) -> int:
    try:
        return run_node("running_test", "", Settings, create, [])
    finally:
        rclpy.try_shutdown()


def test_a_call_that_fails_because_the_context_is_shut_down_is_no_error() -> None:
    assert run(failing(lambda: RuntimeError("publisher's context is invalid"), shut_down=True)) == 0


def test_an_interrupt_inside_a_conversion_is_no_error() -> None:
    assert run(failing(interrupted_conversion, shut_down=False)) == 0


@pytest.mark.parametrize("error", [RuntimeError, SystemError])
def test_other_errors_of_a_running_node_are_raised(error: type[Exception]) -> None:
    with pytest.raises(error, match="broken"):
        run(failing(lambda: error("broken"), shut_down=False))


def test_an_error_of_the_user_during_the_creation_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    def create() -> Node:
        raise OccDepthError("the model is unknown", where="model", remedy="Choose another.")

    assert run(create) == 2
    assert "running_test: model: the model is unknown" in capsys.readouterr().err
