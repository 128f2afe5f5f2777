"""The search beside what one would pick instead: other libraries' samplers on the same recorded surfaces.

    python tests/benchmarks/bench_samplers.py [--surfaces NAME ...] [--studies N] [--samplers NAME ...] [--jobs N]
        [--markdown FILE] [--json FILE]

A study of ours is replayed as in `bench_search.py`. Each other sampler then searches each of its levels alone, with the
same recorded seeds and space, for as many epochs as ours trained there until its choice; it starts runs while any are
left, so its last may exceed them. It is judged by what it recommends itself, and by our readout of its trials; then
again with our trunks, by which the epochs of a warm-up that an earlier run trained are not counted. Points are those of
clean-test accuracy above the choice of the paper's grid, on seeds that none of them saw. A run that diverged is told as
an accuracy at chance level, and costs the epochs until then.

Ours is judged by its whole search, and as `our readout` without its confirmation, which the others have not either.
What is not installed is left out, which is said.
"""

import random
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from bench_search import ALONE, CONFIRMING, SEEN, _split, grid_choice, recorded
from harness import Measurement, arguments, report
from replay import OutOfSeedsError, Replayed, replay
from samplers.catalogue import CATALOGUE, maker
from samplers.contest import Contest
from samplers.verdict import OWN, READOUT, TRUNKS, US, Played, Side, Verdict, markdown
from surface import Surface, Truth
from surfaces import DATA, FAMILY

from tosmooth.search.records import Cell, Record
from tosmooth.search.selection.choice import chosen
from tosmooth.search.spec.method_spec import MethodSpec
from tosmooth.search.spec.parameters import Params
from tosmooth.search.spec.seeds import derive_seed


def main() -> None:
    parser = arguments(__doc__, repeats=1)
    parser.add_argument("--surfaces", nargs="+", choices=recorded(), default=recorded(), metavar="NAME")
    parser.add_argument("--samplers", nargs="+", choices=list(CATALOGUE), default=list(CATALOGUE), metavar="NAME")
    parser.add_argument("--studies", type=int, default=20, help="replayed on each surface (%(default)s)")
    parser.add_argument("--jobs", type=int, default=2, help="processes (%(default)s)")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables there, too")
    options = parser.parse_args()
    missing = {name: why for name in options.samplers if isinstance(why := maker(name), str)}
    there = [name for name in options.samplers if name not in missing]
    played: dict[str, list[Played]] = {}
    with ProcessPoolExecutor(options.jobs, get_context("spawn")) as pool:
        asked = {
            name: [pool.submit(play, name, DATA, there, seed) for seed in range(options.studies)]
            for name in options.surfaces
        }
        for name, waiting in asked.items():
            played[name] = [done for each in waiting if (done := each.result()) is not None]
            print(f"{name}: {len(played[name])} studies", file=sys.stderr, flush=True)
            found = Verdict(played)
            table = markdown(found, missing)
            if options.markdown:  # after each surface: hours may be lost otherwise
                options.markdown.parent.mkdir(parents=True, exist_ok=True)
                options.markdown.write_text(table, encoding="utf-8")
    print(table)
    each = [Measurement(what=name, unit="points", values=values) for name, values in found.values().items()]
    facts = found.facts() | {"not tried": missing}
    report(
        "Samplers beside the search",
        [Measurement(what="mean of each surface", unit="points", values=found.means(), facts=facts), *each],
        options.json,
    )


def play(name: str, folder: Path, samplers: Sequence[str], seed: int) -> Played | None:
    """One study of ours, and the other samplers' searches of its levels, on recorded seeds that this seed draws.

    `None` where ours repeats parameters more often than there are seeds for it.
    """
    surface = Surface.read(folder / f"{name}.parquet", FAMILY[name].classes)
    order = random.Random(seed).sample(surface.seeds, len(surface.seeds))
    answers, confirming = _split(order)
    spec = FAMILY[name].spec([f"confirmation.seeds={CONFIRMING}"] if confirming else ALONE, seed)
    seen = surface.restricted([*answers, *confirming])
    try:
        ours = replay(spec, seen, answers, confirming)
    except OutOfSeedsError:
        return None
    played, view = Played(), MethodSpec.of(spec, "gls")
    judges = {cell: _Judge.of(surface, order, ours, cell, confirming, answers[:SEEN]) for cell in spec.cells()}
    for cell, judge in judges.items():
        for trunks in ("", TRUNKS):  # ours shares its trunks always
            judge.note(played, US, ours.choice(cell), _by_search(view, ours.of(cell)), ours.epochs(cell), trunks)
    for sampler in samplers:
        make = maker(sampler)
        assert not isinstance(make, str)
        try:
            for cell, judge in judges.items():
                contest = Contest(spec, seen, answers[:SEEN], cell)
                stands = contest.search(make, ours.epochs(cell), derive_seed(seed, cell.key, sampler))
                for trunks, stand in zip(("", TRUNKS), stands, strict=True):
                    judge.note(played, sampler, stand.best, _by_search(view, stand.records), stand.epochs, trunks)
        except Exception as error:  # a library that fails in one study is not to end a comparison of hours
            played.drop(sampler, error)
    return played


@dataclass(frozen=True, slots=True)
class _Judge:
    """Says how good a choice of a cell is, on seeds that no search saw."""

    truth: Truth
    noise: str
    grid: float  # accuracy of the choice of the paper's grid

    @classmethod
    def of(
        cls,
        surface: Surface,
        order: Sequence[int],
        ours: Replayed,
        cell: Cell,
        confirming: Sequence[int],
        known: Sequence[int],
    ) -> "_Judge":
        seen = {*known, *ours.seen[cell], *confirming}
        truth = surface.truth(cell.noise, [seed for seed in order if seed not in seen])
        return cls(truth, cell.noise, truth.accuracy(grid_choice(surface.restricted(known), cell.noise)))

    def note(
        self, played: Played, name: str, own: Params | None, readout: Params | None, epochs: int, trunks: str
    ) -> None:
        """Write down what both choices are worth; where there is none, the network is one that learnt nothing."""
        for column, params in ((OWN, own), (READOUT, readout or own)):
            accuracy = 100 / self.truth.surface.classes if params is None else self.truth.accuracy(params)
            played.points.setdefault(Side(name, column + trunks), {})[self.noise] = accuracy - self.grid
        played.epochs[name + trunks] = played.epochs.get(name + trunks, 0) + epochs


def _by_search(view: MethodSpec, records: Sequence[Record]) -> Params | None:
    """What our readout chooses of a search, before any confirmation."""
    return chosen(view, [record for record in records if record.phase == "search"])


if __name__ == "__main__":
    main()
