"""The command `tosmooth ui`."""

import os
from pathlib import Path
from typing import Annotated

import typer

from tosmooth.search.api.studies import home_at, name_of
from tosmooth.search.cli.completion import kept_studies
from tosmooth.search.cli.options import DEFAULT_HOME, HomeOption, TrackingOption, err, out
from tosmooth.trainables.errors import InputError


def ui(
    study: Annotated[
        str | None, typer.Argument(help="Study to open.", show_default="the list of all", autocompletion=kept_studies)
    ] = None,
    home: HomeOption = DEFAULT_HOME,
    tracking_uri: TrackingOption = None,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port to listen on.", show_default="5000, or the next free one")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on. MLflow asks no one for a password.")] = "127.0.0.1",
) -> None:
    """Open the MLflow UI of this home, for this machine alone unless told otherwise; or say where a server has it."""
    from tosmooth.search.preflight.reachability import free_port
    from tosmooth.search.tracking import EXPERIMENTS, check_database, is_loopback, server_page, study_page, ui_command

    if tracking_uri is not None and (page := server_page(tracking_uri)) is not None:
        inner = "" if study is None else f"/{study_page(home_at(home).root, tracking_uri, _known(study, home))}"
        out.print(f"MLflow: {page.rstrip('/') if inner else page}{inner}", soft_wrap=True)
        return
    if tracking_uri is None:
        check_database(home)
    if tracking_uri is None and not (home / "mlflow.db").exists():
        raise InputError(f"--home: {str(home)!r} holds no study yet; run one first")
    inner = EXPERIMENTS if study is None else study_page(home_at(home).root, tracking_uri, _known(study, home))
    port = free_port(host, port)
    command, environment = ui_command(home, tracking_uri, host, port)
    if not is_loopback(host):
        risk = f"whoever reaches {host} on port {port} can read, change and delete all that it shows"
        err.warn(f"--host: MLflow asks no one for a password: {risk}")
    page = f"http://{f'[{host}]' if ':' in host else host}:{port}/{inner}"
    err.print(f"MLflow: {page} (Ctrl-C ends it)", soft_wrap=True)
    os.execve(command[0], command, os.environ | environment)  # noqa: S606 - our own interpreter, no shell


def _known(study: str, home: Path) -> str:
    """Name of a study that was run, given by it or by the file; raises `InputError` where there is none."""
    return home_at(home).existing(name_of(study)).path.name
