"""Studies of several methods: each searches its own parameters, and all are compared with the same baselines."""

from pathlib import Path

import pytest

from tests.search.builders import level
from tests.search.tools import Driver, play, tiny
from tosmooth.search.records import Cell
from tosmooth.search.report.analysis.cells import arms_of
from tosmooth.search.report.results import study_rows
from tosmooth.search.selection.comparison import borrowed
from tosmooth.search.spec.loading import difference, read_study, to_yaml
from tosmooth.search.spec.method_spec import MethodSpec
from tosmooth.search.spec.parameters import BASELINE_METHOD, Choice, Range
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.methods import METHODS

SEVERAL = "method=[gls, gce, forward, mixup]"
LEVELS = {found.name: found for found in (level("clean"), level("symmetric-0.4"))}


def test_each_method_searches_its_own_parameters_and_the_shared_recipe() -> None:
    spec = tiny(SEVERAL, "space.lr_after_warmup={low: 0.1, high: 1, scale: log}")
    assert list(spec.space) == ["rate", "gce.q", "mixup.alpha", "warmup", "lr_after_warmup"]
    assert {name: list(MethodSpec.of(spec, name).space) for name in spec.method} == {
        "gls": ["rate", "warmup", "lr_after_warmup"],
        "gce": ["gce.q", "warmup", "lr_after_warmup"],
        "forward": ["warmup", "lr_after_warmup"],
        "mixup": ["mixup.alpha", "warmup", "lr_after_warmup"],
    }
    assert [MethodSpec.of(spec, name).axis for name in spec.method] == ["rate", "gce.q", "warmup", "mixup.alpha"]


def test_warm_up_is_what_the_method_can_have() -> None:
    spec = tiny(SEVERAL, "space.warmup={low: 0, high: 3}")
    assert MethodSpec.of(spec, "gce").space["warmup"] == Range(low=0, high=3)
    assert MethodSpec.of(spec, "forward").space["warmup"] == Range(
        low=1, high=3
    )  # it estimates by what the warm-up predicts
    assert MethodSpec.of(tiny(SEVERAL, "transition=measured"), "forward").space["warmup"].extremes == (0, 2)
    assert MethodSpec.of(spec, "mixup").space["warmup"] == Choice((0,))  # acts from the first epoch


@pytest.mark.parametrize("method", sorted(set(METHODS) - {"gls", "ce"}))
def test_first_trial_of_a_method_is_as_in_its_source(method: str) -> None:
    spec = tiny(f"method={method}", "space.rate=null")
    (opener,) = MethodSpec.of(spec, method).openers()
    config = spec.trial_config(spec.cells()[0], opener, 0)
    assert config.method == method
    assert config.parameters == {name: p.default for name, p in METHODS[method].parameters.items()}


def test_baselines_are_the_same_beside_every_method() -> None:
    spec = tiny(SEVERAL, "space.warmup={low: 1, high: 2}")
    for method in spec.method:
        cell = Cell("twonorm/clean", method)
        found = MethodSpec.of(spec, method).baselines()
        trials = [spec.trial_config(cell, params, 3, BASELINE_METHOD) for params in (found.ce, found.ls)]
        assert [(t.method, t.rate, t.warmup) for t in trials] == [("gls", 0.0, 1), ("gls", 0.1, 1)]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (["method=gces"], ["method", "'gces'", "gce"]),
        (["method=[gce, gce]"], ["method", "once"]),
        (["space.gce.q.low=0.2"], ["space.gce.q", "a parameter of gce", "gls"]),
        (["method=[gls, gce]", "space.gce.q.high=2"], ["space.gce.q", "2.0", "(0, 1]"]),
        (["method=[gls, gce]", "space.gce.p.high=2"], ["space.gce.p", "gce.q"]),
        (["transition=measured"], ["transition", "'measured'", "gls"]),
        (["method=[gls, forward]", "transition=guessed"], ["transition", "'guessed'", "estimated, or measured"]),
        (["method=[gls, forward]", "space.warmup={values: [0]}"], ["space.warmup", "forward", "at least 1"]),
        (["method=[gls, gce]", "search.sampler=grid", "space.rate={values: [0]}"], ["search.sampler", "one method"]),
    ],
)
def test_what_is_wrong_is_named(changes: list[str], words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        tiny(*changes)
    assert [word for word in words if word not in str(caught.value)] == []


def test_study_survives_its_own_file() -> None:
    spec = tiny(SEVERAL, "transition=[[0.9, 0.1], [0.2, 0.8]]")
    assert read_study(to_yaml(spec)) == spec


def test_method_can_be_added_and_not_taken_away() -> None:
    one, two = tiny(), tiny("method=[gls, gce]")
    assert difference(one, two) == []
    assert difference(two, one) == ["method: gce is removed"]
    changed = tiny("method=[gls, gce]", "space.gce.q={values: [0.3, 0.7]}")
    assert difference(two, changed) == ["space.gce.q: linear numbers -> [0.3, 0.7]"]
    measured = tiny("method=[gls, forward]", "transition=measured")
    assert difference(tiny("method=[gls, forward]"), measured) == ["transition: none -> measured"]


def test_baselines_are_confirmed_once_for_all_methods_of_a_level(tmp_path: Path) -> None:
    records = play(Driver(tmp_path, tiny(SEVERAL, "search.trials=3")))
    for noise in ("clean", "symmetric-0.4"):
        own = [r for r in records if r.phase == "confirmation" and r.level == f"twonorm/{noise}"]
        plain = [r for r in own if r.loss == "gls" and r.params["rate"] == 0.0]
        assert sorted(r.train_seed for r in plain) == sorted(tiny().confirmation_seeds())
        for method in ("gce", "forward", "mixup"):
            assert {r.method for r in own} >= {method}
            ce = MethodSpec.of(tiny(SEVERAL), method).baselines().ce
            known = [r for r in borrowed(f"twonorm/{noise}", method, records) if r.params == ce]
            assert sorted(r.train_seed for r in known) == sorted(tiny().confirmation_seeds())


def test_baseline_that_another_method_s_cell_confirmed_counts_where_it_is_the_best(tmp_path: Path) -> None:
    spec = tiny("method=[gce, gls]", "space.rate={values: [0, 0.1]}", "search.trials=4")
    records = play(Driver(tmp_path, spec))
    own = [r for r in records if r.phase == "confirmation" and r.method == "gls"]
    assert own == [], "the cell of gce came first, and confirmed both rates there are"
    row = next(row for row in study_rows(spec, LEVELS, records) if (row.noise, row.method) == ("clean", "gls"))
    assert (row.seeds, row.test_accuracy is None) == (len(spec.confirmation_seeds()), False)
    cell = next(cell for cell in spec.cells() if (cell.noise, cell.method) == ("clean", "gls"))
    (best,) = [arm for arm in arms_of(spec, cell, records) if arm.chosen]
    assert len(best.runs) == row.seeds


def test_rows_of_other_methods_say_what_was_chosen(tmp_path: Path) -> None:
    spec = tiny(SEVERAL, "search.trials=3")
    records = play(Driver(tmp_path, spec))
    rows = {row.method: row for row in study_rows(spec, LEVELS, records) if row.noise == "clean"}
    assert rows["gls"].best_rate is not None
    assert rows["gls"].best_parameters == ""
    assert (rows["gce"].best_rate, rows["gce"].theory_rate, rows["gce"].rate_low) == (None, None, None)
    assert rows["gce"].best_parameters.startswith("gce.q=")
    assert rows["forward"].best_parameters == ""
    assert rows["forward"].best_warmup == 1
    assert rows["gce"].ce_test_accuracy == rows["gls"].ce_test_accuracy
    assert rows["mixup"].gain_over_ce is not None
