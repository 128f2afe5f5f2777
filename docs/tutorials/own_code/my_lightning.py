"""A module of Lightning, trained by its Trainer; a callback gives each epoch its loss and reports it."""

from typing import Any

import lightning
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from tosmooth import Trial


class Classifier(lightning.LightningModule):
    """Perceptron with a loss that is set each epoch."""

    def __init__(self, trial: Trial) -> None:
        super().__init__()
        self.trial = trial
        self.network = nn.Sequential(nn.Linear(trial.inputs.shape[1], 32), nn.ReLU(), nn.Linear(32, trial.classes))

    def training_step(self, batch: list[Tensor], index: int) -> Tensor:
        inputs, labels = batch
        return self.trial.loss(self.current_epoch + 1)(self.network(inputs), labels)  # Lightning counts from 0

    def validation_step(self, batch: list[Tensor], index: int) -> None:
        inputs, labels = batch
        right = self.network(inputs).argmax(dim=1) == labels
        self.log("val_accuracy", right.float().mean(), on_epoch=True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=self.trial.params["lr"])


class Report(lightning.Callback):
    """Callback that reports each epoch of a trial, in percent."""

    def on_validation_epoch_end(self, trainer: lightning.Trainer, module: Any) -> None:
        trial, told = module.trial, {"val_accuracy": 100 * trainer.callback_metrics["val_accuracy"]}
        if trial.test_inputs is not None:
            right = module.network(trial.test_inputs.to(module.device)).argmax(dim=1).cpu() == trial.test_labels
            told["test_accuracy"] = 100 * right.float().mean()
        trial.report(trainer.current_epoch + 1, **told)


def train(trial: Trial) -> None:
    """Train by Lightning's loop, which writes nothing but into the trial's folder."""

    def loader(rows: Tensor, shuffle: bool) -> DataLoader[Any]:
        return DataLoader(TensorDataset(trial.inputs[rows], trial.labels[rows]), batch_size=64, shuffle=shuffle)

    trainer = lightning.Trainer(
        max_epochs=trial.epochs,
        accelerator=trial.device.type,
        devices=1,
        default_root_dir=trial.folder,
        callbacks=[Report()],
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Classifier(trial), loader(trial.train, True), loader(trial.validation, False))
