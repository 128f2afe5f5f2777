"""Ranking of labels by how likely they are wrong, from out-of-fold logits: cleanlab's scores, and what orders ties.

| word | meaning |
|---|---|
| score | cleanlab's normalised margin of the given label, in [0, 1]: 0 for a label that is surely wrong |
| margin | log odds of the given label against the best other, in units of the median of their sizes in that network |

A network whose loss runs away has logits of a size that says nothing, and probabilities of 0 and 1. Each disagreement
would be a sure error then: on clean Twonorm at r = -0.3 cleanlab counts 2.5 % of the labels wrong. So logits of such
networks are scaled, in each fold by a temperature that is fitted to the labels of its training examples (Guo et al.
2017): 0.3 %. It is known badly where many labels are wrong, so the order is that of the margin there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import softmax

from tosmooth.trainables.analysis.calibration import fit_temperature
from tosmooth.trainables.data.copies import Rows
from tosmooth.trainables.noise.estimate import estimated_noise_rate
from tosmooth.trainables.noise.synthetic import Labels
from tosmooth.trainables.training.divergence import UNBOUNDED

Floats = NDArray[np.float64]

TIED = 1e-12  # scores that differ by less are taken for equal: rounding has no say in the order


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """What out-of-fold predictions say of N labels."""

    given: Labels
    proposed: Labels  # most probable class, which may be the given one
    p_given: Floats
    p_proposed: Floats
    score: Floats
    margin: Floats
    order: Rows  # from the label that is most likely wrong on
    likely: int | None  # how many are, by cleanlab's count; None: not known
    logit: float  # mean size

    @property
    def runaway(self) -> bool:
        """True if the networks' own probabilities are useless, and logits were scaled."""
        return self.logit > UNBOUNDED

    @property
    def agreement(self) -> float:
        """Share of the labels, in [0, 1], that are as the networks propose."""
        return float((self.proposed == self.given).mean())

    @property
    def tied(self) -> float:
        """Share of the labels, in [0, 1], whose score another has, too."""
        _, counts = np.unique(_steps(self.score), return_counts=True)
        return float(counts[counts > 1].sum() / len(self.score))

    @property
    def suspicion(self) -> Floats:
        """Number of each label that rises with its place in the order: the first has the highest."""
        found = np.empty(len(self.order))
        found[self.order] = np.arange(len(self.order), 0, -1)
        return found


def ranked(logits: Sequence[NDArray[Any]], fold: Rows, given: Labels, trained: NDArray[np.bool_]) -> Ranking:
    """Rank the labels `given` [N] by the logits [N, K] of one network, or of several training seeds of it.

    `fold` [N] says which network of a seed judged a row, `trained` [N] which rows are of the training set, and may be
    used to scale logits that run away. Probabilities and margins are means over the seeds.
    Raises `ImportError` without cleanlab.
    """
    from cleanlab.rank import get_label_quality_scores  # noqa: PLC0415 - takes 2 s; a bare machine may lack it

    wide = [np.asarray(each, np.float64) for each in logits]
    size = float(np.mean([np.abs(each).mean() for each in wide]))
    usable = [_scaled(each, fold, given, trained) for each in wide] if size > UNBOUNDED else wide
    p = np.mean([softmax(each, axis=1) for each in usable], axis=0)
    margins = [_margins(each, fold, given) for each in wide]
    margin = np.mean(margins, axis=0)
    score: Floats = get_label_quality_scores(given, p, method="normalized_margin")
    # Where one is equal the other decides; where both are, the row: the same list each time.
    # Of several seeds none may outvote the others by the size of a margin, which has no bound where logits run away.
    bounded = np.mean([each / (1 + np.abs(each)) for each in margins], axis=0)
    keys = [_steps(score), bounded] if size > UNBOUNDED else [margin, _steps(score)]
    order = np.lexsort([np.arange(len(given)), *keys])
    proposed: Labels = p.argmax(axis=1)
    rows = np.arange(len(given))
    share = estimated_noise_rate(torch.from_numpy(p), torch.from_numpy(given))
    return Ranking(
        given=given,
        proposed=proposed,
        p_given=p[rows, given],
        p_proposed=p[rows, proposed],
        score=score,
        margin=margin,
        order=order,
        likely=None if share is None else round(share * len(given)),
        logit=size,
    )


def _steps(score: Floats) -> NDArray[np.int64]:
    return np.rint(score / TIED).astype(np.int64)


def _margins(logits: Floats, fold: Rows, given: Labels) -> Floats:
    """Logit of the given label less the highest other [N], in units of the median size of these in each fold."""
    rows = np.arange(len(given))
    others = logits.copy()
    others[rows, given] = -np.inf
    margin: Floats = logits[rows, given] - others.max(axis=1)
    for each in np.unique(fold):
        own = fold == each
        margin[own] /= float(np.median(np.abs(margin[own]))) or 1.0
    return margin


def _scaled(logits: Floats, fold: Rows, given: Labels, trained: NDArray[np.bool_]) -> Floats:
    """Logits [N, K] of a size at which probabilities say something: divided by one temperature in each fold."""
    scaled: Floats = logits - logits.mean(axis=1, keepdims=True)
    for each in np.unique(fold):
        own = fold == each
        scaled[own] /= float(np.median(np.abs(scaled[own]))) or 1.0  # temperatures are sought near 1
        known = torch.from_numpy(scaled[own & trained]), torch.from_numpy(given[own & trained])
        scaled[own] /= fit_temperature(*known)
    return scaled
