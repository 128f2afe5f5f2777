"""What of the search is tuned on surfaces: the portfolio, and the priors."""

from itertools import product
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from bench_search import recorded, searched
from interpolation import differences
from surface import Surface
from surfaces import BETWEEN, DATA, FAMILY, RATES
from tuning import CANDIDATES, Beliefs, Tuned, best_beliefs, portfolio, prediction_loss

from tosmooth.search.suggest import initial_design
from tosmooth.search.surrogate import gaussian_process
from tosmooth.search.surrogate.gaussian_process import Prior, Priors


def surface_of(folder: Path, name: str, best: dict[str, float]) -> Surface:
    """Two levels; 60 everywhere, 70 at 0.2, more at the best points: {"rate@warm-up": accuracy}."""
    rows: list[dict[str, Any]] = []
    for noise, rate, warmup, seed in product(("clean", "symmetric-0.4"), RATES, (0, 2, 4), (0, 1)):
        value = best.get(f"{rate:g}@{warmup}", 70.0 if rate == 0.2 else 60.0)
        row = {"noise": noise, "rate": rate, "warmup": warmup, "seed": seed, "diverged": False}
        rows.append(row | {"val_accuracy": [value] * 5, "test_accuracy": value})
    pq.write_table(pa.Table.from_pylist(rows), folder / f"{name}.parquet")
    return Surface.read(folder / f"{name}.parquet", classes=2)


def test_portfolio_is_what_leaves_least_regret_one_after_another(tmp_path: Path) -> None:
    first = surface_of(tmp_path, "first", {"-4@4": 69.0, "0.8@0": 75.0})
    other = surface_of(tmp_path, "other", {"-4@4": 78.0})
    # 0.8 is taken anyway, and the best of the first; -4 spares the other surface 8 points.
    assert portfolio([first, other], 2) == ((0.8, 0.0), (-4.0, 1.0))
    assert portfolio([other], 1) == ((0.8, 0.0),)
    # Without it -4 is the first to be chosen, of any points.
    assert portfolio([surface_of(tmp_path, "third", {"-4@4": 78.0, "-2@2": 79.0})], 2)[1] == (-2.0, 0.5)


def test_what_is_tuned_is_in_force_only_as_long_as_it_is_asked_for() -> None:
    before = Tuned.ours()
    with Tuned(((-2.0, 0.5),), CANDIDATES[0]).applied():
        assert initial_design.PORTFOLIO == ((-2.0, 0.5),)
        assert CANDIDATES[0].priors == gaussian_process.PRIORS
    assert Tuned.ours() == before


def test_priors_in_the_product_are_among_the_candidates() -> None:
    assert Tuned.ours().beliefs in CANDIDATES


def test_priors_that_are_sure_of_what_was_not_tried_predict_badly() -> None:
    surface = Surface.read(DATA / "twonorm-two-phase.parquet", 2)
    searches = searched("twonorm-two-phase", surface, 0)
    assert [len(each.records) for each in searches] == [12, 12]
    ours = Tuned.ours().beliefs
    sure = Beliefs(Priors(Prior(0.05, 0.1), Prior(0.01, 0.1), 0.5, 0.25), Prior(5.0, 0.1))
    losses = {each: [prediction_loss(surface, searches, each)] for each in (ours, sure)}
    assert losses[ours][0] < losses[sure][0] - 0.5
    assert best_beliefs(losses) == ours


def test_every_recorded_surface_has_the_levels_and_seeds_that_its_entry_says() -> None:
    for name in recorded():
        surface, entry = Surface.read(DATA / f"{name}.parquet", FAMILY[name].classes), FAMILY[name]
        assert surface.noises == [cell.noise for cell in entry.spec().cells()], name
        assert (len(surface.seeds), tuple(surface.warmups)) == (entry.seeds, entry.warmups), name
        between = BETWEEN if (DATA / f"{name}-between.parquet").exists() else ()
        assert surface.rates.tolist() == sorted([*RATES, *between]), name
        assert surface.epochs == entry.spec().training.epochs, name


def test_what_is_interpolated_is_compared_with_what_was_recorded_between() -> None:
    found = differences("waveform", DATA)
    assert {each.noise for each in found} == {"clean", "symmetric-0.2", "symmetric-0.4", "symmetric-0.6"}
    assert {each.params["rate"] for each in found} == {0.7, 0.3, -0.1, -0.5, -1.4, -3.0, -5.0}  # at -7 all diverged
    assert all(abs(each.mean) < 3 and each.error > 0 for each in found)
    assert max(abs(each.mean) for each in found) > 1  # near the edge of divergence a line is no measurement
