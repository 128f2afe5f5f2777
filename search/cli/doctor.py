"""The command `tosmooth doctor`."""

import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from tosmooth.search.api.studies import home_at, load, with_data
from tosmooth.search.cli.completion import studies
from tosmooth.search.cli.options import (
    DEFAULT_HOME,
    STUDY,
    AddressOption,
    CacheOption,
    CifarnOption,
    DataOption,
    HomeOption,
    SetOption,
    StorageOption,
    TrackingOption,
    err,
    in_force,
    out,
    say_what_is_unused,
)

if TYPE_CHECKING:
    from tosmooth.search.api.settings import InForce
    from tosmooth.search.preflight.checks import Check


def doctor(
    context: typer.Context,
    study: Annotated[str | None, typer.Argument(help=STUDY, show_default=False, autocompletion=studies)] = None,
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    changes: SetOption = None,
    data_dir: DataOption = None,
    cache_dir: CacheOption = None,
    home: HomeOption = DEFAULT_HOME,
    address: AddressOption = None,
    tracking_uri: TrackingOption = None,
    storage: StorageOption = None,
    cifarn_url: CifarnOption = None,  # shown, with all others
) -> None:
    """Show which settings are in force and where they come from, and look at all that a study needs. Trains nothing."""
    settings = in_force(context)
    spec, code = (None, None) if study is None else load(study, home_at(home), changes, None, None)
    if spec is not None:
        settings = with_data(settings, home_at(home), spec.name)
        data_dir = data_dir or home_at(home).study(spec.name).data()
    say_what_is_unused(1 if spec is None else spec.resources.cpus)
    if not json:
        _show_settings(settings)
    # Read when Ray is imported: a cluster that takes a connection and says nothing would be waited for half a minute.
    os.environ.setdefault("RAY_py_gcs_connect_timeout_s", "5")
    with err.status("Loading Ray, MLflow and PyTorch"):
        from tosmooth.search.doctor.examine import examine
        from tosmooth.search.run.options import Options

    options = Options(
        home_at(home),
        data=data_dir,
        cache=cache_dir,
        address=address,
        tracking_uri=tracking_uri,
        storage=storage,
        code=code,
    )
    checks = examine(options, spec, err)
    failed = sum(check.state == "failed" for check in checks)
    if json:
        known = {each.key: {"value": each.value, "source": each.source} for each in settings}
        out.print_json(
            data={"settings": known, "checks": [asdict(check) for check in checks], "failed": failed}, ensure_ascii=True
        )
    else:
        _show_checks(checks)
    if failed:
        raise typer.Exit(1)


def _show_settings(settings: "list[InForce]") -> None:
    keys, values = (max(map(len, column)) for column in zip(*((s.key, s.value) for s in settings), strict=True))
    for each in settings:
        out.print(f"{each.key:{keys}}  {each.value:{values}}  {each.source}", soft_wrap=True)
    out.print()


def _show_checks(checks: "list[Check]") -> None:
    for check in checks:
        out.print(f"{check.state:7}  {check.name}: {check.found}", soft_wrap=True)
        if check.state != "ok":
            out.print(f"         -> {check.advice}", soft_wrap=True)
