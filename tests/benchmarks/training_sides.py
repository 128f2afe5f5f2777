"""What bench_training.py times, and the processes that do it: one for our side, one for the classic loop.

A process is set up as its side sets up a trial, and keeps what it has built, so that only the work itself is timed.
"""

import functools
import multiprocessing
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from typing import Self

import torch
from classic import sgd, train_epoch, training_loader

from tosmooth.trainables.config import TrialConfig
from tosmooth.trainables.data.datasets import LevelData, Split, load_level
from tosmooth.trainables.files.folders import Folders
from tosmooth.trainables.training.process import prepare
from tosmooth.trainables.training.setup import fitting_network
from tosmooth.trainables.training.trainer import Trainer

THREADS = {"cpu": 1, "cuda": None}  # of torch in each process; None: its choice
WORKERS = {"cpu": 0, "cuda": 8}  # of the classic loop's DataLoader


@dataclass(frozen=True, slots=True)
class Job:
    """What trains, where, and on how many images."""

    config: TrialConfig
    folders: Folders
    device: torch.device
    images: int  # that train in a repeat
    epoch_images: int  # that train in the epoch whose evaluation is timed

    def short(self) -> LevelData:
        """The images of a repeat and a single one to evaluate: an epoch of it is training alone."""
        return first(load_level(self.config.data, self.folders), self.images, 1, 0)

    def epoch(self) -> LevelData:
        """The images of an epoch, with as large a share of the validation and the test set."""
        data = load_level(self.config.data, self.folders)
        parts = (data.train, data.validation, data.test or ())
        train, *others = (self.epoch_images * len(part) // len(data.train) for part in parts)
        return first(data, train, *others)


Work = Callable[[], object]
Side = Callable[[Job], Work]


def ours(job: Job) -> Work:
    """An epoch of training."""
    return Trainer(job.config, job.short(), job.device).run_epoch


def ours_float32(job: Job) -> Work:
    """The same in float32."""
    training = replace(job.config.training, precision="float32")
    return ours(replace(job, config=replace(job.config, training=training)))


def classic(job: Job) -> Work:
    """The same by the classic loop."""
    torch.manual_seed(job.config.train_seed)
    data = job.short()
    network = fitting_network(job.config, data).to(job.device)
    loader = training_loader(job.config, data, job.device, WORKERS[job.device.type])
    return functools.partial(train_epoch, job.config, network, loader, sgd(job.config, network), 0, job.device)


def our_batches(job: Job) -> Work:
    """Augmented batches of an epoch, ready for the network, and nothing else."""
    trainer = Trainer(job.config, job.short(), job.device)
    generator = torch.Generator(job.device).manual_seed(job.config.train_seed)

    def take() -> None:
        order = torch.randperm(len(trainer.train_set), generator=generator, device=job.device)
        for index in order.split(job.config.training.batch_size):
            trainer.train_set.take(index, generator)

    return take


def classic_batches(job: Job) -> Work:
    """The same by torchvision's transforms and a DataLoader."""
    loader = training_loader(job.config, job.short(), job.device, WORKERS[job.device.type])

    def take() -> None:
        for images, labels in loader:
            images.to(job.device, non_blocking=True)
            labels.to(job.device, non_blocking=True)

    return take


def our_epoch(job: Job) -> Work:
    """An epoch with its evaluation."""
    return Trainer(job.config, job.epoch(), job.device).run_epoch


def our_evaluation(job: Job) -> Work:
    """Its evaluation: an epoch that trains a single batch."""
    data = job.epoch()
    bare = replace(data, train=_part(data.train, job.config.training.batch_size))
    return Trainer(job.config, bare, job.device).run_epoch


class Processes:
    """The two processes; `with` ends them."""

    def __init__(self, job: Job) -> None:
        self.job = job
        threads, context = THREADS[job.device.type], multiprocessing.get_context("spawn")
        self.ours = ProcessPoolExecutor(1, context, prepare, (threads,))
        self.classic = ProcessPoolExecutor(1, context, _set_threads, (threads,))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.ours.shutdown()
        self.classic.shutdown()

    def seconds(self, side: Side) -> float:
        """How long the work of `side` takes once more; its first time, which warms it up, is not counted."""
        pool = self.classic if side in (classic, classic_batches) else self.ours
        return pool.submit(_timed, side, self.job).result()


def seconds(device: torch.device, work: Work) -> float:
    """How long `work` takes, until the device has done it."""
    _synchronize(device)
    start = time.perf_counter()
    work()
    _synchronize(device)
    return time.perf_counter() - start


def _timed(side: Side, job: Job) -> float:
    return seconds(job.device, _warm(side, job))


@functools.cache
def _warm(side: Side, job: Job) -> Work:
    work = side(job)
    work()
    return work


def _set_threads(threads: int | None) -> None:
    if threads is not None:
        torch.set_num_threads(threads)


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def first(data: LevelData, train: int, validation: int, test: int) -> LevelData:
    """So many examples of each split, its first; no test set where that is 0."""
    tested = _part(data.test, test) if data.test is not None and test else None
    return replace(data, train=_part(data.train, train), validation=_part(data.validation, validation), test=tested)


def _part(split: Split, n: int) -> Split:
    clean = None if split.clean is None else split.clean[:n]
    return replace(split, rows=split.rows[:n], labels=split.labels[:n], clean=clean)
