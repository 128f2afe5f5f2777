"""A study whose trials are chosen by another metric than accuracy: driver, sampler, pruner and table go by it alone."""

from pathlib import Path
from typing import Any

import pytest

from tests.search import tools
from tests.search.tools import Driver, made_up, play, tiny
from tosmooth.search.records import Record, Score
from tosmooth.search.report.results import study_rows
from tosmooth.search.report.row import Row
from tosmooth.search.spec.loading import difference, read_study, to_yaml
from tosmooth.trainables.errors import InputError

GRID = ("space.rate={values: [-0.8, 0.0, 0.1, 0.4]}", "space.warmup={values: [0]}", "search.sampler=grid")
TWELVE = ("search.trials=12", "dataset.noise=[symmetric-0.4]")


def of_two_minds(settings: dict[str, Any], epoch: int) -> dict[str, Any]:
    """As made up, but that balanced accuracy is best at a rate of 0.4, and macro F1 at 0."""
    result = made_up(settings, epoch)
    metrics, rate = dict(result["metrics"]), settings["trial"]["rate"]
    luck = settings["trial"]["train_seed"] % 1000 / 1000
    for split, more in (("val", 0), ("test", 5)):
        metrics[f"{split}_balanced_accuracy"] = 80 + more - 20 * abs(rate - 0.4) - 8 / epoch + luck
        metrics[f"{split}_macro_f1"] = 70 + more - 20 * abs(rate) - 8 / epoch + luck
    return {**result, "metrics": list(metrics.items())}


@pytest.fixture(autouse=True)
def _reports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "made_up", of_two_minds)


def ended(folder: Path, *overrides: str) -> tuple[Driver, list[Record], Row]:
    driver = Driver(folder, tiny(*overrides))
    records = play(driver)
    (row, *_) = study_rows(driver.spec, driver.levels, records)
    return driver, records, row


@pytest.mark.parametrize(("metric", "best"), [("accuracy", -0.8), ("balanced_accuracy", 0.4), ("macro_f1", 0.0)])
@pytest.mark.parametrize("how", [GRID, TWELVE], ids=["grid", "posterior"])
def test_best_rate_is_that_of_the_metric(metric: str, best: float, how: tuple[str, ...], tmp_path: Path) -> None:
    driver, records, row = ended(tmp_path / "study", *how, f"selection.metric={metric}")
    assert row.best_rate == pytest.approx(best, abs=0.0 if how is GRID else 0.35)
    assert row.metric == metric
    for name in ("test_accuracy", "test_balanced_accuracy", "test_macro_f1"):
        values = [r.last(name) for r in records if r.phase == "confirmation" and r.params["rate"] == row.best_rate]
        own = [value for value in values if value is not None][: row.seeds]
        assert getattr(row, name) == pytest.approx(sum(own) / len(own))  # each is what it is called
    assert row.score == getattr(row, f"test_{metric}")
    if row.gain_over_ce is not None:
        assert row.gain_over_ce == pytest.approx((row.score or 0) - (row.ce_score or 0))
    assert ("chosen by" in row.note) == (metric != "accuracy")
    trials = [each for cell in driver.spec.cells() for each in driver.store.trials(cell, "search")]
    complete = {r.number: r for r in records if r.phase == "search" and r.state == "complete"}
    told = [(each.number, each.value) for each in trials if each.number in complete][: len(complete)]
    assert told == [(number, complete[number].last(f"val_{metric}")) for number, _ in told]


def test_pruner_compares_by_the_metric(tmp_path: Path) -> None:
    rates = "space.rate={values: [-0.8, -0.7, -0.6, 0.0, 0.1, 0.2, 0.3, 0.4]}"
    many = (
        "search.trials=8",
        "search.pruner=median",
        "search.pruner_min_epochs=1",
        "search.pruner_grace=0",
        "training.epochs=6",
    )
    pruned = {}
    for metric in ("accuracy", "balanced_accuracy"):
        _, records, _ = ended(tmp_path / metric, *GRID[1:], rates, *many, f"selection.metric={metric}")
        pruned[metric] = {r.params["rate"] for r in records if r.state == "pruned"}
    assert pruned["accuracy"]
    assert pruned["balanced_accuracy"]
    assert not pruned["balanced_accuracy"] & {0.3, 0.4}
    assert not pruned["accuracy"] & {-0.8, -0.7}


def test_study_without_the_section_is_of_accuracy_and_goes_on_by_no_other() -> None:
    assert tiny().score == Score("accuracy", "last")
    other = tiny("selection.metric=macro_f1", "search.epoch=best")
    assert (other.score.validation, other.score.epoch) == ("val_macro_f1", "best")
    assert difference(tiny(), tiny("selection.metric=macro_f1")) == ["selection.metric: accuracy -> macro_f1"]
    assert difference(tiny(), read_study(to_yaml(tiny()).replace("selection: {metric: accuracy}\n", ""))) == []
    assert read_study(to_yaml(other)) == other
    with pytest.raises(
        InputError, match=r"selection\.metric: 'f1' is refused: one of accuracy, balanced_accuracy, macro"
    ):
        tiny("selection.metric=f1")
    with pytest.raises(InputError, match=r"selection\.seeds: is now confirmation\.seeds"):
        tiny("selection.seeds=3")


def test_weights_of_a_study_are_refused_for_a_method_without_a_place_for_them() -> None:
    assert tiny("training.class_weights=balanced").training.class_weights == "balanced"
    for key, value, method in (("class_weights", "balanced", "peer"), ("sampler", "balanced", "elr")):
        with pytest.raises(InputError, match=rf"training\.{key}: '{value}' is refused: for the methods gls, "):
            tiny(f"training.{key}={value}", f"method=[gls, {method}]")


def test_weights_can_be_searched() -> None:
    spec = tiny("space.training.class_weights={values: [none, balanced]}")
    config = spec.trial_config(spec.cells()[0], {"rate": 0.0, "training.class_weights": "balanced"}, 0)
    assert config.training.class_weights == "balanced"
