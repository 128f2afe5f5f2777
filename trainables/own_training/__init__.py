"""Training by a function of the user's, in the place of ours: it gets a `Trial`, trains however it likes, and reports
each epoch. `OwnRun` runs it epoch by epoch, as `training.trainer.Trainer` runs ours.
"""

from tosmooth.trainables.own_training.run import OwnRun
from tosmooth.trainables.own_training.trial import StopTrial, Trial

__all__ = ["OwnRun", "StopTrial", "Trial"]
