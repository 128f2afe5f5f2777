"""The text of a study: where it comes from, overrides, the way to YAML and back, and whatever else people may write."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from search.loading import load_study, read_study, to_yaml
from search.parameters import Choice, Range
from search.study import StudySpec
from trainables.config import InputError

SMALL = """
name: small
dataset: {name: twonorm, levels: [clean, symmetric-0.4]}
training: {epochs: 8}
"""
TUNED = [
    "space.lr_factor={low: 0.01, high: 0.5, scale: log}",
    "space.training.batch_size={low: 16, high: 64, scale: log}",
    "space.training.optimizer.nesterov={values: [true, false]}",
]


def small(*overrides: str) -> StudySpec:
    return read_study(SMALL, overrides=overrides)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: a\nname: b\n", "x.yaml, line 2: the key 'name' is given twice"),
        ("name: a\ndataset: {name: b, levels: [c], name: d}", "x.yaml, line 2: the key 'name' is given twice"),
        ("name: a\ndataset: [\n", "x.yaml, line 3: "),
        ("- a\n", "x.yaml, line 1: a study is a mapping"),
        ("", "x.yaml, line 1: a study is a mapping"),
        ("a: &a [1]\nb: *a\n", "x.yaml, line 2: aliases are not read"),
        ("name: !!python/object/apply:os.getcwd []", "x.yaml, line 1: could not determine a constructor"),
        ("name: !!int x", "x.yaml: is not read as YAML"),
        ("name: 2024-02-30", "x.yaml: is not read as YAML"),
        ("name: 2024-02-20", "x.yaml: name: datetime.date(2024, 2, 20) is refused"),
        ("1: 2", "x.yaml: 1 is refused: keys are text"),
        ("a: \x00", "x.yaml: is not read as YAML"),
        ("[" * 5000, "x.yaml: is not read as YAML"),
    ],
)
def test_text_that_is_no_study_is_refused_with_file_and_line(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        read_study(text, "x.yaml")
    assert str(caught.value).startswith(message)


def test_file_of_ones_own_goes_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(SMALL, encoding="utf-8")
    assert load_study(path) == load_study(str(path)) == small()
    path.write_bytes(b"name: \xff")
    with pytest.raises(InputError, match=r"mine\.yaml: the study file cannot be read"):
        load_study(path)


@pytest.mark.parametrize("path", ["../x", "missing.yaml", ".", "/", "a/b", "nul\0l.yaml"])
def test_missing_file_is_refused_by_its_path(path: str) -> None:
    with pytest.raises(InputError):
        load_study(path)


def test_unknown_study_gets_the_nearest_name() -> None:
    with pytest.raises(InputError, match=r"'twonrom': unknown; did you mean 'twonorm'"):
        load_study("twonrom")


def test_name_and_seed_come_after_the_overrides() -> None:
    spec = read_study(SMALL, overrides=["name=a", "seed=1"], name="b", seed=2)
    assert (spec.name, spec.seed) == ("b", 2)


def test_override_reaches_defaults_lists_and_searched_parameters() -> None:
    spec = small("space.rate.low=-4", "space.training.optimizer.lr={low: 1e-3, high: 1, scale: log}")
    assert spec.space["rate"] == Range(low=-4.0, high=0.8, scale="symlog")
    assert spec.space["training.optimizer.lr"] == Range(low=0.001, high=1.0, scale="log")  # 1e-3 is a number
    spec = small("dataset.levels=[worst]", "space.network.width.values=[8, 16]", "space.rate={values: [0, -1]}")
    assert spec.dataset.levels == ("worst",)
    assert spec.space["network.width"] == Choice((8, 16))
    assert spec.space["rate"] == Choice((0.0, -1.0))
    assert "lr_factor" not in small("space.lr_factor.values=[1]", "space.lr_factor=null").space


@pytest.mark.parametrize(
    "override",
    ["", "epochs", "=3", "training.=3", ".epochs=3", "space.=1", "training.epochs.x=3", "a=[", "a={b: 1, b: 2}"],
)
def test_override_that_is_none_is_refused(override: str) -> None:
    with pytest.raises(InputError, match="--set"):
        small(override)


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        [*TUNED, "question='1e-5: no, on \u00fc #'", 'cost="\'"', "seed=3", "search.pruner=median"],
        ["space.network.depth.values=[null, 2]", "training.schedule={name: step, milestones: [2, 4]}"],
        ["search.sampler=grid", "space.rate.values=[0, -1]", "training.recipe=two-phase", "resources.gpus=0.25"],
        ["training.recipe=two-phase", "training.second_optimizer={lr: 1e-6}", "dataset.noise_seed=4"],
        ["dataset.table={train: a.parquet, features: [x, y], clean_label: z}"],
    ],
)
def test_yaml_of_a_study_gives_an_equal_study(overrides: list[str]) -> None:
    spec = small(*overrides)
    assert read_study(to_yaml(spec)) == spec


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["clean", "log", "symlog", "grid", "gp", "median", "step", "two-phase", "adamw", "cnn", 0.5, 1, 2]),
)
KEYS = st.sampled_from(["low", "high", "scale", "step", "values", "name", "lr", "rate", "training.batch_size", "x"])
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=6
)
FULL: dict[str, Any] = yaml.safe_load(
    to_yaml(small(*TUNED, "training.recipe=two-phase", "search.pruner=successive-halving"))
)


def paths(values: dict[str, Any], path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Every key of nested mappings."""
    inner = [paths(value, (*path, key)) for key, value in values.items() if isinstance(value, dict)]
    return [(*path, key) for key in values] + [found for one in inner for found in one]


@given(changes=st.lists(st.tuples(st.sampled_from(paths(FULL)), VALUES), min_size=1, max_size=3))
@settings(max_examples=300, deadline=None)
def test_any_change_of_a_study_gives_a_study_or_an_input_error(changes: list[tuple[tuple[str, ...], object]]) -> None:
    values: dict[str, Any] = yaml.safe_load(yaml.safe_dump(FULL))
    for path, value in changes:
        target: Any = values
        for key in path[:-1]:
            target = target.get(key, {}) if isinstance(target, dict) else {}
        if isinstance(target, dict):
            target[path[-1]] = value
    try:
        spec = read_study(yaml.safe_dump(values))
    except InputError as error:
        assert str(error)  # noqa: PT017 - either outcome is right
        return
    assert read_study(to_yaml(spec)) == spec
    for params in (spec.baselines().ce, spec.baselines().ls):
        spec.trial_config(spec.cells()[0], params, train_seed=0)


@given(text=st.text(max_size=40) | st.text(alphabet="{}[]:,-!&*#|>'\"\n <=ab01.", max_size=40))
@settings(max_examples=300, deadline=None)
def test_any_text_gives_a_study_or_an_input_error(text: str) -> None:
    for study, overrides in ((text, []), (SMALL, [text]), (SMALL, [f"training.epochs={text}"])):
        try:
            assert isinstance(read_study(study, overrides=overrides), StudySpec)
        except InputError as error:
            assert str(error)  # noqa: PT017 - either outcome is right
