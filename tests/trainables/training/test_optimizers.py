"""Optimizers: the numbers of PyTorch's own, without its compiler."""

import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import nn

from tests.conftest import ROOT
from tosmooth.trainables.training.optimizers import SGD, AdamW

# In a process of its own: tests before this one may have loaded it.
TRIALS = """
import sys, tempfile
from pathlib import Path
from tosmooth.trainables.config import TrialConfig
from tosmooth.trainables.data.datasets import load_level
from tosmooth.trainables.files.folders import Folders
from tosmooth.trainables.training.trainer import train
for name in ("sgd", "adamw"):
    config = TrialConfig.from_dict({
        "data": {"dataset": "twonorm", "noise": "symmetric-0.2", "size": 60, "test_size": 20},
        "network": {"name": "mlp", "width": 4},
        "training": {"epochs": 2, "optimizer": {"name": name, "lr": 0.01}},
    })
    with tempfile.TemporaryDirectory() as folder:
        data = load_level(config.data, Folders(Path(folder), Path(folder)))
        reports = []
        train(config, data, reports.append)
    assert len(reports) == 2, reports
sys.exit(", ".join({"torch._dynamo", "torch._inductor", "sympy"} & set(sys.modules)) or 0)
"""


@pytest.mark.parametrize(
    ("ours", "theirs", "options"),
    [
        (SGD, torch.optim.SGD, {"momentum": 0.9, "nesterov": True, "weight_decay": 1e-3, "fused": True}),
        (SGD, torch.optim.SGD, {}),
        (AdamW, torch.optim.AdamW, {"weight_decay": 1e-2, "fused": True}),
    ],
)
def test_steps_are_those_of_pytorch_bit_for_bit(ours: Any, theirs: Any, options: dict[str, Any]) -> None:
    inputs = torch.randn(9, 5, generator=torch.Generator().manual_seed(0))
    weights = []
    for kind in (ours, theirs):
        torch.manual_seed(1)
        network = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3))
        optimizer = kind(network.parameters(), 0.1, **options)
        for _ in range(3):
            optimizer.zero_grad()
            network(inputs).square().mean().backward()
            optimizer.step()
        again = kind(network.parameters(), 0.3, **options)  # as after a checkpoint
        again.load_state_dict(optimizer.state_dict())
        for _ in range(2):
            again.zero_grad()
            network(inputs).square().mean().backward()
            again.step()
        assert all(weight.requires_grad and weight.grad_fn is None for weight in network.parameters())
        weights.append([weight.detach().clone() for weight in network.parameters()])
    assert all(torch.equal(one, other) for one, other in zip(*weights, strict=True))


def test_trials_do_not_load_the_compiler() -> None:
    done = subprocess.run([sys.executable, "-c", TRIALS], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
