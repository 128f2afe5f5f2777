"""Execution of a study in this process, as the command and the process behind `tosmooth.run` do it."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tosmooth.search.report.row import Row
    from tosmooth.search.report.stages import StageConsole
    from tosmooth.search.run.options import Options
    from tosmooth.search.spec.study import StudySpec


def execute(spec: "StudySpec", options: "Options", console: "StageConsole") -> "list[Row]":
    """Run or resume a study to its end and return its table; its data are measured while the libraries load.

    Raises as `search.run.runner.run` does.
    """
    from tosmooth.search.run.level_measurement import Measuring

    folders, folder = options.home.folders(options.data, options.cache), options.home.study(spec.name)
    with Measuring(spec, folders, options.code, folder.weights_known()) as measuring:
        with console.status("Loading Ray and MLflow"):
            from tosmooth.search.run.budget import check_start

            check_start(spec, options.address, folder)  # at once: the rest takes seconds to load
            from tosmooth.search.run import runner

        return runner.run(spec, options, console, measuring)
