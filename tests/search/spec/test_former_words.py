"""Words of the version before: a user is told today's, and studies that homes keep in them are read and go on."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.search.builders import level, record
from tests.search.conftest import Command
from tests.search.tools import TINY, Driver, numbers, play, steps, tiny
from tosmooth.search.records import read_parquet, to_parquet
from tosmooth.search.report.results import study_rows
from tosmooth.search.report.tables import render
from tosmooth.search.spec.former_words import STUDY, renewed_study
from tosmooth.search.spec.loading import difference, load_study, read_study, to_yaml
from tosmooth.search.spec.parameters import in_short
from tosmooth.search.spec.study import StudySpec
from tosmooth.search.storage.home import Home
from tosmooth.search.storage.jsonl import LineWriter
from tosmooth.search.storage.opening import open_storage
from tosmooth.search.storage.trial_store import Store
from tosmooth.trainables.errors import InputError

SMALL = "name: small\ndataset: {name: twonorm, noise: [clean]}\n"
LR = "space.lr_after_warmup={low: 0.01, high: 1, scale: log}"
LEVELS = {"twonorm/clean": level("clean", 0.0)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("dataset.levels=[clean]", "dataset.levels: is now dataset.noise"),
        ("search.seeds=3", "search.seeds: is now search.training_seeds"),
        ("selection.readout=best", "selection.readout: is now search.readout"),
        ("selection.epoch=best", "selection.epoch: is now search.epoch"),
        ("selection.seeds=3", "selection.seeds: is now confirmation.seeds"),
        ("selection.gain_interval=1", "selection.gain_interval: is now confirmation.gain_interval"),
        ("selection.max_seeds=9", "selection.max_seeds: is now confirmation.max_seeds"),
        ("selection.finalists=1", "selection.finalists: is now confirmation.finalists"),
        ("selection.keep_weights=all", "selection.keep_weights: is now confirmation.keep_weights"),
        ("space.lr_factor={low: 0.1, high: 1}", "space.lr_factor: is now space.lr_after_warmup"),
        ("space.lr_factor.low=0.1", "space.lr_factor: is now space.lr_after_warmup"),
        ("space.lr_factor=null", "space.lr_factor: is now space.lr_after_warmup"),
    ],
)
def test_former_key_is_answered_with_the_new_one(change: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        read_study(SMALL, overrides=[change])
    assert str(caught.value).splitlines()[0] == message
    assert message in [f"{then}: is now {now}" for then, now in STUDY.items()]


OLD = """
name: old
dataset: {name: twonorm, levels: [clean, symmetric-0.4], size: 600}
space:
  lr_factor: {low: 0.01, high: 1, scale: log}
search: {trials: 4, seeds: 2}
selection: {readout: best, epoch: best, seeds: auto, gain_interval: 2, max_seeds: 9, finalists: 3, keep_weights: all}
"""
NEW = """
name: old
dataset: {name: twonorm, noise: [clean, symmetric-0.4], size: 600}
space:
  lr_after_warmup: {low: 0.01, high: 1, scale: log}
search: {trials: 4, training_seeds: 2, readout: best, epoch: best}
confirmation: {seeds: auto, gain_interval: 2, max_seeds: 9, finalists: 3, keep_weights: all}
"""


def test_all_former_keys_of_a_file_are_told_at_once_with_what_else_is_wrong(command: Command, tmp_path: Path) -> None:
    (tmp_path / "old.yaml").write_text(OLD.replace("seeds: auto", "seeds: 0, foo: 1") + "sede: 1\n")
    code, out, err = command("describe", "old.yaml")
    assert (code, out) == (2, "")
    lines = err.removeprefix("error: ").splitlines()
    assert lines[:7] == [
        "dataset.levels: is now dataset.noise",
        "space.lr_factor: is now space.lr_after_warmup",
        "search.seeds: is now search.training_seeds",
        "selection.readout: is now search.readout",
        "selection.epoch: is now search.epoch",
        "selection.seeds: is now confirmation.seeds",
        "selection.gain_interval: is now confirmation.gain_interval",
    ]
    assert lines[-1].startswith("and ")  # as for any file in which much is wrong
    with pytest.raises(InputError) as caught:
        read_study(SMALL + "sede: 1\nselection: {seeds: 0}")
    first, *others = str(caught.value).splitlines()
    assert first == "selection.seeds: is now confirmation.seeds"
    assert sorted(line.partition(":")[0] for line in others) == ["confirmation.seeds", "sede"]


def test_file_that_says_both_is_refused_and_values_that_are_no_sections_are_told() -> None:
    assert renewed_study({"selection": {"seeds": 1}, "confirmation": {"seeds": 2}})[0] == {"confirmation": {"seeds": 2}}
    with pytest.raises(InputError, match=r"^selection.seeds: is now confirmation.seeds$"):
        read_study(SMALL + "selection: {seeds: 1}\nconfirmation: {seeds: 2}")
    with pytest.raises(InputError, match=r"^selection: 5 is refused"):
        read_study(SMALL + "selection: 5")
    with pytest.raises(InputError, match=r"^selection.readout: is now search.readout\nsearch: 5 is refused"):
        read_study(SMALL + "selection: {readout: best}\nsearch: 5")


def test_kept_study_in_former_words_equals_that_in_the_new_ones() -> None:
    old, new = read_study(OLD, kept=True), read_study(NEW)
    assert old == new
    assert list(old.space) == list(new.space)
    assert old.meaning() == new.meaning()
    assert difference(old, new) == []
    assert to_yaml(old) == to_yaml(new)
    assert not any(word in to_yaml(old) for word in ("lr_factor", "selection: {seeds", "levels"))


def test_former_parameter_keeps_its_place_in_the_space() -> None:
    text = SMALL + "space:\n  lr_factor: {low: 0.1, high: 1}\n  training.batch_size: {values: [32, 64]}\n"
    assert list(read_study(text, kept=True).space) == ["rate", "warmup", "lr_after_warmup", "training.batch_size"]


def test_kept_study_is_changed_in_todays_words_alone(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(OLD)
    assert load_study(tmp_path / "study.yaml", ["confirmation.seeds=auto"], kept=True) == read_study(NEW)
    with pytest.raises(InputError, match=r"^selection.seeds: is now confirmation.seeds$"):
        load_study(tmp_path / "study.yaml", ["selection.seeds=3"], kept=True)


def aged(folder: Path, spec: StudySpec) -> None:
    """Bring the folder of a study into the words of the version before, as that wrote it."""
    journal = folder / "journal.log"
    lines = [json.loads(line) for line in journal.read_text().replace("lr_after_warmup", "lr_factor").splitlines()]
    journal.unlink()
    writer = LineWriter(journal)
    for line in lines:
        del line["crc"]
        writer.append(line)
    writer.close()
    epoch, readout = f"epoch: {spec.search.epoch}", f"readout: {spec.search.readout}"
    text = to_yaml(spec).replace("noise: [", "levels: [").replace("training_seeds:", "seeds:")
    text = text.replace("lr_after_warmup", "lr_factor").replace(f", {epoch}", "").replace(f", {readout}", "")
    text = re.sub(r"^selection: .*\n", "", text, flags=re.MULTILINE)
    text = text.replace("confirmation: {", f"selection: {{{readout}, {epoch}, ")
    (folder / "study.yaml").write_text(text)


def kept_by_the_version_before(home: Path, spec: StudySpec, calls: int) -> None:
    """The home of a study that was stopped after so many calls."""
    folder = Home(home).study(spec.name)
    folder.keep(spec, LEVELS)
    going = steps(Driver(folder.path, spec, levels=list(LEVELS.values())).searcher)
    for _ in range(calls):
        next(going)
    aged(folder.path, spec)
    raw = (folder.path / "journal.log").read_text()
    assert "lr_factor" in raw
    assert "lr_after_warmup" not in raw


SEQUENTIAL = ("dataset.noise=[clean]", LR, "search.trials=16", "confirmation.seeds=2")


@pytest.mark.parametrize(
    ("sampler", "calls"),  # in the second trial, where the sampler is asked, in the confirmation
    [("tpe", 3), ("tpe", 56), ("tpe", 65), ("gp", 56), ("random", 56), ("posterior", 56)],
)
def test_study_of_the_version_before_goes_on_as_if_undisturbed(sampler: str, calls: int, tmp_path: Path) -> None:
    spec = tiny(*SEQUENTIAL, f"search.sampler={sampler}", "search.pruner=median")
    undisturbed = play(Driver(tmp_path / "undisturbed", spec, levels=list(LEVELS.values())))
    kept_by_the_version_before(tmp_path / "home", spec, calls)
    folder = Home(tmp_path / "home").existing("tiny")
    assert folder.spec() == spec
    folder.check(spec)
    folder.keep(spec, LEVELS)
    assert "lr_factor" not in folder.spec_file.read_text()
    resumed = play(Driver(folder.path, folder.spec(), levels=list(LEVELS.values())))
    assert numbers(resumed) == numbers(undisturbed)
    assert [list(r.params) for r in resumed] == [list(r.params) for r in undisturbed]
    written = [line for line in folder.journal.read_text().splitlines() if "lr_after_warmup" in line]
    assert written  # what is new is in today's words


def test_symlog_parameter_of_the_version_before_is_known_by_its_sampled_name(tmp_path: Path) -> None:
    symlog = "space.lr_after_warmup={low: 0.01, high: 1, scale: symlog}"
    spec = tiny(*SEQUENTIAL, symlog, "search.sampler=tpe")
    undisturbed = play(Driver(tmp_path / "undisturbed", spec, levels=list(LEVELS.values())))
    kept_by_the_version_before(tmp_path / "home", spec, 56)
    folder = Home(tmp_path / "home").existing("tiny")
    assert numbers(play(Driver(folder.path, folder.spec(), levels=list(LEVELS.values())))) == numbers(undisturbed)


def test_study_of_the_version_before_is_exported_under_the_new_names(tmp_path: Path, command: Command) -> None:
    spec = tiny(*SEQUENTIAL)
    folder = Home(tmp_path / "home").study("tiny")
    folder.keep(spec, LEVELS)
    records = play(Driver(folder.path, spec, levels=list(LEVELS.values())))
    table = render(study_rows(spec, LEVELS, records), "csv")
    aged(folder.path, spec)
    code, out, _ = command("export", "tiny", "--home", tmp_path / "home", "--format", "csv")
    assert (code, out.strip()) == (0, (table if isinstance(table, str) else table.decode()).strip())
    assert "lr_after_warmup=" in out
    trials = tmp_path / "trials.csv"
    exported = command("export", "tiny", "--home", tmp_path / "home", "--trials", "--format", "csv", "--output", trials)
    assert exported.code == 0, exported.err
    head = trials.read_text().splitlines()[0].split(",")
    assert "lr_after_warmup" in head
    assert "lr_factor" not in head


def test_trial_of_the_version_before_is_read_by_its_number(tmp_path: Path) -> None:
    kept_by_the_version_before(tmp_path, tiny(*SEQUENTIAL), 56)
    folder = Home(tmp_path).existing("tiny")
    store = Store(folder.spec(), open_storage(None, folder.journal))
    (cell,) = folder.spec().cells()
    (_, _, trial, *_) = store.trials(cell, "search")
    assert list(trial.params) == ["symlog(rate)", "warmup", "lr_after_warmup"]
    assert trial.distributions.keys() == trial.params.keys()
    fresh = Store(folder.spec(), open_storage(None, folder.journal)).storage  # which has read none
    assert fresh.get_trial(trial._trial_id).params == trial.params


def test_proposals_of_the_version_before_are_read(tmp_path: Path) -> None:
    folder = Home(tmp_path).study("tiny")
    folder.keep(tiny(LR), LEVELS)
    folder.keep_prior("other", {"twonorm/clean": [{"rate": -0.5, "warmup": 1, "lr_factor": 0.1}]})
    assert folder.prior("other") == {"twonorm/clean": [{"rate": -0.5, "warmup": 1, "lr_after_warmup": 0.1}]}


def test_trials_exported_by_the_version_before_are_read(tmp_path: Path) -> None:
    params: dict[str, Any] = {"rate": -0.5, "lr_factor": 0.1, "warmup": 1}
    (tmp_path / "trials.parquet").write_bytes(to_parquet([record(params=params)]))
    (found,) = read_parquet(tmp_path / "trials.parquet")
    assert list(found.params.items()) == [("rate", -0.5), ("lr_after_warmup", 0.1), ("warmup", 1)]
    assert in_short(found.params) == "-0.5"


def test_baseline_beside_another_method_is_known_by_what_the_version_before_kept_among_its_parameters(
    tmp_path: Path,
) -> None:
    spec = tiny("method=[gce]", "space.rate=null")
    cell, own = spec.cells()[0], {"gce.q": 0.7, "warmup": 0}
    store = Store(spec, open_storage(None, tmp_path / "journal.log"))
    store.add(cell, "confirmation", {"rate": 0.1, "warmup": 0, "method": "gls"}, 1)
    store.add(cell, "confirmation", own, 1)
    read = Store(spec, open_storage(None, tmp_path / "journal.log"))
    found = [(r.params, r.loss, r.trained_as) for r in read.records(dict)]
    assert found == [({"rate": 0.1, "warmup": 0}, "gls", "gls"), (own, "gce", "")]
    assert [job.trained_as for job in read.lost()] == ["gls", ""]
    (tmp_path / "trials.parquet").write_bytes(to_parquet(read.records(dict)))
    assert [record.loss for record in read_parquet(tmp_path / "trials.parquet")] == ["gls", "gce"]


@pytest.mark.parametrize("key", ["search.trials", "resources.cpus", "selection.seeds"])
def test_path_as_a_key_of_a_study_file_is_unknown_as_before(key: str) -> None:
    with pytest.raises(InputError, match=f"{key}: unknown key"):
        read_study(f"{TINY}{key}: 40\n")
