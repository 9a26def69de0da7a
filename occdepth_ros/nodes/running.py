"""The `main` of a node that only spins: help, start, spinning and shutdown."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node

from occdepth_ros.errors import OccDepthError
from occdepth_ros.nodes.parameters import ParameterSet
from occdepth_ros.nodes.signals import ignore_interrupts, interrupted_once
from occdepth_ros.nodes.usage import help_requested, usage

NodeType = TypeVar("NodeType", bound=Node)


@interrupted_once()
def run_node(
    name: str,
    summary: str,
    parameters: type[ParameterSet],
    create: Callable[[], NodeType],
    arguments: Sequence[str] | None = None,
    close: Callable[[NodeType], None] = lambda node: None,
) -> int:
    """Create a node and spin it until it is interrupted; with --help, print its usage.

    Args:
        name: executable of the node.
        summary, parameters: content of the help text.
        create: creates the node.
        arguments: command line; None = command line of the process.
        close: called before the node is destroyed.

    Returns:
        0 after an interrupt or with --help, 2 on an error that the user can correct.
    """
    if help_requested(arguments):
        print(usage(name, summary, parameters))
        return 0
    node: NodeType | None = None
    initialized = False
    try:
        rclpy.init(args=None if arguments is None else list(arguments))
        initialized = True
        node = create()
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except (OccDepthError, RuntimeError, SystemError) as error:  # rclpy's own errors are RuntimeErrors
        if initialized and caused_by_signal(error):
            pass
        elif node is not None or isinstance(error, SystemError):
            raise
        else:
            print(f"{name}: {error}", file=sys.stderr)
            rclpy.try_shutdown()
            return 2
    finally:
        ignore_interrupts()
        if node is not None:
            close(node)
            node.destroy_node()
        rclpy.try_shutdown()
    return 0


def caused_by_signal(error: Exception) -> bool:
    """Return whether an error is the effect of SIGINT or SIGTERM in a call of rclpy, after `rclpy.init`.

    The signal invalidates the context, and a call that uses it at this moment fails. A KeyboardInterrupt that is raised
    while such a call converts a message arrives as the cause of a SystemError.
    """
    if isinstance(error, SystemError):
        return isinstance(error.__cause__, KeyboardInterrupt)
    return not rclpy.ok()
