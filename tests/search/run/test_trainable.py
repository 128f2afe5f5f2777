"""The Tune Trainable without Tune: what an actor keeps from trial to trial, and what it must not."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.search.tools import tiny
from tosmooth.search.run.measure_worker import measure
from tosmooth.search.run.trainable import TuneTrial
from tosmooth.search.spec.study import StudySpec
from tosmooth.trainables.config import TrialConfig
from tosmooth.trainables.files.folders import Folders
from tosmooth.trainables.training.trainer import Trainer


def settings(spec: StudySpec, rate: float, seed: int, folder: Path) -> dict[str, Any]:
    config = spec.trial_config(spec.cells()[1], {"rate": rate, "warmup": 1}, seed)
    own = {"trunks": None, "checkpoints": None, "timeout": None, "estimate_noise": True}  # the last: at a rate of 0
    return {
        "trial": config.to_dict(),
        "folders": [str(folder)] * 2,
        "weights": None,
        "transit": None,
        "threads": 1,
        **own,
    }


def ran(actor: TuneTrial) -> list[Any]:
    """What an actor reports of its trial, but for the time it takes."""
    found: list[Any] = []
    while not found or not found[-1]["done"]:
        result = actor.step()
        result["metrics"] = [(name, value) for name, value in result["metrics"] if name != "seconds"]
        found.append(result)
    return found


@pytest.mark.parametrize("network", ["{name: mlp, width: 8}", "{name: mlp, width: 16, depth: 2}"])
def test_third_trial_of_an_actor_gives_the_numbers_of_a_fresh_one(network: str, tmp_path: Path) -> None:
    spec = tiny(f"network={network}")
    actor = TuneTrial(settings(spec, 0.1, 1, tmp_path))
    first = ran(actor)
    assert actor.reset_config(settings(spec, -2.0, 2, tmp_path))
    second = ran(actor)
    assert actor.reset_config(settings(spec, -0.4, 3, tmp_path))
    third = ran(actor)
    assert third == ran(TuneTrial(settings(spec, -0.4, 3, tmp_path)))
    assert len({str(found) for found in (first, second, third)}) == 3


def test_trial_given_up_halfway_leaves_nothing_to_the_next(tmp_path: Path) -> None:
    spec = tiny()
    actor = TuneTrial(settings(spec, 0.1, 1, tmp_path))
    actor.step()
    actor.reset_config(settings(spec, -0.4, 3, tmp_path))
    assert ran(actor) == ran(TuneTrial(settings(spec, -0.4, 3, tmp_path)))


def test_trial_on_other_data_than_the_study_measured_fails_with_both_digests(tmp_path: Path) -> None:
    given = settings(tiny(), 0.1, 1, tmp_path)
    found = measure([TrialConfig.from_dict(given["trial"])], Folders(tmp_path, tmp_path))[0].digest
    assert ran(TuneTrial(given | {"digest": found}))[-1]["state"] == "complete"
    result = TuneTrial(given | {"digest": "0" * 16}).step()
    assert result["state"] == "failed"
    assert f"the data are not those that the study measured (digest {'0' * 16} -> {found})" in result["reason"]


@pytest.mark.parametrize("asked", [True, False])
def test_cross_entropy_tells_the_noise_rate_where_it_is_asked_to(asked: bool, tmp_path: Path) -> None:
    found = ran(TuneTrial(settings(tiny(), 0.0, 1, tmp_path) | {"estimate_noise": asked}))
    told = ["noise_rate_estimate" in dict(result["metrics"]) for result in found]
    assert told == [False, False, asked]


def test_attempt_that_failed_leaves_its_checkpoint_and_a_trial_that_ended_none(tmp_path: Path) -> None:
    given = settings(tiny(), 0.1, 1, tmp_path) | {"checkpoints": (str(tmp_path / "kept"), 0.0)}
    actor = TuneTrial(given)
    actor.step()
    assert isinstance(actor.trainer, Trainer)
    actor.trainer.network = None  # type: ignore[assignment] # as anything that goes wrong in an epoch
    assert actor.step()["state"] == "failed"
    other = settings(tiny(), -0.4, 3, tmp_path)
    assert actor.reset_config(other)
    assert len(list((tmp_path / "kept").iterdir())) == 1
    again = TuneTrial(given)
    again.step()
    assert isinstance(again.trainer, Trainer)
    assert again.trainer.epoch == 1  # not trained again
    ran(again)
    assert again.reset_config(other)
    assert list((tmp_path / "kept").iterdir()) == []


def test_actor_whose_epoch_takes_too_long_ends_itself(tmp_path: Path) -> None:
    # A file that no one writes to: the trial waits for its checkpoint, as for a file system that is away.
    kept = tmp_path / "kept"
    given = settings(tiny(), 0.1, 1, tmp_path) | {"checkpoints": (str(kept), 0.0)}
    TuneTrial(given).step()
    (file,) = kept.iterdir()
    file.unlink()
    os.mkfifo(file)
    # torch is imported before: on a busy machine that alone takes as long as the trial may.
    modules = "json, sys, tosmooth.trainables.training.trainer, tosmooth.trainables.checkpointing.trunks"
    imports = f"import {modules}; from tosmooth.search.run.trainable import TuneTrial"
    code = f"{imports}; TuneTrial(json.loads(sys.argv[1])).step()"
    command = [sys.executable, "-c", code, json.dumps(given | {"timeout": 8.0})]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 1
    assert "Timeout (0:00:08)!" in done.stderr
    assert "checkpoints.py" in done.stderr  # where it hung
