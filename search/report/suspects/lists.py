"""List of a cell's suspects, and how good it is, from what the networks of the folds said."""

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from tosmooth.search.records import Cell
from tosmooth.search.report.analysis.cells import CE, Arm
from tosmooth.search.report.cell_results import HARDLY
from tosmooth.search.report.suspects.files import ON_PAGE, SCHEMA, SuspectList
from tosmooth.search.selection.comparison import FEWEST, paired_gain
from tosmooth.search.spec.parameters import in_short
from tosmooth.search.spec.study import StudySpec
from tosmooth.trainables.data.copies import Rows
from tosmooth.trainables.data.datasets import LevelData
from tosmooth.trainables.data.places import Places
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.noise.synthetic import NONE
from tosmooth.trainables.suspects.folds import Folds
from tosmooth.trainables.suspects.out_of_fold import Logits
from tosmooth.trainables.suspects.quality import Quality, quality
from tosmooth.trainables.suspects.ranking import Ranking, ranked

Said = Mapping[int, "tuple[Logits, int] | str"]  # by seed: logits [N, K] and how many networks diverged; or why


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """Examples of one level, training set before validation, and their folds."""

    data: LevelData
    folds: Folds
    places: Places

    @property
    def fold(self) -> Rows:
        """Fold of each example [N]."""
        return np.concatenate([self.folds.train, self.folds.validation])

    @property
    def trained(self) -> NDArray[np.bool_]:
        """Which examples are of the training set [N]."""
        return np.arange(len(self.fold)) < len(self.folds.train)

    @property
    def given(self) -> NDArray[np.int64]:
        """Label of each example [N]."""
        return torch.cat([self.data.train.labels, self.data.validation.noisy_labels]).numpy()

    @property
    def clean(self) -> NDArray[np.int64]:
        """Right label of each example [N], NONE where it is not known."""
        parts = [(each, each.clean) for each in (self.data.train, self.data.validation)]
        return np.concatenate([np.full(len(e), NONE) if clean is None else clean.numpy() for e, clean in parts])

    def pictures(self, table: pa.Table, top: int | None) -> dict[int, torch.Tensor]:
        """Pictures, uint8 [H, W, 3], of the first rows of a list, by their rows; none of features."""
        inputs = self.data.train.inputs
        if inputs.ndim != 4:
            return {}
        own = torch.cat([self.data.train.rows, self.data.validation.rows]).tolist()
        at = dict(zip(self.places.rows.tolist(), own, strict=True))
        return {row: inputs[at[row]] for row in table["row"].slice(0, top or ON_PAGE).to_pylist()}


@dataclass(frozen=True, slots=True)
class CellArms:
    """Arms of one cell: the chosen one, whose list it is, and those that it is compared with."""

    cell: Cell
    arms: list[Arm]

    @property
    def own(self) -> Arm:
        return next(arm for arm in self.arms if arm.chosen)


def suspect_list(spec: StudySpec, each: CellArms, judged: Judged, said: Mapping[str, Said]) -> SuspectList:
    """Make the list of a cell; `said` by the names of its arms. Raises `InputError` where its own networks diverged."""
    own = {seed: found for seed, found in said[each.own.name].items() if not isinstance(found, str)}
    if not own:
        why = next(found for found in said[each.own.name].values() if isinstance(found, str))
        advice = "more --folds leave more to train on"
        raise InputError(f"{each.cell.key}: networks of the chosen parameters diverge on a fold ({why}): {advice}")
    ranking = ranked([logits for logits, _ in own.values()], judged.fold, judged.given, judged.trained)
    about = {
        "study": spec.name,
        "level": each.cell.level,
        "dataset": spec.dataset.name,
        "noise": each.cell.noise,
        "method": each.cell.method,
        "arm": each.own.name,
        "parameters": each.own.params,
        "digest": judged.data.digest,
        "rows": len(judged.given),
        "training_rows": len(judged.data.train),
        "validation_rows": len(judged.data.validation),
        "likely_errors": ranking.likely,
        "folds": judged.folds.number,
        "seeds": list(own),
        "agreement": ranking.agreement,
        "runaway": ranking.runaway,
        "tied": ranking.tied,
        "notes": _notes(ranking, judged, each.own, said[each.own.name]),
        "quality": _quality(each, ranking, judged, said),
    }
    return SuspectList(_table(ranking, judged), about)


def _notes(ranking: Ranking, judged: Judged, own: Arm, said: Said) -> list[str]:
    """What a reader must know of a list."""
    found = []
    largest = float(np.bincount(judged.given).max() / len(judged.given))
    if ranking.runaway:
        found.append(
            f"the loss runs away at {in_short(own.params)} (mean size of a logit {ranking.logit:.0e}): the networks' "
            "own probabilities are useless; these are of logits scaled to fit the labels, the order is by the margin"
        )
    if ranking.tied > 0.01:
        found.append(f"{100 * ranking.tied:.0f} % of the rows share their score with others: ordered by the margin")
    if ranking.agreement <= largest + HARDLY * (1 - largest):
        found.append(
            f"the networks hardly learn: they agree with {100 * ranking.agreement:.0f} % of the labels, where always "
            f"saying the largest class would with {100 * largest:.0f} %: the list says little"
        )
    if unseen := judged.folds.unseen(judged.data):
        rows = "1 row is of a class" if unseen == 1 else f"{unseen} rows are of classes"
        found.append(f"{rows} that no other fold has to train on: suspects for that alone")
    if ranking.likely is None:
        found.append("all labels are of one class: cleanlab cannot say how many are wrong")
    lost = [why for why in said.values() if isinstance(why, str)]
    if lost:
        found.append(f"{len(lost)} of {len(said)} training seeds diverged on a fold, and are left out: {lost[0]}")
    if again := sum(found_here[1] for found_here in said.values() if not isinstance(found_here, str)):
        found.append(f"{again} networks of folds diverged, and were trained again with another seed")
    if judged.data.train.soft is not None:
        found.append("labels of this level are shares of votes: judged is the class with most of them")
    return found


def _table(ranking: Ranking, judged: Judged) -> pa.Table:
    names = judged.data.class_names or tuple(map(str, range(judged.data.classes)))
    order, clean = ranking.order, judged.clean

    def called(labels: NDArray[np.int64]) -> list[str | None]:
        return [None if label == NONE else names[label] for label in labels[order].tolist()]

    likely = np.arange(len(order)) < (ranking.likely or 0)
    columns: dict[str, Any] = {
        "rank": np.arange(1, len(order) + 1),
        "row": judged.places.rows[order],
        "place": [judged.places.texts[i] for i in order],
        "given": called(ranking.given),
        "proposed": called(ranking.proposed),
        "p_given": ranking.p_given[order],
        "p_proposed": ranking.p_proposed[order],
        "score": ranking.score[order],
        "margin": ranking.margin[order],
        "likely_error": likely,
        "part": ["train" if judged.trained[i] else "validation" for i in order],
        "fold": judged.fold[order] + 1,
        "clean": called(clean),
    }
    return pa.table(columns, SCHEMA)


def _quality(each: CellArms, ranking: Ranking, judged: Judged, said: Mapping[str, Said]) -> dict[str, Any] | None:
    """How good the list is, and lists of single seeds of each arm; `None` where no clean label is known."""
    clean, known = judged.clean, judged.clean != NONE
    if not known.any():
        return None
    by_arm: dict[str, dict[int, Quality]] = {}
    for arm in each.arms:
        kept = {seed: found[0] for seed, found in said[arm.name].items() if not isinstance(found, str)}
        by_arm[arm.name] = {
            seed: quality(ranked([logits], judged.fold, judged.given, judged.trained), clean, known)
            for seed, logits in kept.items()
        }
    arms = []
    for arm in each.arms:
        measures = {name: _measure(name, by_arm[arm.name], by_arm.get(CE)) for name in Quality._fields}
        seeds = list(by_arm[arm.name])
        arms.append({"arm": arm.name, "parameters": arm.params, "seeds": seeds, "measures": measures})
    wrong = int((judged.given[known] != clean[known]).sum())
    whole = quality(ranking, clean, known)._asdict()
    return {"known_rows": int(known.sum()), "wrong_rows": wrong, "list": whole, "arms": arms}


def _measure(name: str, own: Mapping[int, Quality], ce: Mapping[int, Quality] | None) -> dict[str, float | None]:
    """Mean of a measure over the seeds, with its 95 % interval, and the difference to cross-entropy in pairs."""
    values, base = _values(own, name), {} if ce is None or ce is own else _values(ce, name)
    zero = dict.fromkeys(values, 0.0)
    _, low, high = paired_gain(values, zero) if len(values) >= FEWEST else (None, None, None)
    gain, gain_low, gain_high = paired_gain(values, base)
    if len(values.keys() & base.keys()) < FEWEST:
        gain_low = gain_high = None
    return {
        "mean": statistics.fmean(values.values()) if values else None,
        "low": low,
        "high": high,
        "minus_ce": gain,
        "minus_ce_low": gain_low,
        "minus_ce_high": gain_high,
    }


def _values(found: Mapping[int, Quality], name: str) -> dict[int, float]:
    return {seed: value for seed, each in found.items() if (value := getattr(each, name)) is not None}
