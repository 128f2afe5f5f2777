"""`tosmooth suspects` and `tosmooth clean` on a finished study: lists, how good they are, stops, what is refused."""

import json
import re
import shlex
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from tests.search.conftest import Command, Finished
from tests.search.report.suspects.test_cleaning import suspects as made_up
from tests.search.tools import left_after, start, tosmooth
from tests.tools import wait_for
from tosmooth.search.report.suspects import training
from tosmooth.search.report.suspects.files import SCHEMA, SuspectList
from tosmooth.search.report.suspects.rendered import lines, render
from tosmooth.search.storage.home import Home
from tosmooth.trainables.data.datasets import load_level
from tosmooth.trainables.suspects.quality import Quality

pytestmark = [pytest.mark.ray, pytest.mark.slow]

NOISY = "twonorm-symmetric-0.4-gls-suspects"
ASKED = ("suspects", "tiny", "--home", "home", "--folds", "3", "--compare", "--seeds", "3", "--format", "html")


class Listed(NamedTuple):
    folder: Path  # that holds the home
    process: subprocess.CompletedProcess[str]

    @property
    def suspects(self) -> Path:
        return self.folder / "home" / "studies" / "tiny" / "suspects"

    @property
    def about(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.suspects / f"{NOISY}.json").read_text(encoding="utf-8"))
        return found

    @property
    def table(self) -> pa.Table:
        return pq.read_table(self.suspects / f"{NOISY}.parquet")


@pytest.fixture(scope="module")
def listed(finished: Finished, tmp_path_factory: pytest.TempPathFactory) -> Listed:
    """The study `tiny` after `tosmooth suspects --compare`, once for all tests: about 15 s."""
    folder = tmp_path_factory.mktemp("listed")
    shutil.copytree(finished.home, folder / "home")
    process = tosmooth(*ASKED, cwd=folder)
    assert process.returncode == 0, process.stderr
    return Listed(folder, process)


def test_the_list_has_each_example_of_the_level_once_with_the_row_it_has_in_the_data(listed: Listed) -> None:
    table = listed.table
    assert table.schema == SCHEMA
    assert table["rank"].to_pylist() == list(range(1, 601))
    spec = Home(listed.folder / "home").existing("tiny").spec()
    data = load_level(spec.data_config("symmetric-0.4"), Home(listed.folder / "home").folders(None))
    rows = torch.cat([data.train.rows, data.validation.rows]).tolist()
    assert data.train.clean is not None
    assert data.validation.clean is not None
    given = dict(zip(rows, torch.cat([data.train.labels, data.validation.labels]).tolist(), strict=True))
    clean = dict(zip(rows, torch.cat([data.train.clean, data.validation.clean]).tolist(), strict=True))
    found = table.to_pylist()
    assert {row["row"]: int(row["given"]) for row in found} == given
    assert {row["row"]: int(row["clean"]) for row in found} == clean
    trained = set(data.train.rows.tolist())
    assert {row["row"] for row in found if row["part"] == "train"} == trained
    assert np.bincount(table["fold"]).tolist() == [0, 200, 200, 200]
    assert all(abs(row["p_given"] + row["p_proposed"] - 1) < 1e-6 for row in found if row["given"] != row["proposed"])


def test_the_list_is_in_the_order_of_the_scores_and_its_first_are_as_many_as_cleanlab_counts(listed: Listed) -> None:
    scores, about = listed.table["score"].to_numpy(), listed.about
    assert (np.diff(np.round(scores, 12)) >= 0).all()
    likely = listed.table["likely_error"].to_pylist()
    assert likely == [True] * about["likely_errors"] + [False] * (600 - about["likely_errors"])
    assert (about["rows"], about["training_rows"], about["validation_rows"]) == (600, 300, 300)
    assert (about["folds"], len(about["seeds"]), about["level"]) == (3, 3, "twonorm/symmetric-0.4")


def test_the_list_is_compared_with_those_of_cross_entropy_and_label_smoothing_with_intervals(listed: Listed) -> None:
    quality = listed.about["quality"]
    arms = {each["arm"]: each for each in quality["arms"]}
    assert {"CE", "LS"} <= set(arms)
    assert listed.about["arm"] in arms
    table = listed.table
    assert quality["wrong_rows"] == sum(
        g != c for g, c in zip(*(table[n].to_pylist() for n in ("given", "clean")), strict=True)
    )
    for each in arms.values():
        assert set(each["measures"]) == set(Quality._fields)
        auroc = each["measures"]["auroc"]
        assert auroc["low"] <= auroc["mean"] <= auroc["high"]
    assert arms["CE"]["measures"]["auroc"]["minus_ce"] is None
    ls, ce = arms["LS"]["measures"]["auroc"], arms["CE"]["measures"]["auroc"]
    assert ls["minus_ce"] == pytest.approx(ls["mean"] - ce["mean"])
    assert "AUROC (%)" in listed.process.stdout
    assert re.search(r"\nTraining 54 networks of folds, \d at once \.\.\.\n", listed.process.stderr)


def test_it_tells_the_time_that_is_left(
    finished: Finished, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "EVERY", 0)
    shutil.copytree(finished.home, tmp_path / "home")
    told = command("suspects", "tiny", "--home", "home", "--folds", "2", "--seeds", "2")
    assert told.code == 0, told.err
    left = re.findall(r"Training (\d+) networks of folds, \d at once: (\d+) done, about \d+ \w+ left", told.err)
    (total,) = {int(total) for total, _ in left}
    done = [int(done) for _, done in left]
    assert done == sorted(done)
    assert 0 < done[-1] < total


def test_the_same_command_again_trains_nothing_and_writes_the_same(listed: Listed) -> None:
    files = sorted((listed.suspects / "folds").iterdir())
    times, content = [file.stat().st_mtime_ns for file in files], (listed.suspects / f"{NOISY}.parquet").read_bytes()
    again = tosmooth(*ASKED, cwd=listed.folder)
    assert again.returncode == 0, again.stderr
    assert "Training" not in again.stderr
    assert again.stdout == listed.process.stdout
    assert [file.stat().st_mtime_ns for file in sorted((listed.suspects / "folds").iterdir())] == times
    assert (listed.suspects / f"{NOISY}.parquet").read_bytes() == content
    assert not (listed.suspects / "unfinished").exists()


def test_a_page_names_nothing_outside_of_it(listed: Listed) -> None:
    page = (listed.suspects / f"{NOISY}.html").read_text(encoding="utf-8")
    assert "default-src 'none'" in page
    assert not any(word in page for word in ("http:", "https:", "<script", "<link", "@import", "url("))
    assert page.count("<tr>") == 1 + 100 + 1 + len(list(lines(listed.about)))


def test_a_file_of_the_first_rows_goes_where_it_is_asked_to(listed: Listed) -> None:
    asked = ("suspects", "tiny", "--home", "home", "--folds", "3", "--level", "symmetric-0.4", "--compare")
    done = tosmooth(*asked, "--top", "7", "--output", "out/first.csv", cwd=listed.folder)
    assert done.returncode == 0, done.stderr
    rows = (listed.folder / "out" / "first.csv").read_text(encoding="utf-8").splitlines()
    assert len(rows) == 8
    assert rows[0] == ",".join(SCHEMA.names)
    assert [row.split(",")[1] for row in rows[1:]] == [str(row) for row in listed.table["row"].to_pylist()[:7]]


def test_clean_then_smooth_is_a_row_beside_smooth(listed: Listed, tmp_path: Path) -> None:
    shutil.copytree(listed.folder / "home", tmp_path / "home")
    asked = ("clean", "tiny", "--drop", "--level", "symmetric-0.4", "--home", "home")
    done = tosmooth(*asked, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    file = Path(done.stdout.strip())
    assert file == tmp_path / "home" / "studies" / "tiny" / "suspects" / "twonorm-symmetric-0.4-gls-dropped.csv"
    likely = listed.about["likely_errors"]
    assert f"{likely} labels dropped, of the {likely} surest suspects" in done.stderr
    assert "in the noisy validation, where a study keeps its labels as they are" in done.stderr
    again = tosmooth(*asked, cwd=tmp_path)
    assert (again.returncode, "is there already" in again.stderr) == (2, True)
    command = shlex.split(done.stderr.split("As a row beside symmetric-0.4: tosmooth ")[1])
    run = tosmooth(*command, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert "cleaned-drop" in run.stdout
    assert "the noisy validation keeps its labels" in " ".join(run.stdout.split())
    levels = Home(tmp_path / "home").existing("tiny").levels()
    before, after = levels["twonorm/symmetric-0.4"], levels["twonorm/cleaned-drop"]
    assert after.validation_size == before.validation_size
    assert after.train_size < before.train_size


@pytest.mark.faults
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGKILL])
def test_what_is_stopped_keeps_each_fold_leaves_no_process_and_goes_on(
    stop: signal.Signals, finished: Finished, tmp_path: Path
) -> None:
    shutil.copytree(finished.home, tmp_path / "home")
    asked = ("suspects", "tiny", "--home", "home", "--level", "clean", "--folds", "40")
    folds = tmp_path / "home" / "studies" / "tiny" / "suspects" / "folds"
    process = start(*asked, cwd=tmp_path)
    wait_for("a fold", lambda: folds.exists() and len(list(folds.glob("*.npz"))) >= 3)
    process.send_signal(stop)
    _, err = process.communicate(timeout=60)
    assert left_after(10, process) == []
    if stop != signal.SIGKILL:
        assert process.returncode == 130, err
        assert "Stopped. What ended is kept; go on with: tosmooth suspects tiny" in err
    kept = {file.name: file.stat().st_mtime_ns for file in folds.glob("[0-9a-f]*.npz")}
    assert 3 <= len(kept) < 40
    again = tosmooth(*asked, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert f"Training {40 - len(kept)} networks" in again.stderr
    assert kept.items() <= {file.name: file.stat().st_mtime_ns for file in folds.iterdir()}.items()
    assert all(not file.name.startswith(".") for file in folds.iterdir())


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["suspects", "tiny", "--level", "worst"], "--level: 'worst' is refused: one of clean, symmetric-0.4"),
        (["suspects", "tiny", "--method", "gce"], "--method: 'gce' is refused: one of gls"),
        (["suspects", "tiny", "--format", "xlsx"], "--format: 'xlsx' is refused: one of csv, parquet, html"),
        (["suspects", "tiny", "--top", "5"], "--top: 5 is refused: for a file"),
        (["suspects", "tiny", "--column", "id"], "--column: ['id'] is refused: for a file"),
        (["suspects", "tiny", "--column", "id", "--format", "csv"], "is refused: for a study of a table of your own"),
        (["suspects", "tiny", "--output", "a.csv"], "--output: 'a.csv' is refused: of several lists"),
        (["suspects", "tiny", "--folds", "1"], "--folds: 1 is refused: at least 2"),
        (["clean", "tiny", "--level", "clean"], "--drop, --relabel: [False, False] is refused: one of the two"),
        (["clean", "tiny", "--drop"], "study: 'tiny' is refused: of 2 lists"),
        (["clean", "tiny", "--drop", "--level", "clean"], "no suspects yet: tosmooth suspects tiny --level clean"),
    ],
)
def test_wrong_input_is_one_sentence(asked: list[str], said: str, finished: Finished, command: Command) -> None:
    code, _, err = command(*asked, "--home", finished.home)
    assert code == 2
    assert said in err
    assert not (finished.home / "studies" / "tiny" / "suspects").exists()


def test_names_of_a_user_s_classes_are_escaped_in_a_page_and_a_csv(listed: Listed) -> None:
    found = made_up(["cat", "dog"])
    evil = found.table.set_column(3, "given", pa.array(["<script>alert(1)</script>", "=cmd|' /C calc'!A0"]))
    about = {**listed.about, **found.about, "quality": None, "notes": ["<b>"]}
    page = render(SuspectList(evil, about), "html", None, {0: torch.zeros(32, 32, 3, dtype=torch.uint8)})
    assert isinstance(page, str)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script" not in page
    assert "&lt;b&gt;" in page
    assert page.count("data:image/png;base64,") == 1
    text = render(SuspectList(evil, about), "csv", None, None)
    assert isinstance(text, str)
    assert "'=cmd" in text
