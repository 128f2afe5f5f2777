"""Notes of a row, the most important first: what a reader must know before quoting it."""

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tosmooth.search.records import Level, Record
from tosmooth.search.report.answer import holds_zero
from tosmooth.search.report.cell_results import CellResults
from tosmooth.search.report.data_notes import FEW_COPIES, MANY_COPIES, on_data
from tosmooth.search.report.row import Row
from tosmooth.search.selection.choice import FURTHER
from tosmooth.search.selection.comparison import FEWEST, confirmed, gain_width, outcomes, paired_gain
from tosmooth.search.selection.theory import theory_rate
from tosmooth.search.spec.parameters import BASELINE_METHOD, BASELINES, Params
from tosmooth.search.spec.scales import signed_log
from tosmooth.search.surrogate.fitting import LEAST
from tosmooth.trainables.training.divergence import BY_RULE, UNBOUNDED

SURE = 1.0  # points of standard error up to which the noisy validation counts as large
LIKELY = 0.1  # probability from which a far rate is worth a word
WORTH = 0.5  # points that are worth a word
CLOSE = 0.05  # points that no one would call a difference
RUN_AWAY = "the loss runs away: probabilities are useless, accuracy is not"
MOST = 160  # characters that are shown of the reason why trials failed


class Theory(NamedTuple):
    """Theory's rate as far as it is advice, and the note that says why it is none."""

    rate: float | None
    note: str = ""


def theory_of(cell: CellResults, noise_rate: float | None) -> Theory:
    """Rate that undoes the noise, unless it rests on nothing or lies where nothing was searched."""
    rate = theory_rate(noise_rate, cell.level.classes) if cell.method == BASELINE_METHOD else None
    if noise_rate is None or cell.method != BASELINE_METHOD:
        return Theory(None)
    if cell.level.noise_rate is None and cell.doubts:
        return Theory(None)  # the note on the estimate says why
    if rate is None:
        return Theory(None, "theory gives no rate for this much noise")
    low, high = cell.bounds or (-math.inf, math.inf)
    if not (low <= rate <= high or close(rate, low) or close(rate, high)):
        return Theory(None, f"theory's rate lies beyond the rates searched, {low:g} to {high:g}")
    return Theory(rate, "theory assumes symmetric noise" if rate and not cell.level.symmetric else "")


def notes(cell: CellResults, row: Row) -> list[str]:
    """List what a reader must know before quoting the row."""
    if cell.best is None:
        return [_nothing(cell.own), *on_data(cell.level), *_on_diverged({"CE": cell.ce, "LS": cell.ls})]
    hard = cell.hardly_learns
    found = [] if cell.of_largest is None else [_of_largest(cell.of_largest)]
    found += [] if hard is None else [_unreliable(*hard)]
    found += [] if cell.score.plain else [f"chosen by {cell.score.words}, and so is the gain"]
    found += _on_logits(cell)
    found += on_data(cell.level)
    found += [] if cell.level.test_size else [_untested(cell.level)]
    found += [] if hard else _on_choice(cell, row)
    compared = bool(cell.baselines.ce)
    arms = {"best rate": cell.arm, "CE": cell.ce, "LS": cell.ls} if compared else {"best": cell.arm}
    wide = gain_width(cell.known, cell.level, cell.score, cell.best, cell.method, cell.baselines.ce)
    found += [*_on_seeds(cell, row, arms, wide), *_on_diverged(arms)]
    if hard is None:
        found += [
            *_on_gain(row, cell.level),
            *_on_early_stopping(cell),
            *_on_label_smoothing(cell, row),
            *_on_precision(cell),
        ]
        found += filter(None, [theory_of(cell, row.noise_rate).note])
    if row.noise_rate_source == "estimated":
        doubts = ", ".join(cell.doubts)
        sure = "noise rate, and theory with it, estimated from the noisy labels"
        found.append(f"the estimate of the noise rate cannot be trusted: {doubts}" if doubts else sure)
    ce = cell.baselines.ce
    if cell.ce_of_choice is not None:
        other = in_words({key: value for key, value in ce.items() if value != cell.ce_of_choice[key]})
        found.append(f"compared with cross-entropy at {other}, which does better than at the chosen value")
    if ce and cell.best.get("lr_after_warmup", 1.0) != ce.get("lr_after_warmup", 1.0):
        found.append("gain includes that of another learning rate after the warm-up")
    known = [(cell.method, cell.best)]
    known += [(BASELINE_METHOD, params) for params in (cell.baselines.ce, cell.baselines.ls)]
    found += _on_rivals([r for r in cell.own if (r.loss, r.params) not in known])
    if failed := sum(record.phase == "confirmation" and record.state == "failed" for record in cell.own):
        found.append(f"confirmation runs that failed: {failed}")
    return found


def in_words(params: Params) -> str:
    """Tell hyperparameters in words, such as "gce.q=0.7"."""
    return ", ".join(f"{k}={v:.6g}" if isinstance(v, float) else f"{k}={v}" for k, v in params.items())


def close(rate: float, bound: float) -> bool:
    """True if a rate is the bound, or within 1 % of it on a symmetric log scale."""
    return math.isclose(signed_log(rate), signed_log(bound), rel_tol=0.01)


def _nothing(records: Sequence[Record]) -> str:
    """Say that no trial completed, why, and what to try."""
    search = [r for r in records if r.phase == "search" and r.state not in ("running", "complete")]
    states = Counter(record.state for record in search)
    if not states:
        return "no trial completed"
    counts = f"all {len(search)} {search[0].state}" if len(states) == 1 else ""
    counts = counts or ", ".join(f"{count} {state}" for state, count in states.most_common())
    reasons = Counter(record.reason for record in search if record.reason)
    if not reasons:
        return f"no trial completed: {counts}"
    (reason, count), *others = reasons.most_common()
    most = "most often " if others and count > 1 else "one " if others else ""
    shown = reason.replace(";", ",").splitlines()[0][:MOST]
    if states["failed"] > states["diverged"]:
        advice = "`tosmooth status` has all of it"
    elif reason.startswith("train_accuracy"):
        advice = "try another training.optimizer.lr, more epochs or another network"
    else:
        advice = "try a lower training.optimizer.lr, or rates nearer to 0"
    return f"no trial completed: {counts} ({most}{shown}): {advice}"


def _of_largest(accuracy: float) -> str:
    return f"accuracy is that of the largest class ({accuracy:.1f} %): selection.metric: balanced_accuracy tells more"


def _unreliable(accuracy: float, chance: float) -> str:
    right = f"{accuracy:.0f} % right where chance is {chance:.0f} %"
    return f"the network hardly learns ({right}), nothing here is reliable: train longer, or change lr or network"


def _untested(level: Level) -> str:
    kind = "clean" if level.clean_validation else "noisy"
    return f"no clean test labels: accuracies and gain are of the {kind} validation"


def _on_logits(cell: CellResults) -> list[str]:
    """Say where the loss has run away: below 0 it has no bound, and logits grow without end."""
    size = cell.mean_abs_logit
    found = [] if size is None or size <= UNBOUNDED else [RUN_AWAY]
    away = sum(r.phase == "search" and r.state == "diverged" and r.reason.endswith(BY_RULE) for r in cell.own)
    return [*found, f"trials left out since their loss runs away {BY_RULE}: {away}"] if away else found


def _on_choice(cell: CellResults, row: Row) -> list[str]:
    """Say what the search found, and whether that is evidence."""
    found = ["plain cross-entropy is the best rate found"] if row.best_rate == 0 else []
    bounds = () if cell.bounds is None or cell.bounds[0] == cell.bounds[1] else cell.bounds
    on_bound = [bound for bound in bounds if row.best_rate is not None and close(row.best_rate, bound)]
    found += [f"best rate lies on the bound {bound:g}" for bound in on_bound]
    found += [*_on_overruled(cell), *_on_decision(cell)]
    found += ["trials scored at their best epoch by noisy validation"] if cell.score.epoch == "best" else []
    if cell.readout == "posterior" and row.best_rate is not None and row.rate_low is None:
        ended = row.trials - row.pruned
        few = f"{ended} trials ended, an interval of the best rate needs {LEAST}"
        found.append(few if ended < LEAST else "all trials are equally good, so no interval of the best rate is known")
    return found


def _on_overruled(cell: CellResults) -> list[str]:
    """Say what the search chose where a baseline did better on the fresh seeds, and by how much."""
    if cell.selected is None:
        return []
    runs = cell.arm, confirmed(cell.known, cell.selected, cell.method)
    behind, _, _ = paired_gain(*(outcomes(arm, cell.score.validation, cell.level, cell.score) for arm in runs))
    told = "" if behind is None else f", by {_points(behind)} points of noisy validation"
    return [f"the search chose {in_words(cell.selected)}, which does worse on the fresh seeds{told}"]


def _on_decision(cell: CellResults) -> list[str]:
    """Say which far rate may be as good, and whether more trials would tell."""
    how, found = cell.decision, []
    if how is None:
        return []
    compared = confirmed(cell.own, how.runner_up, cell.method)  # the fresh seeds have decided between the two
    if how.runner_up is not None and how.p_runner_up >= LIKELY and not compared:
        side = "behind" if how.behind > 0 else "ahead"
        behind = "as good" if abs(how.behind) < CLOSE else f"{_points(abs(how.behind))} points {side}"
        found.append(
            f"far from it {in_words(how.runner_up)} is {behind}: better with probability {how.p_runner_up:.2g}"
        )
    if how.left is not None and cell.budget is not None and cell.confirming:
        loss = f"the choice is expected to be {_points(how.loss)} points below the best rate"
        if how.further is None:
            found.append(f"{loss}, and {FURTHER[-1]} more trials would leave {_points(how.left)} of them")
        else:
            more = f"go on with search.trials={cell.budget + how.further} (at every level)"
            found.append(f"{loss}: about {how.further} more trials would tell, {more}")
    return found


def _points(value: float) -> str:
    """Points as they are told: one digit below 1, whole ones from 10."""
    return f"{value:.0f}" if value >= 9.95 else f"{value:.1f}" if value >= 0.95 else f"{value:.1g}"


def _on_gain(row: Row, level: Level) -> list[str]:
    """Say what interval of the rate, by the search, and interval of the gain, by the fresh seeds, say together."""
    holds = holds_zero(row)
    unsure = ["the sign of the best rate is undecided: its interval holds 0"] if holds else []
    if row.best_rate == 0 or row.gain_low is None or row.gain_high is None:
        return [] if row.best_rate == 0 else unsure
    place = "the clean test set" if level.test_size else "the fresh seeds"
    clean = level.noise_rate == 0 or level.clean_validation
    told = f"the {'' if clean else 'noisy '}validation" if level.test_size else "the search"
    if row.gain_low > 0:
        gains = f"smoothing gains on {place}, though {told} alone cannot tell the best rate from 0"
        return [f"{gains}: trust the gain, not the exact rate"] if holds else []
    lost = row.gain_high < 0
    verdict = f"worse than CE on {place}" if lost else "gain over CE is within seed noise"
    if row.rate_low is None or holds:
        return [*unsure, verdict]
    do = "use CE" if lost else "more confirmation.seeds would tell"
    return [f"{verdict}, though {told} prefers this rate to 0: {do}"]


def _on_early_stopping(cell: CellResults) -> list[str]:
    """Say where cross-entropy is far better at its best epoch by noisy validation: early stopping costs no search."""
    if cell.best == cell.baselines.ce or cell.score.epoch == "best" or not cell.level.test_size:
        return []
    best = cell.score._replace(epoch="best")
    arm, early = (outcomes(runs, cell.metric, cell.level, best) for runs in (cell.arm, cell.ce))
    gained, low, _ = paired_gain(early, cell.by_seed(cell.metric)[1])
    if len(early) < len(cell.ce) or gained is None or low is None or low <= 0 or gained < WORTH:
        return []
    found = f"cross-entropy stopped at its best epoch by noisy validation is {_points(gained)} points better"
    over, low, high = paired_gain(arm, early)
    if over is None or low is None or high is None:
        return [found]
    return [f"{found}: over that the choice, stopped likewise, gains {over:+.1f} points ({low:.1f} to {high:.1f})"]


def _on_label_smoothing(cell: CellResults, row: Row) -> list[str]:
    """Say where label smoothing does better on the clean test set than what the row advises, beyond chance."""
    arm, ce, ls = cell.by_seed(cell.metric)
    behind, low, _ = paired_gain(ls, ce if (row.gain_high or 0.0) < 0 else arm)
    if not cell.level.test_size or behind is None or low is None or low <= 0 or behind < CLOSE:
        return []
    return [f"label smoothing at {BASELINES[1]:g} does better on the clean test set, by {_points(behind)} points"]


def _on_precision(cell: CellResults) -> list[str]:
    """Say how small a difference the noisy validation cannot tell, by the standard error of one accuracy.

    Accuracies of classes are as unsure as the small ones are few; macro F1 is taken for as unsure as their mean.
    """
    size = cell.level.validation_size if cell.score.plain else cell.level.balanced_size
    if not size:
        return []  # the level was measured before this was
    together = cell.level.copies if cell.level.shared < FEW_COPIES else 0.0  # else each copy has luck of its own
    rows = max(1, round(size * (1 - together)))
    fresh = list(cell.by_seed(cell.score.validation)[0].values())
    last = [value for r in cell.completed if (value := r.last(cell.score.validation)) is not None]
    accuracy = statistics.fmean(fresh or last or [50.0])
    share = (accuracy / 100 * rows + 1) / (rows + 2)  # of 2 rows that are right not all are sure to be
    error = 100 * math.sqrt(share * (1 - share) / rows)
    if error < SURE:
        return []
    kind = f"{'distinct ' if together >= MANY_COPIES else ''}{'clean' if cell.level.clean_validation else 'noisy'}"
    what = f"{kind} validation row{'' if rows == 1 else 's'}"
    points = "point" if round(error) == 1 else "points"
    if not cell.score.plain:
        what = f"of equal classes would tell as much of {cell.score.words} as the validation"
    return [f"{rows} {what}: a difference under {error:.0f} {points} is noise"]


def _on_rivals(records: Sequence[Record]) -> list[str]:
    """Other finalists that diverged on fresh seeds; the search may have preferred them."""
    runs = [r for r in records if r.phase == "confirmation" and r.state == "diverged"]
    runs = [r for r in runs if r.params.get("rate") not in BASELINES]  # those of a finalist before
    times = Counter(in_words(run.params) for run in runs)
    return [f"another finalist ({params}) diverged on {count} of the fresh seeds" for params, count in times.items()]


def _on_seeds(cell: CellResults, row: Row, arms: Mapping[str, Mapping[int, Record]], width: float | None) -> list[str]:
    """Notes on the runs on fresh seeds.

    `width`: of the gain's interval, which under `seeds: auto` says whether there are seeds enough.
    """
    rule, found = cell.rule, []
    counts = {name: len(runs) for name, runs in arms.items()}
    compared = bool(cell.baselines.ce)
    wide = compared and rule.widest_gain is not None and (width is None or width > rule.widest_gain)
    if any(count < (rule.most_seeds if wide else rule.fewest_seeds) for count in counts.values()):
        alike = len(set(counts.values())) == 1
        done = str(row.seeds) if alike else ", ".join(f"{name} {count}" for name, count in counts.items())
        found.append(f"{done} of {rule.seeds_in_words} seeds confirmed so far")
    elif wide:
        found.append(f"gain known less closely than to {rule.widest_gain:g} points after {row.seeds} seeds")
    elif row.gain_over_ce is not None and row.gain_low is None and not cell.hardly_learns:
        arm, ce, _ = cell.by_seed(cell.metric)
        common = len(arm.keys() & ce.keys())
        seeds = f"{common} fresh seed{'s' if common > 1 else ''}"
        key = "max_seeds" if rule.seeds == "auto" else "seeds"
        few = f"{seeds}: too few to say how sure the gain is, set confirmation.{key} to 3 or more"
        found.append(few if common < FEWEST else f"the gain is the same on {seeds}: no interval of it is known")
    return found


def _on_diverged(arms: Mapping[str, Mapping[int, Record]]) -> list[str]:
    """Say of which confirmation runs the accuracy is no measurement."""
    found = []
    for name, runs in arms.items():
        if diverged := sum(run.state == "diverged" for run in runs.values()):
            plural = "s" if diverged > 1 else ""
            found.append(f"{diverged} confirmation run{plural} ({name}) diverged, counted at chance level")
    return found
