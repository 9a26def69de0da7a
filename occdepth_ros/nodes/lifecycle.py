"""A lifecycle node that survives requests of transitions that its state does not have."""

from __future__ import annotations

from typing import Any

from lifecycle_msgs.srv import ChangeState
from rclpy.lifecycle import LifecycleNode


class GuardedLifecycleNode(LifecycleNode):
    """A lifecycle node that answers such requests with `success` false.

    rclpy raises an exception in the service callback instead, which ends the spinning: a lifecycle manager that
    configures a node which is active already would end its process.
    """

    def __init__(self, node_name: str, **options: Any) -> None:
        super().__init__(node_name, **options)
        service = getattr(self, "_service_change_state", None)
        if service is not None:
            self._change_state = service.callback
            service.callback = self._guarded_change

    def _guarded_change(self, request: ChangeState.Request, response: ChangeState.Response) -> ChangeState.Response:
        try:
            return self._change_state(request, response)
        except RuntimeError as error:  # rclpy's RCLError; exceptions of the transitions themselves lead to on_error
            what = request.transition.label or f"with id {request.transition.id}"
            reason = str(error).partition(", at ")[0]
            self.get_logger().warning(
                f"the transition {what} was refused: {reason} `ros2 lifecycle list {self.get_fully_qualified_name()}` "
                "shows those of the present state."
            )
            response.success = False
            return response
