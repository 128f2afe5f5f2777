"""Any sampler or pruner of Optuna's interface: found by its import path, checked, and at work as Optuna has it."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import BaseDistribution
from optuna.samplers import RandomSampler
from optuna.trial import FrozenTrial

from tests.search.suggest.test_pruners import GOOD, LONG, feed
from tests.search.suggest.test_samplers import SPACE, filled
from tests.search.tools import run_here, tiny
from tosmooth.search.records import Cell
from tosmooth.search.spec.loading import difference, read_study, to_yaml
from tosmooth.search.storage.opening import open_storage
from tosmooth.search.storage.trial_store import Store
from tosmooth.search.suggest.asking import Suggester
from tosmooth.search.suggest.plugin_check import check_plugins
from tosmooth.search.suggest.samplers import ask, make_sampler
from tosmooth.trainables.errors import InputError

CELL = Cell("twonorm/clean", "gls")


class Counting(RandomSampler):
    """Sampler that counts its trials in what it notes of them, as CMA-ES keeps its state there."""

    def __init__(self, step: int = 1, seed: int | None = None) -> None:
        super().__init__(seed=seed)
        self.step = step

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: Mapping[str, BaseDistribution]
    ) -> dict[str, Any]:
        known = [each.system_attrs.get("counting:n", 0) for each in study.get_trials(deepcopy=False)]
        study._storage.set_trial_system_attr(trial._trial_id, "counting:n", max(known, default=0) + self.step)
        return {}


class Failing(RandomSampler):
    def sample_independent(self, *arguments: Any) -> Any:
        raise ZeroDivisionError("no luck today")


HERE = "tests.search.suggest.test_plugins"


def planned(sampler: str = "", pruner: str = "", *more: str) -> Any:
    chosen = [f"search.{key}={value}" for key, value in (("sampler", sampler), ("pruner", pruner)) if value]
    return tiny(*chosen, *more)


@pytest.mark.parametrize(
    ("sampler", "message"),
    [
        ("{class: CmaEsSampler}", "search.sampler.class: 'CmaEsSampler' is refused: an import path"),
        (
            "{class: optuna.samplers.TPESampler, argument: {}}",
            "search.sampler.argument: unknown key; did you mean 'arg",
        ),
        ("{arguments: {n: 1}}", "search.sampler: .* is refused: it needs a class or a hub"),
        ("{class: a.B, arguments: [1]}", "search.sampler.arguments: .* is refused: a mapping"),
        ("{class: a.B, arguments: {seed: 1}}", "search.sampler.arguments.seed: 1 is refused: it is derived"),
        ("{class: a.B, arguments: {n: null}}", "search.sampler.arguments.n: None is refused: leave it out"),
        ("{class: a.B, arguments: {inner: {class: b}}}", "search.sampler.arguments.inner.class: 'b' is refused"),
        ("{hub: ../../etc}", "search.sampler.hub: '../../etc' is refused: a package of OptunaHub"),
        ("{hub: samplers/x, class: a.B}", "search.sampler.class: 'a.B' is refused: with `hub` the name of a class"),
        ("[tpe]", r"search.sampler: \['tpe'\] is refused: one of posterior"),
        ("cma", "search.sampler: 'cma' is refused: one of posterior, .*; or a class of Optuna's: {class: optuna"),
    ],
)
def test_the_form_is_checked_with_the_file(sampler: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        planned(sampler)


@pytest.mark.parametrize(
    ("sampler", "message"),
    [
        ("{class: optuna.samplers.TPSampler}", "class: .* optuna.samplers has no TPSampler; did you mean TPESampler?"),
        ("{class: opptuna.samplers.TPESampler}", "class: .* opptuna.samplers cannot be imported (ModuleNotFoundError"),
        ("{class: optuna.pruners.MedianPruner}", "class: 'optuna.pruners.MedianPruner' is refused: no sampler"),
        ("{class: optuna.samplers.BaseSampler}", "class: 'optuna.samplers.BaseSampler' is refused: no sampler"),
        ("{class: os.path.join}", "class: 'os.path.join' is refused: no sampler"),
        (
            "{class: optuna.samplers.TPESampler, arguments: {startup: 3}}",
            "arguments.startup: TPESampler has no such argument; did you mean",
        ),
        (
            "{class: optuna.samplers.NSGAIISampler, arguments: {population_size: 1}}",
            "arguments: {'population_size': 1} is refused: NSGAIISampler says:",
        ),
        ("{class: optuna.samplers.GridSampler}", "arguments: [] is refused: GridSampler needs search_space, too"),
        (f"{{class: {HERE}.Failing}}", f"'{HERE}.Failing' is refused: it fails for this study (ZeroDivisionError: no"),
        ("{hub: samplers/auto_sampler}", "hub: 'samplers/auto_sampler' is refused: OptunaHub"),
    ],
)
def test_what_is_no_sampler_or_takes_other_arguments_is_refused_before_anything_is_trained(
    sampler: str, message: str, tmp_path: Path
) -> None:
    pattern = r"search\.sampler\.?.*" + ".*".join(map(re.escape, message.split(".*")))
    with pytest.raises(InputError, match=pattern):
        run_here(planned(sampler), tmp_path / "home")
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    ("pruner", "message"),
    [
        ("{class: optuna.samplers.TPESampler}", "search.pruner.class: .* no pruner of Optuna's"),
        ("{class: optuna.pruners.PercentilePruner}", "search.pruner.arguments: .* needs percentile, too"),
        ("{class: optuna.pruners.PercentilePruner, arguments: {percentile: 200}}", "search.pruner.arguments: .* says"),
        ("halving", "search.pruner: 'halving' is refused: one of none, median"),
    ],
)
def test_so_is_a_pruner(pruner: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_plugins(planned("", pruner))


@pytest.mark.parametrize(
    "sampler",
    [
        {"class": "optuna.samplers.TPESampler", "arguments": {"n_startup_trials": 3, "multivariate": False}},
        {"class": "optuna.samplers.TPESampler", "arguments": {"n_startup_trials": 3, "multivariate": True}},
        {"class": "optuna.samplers.GPSampler", "arguments": {"n_startup_trials": 4}},
        {"class": "optuna.samplers.QMCSampler", "arguments": {"qmc_type": "halton"}},
        {"class": "optuna.samplers.NSGAIISampler", "arguments": {"population_size": 4}},
    ],
)
def test_its_proposal_is_that_of_optunas_own_ask(sampler: Any, tmp_path: Path) -> None:
    storage = open_storage(None, tmp_path / "journal.log")
    filled(storage, 12, 2)
    proposed = ask(make_sampler(sampler, 7), storage, "cell", 14, SPACE, {})
    own = filled(optuna.storages.InMemoryStorage(), 12, 2)
    own.sampler = make_sampler(sampler, 7)
    assert proposed == own.ask(SPACE).params


def test_what_a_sampler_notes_of_its_trials_is_kept_with_them(tmp_path: Path) -> None:
    spec = planned(f"{{class: {HERE}.Counting, arguments: {{step: 2}}}}", "", "search.trials=12")
    noted = []
    for _ in range(3):  # each time as a driver that was started anew
        suggester = Suggester(Store(spec, open_storage(None, tmp_path / "journal.log")))
        while suggester._initial(CELL) is not None:
            suggester.store.end(suggester.propose(CELL), "complete", 50.0)
        job = suggester.propose(CELL)
        suggester.store.end(job, "complete", 50.0)
        noted.append(suggester.store.frozen(job).system_attrs["counting:n"])
    assert noted == [2, 4, 6]


def test_cma_es_moves_towards_the_best(tmp_path: Path) -> None:
    pytest.importorskip("cmaes")
    spec = planned("{class: optuna.samplers.CmaEsSampler, arguments: {popsize: 4}}", "", "search.trials=60")
    suggester = Suggester(Store(spec, open_storage(None, tmp_path / "journal.log")))
    rates = []
    for _ in range(60):
        job = suggester.propose(CELL)
        rates.append(job.params["rate"])
        suggester.store.end(job, "complete", 90 - 10 * abs(job.params["rate"] + 0.8) - job.params["warmup"])
    assert sum(abs(rate + 0.8) < 0.2 for rate in rates[-12:]) > 6


def test_the_seed_is_the_studys_and_differs_between_trials() -> None:
    def sampled(seed: int, trials: int) -> Any:
        spec = planned("{class: optuna.samplers.RandomSampler}", "", f"seed={seed}")
        suggester = Suggester(Store(spec, optuna.storages.InMemoryStorage()))
        for i in range(trials):
            suggester.store.add(CELL, "search", {"rate": 0.0, "warmup": 0}, i)
        return suggester.sampled(CELL)

    assert sampled(0, 0) == sampled(0, 0)
    assert len({str(sampled(seed, trials)) for seed in (0, 1) for trials in (0, 1)}) == 4


@pytest.mark.parametrize(
    ("pruner", "ends"),
    [
        ("{class: optuna.pruners.ThresholdPruner, arguments: {lower: 58.5}}", [2, 8, 5]),
        ("{class: optuna.pruners.MedianPruner, arguments: {n_startup_trials: 4}}", [2, 8, 5]),
        (
            "{class: optuna.pruners.PatientPruner, arguments: {patience: 1, min_delta: 0.0, "
            "wrapped_pruner: {class: optuna.pruners.MedianPruner, arguments: {n_startup_trials: 4}}}}",
            [3, 8, 5],
        ),
        ("none", [8, 8, 8]),
    ],
)
def test_a_pruner_of_optunas_prunes_after_the_least_epochs_and_the_grace(pruner: str, ends: list[int]) -> None:
    spec = planned("", pruner, *LONG, *(["search.pruner_min_epochs=2"] if pruner != "none" else []))
    check_plugins(spec)
    suggester = Suggester(Store(spec, optuna.storages.InMemoryStorage()))
    for _ in range(4):
        feed(suggester, GOOD)
    poor = [55.0 - i for i in range(8)]
    found = [feed(suggester, poor), feed(suggester, [value + 1 for value in GOOD]), feed(suggester, poor, 3)]
    assert found == ends


def test_it_is_kept_and_may_change_but_not_the_bounds_under_it() -> None:
    spec = planned("{class: optuna.samplers.TPESampler, arguments: {n_startup_trials: 3}}")
    assert read_study(to_yaml(spec)) == spec
    other = planned("{class: optuna.samplers.GPSampler}")
    assert difference(spec, other) == difference(tiny(), other) == difference(spec, tiny()) == []
    moved = planned("{class: optuna.samplers.GPSampler}", "", "space.rate.low=-3")
    assert difference(spec, moved) == ["bounds.rate: [-2.0, 0.8] -> [-3.0, 0.8]"]
    rule = "optuna.samplers.GPSampler needs rates that hold the baselines"
    with pytest.raises(InputError, match=rule):
        planned("{class: optuna.samplers.GPSampler}", "", "space.rate.low=0.5")
