"""`tosmooth.PosteriorSampler`: the project's surrogate as a sampler for any Optuna study.

The project's own search does not ask it. A sampler sees distributions and trials alone; the search knows of theory's
rate and of noise levels, has a scale for rates that Optuna has not, and wants to know where the best rate lies as well.
Both fit the same `Model` and `Feasibility`; the acquisition functions differ (`search.surrogate.objective`).
"""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.search_space import IntersectionSearchSpace
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from tosmooth.search.suggest.encoded_space import EncodedSpace
from tosmooth.search.surrogate.objective import Outcome, design, suggest

TRAIN_SEED, DIVERGED = "train_seed", "diverged"  # user attributes of a trial
PROPOSED = "posterior:proposed"  # system attributes, read by other processes
LONGEST = 2000  # characters of one, in a database

_logger = optuna.logging.get_logger(__name__)


class PosteriorSampler(BaseSampler):
    """Sampler by Bayesian optimization with a Gaussian process whose settings are averaged over instead of fitted.

    It is made for objectives that take long and are partly luck: a few dozen trials, one objective, in either
    direction, over floats, integers and categories. As with Optuna's GPSampler, a parameter that not every trial has
    (a conditional space), or whose range changes, is left to `independent_sampler`. Constraints are refused.

    A trial may say more of itself, by `trial.set_user_attr`:

    - `"train_seed"` (int): trials of one training seed err alike. What each seed adds is told apart from what is common
      to all, once several trials have one seed and others another.
    - `"diverged"` (bool): training broke down. Such a trial, whatever its value or state, teaches where others would
      break down, and nothing of the values. A value that is infinitely bad is taken as that, too.

    A pruned trial counts as its last report, or as the median of the completed trials where that is worse; a failed one
    not at all, unless it diverged. Trials that run are taken to end as expected. A trial whose values lie outside the
    search space, as enqueued ones can, is left out. An attribute of the wrong type, several objectives or constraints
    raise `ValueError`.
    """

    def __init__(
        self,
        *,
        seed: int | None = None,
        n_startup_trials: int = 8,
        independent_sampler: BaseSampler | None = None,
        warn_independent_sampling: bool = True,
    ) -> None:
        """Take the seed, the number of trials of the initial design, and the sampler for what the model does not cover.

        `n_startup_trials` trials end before the model is asked. They are points of a scrambled Sobol sequence; trials
        that are enqueued or added count among them. The first trial of a study shows its search space, and is left to
        `independent_sampler` (by default Optuna's RandomSampler, with the same seed). `warn_independent_sampling`: warn
        of each parameter that is left to it later.
        """
        # Never drawn anew: workers that share a study would leave the Sobol sequence.
        self._seed = int(np.random.SeedSequence().generate_state(1)[0]) if seed is None else seed
        self._n_startup_trials = n_startup_trials
        self._independent_sampler = independent_sampler or RandomSampler(seed=seed)
        self._warn_independent_sampling = warn_independent_sampling
        self._search_space = IntersectionSearchSpace()

    def reseed_rng(self) -> None:
        """Seed the independent sampler anew; all else follows from the seed and the trial's number."""
        self._independent_sampler.reseed_rng()

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return the parameters that all completed trials share, and that leave a choice."""
        shared = self._search_space.calculate(study)
        return {name: distribution for name, distribution in shared.items() if not distribution.single()}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Propose values for these parameters: of the initial design, then where the model expects to improve most."""
        _require_one_objective(study)
        if not search_space:
            return {}
        encoded = EncodedSpace(search_space)
        trials = [each for each in study.get_trials(deepcopy=False) if each.number != trial.number]
        outcomes = _outcomes(trials, study.direction, encoded)
        found = None
        if len(outcomes) >= self._n_startup_trials:
            values = [_running_values(each, search_space) for each in trials if each.state == TrialState.RUNNING]
            running = [params for each in values if (params := encoded.params(each)) is not None]
            found = suggest(encoded.space, outcomes, running, (self._seed, trial.number))
        proposed = encoded.values(found or design(encoded.space, trial.number, self._seed))
        for i, part in enumerate(_written(proposed, search_space)):
            study._storage.set_trial_system_attr(trial._trial_id, f"{PROPOSED}:{i}", part)
        return proposed

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Leave a parameter to the independent sampler, with a warning once the model could have been asked."""
        _require_one_objective(study)
        if self._warn_independent_sampling:
            complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
            if len(complete) >= max(1, self._n_startup_trials):
                _logger.warning(
                    f"Trial {trial.number}: parameter {param_name!r} is left to "
                    f"{type(self._independent_sampler).__name__}, since not every completed trial has it with this "
                    "range: PosteriorSampler models no conditional or changing search space. "
                    "`warn_independent_sampling=False` silences this."
                )
        return self._independent_sampler.sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Hand on to the independent sampler."""
        self._independent_sampler.before_trial(study, trial)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """Hand on to the independent sampler."""
        self._independent_sampler.after_trial(study, trial, state, values)


def _outcomes(trials: Sequence[FrozenTrial], direction: StudyDirection, encoded: EncodedSpace) -> list[Outcome]:
    """Outcomes of the trials that ended, in order of number; the higher the better."""
    sign = 1 if direction == StudyDirection.MAXIMIZE else -1
    complete = [sign * each.values[0] for each in trials if each.state == TrialState.COMPLETE]
    finite = [value for value in complete if math.isfinite(value)]
    best, middle = max(finite, default=-math.inf), float(np.median(finite)) if finite else math.nan
    found = []
    for trial in trials:
        if not trial.state.is_finished():
            continue
        _require_no_constraints(trial)
        seed, diverged = _attribute(trial, TRAIN_SEED, int), _attribute(trial, DIVERGED, bool)
        value = -math.inf if diverged else _value(trial, sign, middle)
        params = encoded.params(trial.params)
        if value is not None and params is not None:
            value = best if value == math.inf else value
            found.append(Outcome(params, value if math.isfinite(value) else None, seed))
    return found


def _value(trial: FrozenTrial, sign: int, middle: float) -> float | None:
    """Value of a trial; of a pruned one no better than the `middle`; `None` of a failed one."""
    if trial.state == TrialState.COMPLETE:
        return sign * float(trial.values[0])
    if trial.state != TrialState.PRUNED:
        return None
    reports = trial.intermediate_values
    known = [middle, *([sign * reports[max(reports)]] if reports else [])]
    return min((value for value in known if math.isfinite(value)), default=None)


def _attribute(trial: FrozenTrial, name: str, kind: type[int]) -> Any:
    """Value of a user attribute; `None` where the trial has none."""
    value = trial.user_attrs.get(name)
    value = value.item() if isinstance(value, np.generic) else value
    if value is not None and type(value) is not kind:
        raise ValueError(f"trial {trial.number}: user attribute {name!r} is {value!r}; it must be {kind.__name__}")
    return value


def _require_one_objective(study: Study) -> None:
    if len(study.directions) > 1:
        raise ValueError(f"PosteriorSampler is for one objective; the study has {len(study.directions)}")


def _require_no_constraints(trial: FrozenTrial) -> None:
    if trial.constraints:
        names = ", ".join(map(repr, trial.constraints))
        raise ValueError(f"PosteriorSampler takes no constraints; trial {trial.number} has {names}")


def _written(proposed: Mapping[str, Any], search_space: Mapping[str, BaseDistribution]) -> list[str]:
    """Proposal as text, for processes that ask while this trial runs: Optuna writes its values one by one."""
    text = json.dumps({name: search_space[name].to_internal_repr(value) for name, value in proposed.items()})
    return [text[i : i + LONGEST] for i in range(0, len(text), LONGEST)]


def _running_values(trial: FrozenTrial, search_space: Mapping[str, BaseDistribution]) -> dict[str, Any]:
    """Values of a running trial: as proposed, and as far as they are settled."""
    parts: list[str] = []
    while (part := trial.system_attrs.get(f"{PROPOSED}:{len(parts)}")) is not None:
        parts.append(part)
    proposed = json.loads("".join(parts)) if parts else {}
    known = {name: search_space[name].to_external_repr(v) for name, v in proposed.items() if name in search_space}
    return known | trial.params
