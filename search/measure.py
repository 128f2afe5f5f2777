"""Measures noise levels: `python -m search.measure`, as `levels` starts it. JSON comes in, JSON goes out."""

import dataclasses
import json
import logging
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from search.records import Level
from trainables.config import DataConfig, InputError, TrialConfig
from trainables.datasets import find_dataset, load_level
from trainables.folders import Folders
from trainables.objective import check_transition
from trainables.train import fitting_network


def main() -> None:
    request = json.load(sys.stdin)
    folders = Folders.at(request["data"], Path(request["cache"]))
    configs = [TrialConfig.from_dict(values) for values in request["trials"]]
    notes = Notes(logging.WARNING)
    logging.getLogger("trainables").addHandler(notes)
    try:
        answer: dict[str, Any] = {"levels": [dataclasses.asdict(level) for level in measure(configs, folders)]}
    except InputError as error:
        answer = {"refused": str(error)}
    except OSError as error:  # no rights, no such folder, a name that is too long, a disk that is full
        where = error.filename or folders.cache
        answer = {"refused": f"{where}: {error.strerror or error}; name a folder you may read and write"}
    except MemoryError as error:
        answer = {"refused": f"dataset: more than fits into the memory of this machine: {error}; set dataset.size"}
    json.dump(answer | {"notes": notes.said}, sys.stdout)


class Notes(logging.Handler):
    """What is to be said to the user, of a damaged file that was made again, say."""

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


def measure(configs: list[TrialConfig], folders: Folders) -> list[Level]:
    """The levels of the trials, in their order."""
    levels: dict[DataConfig, list[TrialConfig]] = defaultdict(list)
    for config in configs:
        find_dataset(config.data)  # before any data is read, which can take minutes
        levels[config.data].append(config)
    return [_measure(same, folders) for same in levels.values()]


def _measure(configs: Sequence[TrialConfig], folders: Folders) -> Level:
    """The level on which all of the trials are trained."""
    config = configs[0]
    data = load_level(config.data, folders)
    for each in configs:
        with torch.device("meta"):  # no memory, no time
            fitting_network(each, data)
        check_transition(each, data)
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
    )


if __name__ == "__main__":
    main()
