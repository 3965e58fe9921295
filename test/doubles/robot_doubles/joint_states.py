"""joint_state_broadcaster, and the beat that moves a plant."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import JointState

from robot_doubles.answers import STEADY
from robot_doubles.plant import Plant

Extra = Callable[[], tuple[Sequence[str], Sequence[float]]]


class JointStates:
    """Moves the plant and publishes its joints.

    :param topic: absolute or relative.
    :param extra: names and positions of further joints (fingers).
    :param speed_unit: velocities are multiples of it, rad/s; 0: they are exact.
    """

    def __init__(
        self,
        node: Node,
        plant: Plant,
        topic: str = "joint_states",
        *,
        rate: float = 100.0,
        extra: Extra | None = None,
        qos: QoSProfile | int = 10,
        speed_unit: float = 0.0,
    ) -> None:
        self.silent = False
        """Joint states stop; the arm goes on."""
        self._node, self._plant, self._extra, self._unit = node, plant, extra, speed_unit
        self._publisher = node.create_publisher(JointState, topic, qos)
        node.create_timer(1 / rate, self._beat, clock=STEADY)

    def _beat(self) -> None:
        self._plant.advance()
        if not self.silent:
            self._publisher.publish(self.message())

    def message(self) -> JointState:
        """What is published now."""
        names, positions = self._extra() if self._extra is not None else ((), ())
        speeds = self._plant.qd
        if self._unit:
            speeds = (speeds / self._unit).round() * self._unit
        message = JointState(name=[*self._plant.names, *names])
        message.position = [*self._plant.measured().tolist(), *map(float, positions)]
        message.velocity = [*speeds.tolist(), *(0.0 for _ in names)]
        message.effort = [0.0] * len(message.name)
        message.header.stamp = self._node.get_clock().now().to_msg()
        return message
