"""Recipe of each method of a study: a run of it, on any data, with the settings that all methods share."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from tosmooth.trainables.config import DataConfig, NetworkConfig, TrainingConfig, TrialConfig
from tosmooth.trainables.methods import METHODS

Transition = Literal["estimated", "measured"] | tuple[tuple[float, ...], ...] | None


def recipes_of(
    methods: Sequence[str],
    network: NetworkConfig,
    training: TrainingConfig,
    transition: Transition,
    trainable: str | None = None,
    arguments: Mapping[str, Any] | None = None,
) -> dict[str, TrialConfig]:
    """Make a run of each method, on any data, with the settings that all methods share."""
    found = {}
    for method in methods:
        given = (transition or "estimated") if METHODS[method].needs_transition else None
        found[method] = TrialConfig(
            data=DataConfig(dataset="any"),
            network=network,
            training=training,
            method=method,
            transition=given,
            warmup=1 if given == "estimated" else 0,
            trainable=trainable,
            arguments=dict(arguments or {}),
        )
    return found
