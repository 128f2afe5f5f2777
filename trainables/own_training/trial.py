"""A trial as the user's function sees it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from tosmooth.trainables.config import TrialConfig
from tosmooth.trainables.data.datasets import LevelData
from tosmooth.trainables.losses import gls_loss

NOT_USED = -1  # label of a row that the study does not use


class StopTrial(BaseException):
    """Exception of `Trial.report` where the trial is pruned or stopped: do not catch it, or raise it again.

    It is a `BaseException`, so that an `except Exception` of yours does not catch it.
    """


class Line(Protocol):
    """Way by which a trial speaks to what runs it."""

    def report(self, epoch: int, metrics: Mapping[str, object]) -> None: ...

    def save(self, epoch: int, state: Any) -> None: ...

    def load(self) -> Any: ...


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Trial:
    """Trial of a study: what to train with, and where to report.

    Epochs count from 1 to `epochs`. Report each of them, in order. The data are those of the study's noise level:
    `inputs[train]` with `labels[train]` is the training set, `inputs[validation]` with `labels[validation]` the noisy
    validation, by which trials are scored. The clean test set, where there is one, chooses nothing. Rows are in the
    order of their source, without those that have no label.
    """

    params: dict[str, Any]  #: values of the search space, by names without "arguments.", and the study's `arguments`
    seed: int  #: training seed; Python's, NumPy's and torch's generators were seeded with it
    epochs: int  #: length of the run
    device: torch.device  #: a GPU where there is one
    classes: int  #: number of classes, K
    class_names: tuple[str, ...]  #: names of the classes of your own data; else ()
    noise: str  #: noise level
    inputs: Tensor  #: float32 [N, D] features, scaled; or uint8 [N, H, W, C] pictures, which must not be written to
    labels: Tensor  #: int64 [N], -1 where a row is not used
    train: Tensor  #: int64 [n], rows
    validation: Tensor  #: int64 [m], rows
    test_inputs: Tensor | None  #: like `inputs`
    test_labels: Tensor | None  #: int64, clean
    folder: Path  #: for whatever the function writes; removed with the trial
    _config: TrialConfig
    _line: Line

    def rate(self, epoch: int) -> float:
        """Smoothing rate of an epoch: 0 during the warm-up, then the trial's; always 0 where none is searched.

        Raises `ValueError` for an epoch that the run does not have.
        """
        self._check(epoch)
        return 0.0 if epoch <= self._config.warmup else self._config.rate

    def loss(self, epoch: int) -> Callable[[Tensor, Tensor], Tensor]:
        """Loss of an epoch: a function of logits [B, K] and labels [B], or soft ones [B, K], to the mean loss [].

        It is cross-entropy against labels that are smoothed by `rate(epoch)`, in nats.
        """
        rate = self.rate(epoch)
        return lambda logits, labels: gls_loss(logits, labels, rate)

    def report(self, epoch: int, **metrics: object) -> None:
        """Report an epoch: `val_accuracy` in percent (93, not 0.93), and any other numbers.

        `test_accuracy`, `train_loss`, `val_loss`, `train_accuracy` and other metrics of an epoch by their names are
        shown like those of tosmooth's own training. Raises `StopTrial` where the trial ends here, and `ValueError` for
        what is no report of the next epoch.
        """
        self._line.report(epoch, metrics)

    def save(self, epoch: int, state: Any) -> None:
        """Keep a checkpoint after `epoch` was reported; `load` gives it back after an interruption.

        `state` is made of plain values and tensors, or is a function that returns such a state. The function is called,
        and the state written, only when a checkpoint is due (`trial_checkpoint`).
        """
        self._line.save(epoch, state)

    def load(self) -> Any:
        """Return the last state that this trial kept before it was interrupted; `None` where it begins anew.

        Call it before the first report, and go on with the epoch after that of the state.
        """
        return self._line.load()

    def _check(self, epoch: int) -> None:
        if not 1 <= epoch <= self.epochs:
            raise ValueError(f"epoch {epoch}: they count from 1 to {self.epochs}")


def make_trial(config: TrialConfig, data: LevelData, device: torch.device, folder: Path, line: Line) -> Trial:
    """Make the trial of a configuration, on copies of what a function may write to."""
    size = len(data.train.inputs)
    labels = torch.full((size,), NOT_USED)
    for split in (data.train, data.validation):
        labels[split.rows] = split.labels
    inputs = data.train.inputs
    test = data.test
    chosen = {"rate": config.rate} if config.method == "gls" else {}
    return Trial(
        params={**config.arguments, **chosen, "warmup": config.warmup, "lr_after_warmup": config.lr_after_warmup},
        seed=config.train_seed,
        epochs=config.training.epochs,
        device=device,
        classes=data.classes,
        class_names=data.class_names,
        noise=config.data.noise,
        inputs=inputs if inputs.ndim == 4 else inputs.clone(),
        labels=labels,
        train=data.train.rows.sort().values,
        validation=data.validation.rows.sort().values,
        test_inputs=None if test is None else test.inputs[test.rows],
        test_labels=None if test is None else test.labels.clone(),
        folder=folder,
        _config=config,
        _line=line,
    )
