"""Trial of the samplers and pruners that a study names, before anything is trained."""

from collections.abc import Callable, Mapping
from functools import partial

import optuna
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.storages import InMemoryStorage

from tosmooth.search.records import Cell
from tosmooth.search.spec.plugins import Plugin, in_words
from tosmooth.search.spec.study import StudySpec
from tosmooth.search.storage.trial_store import Store
from tosmooth.search.suggest.asking import Suggester
from tosmooth.search.suggest.initial_design import initial_points
from tosmooth.search.suggest.plugins import make_plugin
from tosmooth.trainables.errors import InputError, first_line

TRIALS = 4  # made up for the trial
EPOCHS = 10  # that they report at most


def check_plugins(spec: StudySpec) -> None:
    """Have a sampler and a pruner that a study names do their work once, on trials that are made up in memory.

    Raises `InputError` naming the key where they are not found, take other arguments, or fail at it.
    """
    search = spec.search
    if isinstance(search.sampler, Mapping):
        make_plugin("search.sampler", search.sampler, BaseSampler, 0)
    if isinstance(search.pruner, Mapping):
        make_plugin("search.pruner", search.pruner, BasePruner)
    if not isinstance(search.sampler, Mapping) and not isinstance(search.pruner, Mapping):
        return
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # as `open_storage` does: nothing of these trials is kept
    suggester = Suggester(Store(spec, InMemoryStorage()))
    for cell in {cell.method: cell for cell in spec.cells()}.values():
        if isinstance(search.pruner, Mapping):
            _tried("search.pruner", search.pruner, partial(_played, suggester, cell, prune=True))
        else:
            _played(suggester, cell, prune=False)
        if isinstance(search.sampler, Mapping):
            _tried("search.sampler", search.sampler, partial(suggester.sampled, cell))


def _played(suggester: Suggester, cell: Cell, prune: bool) -> None:
    """Write trials that end well, the last of them as poor as can be, and ask the pruner at each epoch."""
    store = suggester.store
    points = initial_points(store.views[cell.method])
    for i in range(TRIALS):
        job = store.add(cell, "search", points[i % len(points)], i)
        for epoch in range(1, min(EPOCHS, store.spec.training.epochs) + 1):
            store.report(job, epoch, 50.0 - i)
            if prune:
                suggester.should_prune(job, epoch)
        store.end(job, "complete", 50.0 - i)


def _tried(key: str, plugin: Plugin, work: Callable[[], object]) -> None:
    try:
        work()
    except InputError:
        raise
    except Exception as error:
        words = f"{type(error).__name__}: {first_line(error)}"
        raise InputError(f"{key}: {in_words(plugin)!r} is refused: it fails for this study ({words})") from error
