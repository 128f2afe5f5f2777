"""Trains every point of a surface of `surfaces.py`, many seeds a point, and writes the curves, to replay searches on.

    python tests/benchmarks/record_surface.py NAME [--between] [--seeds N] [--set KEY=VALUE] [--data-dir DIR]

14 rates (Wei et al. 2022), and 0.1, which every search tries, at each warm-up, and each factor of the learning rate
after it where the surface has some. What else the study searches keeps the recipe's value. Runs of a seed share their
warm-up (`trainables.checkpointing.trunks`), which changes no number. Interrupted, it goes on where it was; with more
seeds it adds to the file. A machine of another kind gives other numbers: take a file of its own there.

`--between` records rates between those of the grid instead, into NAME-between.parquet.
"""

import argparse
import itertools
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from surfaces import BETWEEN, DATA, FACTOR, FAMILY, RATES

from tosmooth.search.api.studies import HERE
from tosmooth.search.records import Cell
from tosmooth.search.spec.study import StudySpec
from tosmooth.search.storage.code import with_code
from tosmooth.trainables.checkpointing.layout import lengths
from tosmooth.trainables.files.folders import Folders
from tosmooth.trainables.user_code import UserCode, use

Point = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("surface", choices=FAMILY)
    parser.add_argument("--between", action="store_true", help="rates between those of the grid")
    parser.add_argument("--seeds", type=int, help="training seeds of each point, from 0 [as many as the surface has]")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as where weights lie here")
    parser.add_argument("--output", type=Path, help="[the file in data/]")
    parser.add_argument("--data-dir", type=Path, default=Path("tosmooth-home/data"))
    parser.add_argument("--cache-dir", type=Path, default=Path("tosmooth-home/cache"))
    parser.add_argument("--jobs", type=int, default=2, help="processes of one thread each (%(default)s)")
    options = parser.parse_args()
    surface = FAMILY[options.surface]
    name = f"{options.surface}-between" if options.between else options.surface
    output: Path = options.output or DATA / f"{name}.parquet"
    spec, code = with_code(surface.spec(options.set), HERE)
    points = points_of(BETWEEN if options.between else RATES, surface.warmups, surface.factors, spec)
    seeds = range(options.seeds or surface.seeds)
    folders = Folders(options.data_dir.absolute(), options.cache_dir.absolute())
    parts = output.with_suffix(".parts")
    parts.mkdir(parents=True, exist_ok=True)
    if output.exists():  # more seeds are added to those that it has
        _split(pq.read_table(output), parts)
    began, files, cells = time.monotonic(), {}, spec.cells()
    with ProcessPoolExecutor(options.jobs, get_context("spawn")) as pool:
        for seed, cell in itertools.product(seeds, cells):
            part = parts / f"{cell.noise}-{seed}.parquet"
            if not part.exists():
                files[pool.submit(_part, spec, code, cell, seed, points, folders, part)] = part
        for done in as_completed(files):
            done.result()
            print(files[done], flush=True)
    wanted = [parts / f"{cell.noise}-{seed}.parquet" for cell in cells for seed in seeds]
    pq.write_table(pa.concat_tables(map(pq.read_table, wanted)), output, compression="zstd")
    print(f"{output}: {len(files)} parts in {(time.monotonic() - began) / 60:.1f} minutes")


def _split(table: pa.Table, parts: Path) -> None:
    """A part for each level and seed of a recorded surface, where there is none."""
    for noise in pc.unique(table["noise"]).to_pylist():
        for seed in pc.unique(table["seed"]).to_pylist():
            part = parts / f"{noise}-{seed}.parquet"
            own = table.filter((pc.field("noise") == noise) & (pc.field("seed") == seed))
            if own.num_rows and not part.exists():
                pq.write_table(own, part)


def points_of(rates: Sequence[float], warmups: Sequence[int], factors: Sequence[float], spec: StudySpec) -> list[Point]:
    """Every point, cross-entropy first: it makes the trunks. To cross-entropy itself its warm-up is nothing."""
    found = []
    for rate, warmup, factor in itertools.product(sorted(rates, key=abs), warmups, factors or (1.0,)):
        plain = rate == 0 and factor == 1 and spec.training.recipe == "single"
        if not plain or warmup == warmups[0]:
            found.append({"rate": rate, "warmup": warmup} | ({FACTOR: factor} if factors else {}))
    return sorted(found, key=lambda point: (abs(point["rate"]), -point.get(FACTOR, 1)))


def _part(
    spec: StudySpec, code: UserCode | None, cell: Cell, seed: int, points: list[Point], folders: Folders, output: Path
) -> None:
    """Every point of one level and seed."""
    if code is not None:
        use(code, folders.cache)
    with tempfile.TemporaryDirectory() as scratch:
        rows = list(_runs(spec, cell, seed, points, folders, scratch))
    pq.write_table(pa.Table.from_pylist(rows), output)


def _runs(
    spec: StudySpec, cell: Cell, seed: int, points: list[Point], folders: Folders, scratch: str
) -> Iterator[Point]:
    from tosmooth.trainables.checkpointing.trunks import Trunks
    from tosmooth.trainables.data.datasets import load_level  # torch belongs into the processes that train
    from tosmooth.trainables.networks.prepare import prepared
    from tosmooth.trainables.training.process import prepare
    from tosmooth.trainables.training.trainer import train

    prepare(1)
    data = load_level(spec.data_config(cell.noise), folders)
    trunks = Trunks(scratch, lengths([point["warmup"] for point in points]))
    for point in points:
        ready = prepared(spec.trial_config(cell, point, seed), data, folders)
        trainer = train(ready.config, ready.data, lambda report: None, trunks=trunks, start=ready.start)
        curve = [metrics["val_accuracy"] for metrics in trainer.curve]  # an entry an epoch
        yield {"noise": cell.noise, **point, "seed": seed, "diverged": trainer.diverged is not None} | {
            "val_accuracy": curve, "test_accuracy": trainer.curve[-1]["test_accuracy"]
        }  # fmt: skip


if __name__ == "__main__":
    main()
