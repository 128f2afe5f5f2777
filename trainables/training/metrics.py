"""Measure how good predictions are: sums and counts on the device first, one division at the end."""

import torch
from torch import Tensor
from torch.nn import functional

SUMS = 6
BINS = 15  # of the expected calibration error, equal width (Guo et al. 2017)


class Sums:
    """Sums over the predictions of a split, kept on the device so that no batch waits for the host."""

    NAMES = (
        *("loss", "accuracy", "ece", "brier", "confidence_right", "confidence_wrong"),
        *("mean_abs_logit", "balanced_accuracy", "macro_f1"),
    )

    def __init__(self, device: torch.device) -> None:
        # [loss, correct, squared error, confidence where right, confidence where wrong, |logit|], then
        # a sum of (correct - confidence) a bin.
        self.sums = torch.zeros(SUMS + BINS, dtype=torch.float64, device=device)
        self.seen: list[tuple[Tensor, Tensor]] = []  # labels [B] and predictions [B] of each batch
        self.classes = 0
        self.count = 0

    @torch.inference_mode()
    def add(self, logits: Tensor, labels: Tensor) -> None:
        """Add a batch: `logits` [B, K], `labels` [B]."""
        z = logits.float()
        log_p = functional.log_softmax(z, dim=1)
        p = log_p.exp()
        confidence, predicted = p.max(dim=1)  # [B], [B]
        right = (predicted == labels).double()
        loss = -log_p.gather(1, labels[:, None])[:, 0]
        # |p - onehot|^2 = |p|^2 - 2 p_y + 1
        squared = p.square().sum(dim=1) - 2 * p.gather(1, labels[:, None])[:, 0] + 1
        size = z.abs().double().mean(dim=1)
        sure = confidence * right, confidence * (1 - right)
        rows = torch.stack([loss.double(), right, squared.double(), *sure, size])
        self.sums[:SUMS] += rows.sum(dim=1)
        index = (confidence * BINS).ceil().long().clamp(1, BINS) - 1  # bin m holds ((m - 1) / M, m / M]
        # A product and no `index_add_`, which on a GPU adds in any order: the same seed is to give the same numbers.
        self.sums[SUMS:] += (right - confidence.double()) @ functional.one_hot(index, BINS).double()
        self.seen.append((labels, predicted))
        self.classes = logits.shape[1]
        self.count += len(labels)

    @property
    def totals(self) -> Tensor:
        """Sums, then counts of each class (its examples, its predictions, those that are right): one copy to the host.

        The counts are taken at once: a batch of the smallest networks takes no longer than counting it.
        """
        if not self.seen:
            return self.sums
        labels, predicted = (torch.cat(each) for each in zip(*self.seen, strict=True))
        K = self.classes
        place = torch.cat([labels, K + predicted, torch.where(predicted == labels, 2 * K + labels, 3 * K)])
        counts = self.sums.new_zeros(3 * K + 1)
        # Whole numbers: their sum is the same in whatever order a GPU adds them.
        counts.index_add_(0, place, self.sums.new_ones(()).expand(len(place)))
        return torch.cat([self.sums, counts[:-1]])

    def result(self, totals: Tensor) -> dict[str, float | None]:
        """Compute metrics from `totals`, on the host: loss in nats, accuracies and F1 in percent, else fractions.

        `None` where there was nothing to average. `ece`: expected calibration error, |accuracy - confidence| averaged
        over the examples of 15 bins. `brier`: mean squared error over all K classes, in [0, 2]. `confidence_right`,
        `confidence_wrong`: mean probability of the predicted class. `mean_abs_logit`: mean of |logit| over
        the examples and classes. `balanced_accuracy`: mean accuracy of the classes
        that the split has; `macro_f1`: mean F1 of the classes that it has or that were predicted, 0 where none is
        right: scikit-learn's `balanced_accuracy_score`, and `f1_score` with `average="macro", zero_division=0`.
        """
        loss, right, squared, sure_right, sure_wrong, size = totals[:SUMS].tolist()
        n = self.count
        if not n:
            return dict.fromkeys(self.NAMES)
        there, told, hits = self._counts(totals)
        gaps = totals[SUMS : SUMS + BINS].abs().sum()
        gap, *by_class = torch.stack([gaps, _mean(hits, there), _mean(2 * hits, there + told)]).tolist()
        confidence_right = sure_right / right if right else None
        confidence_wrong = sure_wrong / (n - right) if right < n else None
        values = (loss / n, 100 * right / n, gap / n, squared / n, confidence_right, confidence_wrong, size / n)
        return dict(zip(self.NAMES, (*values, *by_class), strict=True))

    def of_classes(self, totals: Tensor) -> list[float | None]:
        """Accuracy of each class in percent, from `totals`; `None` for one that the split has no example of."""
        there, _, hits = self._counts(totals).tolist()
        return [100 * right / n if n else None for right, n in zip(hits, there, strict=True)]

    def _counts(self, totals: Tensor) -> Tensor:
        """Examples, predictions and right predictions of each class [3, K]."""
        return totals[SUMS + BINS :].view(3, self.classes)


def _mean(parts: Tensor, wholes: Tensor) -> Tensor:
    """Mean share of the classes [K] that have a whole, in percent []."""
    return 100 * (parts / wholes.clamp(min=1)).sum() / (wholes > 0).sum()
