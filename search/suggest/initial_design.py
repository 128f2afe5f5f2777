"""Initial design of a cell: the baselines, then a grid, or points that cover the search space."""

import itertools
import random

from scipy.stats import qmc

from tosmooth.search.spec.method_spec import MethodSpec
from tosmooth.search.spec.parameters import Params
from tosmooth.search.spec.scales import closest, value_at
from tosmooth.search.spec.seeds import derive_seed

# Rate, and warm-up as a share of its range. Of few trials none may be wasted, and the best rates lie at the ends of the
# space as often as within it: a high one from the first epoch on, or a very negative one late. The first is taken on
# principle, since nothing else looks there; the others by greedy selection, each the one that takes most of the regret
# that those before it leave on the recorded surfaces (tests/benchmarks/bench_family.py), as the portfolios of
# auto-sklearn are (Feurer et al. 2015).
PORTFOLIO: tuple[tuple[float, float], ...] = ((0.8, 0.0), (-4.0, 1.0), (-1.0, 0.5), (0.6, 0.5))
AS_IN_THE_RECIPE = 2  # the first of these, in all else that is searched


def initial_points(spec: MethodSpec) -> list[Params]:
    """Initial design, tried before a sampler is asked: the baselines, then the whole grid or points that cover it."""
    if spec.search.sampler == "grid":
        return grid(spec)
    openers = spec.openers()
    return openers + (_covering(spec, openers) if spec.search.guided else [])


def _covering(spec: MethodSpec, openers: list[Params]) -> list[Params]:
    """Points that cover the search space, at most half of the budget: the portfolio, then a scrambled Sobol sequence.

    Samplers start from random points. Where good rates lie in a narrow range (Twonorm at a noise of 0.3), ten random
    points miss it for one study in ten, and the sampler then never sees what it is to find.
    """
    exponent = (spec.budget // 2).bit_length() - 1  # a Sobol sequence is even for powers of 2
    engine = qmc.Sobol(len(spec.space), rng=derive_seed(spec.seed, "sobol"))
    names = spec.space.items()
    points = [
        {name: value_at(p, u) for (name, p), u in zip(names, point, strict=True)}
        for point in engine.random_base2(exponent).tolist()
    ]
    found: list[Params] = []
    for place, (rate, share) in enumerate(PORTFOLIO[: len(points)] if "rate" in spec.space else ()):
        warmup = value_at(spec.space["warmup"], min(share, 1 - 1e-9))
        others = spec.baseline(rate) if place < AS_IN_THE_RECIPE else points[place]
        params = {**others, "rate": closest("rate", spec.space["rate"], rate), "warmup": warmup}
        if params not in (*openers, *found):
            found.append(params)
    return found + points[len(found) :]


def grid(spec: MethodSpec) -> list[Params]:
    """List every point of the search space once: the baselines, then the rest, shuffled by the study's seed.

    So a grid that is stopped early has covered the space evenly. As many as `spec.budget` under the sampler `grid`.
    """
    first = spec.openers()
    points = itertools.product(*(parameter.points() for parameter in spec.space.values()))
    others = [params for point in points if (params := dict(zip(spec.space, point, strict=True))) not in first]
    random.Random(derive_seed(spec.seed, "grid")).shuffle(others)
    return first + others
