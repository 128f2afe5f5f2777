"""What the pictures show is read back from the figures, not from their pixels."""

import os
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from tests.conftest import ROOT
from tests.search.builders import level, record
from tests.search.surrogate.test_posterior import hill, run
from tests.search.tools import gls
from tosmooth.search.records import Level, Metrics, Phase, Record, Score, State
from tosmooth.search.report.best_rates import best_row
from tosmooth.search.report.cell_results import CellResults
from tosmooth.search.report.figure_style import new_figure
from tosmooth.search.report.plots import accuracy_over_rate, learning_curves, rate_over_noise, save_plots
from tosmooth.search.report.rate_axis import draw_model
from tosmooth.search.report.row import Row
from tosmooth.search.spec.loading import load_study
from tosmooth.search.spec.sections import Baselines, ConfirmationSpec
from tosmooth.search.surrogate.fitting import fit

LEVEL = level(train_size=5000, validation_size=20000, test_size=10000)
CE, LS, NLS = {"rate": 0.0, "warmup": 0}, {"rate": 0.1, "warmup": 0}, {"rate": -2.0, "warmup": 1}


def test_a_figure_is_made_while_another_thread_loads_ipython(tmp_path: Path) -> None:
    slow = tmp_path / "IPython"  # as MLflow does in its thread
    slow.mkdir()
    (slow / "__init__.py").write_text("import time\ntime.sleep(2)\nversion_info = (9, 0)\n", encoding="utf-8")
    code = """
import sys, threading, time
from tosmooth.search.report.figure_style import new_figure
threading.Thread(target=__import__, args=("IPython",)).start()
while "IPython" not in sys.modules: time.sleep(0.01)
print(len(new_figure(2, 1, "title", (4, 4))[1]))
"""
    path = {"PYTHONPATH": f"{tmp_path}:{ROOT}"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | path)
    assert (done.returncode, done.stdout) == (0, "2\n"), done.stderr


def trial(
    number: int,
    params: dict[str, Any],
    val: list[float],
    state: State = "complete",
    phase: Phase = "search",
    seed: int = 0,
) -> Record:
    """Test accuracy is always 30 above the noisy validation, training accuracy 1 above it."""
    curve: tuple[Metrics, ...] = tuple(
        {"train_accuracy": v + 1, "val_accuracy": v, "test_accuracy": v + 30} for v in val
    )
    return record(number, params=params, state=state, phase=phase, train_seed=seed, curve=curve)


RECORDS = [
    trial(0, CE, [52.0, 54.0]),
    trial(1, LS, [51.0, 53.0]),
    trial(2, NLS, [52.0, 58.0]),
    trial(3, {"rate": -4.0, "warmup": 0}, [51.5], "pruned"),
    trial(4, {"rate": -7.0, "warmup": 0}, [50.0], "diverged"),
    trial(5, {"rate": -6.0, "warmup": 0}, [99.0], "failed"),
    trial(6, {"rate": -5.0, "warmup": 0}, [98.0], "running"),
    *(trial(n, NLS, [52.0, v], phase="confirmation", seed=n) for n, v in ((7, 57.0), (8, 59.0))),
    *(trial(n, CE, [50.0 + n, v], phase="confirmation", seed=n) for n, v in ((7, 53.0), (8, 55.0))),
    *(trial(n, LS, [51.0, 52.0], phase="confirmation", seed=n) for n in (7, 8)),
]


def row_of(records: list[Record] = RECORDS, level: Level = LEVEL) -> Row:
    return best_row(
        CellResults(
            level=level,
            method="gls",
            records=records,
            score=Score(),
            rule=ConfirmationSpec(seeds=2),
            best=NLS if records else None,
            baselines=Baselines(ce=CE, ls=LS),
            bounds=(-8.0, 0.8),
        )
    )


def numbers(values: Any) -> list[Any]:
    return np.asarray(values, dtype=float).tolist()  # type: ignore[no-any-return]


def points(ax: Axes, label: str) -> list[list[float]]:
    (found,) = [collection for collection in ax.collections if collection.get_label() == label]
    return numbers(found.get_offsets())


def line(ax: Axes, start: str) -> tuple[list[float], list[float]]:
    """The x and the y of the one line so labelled."""
    (found,) = [line for line in ax.lines if str(line.get_label()).startswith(start)]
    return numbers(found.get_xdata()), numbers(found.get_ydata())


def bars(ax: Axes, start: str) -> list[tuple[list[float], list[float], list[list[float]]]]:
    """Of all that has error bars and is so labelled: x, y, and the ends of each bar."""
    found = []
    for container in ax.containers:
        parts: list[Any] = container.get_children()
        if str(container.get_label()).startswith(start):
            ends = [[numbers(s[:, 1]) for s in part.get_segments()] for part in parts if hasattr(part, "get_segments")]
            found.append((numbers(parts[0].get_xdata()), numbers(parts[0].get_ydata()), ends[0] if ends else []))
    return found


def labels(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_the_trials_stand_at_their_rate_by_how_they_ended() -> None:
    val, test = accuracy_over_rate(LEVEL, RECORDS, row_of()).axes
    assert points(val, "search trial, warm-up 1") == [[0.0, 54.0], [-2.0, 58.0]]  # cross-entropy has none of its own
    assert points(val, "search trial, another warm-up") == [[0.1, 53.0]]
    assert points(test, "search trial, warm-up 1") == [[0.0, 84.0], [-2.0, 88.0]]
    assert points(val, "pruned, at its last epoch") == [[-4.0, 51.5]]
    assert points(val, "diverged") == [[-7.0, 0.04]]  # 4 % above the bottom of the panel, whatever it reported
    assert val.get_xlim()[0] < -7.0  # and inside it


def test_pruned_trials_are_hollow_and_clean_test_accuracy_is_called_oracle_knowledge() -> None:
    val, test = accuracy_over_rate(LEVEL, RECORDS, row_of()).axes
    filled, hollow = val.collections[:2]
    assert len(np.asarray(filled.get_facecolor())) == 1
    assert len(np.asarray(hollow.get_facecolor())) == 0
    assert (val.get_ylabel(), test.get_ylabel()) == (
        "noisy validation\naccuracy (%)",
        "clean test (oracle knowledge)\naccuracy (%)",
    )
    assert test.get_xscale() == "symlog"


def test_chosen_rate_theory_and_cross_entropy_are_lines() -> None:
    val, test = accuracy_over_rate(LEVEL, RECORDS, row_of()).axes
    for ax in (val, test):
        assert line(ax, "chosen rate")[0] == [-2.0, -2.0]
        assert line(ax, "theory's rate")[0] == pytest.approx([-4.0, -4.0])
    assert line(val, "cross-entropy, fresh seeds")[1] == [54.0, 54.0]  # of 53 and 55
    assert line(test, "cross-entropy, fresh seeds")[1] == [84.0, 84.0]


def test_what_was_confirmed_stands_with_mean_and_standard_deviation() -> None:
    val, test = accuracy_over_rate(LEVEL, RECORDS, row_of()).axes
    ((x, y, (ends,)),) = bars(val, "chosen r = \N{MINUS SIGN}2, warm-up 1: 2 fresh seeds")
    assert (x, y) == ([-2.0], [58.0])  # of 57 and 59, whose sample standard deviation is sqrt(2)
    assert ends == pytest.approx([58 - 2**0.5, 58 + 2**0.5])
    assert bars(test, "r = 0.1: 2 fresh seeds") == [([0.1], [82.0], [[82.0, 82.0]])]


def test_a_diverged_confirmation_pulls_the_mean_to_chance_as_in_the_table() -> None:
    records = [replace(r, state="diverged") if r.params == NLS and r.train_seed == 7 else r for r in RECORDS]
    _, test = accuracy_over_rate(LEVEL, records, row_of(records)).axes
    ((x, y, _),) = bars(test, "chosen")
    assert (x, y) == ([-2.0], [row_of(records).test_accuracy])
    assert y == [(50 + 89) / 2]


def test_without_a_test_set_there_is_no_panel_for_it() -> None:
    blind = replace(LEVEL, test_size=0, noise_rate=None)
    row = row_of(level=blind)
    figure = accuracy_over_rate(blind, RECORDS, row)
    assert len(figure.axes) == 1
    assert not any("theory" in label for label in labels(figure))
    assert [ax.get_title() for ax in learning_curves(blind, RECORDS, row).axes] == [
        "train (noisy labels)",
        "noisy validation",
    ]


def test_a_cell_in_which_nothing_has_ended_is_drawn_all_the_same(tmp_path: Path) -> None:
    accuracy_over_rate(LEVEL, [], row_of([])).savefig(tmp_path / "empty.png")
    assert (tmp_path / "empty.png").stat().st_size > 1000


def test_learning_curves_show_mean_and_band_of_every_confirmed_arm() -> None:
    train, val, test = learning_curves(LEVEL, RECORDS, row_of()).axes
    assert line(val, "cross-entropy")[0] == [1, 2]
    assert line(val, "cross-entropy")[1] == [57.5, 54.0]  # of 57 and 58, of 53 and 55
    assert line(train, "cross-entropy")[1] == [58.5, 55.0]
    assert line(test, "chosen")[1] == [82.0, 88.0]
    _, ce, *_ = val.collections  # bands: the chosen arm first, then by rate
    band = {(x, y) for x, y in numbers(ce.get_paths()[0].vertices)}
    assert band == {(1, 57), (1, 58), (2, 53), (2, 55)}
    assert (val.get_xlabel(), train.get_ylabel()) == ("epoch", "accuracy (%)")


def test_test_set_that_was_evaluated_once_is_a_point() -> None:
    def at_the_end(record: Record) -> Record:
        *before, last = record.curve
        return replace(record, curve=(*({**metrics, "test_accuracy": None} for metrics in before), last))

    train, _, test = learning_curves(LEVEL, [at_the_end(r) for r in RECORDS], row_of()).axes
    assert line(test, "chosen") == ([2], [88])
    (point,) = [drawn for drawn in test.lines if str(drawn.get_label()).startswith("chosen")]
    assert point.get_marker() == "o"
    assert {drawn.get_marker() for drawn in train.lines} <= {"", "None"}


def test_the_end_of_the_warm_up_is_marked() -> None:
    figure = learning_curves(LEVEL, RECORDS, row_of())
    assert all(line(ax, "end of warm-up")[0] == [1, 1] for ax in figure.axes)
    assert "end of warm-up: epoch 1" in labels(figure)


def test_a_run_that_diverged_ends_its_part_of_the_curve() -> None:
    ended = [
        replace(r, state="diverged", curve=r.curve[:1]) if r.params == CE and r.train_seed == 8 else r for r in RECORDS
    ]
    _, val, _ = learning_curves(LEVEL, ended, row_of(ended)).axes
    assert line(val, "cross-entropy")[1] == [57.5, 53.0]


def rows() -> list[Row]:
    row = row_of()
    return [
        replace(row, noise="symmetric-0.4", noise_rate=0.4, best_rate=-2.0, rate_low=-3.0, rate_high=-1.5),
        replace(row, noise="symmetric-0.1", noise_rate=0.1, best_rate=0.2, rate_low=0.0, rate_high=0.4),
        replace(row, noise="worst", noise_rate=0.3, best_rate=-1.0),
        replace(row, noise="given", noise_rate=None),
        replace(row, noise="symmetric-0.2", noise_rate=0.2, best_rate=None),
    ]


def test_best_rates_stand_over_their_noise_rate_one_line_for_each_kind_of_noise() -> None:
    (ax,) = rate_over_noise(rows(), classes=2).axes
    ((x, y, ends),) = bars(ax, "best rate, symmetric")
    assert (x, y) == ([0.1, 0.4], [0.2, -2.0])
    assert ends == [pytest.approx([0.0, 0.4]), pytest.approx([-3.0, -1.5])]
    assert bars(ax, "best rate, worst") == [([0.3], [-1.0], [])]
    assert len(ax.containers) == 2


def test_an_estimated_noise_rate_is_called_so_in_the_plot() -> None:
    (ax,) = rate_over_noise([replace(row, noise_rate_source="estimated") for row in rows()[2:3]], classes=2).axes
    assert bars(ax, "best rate, worst (noise rate estimated)") == [([0.3], [-1.0], [])]


def test_the_theory_is_drawn_for_the_classes_of_the_data() -> None:
    (ax,) = rate_over_noise(rows(), classes=10).axes
    x, y = line(ax, "theory: symmetric noise, 10 classes")
    assert np.interp(0.4, x, y) == pytest.approx(-0.8, abs=1e-3)
    assert (x[0], y[0]) == (0.0, 0.0)
    assert all(before > after for before, after in pairwise(y))


def test_a_rate_of_the_theory_that_nears_infinity_does_not_squeeze_the_rest() -> None:
    (ax,) = rate_over_noise([replace(rows()[0], noise_rate=0.499, theory_rate=-499.0)], classes=2).axes
    assert ax.get_ylim()[0] == -3.75  # a quarter more than the interval, which ends at -3


def test_axis_of_best_rates_fits_their_intervals() -> None:
    wide = replace(rows()[0], rate_low=-7.5, rate_high=3.0)
    bottom, top = rate_over_noise([wide], classes=2).axes[0].get_ylim()
    assert bottom < -7.5
    assert top > 3.0


def test_plots_are_saved_under_names_safe_as_files(tmp_path: Path) -> None:
    level = replace(LEVEL, noise="../odd name")
    records = [replace(record, level=level.name) for record in RECORDS]
    cells = [(LEVEL, RECORDS), (level, records)]
    paths = save_plots(tmp_path / "plots", cells, [row_of(), row_of(records, level)])
    assert [path.name for path in paths] == [
        "twonorm-symmetric-0.4-gls-accuracy-over-rate.png",
        "twonorm-symmetric-0.4-gls-learning-curves.png",
        "twonorm-..-odd-name-gls-accuracy-over-rate.png",
        "twonorm-..-odd-name-gls-learning-curves.png",
        "twonorm-rate-over-noise.png",
    ]
    assert sorted(paths) == sorted((tmp_path / "plots").iterdir())
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)


def test_pictures_of_what_is_not_known_yet_are_left_out(tmp_path: Path) -> None:
    (path,) = save_plots(tmp_path, [(LEVEL, [])], [row_of([])])
    assert path.name == "twonorm-symmetric-0.4-gls-accuracy-over-rate.png"


def test_plotting_leaves_pyplot_alone() -> None:
    code = "import sys, tosmooth.search.report.plots; raise SystemExit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_model_and_interval_stand_behind_the_noisy_validation() -> None:
    row = replace(row_of(), rate_low=-2.5, rate_high=-1.0)
    model = fit(gls(load_study("twonorm")), hill(-1.4))
    assert model is not None
    val, test = accuracy_over_rate(LEVEL, RECORDS, row, model).axes
    (drawn,) = [each for each in val.collections if isinstance(each, LineCollection) and len(each.get_segments()) > 9]
    over = [point for point in model.over_axis() if point[0] or not model.best["warmup"]]
    starts, strength = [numbers(piece[0]) for piece in drawn.get_segments()], numbers(drawn.get_alpha())
    assert starts == [[rate, mean] for rate, mean, *_ in over[:-1]]
    near = min(range(len(starts)), key=lambda i: abs(starts[i][0] + 2))  # a trial is there
    assert strength[near] > 0.7
    assert strength[0] < 0.2  # none is as low as -8
    for ax in (val, test):
        labels = [str(patch.get_label()) for patch in ax.patches]
        assert labels == ["95 % interval of the best rate, \N{MINUS SIGN}2.5 to \N{MINUS SIGN}1"]
    plain = accuracy_over_rate(LEVEL, RECORDS, row_of()).axes[0]
    assert not plain.patches
    assert not any(str(drawn.get_label()).startswith("posterior") for drawn in plain.lines)


def test_interval_is_cut_where_it_leaves_the_trials() -> None:
    """Where nothing was tried it reaches down to chance, and an axis that shows that hides the tenths in question."""
    trials = ((-3.0, 92.0), (-2.5, 93.0), (-2.0, 91.0), (0.0, 75.0), (0.1, 74.0))
    model = fit(gls(load_study("twonorm")), [run(i, rate, value, seed=i % 3) for i, (rate, value) in enumerate(trials)])
    assert model is not None
    val = accuracy_over_rate(LEVEL, RECORDS, row_of(), model).axes[0]
    tried = [-2.0, 0.0, 0.1]
    shown = [51.5, 59.0, *(mean for rate, mean, *_ in model.over_axis() if rate in tried)]  # of the trials drawn
    bottom, top = val.get_ylim()
    assert bottom < min(shown) < max(shown) < top
    assert min(low for *_, low, _ in model.over_axis()) < bottom


def test_clean_level_is_not_called_noisy() -> None:
    clean = replace(LEVEL, noise="clean", noise_rate=0.0)
    records = [replace(record, level=clean.name) for record in RECORDS]
    row = row_of(records, clean)
    shown = [learning_curves(clean, records, row), accuracy_over_rate(clean, records, row)]
    words = [text for figure in shown for ax in figure.axes for text in (ax.get_title(), ax.get_ylabel())]
    assert not any("noisy" in text for text in words)
    assert "validation\naccuracy (%)" in words
    assert learning_curves(LEVEL, RECORDS, row_of()).axes[0].get_title() == "train (noisy labels)"


def test_bands_are_in_the_legend() -> None:
    assert "from lowest to highest seed" in labels(learning_curves(LEVEL, RECORDS, row_of()))


def test_a_study_of_one_rate_is_drawn() -> None:
    spec = load_study("twonorm", ["space.rate={values: [0.0]}", "search.trials=12"])
    model = fit(gls(spec), [run(i, 0.0, 70 + 3 * warmup + 0.1 * i, warmup) for i, warmup in enumerate([0, 1, 2] * 4)])
    assert model is not None
    assert len(model.over_axis()) == 1
    figure, axes = new_figure(1, 1, "one rate", (6, 4))
    draw_model(axes[0], model, [0.0])
    figure.canvas.draw()
