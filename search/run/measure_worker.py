"""Measure noise levels, in the process that `level_measurement` starts. JSON comes in, JSON goes out."""

import base64
import dataclasses
import inspect
import json
import logging
import os
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tosmooth.search.records import Level
from tosmooth.trainables.config import DataConfig, TrialConfig
from tosmooth.trainables.data.datasets import LevelData, Split, find_dataset, load_level
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.files.folders import Folders
from tosmooth.trainables.networks.inputs import on_inputs
from tosmooth.trainables.networks.prepare import Prepared, prepared
from tosmooth.trainables.networks.small import enlargement
from tosmooth.trainables.networks.weights_file import find_state_file
from tosmooth.trainables.noise.synthetic import NONE
from tosmooth.trainables.training.imbalance import class_weights_of
from tosmooth.trainables.training.objective import check_transition
from tosmooth.trainables.training.process import prepare
from tosmooth.trainables.training.setup import check_network
from tosmooth.trainables.training.timing import Pace, pace_of
from tosmooth.trainables.user_code import UserCode, resolve, use

NOTE = "note: "  # so begins a line of stderr that the user is to see at once, as JSON
MOST_NAMED = 5  # classes without a training example


def main() -> None:
    request = json.load(sys.stdin)
    folders = Folders.at(request["data"], Path(request["cache"]))
    configs = [TrialConfig.from_dict(values) for values in request["trials"]]
    logging.getLogger("tosmooth.trainables").addHandler(Notes(logging.WARNING))
    timer = Timer(request["threads"])
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(
        sys.stderr.fileno(), sys.stdout.fileno()
    )  # what libraries and the user's code print is no part of the answer
    try:
        if request["code"] is not None:
            use(UserCode.from_archive(base64.b64decode(request["code"]), "code"), folders.cache)
        levels = measure(configs, folders, timer)
        answer: dict[str, Any] = {"levels": [dataclasses.asdict(level) for level in levels], **timer.found()}
    except InputError as error:
        answer = {"refused": str(error)}
    except OSError as error:  # no rights, no such folder, a name that is too long, a disk that is full
        where = error.filename or folders.cache
        answer = {"refused": f"{where}: {error.strerror or error}; name a folder you may read and write"}
    except MemoryError as error:
        answer = {"refused": f"dataset: more than fits into the memory of this machine: {error}; set dataset.size"}
    with answers:
        json.dump(answer, answers)


class Notes(logging.Handler):
    """Log handler that tells the user at once: what a cache will take, or that a damaged file was made again."""

    def emit(self, record: logging.LogRecord) -> None:
        print(f"{NOTE}{json.dumps(record.getMessage())}", file=sys.stderr, flush=True)


class Timer:
    """Timer of the first run that it is shown."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.pace: Pace | None = None

    def __call__(self, ready: Prepared) -> None:
        """Time the run, unless one was timed before."""
        if self.pace is None:
            prepare(self.threads)
            with suppress(RuntimeError, MemoryError):  # what a trial may not survive is for the trial to say
                self.pace = pace_of(ready.config, ready.data, start=ready.start)

    def found(self) -> dict[str, Any]:
        """Pace that was timed, and whether trials would find a GPU here."""
        pace = None if self.pace is None else self.pace._asdict()
        return {"pace": pace, "gpu": torch.cuda.is_available()}


Look = Callable[[Prepared], None]


def measure(configs: list[TrialConfig], folders: Folders, look: Look = lambda ready: None) -> list[Level]:
    """Measure the levels of the trials, in their order; `look` is shown a run of each with its data."""
    levels: dict[DataConfig, list[TrialConfig]] = defaultdict(list)
    for config in configs:
        if config.trainable is not None:
            check_function(resolve(config.trainable, "trainable"), config.trainable)
        find_dataset(config.data)  # before any data is read, which can take minutes
        if config.network.weights not in ("none", "default"):
            find_state_file(config.network.weights, folders)
        levels[config.data].append(config)
    return [_measure(same, folders, look) for same in levels.values()]


def check_function(function: Callable[..., object], reference: str) -> None:
    """Raise `InputError` where a trainable of the user's cannot be called with a trial."""
    try:
        inspect.signature(function).bind(object())
    except TypeError as error:
        raise InputError(f"trainable: {reference!r} is refused: it is called with the trial alone: {error}") from error
    except ValueError:  # some callables of C say nothing of their arguments
        return


def _measure(configs: Sequence[TrialConfig], folders: Folders, look: Look) -> Level:
    """Measure the level on which all of the trials are trained."""
    config = configs[0]
    data = load_level(config.data, folders)
    if config.trainable is not None:
        return _level(config, data)
    weights: set[str] = set()
    for each in configs:
        check_transition(each, data)
        class_weights_of(each.training, data.train.labels, data.classes, data.class_names)  # for its checks
        ready = prepared(each, data, folders)
        check_network(ready.config, ready.data)
        if ready.config.network.sha256 is not None:
            weights.add(ready.config.network.sha256)
    if len(weights) > 1:  # a level has one SHA-256, to which all of its trials are held
        raise InputError("network.weights: they depend on what is searched of the network: search something else of it")
    look(ready)
    remarks = [*_enlarged(config, data), *(on_inputs(config.network) if data.train.inputs.ndim == 4 else [])]
    return dataclasses.replace(_level(config, data), weights=next(iter(weights), ""), remarks=(*data.remarks, *remarks))


def _level(config: TrialConfig, data: LevelData) -> Level:
    """Level of these data."""
    return Level(
        dataset=config.data.dataset,
        noise=config.data.noise,
        classes=data.classes,
        train_size=len(data.train),
        validation_size=len(data.validation),
        test_size=len(data.test) if data.test is not None else 0,
        noise_rate=data.noise_rate,
        noise_rate_source="" if data.noise_rate is None else "measured",
        symmetric=data.symmetric,
        digest=data.digest,
        class_names=data.class_names,
        class_counts=_counts(data),
        clean_rows=data.clean_rows,
        clean_validation=config.data.validate_on == "clean",
        remarks=data.remarks,
        **_facts(data),
    )


def _enlarged(config: TrialConfig, data: LevelData) -> list[str]:
    """Say that the network sees pictures larger than they are, where it does."""
    height, width, *channels = data.train.inputs.shape[1:] if data.train.inputs.ndim == 4 else (1, 1)
    times = enlargement(config.network.name, (*channels, height, width)) if channels and config.network.own else 1
    many = f"{times} times as large each way: it takes no smaller ones"
    return [f"{config.network.name} sees the pictures of {width}x{height} pixels {many}"] if times > 1 else []


def _facts(data: LevelData) -> dict[str, Any]:
    """Facts of the data that a row must say: equal examples, how far labels are of one class, classes not trained."""
    train, validation = data.train.keys, data.validation.keys
    rows = len(train) + len(validation)
    facts = {
        "copies": 1 - len(np.unique(np.concatenate([train, validation]))) / rows,
        "shared": float(np.isin(validation, train).mean()),
        "commonest": _commonest(data.validation),
        "balanced_size": _balanced_size(data.validation),
        "untrained": _untrained(data),
    }
    if data.test is not None:
        facts |= {
            "test_shared": float(np.isin(data.test.keys, train).mean()),
            "test_commonest": _commonest(data.test),
        }
    return facts


def _commonest(split: Split) -> float:
    """Share of the most frequent label, in [0, 1]: as accurate is who predicts nothing else."""
    return float(split.labels.bincount().max()) / len(split)


def _counts(data: LevelData) -> tuple[int, ...]:
    """Count the examples of each class in training and validation, by the labels of this level."""
    labels = torch.cat([data.train.labels, data.validation.noisy_labels])
    return tuple(labels.bincount(minlength=data.classes).tolist())


def _balanced_size(split: Split) -> float:
    """Number of examples in equal classes that would tell the mean accuracy of the split's classes as closely.

    The variance of that mean is the sum of `p (1 - p) / n_k` over the K classes there are, by K^2.
    """
    counts = split.labels.bincount()
    counts = counts[counts > 0].double()
    return float(len(counts) ** 2 / counts.reciprocal().sum())


def _untrained(data: LevelData) -> str:
    """List the classes that no training example is of, by its clean label where that is known."""
    split = data.train
    labels = split.labels if split.clean is None else torch.where(split.clean == NONE, split.labels, split.clean)
    missing = (labels.bincount(minlength=data.classes) == 0).nonzero().flatten().tolist()
    more = f" and {len(missing) - MOST_NAMED} more" if len(missing) > MOST_NAMED else ""
    return ", ".join(repr(data.class_names[k]) if data.class_names else str(k) for k in missing[:MOST_NAMED]) + more


if __name__ == "__main__":
    main()
