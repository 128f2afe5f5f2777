"""The command `tosmooth`. Heavy imports happen inside the commands, so that `--help` answers at once."""

import errno
import os
import shlex
import shutil
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from tosmooth.search.api.studies import data_of, existing, home_at, load, with_data, with_prior
from tosmooth.search.api.surroundings import FULL, give_up_output, settle
from tosmooth.search.cli.analyse import analyse
from tosmooth.search.cli.data import data_app
from tosmooth.search.cli.describe import describe
from tosmooth.search.cli.doctor import doctor
from tosmooth.search.cli.export import export
from tosmooth.search.cli.init import init
from tosmooth.search.cli.listing import show, status, studies
from tosmooth.search.cli.options import (
    DEFAULT_HOME,
    AddressOption,
    CacheOption,
    DataOption,
    HomeOption,
    PriorOption,
    SetOption,
    StorageOption,
    Study,
    TrackingOption,
    err,
    in_force,
    out,
    say_what_is_unused,
)
from tosmooth.search.cli.output import accept_any_character, check_names
from tosmooth.search.cli.submit import submit
from tosmooth.search.cli.verbosity import QuietOption, VerboseOption, VersionOption, say, tell_settings
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.redact import masked

FRAMED = 80  # columns of a terminal below which help has no frames, in which long names would be cut

app = typer.Typer(
    help="From noisy labels to a table of best smoothing rates: should I smooth, by how much, from which epoch on?",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode="rich" if shutil.get_terminal_size().columns >= FRAMED else None,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(data_app, name="data")


@app.callback()
def everywhere(version: VersionOption = False, quiet: QuietOption = False, verbose: VerboseOption = False) -> None:
    """Set what holds for every command."""
    err.quiet = err.verbose = err.plain = False
    say(quiet, verbose)


app.command()(init)
app.command()(studies)
app.command()(describe)


@app.command()
def run(
    context: typer.Context,
    study: Study,
    changes: SetOption = None,
    name: Annotated[str | None, typer.Option(help="Keep the result as a study of its own.")] = None,
    seed: Annotated[int | None, typer.Option(help="The study's seed.")] = None,
    data_dir: DataOption = None,
    cache_dir: CacheOption = None,
    home: HomeOption = DEFAULT_HOME,
    prior_study: PriorOption = None,
    address: AddressOption = None,
    tracking_uri: TrackingOption = None,
    storage: StorageOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Run or resume a study to its end and print its best-rate table."""
    say(quiet, verbose)
    err.plain = True
    # SIGTERM like Ctrl-C, and that also where a shell starts this in the background, with SIGINT ignored.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
    # Read when numpy is imported: beside trials on all cores a factorisation by several threads took 20 times as long.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from tosmooth.search.api.execution import execute
    from tosmooth.search.run.options import Options, RayLostError

    try:
        with err.status("Reading the study"):
            spec, code = load(study, home_at(home), with_prior(changes, prior_study), name, seed)
            data = data_of(home_at(home), spec, data_dir)
        say_what_is_unused(spec.resources.cpus)
        tell_settings(with_data(in_force(context), home_at(home), spec))
        options = Options(
            home_at(home),
            data=data,
            cache=cache_dir,
            address=address,
            tracking_uri=tracking_uri,
            storage=storage,
            code=code,
        )
        rows = execute(spec, options, err)
    except (KeyboardInterrupt, RayLostError) as stop:
        again = shlex.join(["tosmooth", *map(masked, sys.argv[1:])])  # what is printed gets into logs
        why = f"error: {stop}." if isinstance(stop, RayLostError) else "Stopped."
        err.print(f"{why} What ended is kept; go on with: {again}", soft_wrap=True)
        raise typer.Exit(1 if isinstance(stop, RayLostError) else 130) from None
    from tosmooth.search.report.terminal import terminal_table

    out.print_whole(terminal_table(rows, out.width))
    _tell_places(home, spec.name)
    if not all(row.completed for row in rows):
        raise typer.Exit(1)


def _tell_places(home: Path, study: str) -> None:
    """Tell where a study's results lie."""
    where = "" if home == DEFAULT_HOME else f" --home {shlex.quote(str(home))}"
    err.print(f"Table, trials, plots: {home_at(home).study(study).path}; MLflow: tosmooth ui{where}", soft_wrap=True)


app.command()(status)
app.command()(show)
app.command()(export)


@app.command()
def best(
    study: Study,
    level: Annotated[str, typer.Option(help="Noise level, such as symmetric-0.4.")],
    output: Annotated[Path, typer.Option(help="Folder to write to.")] = Path(),
    home: HomeOption = DEFAULT_HOME,
    storage: StorageOption = None,
) -> None:
    """Write the winning configuration of a level as a study file, and its trained weights."""
    from tosmooth.search.report.winner import write_winner

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
    from tosmooth.search.report.results import draw, study_rows

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
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port to listen on.", show_default="5000, or the next free one")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on. MLflow asks no one for a password.")] = "127.0.0.1",
) -> None:
    """Open the MLflow UI of this home, for this machine alone unless told otherwise; or say where a server has it."""
    from tosmooth.search.preflight.reachability import free_port
    from tosmooth.search.tracking import check_database, is_loopback, server_page, ui_command

    if tracking_uri is not None and (page := server_page(tracking_uri)) is not None:
        out.print(f"MLflow: {page}", soft_wrap=True)
        return
    if tracking_uri is None:
        check_database(home)
    if tracking_uri is None and not (home / "mlflow.db").exists():
        raise InputError(f"--home: {str(home)!r} holds no study yet; run one first")
    port = free_port(host, port)
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
    from tosmooth.search.run.deletion import delete_study, size

    folder = home_at(home).deletable(study)
    if not yes and not typer.confirm(f"Delete study {study} with all its trials ({size(folder.path)})?", err=True):
        raise typer.Exit(1)
    freed = delete_study(home_at(home), folder, tracking_uri, storage)
    out.print(f"Deleted {study}; {freed} freed")


def main() -> None:
    """Run the console script: a wrong input is one clear message and exit code 2."""
    said = settle()
    accept_any_character()
    try:
        check_names()
        for line in said:
            err.print(line, soft_wrap=True)
        app()
    except InputError as error:
        err.quiet = False
        err.print(f"error: {error}", style="red", soft_wrap=True)
        sys.exit(2)
    except BrokenPipeError:  # the reader of a pipe has enough
        give_up_output()
        sys.exit(1)
    except OSError as error:
        wrong = (PermissionError, NotADirectoryError, IsADirectoryError, FileExistsError)
        full = error.errno in FULL
        if not full and not isinstance(error, wrong) and error.errno != errno.EROFS:
            raise
        where = error.filename or "the output, or a file"
        advice = "make room, or write elsewhere" if full else "name a folder you may write to"
        err.quiet = False
        err.print(f"error: {where}: {error.strerror}; {advice}", style="red", soft_wrap=True)
        if full:
            give_up_output()
        sys.exit(2)
