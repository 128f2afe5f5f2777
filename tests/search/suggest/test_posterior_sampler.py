"""The sampler for any Optuna study: Optuna's own tests of samplers, and what users would notice."""

import copy
import math
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.testing.pytest_samplers import BasicSamplerTestCase, RelativeSamplerTestCase, SingleOnlySamplerTestCase
from optuna.trial import FrozenTrial, TrialState, create_trial

import tosmooth

ONE: dict[str, BaseDistribution] = {"x": FloatDistribution(0, 1)}
Objective = Callable[[optuna.Trial], float]
Direction = Literal["minimize", "maximize"]


class TestOptunasOwn(BasicSamplerTestCase, RelativeSamplerTestCase, SingleOnlySamplerTestCase):
    @pytest.fixture(params=[0, 8])
    def sampler(self, request: pytest.FixtureRequest) -> Callable[[], BaseSampler]:
        return lambda: tosmooth.PosteriorSampler(seed=0, n_startup_trials=request.param)


def bowl(trial: optuna.Trial) -> float:
    x, y = trial.suggest_float("x", -5, 5), trial.suggest_float("y", 1e-4, 1, log=True)
    return (x - 1.3) ** 2 + math.log10(y / 0.02) ** 2


def optimized(objective: Objective, trials: int = 16, direction: Direction = "minimize", seed: int = 0) -> optuna.Study:
    study = optuna.create_study(direction=direction, sampler=tosmooth.PosteriorSampler(seed=seed))
    study.optimize(objective, n_trials=trials)
    return study


def params_of(study: optuna.Study) -> list[dict[str, float]]:
    return [trial.params for trial in study.trials]


def told(values: Sequence[float | None], attributes: Sequence[dict[str, object]] | None = None) -> optuna.Study:
    """A study of one parameter with trials spread over it, failed where there is no value."""
    study = optuna.create_study(direction="maximize", sampler=tosmooth.PosteriorSampler(seed=0, n_startup_trials=0))
    for i, value in enumerate(values):
        state = TrialState.COMPLETE if value is not None else TrialState.FAIL
        x = (i + 0.5) / len(values)
        known = attributes[i] if attributes else {}
        study.add_trial(
            create_trial(state=state, params={"x": x}, distributions=ONE, value=value, user_attrs=dict(known))
        )
    return study


def test_it_finds_what_random_trials_do_not() -> None:
    found = [optimized(bowl, 20, seed=seed).best_value for seed in range(3)]
    random = []
    for seed in range(3):
        study = optuna.create_study(sampler=RandomSampler(seed=seed))
        study.optimize(bowl, n_trials=20)
        random.append(study.best_value)
    assert max(found) < 0.02
    assert min(random) > max(found)


def test_same_seed_same_trials_and_another_seed_others() -> None:
    first = params_of(optimized(bowl, 11))
    assert params_of(optimized(bowl, 11)) == first
    assert params_of(optimized(bowl, 11, seed=1)) != first


@pytest.mark.parametrize("factor", [-1.0, 2.0**-60, 2.0**60])
def test_neither_direction_nor_scale_matters(factor: float) -> None:
    def scaled(trial: optuna.Trial) -> float:
        return factor * (bowl(trial) + 200)  # also beyond 100, where accuracies end

    usual = optimized(lambda trial: bowl(trial) + 200, 12)
    assert params_of(optimized(scaled, 12, "minimize" if factor > 0 else "maximize")) == params_of(usual)


def test_a_parameter_may_be_called_rate() -> None:
    def objective(name: str) -> Objective:
        return lambda trial: (trial.suggest_float(name, 0.5, 3) - 2) ** 2

    rates = [params["rate"] for params in params_of(optimized(objective("rate"), 12))]
    assert rates == [params["other"] for params in params_of(optimized(objective("other"), 12))]


def test_every_kind_of_parameter_stays_in_its_space() -> None:
    choices = ("a", None, True, 1.5)
    space: dict[str, BaseDistribution] = {
        "step": FloatDistribution(1 / 3, 1 / 3 + 7e-5, step=1e-5),
        "log": FloatDistribution(1e-9, 1e9, log=True),
        "far": FloatDistribution(1e6, 1e6 + 1e-3),
        "int": IntDistribution(-7, 9, step=4),
        "logint": IntDistribution(1, 10_000, log=True),
        "huge": IntDistribution(-(10**15), 10**15),
        "choice": CategoricalDistribution(choices),
        "one": IntDistribution(3, 3),
    }
    study = optuna.create_study(sampler=tosmooth.PosteriorSampler(seed=0, n_startup_trials=4))
    for _ in range(14):
        trial = study.ask(space)
        assert all(space[name]._contains(space[name].to_internal_repr(v)) for name, v in trial.params.items())
        study.tell(trial, abs(math.log(trial.params["log"])) + choices.index(trial.params["choice"]))
    assert len({trial.params["far"] for trial in study.trials}) > 8


def test_choices_are_told_apart_and_have_no_order() -> None:
    worth = {10: 0.0, "a": 3.0, None: 1.0, True: 2.0}

    def objective(trial: optuna.Trial) -> float:
        x = trial.suggest_float("x", 0, 1)
        return worth[trial.suggest_categorical("choice", [10, "a", None, True])] - (x - 0.7) ** 2

    study = optimized(objective, 24, "maximize")
    assert study.best_params["choice"] == "a"
    assert [trial.params["choice"] for trial in study.trials[-8:]].count("a") > 4
    assert study.best_value > 2.99


def test_a_diverged_trial_says_where_training_breaks_down_and_nothing_of_the_values() -> None:
    values = [x * (0.5 if x < 0.6 else 100) for x in np.linspace(0.05, 0.95, 10)]
    lost = [{"diverged": x > 0.6} for x in np.linspace(0.05, 0.95, 10)]
    proposed = [told([*values[:6], *diverged], attributes=lost).ask(ONE).params["x"] for diverged in (
        values[6:], [-1e9] * 4, [None] * 4)]  # fmt: skip
    assert len(set(proposed)) == 1
    assert 0.5 < proposed[0] < 0.65  # the value rises towards the edge, which lies between 0.55 and 0.65
    infinite = told([*values[:6], *[-math.inf] * 4]).ask(ONE).params["x"]
    assert infinite == proposed[0]
    believed = told(values).ask(ONE).params["x"]
    assert believed > 0.9  # those that did not diverge are the best


def test_an_island_of_divergence_is_left() -> None:
    def objective(trial: optuna.Trial) -> float:
        x, y = trial.suggest_float("x", 0, 1), trial.suggest_float("y", 0, 1)
        far = math.hypot(x - 0.5, y - 0.5)
        trial.set_user_attr("diverged", far < 0.25)
        return -far if far >= 0.25 else math.nan  # the nearer to where nothing trains, the better

    study = optimized(objective, 30, "maximize")
    assert [trial.state for trial in study.trials].count(TrialState.FAIL) < 15
    assert study.best_value > -0.28


def test_trials_that_diverge_by_accident_do_not_mislead() -> None:
    rng = np.random.default_rng(0)
    values = [-abs((i + 0.5) / 200 - 0.3) for i in range(200)]
    study = told(values, [{"diverged": rng.random() < 0.3} for _ in values])
    assert study.ask(ONE).params["x"] == pytest.approx(0.3, abs=0.05)


def test_training_seeds_are_told_apart_from_the_parameter() -> None:
    """Half the trials have a seed worth 10 more; by chance they lie on the poorer side."""
    offsets = {1: 0.0, 2: 10.0}
    seeds = [1, 2, 1, 2, 2, 1, 1, 1, 2, 1, 1, 1]
    places = [(i + 0.5) / 12 for i in range(12)]
    values = [-8 * (x - 0.8) ** 2 + offsets[seed] for x, seed in zip(places, seeds, strict=True)]
    knowing = told(values, attributes=[{"train_seed": seed} for seed in seeds])
    assert knowing.ask(ONE).params["x"] > 0.6
    assert told(values).ask(ONE).params["x"] < 0.6


@pytest.mark.parametrize(
    ("attribute", "value"), [("train_seed", "3"), ("train_seed", 1.5), ("train_seed", True), ("diverged", 1)]
)
def test_attribute_of_another_type_is_refused(attribute: str, value: object) -> None:
    study = told([1.0, 2.0, 3.0], attributes=[{}, {attribute: value}, {}])
    with pytest.raises(ValueError, match=rf"trial 1: user attribute '{attribute}' is {value!r}"):
        study.ask(ONE)


def test_trials_that_run_are_kept_away_from(tmp_path: Path) -> None:
    """Several processes at one database, each with a sampler of its own; Optuna writes what they ask one by one."""
    storage = f"sqlite:///{tmp_path / 'study.db'}"
    space: dict[str, BaseDistribution] = {"x": FloatDistribution(-5, 5), "y": FloatDistribution(1e-4, 1, log=True)}
    study = optuna.create_study(storage=storage, study_name="s", sampler=tosmooth.PosteriorSampler(seed=0))
    study.optimize(bowl, n_trials=8)

    def ask() -> dict[str, float]:
        other = optuna.load_study(storage=storage, study_name="s", sampler=tosmooth.PosteriorSampler(seed=0))
        trial = other.ask()
        trial.suggest_float("x", -5, 5)  # so far
        return trial.relative_params

    proposed = [ask() for _ in range(4)]
    points = np.array([[params["x"] / 10, math.log10(params["y"]) / 4] for params in proposed])
    distances = [np.abs(a - b).max() for i, a in enumerate(points) for b in points[:i]]
    assert all(params.keys() == space.keys() for params in proposed)
    assert min(distances) > 0.005


def test_startup_trials_cover_the_space_evenly_whoever_runs_them() -> None:
    study = optuna.create_study(sampler=tosmooth.PosteriorSampler(seed=0, n_startup_trials=17))
    study.add_trial(create_trial(params={"x": 0.5}, distributions=ONE, value=0.0))
    trials = [study.ask(ONE) for _ in range(16)]
    eighths = np.bincount([int(8 * trial.params["x"]) for trial in trials], minlength=8)
    assert set(eighths) <= {1, 2, 3}


def test_pruned_trials_are_not_tried_forever() -> None:
    def objective(trial: optuna.Trial) -> float:
        x = trial.suggest_float("x", 0, 1)
        trial.report(-x, 1)
        if x > 0.5:
            raise optuna.TrialPruned  # though what completes rises towards it
        return x

    study = optimized(objective, 24, "maximize")
    assert sum(trial.state == TrialState.PRUNED for trial in study.trials[8:]) < 10
    assert study.best_value > 0.43


def test_infinite_values_and_reports_leave_the_model_whole() -> None:
    def objective(trial: optuna.Trial) -> float:
        x = trial.suggest_float("x", 0, 1)
        trial.report([math.nan, math.inf, -math.inf, x][trial.number % 4], 1)
        if trial.number % 3 == 1:
            raise optuna.TrialPruned
        return {0: math.inf, 2: -math.inf}.get(trial.number, -abs(x - 0.6))

    study = optimized(objective, 24, "maximize")
    assert max(trial.value for trial in study.trials[3:] if trial.value is not None) > -0.02


def test_study_goes_on_with_a_sampler_from_a_file() -> None:
    study = optimized(bowl, 10)
    expected = copy.deepcopy(study).ask()
    study.sampler = pickle.loads(pickle.dumps(study.sampler))
    assert study.ask().relative_params == expected.relative_params


def test_enqueued_trials_count_even_outside_the_space() -> None:
    study = optuna.create_study(sampler=tosmooth.PosteriorSampler(seed=0, n_startup_trials=4))
    for x, y in ((1.3, 0.02), (77.0, 0.5), (-5, 1)):
        study.enqueue_trial({"x": x, "y": y})
    study.optimize(bowl, n_trials=12)
    assert [trial.params["x"] for trial in study.trials[:3]] == [1.3, 77.0, -5]
    assert all(-5 <= trial.params["x"] <= 5 for trial in study.trials[3:])


def test_conditional_parameter_is_left_to_the_independent_sampler_with_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def objective(trial: optuna.Trial) -> float:
        x = trial.suggest_float("x", 0, 1)
        return x + (trial.suggest_float("y", 0, 1) if trial.number % 2 else 0.0)

    optuna.logging.enable_propagation()
    try:
        study = optimized(objective, 14)
    finally:
        optuna.logging.disable_propagation()
    warned = [record.getMessage() for record in caplog.records if "is left to RandomSampler" in record.getMessage()]
    assert warned
    assert all("'y'" in message for message in warned)
    assert min(trial.params["x"] for trial in study.trials) < 0.01  # what all trials have is modelled


def test_constraints_are_refused() -> None:
    study = optuna.create_study(sampler=tosmooth.PosteriorSampler(seed=0))
    study.add_trial(create_trial(params={"x": 0.5}, distributions=ONE, value=0.0, constraints={"size": 1.0}))
    with pytest.raises(ValueError, match="takes no constraints; trial 0 has 'size'"):
        study.ask(ONE)


def test_hundreds_of_trials_are_thinned_out() -> None:
    values = [-abs(x - 0.3) for x in np.linspace(0, 1, 400)]
    study = told(values)
    trials: list[FrozenTrial] = study.trials
    assert len(trials) == 400
    assert study.ask(ONE).params["x"] == pytest.approx(0.3, abs=0.02)
