"""Trains a study's recipe on the paper's grid, many seeds a point, and writes the curves, to replay searches on.

    python tests/benchmarks/record_surface.py STUDY --seeds N --warmups 0 4 8 --output FILE.parquet [--data-dir DIR]
        [--set key.path=value ...]

14 rates (Wei et al. 2022), and 0.1, which every search tries. What else the study searches keeps the recipe's value.
Runs of a seed share their warm-up (`trainables.trunks`), which changes no number. Interrupted, it goes on where it was;
with more seeds it adds to the file. A machine of another kind gives other numbers: take a file of its own there.
"""

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from search.loading import load_study
from search.study import Cell, StudySpec
from trainables.folders import Folders
from trainables.places import lengths

GRID = (0.8, 0.6, 0.4, 0.2, 0.0, -0.2, -0.4, -0.6, -0.8, -1.0, -2.0, -4.0, -6.0, -8.0)  # the paper's, for CIFAR
RATES = (*GRID, 0.1)
CHOSEN = ("rate", "warmup")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a change to the study")
    parser.add_argument("--seeds", type=int, required=True, help="training seeds of each point, from 0")
    parser.add_argument("--warmups", type=int, nargs="+", required=True, help="epochs")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--data-dir", type=Path, default=Path("tosmooth-home/data"))
    parser.add_argument("--cache-dir", type=Path, default=Path("tosmooth-home/cache"))
    parser.add_argument("--jobs", type=int, default=2, help="processes of one thread each (%(default)s)")
    options = parser.parse_args()
    spec = plain_study(options.study, options.set)
    folders = Folders(options.data_dir.absolute(), options.cache_dir.absolute())
    parts = options.output.with_suffix(".parts")
    parts.mkdir(parents=True, exist_ok=True)
    if options.output.exists():  # more seeds are added to those that it has
        _split(pq.read_table(options.output), parts)
    files = {}
    with ProcessPoolExecutor(options.jobs, get_context("spawn")) as pool:
        for seed in range(options.seeds):
            for cell in spec.cells():
                part = parts / f"{cell.noise}-{seed}.parquet"
                if not part.exists():
                    files[pool.submit(_part, spec, cell, seed, tuple(options.warmups), folders, part)] = part
        for done in as_completed(files):
            done.result()
            print(files[done], flush=True)
    wanted = [parts / f"{cell.noise}-{seed}.parquet" for cell in spec.cells() for seed in range(options.seeds)]
    pq.write_table(pa.concat_tables(map(pq.read_table, wanted)), options.output, compression="zstd")


def _split(table: pa.Table, parts: Path) -> None:
    """A part for each level and seed of a recorded surface, where there is none."""
    for noise in pc.unique(table["noise"]).to_pylist():
        for seed in pc.unique(table["seed"]).to_pylist():
            part = parts / f"{noise}-{seed}.parquet"
            own = table.filter((pc.field("noise") == noise) & (pc.field("seed") == seed))
            if own.num_rows and not part.exists():
                pq.write_table(own, part)


def plain_study(name: str, changes: Sequence[str] = (), seed: int | None = None) -> StudySpec:
    """The study, of whose space rate and warm-up are left."""
    others = [key for key in load_study(name).space if key not in CHOSEN]
    return load_study(name, [*(f"space.{key}=null" for key in others), *changes], seed=seed)


def _part(spec: StudySpec, cell: Cell, seed: int, warmups: tuple[int, ...], folders: Folders, output: Path) -> None:
    """Every point of one level and seed."""
    with tempfile.TemporaryDirectory() as scratch:
        rows = list(_runs(spec, cell, seed, warmups, folders, scratch))
    pq.write_table(pa.Table.from_pylist(rows), output)


def _runs(
    spec: StudySpec, cell: Cell, seed: int, warmups: tuple[int, ...], folders: Folders, scratch: str
) -> Iterator[dict[str, Any]]:
    from trainables.datasets import load_level  # torch belongs into the processes that train
    from trainables.process import prepare
    from trainables.train import train
    from trainables.trunks import Trunks

    prepare(1)
    data = load_level(spec.data_config(cell.noise), folders)
    trunks = Trunks(scratch, lengths(warmups))
    for rate in sorted(RATES, key=abs):  # cross-entropy first: it makes the trunks
        for warmup in warmups[:1] if rate == 0 else warmups:  # to which a warm-up is nothing
            config = spec.trial_config(cell, {"rate": rate, "warmup": warmup}, seed)
            trainer = train(config, data, lambda report: None, trunks=trunks)
            yield {
                "noise": cell.noise,
                "rate": rate,
                "warmup": warmup,
                "seed": seed,
                "diverged": trainer.diverged is not None,
                "val_accuracy": [metrics["val_accuracy"] for metrics in trainer.curve],  # an entry an epoch
                "test_accuracy": trainer.curve[-1]["test_accuracy"],
            }


if __name__ == "__main__":
    main()
