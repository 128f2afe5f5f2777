"""Weights that the confirmation kept, held to the trial that they are said to be of."""

import dataclasses
import json
from pathlib import Path

from tosmooth.search.records import Cell, Record
from tosmooth.search.spec.study import StudySpec
from tosmooth.trainables.checkpointing.weights import read_trial
from tosmooth.trainables.config import TrialConfig
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.former_words import renewed


def check_weights(path: Path, spec: StudySpec, run: Record, advice: str) -> None:
    """Raise `InputError`, with `advice`, where a run's weights are gone, damaged, or those of another trial."""
    try:
        text = read_trial(path)
        if not text:  # made elsewhere
            raise ValueError("it does not say which trial it is of")
        trial = TrialConfig.from_dict(renewed(json.loads(text)))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: missing or damaged ({error}): {advice}") from error
    expected = spec.trial_config(Cell(run.level, run.method), run.params, run.train_seed, run.trained_as or None)
    if _numbers(trial) != _numbers(expected):
        raise InputError(f"{path}: holds the weights of another trial than {'/'.join(map(str, run.key))}: {advice}")


def _numbers(trial: TrialConfig) -> TrialConfig:
    """Keep what shapes a trial's numbers: not how often it was tested, nor where its files lie; these may change."""
    data = dataclasses.replace(trial.data, matrix=trial.data.matrix and "matrix.csv")
    training = dataclasses.replace(trial.training, test_every=1)
    return dataclasses.replace(trial, data=data, training=training, network=trial.network.without_place())
