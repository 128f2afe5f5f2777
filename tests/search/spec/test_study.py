"""What a study file may say, and what is said about one that says something else."""

import subprocess
import sys
from typing import Any

import pytest

from tests.search.tools import gls
from tosmooth.search.records import Cell
from tosmooth.search.spec.loading import difference, read_study, to_yaml
from tosmooth.search.spec.parameters import Choice, Range
from tosmooth.search.spec.seeds import derive_seed
from tosmooth.search.spec.study import StudySpec
from tosmooth.trainables.errors import InputError

SMALL = """
name: small
dataset: {name: twonorm, noise: [clean, symmetric-0.4]}
training: {epochs: 8}
"""
TWO_PHASE = "training.recipe=two-phase"
TUNED = [
    "space.lr_after_warmup={low: 0.01, high: 0.5, scale: log}",
    "space.training.batch_size={low: 16, high: 64, scale: log}",
    "space.training.optimizer.nesterov={values: [true, false]}",
]
CELL = Cell("twonorm/symmetric-0.4", "gls")


def small(*overrides: str) -> StudySpec:
    return read_study(SMALL, overrides=overrides)


def test_study_settles_every_choice_that_the_file_leaves_open() -> None:
    spec = small()
    assert spec.space == {
        "rate": Range(low=-8.0, high=0.8, scale="symlog"),
        "warmup": Range(low=0, high=4),  # half of the 8 epochs
    }
    assert (spec.budget, spec.search.sampler, spec.search.pruner) == (30, "posterior", "none")
    assert (spec.search.pruner_min_epochs, spec.search.pruner_grace) == (None, None)
    median = small("search.pruner=median").search
    assert (median.pruner_min_epochs, median.pruner_grace) == (2, 2)  # a quarter of 8 epochs


def test_run_of_one_epoch_has_nothing_to_choose_for_the_warmup() -> None:
    assert small("training.epochs=1").space["warmup"] == Choice((0,))


@pytest.mark.parametrize(
    ("override", "messages"),
    [
        ("trainng.epochs=3", ["trainng: unknown key", "'training'"]),
        ("training.epoch=3", ["training.epoch: unknown key", "'epochs'"]),
        ("dataset.nois=[a]", ["dataset.nois: unknown key", "'noise'"]),
        ("space.rate.lwo=-4", ["space.rate.lwo: unknown key", "'low'"]),
        ("space.training.optimiser.lr.low=0.1", ["space.training.optimiser.lr.low", "'training.optimizer.lr'"]),
        ("space.training.epochs={low: 1, high: 5}", ["space.training.epochs", "the same for all trials"]),
        ("space.rate={low: 0.8, high: -8}", ["space.rate", "[0.8, -8.0]", "low must be below high"]),
        ("space.rate.high=1.5", ["space.rate", "1.5", "at most 1"]),
        ("space.rate.values=[0, 1.01]", ["space.rate", "1.01", "at most 1"]),
        ("space.warmup.high=9", ["space.warmup", "9", "0 to 8"]),
        ("space.warmup.low=-1", ["space.warmup", "-1", "0 to 8"]),
        ("space.warmup.high=2.5", ["space.warmup.high", "2.5", "whole"]),
        ("space.warmup.scale=symlog", ["space.warmup.scale", "symlog", "not for integers"]),
        ("space.lr_after_warmup={low: 0, high: 1}", ["space.lr_after_warmup", "0.0", "above 0"]),
        (
            "space.lr_after_warmup={low: 0, high: 1, scale: log}",
            ["space.lr_after_warmup.low", "log scale starts above 0"],
        ),
        ("space.lr_after_warmup={high: 1}", ["space.lr_after_warmup", "low is missing"]),
        ("space.lr_after_warmup=0.5", ["space.lr_after_warmup", "0.5", "{values: [...]}"]),
        ("space.lr_after_warmup.values=[]", ["space.lr_after_warmup.values", "at least one"]),
        ("space.lr_after_warmup.values=[1, 1.0]", ["space.lr_after_warmup.values", "each value once"]),
        ("space.lr_after_warmup={values: [1], scale: log}", ["space.lr_after_warmup", "take away scale"]),
        ("space.training.batch_size={low: 0, high: 64}", ["space.training.batch_size", "0", "at least 1"]),
        ("space.training.augment={low: 0, high: 1}", ["space.training.augment", "only numbers have a range"]),
        ("space.training.augment.values=[none, flip]", ["space.training.augment", "'flip'", "crop-flip"]),
        ("space.training.second_optimizer.lr.values=[0.1]", ["space.training.second_optimizer.lr", "second_optimizer"]),
        ("space.rate={scale: linear, step: 0.3}", ["space.rate.step", "0.3", "whole steps"]),
        ("space.rate.step=0.1", ["space.rate.step", "linear scale alone"]),
        ("space=[rate]", ["space: ['rate'] is refused"]),
        ("name=../x", ["name: '../x' is refused", "lower-case"]),
        ("name=Small", ["name: 'Small' is refused"]),
        ("name=" + "x" * 65, ["name", "at most 64"]),
        ("name=5", ["name: 5 is refused: a text; without quotes"]),
        ("question='a\n\n  b'", ["question", "one line"]),
        ("seed=-1", ["seed: -1 is refused", "0"]),
        ("seed=true", ["seed: True is refused"]),
        ("seed=.nan", ["seed", "nan", "finite"]),
        ("training.optimizer.lr=.inf", ["training.optimizer.lr", "inf", "finite"]),
        ("seed=99999999999999999999", ["seed", "64 bits"]),
        ("dataset.noise=[]", ["dataset.noise", "at least one"]),
        ("dataset.noise=[clean, clean]", ["dataset.noise", "each once"]),
        ("dataset.noise=[../x]", ["dataset.noise[0]", "'../x'"]),
        ("dataset.validation_fraction=1.5", ["dataset.validation_fraction", "1.5", "(0, 1)"]),
        ("dataset.table={train: a.parquet}", ["dataset.table", "one of the two"]),
        ("dataset.noise=[clean, matrix-a]", ["dataset.noise[1]: 'matrix-a' is refused: dataset.matrices", "'a'"]),
        ("dataset.matrices=a.csv", ["dataset.matrices: 'a.csv' is refused: a mapping of names to values"]),
        (
            "dataset.matrices={a: 5}",
            ["dataset.matrices.a: 5 is refused: a text; without quotes YAML reads a number so"],
        ),
        ("dataset.matrices={a b: a.csv}", ["dataset.matrices.a b: 'a b' is refused: letters, digits, dots"]),
        ("method=glc", ["method", "'glc'", "gls"]),
        ("method=[gls, gls]", ["method", "each once"]),
        ("search.sampler=cmaes", ["search.sampler", "'cmaes'", "tpe"]),
        ("search.trials=1", ["search.trials", "1", "at least 2"]),
        ("search.sampler=grid", ["space.rate", "grid"]),
        ("search.pruner_min_epochs=3", ["search.pruner_min_epochs", "3", "no pruner"]),
        ("search.allocation=even", ["search.allocation: 'even' is refused: it is gone", "stop_when"]),
        ("search.pruner=successive-halving", ["search.pruner: 'successive-halving' is refused: it is gone", "median"]),
        ("search.reduction_factor=3", ["search.reduction_factor: 3 is refused: it is gone with", "pruner: median"]),
        ("search={pruner: median, pruner_min_epochs: 8}", ["search.pruner_min_epochs", "below 8"]),
        ("confirmation.seeds=0", ["confirmation.seeds", "0", "at least 1"]),
        ("confirmation.seeds=foo", ["confirmation.seeds: 'foo' is refused: a whole number, or auto"]),
        ("search.training_seeds=1.5", ["search.training_seeds: 1.5 is refused: a whole number, or own"]),
        ("resources.gpus=1.5", ["resources.gpus", "1.5", "whole"]),
        ("resources.cpus=0", ["resources.cpus", "0", "above 0"]),
        ("trial_attempts=0", ["trial_attempts: 0 is refused", "1"]),
        (
            "dataset.noise=[no]",
            ["dataset.noise[0]: False is refused: a text; without quotes YAML reads no, off and false"],
        ),
        ("dataset.noise=[null]", ["dataset.noise[0]: None is refused: a text; without quotes YAML reads null and ~"]),
        ("dataset.noise=[0.2]", ["dataset.noise[0]: 0.2 is refused: did you mean symmetric-0.2?"]),
        ("dataset.noise=0.2", ["dataset.noise: 0.2 is refused: a list of levels, such as [clean, symmetric-0.2]"]),
        ("dataset.noise=clean", ["dataset.noise: 'clean' is refused: a list, such as [clean]"]),
        ("dataset.noise='clean, given'", ["dataset.noise: 'clean, given' is refused: a list, such as [clean, given]"]),
        ("training.schedule.milestones=5", ["training.schedule.milestones: 5 is refused: a list, such as [5]"]),
        ("training.optimizer=adamw", ["training.optimizer: 'adamw' is refused: a mapping", "such as {name: adamw}"]),
        ("training=[{epochs: 3}]", ["training: [{'epochs': 3}] is refused", "take away the dash before each key"]),
        ("training=3", ["training: 3 is refused: a mapping of keys to values, such as {epochs: 10}"]),
        ("epochs=4", ["epochs: unknown key; did you mean 'training.epochs'?"]),
        ("lr=4", ["lr: unknown key; did you mean 'training.optimizer.lr'?"]),
        ("training.lr=4", ["training.lr: unknown key; did you mean 'training.optimizer.lr'?"]),
        ("Trials=4", ["Trials: unknown key; did you mean 'search.trials'?"]),
        ("rate.low=-1", ["rate: unknown key; did you mean 'space.rate'?"]),
        ("Training.epochs=4", ["Training: unknown key; did you mean 'training'?"]),
        ("space.rate=-8..0.8", ["space.rate: '-8..0.8' is refused", "did you mean {low: -8, high: 0.8}?"]),
        ("space.rate=[-8, 0.8]", ["space.rate: [-8, 0.8] is refused", "did you mean {low: -8, high: 0.8}?"]),
        ("name=null", ["name: None is refused: a text; nothing stands there"]),
        ("search.sampler=TPE", ["search.sampler: 'TPE' is refused: one of posterior, tpe", "; did you mean tpe?"]),
        ("method=GCE", ["method: 'GCE' is refused", "; did you mean gce?"]),
        ("dataset.table=t.parquet", ["dataset.table: 't.parquet' is refused", "such as {train: t.parquet}"]),
        ("dataset.noise='clean given'", ["dataset.noise: 'clean given' is refused: a list, such as [clean, given]"]),
        ("dataset.noise=['clean; given']", ["is refused: did you mean [clean, given], with commas?"]),
        ("training.optimizer.lr=\u22120.1", ["is refused: a number, with a plain minus sign: -0.1"]),
        ("training.epochs=true", ["training.epochs: True is refused: a whole number"]),
        ("training.epochs='1,000'", ["training.epochs: '1,000' is refused: a whole number"]),
        ("training.epochs=1:30", ["training.epochs: '1:30' is refused: a whole number"]),
        ("training.optimizer.lr='0,1'", ["training.optimizer.lr: '0,1' is refused: a number, with a point: 0.1"]),
        ("dataset.validation_fraction=10%", ["'10%' is refused: a number, not a percentage: 0.1"]),
        ("resources.gpus=none", ["resources.gpus: 'none' is refused: a number, or null"]),
        (
            "dataset.table={train: a.parquet, features: [a, label]}",
            ["dataset.table.features: 'label' is refused: a column of labels is no feature: leave it out"],
        ),
    ],
)
def test_refusal_names_key_value_and_rule(override: str, messages: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        small(override)
    for message in messages:
        assert message in str(caught.value)
    assert "alue error" not in str(caught.value)
    assert "http" not in str(caught.value)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        *(("symmetric-20%", "symmetric-0.2"), ("symmetric-20", "symmetric-0.2"), ("sym-0.2", "symmetric-0.2")),
        *(("symmetric 0.2", "symmetric-0.2"), ("symmetric_0.2", "symmetric-0.2"), ("symmetric-0,2", "symmetric-0.2")),
        *(("Symmetric-0.2", "symmetric-0.2"), ("symmetric(0.2)", "symmetric-0.2"), ("symetric-0.2", "symmetric-0.2")),
        *(("symmetric0.4", "symmetric-0.4"), ("pair-45%", "pairflip-0.45"), ("asym-0.4", "asymmetric-0.4")),
        *(("instance-5", "instance-0.05"), ("symmetric=.1", "symmetric-0.1")),
    ],
)
def test_a_level_in_other_words_gets_the_name_that_is_meant(written: str, meant: str) -> None:
    with pytest.raises(InputError) as caught:
        small(f"dataset.noise=[clean, '{written}']")
    assert str(caught.value) == f"dataset.noise[1]: '{written}' is refused: did you mean {meant}?"
    assert small(f"dataset.noise=[clean, {meant}]").dataset.noise == ("clean", meant)


def test_a_level_written_as_a_mapping_gets_the_name_that_is_meant() -> None:
    with pytest.raises(
        InputError, match=r"dataset\.noise\[0\]: \{'symmetric': 0\.2\} is refused: did you mean symmetric-0\.2"
    ):
        small("dataset.noise=[symmetric: 0.2]")


@pytest.mark.parametrize(
    "level", ["random1", "like-random3", "worst", "noisy", "symmetric-0.25", "symmetric-.5", "aggre"]
)
def test_a_level_by_its_own_name_is_left_alone(level: str) -> None:
    assert small(f"dataset.noise=[{level}]").dataset.noise == (level,)


def test_each_thing_wrong_has_its_line() -> None:
    with pytest.raises(InputError) as caught:
        read_study("questoin: why\nseed: -1\nnetwork: {name: vgg}\ndataset: {name: twonorm, noise: [clean]}")
    assert str(caught.value).splitlines() == [
        "name: missing; a study needs it",
        "seed: -1 is refused: greater than or equal to 0",
        "network.name: 'vgg' is refused: one of mlp, cnn, fastcnn, resnet18, resnet34; or torchvision/NAME, timm/NAME; "
        "your own needs network.factory",
        "questoin: unknown key; did you mean 'question'?",
    ]


def test_grid_is_counted_with_the_baselines_that_are_not_on_it() -> None:
    grid = "search.sampler=grid"
    warmup = "space.warmup={low: 0, high: 4}"  # 5 values
    assert small(grid, warmup, "space.rate.values=[-1, 0, 0.5]").budget == 16  # 15, and label smoothing at 0.1
    assert small(grid, warmup, "space.rate={low: -0.8, high: 0.8, scale: linear, step: 0.1}").budget == 85  # 17 rates
    with pytest.raises(InputError, match=r"search\.trials: 15 .* 16 trials"):
        small(grid, warmup, "space.rate.values=[-1, 0, 0.5]", "search.trials=15")


def test_gp_is_refused_a_space_without_the_baselines() -> None:
    with pytest.raises(InputError, match=r"search\.sampler: 'gp'"):
        small("search.sampler=gp", "space.rate.high=-1")
    assert small("search.sampler=gp").search.sampler == "gp"


def test_values_that_are_wrong_together_are_refused() -> None:
    names, nesterov = "space.training.optimizer.name.values=[sgd, adamw]", "space.training.optimizer.nesterov.values="
    small(names, nesterov + "[false]")
    with pytest.raises(InputError, match=r"'adamw'.* together are refused: .*Nesterov"):
        small(names, nesterov + "[false, true]")


def test_cells_are_levels_by_methods_in_the_order_of_the_file() -> None:
    assert small().cells() == [("twonorm/clean", "gls"), ("twonorm/symmetric-0.4", "gls")]
    assert (CELL.noise, CELL.key) == ("symmetric-0.4", "twonorm/symmetric-0.4/gls")


def test_data_is_drawn_from_the_studys_seed_unless_it_has_seeds_of_its_own() -> None:
    data = small("seed=7", "dataset.split_seed=3").data_config("worst")
    assert (data.dataset, data.noise, data.noise_seed, data.split_seed) == ("twonorm", "worst", 7, 3)


def test_parameters_change_the_recipe_of_a_trial() -> None:
    spec = small(*TUNED, "training.optimizer.momentum=0.5")
    params: dict[str, Any] = {"rate": -0.5, "warmup": 2, "lr_after_warmup": 0.1, "training.batch_size": 32}
    config = spec.trial_config(CELL, params, train_seed=11)
    assert (config.rate, config.warmup, config.lr_after_warmup, config.train_seed) == (-0.5, 2, 0.1, 11)
    assert (config.training.batch_size, config.training.optimizer.momentum) == (32, 0.5)
    assert config.data == spec.data_config("symmetric-0.4")


def test_baseline_is_the_recipe_of_the_file_inside_the_space() -> None:
    expected = {
        "rate": 0.1,
        "warmup": 0,  # single: smoothed from the start
        "lr_after_warmup": 0.5,  # 1, which is no change, clipped
        "training.batch_size": 64,  # 128 clipped
        "training.optimizer.nesterov": False,  # as in the file, though listed second
    }
    assert gls(small(*TUNED)).baseline(0.1) == expected
    assert gls(small(*TUNED, TWO_PHASE)).baseline(0.0) == {**expected, "rate": 0.0, "warmup": 4}


def test_baseline_to_compare_with_is_tuned_like_the_chosen_one() -> None:
    chosen = {
        "rate": -2.0,
        "warmup": 3,
        "lr_after_warmup": 0.02,
        "training.batch_size": 16,
        "training.optimizer.nesterov": True,
    }
    assert gls(small(*TUNED)).baseline_of(0.0, chosen) == {**chosen, "rate": 0.0, "warmup": 0, "lr_after_warmup": 0.5}
    assert gls(small(*TUNED, TWO_PHASE)).baseline_of(0.0, chosen) == {**chosen, "rate": 0.0}
    assert gls(small(*TUNED)).baselines(chosen).ls["rate"] == 0.1
    assert gls(small(*TUNED)).baselines().ce == gls(small(*TUNED)).baseline(0.0)


def test_study_that_grows_means_the_same() -> None:
    grown = small(
        "name=other",
        "question=why?",
        "dataset.noise=[clean, symmetric-0.4, symmetric-0.2]",
        "space.rate.low=-20",
        "search={trials: 9, sampler: random, pruner: median}",
        "confirmation.seeds=9",
        "resources.cpus=2",
        "trial_attempts=1",
    )
    assert difference(small(), grown) == []
    assert grown.meaning() == small().meaning()


def test_levels_with_a_matrix_have_its_file_and_are_added_like_any_other() -> None:
    matrices = "dataset.matrices={a: a.csv, b.2: /data/b.csv}"
    spec = small("dataset.noise=[clean, symmetric-0.4, matrix-b.2, matrix-a]", matrices)
    assert [spec.data_config(noise).matrix for noise in spec.dataset.noise] == [None, None, "/data/b.csv", "a.csv"]
    assert read_study(to_yaml(spec)) == spec
    assert difference(small(), spec) == []
    assert difference(spec, small("dataset.noise=[clean, symmetric-0.4]", matrices)) == [
        "dataset.noise: matrix-b.2 is removed",
        "dataset.noise: matrix-a is removed",
    ]


def test_difference_says_what_was_changed() -> None:
    changes = ["training.epochs=20", "seed=1", "space.warmup={low: 0, high: 4}", "space.rate.scale=linear"]
    assert difference(small(), small(*changes, "space.lr_after_warmup.values=[1]", "dataset.noise=[clean]")) == [
        "seed: 0 -> 1",
        "dataset.noise_seed: 0 -> 1",
        "dataset.split_seed: 0 -> 1",
        "training.epochs: 8 -> 20",
        "space.rate: symlog numbers -> linear numbers",
        "space.lr_after_warmup: none -> [1.0]",
        "dataset.noise: symmetric-0.4 is removed",
    ]


def test_bounds_are_settled_where_gp_learns_from_the_trials() -> None:
    gp = "search.sampler=gp"
    assert difference(small(), small(gp, "space.rate.low=-4")) == ["bounds.rate: [-8.0, 0.8] -> [-4.0, 0.8]"]
    assert difference(small(gp), small(gp, "search.trials=50")) == []


def test_seeds_are_derived_from_their_parts_alone() -> None:
    # Literal, so that a change of the derivation, which would break every study on disk, is seen.
    assert derive_seed(0, "twonorm/clean/gls", "search", 3, "train") == 1695711804
    assert derive_seed("a", "b") != derive_seed("ab")
    assert all(0 <= derive_seed(i) < 2**31 for i in range(100))
    seeds = small().confirmation_seeds()
    assert len(set(seeds)) == 5
    assert seeds[:2] == small("confirmation.seeds=2").confirmation_seeds()  # more seeds go on where fewer stopped


def test_study_loads_without_torch_and_the_heavy_libraries() -> None:
    code = "import sys, tosmooth.search.spec.loading; print({'ray', 'optuna', 'mlflow', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_study_is_a_grid_from_its_start_or_never() -> None:
    overrides = ("search.sampler=grid", "space.rate.values=[-1, 0]", "space.warmup.values=[0]")
    old, new = small("space.rate.values=[-1, 0]", "space.warmup.values=[0]"), small(*overrides)
    assert difference(old, new) == ["sampler: posterior -> grid"]
    assert difference(new, new) == []


def test_the_rule_by_which_trials_are_scored_is_part_of_the_meaning() -> None:
    assert difference(small(), small("search.epoch=best")) == ["search.epoch: last -> best"]
