"""Notes on a level's data, which hold before anything is trained."""

from tosmooth.search.records import Level

FEW_COPIES = 0.01  # share of examples seen in training that does no harm
MANY_COPIES = 0.05  # share of the examples from which on a reader is told that copies were kept together


def on_data(level: Level) -> list[str]:
    """Say what of the data spoils a comparison."""
    found = []
    if level.untrained:
        classes = "classes" if "," in level.untrained else "class"
        have = "have" if "," in level.untrained else "has"
        found.append(f"{classes} {level.untrained} {have} no training example: try another dataset.split_seed")
    if level.shared >= FEW_COPIES:
        share, why = _percent(level.shared), "too few are distinct to keep them apart"
        found.append(f"{share} of the noisy validation equals training examples, {why}: it rewards learning by heart")
    elif level.copies >= MANY_COPIES:
        found.append(f"{_percent(level.copies)} of the examples are copies of others, kept on one side of the split")
    if level.test_shared >= FEW_COPIES:
        found.append(f"{_percent(level.test_shared)} of the test set equals training examples")
    return found


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
