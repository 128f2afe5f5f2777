"""What is measured of a study's noise levels before anything is trained."""

from search.records import Level
from search.study import StudySpec
from trainables.config import Folders
from trainables.datasets import load_level


def measure_levels(spec: StudySpec, folders: Folders) -> dict[str, Level]:
    """Load each level of the study and measure it, by name. Raises `InputError` for data that is missing or wrong."""
    levels = (_measure(spec, noise, folders) for noise in spec.dataset.levels)
    return {level.name: level for level in levels}


def _measure(spec: StudySpec, noise: str, folders: Folders) -> Level:
    data = load_level(spec.data_config(noise), folders)
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
