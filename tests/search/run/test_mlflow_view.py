"""Pages that MLflow shows of a study are made of its rows."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.search.report.test_tables import UNKNOWN, WORST
from tests.search.tools import tiny
from tosmooth.search.records import Cell
from tosmooth.search.report.row import COLUMNS, Row
from tosmooth.search.run.mlflow_view import pictures, study_page
from tosmooth.search.storage.study_folder import StudyFolder
from tosmooth.search.tracking.page import CellPage

CLEAN, NOISY = Cell("twonorm/clean", "gls"), Cell("twonorm/symmetric-0.4", "gls")
ROWS = (
    replace(UNKNOWN, dataset="twonorm", noise="clean"),
    replace(WORST, dataset="twonorm", noise="symmetric-0.4"),
)
FILES = (
    *("twonorm-clean-gls-learning-curves.png", "twonorm-symmetric-0.4-gls-learning-curves.png"),
    *("twonorm-rate-over-noise.png", "best_rates.csv"),
)


def pages(*rows: Row) -> tuple[CellPage, CellPage]:
    page = study_page(tiny(), rows or ROWS, [Path("plots") / name for name in FILES], "")
    return page.cells[CLEAN], page.cells[NOISY]


def test_every_number_of_a_row_is_a_metric_and_every_text_a_tag() -> None:
    own = pages()[1]
    texts = {f"tosmooth.{name}" for name, column in COLUMNS.items() if column.kind is str}
    assert set(own.metrics) == {name for name, column in COLUMNS.items() if column.kind is not str}
    assert set(own.tags) == texts | {"tosmooth.answer"}
    assert own.tags["tosmooth.note"] == "theory assumes symmetric noise; gain over CE is within seed noise"


def test_numbers_are_rounded_to_be_read_but_a_rate_that_one_trains_with_is_not() -> None:
    metrics = pages()[1].metrics
    # two decimals of accuracies, three digits of rates of noise and of theory
    shown = {name: metrics[name] for name in ("test_accuracy", "gain_over_ce", "noise_rate", "theory_rate", "hours")}
    assert shown == {
        "test_accuracy": 65.19,
        "gain_over_ce": 1.39,
        "noise_rate": 0.402,
        "theory_rate": -0.807,
        "hours": 1.23,
    }
    assert (metrics["best_rate"], metrics["oracle_rate"], metrics["trials"]) == (-0.43512, -0.0004, 40.0)
    assert pages()[0].metrics["best_rate"] is None


def test_infinite_number_is_unknown() -> None:
    assert pages(ROWS[0], replace(ROWS[1], gain_low=float("-inf")))[1].metrics["gain_low"] is None


def test_words_of_a_cell_are_its_answer_and_notes() -> None:
    assert pages()[1].words.splitlines() == [
        "**symmetric-0.4: stay with cross-entropy: what r = -0.44 after 4 epochs of cross-entropy gains is within "
        "chance, +1.4 points (-0.2 to 3.0)**",
        "",
        "- share of wrong labels: 0.402 (measured)",
        "- theory assumes symmetric noise",
        "- gain over CE is within seed noise",
    ]


def test_pictures_of_a_cell_are_its_own_and_the_others_the_study_s() -> None:
    page = study_page(tiny(), ROWS, [Path(name) for name in FILES], "")
    assert page.pictures == ["twonorm-rate-over-noise.png"]
    assert page.cells[NOISY].pictures == ["twonorm-symmetric-0.4-gls-learning-curves.png"]


def test_study_of_one_cell_has_pictures_of_its_own_too() -> None:
    page = study_page(tiny("dataset.noise=[symmetric-0.4]"), ROWS[1:], [Path(name) for name in FILES[1:]], "")
    assert page.cells[NOISY].pictures == ["twonorm-symmetric-0.4-gls-learning-curves.png"]
    assert page.pictures == ["twonorm-rate-over-noise.png"]


def test_words_of_the_study_hold_answers_table_and_notes() -> None:
    words = study_page(tiny(), ROWS, (), "").words.split("\n\n")
    assert words[0].splitlines()[0] == "- clean: nothing can be said: no trial completed"
    head, rule, *rows = words[1].splitlines()
    assert head.replace("&emsp;", "").split(" | ")[:3] == ["| noise", "noise rate", "best rate (95 %)"]
    assert rule.startswith("| :--- | ---: | ---: |")
    assert [line.split(" | ")[0] for line in rows] == ["| clean", "| symmetric-0.4"]
    assert words[2].splitlines()[0] == "- theory assumes symmetric noise: symmetric-0.4"
    assert words[3].startswith("**How to read it.**")


@pytest.mark.parametrize("name", ["a|b", "<b>bold</b>", "`x`"])
def test_name_that_would_break_the_table_is_escaped(name: str) -> None:
    words = study_page(tiny(), (ROWS[0], replace(ROWS[1], noise=name)), (), "").words
    row = words.split("\n\n")[1].splitlines()[-1]
    assert row.count(" | ") == words.split("\n\n")[1].splitlines()[0].count(" | ")
    assert f"| {name}" not in row


def test_view_shows_the_terminal_s_numbers_with_the_gain_first() -> None:
    page = study_page(tiny(), ROWS, (), "")
    assert page.columns[:5] == ["noise_rate", "best_rate", "gain_over_ce", "gain_low", "gain_high"]
    assert set(page.columns[5:]) == {
        *("rate_low", "rate_high", "best_warmup", "test_accuracy", "ce_test_accuracy", "ls_test_accuracy"),
        "theory_rate",
    }
    assert (page.parameters, page.score) == (["rate", "warmup"], "val_accuracy")


def test_pictures_of_what_was_found_stand_before_those_of_the_analysis(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path)
    files = [folder.path / "analysis" / "a.png", folder.plots / "b.png", folder.plots / "c.png"]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    assert pictures(folder) == [files[1], files[2], files[0]]
