"""What is to be read in MLflow: descriptions, numbers of a row, saved views. Real MLflow on SQLite."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Experiment
from mlflow.exceptions import MlflowException

from tests.search.tracking.tools import LEVEL, SOON, client, runs, track, tracker, trial, wait_for
from tosmooth.search.records import Cell, Record
from tosmooth.search.tracking import Tracker
from tosmooth.search.tracking.page import NOTE, YOURS, CellPage, StudyPage, note
from tosmooth.search.tracking.pages import FORMERLY, LONGEST
from tosmooth.search.tracking.views import ROWS, TAG, TRIALS, link

CELL = Cell(LEVEL.name, "gls")


def page(words: str = "| a | table |", command: str = "", pictures: tuple[str, ...] = (), **metrics: Any) -> StudyPage:
    tags = {"tosmooth.note": "one; two", "tosmooth.best_parameters": ""}
    own = CellPage("**the row**", metrics or {"best_rate": -2.0, "gain_low": None}, tags, pictures)
    columns, parameters = ["best_rate", "gain_over_ce"], ["rate", "warmup"]
    return StudyPage("Does it work?", words, command, {CELL: own}, columns, parameters, "val_accuracy", pictures)


def show(home: Path, *pages: StudyPage) -> None:
    """Show one trial and its pages, one after another, as a driver does at the end of each session."""
    for each in pages:
        session = tracker(home)
        session.update(trial(1))
        session.page(each)
        assert session.close(SOON) == 0


def experiment(home: Path) -> Experiment:
    found = client(home).get_experiment_by_name("tiny")
    assert found is not None
    return found


def test_experiment_opens_on_training_runs_and_its_description_answers(home: Path) -> None:
    show(home, page("| a | table |", "tosmooth run tiny", ("rate.png",)))
    tags = experiment(home).tags
    assert tags["mlflow.experimentKind"] == "custom_model_development"
    run_id, number = runs(client(home), "cell")[0].info.run_id, experiment(home).experiment_id
    assert tags[NOTE].splitlines() == [
        "Does it work?",  # first: MLflow's list of experiments shows no more
        "",
        f"Views: [Best rates]({link(number, ROWS)}) · [Trials]({link(number, TRIALS)})",
        "",
        "| a | table |",
        "",
        "Made by",
        "```",
        "tosmooth run tiny",
        "```",
        "",
        f"![rate.png](get-artifact?path=rate.png&run_uuid={run_id})",
        "",
        YOURS,
    ]


def test_command_stays_where_a_session_has_none(home: Path) -> None:
    show(home, page(command="tosmooth run tiny"), page())
    assert "\ntosmooth run tiny\n" in experiment(home).tags[NOTE]


def test_parent_run_is_a_row_with_its_numbers_texts_words_and_pictures(home: Path) -> None:
    show(home, page(pictures=("a b.png",), best_rate=-2.0, seeds=3, gain_low=None))
    run = runs(client(home), "cell")[0]
    assert run.data.metrics == {"best_rate": -2.0, "seeds": 3.0}  # what was never known is not there
    assert run.data.params == {"training.epochs": "3"}
    assert run.data.tags["tosmooth.note"] == "one; two"
    assert "tosmooth.best_parameters" not in run.data.tags
    assert run.data.tags[NOTE] == (
        f"**the row**\n\n![a b.png](get-artifact?path=a%20b.png&run_uuid={run.info.run_id})\n\n{YOURS}"
    )


def test_number_that_changes_is_the_new_one_and_one_that_vanishes_is_none(home: Path) -> None:
    show(home, page(best_rate=-2.0, gain_low=1.0), page(best_rate=-3.0, gain_low=None))
    metrics = runs(client(home), "cell")[0].data.metrics
    assert metrics["best_rate"] == -3.0  # though it is the smaller one, of the same step
    assert math.isnan(metrics["gain_low"])
    show(home, page(best_rate=-3.0, gain_low=2.0))
    assert runs(client(home), "cell")[0].data.metrics["gain_low"] == 2.0


def test_what_is_shown_already_is_not_written_again(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    show(home, page(best_rate=-2.0, gain_low=1.0), page(best_rate=-2.0, gain_low=None))
    for name in ("log_batch", "set_experiment_tag", "update_run", "set_terminated"):
        monkeypatch.setattr(MlflowClient, name, lambda *_, **__: pytest.fail("nothing was new"))
    show(home, page(best_rate=-2.0, gain_low=None))


def test_what_a_user_writes_below_the_line_stays(home: Path) -> None:
    show(home, page("before"))
    number = experiment(home).experiment_id
    mine = experiment(home).tags[NOTE].replace("before", "not kept") + "\n\nMine."
    client(home).set_experiment_tag(number, NOTE, mine)
    run_id = runs(client(home), "cell")[0].info.run_id
    client(home).set_tag(run_id, NOTE, "All mine.")  # in place of ours
    show(home, page("after", seeds=4))
    assert experiment(home).tags[NOTE].endswith(f"after\n\n{YOURS}\n\nMine.")
    assert runs(client(home), "cell")[0].data.tags[NOTE] == f"**the row**\n\n{YOURS}\n\nAll mine."


def test_description_that_is_too_long_is_cut_at_a_line_and_says_so() -> None:
    text = note("\n".join(f"row {i}" for i in range(10_000)), f"old\n{YOURS} mine", 500)
    assert len(text) <= 500
    words = text.partition("\n\n(")[0].splitlines()
    assert words == [f"row {i}" for i in range(len(words))]
    assert text.endswith(f"(MLflow takes no more text; `tosmooth show` has all of it.)\n\n{YOURS} mine")


def test_what_a_user_wrote_is_kept_though_it_leaves_no_room() -> None:
    assert note("words\nand more", f"{YOURS}{'mine ' * 200}", 500).endswith("mine mine ")


@pytest.mark.parametrize("most", [LONGEST, FORMERLY])
def test_table_of_a_thousand_rows_is_shown_as_far_as_a_server_takes_it(
    home: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    set_tag = MlflowClient.set_experiment_tag

    def limited(self: MlflowClient, experiment_id: str, key: str, value: Any) -> None:
        if len(value) > most:
            raise MlflowException.invalid_parameter_value("too long")
        set_tag(self, experiment_id, key, value)

    monkeypatch.setattr(MlflowClient, "set_experiment_tag", limited)
    show(home, page("\n".join(f"| row {i} | of a table |" for i in range(1000))))
    assert most - 100 < len(experiment(home).tags[NOTE]) <= most


def test_views_are_saved_once_and_one_that_a_user_changed_stays(home: Path) -> None:
    show(home, page())
    tags = experiment(home).tags
    rows, trials = json.loads(tags[TAG + ROWS]), json.loads(tags[TAG + TRIALS])
    assert (rows["name"], trials["name"]) == ("Best rates", "Trials")
    state = json.loads(rows["state"])
    assert state["selectedColumns"] == ["metrics.`best_rate`", "metrics.`gain_over_ce`"]
    assert (state["searchFilter"], state["orderByKey"]) == ("tags.`tosmooth.kind` = 'cell'", "metrics.`noise_rate`")
    changed = json.dumps(rows | {"updatedAt": rows["updatedAt"] + 1, "state": "{}"})
    client(home).set_experiment_tag(experiment(home).experiment_id, TAG + ROWS, changed)
    client(home).set_experiment_tag(experiment(home).experiment_id, TAG + TRIALS, "damaged")
    show(home, page("other words"))
    assert experiment(home).tags[TAG + ROWS] == changed
    assert experiment(home).tags[TAG + TRIALS] == tags[TAG + TRIALS]


def test_study_that_searches_no_parameter_has_a_view_without_charts(home: Path) -> None:
    bare = StudyPage("?", "", "", {}, [], [], "val_accuracy", ())
    show(home, bare)
    state = json.loads(json.loads(experiment(home).tags[TAG + TRIALS])["state"])
    assert state["compareRunCharts"] == []


def summarised(home: Path, summary: Any) -> Tracker:
    return Tracker(home, None, "tiny", "Does it work?", {LEVEL.name: LEVEL}, interval=0.05, summary=summary)


def test_row_fills_in_while_the_study_runs(home: Path) -> None:
    def summary(records: list[Record]) -> StudyPage:
        return page(trials=sum(record.state != "running" for record in records))

    session = summarised(home, summary)
    session.update(trial(1))
    session.update(trial(2, "running", 1))
    wait_for(lambda: experiment_is_there(home) and runs(client(home), "cell")[0].data.metrics.get("trials") == 1.0)
    assert runs(client(home), "cell")[0].info.status == "RUNNING"
    session.update(trial(2))
    session.page(page(trials=2))
    assert session.close(SOON) == 0
    assert runs(client(home), "cell")[0].data.metrics["trials"] == 2.0


def test_cell_that_begins_during_an_outage_has_its_row(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    create_run, away = MlflowClient.create_run, [True]

    def sometimes(self: MlflowClient, *arguments: Any, **options: Any) -> Any:
        if away[0]:
            raise ConnectionError("the server is away")
        return create_run(self, *arguments, **options)

    monkeypatch.setattr(MlflowClient, "create_run", sometimes)
    session = summarised(home, lambda records: page(trials=0))
    session.page(page(trials=0))  # put, and left to wait, before the trial whose cell has no run yet
    session.update(trial(1))
    session.page(page(trials=1))
    away[0] = False
    assert session.close(SOON) == 0
    assert runs(client(home), "cell")[0].data.metrics["trials"] == 1.0


@pytest.mark.parametrize("later", [-1, 1])
def test_row_stays_where_a_request_for_its_run_is_carried_out_late(
    home: Path, monkeypatch: pytest.MonkeyPatch, later: int
) -> None:
    create_run = MlflowClient.create_run
    given_up: list[tuple[Any, ...]] = []

    def timed_out_once(self: MlflowClient, *arguments: Any, **options: Any) -> Any:
        if not given_up:
            given_up.append((self, arguments, options))
            raise TimeoutError("no answer")
        return create_run(self, *arguments, **options)

    monkeypatch.setattr(MlflowClient, "create_run", timed_out_once)
    session = tracker(home)
    session.update(trial(1))
    session.page(page(best_rate=-2.0))
    wait_for(lambda: bool(given_up) and not session._pending)
    then, arguments, options = given_up[0]
    create_run(then, *arguments, **options | {"start_time": options["start_time"] + later})
    assert session.close(SOON) == 0
    cell, child = runs(client(home), "cell")[0], runs(client(home))[1]  # fails where there are two
    assert cell.data.metrics["best_rate"] == -2.0
    assert child.data.tags["mlflow.parentRunId"] == cell.info.run_id


def test_study_that_is_stopped_before_a_trial_ends_has_its_views(home: Path) -> None:
    session = summarised(home, lambda records: page(trials=0))
    session.update(trial(1, "running", 1))
    wait_for(lambda: experiment_is_there(home) and TAG + TRIALS in experiment(home).tags)
    assert experiment(home).tags["mlflow.experimentKind"] == "custom_model_development"
    assert session.close(SOON, finished=False) == 0


def experiment_is_there(home: Path) -> bool:
    return client(home).get_experiment_by_name("tiny") is not None and bool(runs(client(home), "cell"))


def test_summary_that_fails_is_told_once_and_holds_up_nothing(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    def summary(records: list[Record]) -> StudyPage:
        raise ValueError("no row today")

    session = summarised(home, summary)
    session.update(trial(1))
    wait_for(lambda: "at the end of the study alone (no row today)" in caplog.text)
    session.update(trial(2))
    assert session.close(SOON) == 0
    assert sorted(runs(client(home))) == [1, 2]


def test_loss_that_runs_away_is_drawn_at_a_bound_and_told_as_it_is(home: Path) -> None:
    losses = (
        {"train_loss": 0.5},
        {"train_loss": -7.7e28, "val_loss": 12.0},
        {"train_loss": -8e28, "val_loss": 1.25e27},
    )
    curve = tuple({**each, "seconds": 700.0, "time": 1_700_000_000.0 + i} for i, each in enumerate(losses))
    track(home, trial(1, curve=curve))
    run = runs(client(home))[1]
    drawn = [point.value for point in client(home).get_metric_history(run.info.run_id, "train_loss")]
    assert drawn == [0.5, -10.0, -10.0]
    assert (run.data.metrics["val_loss"], run.data.metrics["seconds"]) == (10.0, 700.0)  # seconds are no loss
    assert run.data.tags["tosmooth.clipped"] == (
        "drawn at 10 or -10 from where they run away; at the last epoch: train_loss -8e+28, val_loss 1.25e+27"
    )
    session = Tracker(home, None, "own", "", {LEVEL.name: LEVEL}, bound=None)  # of a user's own training
    session.update(trial(1, study="own", curve=curve))
    assert session.close(SOON) == 0
    own = runs(client(home), experiment="own")[1]
    assert (own.data.metrics["train_loss"], "tosmooth.clipped" in own.data.tags) == (-8e28, False)
