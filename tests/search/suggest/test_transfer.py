"""What an earlier study of the home found, as proposals for another: levels matched, parameters brought over."""

import shutil
from pathlib import Path

import pytest

from tests.search.builders import level
from tests.search.tools import TINY, Driver, gls, play, tiny, tosmooth
from tosmooth.search.records import read_parquet
from tosmooth.search.spec.study import StudySpec
from tosmooth.search.storage.frozen_records import SOURCE
from tosmooth.search.storage.home import Home
from tosmooth.search.suggest.transfer import mapped, prior_proposals, settled_proposals
from tosmooth.search.surrogate.fitting import search_model
from tosmooth.trainables.errors import InputError

pytestmark = pytest.mark.ray

OLD = ("name=old", "dataset.noise=[clean, symmetric-0.3]", "search.trials=9", "confirmation.seeds=1")
OLD_LEVELS = [level("clean", 0.0), level("symmetric-0.3", 0.3)]


@pytest.fixture(autouse=True)
def _nothing_waits_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.fsync", lambda descriptor: None)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home in which the study `old` has ended."""
    found = Home(tmp_path / "home")
    spec, folder = tiny(*OLD), found.study("old")
    folder.keep(spec, {known.name: known for known in OLD_LEVELS})
    driver = Driver(folder.path, spec, levels=OLD_LEVELS)
    play(driver)
    driver.history.close()
    return found


def new(*changes: str) -> StudySpec:
    return tiny("name=new", "search.prior_study=old", "dataset.noise=[clean, symmetric-0.2, given]", *changes)


def find(home: Home, spec: StudySpec) -> dict[str, list[dict[str, object]]]:
    levels = [level("clean", 0.0), level("symmetric-0.2", 0.2), level("given", None)]
    return prior_proposals(home, spec, {known.name: known for known in levels}, None)


def test_a_level_takes_what_was_found_at_its_noise_else_at_the_nearest_noise_rate(home: Home) -> None:
    found = find(home, new())
    records = Driver(home.study("old").path, tiny(*OLD), levels=OLD_LEVELS).records()
    for name, other in (("twonorm/clean", "twonorm/clean"), ("twonorm/symmetric-0.2", "twonorm/symmetric-0.3")):
        posterior = search_model(gls(tiny(*OLD)), [record for record in records if record.level == other])
        assert posterior is not None
        expected = [posterior.best, *posterior.draws(2)]
        assert found[name][0] == posterior.best
        assert 1 <= len(found[name]) <= 3
        assert all(params in expected for params in found[name])
    assert found["twonorm/given"] == []  # nothing of that name, and its noise rate is unknown


def test_what_was_found_is_brought_into_the_space_and_the_warm_up_scaled_by_the_epochs() -> None:
    old = tiny("training.epochs=3")
    longer = tiny("training.epochs=9", "space.warmup={low: 0, high: 4}", "space.rate={low: -1, high: 0.8}")
    assert mapped({"rate": -2.0, "warmup": 1}, gls(old), gls(longer)) == {"rate": -1.0, "warmup": 3}
    assert mapped({"rate": 0.3, "warmup": 2}, gls(old), gls(longer)) == {
        "rate": 0.3,
        "warmup": 4,
    }  # 6, and 4 is the longest
    more = tiny("space.lr_after_warmup={low: 0.01, high: 1, scale: log}")
    assert mapped({"rate": -0.5, "warmup": 1}, gls(old), gls(more)) == gls(more).baseline(0.0) | {
        "rate": -0.5,
        "warmup": 1,
    }
    listed = tiny("space={rate: {values: [-1.0, 0.0, 0.4]}, warmup: {values: [0, 2]}}")
    assert mapped({"rate": -0.8, "warmup": 1, "lr_after_warmup": 0.1}, gls(old), gls(listed)) == {
        "rate": -1.0,
        "warmup": 0,
    }


def test_without_a_prior_study_there_is_nothing_to_propose(home: Home) -> None:
    assert find(home, new("search.prior_study=null")) == {}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gone", r"search.prior_study: 'gone' is refused: a study of the home .*\(there: old\)"),
        ("new", "search.prior_study: 'new' is refused: another study than this one"),
    ],
)
def test_a_prior_study_that_is_not_there_is_refused(name: str, message: str, home: Home) -> None:
    with pytest.raises(InputError, match=message):
        find(home, new(f"search.prior_study={name}"))


def test_a_study_tries_what_the_earlier_one_found_once_and_reads_nothing_else_of_it(home: Home, tmp_path: Path) -> None:
    spec = new("dataset.noise=[clean]", "search.trials=8", "confirmation.seeds=1")
    prior = find(home, spec)
    driver = Driver(tmp_path / "new", spec, levels=[level("clean", 0.0)], prior=prior)
    play(driver)
    (cell,) = spec.cells()
    trials = driver.store.trials(cell, "search")
    found = prior["twonorm/clean"]
    assert [trial.user_attrs["params"] for trial in trials[2 : 2 + len(found)]] == found
    assert [trial.user_attrs[SOURCE] for trial in trials].count("prior 1") == 1
    assert len(trials) == 8


def test_what_was_proposed_once_stays_when_the_earlier_study_is_gone(home: Home) -> None:
    spec, name = new(), "twonorm/clean"
    levels = {known.name: known for known in (level("clean", 0.0), level("symmetric-0.2", 0.2))}
    first = settled_proposals(home, spec, levels, None)
    assert first == prior_proposals(home, spec, levels, None)
    kept = {name: [{"rate": -0.123, "warmup": 2}]}  # as if the other had grown since
    home.study("new").keep(spec, levels)
    home.study("new").keep_prior("old", kept)
    # A level that is new to the study asks the other as it is now.
    assert settled_proposals(home, spec, levels, None) == kept | {key: first[key] for key in levels if key != name}
    # As `other`, it has another name, and proposes anew.
    shutil.copytree(home.study("old").path, home.study("other").path)
    home.study("old").spec_file.unlink()
    assert settled_proposals(home, spec, {name: levels[name]}, None) == kept
    with pytest.raises(InputError, match=r"search\.prior_study: 'old' is refused: a study of the home"):
        settled_proposals(home, spec, levels, None)
    other = new("search.prior_study=other")
    assert settled_proposals(home, other, {name: levels[name]}, None) == {name: first[name]}


@pytest.mark.slow
def test_a_study_starts_from_an_earlier_one_stops_early_and_says_what_that_saved(home: Home) -> None:
    file = home.root.parent / "tiny.yaml"
    file.write_text(TINY, encoding="utf-8")
    changes = (
        "search={trials: 14, stop_when: {accuracy_margin: 90}}",
        "dataset.noise=[clean]",
        "confirmation={seeds: auto, max_seeds: 2}",
    )
    options = [text for change in changes for text in ("--set", change)]
    command: tuple[str | Path, ...] = (
        "run",
        file,
        "--home",
        home.root,
        "--name",
        "next",
        "--prior-study",
        "old",
        "--seed",
        "1",
        *options,
    )
    said = tosmooth(*command, cwd=home.root.parent)
    assert said.returncode == 0, said.stderr
    spec, records = home.study("next").spec(), read_parquet(home.study("next").path / "trials.parquet")
    searched = [record for record in records if record.phase == "search"]
    prior = find(home, spec)["twonorm/clean"]
    assert home.study("next").prior("old") == {"twonorm/clean": prior}
    assert prior
    assert [record.params for record in searched[2 : 2 + len(prior)]] == prior
    used = len(searched)
    # The baselines, what was found, and 4 points spread evenly (another seed: others than `old` tried); at least 8.
    assert used == max(8, 6 + len(prior))
    line = f"twonorm/clean/gls: search stopped after {used} trials, expected loss small enough; saved {14 - used} trial"
    assert line in said.stderr
    table = (home.study("next").path / "best_rates.csv").read_text(encoding="utf-8")
    assert "search stopped early: expected loss small enough" in table
    seeds = {record.train_seed for record in records if record.phase == "confirmation"}
    assert seeds == set(spec.confirmation_seeds())
    assert len(seeds) == 2  # as many as `max_seeds` allows
