"""Check what a study asks of this machine, before Ray starts and anything is kept: `run`, `describe`, `doctor`."""

from tosmooth.search.report.cost import Cost, cost_of
from tosmooth.search.run.level_measurement import Measuring
from tosmooth.search.run.ray_cluster import local_resources
from tosmooth.search.run.resources import gpus_of, slots
from tosmooth.search.run.session_folder import place, places
from tosmooth.search.spec.study import StudySpec
from tosmooth.search.storage.study_folder import StudyFolder
from tosmooth.trainables.errors import InputError


def check_resources(spec: StudySpec, address: str | None) -> int | None:
    """Return the number of trials at once on this machine; `None` where they run on the cluster at `address`.

    Raises `InputError` where not one would ever run, or Ray has no folder for its sockets.
    """
    if address is not None:
        return None
    place(places())
    return slots(spec.resources, [local_resources()], joined=False)[0]


def check_start(spec: StudySpec, address: str | None, folder: StudyFolder) -> int | None:
    """Return what `check_resources` does, before anything is kept.

    A study that was kept with these resources passes: it may be finished, and then asks for none.
    """
    try:
        return check_resources(spec, address)
    except InputError:
        if not folder.spec_file.exists() or folder.spec().resources != spec.resources:
            raise
        return None


def expected_cost(spec: StudySpec, address: str | None, measuring: Measuring, at_once: int | None) -> Cost:
    """Estimate what the study costs at most. Its levels must have been measured."""
    why_not = ""
    if address is not None:
        why_not = "the trials run on a cluster"
    elif measuring.gpu or gpus_of(spec.resources, [local_resources()]):
        why_not = "the trials take a GPU"
    return cost_of(spec, measuring.pace, at_once, why_not)
