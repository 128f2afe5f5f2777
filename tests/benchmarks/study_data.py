"""A study's data as its trials see them, for scripts: the same split, and features where the network is frozen."""

import argparse
import dataclasses
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from tosmooth.search.api.studies import load
from tosmooth.search.spec.study import StudySpec
from tosmooth.search.storage.home import Home
from tosmooth.search.storage.study_folder import StudyFolder
from tosmooth.trainables.data.datasets import LevelData, Split, load_level
from tosmooth.trainables.errors import require
from tosmooth.trainables.files.folders import Folders
from tosmooth.trainables.networks.prepare import Prepared, prepared
from tosmooth.trainables.user_code import use

CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class Opened:
    """A study whose user's code is in use, the levels that are asked for, and where its data lie."""

    spec: StudySpec
    levels: tuple[str, ...]
    folders: Folders
    kept: StudyFolder | None  # in the home, where it was run

    def ready(self, level: str) -> Prepared:
        """The level's recipe and data as a trial gets them: features are computed once, as `tosmooth run` does."""
        config = dataclasses.replace(self.spec.recipe("gls"), data=self.spec.data_config(level))
        return prepared(config, load_level(config.data, self.folders), self.folders, CPU)


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that say which study, and where its data lie."""
    parser.add_argument("study", help="name of a study of the home, or of a shipped one; or a study's file")
    parser.add_argument("--home", type=Path, default=Path("tosmooth-home"), metavar="DIR", help="[%(default)s]")
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="folder with the data [in the home]")
    parser.add_argument("--cache-dir", type=Path, metavar="DIR", help="of pictures and features [in the home]")
    parser.add_argument("--set", action="append", default=[], metavar="KEY.PATH=VALUE", help="as tosmooth run has it")
    parser.add_argument("--level", action="append", metavar="LEVEL", help="this level alone; repeatable")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every number there, too")


def opened(options: argparse.Namespace) -> Opened:
    """Open the study that the options name: as the home keeps it where it was run there, and nothing is changed."""
    home = Home(options.home)
    in_home = options.study if not options.set and not options.study.endswith((".yaml", ".yml")) else None
    kept = home.study(in_home) if in_home is not None and home.study(in_home).spec_file.exists() else None
    spec, code = load(options.study if kept is None else str(kept.spec_file), home, options.set, None, None)
    if code is not None:
        use(code)
    levels = tuple(options.level or spec.dataset.noise)
    for level in levels:
        require(level in spec.dataset.noise, "--level", level, f"one of {', '.join(spec.dataset.noise)}")
    return Opened(spec, levels, home.folders(options.data_dir, options.cache_dir), kept)


def examples(data: LevelData, split: Split) -> tuple[Tensor, Tensor]:
    """Inputs of a split, float32 [n, D], scaled as the network sees them, and its labels [n]."""
    mean, std = (torch.tensor(each) for each in (data.mean, data.std))
    return split.inputs.index_select(0, split.rows).float().sub_(mean).div_(std), split.labels
