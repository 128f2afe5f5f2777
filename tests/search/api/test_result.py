"""The result of a study in Python: what the command prints, as tables, pictures and words."""

import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from IPython.core.formatters import DisplayFormatter
from matplotlib.figure import Figure

import tosmooth
from tests.search.conftest import Finished
from tosmooth.search.api.recommendation import recommendation_of
from tosmooth.search.api.result import Result
from tosmooth.search.report.answer import verdict_of
from tosmooth.search.report.row import COLUMNS, Row
from tosmooth.trainables.errors import InputError

pytestmark = pytest.mark.ray  # the study is run once


@pytest.fixture
def result(finished: Finished) -> Result:
    return tosmooth.load("tiny", home=finished.home)


def test_the_table_is_that_of_the_file(result: Result, finished: Finished) -> None:
    file = pd.read_csv(finished.home / "studies" / "tiny" / "best_rates.csv")
    assert list(result.table) == list(file) == list(COLUMNS)
    assert result.table["best_rate"].tolist() == file["best_rate"].tolist()
    assert result.table["trials"].dtype == pd.Int64Dtype()
    assert result.arrow().num_rows == 2
    assert result.study == tosmooth.Study.load(finished.file)


def test_trials_and_curves_are_all_of_them(result: Result) -> None:
    assert len(result.trials) == len(result.records) == 20
    curves = result.curves
    assert len(curves) == sum(record.epochs for record in result.records)
    record = result.records[3]
    own = curves[(curves.level == record.level) & (curves.phase == record.phase) & (curves.number == record.number)]
    assert own["epoch"].tolist() == [1, 2, 3]
    assert own["val_accuracy"].tolist() == [metrics["val_accuracy"] for metrics in record.curve]
    with pytest.raises(InputError, match="what: 'rows' is refused: table, trials or curves"):
        result.arrow("rows")  # type: ignore[arg-type]


def test_the_best_of_a_level_has_its_parameters_and_saves_its_weights(result: Result, tmp_path: Path) -> None:
    best = result.best("symmetric-0.4")
    assert best.parameters["rate"] == best.row.best_rate
    assert best.parameters["warmup"] == best.row.best_warmup
    files = best.save(tmp_path)
    assert [file.name for file in files] == ["tiny-symmetric-0.4.yaml", "tiny-symmetric-0.4.safetensors"]
    assert tosmooth.Study.load(files[0]).space["rate"].values == (best.parameters["rate"],)
    with pytest.raises(InputError, match=r"level: None is refused: one of clean, symmetric-0\.4"):
        result.best()
    with pytest.raises(InputError, match="level: 'worst' is refused"):
        result.best("worst")
    with pytest.raises(InputError, match="method: 'gce' is refused: one of gls"):
        result.best("clean", "gce")


def test_pictures_are_those_of_the_command(result: Result) -> None:
    over_noise, over_rate = result.plot(), result.plot("clean")
    display = DisplayFormatter()  # as a notebook without pyplot does
    shown, _ = display.format(over_noise)  # type: ignore[no-untyped-call]
    assert shown["image/png"].startswith(b"\x89PNG")
    assert isinstance(over_noise, Figure)
    assert over_noise.get_suptitle() == "twonorm: best smoothing rate over noise rate"
    assert over_rate.get_suptitle() == "twonorm/clean: accuracy over smoothing rate"


def test_it_shows_itself_as_a_table_and_in_a_notebook_with_a_picture(result: Result) -> None:
    assert "best smoothing rate, twonorm" in repr(result)
    page = result._repr_html_()
    assert page.count("<tr") == 3
    assert "symmetric-0.4" in page
    assert "data:image/png;base64,iVBOR" in page


def test_its_report_is_a_page_which_a_notebook_shows_in_a_frame(result: Result, tmp_path: Path) -> None:
    made = result.report(tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == made.html
    assert made.html.startswith("<!DOCTYPE html>")
    assert made._repr_html_().startswith('<iframe title="report of tiny" width="100%" height="720"')
    assert made._repr_html_().count("<") == 2  # the page is text of an attribute
    with pytest.raises(InputError, match=r"output: .* is refused: a file in a folder that is there"):
        made.save(tmp_path / "none" / "page.html")


def test_names_and_notes_are_no_markup(result: Result) -> None:
    result.__dict__["rows"] = [replace(row, note="<b>x</b>", noise="clean<i>") for row in result.rows]
    assert "<b>" not in result._repr_html_()
    assert "<i>" not in result._repr_html_()


def test_a_study_that_is_not_there_is_named(finished: Finished) -> None:
    with pytest.raises(InputError, match=r"study .tinny. is not in the home .*; did you mean .tiny."):
        tosmooth.load("tinny", home=finished.home)


@pytest.mark.parametrize(
    ("changes", "smooth", "words"),
    [
        ({"best_rate": None, "best_warmup": None}, None, "^Nothing can be said: no trial completed.$"),
        ({"best_rate": 0.0, "gain_over_ce": None}, False, "^Train with plain cross-entropy: no smoothing did better"),
        ({"seeds": 0, "gain_over_ce": None}, None, "^Not confirmed yet: r = -2.5 after 1 epoch"),
        ({"gain_low": None, "gain_high": None}, None, "^How sure it is cannot be said: r = -2.5"),
        ({}, True, r"^Train with r = -2.5 after 1 epoch of cross-entropy: \+3.0 points \(2.0 to 4.0\).$"),
        ({"gain_low": -1.0}, False, "^Stay with cross-entropy"),
        ({"gain_over_ce": -2.0, "gain_low": -3.0, "gain_high": -1.0}, False, "does worse"),
    ],
)
def test_a_recommendation_says_what_the_row_comes_to(
    result: Result, changes: dict[str, object], smooth: bool | None, words: str
) -> None:
    given = {"best_rate": -2.5, "best_warmup": 1, "gain_over_ce": 3.0, "gain_low": 2.0, "gain_high": 4.0}
    row: Row = replace(result.rows[1], **(given | {"note": "one; two"} | changes))  # type: ignore[arg-type]
    row = replace(row, verdict=verdict_of(row, hardly_learns=False, compared=True))
    found = recommendation_of(row)
    assert found.smooth is smooth
    assert re.search(words, found.words)
    assert str(found).splitlines()[1:] == ["- one", "- two"]
