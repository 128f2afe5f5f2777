"""Optimizers of PyTorch without its compiler, which no run uses and every process would load for its first optimizer.

The first call of a method of `torch.optim.Optimizer` imports `torch._dynamo`, to keep that from compiling the method:
1.3 s of CPU time, nearly as much again as `import torch`, in each process that trains a trial or measures a level. Here
the methods are as they are inside that wrapper: they do the same, bit for bit.
"""

import inspect

import torch
from torch.optim import Optimizer


class _Bare(Optimizer):
    """Optimizer whose methods are in no wrapper."""

    add_param_group = inspect.unwrap(Optimizer.add_param_group)
    zero_grad = inspect.unwrap(Optimizer.zero_grad)
    state_dict = inspect.unwrap(Optimizer.state_dict)
    load_state_dict = inspect.unwrap(Optimizer.load_state_dict)


class SGD(_Bare, torch.optim.SGD):
    """Stochastic gradient descent, as `torch.optim.SGD` has it."""

    step = torch.no_grad()(inspect.unwrap(torch.optim.SGD.step))  # the wrapper turned gradients off, too


class AdamW(_Bare, torch.optim.AdamW):
    """Adam with decoupled weight decay, as `torch.optim.AdamW` has it."""

    step = torch.no_grad()(inspect.unwrap(torch.optim.AdamW.step))
