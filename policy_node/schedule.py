"""When the next inference is due. Pure: times and stamps come in, an answer comes out."""

from __future__ import annotations

from policy_node.assembly import Stamp


class InferenceSchedule:
    """Every ``execute_steps`` control steps: on the steady clock, or, in lockstep, by the observations' stamps.

    In real time it is the observation's own receipt that must be due, half a control step early at most: inferences
    stay locked to the camera, and each starts when a picture arrives, never on one that has already grown old.

    :param step_duration: seconds of a control step.
    """

    def __init__(self, execute_steps: int, step_duration: float, lockstep: bool) -> None:
        self._steps, self._dt, self._lockstep = execute_steps, step_duration, lockstep
        self.stop()

    def reset(self) -> None:
        """An episode, or what follows a resume, begins: its first inference is due."""
        self.stop()
        self.running = True

    def stop(self) -> None:
        """Nothing is due until the next reset."""
        self.running = False
        self._last: tuple[float, Stamp] | None = None
        self._wait = self._steps

    def retry(self) -> None:
        """The last inference came to nothing: the next observation is due; in lockstep the same one, said again."""
        self._wait = 0 if self._lockstep else 1

    def due(self, now: float) -> bool:
        """Whether an observation received now may start an inference; a cheap test before assembling one."""
        if not self.running or self._lockstep or self._last is None:
            return self.running
        return now - self._last[0] >= (self._wait - 0.5) * self._dt

    def start(self, stamp: Stamp, observed: float) -> bool:
        """Start an inference on the observation of ``stamp`` if it is the one to act on; says whether.

        :param observed: when its oldest part was received, on the steady clock (s).
        """
        if self._last is not None:
            early = _control_steps(self._last[1], stamp, self._dt) < self._wait
            if early if self._lockstep else not self.due(observed):
                return False
        self._last, self._wait = (observed, stamp), self._steps
        return True


def _control_steps(earlier: Stamp, later: Stamp, dt: float) -> int:
    return round(((later[0] - earlier[0]) + (later[1] - earlier[1]) * 1e-9) / dt)
