"""Notes on a level's data, which hold before anything is trained."""

import math

from tosmooth.search.records import Level

FEW_COPIES = 0.01  # share of examples seen in training that does no harm
MANY_COPIES = 0.05  # share of the examples from which on a reader is told that copies were kept together


def on_data(level: Level) -> list[str]:
    """Say what of the data spoils a comparison, and what was done to them."""
    found = list(level.remarks)
    if level.clean_rows is not None and level.noise_rate is not None:
        found.append(_partly(level.noise_rate, level.clean_rows, level.train_size + level.validation_size))
    if level.untrained:
        classes = "classes" if "," in level.untrained else "class"
        have = "have" if "," in level.untrained else "has"
        found.append(f"{classes} {level.untrained} {have} no training example: it is never predicted")
    if level.shared >= FEW_COPIES:
        share, why = _percent(level.shared), "too few are distinct to keep them apart"
        found.append(f"{share} of the noisy validation equals training examples, {why}: it rewards learning by heart")
    elif level.copies >= MANY_COPIES:
        found.append(f"{_percent(level.copies)} of the examples are copies of others, kept on one side of the split")
    if level.test_shared >= FEW_COPIES:
        found.append(f"{_percent(level.test_shared)} of the test set equals training examples")
    return found


def _partly(rate: float, known: int, rows: int) -> str:
    """Say how closely a noise rate is known that was measured on some of the rows: Wilson's 95 % interval."""
    z2 = 1.96**2
    middle, half = rate + z2 / (2 * known), math.sqrt(rate * (1 - rate) * z2 / known + (z2 / (2 * known)) ** 2)
    low, high = ((middle + side * half) / (1 + z2 / known) for side in (-1, 1))
    return f"noise rate measured on {known} of {rows} examples: {rate:.3g} [{max(0, low):.3g}, {min(1, high):.3g}]"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
