"""Trials per hour of the study cifar10n-cpu on 2 cores: our platform against the usual one with the classic loop.

The usual one is OptunaSearch + MLflowLoggerCallback under Tune's defaults (a new worker for each trial), and trains as
`classic.py` does: a DataLoader over PIL images. Both run two trials of one CPU at once.

    python tests/benchmarks/bench_study.py [--trials 4] [--size 10000] [--data-dir DIR] [--repeats N] [--json FILE]

The same trials: as many for each noise level, on the same data and split, over the same space, all to the same last
epoch. For that nothing is pruned, the confirmation is left out, and rates stay above -0.4: further down some trials
diverge, which ours stops early. The clock starts before Ray does, after the imports, and stops when Optuna and MLflow
have the last trial. Images are decoded once, before; each side runs in a fresh process, in turn.
"""

import os
import tempfile
import time
from pathlib import Path
from unittest import mock

import ours
import usual
from fresh import fresh
from harness import OURS, Measurement, arguments, in_turn, report
from ray import tune
from usual_trials import classic

from tosmooth.search.run.level_measurement import measure_levels
from tosmooth.search.run.study_driver import StudyDriver
from tosmooth.search.spec.loading import load_study
from tosmooth.search.spec.study import StudySpec
from tosmooth.trainables.config import TrialConfig
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.files.folders import Folders

GOAL = 3.0
CONCURRENT = 2
USUAL = "usual, classic loop"


def main() -> None:
    parser = arguments(__doc__, repeats=3)
    parser.add_argument("--trials", type=int, default=4, help="of each of the two noise levels (%(default)s)")
    parser.add_argument("--epochs", type=int, help="of a trial, fewer to try this out [the study's]")
    parser.add_argument("--size", type=int, help="training images, fewer to try this out [the study's]")
    parser.add_argument(
        "--data-dir", type=Path, default=Path(os.environ.get("TOSMOOTH_DATA_DIR", "tosmooth-home/data"))
    )
    parser.add_argument("--cache-dir", type=Path, help="with decoded images [a new one]")
    options = parser.parse_args()
    spec = _study(options.trials, options.epochs, options.size)
    with tempfile.TemporaryDirectory() as name:
        cache = options.cache_dir or Path(name) / "cache"
        folders = Folders(options.data_dir.absolute(), cache.absolute())
        try:
            measure_levels(spec, folders)  # decodes the images
        except InputError as error:
            print(f"Trials per hour are not measured: {error}")
            return
        threads: set[float] = set()
        sides = {
            OURS: lambda: fresh(rate_of_ours, spec, folders),
            USUAL: lambda: _usual(spec, folders, threads),
        }
        values = in_turn(sides, options.repeats)
    training = f"{spec.training.epochs} epochs of {spec.dataset.size} images, a part of them validation"
    facts = {
        "trials a side": len(spec.cells()) * spec.budget,
        "a trial": training,
        "torch threads there": sorted(threads),
    }
    measured = Measurement(
        what="trials of cifar10n-cpu", unit="1/h", values=values, more_is_better=True, goal=GOAL, facts=facts
    )
    report("Trials per hour", [measured], options.json)


def rate_of_ours(scratch: Path, spec: StudySpec, folders: Folders) -> float:
    """Trials per hour of `tosmooth run`."""
    home = scratch / "home"
    home.mkdir()
    (home / "cache").symlink_to(folders.cache)
    with mock.patch.object(StudyDriver, "_confirmation", return_value=None):
        start = time.time()
        ends = ours.run(spec, home, folders.data)
    if len(ends.told) != len(spec.cells()) * spec.budget or set(ends.epochs.values()) != {spec.training.epochs}:
        raise RuntimeError(f"not all trials came to their last epoch: {ends.epochs}")
    return 3600 * len(ends.told) / (ends.complete() - start)


def rate_of_usual(scratch: Path, spec: StudySpec, folders: Folders) -> tuple[float, set[float]]:
    """The same for the usual platform, one noise level after the other, and the threads that torch had there."""
    count, last, threads = 0, 0.0, set()
    start = time.time()
    with usual.local_ray():
        for noise in spec.dataset.noise:
            base = TrialConfig(data=spec.data_config(noise), network=spec.network, training=spec.training)
            trainable = tune.with_parameters(classic, base=base, folders=folders)
            times, results = usual.run(
                trainable, usual.DefineByRun.of(spec), noise, spec.budget, scratch, concurrent=CONCURRENT
            )
            count, last = count + len(times), max(times)
            if any(result["training_iteration"] != spec.training.epochs for result in results):
                raise RuntimeError(f"not all trials on {noise} came to their last epoch")
            threads |= {result["threads"] for result in results}
    return 3600 * count / (last - start), threads


def _usual(spec: StudySpec, folders: Folders, threads: set[float]) -> float:
    rate, found = fresh(rate_of_usual, spec, folders)
    threads |= found
    return rate


def _study(trials: int, epochs: int | None, size: int | None) -> StudySpec:
    search = f"search={{sampler: tpe, trials: {trials}}}"  # as a whole: no pruner, and none of its options
    changes = [search, "space.rate.low=-0.4", f"resources.concurrent={CONCURRENT}"]
    if epochs is not None:
        changes += [f"training.epochs={epochs}", f"space.warmup.high={min(8, epochs)}"]
    if size is not None:
        changes += [f"dataset.size={size}"]
    return load_study("cifar10n-cpu", changes)


if __name__ == "__main__":
    main()
