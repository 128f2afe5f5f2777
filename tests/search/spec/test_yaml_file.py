"""The text of a study: where it comes from, overrides, the way to YAML and back, and whatever else people may write."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.search.tools import gls
from tosmooth.search.spec.loading import load_study, read_study, to_yaml
from tosmooth.search.spec.parameters import Choice, Range
from tosmooth.search.spec.study import StudySpec
from tosmooth.search.spec.yaml_file import changed
from tosmooth.trainables.errors import InputError

SMALL = """
name: small
dataset: {name: twonorm, noise: [clean, symmetric-0.4]}
training: {epochs: 8}
"""
TUNED = [
    "space.lr_after_warmup={low: 0.01, high: 0.5, scale: log}",
    "space.training.batch_size={low: 16, high: 64, scale: log}",
    "space.training.optimizer.nesterov={values: [true, false]}",
]


def small(*overrides: str) -> StudySpec:
    return read_study(SMALL, overrides=overrides)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: a\nname: b\n", "x.yaml, line 2: the key 'name' is given twice"),
        ("name: a\ndataset: {name: b, noise: [c], name: d}", "x.yaml, line 2: the key 'name' is given twice"),
        ("name: a\ndataset: [\n", "x.yaml, line 2: the file ends within it: a { or a [ is not closed"),
        (
            "- a\n",
            "x.yaml, line 1: a study is a mapping of keys to values, such as name: my-study; not ['a']: take away",
        ),
        ("", "x.yaml, line 1: a study is a mapping of keys to values, such as name: my-study; the file is empty"),
        (
            "# nothing\n",
            "x.yaml, line 1: a study is a mapping of keys to values, such as name: my-study; the file is e",
        ),
        (
            "name: a\n size: 3\n",
            "x.yaml, line 2: indented by 1, line 1 by 0: the keys of one mapping are indented alike: ",
        ),
        (
            "a:\n  b: c\n   d: e\n",
            "x.yaml, line 3: indented by 3, line 2 by 2: the keys of one mapping are indented al",
        ),
        ("a:\n    b: c\n  d: e\n", "x.yaml, line 3: indented by 2, the lines above by 0 or 4: the keys of one mapping"),
        ("a:\r\n  b: c\r\n # x\r\n d: e\r\n", "x.yaml, line 4: indented by 1, the lines above by 0 or 2: the keys"),
        ("a:\n\tb: c\n", "x.yaml, line 2: a tab: use spaces: '\\tb: c'"),
        ("a: b\nc:\n  d: e\n\tf: g\n", "x.yaml, line 4: a tab: use spaces"),
        (
            "a: b: c\n",
            "x.yaml, line 1: a second colon in one line: a text that holds one is written in quotes: 'a: b: c'",
        ),
        ("a:b\nc: d\n", "x.yaml, line 1: a space is missing after the colon: 'a:b'"),
        (
            "a: {b: c\nd: {e: f}\n",
            "x.yaml, line 1: a { that is not closed, or a comma that is missing before line 2: 'a: {",
        ),
        ("a: 'b\nc: d\n", "x.yaml, line 1: a quotation mark that is not closed"),
        ("a: b\n---\na: b\n", "x.yaml, line 2: a second document begins: a file holds one study"),
        ("a: %b\n", "x.yaml, line 1: a text that begins with '%' is written in quotes: 'a: %b'"),
        ("a: {b: c}}\n", "x.yaml, line 1: a } too many: 'a: {b: c}}'"),
        ("a: [b]]\n", "x.yaml, line 1: a ] too many: 'a: [b]]'"),
        (
            "a: 'It's b'\n",
            "x.yaml, line 1: a quotation mark within a text: write that text in the other kind of quotes",
        ),
        ("a: {b: 1 c: 2}\n", "x.yaml, line 1: a comma that is missing, or a { that is not closed as it was opened"),
        ("a: {b: [c}\n", "x.yaml, line 1: a comma that is missing, or a [ that is not closed as it was opened"),
        ("a: {low: 0, high: 0,8}\n", "x.yaml: a: 8 is refused: a comma ends a value: write numbers with a point"),
        ("a: {epochs: 1,000}\n", "x.yaml: a: '000' is refused: a comma ends a value: write numbers with a point"),
        ("a: &a [1]\nb: *a\n", "x.yaml, line 2: aliases are not read"),
        ("name: !!python/object/apply:os.getcwd []", "x.yaml, line 1: could not determine a constructor"),
        ("name: !!int x", "x.yaml: is not read as YAML"),
        ("name: 2024-02-30", "x.yaml: is not read as YAML"),
        ("name: 2024-02-20", "x.yaml: name: '2024-02-20' is refused: a text; without quotes YAML reads a date so"),
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
    for encoding in ("utf-8-sig", "utf-16"):  # as editors write them
        path.write_text(SMALL.replace("\n", "\r\n"), encoding=encoding, newline="")
        assert load_study(path) == small()
    for content in (b"name: \xff", SMALL.encode("utf-16-le"), b"PK\x03\x04\0\0"):
        path.write_bytes(content)
        with pytest.raises(
            InputError, match=r"mine\.yaml: the study file cannot be read: it is no text in UTF-8.*save it"
        ):
            load_study(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(InputError, match=r"mine\.yaml: the study file cannot be read: Is a directory$"):
        load_study(path)


@pytest.mark.parametrize(
    ("override", "epochs"),
    [("'5'", 5), ("1e1", 10), ("3.0", 3), ("' 5 '", 5), ("010", 10), ("1_0", 10), ("0x0a", 10)],
)
def test_whole_numbers_are_read_as_people_write_them(override: str, epochs: int) -> None:
    assert small(f"training.epochs={override}").training.epochs == epochs


def test_numbers_in_quotes_are_numbers_everywhere() -> None:
    spec = small(
        "training.optimizer.lr='1e-2'", "seed='7'", "trial_timeout='60'", "space.network.width.values=['8', 1e1]"
    )
    assert (spec.training.optimizer.lr, spec.seed, spec.trial_timeout) == (0.01, 7, 60)
    assert spec.space["network.width"] == Choice((8, 10))
    assert small("confirmation.seeds='5'").confirmation.seeds == 5


def test_a_shorter_run_cuts_the_warm_up_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    text = SMALL + "space: {warmup: {low: 0, high: 8}}"
    assert read_study(text, overrides=["training.epochs=3"]).space["warmup"] == Range(low=0, high=3)
    assert caplog.messages == ["space.warmup: its upper bound is 3, not 8: the run has 3 epochs"]
    stepped = SMALL + "space: {warmup: {low: 0, high: 8, step: 2}}"
    assert read_study(stepped, overrides=["training.epochs=5"]).space["warmup"] == Range(low=0, high=4, step=2)
    late = SMALL + "space: {warmup: {low: 3, high: 8}}"
    assert read_study(late, overrides=["training.epochs=3"]).space["warmup"] == Choice((3,))
    for changes in (["training.epochs=2"], ["training.epochs=4", "space.warmup.high=8"]):
        with pytest.raises(InputError, match=r"space\.warmup: \d is refused: 0 to \d, the epochs of the run"):
            read_study(late, overrides=changes)


def test_pictures_without_a_network_get_a_cnn() -> None:
    table = "dataset.table={train: a.parquet, image: img}"
    assert small(table, "training.augment=crop-flip").network.name == "cnn"
    assert small("dataset.name=cifar10").network.name == "cnn"
    wide = small(table, "network={width: 8}").network
    assert (wide.name, wide.width) == ("cnn", 8)
    assert small(table, "network.name=resnet18").network.name == "resnet18"
    assert small("dataset.table={train: a.parquet, features: [a]}").network.name == "mlp"


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
    spec = small("dataset.noise=[worst]", "space.network.width.values=[8, 16]", "space.rate={values: [0, -1]}")
    assert spec.dataset.noise == ("worst",)
    assert spec.space["network.width"] == Choice((8, 16))
    assert spec.space["rate"] == Choice((0.0, -1.0))
    assert "lr_after_warmup" not in small("space.lr_after_warmup.values=[1]", "space.lr_after_warmup=null").space


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
FULL: dict[str, Any] = yaml.safe_load(to_yaml(small(*TUNED, "training.recipe=two-phase", "search.pruner=median")))


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
    for params in (gls(spec).baselines().ce, gls(spec).baselines().ls):
        spec.trial_config(spec.cells()[0], params, train_seed=0)


@given(text=st.text(max_size=40) | st.text(alphabet="{}[]:,-!&*#|>'\"\n <=ab01.", max_size=40))
@settings(max_examples=300, deadline=None)
def test_any_text_gives_a_study_or_an_input_error(text: str) -> None:
    for study, overrides in ((text, []), (SMALL, [text]), (SMALL, [f"training.epochs={text}"])):
        try:
            assert isinstance(read_study(study, overrides=overrides), StudySpec)
        except InputError as error:
            assert str(error)  # noqa: PT017 - either outcome is right


def test_of_two_records_only_what_both_name_is_compared_sections_and_none_too() -> None:
    old = {"a": 1, "gone": 2, "in": {"b": 1, "c": None, "gone": 1}, "to": None, "of": {"d": 1}}
    assert changed(old, {**old, "new": 3, "in": {"b": 1, "c": None, "new": 2}}) == []
    assert changed(old, {"a": 2, "in": {"b": 3}}) == ["a: 1 -> 2", "in.b: 1 -> 3"]
    assert changed(old, {"in": {"c": {"e": 1}}, "to": {"d": 1}, "of": None}) == [
        "of.d: 1 -> none",
        "in.c.e: none -> 1",
        "to.d: none -> 1",
    ]


def test_class_weights_are_read_with_numbers_as_keys_and_come_back() -> None:
    for text, weights in (
        ("balanced", "balanced"),
        ("{0: 1, 1: 2.5}", {"0": 1.0, "1": 2.5}),
        ("{cat: 2}", {"cat": 2.0}),
    ):
        inside = read_study(SMALL.replace("training: {", f"training: {{class_weights: {text}, "))
        outside = read_study(SMALL, overrides=[f"training.class_weights={text}"])
        assert inside.training.class_weights == outside.training.class_weights == weights
        assert read_study(to_yaml(inside)) == inside
    assert read_study(SMALL, overrides=["training.class_weights.1=3"]).training.class_weights == {"1": 3.0}
    with pytest.raises(InputError, match=r"training\.class_weights: True is refused: keys are text .* yes, no, on"):
        read_study(SMALL, overrides=["training.class_weights={yes: 2}"])
    with pytest.raises(InputError, match=r"training\.class_weights: 'balance' is refused: a mapping .*, or balanced"):
        read_study(SMALL, overrides=["training.class_weights=balance"])
