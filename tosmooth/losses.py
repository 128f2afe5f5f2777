"""The losses for training code of one's own: modules that take the place of `torch.nn.CrossEntropyLoss`.

`tosmooth.losses.GeneralizedSmoothing(rate, warmup, ramp)` is generalised label smoothing; the others are its relatives.
"""

from tosmooth.trainables.losses.modules import *  # noqa: F403 - named there
from tosmooth.trainables.losses.modules import __all__ as __all__
