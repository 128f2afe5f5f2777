"""The command `tosmooth describe`."""

from typing import Annotated

import typer

from tosmooth.search.api.studies import data_of, home_at, load, source_of_data
from tosmooth.search.cli.options import (
    DEFAULT_HOME,
    AddressOption,
    CacheOption,
    DataOption,
    HomeOption,
    SetOption,
    Study,
    err,
    in_force,
    out,
)


def describe(
    context: typer.Context,
    study: Study,
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    changes: SetOption = None,
    name: Annotated[str | None, typer.Option(help="As `tosmooth run --name` would keep it.")] = None,
    seed: Annotated[int | None, typer.Option(help="The study's seed.")] = None,
    data_dir: DataOption = None,
    cache_dir: CacheOption = None,
    home: HomeOption = DEFAULT_HOME,
    address: AddressOption = None,
) -> None:
    """Show what would run: levels with sizes, classes and noise rates, space, budget, cost. Trains nothing."""
    from tosmooth.search.run.level_measurement import Measuring

    spec, code = load(study, home_at(home), changes, name, seed)
    data = source_of_data(in_force(context), home_at(home), spec)
    folders = home_at(home).folders(data_of(home_at(home), spec, data_dir), cache_dir)
    with Measuring(spec, folders, code) as measuring:
        with err.status("Loading Ray, reading and measuring the data"):
            from tosmooth.search.report.describe import description, show
            from tosmooth.search.run.budget import check_resources, expected_cost
            from tosmooth.search.run.ray_cluster import local_resources

            at_once = check_resources(spec, address)
            levels = measuring.levels()
        cost = expected_cost(spec, address, measuring, at_once)
    found = local_resources() if address is None else None
    facts = description(spec, levels, cost) | {
        "code": code and {"digest": code.digest, "files": code.files},
        "data_dir": {"value": data.value, "source": data.source},
        "this_machine": found and found | {"trials_at_once": at_once},
    }
    if json:
        out.print_json(data=facts, ensure_ascii=True)
    else:
        show(facts, out)
        if found is not None:
            out.print(f"this process may use: {found['CPU']:g} CPUs, {found['GPU']:g} GPUs")
        out.print(f"data-dir: {data.value} ({data.source})", soft_wrap=True)
    if cost.warning:
        err.warn(cost.warning)
