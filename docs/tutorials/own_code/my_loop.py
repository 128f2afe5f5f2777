"""A plain loop: a small network, whose learning rate and layers the study gives."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from tosmooth import Trial


def train(trial: Trial) -> None:
    """Train and report each epoch."""
    x, y = trial.inputs.to(trial.device), trial.labels.to(trial.device)
    sizes = [x.shape[1], *[32] * trial.params["layers"]]
    hidden = [layer for size in pairwise(sizes) for layer in (nn.Linear(*size), nn.ReLU())]
    network = nn.Sequential(*hidden, nn.Linear(sizes[-1], trial.classes)).to(trial.device)
    optimizer = torch.optim.AdamW(network.parameters(), lr=trial.params["lr"])

    def accuracy(inputs: Tensor, labels: Tensor) -> Tensor:
        with torch.no_grad():
            return 100 * (network(inputs).argmax(dim=1) == labels).float().mean()

    first, state = 1, trial.load()
    if state is not None:  # the trial was interrupted
        first = state["epoch"] + 1
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["random"])
    for epoch in range(first, trial.epochs + 1):
        loss = trial.loss(epoch)
        for rows in trial.train[torch.randperm(len(trial.train))].split(64):
            optimizer.zero_grad()
            loss(network(x[rows]), y[rows]).backward()
            optimizer.step()
        told = {"val_accuracy": accuracy(x[trial.validation], y[trial.validation])}
        if trial.test_inputs is not None and trial.test_labels is not None:
            told["test_accuracy"] = accuracy(trial.test_inputs.to(trial.device), trial.test_labels.to(trial.device))
        trial.report(epoch, **told)
        trial.save(
            epoch,
            {
                "epoch": epoch,
                "network": network.state_dict(),
                "optimizer": optimizer.state_dict(),
                "random": torch.get_rng_state(),
            },
        )
