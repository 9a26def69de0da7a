"""Network ports of the viewer."""

from __future__ import annotations

import socket

from occdepth_ros.errors import OutputError


def require_port(number: int) -> None:
    """Check a port before rerun opens it: rerun prints an error and continues without a server.

    Raises:
        OutputError: the port is in use or not allowed.
    """
    with socket.socket() as test:
        # as servers do: a port of a connection that has ended can be opened again
        test.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            test.bind(("", number))
        except (OSError, OverflowError) as error:
            remedy = "End the other viewer, or choose another port and the next one (--port)."
            raise OutputError(f"the port cannot be opened ({error})", where=f"port {number}", remedy=remedy) from error
