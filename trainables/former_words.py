"""Keys that had another name before: a trial's configuration in files of then is read, and a user is told today's."""

from collections.abc import Mapping
from typing import Any

from tosmooth.trainables.errors import InputError

TRIAL = {"lr_factor": "lr_after_warmup"}  # of a `TrialConfig`, a search space and a trial's parameters: then -> now


def renewed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the same values under today's keys, in their order."""
    return {TRIAL.get(key, key): value for key, value in values.items()}


def former(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the same values under the former keys: names that are a hash of these values must not change."""
    then = {now: old for old, now in TRIAL.items()}
    return {then.get(key, key): value for key, value in values.items()}


def refuse_former(values: Mapping[str, Any]) -> None:
    """Raise `InputError` with a line for each former key among a trial's, which names today's."""
    if lines := [f"{key}: is now {TRIAL[key]}" for key in values if key in TRIAL]:
        raise InputError("\n".join(lines))
