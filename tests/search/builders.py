"""Levels and trials as tests make them up: one builder each, of which a test names what it is about."""

from collections.abc import Sequence
from typing import Any

from tosmooth.search.records import Level, Record


def level(noise: str = "symmetric-0.4", noise_rate: float | None = 0.4, **changes: Any) -> Level:
    """Level of Twonorm of which the noise rate was measured, unless it is None."""
    values: dict[str, Any] = {
        "dataset": "twonorm",
        "noise": noise,
        "classes": 2,
        "train_size": 300,
        "validation_size": 300,
        "test_size": 200,
        "noise_rate": noise_rate,
        "noise_rate_source": "" if noise_rate is None else "measured",
        "symmetric": True,
        "digest": noise,
    }
    return Level(**values | changes)


def record(
    number: int = 0,
    rate: float = 0.0,
    warmup: int | None = 0,
    *,
    val: Sequence[float | None] = (),
    test: Sequence[float | None] = (),
    **changes: Any,
) -> Record:
    """Completed search trial of the study `tiny`.

    `val` and `test`: its accuracies, one an epoch; without `test` the curve has none. `changes`: any field.
    """
    names = ("val_accuracy", "test_accuracy") if test else ("val_accuracy",)
    accuracies = zip(val, test, strict=True) if test else zip(val, strict=True)
    values: dict[str, Any] = {
        "study": "tiny",
        "level": "twonorm/symmetric-0.4",
        "method": "gls",
        "phase": "search",
        "number": number,
        "state": "complete",
        "params": {"rate": rate, "warmup": warmup},
        "train_seed": number,
        "curve": tuple(dict(zip(names, epoch, strict=True)) for epoch in accuracies),
    }
    return Record(**values | changes)
