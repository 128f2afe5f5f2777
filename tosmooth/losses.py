"""The losses for training code of one's own: modules that take the place of `torch.nn.CrossEntropyLoss`.

`GeneralizedSmoothing(rate, warmup, ramp)` is generalised label smoothing; the others are its relatives. Each takes
logits [B, K] and labels [B], or the other shapes that `torch.nn.CrossEntropyLoss` takes, and gives the mean loss [], in
nats where it is a likelihood. All of them also take:

- `warmup`: epochs of plain cross-entropy before the loss itself. With a warm-up or a ramp the loss must be told of each
  epoch before it begins, by `loss.epoch = e` (from 0) or `loss.step_epoch()`.
- `weight` [K], `ignore_index` (-100) and `reduction` ("mean", "sum" or "none"), as in torch.

A wrong parameter or shape raises `InputError`.
"""

from tosmooth.trainables.losses.modules import *  # noqa: F403 - named there
from tosmooth.trainables.losses.modules import __all__ as __all__
