"""The report is read back from its HTML, its charts are held to Vega-Lite's grammar; in a browser: test_page.py."""

import base64
import gzip
import hashlib
import json
import re
import time
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import altair as alt
import numpy as np
import pyarrow as pa
import pytest
import torch
from jsonschema import Draft7Validator

from tests.search.builders import level, record
from tests.search.conftest import Command, Finished
from tests.search.report.html.made_up import EPOCHS, analysis, curve, records_of, spec_of, study
from tosmooth.search.records import Cell
from tosmooth.search.report.html import analysis_charts, rate_chart, study_charts
from tosmooth.search.report.html.analysis_part import read_analysis
from tosmooth.search.report.html.chart_parts import Charted
from tosmooth.search.report.html.drawing import drawing
from tosmooth.search.report.html.report import report
from tosmooth.search.report.results import StudyResults, views
from tosmooth.search.report.row import COLUMNS
from tosmooth.search.report.suspects.files import SCHEMA, SuspectList, write_list, write_pictures
from tosmooth.search.report.suspects.rendered import thumbnails
from tosmooth.search.run.study_report import write_report
from tosmooth.search.storage.machines import keep_machine

EVIL = "</script><script>window.hacked = 1</script>\"'&lt;ü$€"


class Read(HTMLParser):
    """Elements of a page with their attributes, the text of each kind of element, and all of the text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self._open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        self.texts.append((self._open[-1] if self._open else "", data))

    def text(self, *kinds: str) -> str:
        found = (text for kind, text in self.texts if (kind in kinds if kinds else kind not in ("script", "style")))
        return re.sub(r"\s+", " ", " ".join(found))


def charts_of(found: StudyResults) -> list[Charted]:
    shown = list(views(found.spec, found.levels, found.records, found.rows))
    classes = next(iter(found.levels.values())).classes
    own = [make(view) for view in shown for make in (rate_chart.rate_chart, study_charts.curve_chart)]
    return [*own, study_charts.noise_chart(found.rows, classes)]


GRAMMAR = Draft7Validator(alt.load_schema())


def check(charted: Charted) -> dict[str, Any]:
    """Hold a chart to the grammar of Vega-Lite; returns it."""
    GRAMMAR.validate(charted.spec)
    return charted.spec


def test_the_page_says_what_the_table_says(tmp_path: Path) -> None:
    found = study(tmp_path)
    page = Read(report([found]))
    text = page.text()
    for row in found.rows:
        assert f"{row.gain_over_ce:+.2f}" in text
        assert f"{row.test_accuracy:.2f} ±{row.test_accuracy_std:.2f}" in text
        for note in row.note.split("; "):
            assert note in text
    known = page.text("th").split()
    filled = [name for name in COLUMNS if any(getattr(row, name) not in (None, "") for row in found.rows)]
    assert set(filled) - {"note"} <= set(known)
    assert "16 ended (2 pruned, 2 diverged); 18 runs on fresh seeds" in text  # 8 trials and 9 runs a level
    assert "tosmooth analyse tiny" in text  # of what is not shown
    assert "tosmooth suspects tiny" in text


def test_no_name_is_markup(tmp_path: Path) -> None:
    known = level("clean", 0.0, class_names=(EVIL, "b"))
    found = study(tmp_path, spec_of("dataset.noise=[clean]").model_copy(update={"question": EVIL}), [known])
    analysis(found.folder.path, known.name, 2, {"rate": -1.0, "warmup": 1})
    page = report([found])
    read = Read(page)
    assert EVIL in read.text("h1")
    assert EVIL in read.text("title")
    assert [kind.get("type") for tag, kind in read.elements if tag == "script"].count(None) == 1
    assert "<script>window" not in page
    packed = re.findall(r'id="specs">(.*?)</script>', page)
    assert "</script><script>window" in gzip.decompress(base64.b64decode(packed[0])).decode()  # a class of a chart


def test_a_browser_is_told_to_fetch_nothing_and_to_run_these_scripts_alone(tmp_path: Path) -> None:
    page = report([study(tmp_path)])
    policy = next(e["content"] for tag, e in Read(page).elements if tag == "meta" and "http-equiv" in e)
    assert policy is not None
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe-eval" not in policy
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    packed = re.findall(r'<script type="text/plain" id="vega">(.*?)</script>', page)
    scripts += [gzip.decompress(base64.b64decode(each)).decode() for each in packed]
    assert [len(each) > 500_000 for each in scripts] == [False, True]
    hashes = [base64.b64encode(hashlib.sha256(each.encode()).digest()).decode() for each in scripts]
    assert all(f"'sha256-{each}'" in policy for each in hashes)
    outside = [
        e for tag, e in Read(page).elements if tag != "a" and str(e.get("src", e.get("href", "data:")))[:5] != "data:"
    ]
    assert outside == []


def test_every_kind_of_chart_is_vega_lite(tmp_path: Path) -> None:
    untested = level("clean", 0.0, test_size=0)
    kinds = {
        "rates, pruned, diverged": study(tmp_path),
        "no test set": study(tmp_path, spec_of("dataset.noise=[clean]"), [untested]),
        "nothing confirmed": study(
            tmp_path, records=[r for n in ("clean", "symmetric-0.4") for r in records_of(f"twonorm/{n}")[:8]]
        ),
        "one trial": study(tmp_path, records=records_of("twonorm/clean")[:1]),
        "one that diverged": study(tmp_path, records=records_of("twonorm/clean")[4:5]),
        "nothing": study(tmp_path, records=[]),
        "long": study(tmp_path, records=[replace(r, curve=curve(60, epochs=200)) for r in records_of("twonorm/clean")]),
    }
    for name, found in kinds.items():
        for charted in charts_of(found):
            assert check(charted)["params"][0]["name"] == "zoom", name


def test_a_curve_of_many_epochs_is_thinned_and_ends_with_its_last(tmp_path: Path) -> None:
    found = study(tmp_path, records=[replace(r, curve=curve(60, epochs=200)) for r in records_of("twonorm/clean")])
    view = next(views(found.spec, found.levels, found.records, found.rows))
    rows = study_charts.curve_chart(view).data.tables["data-0"][1:]
    epochs = [epoch for epoch, *_, name in rows if name == "chosen cross-entropy"]
    assert (len(epochs), epochs[-1]) == (50, 200)  # every fourth


def test_the_chart_over_the_rate_has_every_trial(tmp_path: Path) -> None:
    found = study(tmp_path)
    view = next(views(found.spec, found.levels, found.records, found.rows))
    tables = rate_chart.rate_chart(view).data.tables.values()
    trials = {row[head.index("trial")] for head, *rows in tables if "trial" in head for row in rows}
    assert trials == set(range(8))
    (low, high) = next((row[0], row[1]) for head, *rows in tables if head == ["x", "end"] for row in rows)
    assert (low, high) == (view.row.rate_low, view.row.rate_high)  # the interval of the table, no other


def test_a_method_without_rates_is_drawn_over_its_own_parameter(tmp_path: Path) -> None:
    spec = spec_of("method=gce", "space={}", "dataset.noise=[clean]")
    known = level("clean", 0.0)
    trials = [
        record(
            n,
            params={"gce.q": 0.1 * (n + 1), "warmup": 0},
            method="gce",
            level=known.name,
            train_seed=n,
            curve=curve(60 + n),
        )
        for n in range(6)
    ]
    found = study(tmp_path, spec, [known], trials)
    charted = rate_chart.rate_chart(next(views(spec, found.levels, trials, found.rows)))
    assert "q of gce" in json.dumps(check(charted))
    page = Read(report([found])).text()
    assert "The method gce has no smoothing rate" in page
    assert "Accuracy over q" in page


@pytest.mark.parametrize("name", ["no trial", "running", "all diverged"])
def test_a_study_that_is_not_finished_has_a_report_that_says_so(name: str, tmp_path: Path) -> None:
    one = record(0, -1.0, level="twonorm/clean", curve=curve(60))
    records = {
        "no trial": [],
        "running": [replace(one, state="running")],
        "all diverged": [
            replace(one, number=n, state="diverged", reason="train_loss is nan at epoch 2") for n in range(3)
        ],
    }[name]
    text = Read(report([study(tmp_path, records=records)])).text()
    assert "nothing can be said: no trial completed" in text
    assert ("how 1 trial ended that was running: the study is not at its end" in text) == (name == "running")


def test_a_metric_of_classes_is_named(tmp_path: Path) -> None:
    spec = spec_of("selection.metric=balanced_accuracy")
    own = [
        replace(
            r,
            curve=tuple(
                m | {f"{part}_balanced_accuracy": m[f"{part}_accuracy"] for part in ("val", "test")} for m in r.curve
            ),
        )
        for name in ("twonorm/clean", "twonorm/symmetric-0.4")
        for r in records_of(name)
    ]
    text = Read(report([study(tmp_path, spec, records=own)])).text()
    assert "Balanced accuracy over the smoothing rate" in text
    assert "% balanced accuracy instead of" in text


def test_several_studies_share_a_page_and_its_scripts(tmp_path: Path) -> None:
    first, second = study(tmp_path), study(tmp_path, spec_of("name=other", "question=Which?"))
    page = report([first, second], "Studies on twonorm")
    read = Read(page)
    assert "Studies on twonorm" in read.text("h1")
    assert page.count('id="vega"') == 1
    assert {"Study tiny on twonorm", "Study other on twonorm"} <= {text.strip() for _, text in read.texts}
    ids = [attributes["id"] for _, attributes in read.elements if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_an_analysis_is_shown_with_its_confusion(tmp_path: Path) -> None:
    known = level("clean", 0.0, classes=3, class_names=("cat", "dog", "eel"))
    found = study(tmp_path, spec_of("dataset.noise=[clean]"), [known])
    analysis(found.folder.path, known.name, 3, {"rate": found.rows[0].best_rate, "warmup": found.rows[0].best_warmup})
    text = Read(report([found])).text()
    assert "test accuracy (%) 90.50 83.25 +7.25" in text
    assert "Confusion of chosen" in text
    assert "one network an arm" in text
    assert "of an earlier choice" not in text
    assert "tosmooth analyse" not in text
    own = Cell(known.name, "gls")
    cell = read_analysis(found.folder.path / "analysis", {own: found.rows[0]})[own]
    assert np.asarray(cell.arms[0].by_class()).tolist() == [90.0, 90.0, 90.0]
    for charted in (
        analysis_charts.reliability_chart(cell),
        analysis_charts.class_chart(cell, known),
        analysis_charts.confusion_chart(cell.arms[0], known, [0, 1, 2]),
    ):
        check(charted)


def test_of_a_hundred_classes_the_commonest_confusions_are_listed(tmp_path: Path) -> None:
    known = level("clean", 0.0, classes=100)
    found = study(tmp_path, spec_of("dataset.noise=[clean]"), [known])
    analysis(found.folder.path, known.name, 100, {"rate": -1.0, "warmup": 1})
    text = Read(report([found])).text()
    assert "What is most often taken for what" in text
    assert "class 0 class 1 10.0" in text  # 10 of 100 examples
    assert "The 30 of 100 that differ most." in text


def test_an_analysis_of_another_choice_or_version_or_a_damaged_one_is_told(tmp_path: Path) -> None:
    known = level("clean", 0.0)
    found = study(tmp_path, spec_of("dataset.noise=[clean]"), [known])
    analysis(found.folder.path, known.name, 2, {"rate": -0.3, "warmup": 0}, confusion=False)
    text = Read(report([found])).text()
    assert "of an earlier choice, -0.3" in text
    assert "the analysis was made before there were any" in text
    (found.folder.path / "analysis" / "analysis.json").write_text("{", encoding="utf-8")
    assert "analysis.json: damaged (" in Read(report([found])).text()


@pytest.mark.slow
def test_a_large_study_has_less_than_three_megabytes(tmp_path: Path) -> None:
    noise = [f"symmetric-0.{n:02d}" for n in range(20)]
    spec = spec_of(f"dataset.noise=[{', '.join(noise)}]", "search.trials=300")
    levels = [level(name, int(name[-2:]) / 100, classes=100) for name in noise]
    rates = [-2 + 0.009 * n for n in range(300)]
    records = [trial for each in levels for trial in records_of(each.name, rates)]
    found = study(tmp_path, spec, levels, records)
    before = time.process_time()
    page = report([found])
    print(f"{len(page.encode()) / 1e6:.2f} MB in {time.process_time() - before:.1f} s of CPU time")
    assert len(page.encode()) < 3_000_000


def test_of_a_thousand_rows_the_first_are_drawn_and_the_rest_is_told(tmp_path: Path) -> None:
    noise = [f"symmetric-0.{n:03d}" for n in range(30)]
    spec = spec_of(f"dataset.noise=[{', '.join(noise)}]")
    levels = [level(name, 0.1) for name in noise]
    text = Read(report([study(tmp_path, spec, levels, records_of(levels[0].name))])).text()
    assert "charts of 6 more levels and methods: tosmooth plot draws them" in text


def test_a_picture_is_svg_and_of_many_points_pixels(tmp_path: Path) -> None:
    small = next(iter(charts_of(study(tmp_path))))
    svg = drawing(small, 7)
    assert svg.picture.startswith('<svg aria-hidden="true"')
    assert set(re.findall(r"url\(#(\w+)\)", svg.picture)) <= set(re.findall(r'id="(p7\w+)"', svg.picture))
    many = records_of("twonorm/clean", [-2 + 0.002 * n for n in range(1200)])
    large = drawing(next(iter(charts_of(study(tmp_path, records=many)))), 1)
    assert large.picture.startswith("data:image/png;base64,")


def test_suspects_are_shown_with_their_pictures(tmp_path: Path) -> None:
    found = study(tmp_path, spec_of("dataset.noise=[clean]"), [level("clean", 0.0)])
    cell = found.spec.cells()[0]
    row = {"place": "a.png", "given": "<cat>", "proposed": "dog", "p_given": 0.01, "p_proposed": 0.99, "score": 0.1}
    row |= {"margin": -1.0, "likely_error": True, "part": "train", "fold": 1, "clean": None}
    rows = pa.Table.from_pylist([{"rank": n + 1, "row": 40 + n, **row} for n in range(30)], SCHEMA)
    about = {"arm": "chosen", "parameters": {"rate": -1.0}, "seeds": [1], "folds": 5, "notes": [], "quality": None}
    about |= {"rows": 30, "training_rows": 20, "validation_rows": 10, "likely_errors": 3}
    write_list(found.folder.path, cell, SuspectList(rows, about))
    write_pictures(found.folder.path, cell, thumbnails({40: torch.zeros(100, 100, 3, dtype=torch.uint8)}))
    page = Read(report([found]))
    text = page.text()
    assert "cleanlab counts 3 of them as wrong (10.0 %)" in text
    assert "The first 12 of 30, the most suspicious first" in text
    assert "40 a.png <cat> dog 0.010 0.990" in text
    pictures = [e for tag, e in page.elements if tag == "img" and str(e["src"]).startswith("data:image/png")]
    assert [each["alt"] for each in pictures] == ["Row 40, labelled <cat>"]
    assert "tosmooth suspects" not in text
    (found.folder.path / "suspects" / "twonorm-clean-gls-suspects.json").write_text("{}", encoding="utf-8")
    assert "suspects of clean: " in Read(report([found])).text()


def test_one_that_cannot_be_made_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    found = study(tmp_path, spec_of("dataset.noise=[clean]"), [level("clean", 0.0)])
    found.folder.report_file.mkdir()  # in its place
    assert write_report(found.folder, found.spec, found.levels, found.records, found.rows) == []
    (warning,) = caplog.messages
    assert warning.startswith("the report could not be made (InputError: ")
    assert warning.endswith("`tosmooth report tiny` makes it")


def test_machine_and_versions_are_told(tmp_path: Path) -> None:
    found = study(tmp_path, records=[])
    assert "machine not recorded" in Read(report([found])).text()
    keep_machine(found.folder.machines_file, 1, 2.0, 1.0, ["H200"])
    text = Read(report([found])).text()
    assert "1 GPU (H200)" in text
    assert "versions python 3." in text


def test_run_writes_it_and_shows_it_in_mlflow(finished: Finished) -> None:
    page = (finished.home / "studies" / "tiny" / "report.html").read_text(encoding="utf-8")
    assert " cores (" in Read(page).text()
    assert "best rate lies on the bound" in Read(page).text()
    shown = sorted(finished.home.glob("artifacts/tiny/*/artifacts/report.html"))
    assert len(shown) == 2  # of each cell's run
    assert shown[0].read_text(encoding="utf-8") == page


def test_the_command_writes_it(finished: Finished, command: Command, tmp_path: Path) -> None:
    said = command("report", "tiny", "--home", finished.home, "--output", tmp_path / "page.html")
    assert said.code == 0, said.err
    assert said.out == f"{tmp_path / 'page.html'}\n"
    assert (tmp_path / "page.html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    said = command("report", "--dataset", "twonorm", "--home", finished.home, "--output", "all.html")
    assert said.code == 0, said.err
    assert "<h1>Studies on twonorm</h1>" in Path("all.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["tony"], "study 'tony' is not in the home"),
        ([], "name either studies or --dataset"),
        (["tiny", "--dataset", "twonorm"], "name either studies or --dataset"),
        (
            ["tiny", "--output", "none/page.html"],
            "--output: 'none/page.html' is refused: a file in a folder that is there",
        ),
        (["tiny", "--output", "."], "--output: '.' is refused: a file, and this is a folder"),
        (["tiny", "--output", "a.pdf"], "--output: 'a.pdf' is refused: a file that ends in .html: a page is written"),
        (["--dataset", "twonorm"], "--output: None is refused: a file: of several studies"),
        (["--dataset", "rings", "--output", "page.html"], "no study of the home"),
    ],
)
def test_wrong_input_is_one_message(arguments: list[str], words: str, finished: Finished, command: Command) -> None:
    said = command("report", *arguments, "--home", finished.home)
    assert said.code == 2
    assert words in said.err
    assert said.out == ""
    assert list(Path().iterdir()) == []


def test_epochs_of_the_made_up_trials_are_as_the_study_says() -> None:
    assert len(curve(60)) == EPOCHS
