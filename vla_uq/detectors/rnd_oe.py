"""RND-OE: random network distillation on the policy's observation embedding, from successes alone.

FIPER's observation score (flow policies of arXiv 2606.18043 use it too): the distance between a fixed random net of
the features and a net trained to equal it on successful episodes. The published nets, ``target=(1024, 2048, 4096)``
and ``predictor=(1024, 2048, 4096, 2048, 1024)``, have 34 M parameters at 1024 features and 64 outputs; the default has
0.3 M, which larger nets do not clearly improve on (``python -m benchmarks.net_sizes``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from vla_uq.detectors.base import Progress, Tensors
from vla_uq.detectors.distillation import Distillation
from vla_uq.detectors.embedding import ContrastDetector
from vla_uq.detectors.learnt import Stored, positive, training_extra
from vla_uq.detectors.mlp import checked_sizes


class RndOe(ContrastDetector):
    """RND on the features of successes; fitting needs torch, scoring does not.

    :param target: hidden units of the random net's layers.
    :param predictor: of the trained net's.
    :param output: numbers that are predicted.
    :param epochs: passes over the steps at the most.
    :param batch: steps of an optimiser step.
    :param patience: training stops after so many passes without a lower error on the validation episodes, a tenth of
        all; the state with the lowest is kept.
    :param overfit: it also stops when their error is so many times that of the training episodes.
    :param seed: of initialisation, validation episodes and batches.
    """

    name: ClassVar[str] = "rnd_oe"
    parameters: ClassVar[Mapping[str, type]] = {
        "target": list, "predictor": list, "output": int, "epochs": int, "batch": int, "learning_rate": float,
        "weight_decay": float, "patience": int, "overfit": float, "seed": int,
    }  # fmt: skip

    def __init__(
        self,
        aggregator: str = "running_mean",
        feature: str = "features",
        standardise: bool = True,
        target: Sequence[int] = (128,),
        predictor: Sequence[int] = (128, 128),
        output: int = 64,
        epochs: int = 250,
        batch: int = 256,
        learning_rate: float = 1e-3,
        weight_decay: float = 1e-5,
        patience: int = 7,
        overfit: float = 5.0,
        seed: int = 0,
    ) -> None:
        super().__init__(aggregator, feature, standardise, success_only=True)
        self.target = checked_sizes(target, f"{self.name}: target")
        self.predictor = checked_sizes(predictor, f"{self.name}: predictor")
        positive(self.name, output=output, epochs=epochs, batch=batch, learning_rate=learning_rate)
        positive(self.name, patience=patience, overfit=overfit)
        self.output, self.epochs, self.batch, self.patience = output, epochs, batch, patience
        self.learning_rate, self.weight_decay, self.overfit, self.seed = learning_rate, weight_decay, overfit, seed

    def fit_side(self, episodes: list[Stored], share: float, progress: Progress | None) -> Distillation:
        """See :meth:`ContrastDetector.fit_side`."""
        with training_extra(self.name, "torch"):
            from vla_uq.detectors.rnd_oe_training import train
        return train(episodes, self, progress)

    def load_side(self, tensors: Tensors, width: int, where: str) -> Distillation:
        """See :meth:`ContrastDetector.load_side`."""
        return Distillation.from_tensors(tensors, width, self.target, self.predictor, self.output, where)

    @classmethod
    def _all_parameters(cls) -> dict[str, type]:
        return {name: kind for name, kind in super()._all_parameters().items() if name != "success_only"}
