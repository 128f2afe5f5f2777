"""`tosmooth init`: a study file for a user's own data."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from tosmooth.search.api.studies import home_at
from tosmooth.search.cli.options import DEFAULT_HOME, CacheOption, HomeOption, err, out


def init(
    data: Annotated[str, typer.Argument(help="A table, a folder of shards or of pictures, or a pattern.")],
    label: Annotated[str | None, typer.Option(help="Column of labels.", show_default="found by its name")] = None,
    test: Annotated[
        str | None, typer.Option(help="The test set, whose labels are right.", show_default="looked for beside DATA")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="File to write.", show_default="NAME.yaml")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the study.", show_default="by DATA")] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
    cache_dir: CacheOption = None,
    home: HomeOption = DEFAULT_HOME,
) -> None:
    """Look at your own data, say what they hold, and write a study file that runs as it is. Trains nothing."""
    with err.status("Looking at the data"):
        from tosmooth.search.init.look import look
        from tosmooth.search.init.propose import LONG, file_for, proposed, write
        from tosmooth.search.run.budget import check_resources, expected_cost
        from tosmooth.search.run.level_measurement import Measuring

        folders = home_at(home).folders(None, cache_dir)
        found = look(data, test, label, folders, _asked if sys.stdin.isatty() else None)
    file = file_for(found, output, name, force)
    for line in found.said:
        out.print(line, soft_wrap=True)
    spec, *smaller = proposed(found, name)
    at_once = check_resources(spec, None)
    with Measuring(spec, folders) as measuring, err.status("Measuring what the study takes"):
        measuring.levels(tell=False)  # all that `run` looks at; of the data all is said
    cost = expected_cost(spec, None, measuring, at_once)
    for each in smaller:
        if cost.seconds is not None and cost.seconds > LONG:
            spec, cost = each, expected_cost(each, None, measuring, at_once)
    write(file, found, spec, cost)
    where = "" if home == DEFAULT_HOME else f" --home {shlex.quote(str(home))}"
    out.print(f"{file}: written; {cost.time}", soft_wrap=True)
    out.print(f"Next: tosmooth run {shlex.quote(str(file))}{where}", soft_wrap=True)


def _asked(question: str, choices: list[str]) -> str:
    """Ask for one of the choices."""
    answer: str = typer.prompt(f"{question} ({', '.join(choices)})", err=True)
    return answer
