"""Calibration: does a network's confidence, the probability of the class it predicts, say how often it is right?

Probabilities and confidences are fractions, losses in nats. Equal-width bins and their numbers agree with
`trainables.training.metrics.Sums`, which every epoch of a trial is measured by.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from scipy.optimize import minimize_scalar
from torch import Tensor
from torch.nn import functional

from tosmooth.trainables.errors import require
from tosmooth.trainables.training.metrics import BINS, Sums

LOG_TEMPERATURE = (-10.0, 10.0)  # where it is sought: as in scikit-learn's temperature scaling


@dataclass(frozen=True, slots=True, eq=False)
class Reliability:
    """Bins of a reliability diagram, M of them (Niculescu-Mizil and Caruana 2005; Guo et al. 2017, 2).

    `right` and `count - right` are the histograms of the confidence on right and on wrong predictions, too (Wei et al.
    2022, figure 3). Where equal confidences lie in several bins, each gets its share of the right ones among them.
    """

    edges: Tensor  # float64 [M + 1], rising: bin m holds (edges[m], edges[m + 1]], an adaptive one both its ends
    count: Tensor  # float64 [M], examples
    right: Tensor  # float64 [M], of those predicted rightly
    confidence: Tensor  # float64 [M], summed over the examples

    @property
    def error(self) -> float:
        """Expected calibration error, in [0, 1]: |accuracy - confidence|, averaged over the examples."""
        return float((self.right - self.confidence).abs().sum() / self.count.sum())

    def to_dict(self) -> dict[str, list[float | None]]:
        """Convert for JSON: `edges` [M + 1], `count`, `right`, means `accuracy`, `confidence` [M], None of none."""
        means = {"accuracy": self.right / self.count, "confidence": self.confidence / self.count}
        plain: dict[str, Any] = {key: getattr(self, key).tolist() for key in ("edges", "count", "right")}
        return plain | {key: [v if math.isfinite(v) else None for v in mean.tolist()] for key, mean in means.items()}


def reliability(probabilities: Tensor, labels: Tensor, bins: int = BINS, adaptive: bool = False) -> Reliability:
    """Sort examples with `probabilities` [n, K] and `labels` [n] into bins of equal width, or of equal size.

    `adaptive`: each bin gets n / M neighbours in confidence, give or take one (Nguyen and O'Connor 2015): where
    nearly all confidences are close to 1, bins of equal width leave most of them in one. Raises `InputError` for fewer
    examples than adaptive bins.
    """
    confidence, right = _confidence(probabilities, labels)
    if adaptive:
        require(len(labels) >= bins, "bins", bins, f"at most the {len(labels)} examples")
        confidence, order = confidence.sort()
        right = _even_among_equals(confidence, right[order])
        index = torch.arange(len(labels)) * bins // len(labels)
        first = torch.searchsorted(index, torch.arange(bins))  # of each bin
        edges = torch.cat([confidence[first], confidence[-1:]])
    else:
        index = (confidence * bins).ceil().long().clamp(1, bins) - 1
        edges = torch.arange(bins + 1, dtype=torch.float64) / bins
    sums = [torch.bincount(index, each, bins) for each in (torch.ones_like(right), right, confidence)]
    return Reliability(edges, *sums)


def expected_calibration_error(
    probabilities: Tensor, labels: Tensor, bins: int = BINS, adaptive: bool = False
) -> float:
    """Expected calibration error, in [0, 1], of `probabilities` [n, K]; the bins are those of `reliability`.

    Naeini et al. 2015, Guo et al. 2017, equation 3. It is biased upwards: a perfectly calibrated network gets more than
    0 from few examples, the more so the more bins there are.
    """
    return reliability(probabilities, labels, bins, adaptive).error


def aurc(probabilities: Tensor, labels: Tensor) -> tuple[float, float]:
    """Area under the risk-coverage curve, in [0, 1], and its excess over the best order of the same errors.

    Selective prediction answers for the most confident examples alone: risk is the share of wrong answers among them,
    averaged over the coverages 1/n, 2/n, ..., 1. The excess (E-AURC) is free of the accuracy: 0 where every wrong
    prediction is less confident than every right one. Equal confidences stand in random order: the expectation.
    Geifman and El-Yaniv 2017; Geifman, Uziel and El-Yaniv 2019.
    """
    confidence, right = _confidence(probabilities, labels)
    confidence, order = confidence.sort(descending=True)
    wrong = 1 - _even_among_equals(confidence, right[order])
    covered = torch.arange(1, len(wrong) + 1, dtype=torch.float64)
    area = (wrong.cumsum(0) / covered).mean()
    best = ((covered - right.sum()).clamp(min=0) / covered).mean()
    return float(area), float(area - best)


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """Fit the temperature T > 0: softmax(`logits` [n, K] / T) has the least negative log-likelihood of `labels` [n].

    Guo et al. 2017, 4.2. No prediction changes, only how sure it is; T > 1 makes less sure. Sought between e^-10 and
    e^10: where all examples are right it is near 0, where the network is worse than chance at the upper end.

    It is fitted on the noisy validation split, which is what a user has, and so calibrates for noisy labels: at a noise
    rate of e nobody is right on more than 1 - e of them, and T becomes too high for clean labels. A network that is
    scaled this way is expected to be too unsure on the clean test set, the more so the more noise there is. What the
    scaled errors say is how far a user gets, not how far the network could.
    """
    z = logits.double()

    def loss(log_temperature: float) -> float:
        return functional.cross_entropy(z * math.exp(-log_temperature), labels).item()

    # One minimum: the loss is convex in 1 / T, which falls in the logarithm.
    return math.exp(minimize_scalar(loss, bounds=LOG_TEMPERATURE, options={"xatol": 1e-8}).x)


def scores(logits: Tensor, labels: Tensor) -> dict[str, float | None]:
    """Compute all scores of `logits` [n, K] for `labels` [n].

    `accuracy`, `balanced_accuracy` and `macro_f1` in percent, `nll` in nats, `ece` (15 bins of equal width), `brier`
    (over all classes, in [0, 2]) and the mean `confidence_right`, `confidence_wrong` as in
    `trainables.training.metrics`; `adaptive_ece` with 15 bins of equal size; `aurc` and `excess_aurc`. None where
    there is nothing to average. Not finite where the logits are not.
    """
    sums = Sums(logits.device)
    sums.add(logits, labels)
    found = sums.result(sums.totals)
    p = logits.double().softmax(dim=1)
    bins = min(BINS, len(labels))
    area, excess = aurc(p, labels)
    adaptive = expected_calibration_error(p, labels, bins, adaptive=True)
    return {"nll": found.pop("loss"), **found, "adaptive_ece": adaptive, "aurc": area, "excess_aurc": excess}


def _confidence(probabilities: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Confidence and whether the prediction is right, float64 [n] both."""
    confidence, predicted = probabilities.double().max(dim=1)
    return confidence, (predicted == labels).double()


def _even_among_equals(confidence: Tensor, right: Tensor) -> Tensor:
    """Average `right` [n] over equal values of the sorted `confidence` [n]: no result hangs on the examples' order."""
    _, group, size = confidence.unique_consecutive(return_inverse=True, return_counts=True)
    means: Tensor = torch.bincount(group, right, len(size)) / size
    return means[group]
