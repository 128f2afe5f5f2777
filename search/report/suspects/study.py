"""Suspects of a study's cells: what is to be trained for them, and the lists that come of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tosmooth.search.preflight.limits import usable_cores
from tosmooth.search.records import Cell, Record
from tosmooth.search.report.analysis.cells import CHOSEN, Arm, arms_of
from tosmooth.search.report.suspects.files import SuspectList, folder_of
from tosmooth.search.report.suspects.lists import CellArms, Judged, suspect_list
from tosmooth.search.report.suspects.training import Job, Say, Trial, Workplace, file_of, train_all
from tosmooth.search.spec.parameters import BASELINE_METHOD
from tosmooth.search.spec.seeds import derive_seed
from tosmooth.search.spec.study import StudySpec
from tosmooth.search.storage.study_folder import StudyFolder
from tosmooth.trainables.data.datasets import load_level
from tosmooth.trainables.data.places import places_of
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.files.folders import Folders
from tosmooth.trainables.suspects.folds import Folds
from tosmooth.trainables.suspects.out_of_fold import FoldLogits, Logits


@dataclass(frozen=True, slots=True)
class Options:
    """What is asked for."""

    folds: int = 5
    seeds: int = 1  # training seeds whose predictions are averaged
    compare: bool = False  # train cross-entropy and label smoothing, too


@dataclass(slots=True)
class _Level:
    """One level: its examples, and its jobs by training seed and fold."""

    judged: Judged
    jobs: dict[tuple[int, int], Job] = field(default_factory=dict)


def arms_to_train(spec: StudySpec, cell: Cell, records: Sequence[Record], options: Options) -> CellArms:
    """Arms of a cell. Raises `InputError` where nothing is chosen yet."""
    arms = [arm for arm in arms_of(spec, cell, records) if arm.chosen or options.compare]
    if not any(arm.chosen for arm in arms):
        raise InputError(f"{cell.key}: no trial of its search completed, so nothing is chosen: run the study first")
    return CellArms(cell, sorted(arms, key=lambda arm: arm.name == CHOSEN))  # CE first: its trunk is the others' start


class SuspectSearch:
    """Search for suspects among the labels of a study. `run` trains what is missing; `lists` makes the lists."""

    def __init__(
        self, folder: StudyFolder, spec: StudySpec, records: Sequence[Record], folders: Folders, options: Options
    ) -> None:
        self.folder, self.spec, self.records, self.folders, self.options = folder, spec, records, folders, options
        self.kept = folder_of(folder.path) / "folds"
        self.seeds = [derive_seed(spec.seed, "suspects", i, "train") for i in range(options.seeds)]
        self._levels: dict[str, _Level] = {}
        self._cells: list[CellArms] = []
        self._diverged: dict[Path, str] = {}

    def run(self, cells: Sequence[Cell], say: Say) -> None:
        """Train what these cells' lists need. Raises `InputError` before that where something is wrong."""
        self._cells = [arms_to_train(self.spec, cell, self.records, self.options) for cell in cells]
        for each in self._cells:
            if each.cell.level not in self._levels:
                say(f"{each.cell.level}: reading the data")
                self._levels[each.cell.level] = _Level(self._judged(each.cell))
            for arm in each.arms:
                self._plan(each.cell, arm)
        code = self.folder.code()
        place = Workplace(
            folders=self.folders,
            scratch=folder_of(self.folder.path) / "unfinished",
            code=None if code is None else code.archive,
            threads=self._threads,
            share=self.spec.trunks.share,
            checkpoint=self.spec.trial_checkpoint,
        )
        jobs = [job for level in self._levels.values() for job in level.jobs.values()]
        self._diverged = train_all(jobs, place, self._workers, say)

    def lists(self) -> Iterator[tuple[Cell, SuspectList, Judged]]:
        """Yield the list of each cell, with the examples that it is of."""
        for each in self._cells:
            yield each.cell, self._list(each), self._levels[each.cell.level].judged

    @property
    def _threads(self) -> int:
        """Threads of a process: the layers of an MLP are too small for several."""
        return 1 if self.spec.network.name == "mlp" else max(1, int(self.spec.resources.cpus))

    @property
    def _workers(self) -> int:
        """Processes at once: as many as the study's trials would be."""
        cores = max(1, usable_cores() // self._threads)
        if torch.cuda.is_available():
            cores = min(cores, max(1, int(1 / (self.spec.resources.gpus or 0.25))))
        return min(cores, self.spec.resources.concurrent or cores)

    def _judged(self, cell: Cell) -> Judged:
        """Read a level. Raises `InputError` where its data are not those that the study was trained on."""
        config = self.spec.data_config(cell.noise)
        data = load_level(config, self.folders)
        self.folder.check_levels({cell.level: replace(self.folder.levels()[cell.level], digest=data.digest)})
        folds = Folds.of(data, self.options.folds, self.spec.seed)
        rows = torch.cat([data.train.rows, data.validation.rows]).numpy()
        return Judged(data, folds, places_of(config, self.folders, rows))

    def _config(self, cell: Cell, arm: Arm, seed: int) -> Any:
        method = cell.method if arm.name == CHOSEN else BASELINE_METHOD
        config = self.spec.trial_config(cell, arm.params, seed, method)
        weights = self.folder.levels()[cell.level].weights
        if weights and config.network.has_backbone:
            config = replace(config, network=replace(config.network, sha256=weights))
        return config

    def _plan(self, cell: Cell, arm: Arm) -> None:
        """Add the networks of an arm to the jobs of its level; what cells share is trained once."""
        level = self._levels[cell.level]
        for seed in self.seeds:
            for fold in range(self.options.folds):
                number = (seed, fold)
                job = level.jobs.get(number) or Job(
                    (), level.judged.data.digest, self.options.folds, fold, self.spec.seed
                )
                config = self._config(cell, arm, seed)
                trial = Trial(config, file_of(self.kept, config, job))
                if trial not in job.trials:
                    job = replace(job, trials=(*job.trials, trial))
                level.jobs[number] = job

    def _said(self, cell: Cell, arm: Arm, seed: int) -> tuple[Logits, int] | str:
        """Logits [N, K] of the networks of an arm and seed, and how many others diverged; or why there are none."""
        level = self._levels[cell.level]
        judged, n = level.judged, len(level.judged.folds.train)
        logits = np.zeros((len(judged.fold), judged.data.classes), np.float32)
        again = 0
        for fold in range(self.options.folds):
            file = file_of(self.kept, self._config(cell, arm, seed), level.jobs[seed, fold])
            if file in self._diverged:
                return self._diverged[file]
            said = FoldLogits.read(file)
            if said is None:
                raise InputError(f"{file}: gone while it was needed; run the command again")
            again += said.diverged
            logits[:n][judged.folds.train == fold] = said.train
            logits[n:][judged.folds.validation == fold] = said.validation
        return logits, again

    def _list(self, each: CellArms) -> SuspectList:
        judged = self._levels[each.cell.level].judged
        said = {arm.name: {seed: self._said(each.cell, arm, seed) for seed in self.seeds} for arm in each.arms}
        return suspect_list(self.spec, each, judged, said)
