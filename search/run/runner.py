"""Take a study from its file to its table: check, open, execute and write it."""

import logging
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import cast

import ray
from ray import tune
from rich.console import Console

from tosmooth.search.records import Level, Record
from tosmooth.search.report.progress import Progress
from tosmooth.search.report.results import shown_with, write_results
from tosmooth.search.report.row import Row
from tosmooth.search.run.budget import check_resources, check_start, expected_cost
from tosmooth.search.run.level_measurement import Measuring
from tosmooth.search.run.mlflow_view import open_tracker, pictures, study_page, winner_models
from tosmooth.search.run.options import Options
from tosmooth.search.run.ray_cluster import cluster, resources_of_nodes
from tosmooth.search.run.resources import accelerators, gpus_of, request, slots, total
from tosmooth.search.run.scheduler import PruningScheduler
from tosmooth.search.run.searcher import StudySearcher
from tosmooth.search.run.start_checks import check_nodes, check_services
from tosmooth.search.run.study_driver import StudyDriver
from tosmooth.search.run.study_report import begin_report, write_report
from tosmooth.search.run.trainable import TuneTrial
from tosmooth.search.run.trial_settings import TrialSettings
from tosmooth.search.selection.stopping import savings
from tosmooth.search.spec.parameters import Params
from tosmooth.search.spec.study import StudySpec
from tosmooth.search.storage.agreement import absent, lacking
from tosmooth.search.storage.disk_errors import room_on_disk
from tosmooth.search.storage.history import History
from tosmooth.search.storage.home_id import home_id, known_id
from tosmooth.search.storage.lease import lease
from tosmooth.search.storage.machines import keep_machine
from tosmooth.search.storage.opening import open_storage
from tosmooth.search.storage.study_folder import StudyFolder
from tosmooth.search.storage.trial_store import Store
from tosmooth.search.suggest.asking import Suggester
from tosmooth.search.suggest.plugin_check import check_plugins
from tosmooth.search.suggest.transfer import settled_proposals
from tosmooth.search.tracking import Tracker
from tosmooth.trainables.checkpointing.layout import CHECKPOINT, NETWORK, TRUNK, remove_states
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.files.folders import Folders
from tosmooth.trainables.user_code import UserCode

log = logging.getLogger(__name__)

MLFLOW_PATIENCE = 60.0  # seconds for which a finished study waits for MLflow to take anything
MLFLOW_FAREWELL = 3.0  # seconds for which one that was stopped does; Ray's end takes some of them
REPORTED = 8  # cells whose runs in MLflow have the report, which takes a megabyte


@dataclass(frozen=True, slots=True)
class _Study:
    """Study that passed its checks: where it lies, and what was measured of its levels."""

    spec: StudySpec
    options: Options
    folder: StudyFolder
    folders: Folders
    levels: Mapping[str, Level]
    prior: Mapping[str, Sequence[Params]]  # by level, what an earlier study found


@dataclass(frozen=True, slots=True)
class _Opened:
    """Storage and history of a study, which this process alone writes, and MLflow, which shows them."""

    store: Store
    history: History
    tracker: Tracker

    def trials(self) -> list[Record]:
        """List every trial as it stands now."""
        return self.store.records(self.history.read)


def run(spec: StudySpec, options: Options, console: Console, measuring: Measuring | None = None) -> list[Row]:
    """Run or resume a study to its end, write its results and return its table.

    `measuring`: the data of this study, where that was begun before this module was imported.
    Raises `InputError` before anything is trained where study, data or home do not fit, and when trials keep failing.
    After a `KeyboardInterrupt`, as after a kill, what ended is kept, and the next run goes on.
    """
    study = _check(spec, options, console, measuring)
    with room_on_disk(study.folder), _ready(study, console) as nodes, _alone(study):
        opened = _open(study)
        finished = False
        try:
            _execute(study, opened, console, nodes)
            rows, trials = _write(study, opened, console)
            finished = True  # last: who presses Ctrl-C before does not wait for MLflow
        finally:
            left = _close(opened, console, finished)
        for saving in savings(spec, trials):
            console.print(saving.words(), soft_wrap=True)
        if left:
            console.print(opened.tracker.lacking(left), soft_wrap=True)
    return rows


def _check(spec: StudySpec, options: Options, console: Console, measuring: Measuring | None) -> _Study:
    """Raise `InputError` where study, services or data do not fit; nothing is written into the home's studies."""
    folder = options.home.study(spec.name)
    folder.check(spec, options.code)
    check_plugins(spec)
    at_once = check_start(spec, options.address, folder)
    check_services(options)
    folders = options.home.folders(options.data, options.cache)
    measuring = measuring or Measuring(spec, folders, options.code, folder.weights_known())
    with measuring as begun, console.status("Reading and measuring the data"):
        levels = begun.levels()
    if warning := expected_cost(spec, options.address, begun, at_once).warning:
        log.warning("%s", warning)
    folder.check_trunks(spec)
    prior = settled_proposals(options.home, spec, levels, options.storage)
    return _Study(spec, options, folder, folders, levels, prior)


@contextmanager
def _alone(study: _Study) -> Iterator[None]:
    """Hold the study against other drivers: those of this home by a lock, those on its database by a lease."""
    folder, storage = study.folder, study.options.storage
    with folder.locked():
        folder.check(study.spec, study.options.code)  # again: another driver may have written it meanwhile
        folder.check_levels(study.levels)
        folder.check_storage(storage)
        folder.check_rights()
        if storage is None:
            yield
        else:
            with lease(storage, _store(study).study(study.spec.cells()[0], "search").study_name):
                yield


def _store(study: _Study) -> Store:
    """Trials of a study as they are now. Raises `InputError` where they are another study's."""
    spec, url = study.spec, study.options.storage
    storage = open_storage(url, study.folder.journal)  # first: nothing is left where it cannot be opened
    home = study.options.home.root
    store = Store(spec, storage, None if url is None else known_id(home), study.levels)
    if url is not None:
        if not store.names() and History(study.folder.history).read():
            rule = "name the one with which it was run, or take a --name"
            raise InputError(f"storage: this database has no trial of study {spec.name!r}, run before: {rule}")
        store.owner = home_id(home)  # nor does a refused study leave a home
    return store


def _open(study: _Study) -> _Opened:
    """Open the record of a study that is held. Raises `InputError` where it is damaged, or another study's."""
    spec, options, folder = study.spec, study.options, study.folder
    store = _store(study)
    store.adopt(folder.spec_file.exists())
    folder.keep(
        spec, study.levels, options.code
    )  # after all that may be refused: a study that is kept is one of the home's
    folder.keep_data(options.data)
    if spec.search.prior_study is not None:
        folder.keep_prior(spec.search.prior_study, study.prior)
    history = History(folder.history)
    if gone := store.absent(history.read()):
        log.warning("%s: what the study still asks for is trained again", absent(gone))
        store.forget(gone)
    # Not in a database: what is lacking here may lie in another copy of this home, which would lose its trials.
    if options.storage is None and (lost := store.give_up_lost(history.read)):
        log.warning("%s: they count as failed, and are trained again", lacking(lost))
    tracker = open_tracker(options.home.root, options.tracking_uri, spec, study.levels, folder, options.command)
    return _Opened(store, history, tracker)


@contextmanager
def _ready(study: _Study, console: Console) -> Iterator[ExitStack]:
    """Have Ray run for a study that is new: all of it is to be trained, and one that its nodes refuse leaves nothing.

    Yields what ends Ray, and takes a later start of it.
    """
    with ExitStack() as nodes:
        if not study.folder.spec_file.exists():
            nodes.enter_context(_nodes(study, console))
        yield nodes


@contextmanager
def _nodes(study: _Study, console: Console) -> Iterator[None]:
    """Start Ray, or join it. Raises `InputError` where its nodes do not fit the study."""
    joined = study.options.address is not None
    with cluster(study.options.address, console):
        if joined:
            with console.status("Looking at the nodes"):
                check_nodes(study.options, study.folder, study.spec)
        slots(study.spec.resources, resources_of_nodes(), joined)
        yield


def _execute(study: _Study, opened: _Opened, console: Console, nodes: ExitStack) -> None:
    """Train what is missing. Ray is started only where there is something to train, and ends with it."""
    spec, tracker = study.spec, opened.tracker
    trials = opened.trials()
    tracker.catch_up(trials)
    progress = Progress(spec, trials, console)

    def listen(trial: Record) -> None:
        tracker.update(trial)
        progress.update(trial)

    driver = StudyDriver(Suggester(opened.store), opened.history, study.levels, listen, study.prior)
    if not driver.prepare():
        return
    states = study.folder.trunks(spec)
    transit = None if spec.trunks.folder is None else states
    settings = TrialSettings(spec, study.levels, study.folders, study.folder.weights, states, transit)
    with nodes:
        if not ray.is_initialized():
            check_resources(spec, study.options.address)
            nodes.enter_context(_nodes(study, console))
        found = resources_of_nodes()
        sizes = len(found), total("CPU", found), total("GPU", found)
        keep_machine(study.folder.machines_file, *sizes, accelerators(found))
        with progress, tracker.stopping(MLFLOW_FAREWELL):
            _tune(driver, settings, study, joined=study.options.address is not None)


def _write(study: _Study, opened: _Opened, console: Console) -> tuple[list[Row], list[Record]]:
    """Write table and plots of a study that ended, and remove what only its trials read. Returns rows and trials."""
    spec, folder, tracker = study.spec, study.folder, opened.tracker
    with console.status("Writing the table, the plots and the report"):
        begin_report()
        trials = opened.trials()
        rows, files = write_results(folder, spec, study.levels, trials)
        report = write_report(folder, spec, study.levels, trials, rows)
    tracker.catch_up(trials)
    files += [] if spec.code is None else [folder.code_file]
    for cell in spec.cells():
        tracker.artifacts(cell.level, cell.method, shown_with(cell, spec.cells(), files))
    for cell in spec.cells()[:REPORTED]:
        tracker.artifacts(cell.level, cell.method, report)
    tracker.page(study_page(spec, rows, pictures(folder), study.options.command))
    for winner in winner_models(folder, spec, trials, lambda: study.folders):
        tracker.model(winner)
    remove_states(folder.trunks(spec), CHECKPOINT, NETWORK, *([] if spec.trunks.keep else [TRUNK]))
    return rows, trials


def _close(opened: _Opened, console: Console, finished: bool) -> int:
    """Close the record, and give MLflow its time. Returns how many records MLflow lacks."""
    opened.history.close()
    with console.status("Bringing MLflow up to date"):
        return opened.tracker.close(MLFLOW_PATIENCE if finished else MLFLOW_FAREWELL, finished)


def _trainable(code: UserCode | None) -> type[tune.Trainable]:
    """Actor's class; the user's code goes to each node once, by Ray's object store."""
    if code is None:
        return TuneTrial
    return cast(type[tune.Trainable], tune.with_parameters(TuneTrial, code=code.archive))


def _tune(driver: StudyDriver, settings: TrialSettings, study: _Study, joined: bool) -> None:
    """Let Tune run what the driver starts. Raises `InputError` when the study cannot go on."""
    resources, nodes = driver.spec.resources, resources_of_nodes()
    at_once, fit = slots(resources, nodes, joined)
    if fit < at_once:
        log.warning("room for %s of %s trials: the others wait for nodes that join", fit, at_once)
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(at_once)  # start all actors at once, not one after another
    searcher = StudySearcher(driver, settings, at_once)
    scratch = (study.folder.path / "tune").absolute()  # Tune insists on a folder; nothing in it is read again
    shutil.rmtree(scratch, ignore_errors=True)
    tuner = tune.Tuner(
        tune.with_resources(_trainable(study.options.code), request(resources, gpus_of(resources, nodes))),
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=PruningScheduler(searcher),
            num_samples=-1,
            reuse_actors=True,
            trial_dirname_creator=lambda trial: trial.trial_id,
        ),
        run_config=tune.RunConfig(
            name=driver.spec.name,
            storage_path=str(scratch),
            verbose=0,
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
        ),
    )
    try:
        tuner.fit()
    except Exception:
        if searcher.error is None:
            raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if searcher.error is not None:
        raise searcher.error
    if driver.trouble is not None:
        raise InputError(driver.trouble)
    if not searcher.finished:  # SIGUSR1, at which Tune stops
        raise KeyboardInterrupt
