"""How rules that pick an epoch of a run compare on the runs of a study: accuracy on the clean test set, in percent.

python tests/benchmarks/epoch_rules.py STUDY [--home DIR] [--window K] [--json FILE]

- last: the last epoch
- noisy validation: the epoch of its highest accuracy
- label wave (arXiv 2502.07551), which looks at no labels: the first epoch after which the training predictions that
  change from one epoch to the next (`train_changed`), averaged over K epochs, grow again; the last, where they never do
- oracle: the epoch that is the best on the clean test set itself

Counted are runs that completed and tested every epoch. Differences are paired, with 95 % intervals (t) over the runs:
of all runs of a level these are configurations, not seeds; of cross-entropy they are mostly seeds.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t

from tosmooth.search.api.studies import existing
from tosmooth.search.records import Record, best_epoch
from tosmooth.search.storage.home import Home
from tosmooth.trainables.errors import InputError, require

RULES = ("last", "noisy validation", "label wave", "oracle")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", help="name of a study that the home has run")
    parser.add_argument("--home", type=Path, default=Path("tosmooth-home"), metavar="DIR", help="[%(default)s]")
    parser.add_argument("--window", type=int, default=1, metavar="K", help="epochs of the average (%(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every number there, too")
    options = parser.parse_args()
    try:
        require(options.window >= 1, "--window", options.window, "at least 1")
        _, spec, records = existing(options.study, Home(options.home), None)
    except InputError as error:
        sys.exit(f"error: {error}")
    whole = [each for each in records if each.state == "complete" and _tested(each)]
    found: list[dict[str, Any]] = []
    for level in dict.fromkeys(each.level for each in whole):
        for name, some in _groups([each for each in whole if each.level == level]).items():
            if some:
                found.append({"level": level, "runs": name, **summary(some, options.window)})
    print(_table(found))
    if options.json is not None:
        content = {"study": spec.name, "window": options.window, "rows": found}
        options.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def label_wave(changed: Sequence[float | None], window: int = 1) -> int:
    """Epoch (from 1) of the first local minimum of the changed predictions, averaged over `window` epochs.

    `changed` has an entry an epoch; the first is None, as nothing came before. Without a minimum it is the last epoch.
    """
    smooth = [
        (epoch, float(np.mean(changed[epoch - window : epoch])))  # type: ignore[arg-type] # none of these is None
        for epoch in range(window + 1, len(changed) + 1)
        if all(each is not None for each in changed[epoch - window : epoch])
    ]
    for (epoch, value), (_, following) in pairwise(smooth):
        if following > value:
            return epoch
    return len(changed)


def picked(record: Record, rule: str, window: int = 1) -> int:
    """Epoch (from 1) of a run that a rule picks."""
    if rule == "label wave":
        return label_wave([each.get("train_changed") for each in record.curve], window)
    by = {"noisy validation": "val_accuracy", "oracle": "test_accuracy"}.get(rule)
    return record.epochs if by is None else best_epoch(record, by) or record.epochs


def summary(records: Sequence[Record], window: int) -> dict[str, Any]:
    """Mean accuracy and epoch of each rule over runs, and what label wave gains over noisy validation and the last."""
    epochs = {rule: [picked(each, rule, window) for each in records] for rule in RULES}
    accuracy = {
        rule: np.array([each.curve[epoch - 1]["test_accuracy"] for each, epoch in zip(records, chosen, strict=True)])
        for rule, chosen in epochs.items()
    }
    against = ("noisy validation", "last")
    return {
        "number": len(records),
        "accuracy": {rule: float(values.mean()) for rule, values in accuracy.items()},
        "epoch": {rule: float(np.mean(chosen)) for rule, chosen in epochs.items()},
        "label wave against": {other: _paired(accuracy["label wave"] - accuracy[other]) for other in against},
    }


def _paired(differences: np.ndarray[Any, Any]) -> list[float | None]:
    """Mean of paired differences and its 95 % interval, which needs two."""
    mean, n = float(differences.mean()), len(differences)
    if n < 2:
        return [mean, None, None]
    half = float(t.ppf(0.975, n - 1) * differences.std(ddof=1) / np.sqrt(n))
    return [mean, mean - half, mean + half]


def _groups(records: Sequence[Record]) -> dict[str, list[Record]]:
    plain = [each for each in records if each.loss == "gls" and each.params.get("rate") == 0]
    return {"all": list(records), "cross-entropy": plain}


def _tested(record: Record) -> bool:
    return bool(record.curve) and all(each.get("test_accuracy") is not None for each in record.curve)


def _table(found: Sequence[dict[str, Any]]) -> str:
    heads = ["level", "runs", *(f"{rule} (epoch)" for rule in RULES), "label wave - noisy validation (95 %)"]
    lines = [heads, ["---"] * len(heads)]
    for row in found:
        cells = [f"{row['accuracy'][rule]:.2f} ({row['epoch'][rule]:.1f})" for rule in RULES]
        mean, low, high = row["label wave against"]["noisy validation"]
        interval = "" if low is None else f" [{low:+.2f}, {high:+.2f}]"
        lines.append([row["level"], f"{row['number']} {row['runs']}", *cells, f"{mean:+.2f}{interval}"])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


if __name__ == "__main__":
    main()
