"""Experiment of a study, and the runs that MLflow has of it."""

from collections.abc import Collection
from pathlib import Path

from mlflow.entities import Experiment, LifecycleStage

from tosmooth.search.storage.home_id import home_id
from tosmooth.search.tracking import former
from tosmooth.search.tracking.client import PatientClient
from tosmooth.search.tracking.page import NOTE
from tosmooth.search.tracking.run import KnownRun, known
from tosmooth.search.tracking.store import ARTIFACTS, HOME_TAG, find_experiment, is_database


def own_experiment(client: PatientClient, home: Path, uri: str | None, study: str, question: str) -> Experiment:
    """Find the study's experiment; make it where there is none, restore it where someone deleted it by hand."""
    found, name = find_experiment(client, home, uri, study)
    if found is None:
        tags = {NOTE: question}
        if uri is not None:
            tags[HOME_TAG] = home_id(home)
        # Relative to a server's artifact folder, so that the home can be moved; a server knows its own place.
        location = f"{ARTIFACTS}:/{name}" if is_database(uri) else None
        return client.get_experiment(client.create_experiment(name, location, tags))
    if found.lifecycle_stage == LifecycleStage.DELETED:
        client.restore_experiment(found.experiment_id)
    return found


def find_runs(
    client: PatientClient, experiment_id: str, study: str, written: Collection[str] = ()
) -> dict[str, KnownRun]:
    """Find the runs there are, by identity; those without one are not ours. One that was made twice is left once.

    `written`: ids of runs that were written to: of two, such a one has the files and the children, and is kept.
    """
    found: dict[str, KnownRun] = {}
    twice: list[str] = []  # made twice: a request timed out, and reached the server all the same
    token = None
    while token != "":
        page = client.search_runs([experiment_id], max_results=1000, order_by=["start_time"], page_token=token)
        for run in page:
            name = former.identity_of(run.data.tags, study)
            if name is None:
                continue
            other = found.get(name)
            ended = other is not None and other.status != "RUNNING" and run.info.run_id not in written
            if other is not None and (other.run_id in written or ended):  # that came to its end
                twice.append(run.info.run_id)
                continue
            if other is not None:
                twice.append(other.run_id)
            found[name] = known(run, former=former.tags_of(run.data.tags, study))
        token = page.token or ""
    for run_id in twice:  # now, since the pages would shift
        client.delete_run(run_id)
    return found
