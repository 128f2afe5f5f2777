"""A real `mlflow server`: over a home that was moved, shared by two homes, and killed in the middle of a study."""

import contextlib
import os
import shutil
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.search.tracking.tools import (
    LEVEL,
    LEVELS,
    SOON,
    THREE_POINTS,
    dataset,
    free_port,
    points,
    runs,
    track,
    tracker,
    trial,
    wait_for,
)
from tests.tools import set_traps, sprung
from tosmooth.search.storage.home_id import home_id
from tosmooth.search.tracking import Tracker, delete_experiment, study_page, ui_command
from tosmooth.trainables.errors import InputError

pytestmark = pytest.mark.xdist_group("server")  # which is started once


class Server:
    """`tosmooth ui`'s server over a home."""

    def __init__(self, home: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._command, self._environment = ui_command(home, port=self.port)
        self._folder = home.parent / "server"  # it is started elsewhere, and may write nothing there, nor run anything
        self._folder.mkdir()
        self._mark = set_traps(self._folder)
        self._before = sorted(self._folder.rglob("*"))
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(
            self._command,
            env=os.environ | self._environment,
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # with its workers it is one group, to be killed as one
        )
        wait_for(self._answers, 90)

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _answers(self) -> bool:
        assert self._process.poll() is None, "the server did not start"
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}/health", timeout=1):  # noqa: S310
            return True
        return False

    def close(self) -> None:
        self.kill()
        assert sorted(self._folder.rglob("*")) == self._before, "the server wrote into its working directory"
        assert sprung(self._mark) == []


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[tuple[Path, Server]]:
    """A home with a study, moved to another place, and a server over it there."""
    folder = tmp_path_factory.mktemp("moved")
    first = folder / "first home"
    first.mkdir()
    shutil.copy(empty_database, first)
    (folder / "table.csv").write_text("dataset,noise\n")
    (folder / "plot.png").write_bytes(b"\x89PNG")
    session = tracker(first)
    session.update(trial(1))
    session.artifacts(LEVEL.name, "gls", [folder / "table.csv", folder / "plot.png"])
    assert session.close(SOON) == 0
    second = first.rename(folder / "second home%2F?&#;'")
    server = Server(second)
    yield second, server
    server.close()


def test_a_moved_home_shows_everything_through_a_server(moved: tuple[Path, Server], tmp_path: Path) -> None:
    remote = MlflowClient(moved[1].url)
    run, cell = runs(remote)[1], runs(remote, "cell")[0]
    assert points(remote, run) == THREE_POINTS
    assert run.data.params["rate"] == "-0.8"
    assert dataset(run).name == LEVEL.name
    assert sorted(file.path for file in remote.list_artifacts(cell.info.run_id)) == ["plot.png", "table.csv"]
    assert Path(remote.download_artifacts(cell.info.run_id, "plot.png", str(tmp_path))).read_bytes() == b"\x89PNG"
    assert Path(remote.download_artifacts(cell.info.run_id, "table.csv", str(tmp_path))).read_text() == (
        "dataset,noise\n"
    )


def test_a_moved_home_goes_on_where_it_was(moved: tuple[Path, Server]) -> None:
    assert track(moved[0], trial(1), trial(2)) == 0  # on the database, while the server reads it
    remote = MlflowClient(moved[1].url)
    assert [points(remote, runs(remote)[n]) for n in (1, 2)] == [THREE_POINTS, THREE_POINTS]


def test_a_server_shared_by_two_homes_keeps_their_studies_apart(
    moved: tuple[Path, Server], home: Path, tmp_path: Path
) -> None:
    (tmp_path / "table.csv").write_text("theirs")
    session = tracker(home, uri=moved[1].url)
    session.update(trial(1, epochs=1))
    session.artifacts(LEVEL.name, "gls", [tmp_path / "table.csv"])
    assert session.close(SOON) == 0
    remote = MlflowClient(moved[1].url)
    name = f"tiny-{home_id(home)[:8]}"
    assert len(points(remote, runs(remote)[1])) == 3
    assert len(points(remote, runs(remote, experiment=name)[1])) == 1
    cell = runs(remote, "cell", experiment=name)[0]
    assert Path(remote.download_artifacts(cell.info.run_id, "table.csv", str(tmp_path))).read_text() == "theirs"
    theirs = remote.get_experiment_by_name(name)
    assert theirs is not None
    assert study_page(home, moved[1].url, "tiny").startswith(f"#/experiments/{theirs.experiment_id}/runs?viewState")
    delete_experiment(home, moved[1].url, "tiny")
    with pytest.raises(
        InputError, match=r"study 'tiny': MLflow has no experiment of this study: `tosmooth run` brings"
    ):
        study_page(home, moved[1].url, "tiny")
    assert remote.get_experiment_by_name(name) is None
    assert len(points(remote, runs(remote)[1])) == 3


def test_a_server_killed_and_started_again_lacks_nothing(moved: tuple[Path, Server], home: Path) -> None:
    server = moved[1]
    session = Tracker(home, server.url, "outage", "", LEVELS, interval=0.05)
    remote = MlflowClient(server.url)
    records = [trial(number, study="outage") for number in range(12)]
    session.update(trial(12, "running", 2, study="outage"))
    session.catch_up(records[:6])
    wait_for(lambda: remote.get_experiment_by_name("outage") is not None)
    server.kill()  # somewhere in the middle
    session.catch_up(records[6:])
    session.update(trial(12, study="outage"))
    server.start()
    assert session.close(SOON) == 0
    found = runs(remote, experiment="outage")
    assert sorted(found) == list(range(13))
    assert {run.info.status for run in found.values()} == {"FINISHED"}
    assert all(points(remote, run) == THREE_POINTS for run in found.values())
