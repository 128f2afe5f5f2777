"""The command `tosmooth`. Heavy imports happen inside the commands, so that `--help` answers at once."""

import errno
import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from tosmooth.search.api.studies import data_of, existing, home_at, load, with_prior
from tosmooth.search.api.surroundings import FULL, give_up_output, settle, stop_on_signals
from tosmooth.search.cli import completion
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
    KeptStudy,
    PriorOption,
    SetOption,
    StorageOption,
    Study,
    TrackingOption,
    err,
    out,
    say_what_is_unused,
)
from tosmooth.search.cli.output import accept_any_character, check_names
from tosmooth.search.cli.predict import predict
from tosmooth.search.cli.report import report
from tosmooth.search.cli.submit import submit
from tosmooth.search.cli.suspects import clean, suspects
from tosmooth.search.cli.ui import ui
from tosmooth.search.cli.verbosity import QuietOption, VerboseOption, VersionOption, say, with_verbosity
from tosmooth.trainables.errors import InputError, require
from tosmooth.trainables.files.folders import Folders
from tosmooth.trainables.redact import masked

FRAMED = 80  # columns of a terminal below which help has no frames, in which long names would be cut

app = typer.Typer(
    help="From noisy labels to a table of best smoothing rates: should I smooth, by how much, from which epoch on?",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode="rich" if shutil.get_terminal_size().columns >= FRAMED else None,
    pretty_exceptions_enable=False,
    add_completion=False,  # its options guess the shell; ours are told
)
app.add_typer(data_app, name="data")


@app.callback()
def everywhere(
    version: VersionOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
    install_completion: completion.InstallOption = None,
    show_completion: completion.ShowOption = None,
) -> None:
    """Set what holds for every command."""
    err.quiet = err.verbose = err.plain = False
    say(quiet, verbose)


app.command()(with_verbosity(init))
app.command()(with_verbosity(studies))
app.command()(with_verbosity(describe))


@app.command()
@with_verbosity
def run(
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
) -> None:
    """Run or resume a study to its end and print its best-rate table."""
    err.plain = True
    stop_on_signals()
    from tosmooth.search.api.execution import execute
    from tosmooth.search.run.options import Options, RayLostError

    try:
        with err.status("Reading the study"):
            spec, code = load(study, home_at(home), with_prior(changes, prior_study), name, seed)
            data = data_of(home_at(home), spec, data_dir)
        say_what_is_unused(spec.resources.cpus)
        options = Options(
            home_at(home),
            data=data,
            cache=cache_dir,
            address=address,
            tracking_uri=tracking_uri,
            storage=storage,
            code=code,
            command=_command(),
        )
        rows = execute(spec, options, err)
    except (KeyboardInterrupt, RayLostError) as stop:
        advice = f"What ended is kept; go on with: {_command()}"
        if isinstance(stop, RayLostError):
            err.insist(f"error: {stop}. {advice}")
            raise typer.Exit(1) from None
        err.print(f"Stopped. {advice}", soft_wrap=True)
        raise typer.Exit(130) from None
    from tosmooth.search.report.terminal import terminal_table

    out.print_whole(terminal_table(rows, out.width))
    _tell_places(home, spec.name)
    if not all(row.completed for row in rows):
        raise typer.Exit(1)


def _command() -> str:
    """Command as it was typed, without secrets: what is printed gets into logs."""
    return shlex.join(["tosmooth", *map(masked, sys.argv[1:])])


def _tell_places(home: Path, study: str) -> None:
    """Tell where a study's results lie."""
    where = "" if home == DEFAULT_HOME else f" --home {shlex.quote(str(home))}"
    err.print(
        f"Table, trials, plots, report: {home_at(home).study(study).path}; MLflow: tosmooth ui {study}{where}",
        soft_wrap=True,
    )


app.command()(with_verbosity(status))
app.command()(with_verbosity(show))
app.command()(with_verbosity(export))


@app.command()
@with_verbosity
def best(
    study: KeptStudy,
    level: Annotated[str, typer.Option(help="Noise level, such as symmetric-0.4.", autocompletion=completion.levels)],
    output: Annotated[Path, typer.Option(help="Folder to write to.")] = Path(),
    register: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Register the network in MLflow under this name.", show_default=False),
    ] = None,
    data_dir: DataOption = None,
    cache_dir: CacheOption = None,
    home: HomeOption = DEFAULT_HOME,
    tracking_uri: TrackingOption = None,
    storage: StorageOption = None,
) -> None:
    """Write the winning configuration of a level as a study file, and its trained weights; print it as PyTorch."""
    from tosmooth.search.report.winner import winner_recipes, write_winner

    if register is not None:  # before anything is written, as MLflow wants a name
        fits = bool(register.strip()) and not set("/:") & set(register)
        require(fits, "--register", register, "a name without / and :")
    folder, spec, records = existing(study, home_at(home), storage)

    def folders() -> Folders:
        return home_at(home).folders(data_of(home_at(home), spec, data_dir), cache_dir)

    for file in write_winner(folder, spec, records, level, output, folders):
        out.print(str(file), soft_wrap=True)
    for lines in winner_recipes(spec, records, level):
        out.print(f"\n{lines}", soft_wrap=True)
    if register is not None:
        from tosmooth.search.run.mlflow_view import winner_models
        from tosmooth.search.tracking.models import register as register_model

        winners = winner_models(folder, spec, records, folders)
        found = [winner for winner in winners if level in (winner.cell.level, winner.cell.noise)]
        require(len(found) == 1, "--register", register, "for a level with one network, of one method, that was kept")
        version = register_model(folder.home, tracking_uri, found[0], register)
        err.print(f"MLflow: {register}, version {version}", soft_wrap=True)


@app.command()
@with_verbosity
def plot(
    study: KeptStudy,
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


app.command()(with_verbosity(predict))  # listed after `plot`
app.command()(with_verbosity(analyse))
app.command()(with_verbosity(report))
app.command()(with_verbosity(suspects))
app.command()(with_verbosity(clean))
app.command()(with_verbosity(submit))
app.command()(with_verbosity(ui))
app.command()(with_verbosity(doctor))


@app.command()
@with_verbosity
def delete(
    study: KeptStudy,
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
    # Read when numpy is imported: beside trials on all cores a factorisation by several threads took 20 times as long.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    said = settle()
    accept_any_character()
    try:
        if not completion.completing():
            check_names()
            for line in said:
                err.print(line, soft_wrap=True)
        app(prog_name="tosmooth")  # whatever the script is called that started it
    except InputError as error:
        err.insist(f"error: {error}", style="red")
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
        err.insist(f"error: {where}: {error.strerror}; {advice}", style="red")
        if full:
            give_up_output()
        sys.exit(2)
