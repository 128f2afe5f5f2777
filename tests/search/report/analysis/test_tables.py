"""An analysis as a table and as pictures, of made-up networks whose numbers are known."""

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from rich.console import Console

from tests.search.builders import level, record
from tests.search.tools import tiny
from tosmooth.search.records import Cell, Metrics
from tosmooth.search.report.analysis.cells import CE, CHOSEN, LS, Arm, ArmAnalysis, CellAnalysis
from tosmooth.search.report.analysis.plots import (
    confidence,
    memorisation,
    projection,
    reliability,
    robustness,
    save_plots,
)
from tosmooth.search.report.analysis.tables import measured, terminal_table, to_csv, to_json
from tosmooth.search.report.notes import in_words
from tosmooth.trainables.analysis.analyse import Analysis, Options
from tosmooth.trainables.analysis.predictions import Predictions

CELL = Cell("twonorm/symmetric-0.4", "gls")
NONE = Predictions(torch.zeros(0, 2), torch.zeros(0, dtype=torch.int64))
# Two of four bins hold examples: 30 with confidence 0.6, of which 15 are right, and 10 with 0.9, of which 9 are.
BINS = {"edges": [0.0, 0.25, 0.5, 0.75, 1.0], "count": [0, 0, 30, 10], "right": [0, 0, 15, 9]}
DIAGRAM: dict[str, Any] = BINS | {"accuracy": [None, None, 0.5, 0.9], "confidence": [None, None, 0.6, 0.9]}
FLAT = {"points": [[-3.0], [-1.0], [1.0], [3.0]], "labels": [0, 0, 1, 1], "classes": [0, 1]}
ATTACKED = {"epsilon": 0.1, "attacked_accuracy": 70.0, "fgsm_accuracy": 50.0, "worst_accuracy": 40.0}


def network(notes: Mapping[str, str] | None = None, **numbers: float | None) -> Analysis:
    given = {"tightness": 0.5, "ece": 0.1, "confidence_right": 0.8, "confidence_wrong": 0.6} | numbers
    arrays = {"reliability": DIAGRAM, "scaled_reliability": DIAGRAM, "projection": FLAT}
    return Analysis(given, arrays, dict(notes or {}), NONE)


def arm(name: str, rate: float, *networks: Analysis, curve: tuple[Metrics, ...] = ()) -> ArmAnalysis:
    runs = {seed: record(seed, rate, phase="confirmation", curve=curve) for seed in range(len(networks))}
    return ArmAnalysis(Arm(name, {"rate": rate, "warmup": 0}, runs, name == CHOSEN), dict(enumerate(networks)))


def cell(*arms: ArmAnalysis, notes: tuple[str, ...] = ()) -> CellAnalysis:
    return CellAnalysis(CELL, level("symmetric-0.4"), list(arms), list(notes))


def printed(found: CellAnalysis, width: int) -> str:
    console = Console(width=width, markup=False, highlight=False)
    with console.capture() as capture:
        console.print(terminal_table(found, console.width))
    return capture.get()


TWO = cell(
    arm(CHOSEN, -2.0, network(accuracy=90.0, nll=2e7), network(accuracy=94.0, nll=3e7)),
    arm(CE, 0.0, network(accuracy=80.0, nll=0.5), network(accuracy=80.0, nll=0.5)),
    arm(LS, 0.1, network(accuracy=81.0, nll=0.5), network(accuracy=None, nll=0.5)),
)


def test_measures_are_means_over_seeds_and_paired_differences_to_cross_entropy() -> None:
    found = {(row.arm, row.measure): row for row in measured(TWO)}
    row = found[CHOSEN, "accuracy"]
    assert (row.mean, row.seeds, row.difference) == (92.0, 2, 12.0)
    assert row.std == pytest.approx(2**0.5 * 2)
    # 12 -+ t(0.975, 1) * 2 sqrt(2) / sqrt(2), with t(0.975, 1) = 12.7062
    assert (row.difference_low, row.difference_high) == pytest.approx((12 - 25.4124, 12 + 25.4124), abs=1e-3)
    assert found[CE, "accuracy"].difference is None
    alone = found[LS, "accuracy"]  # one seed has no such number
    assert (alone.mean, alone.std, alone.seeds, alone.difference, alone.difference_low) == (81.0, None, 1, 1.0, None)


def test_what_was_asked_of_the_attacks_is_no_measure() -> None:
    rows = measured(cell(arm(CE, 0.0, network(epsilon=0.1, examples=100.0, fgsm_accuracy=50.0))))
    assert {row.measure for row in rows}.isdisjoint({"epsilon", "examples"})


def test_csv_has_empty_cells_for_what_is_unknown() -> None:
    first, *lines = to_csv([TWO]).splitlines()
    assert first.startswith("level,method,arm,parameters,measure,mean,std,seeds,difference,")
    assert 'twonorm/symmetric-0.4,gls,LS,"rate=0.1, warmup=0",accuracy,81.0,,1,1.0,,' in lines


def test_json_says_what_was_asked_and_holds_all_seeds() -> None:
    values = json.loads(to_json(tiny(), Options(attacked=7), [TWO]))
    assert values["options"] == {"attacked": 7, "epsilon": None, "student": True}
    assert [(each["arm"], list(each["seeds"])) for each in values["cells"][0]["arms"]] == [
        (CHOSEN, ["0", "1"]),
        (CE, ["0", "1"]),
        (LS, ["0", "1"]),
    ]


@pytest.mark.parametrize("width", [80, 120])
def test_terminal_table_cuts_no_number_however_large(width: int) -> None:
    out = printed(TWO, width)
    assert "\N{HORIZONTAL ELLIPSIS}" not in out
    assert max(map(len, out.splitlines())) <= width
    words = " ".join(out.split())
    assert "test accuracy (%)" in words
    assert "92.00" in words
    assert "±2.83" in words
    assert ">1000" in words  # a loss without a bound
    assert "e+" not in words
    assert ">1000: the loss of a network that is sure and wrong has no bound" in words
    assert ("92.00 ±2.83" in out) == (width == 120)


def test_bounded_numbers_need_no_word_on_unbounded_ones() -> None:
    assert "bound" not in printed(cell(arm(CE, 0.0, network(accuracy=80.0, nll=999.0))), 80)


def test_notes_stand_below_with_their_arm() -> None:
    noted = replace_notes(arm(CE, 0.0, network(accuracy=80.0)), "1 of 2 seeds diverged")
    assert printed(cell(noted, notes=("attacks: epsilon 0.1",)), 80).rstrip().endswith("CE: 1 of 2 seeds diverged")


def replace_notes(found: ArmAnalysis, *notes: str) -> ArmAnalysis:
    return replace(found, notes=list(notes))


def test_baseline_that_was_chosen_is_compared_with_nothing() -> None:
    base = arm(CE, 0.0, network(accuracy=80.0))
    base.arm = replace(base.arm, chosen=True)
    out = printed(cell(base, arm(LS, 0.1, network(accuracy=81.0))), 80)
    assert "(chosen)" in out
    assert "(95 %)" not in out


def test_parameters_in_words_have_six_digits_at_most() -> None:
    assert in_words({"rate": -1.23456789, "warmup": 3}) == "rate=-1.23457, warmup=3"


def lines_of(figure: Figure, panel: int, label: str) -> tuple[list[float], list[float]]:
    (line,) = [line for line in figure.axes[panel].lines if line.get_label() == label]
    x, y = (np.asarray(values, dtype=float).tolist() for values in (line.get_xdata(), line.get_ydata()))
    return x, y


def test_reliability_is_of_all_seeds_together_without_empty_bins() -> None:
    figure = reliability(cell(arm(CE, 0.0, network(scaled_ece=0.2), network(scaled_ece=0.4))))
    assert figure is not None
    x, y = lines_of(figure, 0, "cross-entropy")
    assert x == pytest.approx([0.6, 0.9])
    assert y == pytest.approx([0.5, 0.9])
    assert figure.axes[1].get_title().endswith("ECE: CE 0.300")


def test_confidence_is_shared_out_among_right_and_wrong_predictions_apart() -> None:
    figure = confidence(cell(arm(CE, 0.0, network())))
    assert figure is not None
    right, wrong = (patch for patch in figure.axes[0].patches if str(patch.get_label()).endswith("predictions"))
    assert right.get_data().values.tolist() == pytest.approx([0, 0, 100 * 15 / 24, 100 * 9 / 24])  # type: ignore[attr-defined]
    assert wrong.get_data().values.tolist() == pytest.approx([0, 0, 100 * 15 / 16, 100 * 1 / 16])  # type: ignore[attr-defined]
    assert figure.axes[0].get_title().endswith("40.0 % wrong")


def test_projection_is_in_units_of_the_distance_of_the_classes_means() -> None:
    figure = projection(cell(arm(CE, 0.0, network())))
    assert figure is not None
    first, second = (np.asarray(found.get_offsets())[:, 0].tolist() for found in figure.axes[0].collections)
    assert (first, second) == ([-1.5, -0.5], [0.5, 1.5])  # means at -2 and 2 become -1 and 1


def test_memorisation_needs_wrong_labels_and_shows_the_epochs() -> None:
    assert memorisation(cell(arm(CE, 0.0, network(), curve=({"train_accuracy_clean": 90.0},)))) is None
    curve: tuple[Metrics, ...] = tuple(
        {"train_accuracy_clean": 80.0 + i, "train_accuracy_flipped": 10.0 * i} for i in (1, 2)
    )
    figure = memorisation(cell(arm(CE, 0.0, network(), curve=curve)))
    assert figure is not None
    assert lines_of(figure, 0, "cross-entropy") == ([1, 2], [81, 82])
    assert lines_of(figure, 1, "cross-entropy") == ([1, 2], [10, 20])


def test_robustness_says_where_gradients_are_masked_and_is_left_out_without_attacks() -> None:
    assert robustness(cell(arm(CE, 0.0, network()))) is None
    masked = network({"masking": "PGD is weaker than a single step"}, **ATTACKED)
    figure = robustness(cell(arm(CHOSEN, -2.0, masked), arm(CE, 0.0, network({"masking": ""}, **ATTACKED))))
    assert figure is not None
    labels = [tick.get_text() for tick in figure.axes[0].get_xticklabels()]
    assert labels == ["chosen: r = \N{MINUS SIGN}2\n(signs of masked gradients)", "cross-entropy"]
    assert sorted({bar.get_height() for bar in figure.axes[0].patches}) == [40, 50, 70]  # type: ignore[attr-defined]


def test_arm_without_a_network_is_left_out_of_the_pictures(tmp_path: Path) -> None:
    found = cell(arm(CHOSEN, -8.0), arm(CE, 0.0, network()))
    assert {path.name for path in save_plots(tmp_path, [found])} == {
        f"twonorm-symmetric-0.4-gls-{kind}.png" for kind in ("reliability", "confidence", "projection")
    }
    assert save_plots(tmp_path, [cell(arm(CHOSEN, -8.0))]) == []
    assert "test accuracy" not in printed(cell(arm(CHOSEN, -8.0)), 80)


def test_pictures_need_no_pyplot() -> None:
    code = "import sys, tosmooth.search.report.analysis.plots; raise SystemExit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
