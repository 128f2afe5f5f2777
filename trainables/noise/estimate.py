"""Estimate of the noise by the noisy labels alone: cleanlab's confident learning on held-out examples."""

from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from tosmooth.trainables.noise.synthetic import Matrix, by_rows

FEW_CLASSES = 3  # up to here cleanlab advises its calibrated count


class HeldOut:
    """Logits of a run of plain cross-entropy on the noisy validation, which it never trains on.

    The epoch of highest noisy-validation accuracy counts, the first of equals. Later ones have memorised wrong labels,
    which looks like more noise: twonorm at 0.402 gives 0.44 at the last epoch, 0.42 at this one.
    """

    def __init__(self) -> None:
        self.accuracy = -1.0  # percent
        self.logits: Tensor | None = None  # float32 [n, K]

    def add(self, accuracy: float | None, logits: Tensor) -> None:
        """Keep an epoch's `logits` [n, K] if its noisy-validation accuracy is the highest so far."""
        if accuracy is not None and accuracy > self.accuracy:
            self.accuracy, self.logits = accuracy, logits

    def noise_rate(self, labels: Tensor) -> float | None:
        """Return `estimated_noise_rate` of the noisy `labels` [n]; `None` also if no epoch was added."""
        return None if self.logits is None else estimated_noise_rate(functional.softmax(self.logits, dim=1), labels)

    def never_predicted(self, labels: Tensor) -> int:
        """Count the classes of the noisy `labels` [n] that no example is predicted as."""
        predicted = torch.empty(0) if self.logits is None else self.logits.argmax(dim=1).unique()
        return int((~torch.isin(labels.unique(), predicted.to(labels.device))).sum())

    def transition(self, labels: Tensor) -> Matrix | None:
        """Return `estimated_transition` of the noisy `labels` [n]; `None` also if no epoch was added."""
        return None if self.logits is None else estimated_transition(functional.softmax(self.logits, dim=1), labels)

    def state(self) -> dict[str, Any]:
        """State for a trunk: a run that branches from it estimates the same noise rate as one that does not."""
        return {"accuracy": self.accuracy, "logits": self.logits}

    def load(self, state: dict[str, Any], device: torch.device) -> None:
        """Restore what `state` returned, on `device`."""
        self.accuracy, logits = state["accuracy"], state["logits"]
        self.logits = None if logits is None else logits.to(device)


def has_cleanlab() -> bool:
    """True if cleanlab, which estimates the noise, is installed."""
    return find_spec("cleanlab") is not None


def estimated_noise_rate(probabilities: Tensor, labels: Tensor) -> float | None:
    """Estimate the share of wrong `labels` [n], in [0, 1], by out-of-fold `probabilities` [n, K].

    `None` without cleanlab, and where all labels are of one class.

    Confident learning (Northcutt et al. 2021, arXiv 1911.00068): an example counts as of class k where its probability
    of k reaches the mean probability of k over all examples labelled k. Wrong are those that count as of another class
    than their label. With three classes or fewer so many examples count as of none that these few are too few: there,
    as cleanlab advises, the counts are calibrated to the frequencies of the labels first.

    It is as good as the network: what a weak one confuses counts as noise, and makes the estimate too high; what it is
    unsure of does not count, and makes it too low. Seen, estimated for measured: twonorm 0.006 for 0, 0.21 for 0.203,
    0.42 for 0.402; digits 0 for 0, 0.15 for 0.181, 0.34 for 0.384; a small CNN after ten epochs on 9,000 images of
    CIFAR-10N, right on 62 and 42 % of the noisy validation, 0.20 for 0.099 and 0.44 for 0.411.
    """
    if (labels == labels[0]).all():  # cleanlab refuses them
        return None
    try:
        # Takes 2 s and 120 MB, scikit-learn and pandas with it: for runs that estimate. A bare machine may lack it.
        from cleanlab.count import num_label_issues  # noqa: PLC0415
    except ImportError:
        return None
    given, p = labels.cpu().numpy(), probabilities.double().cpu().numpy()
    method = "off_diagonal" if p.shape[1] > FEW_CLASSES else "off_diagonal_calibrated"
    return float(num_label_issues(given, p, estimation_method=method)) / len(given)


def estimated_transition(probabilities: Tensor, labels: Tensor) -> Matrix | None:
    """Estimate the transition matrix [K, K] of `labels` [n] by out-of-fold `probabilities` [n, K].

    It holds P(noisy label = column | clean label = row). `None` where `estimated_noise_rate` is. The counts are
    those of confident learning, too, calibrated to the frequencies of the labels whatever the number of classes. Labels
    of a class that no example counts as stay.
    """
    if (labels == labels[0]).all():
        return None
    try:
        from cleanlab.count import estimate_joint  # noqa: PLC0415 - as above
    except ImportError:
        return None
    return by_rows(estimate_joint(labels.cpu().numpy(), probabilities.double().cpu().numpy()).T)
