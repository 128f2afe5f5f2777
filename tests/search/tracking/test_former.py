"""Runs that an earlier version wrote are brought to today's form, each once, with their points and times."""

from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric, Param

from tests.search.tracking.tools import LEVEL, SOON, THREE_POINTS, client, points, runs, track, tracker, trial
from tosmooth.search.records import Metrics
from tosmooth.search.tracking.client import IDENTITY
from tosmooth.search.tracking.store import connect, shown

PARENT = "tiny/twonorm/symmetric-0.4/gls"
BARE = {"identity", "kind", "study", "level", "method", "phase", "seed", "state", "epochs", "epochs_spared", "attempts"}
AWAY: tuple[Metrics, ...] = (
    {"train_loss": 0.5, "seconds": 1.0, "time": 1_700_000_001.0},
    {"train_loss": -7e28, "time": 1_700_000_002.0},
)


@pytest.fixture
def written(home: Path) -> MlflowClient:
    """Experiment as that version left it: a cell and three trials, one of which is still running, and one diverges."""
    own = connect(home, None)
    number = own.create_experiment("tiny", "mlflow-artifacts:/tiny", {"mlflow.note.content": "Does it work?"})
    common = {"study": "tiny", "level": LEVEL.name, "method": "gls", "mine": "kept"}
    tags = {"identity": PARENT, "kind": "cell", **common}
    name = f"{LEVEL.name} gls"
    cell = own.create_run(number, start_time=1_700_000_000_000, tags=tags, run_name=name)
    for n, state in ((1, "complete"), (2, "complete"), (3, "running")):
        tags = {"identity": f"{PARENT}/search/{n}", "kind": "trial", "phase": "search", "seed": str(100 + n), **common}
        tags |= {"state": state, "mlflow.parentRunId": cell.info.run_id, "mlflow.note.content": "mine"}
        tags |= {} if state == "running" else {"epochs": "3", "epochs_spared": "0", "attempts": "1"}
        name = f"{LEVEL.name} gls search {n}"
        run = own.create_run(number, start_time=1_700_000_000_000, tags=tags, run_name=name)
        curve: tuple[Metrics, ...] = AWAY if n == 2 else trial(n).curve
        metrics = [
            Metric(key, value, round(1000 * (epoch["time"] or 0)), i)
            for i, epoch in enumerate(curve, 1)
            for key, value in epoch.items()
            if value is not None and key != "time"
        ]
        own.log_batch(run.info.run_id, metrics, [Param("rate", "-0.8"), Param("training.epochs", "3")], ())
        if state != "running":
            own.set_terminated(run.info.run_id, "FINISHED", 1_700_000_003_000)
    own.set_terminated(cell.info.run_id, "FINISHED", 1_700_000_003_000)
    return own


def old_runs(own: MlflowClient) -> dict[str, str]:
    found = own.get_experiment_by_name("tiny")
    assert found is not None
    return {run.data.tags["identity"]: run.info.run_id for run in own.search_runs([found.experiment_id])}


def test_runs_have_todays_names_and_tags_and_all_else_as_it_was(written: MlflowClient, home: Path) -> None:
    before = old_runs(written)
    assert track(home, trial(1), trial(2, curve=AWAY), trial(3)) == 0
    cell, trials = runs(client(home), "cell")[0], runs(client(home))
    assert sorted(trials) == [1, 2, 3]
    assert (cell.info.run_name, trials[1].info.run_name) == ("symmetric-0.4", "r -0.8 w 1")
    for run in (cell, *trials.values()):
        assert not BARE & set(run.data.tags)
        assert run.info.status == "FINISHED"
        assert (run.info.start_time, run.info.end_time) == (
            1_700_000_000_000,
            1_700_000_002_000 if run is trials[2] else 1_700_000_003_000,
        )
    assert {cell.info.run_id, trials[1].info.run_id, trials[3].info.run_id} < set(before.values())
    assert [points(client(home), trials[n]) for n in (1, 3)] == [THREE_POINTS, THREE_POINTS]
    assert (trials[1].data.tags["mine"], trials[1].data.tags["mlflow.note.content"]) == ("kept", "mine")


def test_run_whose_loss_ran_away_is_made_again_since_points_cannot_be_taken_back(
    written: MlflowClient, home: Path
) -> None:
    before = old_runs(written)[f"{PARENT}/search/2"]
    assert track(home, trial(2, curve=AWAY)) == 0
    run = runs(client(home))[2]
    assert run.info.run_id != before
    assert [value for *_, value in points(client(home), run)] == [0.5, -10.0]


@pytest.mark.parametrize("cut", range(0, 14, 3))
def test_what_cuts_it_off_leaves_it_to_be_done_again(
    written: MlflowClient, home: Path, monkeypatch: pytest.MonkeyPatch, cut: int
) -> None:
    left = [cut]

    def counted(name: str) -> None:
        real = getattr(MlflowClient, name)

        def call(self: MlflowClient, *arguments: object, **options: object) -> object:
            left[0] -= 1
            if left[0] < 0:
                raise ConnectionError("the server is away")
            return real(self, *arguments, **options)

        monkeypatch.setattr(MlflowClient, name, call)

    for name in ("log_batch", "update_run", "delete_tag"):
        counted(name)
    session = tracker(home)
    session.update(trial(1))
    session.close(0.3, finished=False)
    monkeypatch.undo()
    assert track(home, trial(1)) == 0
    run = runs(client(home))[1]
    assert not BARE & set(run.data.tags)
    assert (run.info.run_name, points(client(home), run)) == ("r -0.8 w 1", THREE_POINTS)


def test_other_peoples_runs_stay_as_they_are(written: MlflowClient, home: Path) -> None:
    found = written.get_experiment_by_name("tiny")
    assert found is not None
    theirs = {"identity": "a person", "kind": "cell", "state": "tired"}
    run = written.create_run(found.experiment_id, start_time=1, tags=theirs, run_name="by hand")
    assert track(home, trial(1)) == 0
    after = client(home).get_run(run.info.run_id)
    assert theirs.items() <= after.data.tags.items()
    assert IDENTITY not in after.data.tags
    assert after.info.status == "RUNNING"


def test_former_runs_are_known_to_be_there(written: MlflowClient, home: Path) -> None:
    there = shown(home, None, "tiny")
    assert there is not None
    assert f"{PARENT}/search/1" in there
    session = tracker(home)
    session.update(trial(1))
    assert session.close(SOON) == 0
    assert f"{PARENT}/search/1" in (shown(home, None, "tiny") or ())
