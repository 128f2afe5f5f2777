"""A study whose trials a function of the user's trains: its space, its baselines, and what it has no use for."""

import pytest

from tests.search.builders import level, record
from tosmooth.search.spec.loading import difference, load_study, read_study, to_yaml
from tosmooth.search.spec.method_spec import MethodSpec
from tosmooth.search.spec.parameters import Choice, Range
from tosmooth.search.spec.study import StudySpec
from tosmooth.search.suggest.confirmation import next_run
from tosmooth.search.suggest.initial_design import initial_points
from tosmooth.trainables.errors import InputError

OWN = """
name: own
dataset: {name: twonorm, noise: [clean], size: 600, validation_fraction: 0.5, test_size: 200}
trainable: "my_loop:train"
arguments: {lr: 0.1, layers: 2}
training: {epochs: 4}
space:
  rate: {low: -2, high: 0.8, scale: symlog}
  warmup: {low: 0, high: 2}
  arguments.lr: {low: 0.01, high: 1, scale: log}
search: {trials: 6}
"""
FREE = """
name: free
dataset: {name: twonorm, noise: [clean], size: 600, validation_fraction: 0.5, test_size: 200}
trainable: "my_loop:train"
training: {epochs: 4}
space:
  arguments.depth: {low: 1, high: 9}
  arguments.lr: {low: 0.01, high: 1, scale: log}
  arguments.kind: {values: [sqrt, log2, 3]}
search: {trials: 6}
confirmation: {seeds: 2, finalists: 1}
"""


def own(*changes: str) -> StudySpec:
    return read_study(OWN, overrides=changes)


def free(*changes: str) -> StudySpec:
    return read_study(FREE, overrides=changes)


@pytest.mark.parametrize("text", [OWN, FREE])
def test_it_is_written_and_read_back(text: str) -> None:
    spec = read_study(text)
    assert read_study(to_yaml(spec), kept=True) == spec
    assert difference(spec, spec) == []
    assert spec.references == {"trainable": "my_loop:train"}
    assert not spec.trunks.share


def test_a_trial_is_given_what_the_study_says_and_the_space_searches() -> None:
    (cell,) = own().cells()
    trial = own().trial_config(cell, {"rate": -0.5, "warmup": 1, "arguments.lr": 0.3}, 5)
    assert trial.arguments == {"lr": 0.3, "layers": 2}
    assert (trial.trainable, trial.method, trial.rate, trial.warmup) == ("my_loop:train", "gls", -0.5, 1)


def test_a_space_with_a_rate_has_cross_entropy_and_label_smoothing_beside_it() -> None:
    view = MethodSpec.of(own(), "gls")
    assert view.openers()[1] == {"rate": 0.1, "warmup": 0, "arguments.lr": 0.1}
    chosen = {"rate": -1.0, "warmup": 2, "arguments.lr": 0.5}
    assert view.baselines(chosen).ce == {"rate": 0.0, "warmup": 0, "arguments.lr": 0.5}  # the gain is none of tuning
    assert view.axis == "rate"


def test_a_space_without_a_rate_is_of_cross_entropy_and_has_no_baselines() -> None:
    spec = free()
    view = MethodSpec.of(spec, "ce")
    assert spec.method == ("ce",)
    assert spec.space["arguments.depth"] == Range(low=1, high=9)
    assert spec.space["arguments.depth"].integer
    assert spec.space["arguments.lr"] == Range(low=0.01, high=1.0, scale="log")
    assert spec.space["arguments.kind"] == Choice(("sqrt", "log2", 3))
    assert spec.space["warmup"] == Choice((0,))
    assert view.axis == "arguments.depth"
    assert (view.baselines().ce, view.baselines().ls) == ({}, {})
    (opener,) = view.openers()
    assert opener == {"arguments.depth": 5, "arguments.lr": 0.1, "arguments.kind": "log2", "warmup": 0}
    assert all(set(point) == set(spec.space) for point in initial_points(view))
    assert not any("rate" in point for point in initial_points(view))


def test_its_confirmation_trains_what_was_found_and_nothing_else() -> None:
    spec = free("search.readout=best")
    params = {"arguments.depth": 2, "arguments.lr": 0.1, "arguments.kind": 3, "warmup": 0}
    found = [record(0, val=[50.0] * 3 + [90.0], level="twonorm/clean", method="ce", params=params)]
    first, second = spec.confirmation_seeds()
    view = MethodSpec.of(spec, "ce")
    for seed in (first, second):
        run = next_run(view, level("clean", 0.0), found, ())
        assert run is not None
        assert (run.method, run.params, run.train_seed) == ("ce", params, seed)
        found.append(
            record(
                1,
                val=[90.0] * 4,
                level="twonorm/clean",
                method="ce",
                params=params,
                phase="confirmation",
                train_seed=seed,
            )
        )
    assert next_run(view, level("clean", 0.0), found, ()) is None


def test_searched_arguments_can_be_set_on_the_command_line() -> None:
    assert free("space.arguments.lr.low=0.001").space["arguments.lr"] == Range(low=0.001, high=1.0, scale="log")
    assert own("arguments.layers=3").arguments == {"lr": 0.1, "layers": 3}
    assert difference(own(), own("arguments.layers=3")) == ["arguments.layers: 2 -> 3"]
    assert difference(own(), own("trainable=my_loop:other")) == ["trainable: my_loop:train -> my_loop:other"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (["space={}"], "space: {} is refused: what your trainable is to be given"),
        (["space.lr={low: 0, high: 1}"], "space.lr: .* an argument of your trainable: arguments.lr"),
        (["space={training.batch_size: {values: [1, 2]}}"], "space.training.batch_size: .* such as arguments.lr"),
        (["method=gls"], "space.rate: None is refused: searched by the method gls"),
        (["method=gce"], "method: 'gce' is refused: gls or ce beside `trainable`"),
        (["network.name=resnet18"], "network: 'resnet18' is refused: left out beside `trainable`"),
        (["training.batch_size=7"], "training.batch_size: 7 is refused: epochs alone beside `trainable`"),
        (["training.optimizer.lr=1"], "training.optimizer: .* is refused: epochs alone beside `trainable`"),
        (["trainable=my_loop"], "trainable: 'my_loop' is refused: a module, a colon and a name in it"),
        (["trainable=null"], "space.arguments.depth: unknown key"),
        (["space.arguments.depth={low: 1, high: 9, scale: symlog}"], "scale"),
    ],
)
def test_what_it_has_no_use_for_is_refused(changes: list[str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        free(*changes)


def test_cross_entropy_is_a_method_beside_a_function_of_the_users_alone() -> None:
    with pytest.raises(InputError, match="method: 'ce' is refused: beside a `trainable` alone"):
        load_study("twonorm", ["method=ce"])
    with pytest.raises(InputError, match=r"arguments: .* is refused: for a `trainable` of your own alone"):
        load_study("twonorm", ["arguments={a: 1}"])
