"""Transfer from an earlier study of the same home: its best as proposals, other networks and noise included."""

from collections.abc import Mapping, Sequence

from tosmooth.search.records import Cell, Level, Record, of_cell
from tosmooth.search.selection.theory import noise_rate_of
from tosmooth.search.spec.method_spec import MethodSpec
from tosmooth.search.spec.parameters import Params, Range
from tosmooth.search.spec.scales import closest
from tosmooth.search.spec.study import StudySpec
from tosmooth.search.storage.home import Home
from tosmooth.search.storage.reading import read_records
from tosmooth.search.suggest.warm_start import best_of
from tosmooth.search.surrogate.fitting import search_model
from tosmooth.trainables.errors import require

DRAWS = 2  # of the posterior, beside its best


def settled_proposals(
    home: Home, spec: StudySpec, levels: Mapping[str, Level], storage: str | None
) -> dict[str, list[Params]]:
    """Proposals by level that the study kept of `search.prior_study`; for levels new to it, those of today.

    So a study that goes on proposes what it would have, whatever became of the other meanwhile. It is for the caller
    to keep what is returned (`StudyFolder.keep_prior`), once the study is its own to write.
    """
    name = spec.search.prior_study
    kept = {} if name is None else home.study(spec.name).prior(name)
    new = {key: level for key, level in levels.items() if key not in kept}
    return kept | prior_proposals(home, spec, new, storage) if new else kept


def prior_proposals(
    home: Home, spec: StudySpec, levels: Mapping[str, Level], storage: str | None
) -> dict[str, list[Params]]:
    """Proposals by level: the best of `search.prior_study` and two draws of its posterior, in this search space.

    For the method gls alone, whose rates theory brings from one noise to another. A level takes that of the same noise
    there, else the one of the nearest noise rate; where neither is known, none. Raises `InputError` where the home has
    no such study.
    """
    name = spec.search.prior_study
    if name is None:
        return {}
    require(name != spec.name, "search.prior_study", name, "another study than this one")
    folder = home.study(name)
    there = ", ".join(found.path.name for found in home.studies() if found.path.name != spec.name) or "none"
    require(folder.spec_file.exists(), "search.prior_study", name, f"a study of the home {home.root} (there: {there})")
    old = folder.spec()
    records = read_records(folder, old, None if folder.journal.exists() else storage)
    known = folder.levels()
    found = {}
    for level in levels.values():
        match = _match(level, known, records)
        gls = Cell(match.name, "gls") if match is not None else None
        both = gls in old.cells() and "gls" in spec.method
        found[level.name] = (
            _findings(MethodSpec.of(spec, "gls"), MethodSpec.of(old, "gls"), gls, records)
            if gls is not None and both
            else []
        )
    return found


def mapped(params: Params, old: MethodSpec, new: MethodSpec) -> Params:
    """Map hyperparameters of another study into this search space: to the nearest values, the warm-up by epochs.

    What the other did not search is as in the baselines.
    """
    result = new.openers()[0]
    scaled = {**params, "warmup": params["warmup"] * new.training.epochs / old.training.epochs}
    for name, parameter in new.space.items():
        value = scaled.get(name)
        if isinstance(value, int | float) or (value is not None and not isinstance(parameter, Range)):
            result[name] = closest(name, parameter, value)
    return result


def _match(level: Level, known: Mapping[str, Level], records: Sequence[Record]) -> Level | None:
    same = [other for other in known.values() if other.noise == level.noise]
    rates = [(noise_rate_of(other, records), other) for other in known.values()]
    if same or level.noise_rate is None:
        return same[0] if same else None
    near = [(abs(rate - level.noise_rate), i) for i, (rate, _) in enumerate(rates) if rate is not None]
    return rates[min(near)[1]][1] if near else None


def _findings(spec: MethodSpec, old: MethodSpec, cell: Cell, records: Sequence[Record]) -> list[Params]:
    """Distinct proposals, without the baselines, which are tried anyway."""
    own = of_cell(cell, records)
    posterior = search_model(old, own)
    best = best_of(old, own, posterior)
    found = [] if best is None else [best, *(posterior.draws(DRAWS) if posterior is not None else [])]
    points = [mapped(params, old, spec) for params in found]
    return [params for i, params in enumerate(points) if params not in points[:i] and params not in spec.openers()]
