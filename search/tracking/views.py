"""Saved views of an experiment, as MLflow's UI keeps them: in tags of the experiment, to be opened by a link.

The UI documents neither. Read off that of MLflow 3.17; a UI that has none shows its usual list.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tosmooth.search.tracking.page import StudyPage

TAG = "mlflow.sharedViewState."  # then the view's key
ROWS, TRIALS = "tosmooth-rows", "tosmooth-trials"  # keys
_EVERYTHING = {"startTime": "ALL", "lifecycleFilter": "Active", "datasetsFilter": [], "modelVersionFilter": "All Runs"}


def link(experiment_id: str, key: str, page: str = "") -> str:
    """Address of a view; without the address of the server's `page`, from within it."""
    chart = "&compareRunsMode=CHART" if key == TRIALS else ""
    # Without its last part MLflow opens with its pages for language models.
    return f"{page}#/experiments/{experiment_id}/runs?viewStateShareKey={key}{chart}&workflowType=machine_learning"


def views(page: StudyPage, before: Mapping[str, str], made: int) -> dict[str, str]:
    """Tags of the views that an experiment with the tags `before` lacks; one that a user has changed is theirs.

    `made`: when the experiment was, in ms. The UI writes when it changes a view.
    """
    wanted = {ROWS: ("Best rates", _rows(page)), TRIALS: ("Trials", _trials(page))}
    tags = {
        f"{TAG}{key}": json.dumps({"name": name, "createdAt": made, "updatedAt": made, "state": json.dumps(state)})
        for key, (name, state) in wanted.items()
    }
    return {tag: text for tag, text in tags.items() if before.get(tag) != text and not _changed(before.get(tag), made)}


def _changed(text: str | None, made: int) -> bool:
    """True if a user saved another view in the place of ours."""
    try:
        return text is not None and json.loads(text)["updatedAt"] != made
    except (ValueError, KeyError, TypeError):
        return False


def _rows(page: StudyPage) -> dict[str, Any]:
    """State of the view with a line for each row of the table, by noise rate."""
    columns = [_key("metrics", name) for name in page.columns]
    return {**_state("cell", "metrics", "noise_rate", True, columns), "columnOrder": columns}


def _trials(page: StudyPage) -> dict[str, Any]:
    """State of the view that compares the trials of the search: their score over the rate, coloured by level.

    In the order of a metric: in that of time the UI folds trials below their cells, and draws only these.
    """
    columns = [*(_key("params", name) for name in page.parameters), _key("metrics", page.score)]
    columns += [_key("tags", f"tosmooth.{name}") for name in ("level", "state")]
    section = {"uuid": "tosmooth", "name": "Trials of the search", "display": True, "columns": 1, "cardHeight": 420}
    charts = [
        _chart("SCATTER", xaxis={"key": name, "type": "PARAM"}, yaxis={"key": page.score, "type": "METRIC"})
        for name in page.parameters[:1]
    ]
    if charts:
        several = {"selectedParams": list(page.parameters), "selectedMetrics": [page.score], "showAllRuns": False}
        charts.append(_chart("PARALLEL", **several))
    return {
        **_state("trial", "metrics", page.score, False, columns, " AND tags.`tosmooth.phase` = 'search'"),
        "compareRunCharts": charts,
        "compareRunSections": [section | {"isReordered": False, "deleted": False, "isGenerated": False}],
    }


def _state(kind: str, by: str, name: str, ascending: bool, columns: Sequence[str], and_: str = "") -> dict[str, Any]:
    return {
        **_EVERYTHING,
        "searchFilter": f"tags.`tosmooth.kind` = '{kind}'{and_}",
        "orderByKey": _key(by, name),
        "orderByAsc": ascending,
        "selectedColumns": columns,
        "runsHiddenMode": "SHOW_ALL",
    }


def _chart(kind: str, **settings: Any) -> dict[str, Any]:
    """Chart of our section; the UI gives it its title."""
    own = {"uuid": f"tosmooth-{kind.lower()}", "metricSectionId": "tosmooth", "runsCountToCompare": 1000}
    return {"type": kind, "deleted": False, "isGenerated": False, **own, **settings}


def _key(kind: str, name: str) -> str:
    """Column as the UI names it."""
    return f"{kind}.`{name}`"
