"""How good a ranking of suspects is, where clean labels are known."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, roc_auc_score

from tosmooth.trainables.suspects.ranking import Ranking


class Quality(NamedTuple):
    """Quality of a ranking, in [0, 1] each; None where it is not defined: no label is wrong, or all are."""

    auroc: float | None  # probability that a wrong label stands before a right one
    auroc_of_scores: float | None  # the same by the scores alone, equal ones counted as half: what the margin adds
    average_precision: float | None
    precision_at_wrong: float | None  # share of wrong labels among the first N, N being the number of wrong ones
    precision_at_likely: float | None  # among the first N, N being cleanlab's count of likely errors
    precision_at_100: float | None
    proposed_right: float | None  # share of the wrong labels among these likely errors whose proposed label is right


def quality(ranking: Ranking, clean: NDArray[np.int64], known: NDArray[np.bool_]) -> Quality:
    """Judge a ranking by the `clean` labels [N] of the rows where they are `known` [N]."""
    order = ranking.order[known[ranking.order]]
    wrong = ranking.given != clean
    found = wrong[order]
    several = known.any() and 0 < found.sum() < len(found)
    likely = None
    if ranking.likely is not None:
        likely = int(known[ranking.order[: ranking.likely]].sum())
    first = order[: likely or 0]
    errors = first[wrong[first]]
    right = float((ranking.proposed[errors] == clean[errors]).mean()) if len(errors) else None
    return Quality(
        auroc=float(roc_auc_score(wrong[known], ranking.suspicion[known])) if several else None,
        auroc_of_scores=float(roc_auc_score(wrong[known], -ranking.score[known])) if several else None,
        average_precision=float(average_precision_score(wrong[known], ranking.suspicion[known])) if several else None,
        precision_at_wrong=_precision(found, int(found.sum())),
        precision_at_likely=_precision(found, likely),
        precision_at_100=_precision(found, 100) if len(found) >= 100 else None,
        proposed_right=right,
    )


def _precision(found: NDArray[np.bool_], first: int | None) -> float | None:
    return float(found[:first].mean()) if first else None
