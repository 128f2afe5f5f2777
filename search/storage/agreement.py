"""Agreement of a study's record with the study, its data and its history: what was swapped or lost is named.

A record carries what shapes its numbers, so that a file beside it that a hand or a killed command removed cannot change
what its trials are taken for. Records of earlier versions carry less, and are held to what they carry.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tosmooth.search.records import Level, Record, TrialKey
from tosmooth.search.spec.yaml_file import changed
from tosmooth.search.storage.history import curve_digest
from tosmooth.trainables.errors import InputError


def check_meaning(study: str, recorded: Mapping[str, Any], meaning: Mapping[str, Any]) -> None:
    """Raise `InputError` where the trials of a record were trained by another recipe than `StudySpec.meaning` says."""
    if changes := changed(recorded, meaning):
        lines = "\n  ".join(changes)
        raise InputError(
            f"study {study!r}: the trials of its record were trained otherwise:\n  {lines}\n"
            f"Bring its study.yaml back from a copy, or keep both: --name {study}-2"
        )


def check_own(study: str, found: Iterable[str]) -> None:
    """Raise `InputError` where one of the Optuna studies `found` in a journal is not of this study."""
    if others := sorted({name.partition("/")[0] for name in found} - {study}):
        raise InputError(f"study {study!r}: its journal.log is that of study {others[0]!r}: bring it back from a copy")


def check_data(study: str, recorded: Mapping[str, str], levels: Mapping[str, Level]) -> None:
    """Raise `InputError` where the trials of a level had other data, or began with other weights.

    `recorded`: `Level.identity` by level.
    """
    for name, identity in recorded.items():
        if name not in levels or levels[name].identity == identity:
            continue
        digest, _, weights = identity.partition(" ")
        level, advice = levels[name], "or run as a study of its own with --name"
        if digest == level.digest:
            raise InputError(
                f"network.weights: they changed since study {study!r} was first run (SHA-256 {weights or 'of none'} -> "
                f"{level.weights or 'of none'}); bring them back, {advice}"
            )
        raise InputError(
            f"{name}: the data changed since study {study!r} was first run (digest {digest} -> {level.digest}); bring "
            f"it back, {advice} (data with equal examples have another digest than under version 0.1: these are kept "
            "on one side of the split now)"
        )


def unlike(records: Sequence[Record], digests: Sequence[str | None]) -> list[Record]:
    """List the records that ended with other curves (`curve_digest`) than they have from the history."""
    return [
        record
        for record, digest in zip(records, digests, strict=True)
        if digest is not None and digest != curve_digest(record.curve)
    ]


def lacking(records: Sequence[Record]) -> str:
    """Say of which trials (at least one) the history is not the one that Optuna's storage knows."""
    epochs = f" ({records[0].epochs} epochs there)"
    trials = _words([record.key for record in records], epochs)
    return f"history.jsonl lacks epochs of trial {trials} that Optuna's storage knows, or has other ones"


def absent(keys: Sequence[TrialKey]) -> str:
    """Say which trials of the history (at least one) Optuna's storage does not have: its end was cut off, say."""
    return f"Optuna's storage lacks trial {_words(keys)}"


def _words(keys: Sequence[TrialKey], of_first: str = "") -> str:
    more = f" and {len(keys) - 1} more" if len(keys) > 1 else ""
    return f"{'/'.join(map(str, keys[0]))}{of_first}{more}"
