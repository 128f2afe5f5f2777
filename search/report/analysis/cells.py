"""Analysis of the networks of a study: the chosen parameters beside cross-entropy and label smoothing.

The networks are those that the confirmation kept. Each is analysed by `trainables.analysis`; here they are found, told
apart and put side by side. Student and attacks, which cost most, are of the first fresh seed alone.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

import torch
from torch import nn

from tosmooth.search.records import Cell, Level, Record, TrialKey, of_cell
from tosmooth.search.report.notes import RUN_AWAY
from tosmooth.search.report.saved_weights import check_weights
from tosmooth.search.selection.choice import chosen
from tosmooth.search.selection.comparison import borrowed, confirmed
from tosmooth.search.spec.method_spec import MethodSpec
from tosmooth.search.spec.parameters import BASELINE_METHOD, Params
from tosmooth.search.spec.study import StudySpec
from tosmooth.search.storage.study_folder import StudyFolder
from tosmooth.trainables.analysis.analyse import Analysis, DivergedError, Options, analyse
from tosmooth.trainables.analysis.bias_variance import error_decomposition, loss_decomposition
from tosmooth.trainables.analysis.calibration import LOG_TEMPERATURE
from tosmooth.trainables.analysis.predictions import saved_network, saved_trial
from tosmooth.trainables.data.datasets import LevelData, load_level
from tosmooth.trainables.errors import InputError, require
from tosmooth.trainables.files.folders import Folders
from tosmooth.trainables.networks.device import default_device
from tosmooth.trainables.networks.prepare import Prepared, prepared

CHOSEN, CE, LS = "chosen", "CE", "LS"

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Arm:
    """Parameters that are compared, and the runs that confirmed them."""

    name: str  # CHOSEN, CE or LS
    params: Params
    runs: dict[int, Record]  # complete or diverged, by training seed, in the order of the study's seeds
    chosen: bool  # also where it is a baseline that was chosen


@dataclass(slots=True)
class ArmAnalysis:
    """Analysis of one arm."""

    arm: Arm
    networks: dict[int, Analysis] = field(default_factory=dict)  # by training seed
    spread: dict[str, float] = field(default_factory=dict)  # bias and variance over the seeds; empty for one seed
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class CellAnalysis:
    """One cell, its arms side by side."""

    cell: Cell
    level: Level
    arms: list[ArmAnalysis]
    notes: list[str]

    @property
    def title(self) -> str:
        """The cell's name for readers, to whom gls goes without saying."""
        return self.cell.level if self.cell.method == "gls" else f"{self.cell.level}, {self.cell.method}"

    @property
    def ce(self) -> ArmAnalysis | None:
        """Plain cross-entropy, to which the others are compared."""
        return next((each for each in self.arms if each.arm.name == CE), None)


def asked(spec: StudySpec, levels: Sequence[str]) -> list[Cell]:
    """The cells of these levels, all where none is named. Raises `InputError` for a level that the study lacks."""
    for level in levels:
        known = any(level in (cell.level, cell.noise) for cell in spec.cells())
        require(known, "--level", level, f"one of {', '.join(spec.dataset.noise)}")
    return [cell for cell in spec.cells() if not levels or cell.level in levels or cell.noise in levels]


def arms_of(spec: StudySpec, cell: Cell, records: Sequence[Record]) -> list[Arm]:
    """The chosen parameters of a cell and its baselines; what is equal stands once, by the baseline's name."""
    runs = [*borrowed(*cell, records), *of_cell(cell, records)]
    view = MethodSpec.of(spec, cell.method)
    best = chosen(view, runs)
    baselines = view.baselines(best)
    chosen_arm, ce, ls = (cell.method, best), (BASELINE_METHOD, baselines.ce), (BASELINE_METHOD, baselines.ls)
    named = ({} if chosen_arm in (ce, ls) else {CHOSEN: chosen_arm}) | {CE: ce, LS: ls}
    seeds = spec.confirmation_seeds()
    arms = []
    for name, (method, params) in named.items():
        if params is not None:
            ended = confirmed(runs, params, method)
            same = (method, params) == chosen_arm
            arms.append(Arm(name, params, {s: ended[s] for s in seeds if s in ended}, same))
    return arms


def lacking(folder: StudyFolder, spec: StudySpec, records: Sequence[Record], cells: Sequence[Cell]) -> list[str]:
    """Name the networks of the first fresh seed that are not there, a line each."""
    first = spec.confirmation_seeds()[0]
    lines = []
    for cell in cells:
        for arm in arms_of(spec, cell, records):
            run = arm.runs.get(first)
            if run is None:
                lines.append(f"{cell.key}: {arm.name} on the first fresh seed: not trained yet")
            elif run.state == "complete" and not folder.weights(run.key).exists():
                lines.append(f"{cell.key}: {arm.name} on the first fresh seed: {folder.weights(run.key)} is gone")
    return list(dict.fromkeys(lines))


def analyse_study(
    folder: StudyFolder,
    spec: StudySpec,
    records: Sequence[Record],
    folders: Folders,
    cells: Sequence[Cell],
    options: Options,
    say: Say = lambda words: None,
) -> list[CellAnalysis]:
    """Analyse the `cells` of a study; `say` is told what is being looked at.

    Raises `InputError` before anything is computed where networks are missing, where there is no clean test set, and
    where the data are not those that the study was trained on.
    """
    known = folder.levels()
    for cell in cells:
        rule = f"an analysis needs a clean test set, and {cell.level} has none"
        require(known[cell.level].test_size > 0, "dataset.table.test", None, rule)
    if lines := lacking(folder, spec, records, cells):
        rule = f"run it to its end first: tosmooth run {spec.name}; or bring the files back from a copy"
        raise InputError(f"study {spec.name!r}: weights are missing:\n  " + "\n  ".join(lines) + f"\n{rule}")
    found = []
    for name, group in groupby(cells, key=lambda cell: cell.level):
        say(f"{name}: reading the data")
        data = load_level(spec.data_config(name.partition("/")[2]), folders)
        folder.check_levels({name: replace(known[name], digest=data.digest)})
        options.check(data)
        level = _Level(folder, spec, data, folders, options, say)
        found += [_cell(cell, known[name], arms_of(spec, cell, records), level) for cell in group]
    return found


@dataclass(slots=True)
class _Level:
    """The networks of one level. What several cells share, their baselines, is analysed once."""

    folder: StudyFolder
    spec: StudySpec
    data: LevelData  # as it was read
    folders: Folders
    options: Options
    say: Say
    device: torch.device = field(default_factory=default_device)
    done: dict[tuple[TrialKey, TrialKey | None], Analysis] = field(default_factory=dict)

    def kept(self, run: Record | None) -> bool:
        """True if this run left a network that can be looked at."""
        return run is not None and run.state == "complete" and self.folder.weights(run.key).exists()

    def analysis(self, run: Record, other: Record | None) -> Analysis:
        """Analyse the network of a run; the transfer attack is made on that of `other`, CE's of the same seed."""
        other = other if self.kept(other) else None
        key = (run.key, other.key if other else None)
        if key not in self.done:
            first = run.train_seed == self.spec.confirmation_seeds()[0]
            wanted = self.options if first else replace(self.options, attacked=0, student=False)
            source = self._network(other)[1] if other is not None and wanted.attacked else None
            ready, network = self._network(run)
            self.done[key] = analyse(network, ready.config, ready.data, self.device, wanted, source)
        return self.done[key]

    def _network(self, run: Record) -> tuple[Prepared, nn.Module]:
        """Network of a run, and its trial with the data as that network takes them."""
        path = self.folder.weights(run.key)
        check_weights(path, self.spec, run, "bring it back from a copy, or run the study anew under another name")
        trial = saved_trial(path)
        # Where the study has the backbone's weights now; its SHA-256 is the trial's.
        trial = replace(trial, network=replace(trial.network, weights=self.spec.network.weights))
        ready = prepared(trial, self.data, self.folders, self.device, trained=True)
        return ready, saved_network(path, ready.data, self.device)


def _cell(cell: Cell, level: Level, arms: Sequence[Arm], networks: _Level) -> CellAnalysis:
    ce = next((arm.runs for arm in arms if arm.name == CE), {})
    found = [_arm(cell, arm, ce, networks) for arm in arms]
    return CellAnalysis(cell, level, found, list(_on_cell(found, networks)))


def _arm(cell: Cell, arm: Arm, ce: Mapping[int, Record], networks: _Level) -> ArmAnalysis:
    found = ArmAnalysis(arm)
    diverged = [seed for seed, run in arm.runs.items() if run.state == "diverged"]
    for number, (seed, run) in enumerate(arm.runs.items(), start=1):
        if not networks.kept(run):
            continue
        networks.say(f"{cell.key}: {arm.name}, seed {number} of {len(arm.runs)}")
        other = None if arm.name == CE else ce.get(seed)
        try:
            found.networks[seed] = networks.analysis(run, other)
        except DivergedError:
            diverged.append(seed)
    found.spread = _spread(list(found.networks.values()), networks.data.classes)
    found.notes = list(_on_arm(found, diverged))
    return found


def _spread(networks: Sequence[Analysis], classes: int) -> dict[str, float]:
    """Bias and variance over the seeds of one arm, of the error in points and of the loss in nats."""
    if len(networks) < 2:
        return {}
    logits, labels = torch.stack([each.test.logits for each in networks]), networks[0].test.labels
    error = error_decomposition(logits.argmax(dim=2), labels, classes)
    loss = loss_decomposition(logits, labels)
    return {
        "error_bias": error.bias,
        "error_variance": error.variance,
        "nll_bias": loss.bias,
        "nll_variance": loss.variance,
    }


def _on_arm(found: ArmAnalysis, diverged: Sequence[int]) -> Iterator[str]:
    """Notes that a reader must know on one arm; `diverged` are its seeds that did."""
    if diverged:
        yield f"{len(diverged)} of {len(found.arm.runs)} seeds diverged, left out: {', '.join(map(str, diverged))}"
    networks = found.networks.values()
    low, high = (math.exp(0.999 * end) for end in LOG_TEMPERATURE)
    if any(not low < (each.numbers["temperature"] or 0) < high for each in networks):
        yield "no temperature within e^-10 to e^10 is the best for the noisy validation: its end is taken"
    for each in networks:
        if size := each.notes.get("run_away"):
            yield f"{RUN_AWAY} ({size})"
        if masking := each.notes.get("masking"):
            yield f"signs of masked gradients, by which FGSM and PGD flatter it: {masking}"


def _on_cell(arms: Sequence[ArmAnalysis], networks: _Level) -> Iterator[str]:
    """Notes that a reader must know on all arms."""
    if not any(each.arm.chosen for each in arms):
        yield "no trial of the search completed: there is nothing chosen"
    if any(each.networks and not each.spread for each in arms):
        several = networks.spec.confirmation.most_seeds > 1
        key = (
            "confirmation.keep_weights: all keeps those of every seed"
            if several
            else "confirmation.seeds asks for more"
        )
        yield f"one network an arm: no spread, bias and variance over seeds; {key}"
    first = next((n for each in arms for n in each.networks.values() if "epsilon" in n.numbers), None)
    if first is not None:
        size = f"epsilon {first.numbers['epsilon']:.3g}, {first.numbers['examples']:.0f} test examples"
        yield f"attacks: {size}, networks of the first seed; no attack is a proof of robustness"
