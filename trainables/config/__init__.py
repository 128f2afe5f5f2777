"""Configuration of one training run: frozen, validated once, every field with its unit.

A `TrialConfig` holds all that shapes the numbers of a trial. Paths of files are kept apart
(`trainables.files.folders`), so that the same trial gives the same numbers on another machine.
"""

from tosmooth.trainables.config.data import CLEANED, MATRIX, SOFT, CleanedBy, DataConfig
from tosmooth.trainables.config.network import NETWORKS, NetworkConfig
from tosmooth.trainables.config.table import DONE, LABEL, ROW, TABULAR, AllBut, Files, TableSource
from tosmooth.trainables.config.training import OptimizerConfig, ScheduleConfig, TrainingConfig
from tosmooth.trainables.config.trial import TrialConfig, check_code, check_trainable, references_of

__all__ = [
    "CLEANED",
    "DONE",
    "LABEL",
    "MATRIX",
    "NETWORKS",
    "ROW",
    "SOFT",
    "TABULAR",
    "AllBut",
    "CleanedBy",
    "DataConfig",
    "Files",
    "NetworkConfig",
    "OptimizerConfig",
    "ScheduleConfig",
    "TableSource",
    "TrainingConfig",
    "TrialConfig",
    "check_code",
    "check_trainable",
    "references_of",
]
