"""Measure how good predictions are: sums and counts on the device first, one division at the end."""

import torch
from torch import Tensor
from torch.nn import functional

SUMS = 5
BINS = 15  # of the expected calibration error, equal width (Guo et al. 2017)


class Sums:
    """Sums over the predictions of a split, kept on the device so that no batch waits for the host."""

    NAMES = ("loss", "accuracy", "ece", "brier", "confidence_right", "confidence_wrong")

    def __init__(self, device: torch.device) -> None:
        # [loss, correct, squared error, confidence where right, confidence where wrong], then a sum of
        # (correct - confidence) a bin: in one tensor, so that all of it is one copy to the host.
        self.totals = torch.zeros(SUMS + BINS, dtype=torch.float64, device=device)
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
        rows = torch.stack([loss.double(), right, squared.double(), confidence * right, confidence * (1 - right)])
        self.totals[:SUMS] += rows.sum(dim=1)
        index = (confidence * BINS).ceil().long().clamp(1, BINS) - 1  # bin m holds ((m - 1) / M, m / M]
        # A product and no `index_add_`, which on a GPU adds in any order: the same seed is to give the same numbers.
        self.totals[SUMS:] += (right - confidence.double()) @ functional.one_hot(index, BINS).double()
        self.count += len(labels)

    def result(self, totals: Tensor) -> dict[str, float | None]:
        """Compute metrics from `totals`, brought to the host: loss in nats, accuracy in percent, the rest as fractions.

        `None` where there was nothing to average. `ece`: expected calibration error, |accuracy - confidence| averaged
        over the examples of 15 bins. `brier`: mean squared error over all K classes, in [0, 2]. `confidence_right`,
        `confidence_wrong`: mean probability of the predicted class.
        """
        loss, right, squared, sure_right, sure_wrong = totals[:SUMS].tolist()
        n = self.count
        if not n:
            return dict.fromkeys(self.NAMES)
        ece = totals[SUMS:].abs().sum().item() / n
        confidence_right = sure_right / right if right else None
        confidence_wrong = sure_wrong / (n - right) if right < n else None
        values = (loss / n, 100 * right / n, ece, squared / n, confidence_right, confidence_wrong)
        return dict(zip(self.NAMES, values, strict=True))
