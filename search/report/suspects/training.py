"""Networks of the folds, trained by processes of one thread each on all cores, and what each said, kept in files."""

import functools
import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.connection import wait as wait_for
from pathlib import Path

from tosmooth.search.report.cost import duration
from tosmooth.search.spec.seeds import derive_seed
from tosmooth.trainables.checkpointing.layout import lengths
from tosmooth.trainables.checkpointing.trunks import Trunks
from tosmooth.trainables.config import DataConfig, TrialConfig
from tosmooth.trainables.data.datasets import LevelData, load_level
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.files.folders import Folders
from tosmooth.trainables.networks.prepare import prepared
from tosmooth.trainables.suspects.folds import Folds
from tosmooth.trainables.suspects.out_of_fold import FoldDivergedError, FoldLogits, fold_logits
from tosmooth.trainables.training.process import prepare
from tosmooth.trainables.user_code import UserCode, use

EVERY = 3.0  # seconds between two words on how far it is
ATTEMPTS = 3  # training seeds with which a fold is tried before it counts as diverged

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Trial:
    """Network to be trained without a fold, and the file for what it says of that."""

    config: TrialConfig
    file: Path


@dataclass(frozen=True, slots=True)
class Job:
    """Trials of one level, fold and training seed, which share their warm-up: one after another in one process."""

    trials: tuple[Trial, ...]
    digest: str  # of the level's data
    folds: int
    fold: int  # from 0
    seed: int  # draws the folds


@dataclass(frozen=True, slots=True)
class Workplace:
    """What all jobs of a study have in common."""

    folders: Folders
    scratch: Path  # for trunks and checkpoints
    code: bytes | None  # archive of the user's code that the study names
    threads: int
    share: bool  # warm-ups
    checkpoint: float | None  # seconds between two states of a running network


def file_of(folder: Path, config: TrialConfig, job: Job) -> Path:
    """File of a network's word on its fold, named by all that shapes it; the data count by their digest."""
    values = replace(config, network=config.network.without_place()).to_dict()
    del values["data"]
    told = json.dumps([values, job.digest, job.folds, job.fold, job.seed], sort_keys=True)
    return folder / f"{hashlib.sha256(told.encode()).hexdigest()[:24]}.npz"


def train_all(jobs: Sequence[Job], place: Workplace, workers: int, say: Say) -> dict[Path, str]:
    """Train what no file has yet. Returns why networks diverged under every seed, by the file they would have made.

    Each file appears when its network is trained: whoever is stopped goes on from there. `say` is told how far it is,
    and the time that is left.
    """
    left = [replace(job, trials=lacking) for job in jobs if (lacking := _lacking(job))]
    diverged: dict[Path, str] = {}
    if not left:
        shutil.rmtree(place.scratch, ignore_errors=True)
        return diverged
    total = sum(len(job.trials) for job in left)
    done, start = 0, time.monotonic()
    told = start
    at_once = f"{min(workers, len(left))} at once"
    say(f"Training {total} networks of folds, {at_once}")
    with _pool(min(workers, len(left)), place) as submit:
        running = {submit(job) for job in left}
        while running:
            ended, running = wait(running, return_when=FIRST_COMPLETED)
            for each in ended:
                done_here, why = each.result()
                done, diverged = done + done_here, diverged | why
            if running and time.monotonic() - told > EVERY:
                told = time.monotonic()
                seconds = (total - done) * (time.monotonic() - start) / max(done, 1)
                say(f"Training {total} networks of folds, {at_once}: {done} done, about {duration(seconds)} left")
    shutil.rmtree(place.scratch, ignore_errors=True)
    return diverged


def _lacking(job: Job) -> tuple[Trial, ...]:
    return tuple(trial for trial in job.trials if FoldLogits.read(trial.file) is None)


Submit = Callable[[Job], "Future[tuple[int, dict[Path, str]]]"]


@contextmanager
def _pool(workers: int, place: Workplace) -> Iterator[Submit]:
    """Processes that train; they end with the context, and with this process, however that ends."""
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, initializer=_begin, initargs=(place,))
    try:
        yield lambda job: pool.submit(_run, job)
    except BrokenProcessPool as error:
        advice = "perhaps for lack of memory: fewer at once with --set resources.concurrent, or free some"
        raise InputError(f"a process that trained a fold was ended, {advice}; what ended is kept") from error
    except BaseException:
        for child in multiprocessing.active_children():  # nothing they do is half written
            child.kill()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_place: Workplace | None = None  # of this process


def _begin(place: Workplace) -> None:
    """Set up a process that trains."""
    global _place
    _place = place
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started this one, which ends it
    threading.Thread(target=_end_with_parent, daemon=True).start()
    prepare(place.threads)
    if place.code is not None:
        use(UserCode.from_archive(place.code, "code"), place.folders.cache)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_for([parent.sentinel])
        os._exit(1)


def _run(job: Job) -> tuple[int, dict[Path, str]]:
    """Train a job's networks; returns their number, and why some diverged under every seed, by their files."""
    place = _place
    assert place is not None  # noqa: S101 - set when the process began
    warmups = [trial.config.warmup for trial in job.trials]
    folder = place.scratch / "trunks" / job.trials[0].file.stem
    shared = place.share and len(job.trials) > 1 and any(warmups)
    trunks = Trunks(str(folder.absolute()), lengths(warmups)) if shared else None
    diverged = {}
    for trial in job.trials:
        why = _one(trial, job, place, trunks)
        if why is not None:
            diverged[trial.file] = why
    shutil.rmtree(folder, ignore_errors=True)
    return len(job.trials), diverged


def _one(trial: Trial, job: Job, place: Workplace, trunks: Trunks | None) -> str | None:
    """Train one network and keep what it says. Returns why it diverged under each of its seeds; None if it did not."""
    level = _level(trial.config.data, place.folders)
    if level.digest != job.digest:
        raise InputError(f"the data changed meanwhile (digest {job.digest} -> {level.digest})")
    folds = _folds(trial.config.data, place.folders, job.folds, job.seed)
    place.scratch.mkdir(parents=True, exist_ok=True)
    checkpoints = None if place.checkpoint is None else (str(place.scratch.absolute()), place.checkpoint)
    why = ""
    for attempt in range(ATTEMPTS):
        seed = trial.config.train_seed
        config = replace(trial.config, train_seed=derive_seed(seed, "again", attempt) if attempt else seed)
        ready = prepared(config, level, place.folders)
        try:
            said = fold_logits(ready, folds, job.fold, trunks, checkpoints)
        except FoldDivergedError as error:
            why = str(error)
            continue
        replace(said, diverged=attempt).save(trial.file)
        return None
    return why


@functools.lru_cache(maxsize=4)
def _level(config: DataConfig, folders: Folders) -> LevelData:
    return load_level(config, folders)


@functools.lru_cache(maxsize=4)
def _folds(config: DataConfig, folders: Folders, number: int, seed: int) -> Folds:
    return Folds.of(_level(config, folders), number, seed)
