"""Trials of a study that share their warm-up: the same results from fewer epochs, and nothing left behind."""

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.search.tools import Driver, records_of, run_apart, run_here, tiny, tosmooth
from tosmooth.search.records import PHASES, Record
from tosmooth.search.run.deletion import delete_study
from tosmooth.search.spec.study import StudySpec
from tosmooth.search.storage.home import Home
from tosmooth.search.storage.home_id import home_id
from tosmooth.trainables.errors import InputError

pytestmark = pytest.mark.ray

# One cell whose trials all have a warm-up; so the confirmation's share theirs, whatever the search finds.
ONE = ("dataset.noise=[symmetric-0.4]", "space.warmup={low: 1, high: 2}")


def results(records: list[Record]) -> list[Any]:
    """All that trials report but for times and what was spared."""
    without = ("time", "seconds", "spared")
    curves = [[{k: v for k, v in m.items() if k not in without} for m in record.curve] for record in records]
    return [(r.key, r.state, r.params, r.train_seed, c) for r, c in zip(records, curves, strict=True)]


def trunk_files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.trunk*"))


def settings_of(spec: StudySpec, folder: Path, place: str | None) -> dict[str, Any]:
    """Settings of trunks of the first trial of a phase, by phase."""
    driver = Driver(folder, spec, states=place)
    cell = spec.cells()[0]
    given: dict[str, Any] = {}
    for phase in PHASES:
        job = driver.store.add(cell, phase, {"rate": 0.1, "warmup": 1}, 1)
        given[phase] = driver.settings.of(job)["trunks"]
    return given


def test_trials_are_told_the_place_the_warm_ups_of_the_space_and_the_limit(tmp_path: Path) -> None:
    spec = tiny("search.training_seeds=2", "trunks.max_gb=1.5")
    expected = {"place": "/p", "epochs": [1, 2], "limit": 1_500_000_000}
    assert settings_of(spec, tmp_path, "/p") == {"search": expected, "confirmation": expected}


@pytest.mark.parametrize(
    ("warmup", "epochs"),
    [("{values: [2, 0]}", [2]), ("{low: 0, high: 3, step: 3}", [3]), ("{low: 1, high: 2}", [1, 2])],
)
def test_trunks_are_kept_at_the_warm_ups_the_space_allows(warmup: str, epochs: list[int], tmp_path: Path) -> None:
    spec = tiny(f"space.warmup={warmup}", "search.training_seeds=2")
    assert settings_of(spec, tmp_path, "/p")["search"]["epochs"] == epochs


def test_of_many_warm_ups_eight_are_kept_and_20_gb_where_the_study_does_not_say(tmp_path: Path) -> None:
    spec = tiny("training.epochs=100", "space.warmup={low: 0, high: 90}", "search.training_seeds=2")
    expected = {"place": "/p", "epochs": [11, 22, 33, 45, 56, 67, 78, 90], "limit": 20_000_000_000}
    assert settings_of(spec, tmp_path, "/p")["search"] == expected


@pytest.mark.parametrize("change", ["max_gb: 5", "max_gb: 20", "keep: true", "folder: /nfs"])
def test_settings_of_trunks_are_refused_where_none_are_shared(change: str) -> None:
    key = change.partition(":")[0]
    with pytest.raises(InputError, match=rf"trunks\.{key}: .* is refused: for trunks that are shared"):
        tiny(f"trunks={{share: false, {change}}}")


def test_nothing_is_kept_where_no_trial_has_a_warm_up_or_trunks_are_off(tmp_path: Path) -> None:
    none = {"search": None, "confirmation": None}
    assert settings_of(tiny("space.warmup={values: [0]}", "search.training_seeds=2"), tmp_path / "a", "/p") == none
    assert settings_of(tiny("search.training_seeds=2"), tmp_path / "b", None) == none


def test_trials_with_a_seed_of_their_own_keep_nothing_but_in_the_confirmation(tmp_path: Path) -> None:
    given = settings_of(tiny("search.training_seeds=own"), tmp_path, "/p")
    assert given["search"] is None
    assert given["confirmation"] is not None


def test_trunks_lie_in_the_study_s_folder_unless_it_names_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Home(Path("home")).study("tiny")
    assert folder.trunks(tiny()) == str(tmp_path / "home" / "studies" / "tiny" / "trunks")  # workers are elsewhere
    own = f"tiny-{home_id(Path('home'))[:8]}"
    assert folder.trunks(tiny("trunks.folder=/nfs/trunks")) == f"/nfs/trunks/{own}"
    assert folder.trunks(tiny("trunks.folder='s3://b/a?region=x'")) == f"s3://b/a/{own}?region=x"
    assert Home(Path("other")).study("tiny").trunks(tiny("trunks.folder=/nfs/trunks")) != f"/nfs/trunks/{own}"


@pytest.mark.parametrize("place", ["trunks", "nosuch://bucket", "/dev/null/trunks"])
def test_folder_that_cannot_be_used_is_refused_before_anything_is_trained(place: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^trunks\.folder: .* is refused: an absolute path, or a URI"):
        run_here(tiny(f"trunks.folder={place}"), tmp_path / "home")
    assert not (tmp_path / "home" / "studies").exists()


def test_command_ends_with_exit_code_2_where_the_folder_cannot_be_used(tmp_path: Path) -> None:
    done = tosmooth("run", "twonorm", "--home", "home", "--set", "trunks.folder=nosuch://bucket", cwd=tmp_path)
    assert done.returncode == 2
    assert "\nerror: trunks.folder: 'nosuch://bucket' is refused: an absolute path, or " in done.stderr
    assert not (tmp_path / "home" / "studies").exists()


@pytest.mark.slow
def test_results_are_the_same_with_trunks_and_without_from_fewer_epochs(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    shared = tiny(*ONE, f"trunks={{keep: true, folder: '{kept.as_uri()}'}}")
    (row,) = run_apart(shared, tmp_path / "shared")
    (alone,) = run_apart(tiny(*ONE, "trunks.share=false"), tmp_path / "alone")
    with_, without = records_of(tmp_path / "shared"), records_of(tmp_path / "alone")
    assert results(with_) == results(without)
    assert dataclasses.replace(row, hours=alone.hours, epochs=alone.epochs, epochs_spared=0) == alone
    # Off means off: no trial says that anything was spared, and nothing was kept, even meanwhile.
    assert not any("spared" in metrics for record in without for metrics in record.curve)
    assert (alone.epochs, alone.epochs_spared) == (sum(record.epochs for record in without), 0)
    # On each fresh seed the first of at least two runs trained the warm-up, and the others were spared an epoch of it.
    fresh = [record for record in with_ if record.phase == "confirmation"]
    assert sum(record.spared for record in fresh) >= len(fresh) - 2 >= 2
    assert row.epochs + row.epochs_spared == alone.epochs
    assert row.epochs_spared == sum(record.spared for record in with_)
    assert all(m["seconds"] == 0 for record in with_ for m in record.curve if m.get("spared"))
    # Networks went by way of the place that all nodes see.
    folder = Home(tmp_path / "shared").study("tiny")
    first = shared.confirmation_seeds()[0]
    assert all(folder.weights(record.key).exists() for record in fresh if record.train_seed == first)
    assert not list(kept.rglob("*.network"))
    # Kept until the study is run without `keep`, or deleted; what is not ours stays, another home's of that name too.
    (place,) = kept.iterdir()
    assert place.name.startswith("tiny-")
    assert {path.parent.parent for path in trunk_files(tmp_path)} == {place}
    (place / "notes.txt").touch()
    (kept / "tiny-00000000").mkdir()
    (kept / "tiny-00000000" / "theirs.trunk").touch()
    shutil.copytree(kept, tmp_path / "copy")
    run_apart(tiny(*ONE, f"trunks.folder={kept}"), tmp_path / "shared")
    assert trunk_files(place) == []
    shutil.copytree(tmp_path / "copy", kept, dirs_exist_ok=True)
    delete_study(Home(tmp_path / "shared"), Home(tmp_path / "shared").existing("tiny"), None, None)
    assert {path.name for path in kept.rglob("*") if path.is_file()} == {"notes.txt", "theirs.trunk"}


def test_study_without_a_trunk_is_deleted_too(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.study("tiny").keep(tiny(f"trunks.folder={tmp_path / 'gone'}"), {})
    delete_study(home, home.existing("tiny"), None, None)
    assert home.studies() == []
    assert not (tmp_path / "gone").exists()
