"""Check before anything is trained that services answer and that nodes have the driver's versions."""

import logging
import uuid

from tosmooth.search.preflight.checks import folder_checks, require_all, version_check
from tosmooth.search.preflight.machine import Wanted, look, marked
from tosmooth.search.preflight.nodes import look_at_nodes
from tosmooth.search.preflight.reachability import check_storage, unreachable
from tosmooth.search.run.options import Options
from tosmooth.search.spec.study import StudySpec
from tosmooth.search.storage.study_folder import StudyFolder
from tosmooth.search.tracking import check_database, check_uri

log = logging.getLogger(__name__)


def check_services(options: Options) -> None:
    """Raise `InputError` if the study cannot be recorded. An MLflow server may be away: it is told later."""
    check_storage(options.storage)
    if options.tracking_uri is None:
        check_database(options.home.root)
        return
    check_uri(options.tracking_uri)
    if (why := unreachable(options.tracking_uri)) is not None:
        log.warning("--tracking-uri: %s; the study goes on, and is shown as soon as MLflow answers", why)


def check_nodes(options: Options, folder: StudyFolder, spec: StudySpec) -> None:
    """Raise `InputError` where a node that is to train has other versions, or cannot write what trials leave."""
    shared = folder.shared(spec)
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
