"""When a study is finished, told from the records of a study that is played to its end with made-up reports."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.search.tools import Driver, play, steps, tiny
from tosmooth.search.report.completion import completion

STUDIES = {
    "fixed seeds": (),
    "auto": ("confirmation={seeds: auto, max_seeds: 4}",),
    "two finalists": ("confirmation.finalists=2",),
    "methods": ("method=[gls, gce]",),
    "grid": ("search={sampler: grid}", "space.rate={values: [0, -0.8]}", "space.warmup={values: [0, 1]}"),
    "stopped early": ("search={trials: 20, stop_when: {rate_interval: 5}}",),
}


@pytest.mark.parametrize("changes", STUDIES.values(), ids=STUDIES.keys())
def test_a_study_is_finished_when_its_driver_ends_and_not_before(changes: tuple[str, ...], tmp_path: Path) -> None:
    spec = tiny(*changes)
    driver = Driver(tmp_path / "study", spec)
    early = [
        completion(spec, driver.levels, driver.records()).finished
        for i, step in enumerate(steps(driver.searcher))
        if step == "end" and i % 5 == 0
    ]
    done = completion(spec, driver.levels, driver.records())
    assert (done.finished, set(done.whole)) == (True, set(spec.cells()))
    assert not any(early[:-1])


def test_a_study_that_grows_is_not_finished_until_it_has_grown(tmp_path: Path) -> None:
    driver = Driver(tmp_path / "study", tiny())
    records = play(driver)
    assert completion(tiny("search.trials=5"), driver.levels, records).finished is False
    longer = completion(tiny("confirmation.seeds=3"), driver.levels, records)
    assert (longer.finished, longer.whole) == (False, frozenset())
    added = tiny("dataset.noise=[clean, symmetric-0.4, symmetric-0.2]")
    assert completion(added, driver.levels, records).finished is False
    assert completion(tiny(), driver.levels, [replace(records[0], state="running"), *records[1:]]).finished is False


def test_runs_that_failed_for_good_keep_no_study_from_its_end(tmp_path: Path) -> None:
    spec = tiny("trial_attempts=1")
    driver = Driver(tmp_path / "study", spec)
    seed = spec.confirmation_seeds()[1]
    records = play(driver, lambda settings, failures: settings["trial"]["train_seed"] == seed)
    assert any(record.state == "failed" for record in records)
    assert completion(spec, driver.levels, records).finished
