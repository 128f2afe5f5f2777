"""Generators of Breiman's data sets: Twonorm, Ringnorm and Waveform."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from tosmooth.trainables.config import DataConfig
from tosmooth.trainables.data.examples import Examples, Source, of_features
from tosmooth.trainables.errors import require
from tosmooth.trainables.files.folders import Folders
from tosmooth.trainables.noise.synthetic import Labels, stream

SIZE, TEST_SIZE = 25_000, 10_000  # examples, where a study does not say
LARGEST = 1_000_000
CENTRE = 2 / np.sqrt(20)  # of a class of Twonorm and Ringnorm, in every coordinate

# The tops of Waveform's three waves, triangles of height 6 and width 12; which two of them each class mixes.
TOPS = (11, 15, 7)
MIXED = np.array([(0, 1), (0, 2), (1, 2)])

Points = NDArray[np.float64]  # [n, D]
Draws = Callable[[str], np.random.Generator]  # random numbers for one purpose


def twonorm(config: DataConfig, folders: Folders) -> Source:
    """Generate Twonorm: two 20-dimensional unit normals with means +-2/sqrt(20) in every coordinate.

    Breiman 1996, "Bias, variance, and arcing classifiers". Classes are equally likely; the best possible accuracy is
    97.7 %. A larger set begins with the examples of a smaller one.
    """
    return _generated("twonorm", _twonorm, 2, config)


def ringnorm(config: DataConfig, folders: Folders) -> Source:
    """Generate Ringnorm: 20-dimensional normals, one around 0 with covariance 4 I, one around 2/sqrt(20) with I.

    Breiman 1996, as Twonorm, and like it but for the best possible accuracy: 98.7 %, by a sphere and not by a plane.
    """
    return _generated("ringnorm", _ringnorm, 2, config)


def waveform(config: DataConfig, folders: Folders) -> Source:
    """Generate Waveform: convex combinations of two of three waves, at 21 points, with unit normal noise.

    Breiman et al. 1984, "Classification and regression trees", section 2.6.2. The share of a wave is drawn evenly from
    [0, 1]. The three classes are equally likely; the best possible accuracy is about 86 %. A larger set begins with the
    examples of a smaller one.
    """
    return _generated("waveform", _waveform, 3, config)


def _generated(name: str, points: Callable[[Labels, Draws], Points], classes: int, config: DataConfig) -> Source:
    for key, size in (("size", config.size), ("test_size", config.test_size)):
        require(size is None or size <= LARGEST, f"dataset.{key}", size, f"at most {LARGEST} examples")

    def part(which: str, size: int) -> Examples:
        def draws(purpose: str) -> np.random.Generator:
            return stream(config.noise_seed, f"{name} {which} {purpose}")

        labels = draws("labels").integers(0, classes, size)
        return of_features(points(labels, draws), {"clean_label": labels})

    train, test = part("train", config.size or SIZE), part("test", config.test_size or TEST_SIZE)
    return Source(train=train, test=test, classes=classes)


def _twonorm(labels: Labels, draws: Draws) -> Points:
    points: Points = draws("points").standard_normal((len(labels), 20))
    points += np.where(labels, CENTRE, -CENTRE)[:, None]
    return points


def _ringnorm(labels: Labels, draws: Draws) -> Points:
    points: Points = draws("points").standard_normal((len(labels), 20))
    points *= np.where(labels, 1, 2)[:, None]
    points += np.where(labels, CENTRE, 0)[:, None]
    return points


def _waveform(labels: Labels, draws: Draws) -> Points:
    first, second = waves()[MIXED].swapaxes(0, 1)  # [3, 21] each, of the classes
    share = draws("shares").random((len(labels), 1))
    points: Points = draws("points").standard_normal((len(labels), 21))
    points += share * first[labels]
    points += (1 - share) * second[labels]
    return points


def waves() -> Points:
    """Waves that Waveform mixes [3, 21]."""
    distance = np.abs(np.arange(1, 22) - np.array(TOPS)[:, None])
    heights: Points = np.maximum(6.0 - distance, 0.0)
    return heights
