"""Other libraries' samplers behind one interface, their searches on a recorded surface, and what is made of them."""

import sys
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bench_samplers import play
from samplers.catalogue import CATALOGUE, maker
from samplers.contest import Contest, Stand, _params, dimensions
from samplers.interface import Asked, Dimension, Task, WholeRuns
from samplers.of_optuna import TPE, Hyperband
from samplers.remote import Remote, RemoteError
from samplers.verdict import COLUMNS, OWN, READOUT, TRUNKS, US, Interval, Played, Side, Verdict, markdown
from surface import Surface
from surfaces import DATA

from tosmooth.search.selection.choice import chosen
from tosmooth.search.spec.loading import read_study
from tosmooth.search.spec.method_spec import MethodSpec
from tosmooth.search.spec.scales import symlog
from tosmooth.search.spec.study import StudySpec

EPOCHS, SEEDS = 6, (0, 1, 2)
STUDY = """
name: small
dataset: {name: twonorm, noise: [symmetric-0.4], size: 600, validation_fraction: 0.5, test_size: 200}
network: {name: mlp, width: 8}
training: {epochs: 6, batch_size: 50}
space:
  rate: {low: -8, high: 0.8, scale: symlog}
  warmup: {low: 0, high: 2}
search: {sampler: posterior, trials: 12}
"""
TASK = Task([Dimension("x0", -4.0, 2.0, False, False, 0.7), Dimension("x1", 0, 2, True, False, 0)], EPOCHS, 60, 3)


@pytest.fixture
def spec() -> StudySpec:
    return read_study(STUDY)


@pytest.fixture
def surface(tmp_path: Path) -> Surface:
    """Accuracy falls from 90 by 5 a unit of symlog away from -1, and rises by 1 an epoch and a seed; -8 diverges."""
    rows = []
    for rate in (-8.0, -4.0, -1.0, 0.0, 0.1, 0.8):
        for warmup in (0, 2):
            for seed in SEEDS:
                top = 84 - 5 * abs(symlog(rate) - symlog(-1.0)) + seed
                curve = [top + epoch for epoch in range(1, EPOCHS + 1)][: 3 if rate == -8 else None]
                told = {"val_accuracy": curve, "test_accuracy": curve[-1], "diverged": rate == -8}
                rows.append({"noise": "symmetric-0.4", "rate": rate, "warmup": warmup, "seed": seed} | told)
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "small.parquet")
    return Surface.read(tmp_path / "small.parquet", 2)


class Scripted(WholeRuns):
    """Asks for what it was given, then for new runs of cross-entropy; remembers what it was told."""

    def __init__(self, *asked: Asked) -> None:
        self.asked, self.told, self.seen = list(asked), list[tuple[str, int, float]](), list[tuple[str, int]]()

    def __call__(self, task: Task) -> "Scripted":
        return self

    def ask(self) -> Asked:
        """What to train next."""
        return self.asked.pop(0) if self.asked else Asked(f"more {len(self.told)}", {"x0": 0.0, "x1": 0}, EPOCHS)

    def goes_on(self, key: str, epoch: int, accuracy: float) -> bool:
        """Whether the run is to go on after this epoch."""
        self.seen.append((key, epoch))
        return True

    def tell(self, key: str, epoch: int, accuracy: float) -> None:
        """The run has come to this epoch, and stands there."""
        self.told.append((key, epoch, accuracy))

    def best(self) -> Mapping[str, float] | None:
        """It recommends nothing."""
        return None


def contest(spec: StudySpec, surface: Surface) -> Contest:
    return Contest(spec, surface, SEEDS, spec.cells()[0])


def at(rate: float, warmup: int = 0) -> dict[str, float]:
    return {"x0": symlog(rate), "x1": warmup}


def test_others_get_the_same_space_and_their_points_come_back_as_parameters(spec: StudySpec) -> None:
    view = MethodSpec.of(spec, "gls")
    rate, warmup = dimensions(view)
    assert rate == Dimension("x0", symlog(-8), symlog(0.8), False, False, symlog(0.1))
    assert warmup == Dimension("x1", 0, 2, True, False, 0)
    assert _params(view, {"x0": symlog(-1.5), "x1": 2.0}) == {"rate": -1.5, "warmup": 2}
    beyond = {"x0": symlog(-8) - 1e-9, "x1": 0.0}  # a library that rounds its bounds
    assert _params(view, beyond) == {"rate": -8, "warmup": 0}


def test_a_run_goes_on_from_where_it_stood_and_a_divergence_is_told_at_chance(
    spec: StudySpec, surface: Surface
) -> None:
    script = Scripted(Asked("a", at(-1.0), 2), Asked("b", at(-8.0), EPOCHS), Asked("a", at(-1.0), 5))
    alone, _ = contest(spec, surface).search(script, 8, 0)
    # Seed 0 answers the first run, 1 the second.
    assert script.told == [("a", 2, pytest.approx(86)), ("b", 3, 50), ("a", 5, pytest.approx(89))]
    assert script.seen[:2] == [("a", 1), ("a", 2)]
    assert script.seen[5:8] == [("a", 3), ("a", 4), ("a", 5)]
    assert alone.epochs == 8
    assert [record.state for record in alone.records] == ["pruned", "diverged"]
    assert alone.best == {"rate": -1.0, "warmup": 0}, "nothing completed: the one that came farthest"


def test_runs_take_the_seeds_in_turn_and_a_repetition_takes_another(spec: StudySpec, surface: Surface) -> None:
    points = [at(-1.0), at(0.8), at(-4.0), at(-1.0), at(0.8), at(0.1), at(0.8)]
    script = Scripted(*(Asked(str(i), point, EPOCHS) for i, point in enumerate(points)))
    alone, _ = contest(spec, surface).search(script, 7 * EPOCHS, 0)
    assert [record.train_seed for record in alone.records] == [0, 1, 2, 1, 2, 2, 0]
    chosen_by_library = Scripted(Asked("a", at(-1.0), EPOCHS, 77), Asked("b", at(0.8), EPOCHS, 77))
    alone, _ = contest(spec, surface).search(chosen_by_library, 2 * EPOCHS, 0)
    assert [record.train_seed for record in alone.records] == [77, 77]


def test_trunks_leave_more_runs_for_the_same_budget(spec: StudySpec, surface: Surface) -> None:
    points = [at(-1.0 - i / 100, 2) for i in range(6)]
    script = Scripted(*(Asked(str(i), point, EPOCHS, 0) for i, point in enumerate(points)))
    alone, trunks = contest(spec, surface).search(script, 4 * EPOCHS, 0)
    assert (len(alone.records), alone.epochs) == (4, 24)
    # The first trains 6 epochs, each further one 4: after five 22 are trained, after six 26.
    assert (len(trunks.records), trunks.epochs) == (6, 26)


def test_a_search_that_asks_for_nothing_new_is_ended(spec: StudySpec, surface: Surface) -> None:
    script = Scripted(*[Asked("a", at(-1.0), 1)] * 1000)
    with pytest.raises(RuntimeError, match="asks again and again"):
        contest(spec, surface).search(script, 12, 0)


def test_hyperband_stops_runs_and_recommends_one_that_it_let_end(spec: StudySpec, surface: Surface) -> None:
    stand, _ = contest(spec, surface).search(Hyperband, 60, 0)
    states = [record.state for record in stand.records]
    assert {"pruned", "complete"} <= set(states)
    assert 60 <= stand.epochs < 60 + EPOCHS
    assert stand.best in [record.params for record in stand.records if record.state == "complete"]


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] if each.environment else []) for name, each in CATALOGUE.items()],
)
def test_sampler_searches_within_its_budget_and_beats_cross_entropy(
    name: str, spec: StudySpec, surface: Surface
) -> None:
    make = maker(name)
    if isinstance(make, str):
        absent = ("is not installed", "there is no", "Failed to resolve")  # the package, its environment, the network
        assert any(word in make for word in absent), f"{name} is installed and does not work: {make}"
        pytest.skip(f"{name}: {make}")
    alone, trunks = contest(spec, surface).search(make, 72, 5)
    assert 72 <= alone.epochs < 72 + EPOCHS
    assert 72 <= trunks.epochs < 72 + EPOCHS
    assert len(trunks.records) >= len(alone.records) > 8
    assert "failed" not in {record.state for record in alone.records}
    for choice in (alone.best, chosen(MethodSpec.of(spec, "gls"), alone.records)):
        assert choice is not None
        assert surface.truth("symmetric-0.4", SEEDS).accuracy(choice) > 80, "cross-entropy has 79, the best 91"


def test_a_sampler_in_another_process_proposes_what_it_does_here() -> None:
    remote, here = Remote(Path(sys.executable), "samplers.of_optuna", "TPE", TASK), TPE(TASK)
    for sampler in (remote, here):
        assert sampler.best() is None
    for _ in range(12):
        asked, same = remote.ask(), here.ask()
        assert asked == same
        for sampler in (remote, here):
            sampler.tell(asked.key, EPOCHS, -abs(asked.point["x0"]))
    assert remote.best() == here.best()
    with pytest.raises(RemoteError, match="KeyError: '99'"):
        remote.tell("99", EPOCHS, 0.0)
    remote.process.kill()
    remote.process.wait()
    with pytest.raises(RemoteError, match="process ended"):
        remote.ask()
    assert Remote(Path(sys.executable), "samplers.of_optuna", "TPE", TASK).ask() == TPE(TASK).ask()


def test_a_study_and_another_sampler_are_judged_on_every_level() -> None:
    played = play("cifar10n-cpu", DATA, ["Optuna random"], 0)
    assert played is not None
    assert played.errors == {}
    assert played.points.keys() == {Side(name, column) for name in (US, "Optuna random") for column in COLUMNS}
    assert all(levels.keys() == {"aggre", "worst"} for levels in played.points.values())
    assert all(-60 < value < 60 for levels in played.points.values() for value in levels.values())
    ours, theirs = played.epochs[US], played.epochs["Optuna random"]
    assert ours <= theirs < ours + 2 * 10, "two levels of 10 epochs a run: the last run may exceed the budget"


def test_a_sampler_that_fails_is_left_out_with_its_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Contest, *_: object) -> tuple[Stand, Stand]:
        raise ValueError("no more points")

    monkeypatch.setattr(Contest, "search", fail)
    played = play("cifar10n-cpu", DATA, ["Optuna random"], 0)
    assert played is not None
    assert played.errors == {"Optuna random": "ValueError: no more points"}
    assert {side.name for side in played.points} == {US}


def verdict() -> Verdict:
    """Ours lies 0 and 1 above the grid on two surfaces, A 0.5 above ours on each, B 1 below, and fails once."""

    def study(ours: float, luck: float, b: bool = True) -> Played:
        played = Played()
        for column in COLUMNS:
            for name, more in ((US, 0.0), ("A", 0.5), ("B", -1.0)):
                levels = {"low": ours + more + luck - 0.25, "high": ours + more + luck + 0.25}
                played.points[Side(name, column)] = levels
        played.epochs |= {US: 100, "A": 104, "A" + TRUNKS: 101, "B": 103}
        if not b:
            played.drop("B", ValueError("odd"))
        return played

    first = [study(0.0, -1.0), study(0.0, 1.0, b=False), study(0.0, 0.0)]
    return Verdict({"one": first, "two": [study(1.0, 0.25), study(1.0, -0.25)]})


def test_differences_are_paired_by_study_and_ranks_by_surface() -> None:
    found = verdict()
    a, b = Side("A", OWN), Side("B", READOUT)
    assert found.surfaces(a) == pytest.approx({0: 0.5, 1: 1.5})
    assert found.studies(b, "one") == pytest.approx({0: -2.0, 2: -1.0})
    # B lacks the luckiest study; in pairs it is 1 below ours all the same.
    assert found.difference(b) == pytest.approx((-1.0, -1.0, -1.0))
    assert found.difference(a).mean == pytest.approx(0.5)
    ranks = found.ranks(OWN)
    assert {side.name: rank.mean for side, rank in ranks.items()} == {"A": 1, US: 2, "B": 3}
    worst, place = found.worst(a)
    assert (worst, place) == (0.25, "one low")
    assert found.failures() == {"B": "failed in 1 studies: ValueError: odd"}


def test_an_interval_over_surfaces_is_students() -> None:
    # Differences 1 and 3: mean 2, standard error 1, t(0.975, 1) = 12.706.
    found = Interval.of({0: 2.0, 1: 5.0}, {0: 1.0, 1: 2.0})
    assert found == pytest.approx((2.0, -10.706, 14.706), abs=1e-3)
    assert found.shown("+.1f") == "+2.0 [-10.7, +14.7]"
    assert Interval.of({4: 2.0}).shown(".1f") == "2.0"


def test_tables_hold_every_sampler_and_say_where_each_is_better_or_was_not_tried() -> None:
    text = markdown(verdict(), {"C": "c is not installed"})
    assert "Studies: one 3, two 2." in text
    assert "| A | +0.50 | +1.50 | +1.00 | +0.2 (one low) |" in text
    assert "| A | +0.50 [+0.50, +0.50]; 1.0 [1.0, 1.0] |" in text
    assert "| tosmooth | 2.0 [2.0, 2.0] |" in text
    assert "- A: own choice: better on one (+0.50 [+0.50, +0.50]), two (+0.50 [+0.50, +0.50]), worse on none;" in text
    assert "; our readout, our trunks: better on none, worse on one (-1.00 [-1.00, -1.00]), two (-1.00" in text
    assert "- B: failed in 1 studies: ValueError: odd" in text
    assert "- C: c is not installed" in text
