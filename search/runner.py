"""From a study to its table: data measured, Ray started, trials run or taken up again, results written."""

import errno
import logging
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import ray
from ray import tune
from rich.console import Console

from search.allocation import savings
from search.cluster import cluster
from search.doctor.checks import folder_checks, require_all, version_check
from search.doctor.machine import Wanted, look, marked
from search.doctor.nodes import look_at_nodes
from search.history import History
from search.home import Home, StudyFolder
from search.journal import check_journal, keep_copy
from search.levels import Measuring
from search.placement import gpus_of, request, slots
from search.prior import settled_proposals
from search.progress import Progress
from search.pruning import OptunaPruning
from search.records import Record
from search.results import shown_with, write_results
from search.rows import Row
from search.searcher import StudySearcher
from search.services import check_storage, unreachable
from search.store import Store, open_storage
from search.study import StudySpec
from search.tracking import Tracker, check_database, check_uri, home_id
from search.trial import TuneTrial
from trainables.config import InputError
from trainables.places import CHECKPOINT, NETWORK, TRUNK, remove_states

log = logging.getLogger(__name__)

MLFLOW_PATIENCE = 60.0  # seconds for which a finished study waits for MLflow to take anything
MLFLOW_FAREWELL = 3.0  # seconds for which one that was stopped does; Ray's end takes some of them


@dataclass(frozen=True, slots=True)
class Options:
    """Where a study runs and what it writes to; nothing that shapes a number."""

    home: Home
    data: str | Path | None = None  # a folder or a URI; None: data/ in the home
    address: str | None = None  # of an existing Ray cluster; None: a local one
    tracking_uri: str | None = None  # None: MLflow's database under the home
    storage: str | None = None  # database URL for Optuna; None: a journal file under the home
    cache: Path | None = None  # for decoded images, on each node; None: cache/ in the home


def run(spec: StudySpec, options: Options, console: Console, measuring: Measuring | None = None) -> list[Row]:
    """Run or resume a study to its end, write its results and return its table.

    `measuring`: the data of this study, where that was begun before this module was imported.
    Raises `InputError` before anything is trained where study, data or home do not fit, and when trials keep failing.
    After a `KeyboardInterrupt`, as after a kill, what ended is kept, and the next run goes on.
    """
    folder = options.home.study(spec.name)
    folder.check(spec)
    _check_services(options)
    folders = options.home.folders(options.data, options.cache)
    with measuring or Measuring(spec, folders) as begun, console.status("Reading and measuring the data"):
        levels = begun.levels()
    folder.check_trunks(spec)
    prior = settled_proposals(options.home, spec, levels, options.storage)
    with _room_on_disk(folder), folder.locked():
        folder.check(spec)  # again: another driver may have written it meanwhile
        folder.check_levels(levels)
        folder.check_storage(options.storage)
        check_journal(folder.journal)
        owner = None if options.storage is None else home_id(options.home.root)
        store = Store(spec, open_storage(options.storage, folder.journal), owner)
        folder.keep(spec, levels)  # after all that may be refused: a study that is kept is one of the home's
        if spec.search.prior_study is not None:
            folder.keep_prior(spec.search.prior_study, prior)
        history = History(folder.history)
        tracker = Tracker(options.home.root, options.tracking_uri, spec.name, spec.question, levels, _fixed(spec))
        finished = False
        try:
            records = store.records(history.read())
            tracker.catch_up(records)
            progress = Progress(spec, records, console)
            searcher = StudySearcher(
                spec, store, history, levels, folders, folder.weights, lambda r: _tell(r, tracker, progress), prior
            )
            searcher.states = folder.trunks(spec)
            searcher.transit = None if spec.trunks.folder is None else searcher.states
            if searcher.prepare():
                with cluster(options.address, console):
                    if options.address is not None:
                        with console.status("Looking at the nodes"):
                            _check_nodes(options, folder, spec)
                    with progress, tracker.stopping(MLFLOW_FAREWELL):
                        _execute(searcher, folder, options.address is not None)
            with console.status("Writing the table and the plots"):
                records = store.records(history.read())
                rows, files = write_results(folder, spec, levels, records)
            tracker.catch_up(records)
            for cell in spec.cells():
                tracker.artifacts(cell.level, cell.method, shown_with(cell, spec.cells(), files))
            remove_states(folder.trunks(spec), CHECKPOINT, NETWORK, *([] if spec.trunks.keep else [TRUNK]))
            finished = True  # last: who presses Ctrl-C before does not wait for MLflow
        finally:
            history.close()
            keep_copy(folder.journal)
            with console.status("Bringing MLflow up to date"):
                left = tracker.close(MLFLOW_PATIENCE if finished else MLFLOW_FAREWELL, finished)
        for saving in savings(spec, records):
            console.print(saving.words(), soft_wrap=True)
        if left:
            console.print(f"MLflow lacks {left} records; run the study again to bring it up to date")
    return rows


def _check_services(options: Options) -> None:
    """Raise `InputError` where the study cannot be recorded. A server of MLflow may be away: it is told later."""
    check_storage(options.storage)
    if options.tracking_uri is None:
        check_database(options.home.root)
        return
    check_uri(options.tracking_uri)
    if (why := unreachable(options.tracking_uri)) is not None:
        log.warning("tracking_uri: %s; the study goes on, and is shown as soon as MLflow answers", why)


def _check_nodes(options: Options, folder: StudyFolder, spec: StudySpec) -> None:
    """Raise `InputError` where a node that is to train has other versions, or cannot write what trials leave."""
    shared = folder.shared(spec, options.home)
    cache = str(options.home.folders(options.data, options.cache).cache)
    mark = f"{uuid.uuid4().hex}.doctor"
    with marked(shared, mark):
        driver = look(Wanted(shared, cache, mark=mark))
        nodes = [node for node in look_at_nodes(Wanted(shared, cache, mark=mark)) if node.trains]
    for node in nodes:
        if node.found is None:
            log.warning("node %s: %s", node.address, node.trouble)
    found = {node.address: node.found for node in nodes if node.found is not None}
    require_all([*folder_checks(shared, cache, found), version_check(driver, found)])


def _tell(record: Record, tracker: Tracker, progress: Progress) -> None:
    tracker.update(record)
    progress.update(record)


def _fixed(spec: StudySpec) -> dict[str, object]:
    """What all trials share, to be shown as their parameters."""
    training, optimizer = spec.training, spec.training.optimizer
    return {
        "network": spec.network.name,
        "training.epochs": training.epochs,
        "training.batch_size": training.batch_size,
        "training.recipe": training.recipe,
        "training.optimizer": optimizer.name,
        "training.optimizer.lr": optimizer.lr,
        "training.schedule": training.schedule.name,
        "seed": spec.seed,
    }


def _execute(searcher: StudySearcher, folder: StudyFolder, joined: bool) -> None:
    """Let Tune run what the searcher hands out. Raises `InputError` when the study cannot go on."""
    resources = searcher.spec.resources
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    searcher.slots, fit = slots(resources, nodes, joined)
    if fit < searcher.slots:
        log.warning("room for %s of %s trials: the others wait for nodes that join", fit, searcher.slots)
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(searcher.slots)  # start all actors at once, not one after another
    scratch = (folder.path / "tune").absolute()  # Tune insists on a folder; nothing in it is read again
    shutil.rmtree(scratch, ignore_errors=True)
    tuner = tune.Tuner(
        tune.with_resources(TuneTrial, request(resources, gpus_of(resources, nodes))),
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=OptunaPruning(searcher),
            num_samples=-1,
            reuse_actors=True,
            trial_dirname_creator=lambda trial: trial.trial_id,
        ),
        run_config=tune.RunConfig(
            name=searcher.spec.name,
            storage_path=str(scratch),
            verbose=0,
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
        ),
    )
    try:
        tuner.fit()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if searcher.trouble is not None:
        raise InputError(searcher.trouble)
    if not searcher.finished:  # SIGUSR1, at which Tune stops
        raise KeyboardInterrupt


@contextmanager
def _room_on_disk(folder: StudyFolder) -> Iterator[None]:
    """Raise `InputError` where the disk was full, whatever it was that had no room on it."""
    try:
        yield
    except Exception as error:
        if (full := _no_room(error)) is not None:
            where = full.filename or folder.path
            raise InputError(f"{where}: no room on the disk; make room and run the study again: it goes on") from error
        raise


def _no_room(error: BaseException | None) -> OSError | None:
    """The full disk that an error comes from; Tune may have put its own error around it."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return error
        if isinstance(error, InputError):
            return None
        error = error.__cause__ or error.__context__
    return None
