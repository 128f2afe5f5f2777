"""Choice of a cell's best configuration by the readout that the study asks for, and how sure it is."""

from collections.abc import Sequence
from typing import NamedTuple

from tosmooth.search.records import Record
from tosmooth.search.selection.comparison import FEWEST, best_trials, confirmed, paired_gain, winner
from tosmooth.search.spec.method_spec import MethodSpec
from tosmooth.search.spec.parameters import BASELINE_METHOD, Params
from tosmooth.search.surrogate.fitting import search_model
from tosmooth.search.surrogate.forecast import losses_after
from tosmooth.search.surrogate.posterior import Posterior

LITTLE_LOSS = 0.1  # points of expected loss that no one would search on for
FURTHER = (2, 4, 8, 16, 32)  # numbers of further trials that are looked at


class Uncertainty(NamedTuple):
    """Uncertainty of the best rate, by noisy validation (`search.surrogate.posterior`)."""

    rate_low: float  # the best rate's 95 % interval
    rate_high: float
    p_beats_ce: float  # probabilities
    p_beats_ls: float


class Decision(NamedTuple):
    """How a best configuration was decided, in points of noisy-validation accuracy by the surrogate."""

    loss: float  # by which it is expected to fall short of the true best (simple regret)
    runner_up: Params | None  # the best that was tried far from it
    behind: float  # by which that lies behind
    p_runner_up: float  # that it is truly better
    further: int | None = None  # trials that would leave little enough; None: none are needed, or more than 32
    left: float | None = None  # expected loss after these, or after 32; None: none are needed


def finalists(spec: MethodSpec, records: Sequence[Record]) -> list[Params]:
    """Configurations to retrain on fresh seeds, best first; `records` of one cell.

    `posterior`: the incumbent of the surrogate of all search trials; then one that promises more but may diverge, and
    under `auto` one far off that may well be better, if there are such; then the surrogate's next. No two are alike:
    the best rates lie close to where training diverges, two finalists of nearly one rate diverge under the same seed,
    and then neither is a way out. `best`, and if the trials are too few for a surrogate: the best single trials.

    Under `finalists: auto` the best alone, unless it diverges on a fresh seed, another promises more, or one far from
    it may well be better: beside the edge of divergence, and between two hills, a dozen trials cannot tell, and the
    confirmation can.
    """
    single = best_trials(records, spec.score, spec.confirmation.most_finalists)
    model = model_of(spec, records) if single else None
    auto = spec.confirmation.finalists == "auto"
    if model is None:
        ranked, several = single, not auto
    else:
        split = model.split if auto and _to_compare(spec, model, records) else None
        ranked = _ranked(model, split, single)[: spec.confirmation.most_finalists]
        several = not auto or model.bolder is not None or split is not None
    if several:
        return ranked
    fresh = confirmed(records, ranked[0], spec.method).values() if ranked else ()
    return ranked[:1] if all(run.state == "complete" for run in fresh) else ranked


def _to_compare(spec: MethodSpec, model: Posterior, records: Sequence[Record]) -> bool:
    """True if `split` is confirmed besides: not of a cell that was confirmed before there was such a rule."""
    baselines = spec.baselines(model.best)
    arms = [(spec.method, model.best), (BASELINE_METHOD, baselines.ce), (BASELINE_METHOD, baselines.ls)]
    least = spec.confirmation.fewest_seeds
    done = all(len(confirmed(records, params, method)) >= least for method, params in arms)
    begun = any(record.phase == "confirmation" and record.params == model.split for record in records)
    return begun or not done


def _ranked(model: Posterior, split: Params | None, single: Sequence[Params]) -> list[Params]:
    """Configurations that may be finalists, best first: none `alike` another, then the best single trials."""
    found: list[Params] = []
    for params in (model.best, model.bolder, split, *model.ranked):
        if params is not None and not any(model.alike(params, other) for other in found):
            found.append(params)
    return [*found, *(params for params in single if params not in found)]


def chosen(spec: MethodSpec, records: Sequence[Record]) -> Params | None:
    """Best configuration of a cell; `None` before a trial completes.

    It is the `selected` one, unless cross-entropy or label smoothing, which are trained on the same fresh seeds, is
    better there by noisy validation beyond its paired 95 % interval. The search has seen either on a seed or two, and
    where accuracy falls steeply beside it, the surrogate takes it for worse than it is. A baseline has the best rate
    of `gls` alone.
    """
    best = selected(spec, records)
    if best is None or spec.method != BASELINE_METHOD:
        return best
    baselines, own = spec.baselines(best), _scores(spec, records, best)
    ahead: list[tuple[float, Params]] = []
    for each in (baselines.ce, baselines.ls):
        if not each:
            continue
        scores = _scores(spec, records, each)
        mean, low, _ = paired_gain(scores, own)
        if mean is not None and low is not None and low > 0 and len(scores.keys() & own.keys()) >= FEWEST:
            ahead.append((mean, each))
    return max(ahead, key=lambda pair: pair[0])[1] if ahead else best


def selected(spec: MethodSpec, records: Sequence[Record]) -> Params | None:
    """Best of the finalists by their fresh seeds, as far as there are any; `None` before a trial completes."""
    return winner(finalists(spec, records), records, spec.score, spec.method)


def _scores(spec: MethodSpec, records: Sequence[Record], params: Params) -> dict[int, float]:
    """Score of a configuration of gls on the fresh seeds under which it completed."""
    runs = confirmed(records, params, BASELINE_METHOD).items()
    found = {seed: spec.score.of(run) for seed, run in runs if run.state == "complete"}
    return {seed: value for seed, value in found.items() if value is not None}


def model_of(spec: MethodSpec, records: Sequence[Record]) -> Posterior | None:
    """Posterior by which a cell's best is chosen; `None` if its trials say too little, and under `readout: best`.

    The confirmation is not in it: it checks the choice, on seeds of its own. The share of intervals that hold the true
    best rate was measured without it, too (docs/development/search-measured.md).
    """
    return search_model(spec, records) if spec.search.readout == "posterior" else None


def uncertainty(spec: MethodSpec, model: Posterior | None, best: Params | None) -> Uncertainty | None:
    """Uncertainty of `best` under the `model` of its cell; `None` without either, and for a method without a rate.

    The interval is widened to hold `best`: a second finalist may lie outside.
    """
    if model is None or best is None or "rate" not in best:
        return None
    baselines, (low, high) = spec.baselines(best), model.interval
    ce, ls = (model.beats(best, other) if other else 0.0 for other in (baselines.ce, baselines.ls))
    return Uncertainty(min(low, best["rate"]), max(high, best["rate"]), ce, ls)


def decision(spec: MethodSpec, model: Posterior | None, best: Params | None) -> Decision | None:
    """How `best` was decided under the `model` of its cell; `None` without either.

    Further trials are asked for where the expected loss is above `search.stop_when.accuracy_margin`, by default 0.1,
    unless the confirmation has chosen another than the surrogate.
    """
    if model is None or best is None:
        return None
    loss, rule = model.loss(best), spec.search.stop_when
    margin = LITTLE_LOSS if rule is None or rule.accuracy_margin is None else rule.accuracy_margin
    runner_up = model.runner_up(best)
    behind, p_runner_up = (
        (0.0, 0.0) if runner_up is None else (model.behind(best, runner_up), model.beats(runner_up, best))
    )
    found = Decision(loss, runner_up, behind, p_runner_up)
    if loss <= margin or best != model.best:
        return found
    losses = losses_after(model, FURTHER)
    further, left = next(
        ((trials, left) for trials, left in zip(FURTHER, losses, strict=True) if left <= margin), (None, losses[-1])
    )
    return found._replace(further=further, left=left)
