"""Settings of trials: whose network is kept, and who tells the noise rate. Trunks: test_trunks.py."""

from pathlib import Path

import pytest

from tests.search.builders import level
from tests.search.tools import Driver, steps, tiny
from tosmooth.search.spec.parameters import frozen
from tosmooth.search.spec.study import StudySpec


@pytest.fixture(autouse=True)
def _nothing_waits_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.fsync", lambda descriptor: None)


@pytest.mark.parametrize(("asked", "seeds"), [((), 1), (("confirmation.keep_weights=all",), 2)])
def test_weights_are_kept_of_the_confirmation_s_first_seed_or_of_all(
    tmp_path: Path, asked: tuple[str, ...], seeds: int
) -> None:
    driver = Driver(tmp_path, tiny("dataset.noise=[clean]", *asked))
    kept, arms = [], set()
    for step in steps(driver.searcher):
        if step == "start":
            (job,) = driver.running()
            kept.append((job.key.phase, job.train_seed, driver.settings.of(job)["weights"] is not None))
            if job.key.phase == "confirmation":
                arms.add(frozen(job.params))
    wanted = driver.spec.confirmation_seeds()[:seeds]
    assert {(phase, seed) for phase, seed, weights in kept if weights} == {("confirmation", seed) for seed in wanted}
    assert sum(weights for _, _, weights in kept) == len(arms) * seeds


def estimates(folder: Path, spec: StudySpec, noise_rate: float | None) -> list[tuple[str, float, bool]]:
    """Phase and rate of every trial of a study whose levels have this noise rate, and whether it is to estimate it."""
    driver = Driver(folder, spec, levels=[level(noise, noise_rate) for noise in spec.dataset.noise])
    asked: list[tuple[str, float, bool]] = []
    for step in steps(driver.searcher):
        if step == "start":
            (job,) = driver.running()
            asked.append((job.key.phase, job.params["rate"], driver.settings.of(job)["estimate_noise"]))
    return asked


@pytest.mark.parametrize(("noise_rate", "told"), [(0.4, {"confirmation"}), (None, {"search", "confirmation"})])
def test_cross_entropy_tells_the_noise_rate_and_in_the_search_only_where_it_is_unknown(
    noise_rate: float | None, told: set[str], tmp_path: Path
) -> None:
    asked = estimates(tmp_path, tiny("dataset.noise=[clean]"), noise_rate)
    assert {phase for phase, rate, asks in asked if asks} == told
    assert all(asks == (rate == 0 and phase in told) for phase, rate, asks in asked)


@pytest.mark.parametrize("noise_rate", [0.4, None])
def test_no_trial_tells_the_noise_rate_where_the_study_does_not_want_it(
    noise_rate: float | None, tmp_path: Path
) -> None:
    asked = estimates(tmp_path, tiny("dataset.noise=[clean]", "search.estimate_noise=false"), noise_rate)
    assert len(asked) >= 8  # four trials and the confirmation, cross-entropy in both
    assert not any(asks for _, _, asks in asked)
