"""Memory that the data of CIFAR-10 add to each of several concurrent trials: mapped images against float32 copies.

Run it alone: python tests/benchmarks/bench_memory.py [--repeats N] [--json FILE] [--data-dir DIR] [--processes N]

Each trial is a process of its own. It loads the level, takes every batch of one epoch (training with augmentation,
then validation and test) and holds what it has while all are measured. Ours holds the level as `load_level` gives it;
the other side a float32 copy of the three splits, the usual tensor data set. Both take the same batches.

Counted is USS, the bytes that would be free again if this process alone ended: `Private_Clean + Private_Dirty` of
/proc/self/smaps_rollup, after minus before. Before are the imports and all of the same work on a tiny data set.
A mapped page of the decoded images is private only as long as a single process has it mapped (with `--processes 1` all
of them are); two concurrent trials share all that they both touched, it is page cache, once on the machine. So labels,
rows, copies and what allocators keep are counted, and the page cache is not. It needs Linux.
"""

import gc
import multiprocessing
import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Barrier
from pathlib import Path

import torch
from cifar import add_options, cifar10, write_random_pictures
from harness import OURS, Measurement, arguments, in_turn, report

from tosmooth.trainables.config import DataConfig, TableSource
from tosmooth.trainables.data.datasets import LevelData, Split, load_level
from tosmooth.trainables.files.folders import Folders
from tosmooth.trainables.training.batches import Batches
from tosmooth.trainables.training.process import prepare

COPY = "float32 copy in each process"
GOAL = 20.0
BATCH, EVALUATION_BATCH = 64, 128  # images
PATIENCE = 300  # seconds that processes wait for each other
MEMORY = Path("/proc/self/smaps_rollup")
MIB = 2**20

TINY = DataConfig(
    dataset="tiny",
    noise="symmetric-0.4",
    table=TableSource(train="train.parquet", test="test.parquet", image="img"),
)
TINY_PARTS = {"train": 500, "test": 500}

Load = Callable[[], LevelData]
Trial = Callable[[Barrier, "SimpleQueue[float]"], None]


def main() -> None:
    parser = arguments(__doc__, repeats=3)
    add_options(parser)
    parser.add_argument("--processes", type=int, default=2, metavar="N", help="concurrent trials [%(default)s]")
    options = parser.parse_args()
    if not MEMORY.exists():
        sys.exit(f"there is no {MEMORY} here: this benchmark needs Linux")
    with cifar10(options) as pictures, tempfile.TemporaryDirectory() as folder:
        tiny = Folders(data=Path(folder), cache=Path(folder))
        write_random_pictures(tiny.data, TINY_PARTS)
        level = partial(load_level, pictures.config, pictures.folders)
        warm_up = partial(load_level, TINY, tiny)
        warm_up()  # decodes, once, before any trial starts
        size = _float32_bytes(level())
        trials = {
            OURS: partial(_trial, prepare, level, warm_up),
            COPY: partial(_trial, torch.set_num_threads, partial(_load_copy, level), partial(_load_copy, warm_up)),
        }
        sides = {name: partial(_mean_added, trial, options.processes) for name, trial in trials.items()}
        values = in_turn(sides, options.repeats)
    facts = {
        "concurrent trials": options.processes,
        "pixels as float32, MiB": round(size / MIB, 1),
        "data": pictures.about,
    }
    what = "private memory that the data add to each trial"
    report("memory", [Measurement(what=what, unit="MiB", values=values, goal=GOAL, facts=facts)], options.json)


def _mean_added(trial: Trial, processes: int) -> float:
    """MiB that the data add to a trial, the mean of those that run at once."""
    context = multiprocessing.get_context("spawn")  # a fork would share pages with this process
    barrier, results = context.Barrier(processes), context.SimpleQueue()
    children = [context.Process(target=trial, args=(barrier, results)) for _ in range(processes)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    if any(child.exitcode for child in children):
        raise RuntimeError(f"a trial failed; exit codes: {[child.exitcode for child in children]}")
    return statistics.mean(float(results.get()) for _ in children)


def _trial(
    set_up: Callable[[int], None], load: Load, warm_up: Load, barrier: Barrier, results: "SimpleQueue[float]"
) -> None:
    """One trial, a process of its own; the barrier keeps all of them at the same point while one is measured."""
    set_up(1)  # as many threads
    try:
        _take_epoch(warm_up())
        barrier.wait(PATIENCE)
        before = _private_bytes()
        barrier.wait(PATIENCE)
        held = _take_epoch(load())
        barrier.wait(PATIENCE)
        results.put((_private_bytes() - before) / MIB)
        barrier.wait(PATIENCE)
        del held
    except BaseException:
        barrier.abort()  # the others need not wait
        raise


def _take_epoch(data: LevelData) -> list[Batches]:
    """Take every batch of one epoch, as a trial on a CPU does; returns what a trial holds."""
    generator = torch.Generator().manual_seed(0)
    splits = [split for split in (data.train, data.validation, data.test) if split is not None]
    training, *others = (Batches(split, data, torch.device("cpu"), torch.float32) for split in splits)
    for index in torch.randperm(len(training), generator=generator).split(BATCH):
        training.take(index, generator)
    for batches in others:
        for index in torch.arange(len(batches)).split(EVALUATION_BATCH):
            batches.take(index)
    return [training, *others]


def _private_bytes() -> int:
    """USS of this process."""
    gc.collect()
    lines = [line.split() for line in MEMORY.read_text().splitlines()[1:]]
    kib = {name.rstrip(":"): int(value) for name, value, *_ in lines}
    return 1024 * (kib["Private_Clean"] + kib["Private_Dirty"])


def _load_copy(load: Load) -> LevelData:
    """The level with its pixels as float32 in this process's own memory, which is all that differs."""
    data = load()
    test = None if data.test is None else _copied(data.test)
    return replace(data, train=_copied(data.train), validation=_copied(data.validation), test=test)


def _copied(split: Split) -> Split:
    return replace(split, inputs=split.inputs[split.rows].float(), rows=torch.arange(len(split)))


def _float32_bytes(data: LevelData) -> int:
    splits = [split for split in (data.train, data.validation, data.test) if split is not None]
    return sum(4 * len(split) * split.inputs[0].numel() for split in splits)


if __name__ == "__main__":
    main()
