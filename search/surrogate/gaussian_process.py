"""Gaussian process over the configurations of trials; its own settings are averaged over instead of fitted.

The accuracy of a trial, compressed (below), is f(x) + g_s(x) + noise: f a smooth function of the parameters, g_s a
smaller one of each training seed s, since trials of one seed err alike (Rasmussen & Williams 2006, chapters 2 and 5).
The kernel is a Matern 5/2 with a length for each axis. Amplitude, lengths, noise and the seeds' share are drawn from
the priors below and weighted by their marginal likelihood: the best fit to a dozen trials, which is what scikit-learn's
regressor gives, is far too sure of itself.

Accuracy y is compressed to -asinh((top - y) / unit): linear near the best trial and logarithmic far below, so that a
poor trial does not hide differences of a tenth of a point between good ones. Where nothing was tried, f is expected to
be as poor as the poorest trial: most of a search space is, and trials are chosen as good.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular
from scipy.spatial.distance import cdist
from scipy.special import ndtri
from scipy.stats import qmc

Array = NDArray[np.float64]
KEPT = 32  # settings that are drawn by their weights
AT_ONCE = 4_000_000  # numbers in a stack of kernels: 32 MB
DRAWS = 12  # of the function, for each setting kept
JITTER = 1e-6


@dataclass(frozen=True, slots=True)
class Prior:
    """Log-normal prior: its median, and the standard deviation of the logarithm."""

    median: float
    spread: float

    def at(self, u: Array) -> Array:
        """Quantiles at `u`, in (0, 1)."""
        values: Array = self.median * np.exp(self.spread * ndtri(u))
        return values


class Priors(NamedTuple):
    """Priors of a model, but for the lengths.

    Standard deviations, of compressed accuracies in units of their spread, over axes 1 long.
    """

    amplitude: Prior
    noise: Prior
    share: float  # the seeds' own functions' variance by that of f, at most; its third root is even from 0
    centre: float  # the quantile of the compressed accuracies that f is expected at


# Of a cell: chosen, with the length beyond the rate's, by how well they predict recorded surfaces from the trials of a
# search (tests/benchmarks/tuning.py). Noise of 0.2 predicts somewhat better yet, but then intervals narrow too slowly
# (test_acquisition.py).
PRIORS = Priors(Prior(0.6, 0.5), Prior(0.1, 0.8), 0.5, 0.0)


@dataclass(frozen=True, slots=True)
class Model:
    """Gaussian process given the runs of a cell, under settings drawn from their posterior."""

    x: Array  # [n, d]
    seeds: NDArray[np.int64]  # [n]
    z: Array  # [n], compressed: 0 at the centre, in units of the spread around it
    top: float  # accuracy
    unit: float  # points
    centre: float
    spread: float
    settings: Array  # [S, 3 + d]: amplitude, noise, seeds' share, lengths

    @classmethod
    def of(
        cls,
        x: Array,
        seeds: Sequence[int],
        y: Array,
        lengths: Sequence[Prior],
        priors: Priors | None = None,
        unit: float | None = None,
    ) -> Self:
        """Fit to points [n, d], their training seeds and accuracies [n] in percent; a prior of the length per axis.

        `priors`: `None` for those of a cell. `unit`: within which of the best accuracies stay uncompressed; `None` for
        what is to be told apart.
        """
        priors = priors or PRIORS
        top, unit = float(y.max()), unit or _unit(y)
        z = -np.arcsinh((top - y) / unit)
        centre = float(np.quantile(z, priors.centre))
        spread = math.sqrt(np.mean((z - centre) ** 2))
        model = cls(x, np.array(seeds), (z - centre) / spread, top, unit, centre, spread, np.empty((0, 0)))
        settings = _settings(lengths, _noise_prior(model, priors.noise), len(y), priors)
        logs = model._likelihood(settings)
        weights = np.exp(logs - logs.max())
        # Systematic: each setting as often as its weight says, without a further random number.
        places = (np.arange(KEPT) + 0.5) / KEPT * weights.sum()
        return replace(model, settings=settings[np.searchsorted(np.cumsum(weights), places)])

    def accuracy(self, z: Array) -> Array:
        """Accuracy in percent for a value on the compressed scale."""
        values: Array = np.clip(self.top + self.unit * np.sinh(self.centre + self.spread * z), 0, 100)
        return values

    def means(self, points: Array) -> Array:
        """Means of f at the points [G, d] under each setting [S, G]."""
        return np.array([self._across(setting, points)[0] for setting in self.settings])

    def marginals(self, points: Array) -> tuple[Array, Array]:
        """Means and standard deviations of f at the points [G, d] under each setting: two of [S, G]."""
        found = [(s[0], *self._across(s, points)) for s in self.settings]
        deviations = [np.sqrt(np.maximum(amplitude - (root**2).sum(axis=0), 0)) for amplitude, _, root in found]
        return np.array([mean for _, mean, _ in found]), np.array(deviations)

    def draws(self, points: Array) -> Array:
        """Draws of f at the points [S * 12, G], as many under each setting."""
        normal = np.random.default_rng(0).standard_normal((len(self.settings), len(points), DRAWS))
        found = []
        for setting, each in zip(self.settings, normal, strict=True):
            mean, covariance = self.joint(setting, points)
            root = np.linalg.cholesky(covariance + JITTER * np.eye(len(points)) * setting[0])
            found.append(mean + (root @ each).T)
        return np.concatenate(found)

    def joint(self, setting: Array, points: Array) -> tuple[Array, Array]:
        """Mean [G] and covariance [G, G] of f under one setting."""
        mean, across = self._across(setting, points)
        return mean, setting[0] * _matern(points, points, setting[3:]) - across.T @ across

    def worth(self, z: Array, complete: Array) -> Array:
        """Expected compressed accuracy: `z` with probability `complete`, and `lost` if training diverges."""
        values: Array = self.lost + complete * (z - self.lost)
        return values

    @property
    def noise(self) -> float:
        """Variance of a trial's outcome around f: what its seed adds, and what nothing explains."""
        return float(np.mean(self.settings[:, 0] * self.settings[:, 2] + self.settings[:, 1]))

    @property
    def lost(self) -> float:
        """Compressed accuracy of a trial that diverged: as of no right answer, which is far below, yet finite."""
        return (-math.asinh(self.top / self.unit) - self.centre) / self.spread

    def _across(self, setting: Array, points: Array) -> tuple[Array, Array]:
        """Mean [G] of f, and the root of what the runs take from its prior covariance [n, G]."""
        amplitude, noise, share, lengths = *setting[:3], setting[3:]
        same = self.seeds[:, None] == self.seeds
        kernel = amplitude * (1 + share * same) * _matern(self.x, self.x, lengths)
        root = np.linalg.cholesky(kernel + (noise + JITTER) * np.eye(len(self.x)))
        sides = np.column_stack([amplitude * _matern(self.x, points, lengths), self.z])
        white = solve_triangular(root, sides, lower=True)
        return white[:, :-1].T @ white[:, -1], white[:, :-1]

    def _likelihood(self, settings: Array) -> Array:
        """Logarithm of the marginal likelihood of each setting, up to a constant [S]."""
        squares = (self.x[:, None, :] - self.x) ** 2  # [n, n, d]
        some = max(1, AT_ONCE // len(self.x) ** 2)
        parts = [self._likelihood_of(settings[i : i + some], squares) for i in range(0, len(settings), some)]
        return np.concatenate(parts)

    def _likelihood_of(self, settings: Array, squares: Array) -> Array:
        amplitude, noise, share = (settings[:, i, None, None] for i in range(3))
        same = self.seeds[:, None] == self.seeds
        kernel = _matern_of(np.einsum("sd,nmd->snm", settings[:, 3:] ** -2, squares))
        roots = np.linalg.cholesky(amplitude * (1 + share * same) * kernel + (noise + JITTER) * np.eye(len(self.x)))
        white = np.linalg.solve(roots, self.z[:, None])[:, :, 0]  # [S, n]
        logs: Array = -0.5 * (white**2).sum(axis=1) - np.log(np.diagonal(roots, axis1=1, axis2=2)).sum(axis=1)
        return logs


def _unit(y: Array) -> float:
    """Half the distance from the best to the middle of the better half: what is to be told apart, in points."""
    better = y[y >= np.median(y)]
    return max(float(y.max() - np.median(better)) / 2, 1e-3)


def _noise_prior(model: Model, usual: Prior) -> Prior:
    """Prior of the noise's variance: narrow if configurations were repeated on the same few seeds, else wide.

    Noise is what neither the parameters nor the seed explain, whose own offset is part of the model already: the
    residual of a least-squares fit of both.
    """
    _, place, count = np.unique(model.x, axis=0, return_inverse=True, return_counts=True)
    repeated = count[place] > 1
    levels = [np.unique(each[repeated], return_inverse=True)[1] for each in (place, model.seeds)]
    design = np.concatenate([np.eye(each.max(initial=-1) + 1)[each] for each in levels], axis=1)
    fitted, _, rank, _ = np.linalg.lstsq(design, model.z[repeated])
    freedom = len(design) - rank
    if freedom < 3:
        return Prior(usual.median**2, 2 * usual.spread)
    residual = model.z[repeated] - design @ fitted
    return Prior(max(residual @ residual / freedom, 1e-4), math.sqrt(2 / freedom))  # of a sample variance's logarithm


def _settings(lengths: Sequence[Prior], noise: Prior, runs: int, priors: Priors) -> Array:
    """Settings [S, 3 + d] that cover the priors evenly: amplitude and noise as variances, share, lengths.

    256 of them for a usual search, fewer for hundreds of runs: each costs their cube, and they leave less to weigh.
    """
    u = (
        qmc.Sobol(3 + len(lengths), rng=0)
        .random_base2(8 if runs <= 128 else 6 if runs <= 384 else 5)
        .clip(1e-6, 1 - 1e-6)
    )
    columns = [priors.amplitude.at(u[:, 0]) ** 2, noise.at(u[:, 1]), priors.share * u[:, 2] ** 3]
    return np.stack([*columns, *(prior.at(u[:, 3 + i]) for i, prior in enumerate(lengths))], axis=1)


def _matern(a: Array, b: Array, lengths: Array) -> Array:
    """Matern 5/2 [n, m] between points [n, d] and [m, d] (Rasmussen & Williams 2006, equation 4.17)."""
    return _matern_of(cdist(a / lengths, b / lengths, "sqeuclidean"))


def _matern_of(squares: Array) -> Array:
    """Matern 5/2 from squared distances in units of the lengths."""
    d = np.sqrt(5 * squares)
    values: Array = (1 + d + d * d / 3) * np.exp(-d)
    return values
