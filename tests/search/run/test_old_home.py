"""A home that version 0.1 wrote: it opens, is exported under today's names, and goes on.

`tests/search/data/home-0.1` was written by that version: `kept` compares two methods, by the pruner that left since;
`beside` has gce alone, so that its baselines were trained beside another method.
"""

import csv
import io
import shutil
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.search.conftest import Command
from tests.search.tools import tosmooth
from tosmooth.search.records import ENDED, Record
from tosmooth.search.storage.history import History
from tosmooth.search.storage.home import Home
from tosmooth.search.storage.opening import open_storage
from tosmooth.search.storage.reading import read_records
from tosmooth.search.storage.trial_store import Store
from tosmooth.trainables.errors import InputError

KEPT = ROOT / "tests" / "search" / "data" / "home-0.1"
TEXTS = ("dataset", "noise", "method", "noise_rate_source", "best_parameters")
SINCE = {
    "ce_val_accuracy",
    "ls_val_accuracy",
    *("test_balanced_accuracy", "test_macro_f1", "metric", "score", "score_std", "ce_score", "ls_score"),
    "runner_up_rate",
    "runner_up_behind",
    "p_runner_up",
    "expected_loss",
    *("verdict", "mean_abs_logit"),
}  # columns
UNKNOWN = {"gain_low", "gain_high"}  # of two seeds, as these studies have: no interval any more
MODELLED = {"rate_low", "rate_high", "p_beats_ce", "p_beats_ls"}  # by the surrogate, whose priors have changed


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return Path(shutil.copytree(KEPT, tmp_path / "home"))


def records_of(home: Path, study: str) -> list[Record]:
    folder = Home(home).existing(study)
    return read_records(folder, folder.spec(), None)


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text.replace("lr_factor", "lr_after_warmup"))))


@pytest.mark.parametrize("study", ["kept", "beside"])
def test_table_has_the_numbers_that_were_written(study: str, home: Path, command: Command) -> None:
    before = rows((home / "studies" / study / "best_rates.csv").read_text(encoding="utf-8"))
    code, out, err = command("export", study, "--home", home, "--format", "csv")
    assert code == 0, err
    now = rows(out)
    assert [[name for name in row if name not in SINCE] for row in now] == [list(row) for row in before]
    for new, old in zip(now, before, strict=True):
        assert {name: new[name] for name in TEXTS} == {name: old[name] for name in TEXTS}
        assert "2 fresh seeds: too few to say how sure the gain is" in new["note"]
        assert {new[name] for name in UNKNOWN} == {""}
        for name in new.keys() - set(TEXTS) - SINCE - UNKNOWN - MODELLED - {"note"}:
            assert new[name] == old[name] or float(new[name]) == pytest.approx(float(old[name]), abs=1e-6), name
        assert all((new[name] == "") == (old[name] == "") for name in MODELLED)
        if new["rate_low"]:
            assert float(new["rate_low"]) <= float(new["best_rate"]) <= float(new["rate_high"])


def test_baselines_beside_another_method_are_known_as_such(home: Path) -> None:
    found = {(r.loss, r.params.get("rate")) for r in records_of(home, "beside") if r.phase == "confirmation"}
    assert found == {("gls", 0.0), ("gls", 0.1), ("gce", None)}
    assert {r.loss for r in records_of(home, "beside") if r.phase == "search"} == {"gce"}


def test_finished_study_that_is_run_again_trains_nothing(home: Path, tmp_path: Path) -> None:
    before = records_of(home, "kept")
    done = tosmooth("run", "kept", "--home", home, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "the pruner successive-halving is gone" in done.stderr
    assert records_of(home, "kept") == before
    text = (home / "studies" / "kept" / "study.yaml").read_text(encoding="utf-8")
    assert (
        "confirmation:" in text,
        "selection: {metric: accuracy, validate_on: noisy, bounded: false}" in text,
        "lr_factor" in text,
    ) == (
        True,
        True,
        False,
    )


@pytest.mark.slow
def test_study_that_was_killed_goes_on(home: Path, tmp_path: Path) -> None:
    whole = records_of(home, "kept")
    journal = home / "studies" / "kept" / "journal.log"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[: len(lines) // 3]))
    folder = Home(home).existing("kept")
    store = Store(folder.spec(), open_storage(None, folder.journal))
    ended = [record for record in store.records(History(folder.history).read) if record.state in ENDED]
    assert 0 < len(ended) < len(whole)
    with pytest.raises(InputError, match=r"Optuna's storage lacks trial .*`tosmooth run` trains again"):
        records_of(home, "kept")  # the history has them all
    done = tosmooth("run", "kept", "--home", home, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Optuna's storage lacks trial" in done.stderr
    now = {record.key: record for record in records_of(home, "kept")}
    assert [now[record.key] for record in ended] == ended
    assert {key: (r.train_seed, list(r.params)) for key, r in now.items() if key.phase == "search"} == {
        r.key: (r.train_seed, list(r.params)) for r in whole if r.phase == "search"
    }


def test_exported_trials_name_their_cell_s_method_and_that_of_their_loss(home: Path, command: Command) -> None:
    code, out, err = command("export", "beside", "--home", home, "--trials", "--format", "csv")
    assert code == 0, err
    found = {(row["method"], row["trained_as"], row["rate"]) for row in rows(out)}
    assert found == {("gce", "gce", ""), ("gce", "gls", "0.0"), ("gce", "gls", "0.1")}
