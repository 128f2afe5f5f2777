"""The command `tosmooth`. Heavy imports happen inside the commands, so that `--help` answers at once."""

import errno
import os
import shlex
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from search.cli_analyse import analyse
from search.cli_data import data_app
from search.cli_doctor import doctor
from search.cli_studies import existing, home_at, load
from search.cli_submit import submit
from search.options import (
    DEFAULT_HOME,
    AddressOption,
    CacheOption,
    DataOption,
    HomeOption,
    SetOption,
    StorageOption,
    Study,
    TrackingOption,
    err,
    out,
)
from trainables.config import InputError
from trainables.masking import masked

if TYPE_CHECKING:
    from search.home import Home
    from search.records import Record
    from search.rows import Row

app = typer.Typer(
    help="From noisy labels to a table of best smoothing rates: should I smooth, by how much, from which epoch on?",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(data_app, name="data")


@app.command()
def studies() -> None:
    """List the studies that come with tosmooth."""
    from search.loading import load_study, shipped_studies

    for name in shipped_studies():
        spec = load_study(name)
        data = f"tosmooth data fetch {spec.dataset.name}" if spec.dataset.name.startswith("cifar") else "none"
        levels = ", ".join(spec.dataset.levels)
        line = f"{name}: {spec.question} Levels: {levels}. Cost: {spec.cost}. Data: {data}."
        out.print(line, soft_wrap=True)


@app.command()
def describe(
    study: Study,
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    changes: SetOption = None,
    seed: Annotated[int | None, typer.Option(help="The study's seed.")] = None,
    data_dir: DataOption = None,
    cache_dir: CacheOption = None,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Show what would run: levels with sizes, classes and noise rates, space, budget, resources. Trains nothing."""
    from search.describe import description, show
    from search.levels import measure_levels

    spec = load(study, home_at(home), changes, None, seed)
    facts = description(spec, measure_levels(spec, home_at(home).folders(data_dir, cache_dir)))
    if json:
        out.print_json(data=facts)
    else:
        show(facts, out)


@app.command()
def run(
    study: Study,
    changes: SetOption = None,
    name: Annotated[str | None, typer.Option(help="Keep the result as a study of its own.")] = None,
    seed: Annotated[int | None, typer.Option(help="The study's seed.")] = None,
    data_dir: DataOption = None,
    cache_dir: CacheOption = None,
    home: HomeOption = DEFAULT_HOME,
    prior_study: Annotated[
        str | None, typer.Option(metavar="NAME", help="Propose early what another study of the home found.")
    ] = None,
    address: AddressOption = None,
    tracking_uri: TrackingOption = None,
    storage: StorageOption = None,
) -> None:
    """Run or resume a study to its end and print its best-rate table."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # like Ctrl-C
    # Read when numpy is imported: beside trials on all cores a factorisation by several threads took 20 times as long.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        from search.levels import Measuring

        prior = [] if prior_study is None else [f"search.prior_study={prior_study}"]
        spec = load(study, home_at(home), [*(changes or ()), *prior], name, seed)
        with Measuring(spec, home_at(home).folders(data_dir, cache_dir)) as measuring:
            with err.status("Loading Ray and MLflow"):
                from search import runner
                from search.tables import terminal_table

            options = runner.Options(home_at(home), data_dir, address, tracking_uri, storage, cache_dir)
            rows = runner.run(spec, options, err, measuring)
    except KeyboardInterrupt:
        again = shlex.join(["tosmooth", *map(masked, sys.argv[1:])])  # what is printed gets into logs
        err.print(f"Stopped. What ended is kept; go on with: {again}", soft_wrap=True)
        raise typer.Exit(130) from None
    out.print(terminal_table(rows, out.width))
    where = "" if home == DEFAULT_HOME else f" --home {shlex.quote(str(home))}"
    err.print(
        f"Table, trials, plots: {home_at(home).study(spec.name).path}; MLflow: tosmooth ui{where}", soft_wrap=True
    )


@app.command()
def status(study: Study, home: HomeOption = DEFAULT_HOME, storage: StorageOption = None) -> None:
    """Show per cell what is complete, running, pruned, diverged, failed, and the best so far."""
    from search.progress import status_table

    folder, spec, records = existing(study, home_at(home), storage)
    out.print(status_table(spec, records, folder.driver()))


@app.command()
def export(
    study: Annotated[str | None, typer.Argument(help="A study's name, or the path of its file.")] = None,
    format: Annotated[str, typer.Option(help="csv, markdown, latex, parquet or json.")] = "markdown",
    output: Annotated[Path | None, typer.Option(help="File to write.", show_default="standard output")] = None,
    trials: Annotated[bool, typer.Option("--trials", help="Every trial instead of the best rates.")] = False,
    dataset: Annotated[str | None, typer.Option(help="All studies of this home on a dataset.")] = None,
    home: HomeOption = DEFAULT_HOME,
    storage: StorageOption = None,
) -> None:
    """Write the best-rate table, or every trial, of a study or of all studies on a dataset."""
    from search import tables

    rows, records = _collect(study, dataset, home_at(home), storage)
    content = tables.render_trials(records, format) if trials else tables.render(rows, format)
    if output is not None:
        tables.write(content, output)
    elif isinstance(content, bytes):
        if sys.stdout.isatty():
            raise InputError(f"--format {format}: is not for a terminal; name a file with --output")
        sys.stdout.buffer.write(content)
    else:
        typer.echo(content, nl=not content.endswith("\n"))


@app.command()
def best(
    study: Study,
    level: Annotated[str, typer.Option(help="Noise level, such as symmetric-0.4.")],
    output: Annotated[Path, typer.Option(help="Folder to write to.")] = Path(),
    home: HomeOption = DEFAULT_HOME,
    storage: StorageOption = None,
) -> None:
    """Write the winning configuration of a level as a study file, and its trained weights."""
    from search.winner import write_winner

    folder, spec, records = existing(study, home_at(home), storage)
    for file in write_winner(folder, spec, records, level, output):
        out.print(str(file), soft_wrap=True)


@app.command()
def plot(
    study: Study,
    output: Annotated[Path | None, typer.Option(help="Folder to write to.", show_default="the study's own")] = None,
    home: HomeOption = DEFAULT_HOME,
    storage: StorageOption = None,
) -> None:
    """Draw accuracy over rate, best rate over noise rate, and learning curves as PNG files."""
    from search.results import draw, study_rows

    folder, spec, records = existing(study, home_at(home), storage)
    levels = folder.levels()
    for file in draw(output or folder.plots, spec, levels, records, study_rows(spec, levels, records)):
        out.print(str(file), soft_wrap=True)


app.command()(analyse)  # listed after `plot`
app.command()(submit)


@app.command()
def ui(
    home: HomeOption = DEFAULT_HOME,
    tracking_uri: TrackingOption = None,
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 5000,
    host: Annotated[str, typer.Option(help="Address to listen on. MLflow asks no one for a password.")] = "127.0.0.1",
) -> None:
    """Open the MLflow UI of this home, for this machine alone unless told otherwise; or say where a server has it."""
    from search.tracking import check_database, is_loopback, server_page, ui_command

    if tracking_uri is not None and (page := server_page(tracking_uri)) is not None:
        out.print(f"MLflow: {page}", soft_wrap=True)
        return
    if tracking_uri is None:
        check_database(home)
    if tracking_uri is None and not (home / "mlflow.db").exists():
        raise InputError(f"--home: {str(home)!r} holds no study yet; run one first")
    command, environment = ui_command(home, tracking_uri, host, port)
    if not is_loopback(host):
        risk = f"whoever reaches {host} on port {port} can read, change and delete all that it shows"
        err.print(f"warning: --host: MLflow asks no one for a password: {risk}", soft_wrap=True)
    # MLflow opens with its pages for language models unless the address says otherwise.
    page = f"http://{f'[{host}]' if ':' in host else host}:{port}/#/experiments?workflowType=machine_learning"
    err.print(f"MLflow: {page} (Ctrl-C ends it)", soft_wrap=True)
    os.execve(command[0], command, os.environ | environment)  # noqa: S606 - our own interpreter, no shell


app.command()(doctor)


@app.command()
def delete(
    study: Study,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    home: HomeOption = DEFAULT_HOME,
    tracking_uri: TrackingOption = None,
    storage: StorageOption = None,
) -> None:
    """Remove a study from the home, after asking, and say what space that frees."""
    from search.deletion import delete_study, size

    folder = home_at(home).existing(study)
    if not yes and not typer.confirm(f"Delete study {study} with all its trials ({size(folder.path)})?", err=True):
        raise typer.Exit(1)
    freed = delete_study(home_at(home), folder, tracking_uri, storage)
    out.print(f"Deleted {study}; {freed} freed")


def _collect(
    study: str | None, dataset: str | None, home: "Home", storage: str | None
) -> "tuple[list[Row], list[Record]]":
    """Rows and records of one study, or of all on a dataset, whose rows then name their study."""
    from search.results import dataset_results, study_rows

    if dataset is not None and study is None:
        return dataset_results(home, dataset, storage)
    if study is None or dataset is not None:
        raise InputError("export: name either a study or --dataset")
    folder, spec, records = existing(study, home, storage)
    return study_rows(spec, folder.levels(), records), records


def main() -> None:
    """The console script: a wrong input is one clear message and exit code 2."""
    try:
        app()
    except InputError as error:
        err.print(f"error: {error}", style="red", soft_wrap=True)
        sys.exit(2)
    except BrokenPipeError:  # the reader of a pipe has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        wrong = (PermissionError, NotADirectoryError, IsADirectoryError, FileExistsError)
        if not isinstance(error, wrong) and error.errno != errno.EROFS:
            raise
        err.print(
            f"error: {error.filename}: {error.strerror}; name a folder you may write to", style="red", soft_wrap=True
        )
        sys.exit(2)
