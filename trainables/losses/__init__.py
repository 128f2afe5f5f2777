"""The losses, one for each method of `trainables.methods`: pure functions, and `make_loss` that makes one for training.

The functions take logits [B, K] in any precision, labels [B] and plain numbers, and give the batch's mean loss [],
computed in float32 or wider; with `weights` [B] of its examples the weighted mean (`common.averaged`). The package
imports `methods` and `rules`; torch.
"""

from tosmooth.trainables.losses.interface import Facts, Loss, Mixed, MixingLoss, StatefulLoss, Step
from tosmooth.trainables.losses.making import make_loss
from tosmooth.trainables.losses.smoothing import gls_loss

__all__ = ["Facts", "Loss", "Mixed", "MixingLoss", "StatefulLoss", "Step", "gls_loss", "make_loss"]
