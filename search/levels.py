"""What is measured of a study's noise levels before anything is trained."""

import torch

from search.records import Level
from search.study import StudySpec
from trainables.config import Folders, TrialConfig
from trainables.datasets import find_dataset, load_level
from trainables.train import fitting_network


def measure_levels(spec: StudySpec, folders: Folders) -> dict[str, Level]:
    """Load each level of the study and measure it, by name.

    Raises `InputError` for data that is missing or wrong, or that the study's network does not take.
    """
    for noise in spec.dataset.levels:
        find_dataset(spec.data_config(noise))  # before any data is read, which can take minutes
    levels = (_measure(spec, noise, folders) for noise in spec.dataset.levels)
    return {level.name: level for level in levels}


def _measure(spec: StudySpec, noise: str, folders: Folders) -> Level:
    config = TrialConfig(data=spec.data_config(noise), network=spec.network, training=spec.training)
    data = load_level(config.data, folders)
    with torch.device("meta"):  # no memory, no time
        fitting_network(config, data)
    return Level(
        dataset=spec.dataset.name,
        noise=noise,
        classes=data.classes,
        train_size=len(data.train),
        validation_size=len(data.validation),
        test_size=len(data.test) if data.test is not None else 0,
        noise_rate=data.noise_rate,
        noise_rate_source="" if data.noise_rate is None else "measured",
        symmetric=data.symmetric,
        digest=data.digest,
    )
