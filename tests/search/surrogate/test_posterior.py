"""The posterior of a cell on records made up so that the answer is known."""

from dataclasses import replace

import numpy as np
import pytest

from tests.search.builders import record
from tests.search.tools import gls, tiny
from tosmooth.search.records import Record, State
from tosmooth.search.spec.loading import load_study, read_study
from tosmooth.search.spec.method_spec import MethodSpec
from tosmooth.search.spec.scales import symlog
from tosmooth.search.spec.study import StudySpec
from tosmooth.search.surrogate.acquisition import Acquisition
from tosmooth.search.surrogate.fitting import LEAST, fit
from tosmooth.search.surrogate.posterior import Posterior

RATES = (0.0, 0.1, -8.0, -4.0, -2.0, -1.0, -0.5, 0.4, 0.8, -0.2, -3.0, -1.4)


def run(number: int, rate: float, accuracy: float, warmup: int = 0, seed: int = 0, state: State = "complete") -> Record:
    return record(number, rate, warmup, val=[accuracy], level="twonorm/symmetric-0.2", train_seed=seed, state=state)


def hill(top: float, rates: tuple[float, ...] = RATES, noise: float = 0.05, seed: int = 0) -> list[Record]:
    """Runs of a level whose accuracy falls on both sides of the rate `top`, by 2 points for each unit of symlog."""
    rng = np.random.default_rng(seed)
    values = [80 - 2 * abs(symlog(rate) - symlog(top)) + noise * rng.standard_normal() for rate in rates]
    return [run(i, rate, value, i % 3) for i, (rate, value) in enumerate(zip(rates, values, strict=True))]


def posterior(records: list[Record], spec: StudySpec | None = None) -> Posterior:
    found = fit(gls(spec or load_study("twonorm")), records)
    assert found is not None
    return found


def test_best_rate_is_found_within_its_interval() -> None:
    found = posterior(hill(-1.4))
    assert found.interval[0] <= -1.4 <= found.interval[1]
    assert found.interval[0] <= found.best["rate"] <= found.interval[1]
    assert -2 < found.best["rate"] < -1
    assert found.width == symlog(found.interval[1]) - symlog(found.interval[0])
    assert found.width < 3.3  # half the span from -8 to 0.8


def test_one_lucky_trial_does_not_make_the_best() -> None:
    lucky = [*hill(-1.4), run(12, 0.79, 80.6, warmup=1, seed=7)]  # 80 is the top, and 0.8 gave 72 before
    assert -2 < posterior(lucky).best["rate"] < -1
    best_single = max(lucky, key=lambda record: record.last("val_accuracy") or 0)
    assert best_single.params["rate"] == 0.79  # which is what `readout: best` would take


def test_more_noise_gives_a_wider_interval() -> None:
    assert posterior(hill(-1.4, noise=1.5)).width > posterior(hill(-1.4, noise=0.01)).width


def test_probability_is_near_one_far_from_the_best_and_half_at_it() -> None:
    found = posterior(hill(-1.4))
    assert found.beats(found.best, {"rate": 0.0, "warmup": 0}) > 0.99
    assert found.beats({"rate": 0.0, "warmup": 0}, found.best) < 0.01
    assert found.beats(found.best, found.best) == 0.5


def test_baseline_that_is_no_candidate_is_not_taken_for_its_neighbour() -> None:
    # Rates of 0 and less are searched, and the learning rate: label smoothing was tried with the file's own alone.
    spec = tiny(
        "space.rate={low: -2, high: 0, scale: symlog}", "space.training.optimizer.lr={low: 0.01, high: 1, scale: log}"
    )
    own = gls(spec).baseline(0.1)["training.optimizer.lr"]
    values = [(rate, lr, 60 + 2 * lr + rate) for rate in (0.0, -0.5, -1.0, -2.0) for lr in (own, 0.3, 0.9)]
    values += [(0.1, own, 30)]  # 30 points worse than cross-entropy beside it
    records = [
        replace(run(i, rate, value + i / 100), params={"rate": rate, "warmup": 0, "training.optimizer.lr": lr})
        for i, (rate, lr, value) in enumerate(values)
    ]
    found = posterior(records, spec)
    baselines = gls(spec).baselines(found.best)
    ce, ls = baselines.ce, baselines.ls
    assert ls["training.optimizer.lr"] == 0.9
    assert ls not in found.candidates
    assert found.beats(ce, ls) > 0.8
    assert found.beats(ls, ce) < 0.2
    assert found.beats(ls, ls) == 0.5


@pytest.mark.parametrize(
    "changes",
    [
        ("method=elr", "space.elr.beta={values: [0.7]}", "space.elr.lam={values: [1.0, 3.0]}"),
        ("method=peer", "space.peer.alpha={values: [1.0]}"),
        ("method=mae", "space.warmup={values: [2]}"),
    ],
)
def test_axis_of_one_value_is_an_axis(changes: tuple[str, ...]) -> None:
    spec = tiny("space.rate=null", *changes)
    view = MethodSpec.of(spec, spec.method[0])
    points = [{name: p.extremes[i % len(p.extremes)] for name, p in view.space.items()} for i in range(8)]
    records = [replace(run(i, 0.0, 70 + i % 3), params=params) for i, params in enumerate(points)]
    found = fit(view, records)
    assert found is not None
    assert found.best in points
    assert len(found.over_axis()) == len(found.places)
    assert found.width >= 0


def test_expected_loss_shrinks_with_every_further_trial() -> None:
    few, many = posterior(hill(-1.4)[:6]), posterior(hill(-1.4, RATES + tuple(-0.7 - 0.15 * i for i in range(12))))
    assert 0 <= many.loss() < few.loss()


def test_rates_beyond_the_edge_of_divergence_are_not_the_best() -> None:
    records = hill(-1.4)
    wrecked = [replace(r, state="diverged", curve=()) if r.params["rate"] <= -3 else r for r in records]
    found = posterior(wrecked)
    assert found.interval[0] > -6  # -3 diverged with a warm-up of 1 epoch, and -4 may not with 2
    assert found.beats(found.best, {"rate": -8.0, "warmup": 2}) > 0.95
    assert min(rate for rate, *_ in found.over_axis()) > -4  # a curve of what training reaches there would be made up


def test_divergence_says_nothing_of_the_accuracy_on_its_near_side() -> None:
    # The more negative the better, up to an edge that a longer warm-up moves: the best lies close to it.
    rising = hill(-8.0, (0.0, 0.1, -0.5, -1.0, -2.0, -3.0, -4.0, -6.0))
    wrecked = [run(8, -8.0, 50.0, warmup=0, state="diverged"), run(9, -8.0, 50.0, warmup=1, state="diverged")]
    found = posterior([*rising, *wrecked])
    assert found.best == {"rate": -6.0, "warmup": 1}
    most = found.candidates[int(Acquisition(found).gains.argmax())]
    assert (most["rate"] < -6, most["warmup"]) == (True, 2)


def test_of_equal_trials_the_one_farther_from_divergence_is_the_best() -> None:
    records = [*hill(-8.0, (0.0, 0.1, -1.0, -2.0, -4.0)), run(5, -8.0, 80.0, warmup=2, seed=1)]
    records += [run(6, -8.0, 80.0, warmup=1, seed=2), run(7, -8.0, 50.0, warmup=0, seed=3, state="diverged")]
    assert posterior(records).best == {"rate": -8.0, "warmup": 2}


def test_failed_and_running_trials_say_nothing() -> None:
    records = hill(-1.4)
    others = [run(21, 0.6, 99.0, state="running"), run(22, 0.7, 99.0, state="failed")]
    assert posterior([*records, *others]).best == posterior(records).best


def rising(number: int, rate: float, end: float, warmup: int = 0, epochs: int = 6, state: State = "complete") -> Record:
    """Run whose accuracy rises by 2 points an epoch to `end` at its sixth; it has the first `epochs` of these."""
    val = [end - 2 * (6 - epoch) for epoch in range(1, epochs + 1)]
    return record(number, rate, warmup, val=val, level="twonorm/symmetric-0.2", train_seed=number % 3, state=state)


def forecasts(records: list[Record]) -> dict[float, float]:
    """Accuracies that the model was fitted to, by rate."""
    found = posterior(records)
    rates = np.array([found.axes.point({"rate": rate, "warmup": 0})[0] for rate in (r.params["rate"] for r in records)])
    values = found.model.accuracy(found.model.z)
    return {
        r.params["rate"]: float(values[(found.model.x[:, 0] == place).argmax()])
        for r, place in zip(records, rates, strict=True)
        if (found.model.x[:, 0] == place).any()
    }


def test_a_pruned_trial_counts_as_what_complete_ones_reached_from_there() -> None:
    complete = [rising(i, rate, 80 - i) for i, rate in enumerate((-1.0, -0.5, 0.0, 0.1, -2.0))]
    pruned = rising(5, -6.0, 62.0, epochs=3, state="pruned")  # at 56 after three epochs, where others gain six more
    assert forecasts([*complete, pruned])[-6.0] == pytest.approx(62.0)
    # It lay below the median when it was stopped: it is not taken for better than that, whatever others gained.
    late = [rising(i, rate, 80 - i, warmup=2) for i, rate in enumerate((-1.0, -0.5, 0.0, 0.1, -2.0))]
    near = rising(5, -6.0, 81.0, epochs=4, state="pruned")
    assert forecasts([*late, near])[-6.0] == pytest.approx(78.0)
    # No run to compare with: all were still in their warm-up then.
    assert -6.0 not in forecasts([*late, rising(5, -6.0, 62.0, epochs=2, state="pruned")])


def test_where_a_trial_was_pruned_less_is_expected_and_it_is_not_the_best() -> None:
    complete = [rising(i, rate, 80 - i) for i, rate in enumerate((-1.0, -0.5, 0.0, 0.1, -2.0))]
    pruned = rising(5, -7.0, 50.0, epochs=3, state="pruned")
    without, found = posterior(complete), posterior([*complete, pruned])
    place = {"rate": -7.0, "warmup": 0}
    assert found.behind(found.best, place) > without.behind(without.best, place) + 5
    assert found.best == without.best
    assert all(params["rate"] != -7.0 for params in found.ranked)


def test_a_search_does_not_look_again_where_it_pruned() -> None:
    spec = load_study("twonorm")
    complete = [rising(i, rate, 80 - 2 * i) for i, rate in enumerate((0.8, 0.0, 0.1, 0.4, -0.5))]
    pruned = [rising(5 + i, rate, 50.0, epochs=3, state="pruned") for i, rate in enumerate((-8.0, -4.0, -2.0))]
    acquisitions = [Acquisition(posterior(records, spec)) for records in (complete, [*complete, *pruned])]
    place = {"rate": -4.0, "warmup": 0}
    before, after = (found.gains[found.posterior.index(place)] for found in acquisitions)
    assert after < before / 2


def test_too_few_or_equal_trials_say_nothing() -> None:
    spec = load_study("twonorm")
    assert fit(gls(spec), hill(-1.4)[: LEAST - 1]) is None
    assert fit(gls(spec), [run(i, rate, 50.0) for i, rate in enumerate(RATES)]) is None
    assert fit(gls(spec), []) is None


def test_draws_are_of_the_best_parameters() -> None:
    found = posterior(hill(-1.4))
    rates = [params["rate"] for params in found.draws(50)]
    assert len(rates) == 50
    inside = sum(found.interval[0] <= rate <= found.interval[1] for rate in rates)
    assert inside >= 42  # 95 % of all draws, here of some


def test_score_follows_the_studys_epoch_rule() -> None:
    # At their last epoch all rates but one are alike; at their best epoch -4 is ahead.
    records = [
        replace(r, curve=({"val_accuracy": 90.0 if r.params["rate"] == -4 else 60.0 + r.number / 10}, *r.curve))
        for r in hill(-0.2)
    ]
    last, best = (read_last_or_best(rule) for rule in ("last", "best"))
    assert posterior(records, last).best["rate"] > -1
    assert posterior(records, best).best["rate"] < -1


def read_last_or_best(rule: str) -> StudySpec:
    return load_study("twonorm", [f"search.epoch={rule}"])


def test_other_parameters_are_taken_from_the_best_trials() -> None:
    spec = tiny("training.epochs=3", 'space.training.optimizer.name={"values": ["sgd", "adamw"]}')
    records = [
        replace(r, params={**r.params, "training.optimizer.name": name}, curve=({"val_accuracy": value + extra},))
        for r in hill(-0.5, (0.0, 0.1, -2.0, -1.0, -0.5, 0.4, 0.8))
        for name, extra in (("sgd", 0.0), ("adamw", 3.0))
        if (value := r.last("val_accuracy")) is not None
    ]
    records = [replace(r, number=i) for i, r in enumerate(records)]
    found = posterior(records, spec)
    assert found.best["training.optimizer.name"] == "adamw"
    assert found.best.keys() == spec.space.keys()


def test_listed_rates_alone_are_candidates_where_the_space_lists_them() -> None:
    spec = read_study(
        "name: listed\ndataset: {name: twonorm, noise: [clean]}\n"
        "space: {rate: {values: [0.0, 0.1, -1.0, -2.0, -4.0]}, warmup: {values: [0]}}\n"
    )
    found = posterior(
        [replace(r, params={**r.params, "warmup": 0}) for r in hill(-1.4, (0.0, 0.1, -1.0, -2.0, -4.0))], spec
    )
    assert {params["rate"] for params in found.candidates} == {0.0, 0.1, -1.0, -2.0, -4.0}


def test_curve_over_rates_has_the_interval_around_its_mean() -> None:
    curve = posterior(hill(-1.4)).over_axis()
    assert [rate for rate, *_ in curve] == sorted(rate for rate, *_ in curve)
    assert len(curve) >= 45
    assert all(low < mean < high for _, mean, low, high in curve)
    assert max(curve, key=lambda entry: entry[1])[0] == -1.46  # the next candidate to -1.4, which was tried


def test_interval_reaches_half_the_way_to_the_next_candidates() -> None:
    found = posterior(hill(-1.4, noise=0.0))
    rates = sorted({params["rate"] for params in found.candidates})
    low, high = found.interval
    assert low < found.best["rate"] < high
    assert any(rates[i] < low < rates[i + 1] for i in range(len(rates) - 1))
    assert found.width >= 0.14  # a step of 45 rates over 6.59 units of symlog is 0.15


def test_cross_entropy_is_one_point_whatever_its_warmup() -> None:
    records = [*hill(-1.4), run(12, 0.0, 75.0, warmup=2, seed=5)]
    found = posterior(records)
    assert sum(params["rate"] == 0 for params in found.candidates) == 1
    assert found.beats({"rate": 0.0, "warmup": 2}, {"rate": 0.0, "warmup": 0}) == 0.5


def test_space_of_one_value_tells_it_from_the_baselines() -> None:
    spec = read_study(
        "name: one\ndataset: {name: twonorm, noise: [clean]}\n"
        "space: {rate: {values: [-0.5]}, warmup: {values: [0]}}\nsearch: {trials: 6}\n"
    )
    values = {0.0: 60.0, 0.1: 61.0, -0.5: 90.0}
    records = [run(i, rate, values[rate] + i / 100, seed=i) for i, rate in enumerate((0.0, 0.1, -0.5, -0.5, -0.5, 0.0))]
    found = posterior(records, spec)
    assert found.best == {"rate": -0.5, "warmup": 0}
    assert found.beats(found.best, {"rate": 0.0, "warmup": 0}) > 0.99


def test_none_is_bolder_than_the_best_where_nothing_diverged() -> None:
    assert posterior(hill(-1.4)).bolder is None


def test_searched_settings_of_the_rest_differ_from_trial_to_trial() -> None:
    spec = tiny('space.lr_after_warmup={"low": 0.01, "high": 1, "scale": "log"}')
    records = [replace(r, params={**r.params, "lr_after_warmup": 0.1 + r.number / 50}) for r in hill(-0.5)]
    factors = [{p["lr_after_warmup"] for p in posterior(records[:n], spec).candidates} for n in (10, 11)]
    tried = {record.params["lr_after_warmup"] for record in records}
    assert len(factors[0] - tried) == 3
    assert factors[0] - tried != factors[1] - tried
    assert len(posterior(records, spec).over_axis()) >= 45  # all rates at the best's own setting


def test_no_accuracy_is_below_0_or_above_100() -> None:
    found = posterior(hill(-1.4)[:6])
    assert all(0 <= low <= mean <= high <= 100 for _, mean, low, high in found.over_axis())
