"""Objective that a run minimises: plain cross-entropy during its warm-up, its method's loss from then on."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tosmooth.trainables.config import TrialConfig
from tosmooth.trainables.data.datasets import LevelData
from tosmooth.trainables.errors import InputError, require
from tosmooth.trainables.losses import Facts, Loss, Mixed, MixingLoss, StatefulLoss, Step, gls_loss, make_loss
from tosmooth.trainables.methods import METHODS
from tosmooth.trainables.noise.synthetic import Matrix
from tosmooth.trainables.training.imbalance import class_weights_of

# Inputs [B, ...], the network's logits [B, K] and labels [B] to a loss [].
Criterion = Callable[[Tensor, Tensor, Tensor], Tensor]


class Objective:
    """The loss of a run. `begin` each epoch, `end` it, and keep its `state` with that of the network."""

    def __init__(
        self,
        config: TrialConfig,
        data: LevelData,
        steps: int,
        generator: torch.Generator,
        criterion: Criterion | None = None,
    ) -> None:
        """Take `steps` of an epoch; `generator`: the run's, on its device; `criterion`: in place of the method."""
        self.criterion = criterion
        self.config, self.steps, self.generator, self.measured = config, steps, generator, data.transition
        self.facts = Facts(data.classes, len(data.train), generator.device)
        soft = data.train.soft
        self.soft = None if soft is None else soft.to(generator.device)  # [n, K], trained on instead of the labels
        weights = class_weights_of(config.training, data.train.labels, data.classes, data.class_names)
        self.class_weights = None if weights is None else weights.to(generator.device)  # [K]
        self.estimates = METHODS[config.method].needs_transition and config.transition == "estimated"
        self.transition: Tensor | None = None  # [K, K], what the method was given
        self.method: Loss | None = None  # from the end of the warm-up on
        self._mixing: MixingLoss | None = None  # the same, where it mixes inputs

    def begin(self, epoch: int, estimated: Callable[[], Matrix | None]) -> None:
        """Prepare for `epoch` (from 0). `estimated`: the transition matrix by what the warm-up predicts."""
        if self.method is None and epoch >= self.config.warmup:
            if METHODS[self.config.method].needs_transition:
                self.transition = self._transition(estimated)
            self._make()

    def end(self) -> None:
        """Finish an epoch."""
        if isinstance(self.method, StatefulLoss):
            self.method.end_epoch()

    def mixed(self, inputs: Tensor, labels: Tensor) -> tuple[Tensor, Mixed | None]:
        """The inputs as the network is to see them, and with what they were mixed, where the method mixes them."""
        if self._mixing is None:
            return inputs, None
        return self._mixing.mix(inputs, labels, self.generator)

    def __call__(
        self, inputs: Tensor, logits: Tensor, labels: Tensor, step: int, index: Tensor, mixed: Mixed | None
    ) -> Tensor:
        """The mean loss [] of a batch: logits [B, K], labels [B], `step` from 0 over the whole run, `index` [B].

        Examples count in it by the weight of their class, and where the data have soft targets these take the place of
        the labels; neither for a `criterion`.
        """
        if self.criterion is not None:
            return self.criterion(inputs, logits, labels)
        weights = self.weights(labels)
        if self.soft is not None:
            labels = self.soft[index]
        if self.method is None:
            return gls_loss(logits, labels, 0.0, weights)
        since = step / self.steps - self.config.warmup
        return self.method(logits, labels, Step(step // self.steps, since, index, self.generator, mixed, weights))

    def weights(self, labels: Tensor) -> Tensor | None:
        """Weights [B] of examples with these labels; `None` where all weigh the same."""
        return None if self.class_weights is None else self.class_weights[labels]

    def state(self) -> dict[str, Any]:
        """State that the next epoch needs of the objective."""
        own = self.method.state() if isinstance(self.method, StatefulLoss) else None
        return {"begun": self.method is not None, "transition": self.transition, "method": own}

    def load(self, state: dict[str, Any]) -> None:
        """The inverse of `state`."""
        if not state["begun"]:
            return
        self.transition = state["transition"]
        self._make()
        if isinstance(self.method, StatefulLoss):
            self.method.load(state["method"])

    def _make(self) -> None:
        own = {"rate": self.config.rate} if self.config.method == "gls" else {}
        facts = replace(self.facts, transition=self.transition)
        self.method = make_loss(self.config.method, {**self.config.parameters, **own}, facts)
        self._mixing = self.method if isinstance(self.method, MixingLoss) else None

    def _transition(self, estimated: Callable[[], Matrix | None]) -> Tensor:
        known = _known_transition(self.config, self.measured) if self.config.transition != "estimated" else estimated()
        rule = "it needs cleanlab, and labels of more than one class"
        require(known is not None, "transition", self.config.transition, rule)
        return torch.as_tensor(known)


def check_transition(config: TrialConfig, data: LevelData) -> None:
    """Raise `InputError` where the transition matrix of a run is known before it starts, and cannot be used."""
    if config.transition not in (None, "estimated"):
        known = torch.as_tensor(_known_transition(config, data.transition))
        make_loss(config.method, config.parameters, Facts(data.classes, len(data.train), torch.device("cpu"), known))


def _known_transition(config: TrialConfig, measured: Matrix | None) -> Matrix:
    if config.transition != "measured":
        return np.array(config.transition, dtype=float, ndmin=2)
    if measured is None:
        raise InputError("transition: 'measured' is refused: no clean labels are known to measure it by")
    return measured
