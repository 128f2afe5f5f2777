"""The commands that tell of studies what the home knows: `tosmooth studies`, `status` and `show`."""

from typing import TYPE_CHECKING

from tosmooth.search.api.studies import existing, home_at
from tosmooth.search.cli.options import DEFAULT_HOME, HomeOption, KeptStudy, StorageOption, out
from tosmooth.trainables.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tosmooth.search.records import Record
    from tosmooth.search.report.progress import Completion
    from tosmooth.search.spec.study import StudySpec
    from tosmooth.search.storage.study_folder import StudyFolder


def studies(home: HomeOption = DEFAULT_HOME, storage: StorageOption = None) -> None:
    """List the studies that come with tosmooth, and those of the home with their state."""
    from tosmooth.search.spec.loading import load_study, shipped_studies

    for name in shipped_studies():
        spec = load_study(name)
        data = f"tosmooth data fetch {spec.dataset.name}" if spec.dataset.name.startswith("cifar") else "none"
        levels = ", ".join(spec.dataset.noise)
        line = f"{name}: {spec.question} Levels: {levels}. Cost: {spec.cost}. Data: {data}."
        out.print(line, soft_wrap=True)
    if own := home_at(home).studies():
        out.print(f"\nin the home {home}:", soft_wrap=True)
        for folder in own:
            out.print(f"{folder.path.name}: {_state(folder, storage)}", soft_wrap=True)


def status(study: KeptStudy, home: HomeOption = DEFAULT_HOME, storage: StorageOption = None) -> None:
    """Show per cell what is complete, running, pruned, diverged, failed, and the best so far."""
    from tosmooth.search.report.progress import status_table

    folder, spec, records = existing(study, home_at(home), storage)
    driver = folder.driver()
    out.print_whole(status_table(spec, records, driver, _done(folder, spec, records, driver), out.width))


def show(study: KeptStudy, home: HomeOption = DEFAULT_HOME, storage: StorageOption = None) -> None:
    """Show a study's best-rate table again, as far as it is: without the data, and without training anything."""
    from tosmooth.search.report.results import study_rows
    from tosmooth.search.report.terminal import terminal_table

    folder, spec, records = existing(study, home_at(home), storage)
    out.print_whole(terminal_table(study_rows(spec, folder.levels(), records), out.width))


def _state(folder: "StudyFolder", storage: str | None) -> str:
    """State of a study of the home in words; of one that cannot be read, why."""
    from tosmooth.search.storage.reading import read_records

    try:
        spec = folder.spec()
        records = read_records(folder, spec, None if folder.journal.exists() else storage)
        driver = folder.driver()
        done = _done(folder, spec, records, driver)
    except InputError as error:
        return f"cannot be read: {error}".splitlines()[0]
    state = f"running: {driver}" if driver else "finished" if done.finished else "not finished"
    ended = sum(record.state != "running" for record in records)
    levels = ", ".join(spec.dataset.noise)
    return f"{state}; {ended} trials; {spec.dataset.name}: {levels}" + (f"; {spec.question}" if spec.question else "")


def _done(folder: "StudyFolder", spec: "StudySpec", records: "Sequence[Record]", driver: str | None) -> "Completion":
    """Tell what is done of a study that no one runs; nothing is known of one whose levels cannot be read."""
    from tosmooth.search.report.progress import NOTHING

    if driver is not None or not folder.table_file.exists():
        return NOTHING
    from tosmooth.search.report.completion import completion  # which loads the models

    try:
        return completion(spec, folder.levels(), records)
    except InputError:
        return NOTHING
