"""What `record_surface.py` recorded: a trial's curve at any rate and warm-up, and what is truly the best.

Between recorded points a curve is the mean over the recorded seeds, linear in (symlog rate, warm-up, log of the
learning rate's factor), plus what the given seed adds to that mean at the nearest recorded point: so a seed's luck is
as large off the grid as on it. Between two recorded warm-ups both curves are stretched, so that they branch at the same
epoch and end at the same.
"""

import itertools
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from surfaces import FACTOR

from tosmooth.search.spec.scales import symlog
from tosmooth.trainables.errors import require

Array = NDArray[np.float64]
POINT = ("rate", "warmup", FACTOR)
Curve = tuple[tuple[float, ...], bool, float]  # noisy validation an epoch, whether it diverged, test at the last epoch


@dataclass(frozen=True, slots=True)
class _Level:
    """The runs of one noise level: R rates, W warm-ups, F factors of the learning rate, S seeds, E epochs."""

    curves: Array  # [R, W, F, S, E], NaN after a divergence
    diverged: NDArray[np.bool_]  # [R, W, F, S]
    test: Array  # [R, W, F, S]
    mean: Array  # [R, W, F, E], over the seeds that did not diverge, NaN where all did
    mean_test: Array  # [R, W, F]

    @classmethod
    def of(cls, curves: Array, diverged: NDArray[np.bool_], test: Array) -> "_Level":
        kept = (~diverged).sum(axis=3)
        with np.errstate(invalid="ignore"):
            mean = np.where(diverged[..., None], 0, curves).sum(axis=3) / kept[..., None]
            mean_test = np.where(diverged, 0, test).sum(axis=3) / kept
        return cls(curves, diverged, test, mean, mean_test)


@dataclass(frozen=True, slots=True)
class Surface:
    """All recorded runs of a study."""

    rates: Array  # [R], rising
    warmups: Array  # [W], rising, epochs
    factors: Array  # [F], rising; 1 alone where none were recorded
    seeds: tuple[int, ...]
    classes: int
    levels: Mapping[str, _Level]

    @classmethod
    def read(cls, path: Path, classes: int, between: bool = True) -> "Surface":
        """From a Parquet file, or from a folder of parts as far as every level has the same seeds.

        between: with the rates between the grid's, where NAME-between.parquet lies beside NAME.parquet.
        """
        more = path.with_name(f"{path.stem}-between.parquet")
        files = (
            sorted(path.glob("*.parquet")) if path.is_dir() else [path, *([more] if between and more.exists() else [])]
        )
        require(bool(files), "surface", str(path), "a Parquet file, or a folder of them")
        rows = [{FACTOR: 1.0} | row for file in files for row in pq.read_table(file).to_pylist()]
        noises = list(dict.fromkeys(row["noise"] for row in rows))
        common = set.intersection(*({row["seed"] for row in rows if row["noise"] == noise} for noise in noises))
        axes = [sorted({row[name] for row in rows}) for name in ("rate", "warmup", FACTOR)]
        seeds = sorted(common)
        epochs = max(len(row["val_accuracy"]) for row in rows)
        shape = (*map(len, axes), len(seeds))
        levels = {}
        for noise in noises:
            curves, test = np.full((*shape, epochs), np.nan), np.full(shape, np.nan)
            diverged = np.zeros(shape, bool)
            own = [row for row in rows if row["noise"] == noise and row["seed"] in common]
            # Recorded for the first warm-up alone, cross-entropy is the same for all.
            once = {row["warmup"] for row in own if row["rate"] == 0 and row[FACTOR] == 1} == {axes[1][0]}
            for row in own:
                rate, warmup, factor = (axis.index(row[name]) for axis, name in zip(axes, POINT, strict=True))
                everywhere = once and row["rate"] == 0 and row[FACTOR] == 1
                place = (rate, slice(None) if everywhere else warmup, factor, seeds.index(row["seed"]))
                curves[*place, : len(row["val_accuracy"])] = row["val_accuracy"]
                # A run that diverges before an epoch that is tested counts at chance, as the others that diverge.
                tested = 100 / classes if row["diverged"] else row["test_accuracy"]
                diverged[place], test[place] = row["diverged"], tested
            missing = [(axes[0][r], axes[1][w], seeds[s]) for r, w, _, s in np.argwhere(np.isnan(test))]
            require(
                not missing, "surface", str(path), f"every run of {noise}, here (rate, warm-up, seed) {missing[:1]}"
            )
            levels[noise] = _Level.of(curves, diverged, test)
        rates, warmups, factors = (np.array(axis, float) for axis in axes)
        return cls(rates, warmups, factors, tuple(seeds), classes, levels)

    @property
    def noises(self) -> list[str]:
        """The recorded levels."""
        return list(self.levels)

    def points(self) -> list[dict[str, Any]]:
        """The recorded points; the learning rate's factor is among them where it was recorded."""
        axes = self.rates.tolist(), self.warmups.astype(int).tolist(), self.factors.tolist()
        names = POINT if len(self.factors) > 1 else POINT[:2]
        return [dict(zip(names, point, strict=False)) for point in itertools.product(*axes)]

    @property
    def epochs(self) -> int:
        """Of a run that does not diverge."""
        return int(next(iter(self.levels.values())).curves.shape[-1])

    def restricted(self, seeds: Sequence[int]) -> "Surface":
        """The surface as it would be if only these seeds had been recorded."""
        kept = [self.seeds.index(seed) for seed in seeds]
        levels = {
            noise: _Level.of(level.curves[..., kept, :], level.diverged[..., kept], level.test[..., kept])
            for noise, level in self.levels.items()
        }
        return Surface(self.rates, self.warmups, self.factors, tuple(seeds), self.classes, levels)

    def trained(self, noise: str, rates: Sequence[float]) -> int:
        """Epochs that the runs of these recorded rates trained, over all recorded warm-ups and seeds.

        At the recipe's own learning rate. Those that diverged stopped early. Cross-entropy counts once for each
        warm-up, as in a grid.
        """
        places = [int(np.flatnonzero(self.rates == rate)[0]) for rate in rates]
        return int((~np.isnan(self.levels[noise].curves[places][:, :, -1])).sum())

    def truth(self, noise: str, seeds: Sequence[int]) -> "Truth":
        """What these seeds say."""
        return Truth(self.restricted(seeds), noise)

    def curve(self, noise: str, params: Mapping[str, Any], seed: int) -> Curve:
        """What a run with these parameters reports, an entry an epoch. Beyond the recorded range its end stands.

        A point whose nearest recorded one diverged under this seed diverges, too, at the same epoch.
        """
        level, s = self.levels[noise], self.seeds.index(seed)
        warmup = min(int(params.get("warmup", 0)), self.epochs)
        corners = self._corners(params)
        nearest = max(corners, key=lambda corner: corner[1])[0]
        # Cross-entropy of the longest warm-up: its first epochs are those of all.
        plain = level.curves[int(np.searchsorted(self.rates, 0.0)), -1, -1, s]
        own = level.curves[*nearest, s]
        if level.diverged[*nearest, s]:
            curve = np.where(np.arange(self.epochs) < warmup, plain, own)
            length = max(int((~np.isnan(own)).sum()), warmup + 1)
            curve[np.isnan(curve)] = 100 / self.classes  # a longer warm-up than the recorded one's
            return tuple(curve[:length].tolist()), True, float(level.test[*nearest, s])
        known = [(place, weight) for place, weight in corners if not np.isnan(level.mean_test[place])]
        total = sum(weight for _, weight in known)
        means = sum(weight / total * self._stretched(level.mean[place], place[1], warmup) for place, weight in known)
        curve = np.clip(means + own - level.mean[nearest], 0, 100)
        curve[:warmup] = plain[:warmup]
        test = sum(weight / total * level.mean_test[place] for place, weight in known)
        test = float(np.clip(test + level.test[*nearest, s] - level.mean_test[nearest], 0, 100))
        if warmup >= self.epochs:
            test = float(level.test[int(np.searchsorted(self.rates, 0.0)), -1, -1, s])
        return tuple(curve.tolist()), False, test

    def _corners(self, params: Mapping[str, Any]) -> list[tuple[tuple[int, int, int], float]]:
        """The recorded points around the parameters, with the weights of linear interpolation."""
        rate = _sides(_positions(self.rates), symlog(params["rate"]))
        warmup = _sides(self.warmups, float(params.get("warmup", self.warmups[0])))
        factor = _sides(np.log(self.factors), math.log(params.get(FACTOR, 1.0)))
        return [((i, j, k), a * b * c) for (i, a), (j, b), (k, c) in itertools.product(rate, warmup, factor)]

    def _stretched(self, curve: Array, w: int, warmup: int) -> Array:
        """A curve [E] of the recorded warm-up `w`, as if it had branched after `warmup` epochs and ended as it did."""
        recorded, epochs = self.warmups[w], len(curve)
        if recorded == warmup or max(recorded, warmup) >= epochs:
            return curve
        epoch = np.arange(1, epochs + 1)
        later = (epoch - warmup - 1) / max(epochs - warmup - 1, 1)  # 0 in the first epoch of the branch, 1 in the last
        place = recorded + 1 + later * (epochs - recorded - 1) if warmup < epochs - 1 else np.full(epochs, epochs)
        return np.interp(np.where(epoch <= warmup, epoch, place), epoch, curve)


@dataclass(frozen=True, slots=True)
class Truth:
    """Mean accuracies of one noise level over all seeds of a surface, in percent.

    A run that diverges counts at chance level, and does so where `Surface.curve` says: a mean drawn across the edge of
    divergence would be of no training that there is.
    """

    surface: Surface
    noise: str

    def accuracy(self, params: Mapping[str, Any]) -> float:
        """At the last epoch, on the clean test set."""
        return self._mean(params, lambda curve: curve[2])

    def noisy(self, params: Mapping[str, Any]) -> float:
        """The same on the noisy validation."""
        return self._mean(params, lambda curve: curve[0][-1])

    def best(self) -> dict[str, Any]:
        """The recorded point of the highest clean-test accuracy."""
        return max(self.surface.points(), key=self.accuracy)

    def _mean(self, params: Mapping[str, Any], value: Callable[[Curve], float]) -> float:
        curves = [self.surface.curve(self.noise, params, seed) for seed in self.surface.seeds]
        return statistics.fmean(100 / self.surface.classes if curve[1] else value(curve) for curve in curves)


def _positions(rates: Array) -> Array:
    return np.array([symlog(rate) for rate in rates])


def _sides(values: Array, at: float) -> list[tuple[int, float]]:
    """The neighbours of a place among rising values, with weights: one of weight 1 on a value, or beyond the ends."""
    right = int(np.searchsorted(values, at))
    if right == len(values):
        return [(right - 1, 1.0)]
    if right == 0 or values[right] == at:
        return [(right, 1.0)]
    share = float((at - values[right - 1]) / (values[right] - values[right - 1]))
    return [(right - 1, 1 - share), (right, share)]
