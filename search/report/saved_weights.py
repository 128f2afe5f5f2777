"""Weights that the confirmation kept, held to the trial that they are said to be of."""

import dataclasses
import json
import logging
from pathlib import Path

from tosmooth.search.records import Cell, Record
from tosmooth.search.report.notes import RUN_AWAY
from tosmooth.search.spec.study import StudySpec
from tosmooth.trainables.checkpointing.weights import read_trial
from tosmooth.trainables.config import TrialConfig
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.former_words import renewed
from tosmooth.trainables.training.divergence import UNBOUNDED

log = logging.getLogger(__name__)


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


def warn_of_running_away(name: object, run: Record) -> None:
    """Say that the probabilities of a run's network, which is called `name`, are useless, where they are."""
    size = run.last("val_mean_abs_logit")
    if size is not None and size > UNBOUNDED:
        log.warning("%s: %s (mean |logit| %.0e)", name, RUN_AWAY, size)


def _numbers(trial: TrialConfig) -> TrialConfig:
    """Keep what shapes a trial's numbers: not how often it was tested, nor where its files lie; these may change."""
    by = trial.data.cleaned_by and dataclasses.replace(trial.data.cleaned_by, file="cleaned.csv")
    data = dataclasses.replace(trial.data, matrix=trial.data.matrix and "matrix.csv", cleaned_by=by)
    training = dataclasses.replace(trial.training, test_every=1)
    return dataclasses.replace(trial, data=data, training=training, network=trial.network.without_place())
