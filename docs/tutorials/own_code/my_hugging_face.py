"""A transformer made from a configuration, trained by Hugging Face's Trainer; a callback reports each epoch.

Features are read as a sentence: each is a word, by which of 16 bins it lies in.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainerCallback, TrainingArguments

from tosmooth import Trial

BINS = 16


def words_of(inputs: Tensor) -> Tensor:
    """Return for each number the bin that it lies in."""
    return torch.bucketize(inputs, torch.linspace(-2, 2, BINS - 1))


class Report(TrainerCallback):
    """Callback that reports each epoch of a trial, in percent."""

    def __init__(self, trial: Trial) -> None:
        self.trial = trial

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        trial, model, told = self.trial, kwargs["model"], {"val_accuracy": 100 * kwargs["metrics"]["eval_accuracy"]}
        if trial.test_inputs is not None:
            with torch.no_grad():
                logits = model(input_ids=words_of(trial.test_inputs).to(model.device)).logits
            told["test_accuracy"] = 100 * (logits.argmax(dim=1).cpu() == trial.test_labels).float().mean()
        trial.report(round(state.epoch), **told)


class Smoothed(Trainer):
    """Trainer whose loss is the trial's, of the epoch that it is in."""

    trial: Trial

    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **kwargs: Any) -> Any:
        labels = inputs["labels"]
        outputs = model(input_ids=inputs["input_ids"])
        epoch = min(int(self.state.epoch or 0) + 1, self.trial.epochs)
        loss = self.trial.loss(epoch)(outputs.logits, labels)
        return (loss, outputs) if return_outputs else loss


def train(trial: Trial) -> None:
    """Train by Hugging Face's loop, which writes nothing but into the trial's folder."""
    words = words_of(trial.inputs)

    def rows_of(rows: Tensor) -> list[dict[str, Tensor]]:
        return [{"input_ids": words[row], "labels": trial.labels[row]} for row in rows]

    config = BertConfig(
        vocab_size=BINS,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=words.shape[1],
        num_labels=trial.classes,
        initializer_range=0.3,  # for so narrow a network
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    arguments = TrainingArguments(
        output_dir=str(trial.folder),
        num_train_epochs=trial.epochs,
        per_device_train_batch_size=16,
        per_device_eval_batch_size=256,
        learning_rate=trial.params["lr"],
        eval_strategy="epoch",
        save_strategy="no",
        logging_strategy="no",
        report_to=[],
        disable_tqdm=True,
        seed=trial.seed % 2**32,
        use_cpu=trial.device.type == "cpu",
    )
    trainer = Smoothed(
        model=BertForSequenceClassification(config),
        args=arguments,
        train_dataset=rows_of(trial.train),
        eval_dataset=rows_of(trial.validation),
        compute_metrics=lambda told: {"accuracy": np.mean(told.predictions.argmax(-1) == told.label_ids)},
        callbacks=[Report(trial)],
    )
    trainer.trial = trial
    trainer.train()
