"""From traces to failure scores: detectors, one nonconformity, an alarm that stays, and whether alpha holds. Pure."""

from __future__ import annotations

import math

from monitor_node.frozen import FrozenCameras
from vla_uq.bundle import Bundle
from vla_uq.calibration.nonconformity import Nonconformity
from vla_uq.contracts import FROZEN_CAMERA, Key, Score, Trace
from vla_uq.errors import InputError


class ScoringEngine:
    """Scores the inferences of one policy in the order in which they were made.

    Everything fails closed: a trace that cannot be scored has the nonconformity NaN, which passes nowhere. The alarm
    stays until the episode ends, or until a resume resets the policy within it; from then on, as after any human
    intervention, the threshold that does not know the time applies, and alpha is no longer promised.

    :param bundle: used by this engine alone, for its detectors hold the running episode.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self._cameras = FrozenCameras()
        self._last: Score | None = None
        self._told = "", ""
        self.reset("")

    @property
    def episode_id(self) -> str:
        return self._episode_id

    def reset(self, episode_id: str) -> None:
        """Begin an episode. Traces of another episode do this by themselves."""
        self._episode_id = episode_id
        self._reasons: list[str] = []
        self._constant = False
        self._band: Nonconformity | None = None
        self._restart()

    def instruct(self, episode_id: str, task: str) -> None:
        """Tell an episode's instruction, before its first score: thresholds may be per task.

        A task that is told later changes nothing in the episode, which goes on with the threshold of all tasks.
        """
        self._told = episode_id, task

    def intervened(self) -> None:
        """A human took part in the running episode."""
        self._constant = True
        self._doubt("a human intervened in this episode")

    def score(self, trace: Trace) -> Score:
        """Score the next inference; the same one again gives the same score again.

        :raises InputError: for an inference older than the last one, which is scored already or void.
        """
        if self._last is not None and self._last.key == trace.key:
            return self._last
        self._follow(trace.key)
        step, band = trace.key.step, self._choose()
        scores = self._detect(trace)
        value = band.value(step, scores, constant=self._constant)
        threshold = band.threshold(constant=self._constant)
        frozen = self._check_cameras(trace)
        # Not "value > threshold": NaN compares false to everything.
        if frozen or not (math.isfinite(value) and math.isfinite(threshold) and value <= threshold):
            self._alarm = True
        levels = band.detector_thresholds(step, constant=self._constant)
        self._last = Score(
            key=trace.key,
            chunk_digest=trace.chunk_digest,
            nonconformity=value,
            threshold=threshold,
            alarm=self._alarm,
            detectors={name: (score, levels[name]) for name, score in scores.items()} | frozen,
            valid_guarantee=not self._reasons,
            why_not="; ".join(self._reasons),
            alpha=self.bundle.alpha,
        )
        return self._last

    def _restart(self) -> None:
        """What a reset of the policy undoes, within an episode or between two."""
        self._alarm = False
        self._last = None
        self._cameras.reset()
        for detector in self.bundle.detectors.values():
            detector.reset()

    def _follow(self, key: Key) -> None:
        """Place an inference after the last one, and note what makes this episode unlike those of the calibration."""
        if key.episode_id != self._episode_id:
            self.reset(key.episode_id)
        last = self._last.key if self._last is not None else None
        if last is None:
            if key.step > 0:
                self._doubt(f"step {key.step} is the first one seen of this episode")
            return
        same_run = key.run_id == last.run_id
        if same_run and key.sequence <= last.sequence:
            raise InputError(
                "inference is not newer than the last one",
                where="PolicyTrace.key.sequence",
                expected=f"above {last.sequence}",
                found=key.sequence,
            )
        if key.step == 0:
            self._restart()
            self._constant = True
            self._doubt("the policy was reset within this episode")
        elif not same_run:
            self._doubt("the policy was restarted within this episode")
        elif key.step != last.step + 1:
            self._doubt(f"step {last.step + 1} was not seen")

    def _choose(self) -> Nonconformity:
        """The bands and the threshold of the running episode's task, chosen at its first score."""
        if self._band is None:
            episode_id, task = self._told
            self._band, why_not = self.bundle.decide(task if episode_id == self._episode_id else "")
            if why_not:
                self._doubt(why_not)
        return self._band

    def _detect(self, trace: Trace) -> dict[str, float]:
        """Every detector's score of this inference, NaN where there is none."""
        scores = dict.fromkeys(self.bundle.detectors, math.nan)
        expected = self.bundle.policy.fingerprint
        if trace.fingerprint != expected:
            self._doubt(f"trace of policy {trace.fingerprint or 'unknown'}, calibrated for {expected}")
            return scores
        for name, detector in self.bundle.detectors.items():
            try:
                scores[name] = detector.update(trace.tensors)
            except InputError as error:
                self._doubt(f"{name}: {error}")
        return scores

    def _check_cameras(self, trace: Trace) -> dict[str, tuple[float, float]]:
        """How many cameras are frozen, as a detector's entry; none where none is."""
        digests = trace.tensors.get("image_digest")
        if digests is None:
            return {}
        frozen = self._cameras.update(digests, trace.tensors.get("position"))
        for index in frozen:
            self._doubt(f"frozen camera: number {index + 1} of {digests.size}")
        return {FROZEN_CAMERA: (float(len(frozen)), 0.0)} if frozen else {}

    def _doubt(self, reason: str) -> None:
        """Alpha does not hold for the rest of this episode."""
        if reason not in self._reasons:
            self._reasons.append(reason)
