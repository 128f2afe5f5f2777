"""The command `tosmooth predict`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tosmooth.search.api.studies import data_of, existing, home_at
from tosmooth.search.cli.completion import levels, methods
from tosmooth.search.cli.options import (
    DEFAULT_HOME,
    CacheOption,
    DataOption,
    HomeOption,
    KeptStudy,
    StorageOption,
    err,
)
from tosmooth.trainables.errors import require
from tosmooth.trainables.files.folders import Folders

if TYPE_CHECKING:
    from tosmooth.trainables.inference import Predicted

FORMATS = {".csv": "csv", ".parquet": "parquet"}


def predict(
    study: KeptStudy,
    data: Annotated[
        Path,
        typer.Argument(
            help="New rows or pictures, without labels: a table in any form that a study reads, a folder of pictures, "
            "or a picture.",
            show_default=False,
        ),
    ],
    level: Annotated[
        str | None,
        typer.Option(help="Noise level, such as symmetric-0.4.", show_default="the only one", autocompletion=levels),
    ] = None,
    method: Annotated[
        str | None, typer.Option(help="Training method.", show_default="the only one", autocompletion=methods)
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="File to write: .csv or .parquet.", show_default="CSV on standard output")
    ] = None,
    data_dir: DataOption = None,
    cache_dir: CacheOption = None,
    home: HomeOption = DEFAULT_HOME,
    storage: StorageOption = None,
) -> None:
    """Predict classes and their probabilities for new rows or pictures by the networks of a level's winner."""
    from tosmooth.search.report.cost import counted
    from tosmooth.search.report.tables import render_table
    from tosmooth.trainables.files.atomic_write import write

    ends = "" if output is None else output.suffix.lower()
    require(output is None or ends in FORMATS, "--output", str(output), f"a file that ends in {' or '.join(FORMATS)}")
    found = _predicted(study, data, level, method, home, (data_dir, cache_dir), storage)
    content = render_table(found.table(), FORMATS.get(ends, "csv"))
    if output is not None:
        write(content, output)
    else:
        sys.stdout.write(str(content))
    for remark in found.remarks:
        err.print(remark, soft_wrap=True)
    many = "1 network" if found.networks == 1 else f"{found.networks} networks, by their mean probability"
    err.print(f"{counted(len(found.names), 'example')}, predicted by {many}", soft_wrap=True)


def _predicted(
    study: str,
    data: Path,
    level: str | None,
    method: str | None,
    home: Path,
    places: tuple[str | None, Path | None],
    storage: str | None,
) -> "Predicted":
    folder, spec, records = existing(study, home_at(home), storage)

    def folders() -> Folders:
        return home_at(home).folders(data_of(home_at(home), spec, places[0]), places[1])

    with err.status("Loading PyTorch") as status:
        from tosmooth.search.report.networks import cell_of, winner_networks
        from tosmooth.trainables.inference import predicted
        from tosmooth.trainables.training.process import prepare

        prepare(1 if spec.network.name == "mlp" else None)
        networks = winner_networks(folder, spec, records, cell_of(spec, level, method), folders)
        status.update("Predicting")
        return predicted(networks, data)
