"""`tosmooth.PosteriorSampler` beside Optuna's samplers on known functions: simple regret after so many trials.

The choice is `study.best_params` for all alike: the trial of the best value, which with noise is partly luck. Its
regret is without noise. The sampler's priors were chosen on the first five functions; the last four had no part in it.

    python tests/benchmarks/known_functions.py [--trials 30] [--seeds 10] [--functions "branin;ackley"]
        [--samplers posterior,gp,tpe,random]
"""

import argparse
import itertools
import math
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import optuna
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler

import tosmooth

HARTMANN_A = np.array(
    [[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]]
)
HARTMANN_P = np.array(
    [
        [0.1312, 0.1696, 0.5569, 0.0124, 0.8283, 0.5886],
        [0.2329, 0.4135, 0.8307, 0.3736, 0.1004, 0.9991],
        [0.2348, 0.1451, 0.3522, 0.2883, 0.3047, 0.6650],
        [0.4047, 0.8828, 0.8732, 0.5743, 0.1091, 0.0381],
    ]
)


def branin(x: Sequence[float]) -> float:
    a, b = 5.1 / (4 * math.pi**2), 5 / math.pi
    return (x[1] - a * x[0] ** 2 + b * x[0] - 6) ** 2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x[0]) + 10


def hartmann6(x: Sequence[float]) -> float:
    inside = (HARTMANN_A * (np.array(x) - HARTMANN_P) ** 2).sum(axis=1)
    return -float(np.array([1.0, 1.2, 3.0, 3.2]) @ np.exp(-inside))


def sphere(x: Sequence[float]) -> float:
    return sum((each - 1.3) ** 2 for each in x)


def ackley(x: Sequence[float]) -> float:
    z = np.array(x)
    far, waves = math.sqrt(float(np.mean(z**2))), float(np.mean(np.cos(2 * np.pi * z)))
    return 20 + math.e - 20 * math.exp(-0.2 * far) - math.exp(waves)


def rosenbrock(x: Sequence[float]) -> float:
    return sum(100 * (b - a**2) ** 2 + (1 - a) ** 2 for a, b in itertools.pairwise(x))


def camel(x: Sequence[float]) -> float:
    a, b = x[0] ** 2, x[1] ** 2
    return (4 - 2.1 * a + a**2 / 3) * a + x[0] * x[1] + (4 * b - 4) * b


class Function(NamedTuple):
    of: Callable[[Sequence[float]], float]
    bounds: list[tuple[float, float]]
    lowest: float
    noise: float = 0.0  # standard deviation


FUNCTIONS = {
    "branin": Function(branin, [(-5, 10), (0, 15)], 0.397887),
    "branin, noise 2": Function(branin, [(-5, 10), (0, 15)], 0.397887, 2.0),
    "hartmann6": Function(hartmann6, [(0, 1)] * 6, -3.32237),
    "hartmann6, noise 0.2": Function(hartmann6, [(0, 1)] * 6, -3.32237, 0.2),
    "sphere, noise 1": Function(sphere, [(-5, 5)] * 3, 0.0, 1.0),
    "ackley": Function(ackley, [(-20, 30)] * 4, 0.0),
    "rosenbrock": Function(rosenbrock, [(-2, 2)] * 3, 0.0),
    "camel, noise 0.2": Function(camel, [(-2, 2), (-1, 1)], -1.031628, 0.2),
    "rosenbrock, noise 10": Function(rosenbrock, [(-2, 2)] * 3, 0.0, 10.0),
}
SAMPLERS: dict[str, Callable[[int], BaseSampler]] = {
    "posterior": lambda seed: tosmooth.PosteriorSampler(seed=seed),
    "gp": lambda seed: GPSampler(seed=seed),
    "tpe": lambda seed: TPESampler(seed=seed, multivariate=True),
    "random": lambda seed: RandomSampler(seed=seed),
}


def regret(name: str, sampler: str, seed: int, trials: int) -> tuple[float, float]:
    """Simple regret of the trial of the best value, and seconds of a trial."""
    function = FUNCTIONS[name]
    luck = np.random.default_rng(seed)

    def objective(trial: optuna.Trial) -> float:
        x = [trial.suggest_float(f"x{i}", low, high) for i, (low, high) in enumerate(function.bounds)]
        return function.of(x) + function.noise * luck.standard_normal()

    study = optuna.create_study(sampler=SAMPLERS[sampler](seed))
    start = time.perf_counter()
    study.optimize(objective, n_trials=trials)
    seconds = (time.perf_counter() - start) / trials
    return function.of(list(study.best_params.values())) - function.lowest, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--functions", default=";".join(FUNCTIONS))
    parser.add_argument("--samplers", default=",".join(SAMPLERS))
    args = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    for name in args.functions.split(";"):
        for sampler in args.samplers.split(","):
            found = [regret(name, sampler, seed, args.trials) for seed in range(args.seeds)]
            values, seconds = np.array(found).T
            words = f"mean {values.mean():9.4f}  median {np.median(values):9.4f}  worst {values.max():9.4f}"
            print(f"{name:24}{sampler:12}{words}  {seconds.mean():.2f} s a trial", flush=True)


if __name__ == "__main__":
    main()
