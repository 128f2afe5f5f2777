"""Theory of symmetric noise: the rate that undoes it, and a rate transferred from one noise rate to another."""

from collections.abc import Iterable

from tosmooth.search.records import ENDED, Level, Record


def noise_rate_of(level: Level, records: Iterable[Record]) -> float | None:
    """Noise rate of a level as measured, else as its cross-entropy estimated it, in [0, 1]; `None`: unknown.

    The estimate is `noise_rate_estimate` of the first cross-entropy trial of the search that has one. It waits for the
    trials before that one: so it never changes once it is there, and theory proposes one rate.
    """
    if level.noise_rate is not None:
        return level.noise_rate
    plain = [r for r in records if r.level == level.name and r.phase == "search" and r.params.get("rate") == 0]
    for record in sorted(plain, key=lambda each: (each.number, each.method)):
        if record.state == "running":
            return None
        if record.state in ENDED and (found := record.last("noise_rate_estimate")) is not None:
            return found
    return None


def moved_rate(rate: float, there: float | None, here: float | None, classes: int) -> float:
    """Best rate at the noise rate `here`, if `rate` is the best at `there`; `rate` itself where theory does not say.

    Wei et al. 2022 (arXiv 2106.04149): r = (c - rho) / (1 - rho) with rho = e K / (K - 1) < 1, c best on clean labels.
    """
    if there is None or here is None:
        return rate
    before, after = (e * classes / (classes - 1) for e in (there, here))
    if max(before, after) >= 1 - 1e-9:
        return rate
    clean = rate * (1 - before) + before
    return (clean - after) / (1 - after)


def theory_rate(noise_rate: float | None, classes: int) -> float | None:
    """Rate that undoes symmetric noise in expectation; `None` where the noise is too much for any, or unknown.

    Wei et al. 2022 (arXiv 2106.04149) at a clean optimum of 0: rho = e K / (K - 1), r = -rho / (1 - rho) for rho < 1.
    Human noise is not symmetric: there it is a guide only.
    """
    if noise_rate is None:
        return None
    rho = noise_rate * classes / (classes - 1)
    return 1 - 1 / (1 - rho) if rho < 1 - 1e-9 else None
