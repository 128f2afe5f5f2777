"""A tiny study: the parts of its driver on a folder, with reports made up instead of training; and the command."""

import csv
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

from mlflow import MlflowClient
from ray.tune.search import Searcher
from rich.console import Console

from tests.search.builders import level
from tests.tools import wait_for
from tosmooth.search.records import Level, Record
from tosmooth.search.report.row import Row
from tosmooth.search.run.options import Options
from tosmooth.search.run.runner import run
from tosmooth.search.run.searcher import StudySearcher
from tosmooth.search.run.study_driver import StudyDriver
from tosmooth.search.run.trial_settings import TrialSettings
from tosmooth.search.spec.loading import read_study
from tosmooth.search.spec.method_spec import MethodSpec
from tosmooth.search.spec.parameters import Params
from tosmooth.search.spec.study import StudySpec
from tosmooth.search.storage.history import History
from tosmooth.search.storage.home import Home
from tosmooth.search.storage.opening import open_storage
from tosmooth.search.storage.reading import read_records
from tosmooth.search.storage.trial_store import Job, Store
from tosmooth.search.suggest.asking import Suggester
from tosmooth.search.tracking.store import database
from tosmooth.trainables.files.folders import Folders

Result = TypeVar("Result")
TOSMOOTH = Path(sys.executable).with_name("tosmooth")
TINY = """
name: tiny
dataset: {name: twonorm, noise: [clean, symmetric-0.4], size: 600, validation_fraction: 0.5, test_size: 200}
network: {name: mlp, width: 8}
training: {epochs: 3, batch_size: 50}
space:
  rate: {low: -2, high: 0.8, scale: symlog}
  warmup: {low: 0, high: 2}
search: {trials: 4}
confirmation: {seeds: 2}
resources: {concurrent: 1}
"""


def tiny(*overrides: str) -> StudySpec:
    """A study of two cells, four trials each; one after another."""
    return read_study(TINY, overrides=overrides)


def gls(spec: StudySpec) -> MethodSpec:
    """A study as its cells of generalised label smoothing see it."""
    return MethodSpec.of(spec, "gls")


def made_up(settings: dict[str, Any], epoch: int) -> dict[str, Any]:
    """What a trial with these settings reports: best at a rate of -0.8; below -1 it diverges in its second epoch.

    Where it is asked to, it estimates a noise rate of 0.3 at its last epoch.
    """
    trial = settings["trial"]
    luck = trial["train_seed"] % 1000 / 1000
    accuracy = 90 - 10 * abs(trial["rate"] + 0.8) - trial["warmup"] - 8 / epoch + luck
    diverged = trial["rate"] < -1 and epoch == 2
    done = diverged or epoch == trial["training"]["epochs"]
    metrics = {"train_loss": 1 / epoch, "val_accuracy": accuracy, "test_accuracy": accuracy + 5, "seconds": 0.5}
    if done and settings["estimate_noise"]:
        metrics["noise_rate_estimate"] = 0.3
    return {
        "epoch": epoch,
        "metrics": list(metrics.items()),
        "state": "diverged" if diverged else "complete" if done else "running",
        "reason": "train_loss is nan at epoch 2" if diverged else "",
        "done": done,
    }


class Driver:
    """The parts of a driver, made from what lies in a folder. To start one again, make another.

    `levels`: the study's, as they were measured (None: all with a noise rate of 0.4). `prior`: what another found.
    `slots`: trials at once. `states`, `transit`: where trials keep trunks, and leave networks (None: nowhere).
    """

    def __init__(
        self,
        folder: Path,
        spec: StudySpec,
        storage: str | None = None,
        levels: Sequence[Level] | None = None,
        prior: Mapping[str, Sequence[Params]] | None = None,
        slots: int = 1,
        states: str | None = None,
        transit: str | None = None,
    ) -> None:
        folder.mkdir(exist_ok=True)
        self.spec = spec
        self.store = Store(spec, open_storage(storage, folder / "journal.log"))
        self.history = History(folder / "history.jsonl")
        self.heard: list[Record] = []
        self.levels = {found.name: found for found in levels or map(level, spec.dataset.noise)}
        self.study = StudyDriver(Suggester(self.store), self.history, self.levels, self.heard.append, prior)
        folders = Folders(data=folder, cache=folder)
        self.settings = TrialSettings(spec, self.levels, folders, lambda key: folder / str(key.number), states, transit)
        self.searcher = StudySearcher(self.study, self.settings, slots)

    def running(self) -> list[Job]:
        """The trials that Tune runs."""
        return [trial.job for trial in self.searcher.running.values()]

    def records(self) -> list[Record]:
        """What storage and history say, without the times of day."""
        found = self.store.records(self.history.read)
        curves = [tuple({k: v for k, v in m.items() if k != "time"} for m in record.curve) for record in found]
        return [replace(record, curve=curve) for record, curve in zip(found, curves, strict=True)]


Crash = Callable[[dict[str, Any], int], bool]  # settings and times it crashed before -> whether it crashes at epoch 2


def never(settings: dict[str, Any], failures: int) -> bool:
    return False


def steps(searcher: StudySearcher, crash: Crash = never) -> Iterator[str]:
    """Call a searcher as Tune does, trials taking turns; yields after each call: "start", "report" or "end"."""
    running: dict[str, tuple[dict[str, Any], int]] = {}
    for turn in range(10_000):
        name = f"trial{turn}"
        answer = searcher.suggest(name)
        if answer == Searcher.FINISHED:
            assert not running, "the searcher ended while trials were running"
            return
        if isinstance(answer, dict):
            running[name] = (answer, 0)
            yield "start"
            continue  # Tune fills every slot before it waits for a report
        assert running, "the searcher has nothing to do and does not end"
        for name, (settings, epoch) in list(running.items()):
            yield _turn(searcher, running, name, settings, epoch + 1, crash)
    raise AssertionError("the study does not end")


def _turn(
    searcher: StudySearcher, running: dict[str, Any], name: str, settings: dict[str, Any], epoch: int, crash: Crash
) -> str:
    """One epoch of one trial."""
    running[name] = (settings, epoch)
    result = made_up(settings, epoch)
    if epoch == 2 and crash(settings, searcher.running[name].job.failures):
        result = {"state": "failed", "reason": "OSError: it broke (disk.py:1)", "done": True}
    if not result["done"]:
        if not searcher.receive(name, result):
            return "report"
        searcher.prune(name)
    searcher.on_trial_complete(name, result)
    del running[name]
    return "end"


def play(driver: Driver, crash: Crash = never) -> list[Record]:
    """Run a study to its end and return its records."""
    for _ in steps(driver.searcher, crash):
        pass
    return driver.records()


def start(*arguments: str | Path, cwd: Path) -> subprocess.Popen[str]:
    """Start the command as a user would, in a session of its own; its words come through pipes."""
    command = [str(TOSMOOTH), *map(str, arguments)]
    return subprocess.Popen(
        command, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def tosmooth(*arguments: str | Path, cwd: Path, seconds: float = 200) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    with start(*arguments, cwd=cwd) as process:
        try:
            out, err = process.communicate(timeout=seconds)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def apart(function: Callable[..., Result], *arguments: Any) -> Result:
    """Call a function of a test module in a process of its own.

    Ray ends a process, with exit code 1 and no word of pytest, when one of its clients that outlived `ray.shutdown` has
    missed its server for a minute. A command is over by then; pytest's process is not.
    """
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def run_here(spec: StudySpec, home: Path) -> list[Row]:
    """Run a study in this process: for what ends before Ray is started, and by way of `apart`."""
    return run(spec, Options(Home(home)), Console(stderr=True, quiet=True))


def run_apart(spec: StudySpec, home: Path) -> list[Row]:
    """Run a study in a process of its own."""
    return apart(run_here, spec, home)


def records_of(home: Path) -> list[Record]:
    """What the home of the study `tiny` holds."""
    folder = Home(home).existing("tiny")
    return read_records(folder, folder.spec(), None)


def numbers(records: list[Record]) -> list[Any]:
    """What must be the same whenever a study is run one trial at a time: all but the times.

    Nor which epochs a trunk spared: a trial that is run again after a kill may find what it trained of its warm-up.
    """
    without = ("time", "seconds", "spared")
    timeless = [[{k: v for k, v in m.items() if k not in without} for m in r.curve] for r in records]
    return [(r.key, r.state, r.params, r.train_seed, c) for r, c in zip(records, timeless, strict=True)]


def table_of(home: Path) -> list[dict[str, str]]:
    """The best-rate table without what counts time and, see `numbers`, epochs trained."""
    without = ("hours", "epochs", "epochs_spared")
    with (Home(home).existing("tiny").path / "best_rates.csv").open(encoding="utf-8") as file:
        return [{name: value for name, value in row.items() if name not in without} for row in csv.DictReader(file)]


def lines_of(home: Path) -> int:
    """Lines of the history of the study `tiny`, each a trial's epoch."""
    history = home / "studies" / "tiny" / "history.jsonl"
    return history.read_bytes().count(b"\n") if history.exists() else 0


def wait_for_lines(home: Path, lines: int, process: subprocess.Popen[str]) -> None:
    """Until the history has grown to so many lines."""

    def there() -> bool:
        assert process.poll() is None or lines_of(home) >= lines, "it ended before: " + process.communicate()[1]
        return lines_of(home) >= lines

    wait_for(f"{lines} epochs", there)


def session(process: subprocess.Popen[str]) -> dict[int, str]:
    """The living processes of the session that `start` opened, with their commands: the driver and all of Ray's."""
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            command = (entry / "cmdline").read_text(errors="replace")
        except OSError:
            continue
        if fields[3] == str(process.pid) and fields[0] != "Z":
            found[int(entry.name)] = command
    return found


def left_after(seconds: float, process: subprocess.Popen[str], *besides: str) -> list[str]:
    """What is left of the session after at most so long, `besides` what has one of these in its command."""
    deadline = time.monotonic() + seconds
    while True:
        left = [command for command in session(process).values() if not any(word in command for word in besides)]
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.1)


def mlflow_runs(home: Path) -> list[Any]:
    client = MlflowClient(database(home))
    experiment = client.get_experiment_by_name("tiny")
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id], max_results=1000))
