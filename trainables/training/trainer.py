"""The only training loop. `train` runs a trial to its end; `Trainer` runs it epoch by epoch."""

import json
import math
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from tosmooth.trainables.checkpointing.kept_states import KeptStates
from tosmooth.trainables.checkpointing.states import State
from tosmooth.trainables.checkpointing.trunks import Trunks, is_plain
from tosmooth.trainables.checkpointing.weights import save_weights
from tosmooth.trainables.config import TrialConfig
from tosmooth.trainables.data.datasets import LevelData, Split
from tosmooth.trainables.networks.build import Weights
from tosmooth.trainables.networks.device import EVALUATION_BATCH, compute_dtype, default_device
from tosmooth.trainables.noise.estimate import HeldOut
from tosmooth.trainables.training.batches import Batches
from tosmooth.trainables.training.changes import Changes
from tosmooth.trainables.training.divergence import Divergence
from tosmooth.trainables.training.imbalance import EvenDraws
from tosmooth.trainables.training.metrics import Sums
from tosmooth.trainables.training.objective import Criterion, Objective
from tosmooth.trainables.training.schedule import in_second_phase, learning_rate, optimizer_of
from tosmooth.trainables.training.setup import BACKBONE_LR, FACTOR, new_optimizer, ready_network

VALIDATED = ("loss", "accuracy", "balanced_accuracy", "macro_f1", "mean_abs_logit")  # reported of the validation
TESTED = tuple(name for name in Sums.NAMES if name != "mean_abs_logit")  # reported of the test set
LISTED = 100  # classes whose accuracy is reported one by one
NAMED = re.compile(r"[\w. /-]{1,60}", re.ASCII)  # names of classes that may be in a metric's


@dataclass(frozen=True, slots=True)
class Report:
    """One epoch of a trial: `epoch` from 1, its metrics, and why it diverged if it did.

    Losses are in nats, accuracies and F1 in percent, the rest as `Sums.result` has it, `lr` is that of the
    epoch's first step, `seconds` count training and evaluation. `train_*` are of the epoch as it went: the smoothed
    loss of each batch before its step. Where clean labels are known, `train_accuracy_clean` is that of the examples
    whose label is right, `train_accuracy_flipped` the share of the others that were predicted as their wrong label
    says; `train_changed` is the share, in percent, of the predictions that differ from those of the epoch before. The
    last epoch has `test_accuracy_of.CLASS` of each class, unless they are more than 100. What is not finite
    is None, and so is all of `test_*` where there is no test set or `training.test_every` leaves it out. An epoch
    taken from a trunk says `spared` 1 and took no `seconds`. The last one of a run that estimates the noise says
    `noise_rate_estimate`, in [0, 1], and `classes_never_predicted` of the noisy validation, at the epoch it is from.
    """

    epoch: int
    metrics: dict[str, float | None]
    diverged: str | None = None


class Trainer:
    """A training run. Call `run_epoch` until `done`; all random numbers come from the trial's seed.

    With `trunks` a run begins where the longest trunk of its warm-up ends, and keeps what it trains of the warm-up
    itself. With `checkpoints`, a place and the seconds between two, a run that was stopped goes on where its last one
    was made, and reports the epochs before it anew. On a CPU its numbers are those of a run without either, bit for
    bit. With `estimate_noise` a run of plain cross-entropy, and no other, tells the noise rate by what it predicts for
    the noisy validation, where cleanlab is.
    A `criterion` takes the place of the method's loss; trunks and checkpoints know nothing of it. `data` are as
    `networks.prepare.prepared` has them, `start` are the weights its backbone begins with.
    """

    def __init__(
        self,
        config: TrialConfig,
        data: LevelData,
        device: torch.device | None = None,
        trunks: Trunks | None = None,
        estimate_noise: bool = False,
        checkpoints: tuple[str, float] | None = None,
        criterion: Criterion | None = None,
        start: Weights | None = None,
    ) -> None:
        self.config = config
        self.device = device or default_device()
        torch.backends.cudnn.deterministic = True  # the same seed gives the same numbers on a GPU too
        torch.manual_seed(config.train_seed)  # the initial weights
        self.generator = torch.Generator(self.device).manual_seed(config.train_seed)  # order and augmentation
        self.dtype = compute_dtype(config, self.device)
        views = config.network.views
        self.train_set, self.validation_set = (
            self._batches(split, data, views) for split in (data.train, data.validation)
        )
        self.test_set = self._batches(data.test, data) if data.test is not None else None
        self.noisy_labels = data.validation.noisy_labels
        self.class_names, self.preprocessing = data.class_names, data.preprocessing
        unknown = torch.zeros(len(data.train), dtype=torch.bool)
        # Which training labels are known to be wrong, and which to be right.
        flipped, clean = data.train.flipped, data.train.clean
        self.flipped = (unknown if flipped is None else flipped).to(self.device)
        self.right = (unknown if clean is None else data.train.labels == clean).to(self.device)
        self.estimates = estimate_noise and is_plain(config)
        self.held_out = HeldOut()
        self.steps = math.ceil(len(self.train_set) / config.training.batch_size)  # an epoch
        self.objective = Objective(config, data, self.steps, self.generator, criterion)
        self.network = ready_network(config, data, self.train_set, self.device, start)
        self.optimizer = self._new_optimizer(0)
        self.draws = EvenDraws(self.train_set.labels) if config.training.sampler == "balanced" else None
        self.changes = Changes(len(self.train_set), self.device)
        self.mirrored: Tensor | None = None  # [n], of crop-altflip: which examples this epoch sees flipped
        self.epoch = 0  # trained so far, or spared
        self.diverged: str | None = None
        self.curve: list[dict[str, float | None]] = []  # metrics of the epochs so far
        self._divergence = Divergence(data.classes, config.bounded)
        self._told = 0  # epochs reported
        self._spared = 0  # the first epochs, which a trunk spared
        self._kept = KeptStates(config, data.digest, self.device, self.dtype, trunks, checkpoints)
        self._resume()

    @property
    def done(self) -> bool:
        return self._told >= self.config.training.epochs or self.diverged is not None

    def run_epoch(self) -> Report:
        """Report the next epoch: that of the trunk where one spares it, else train one and evaluate."""
        report = self._next_epoch()
        if not (self.estimates and self.done) or self.diverged is not None:
            return report
        estimate = self.held_out.noise_rate(self.noisy_labels)
        if estimate is None:
            return report
        never = float(self.held_out.never_predicted(self.noisy_labels))
        told = {"noise_rate_estimate": estimate, "classes_never_predicted": never}
        return Report(report.epoch, {**report.metrics, **told})

    def _next_epoch(self) -> Report:
        if self._told < self.epoch:
            self._told += 1
            spared = {"seconds": 0.0, "spared": 1.0} if self._told <= self._spared else {}
            return Report(self._told, {**self.curve[self._told - 1], **spared})
        report = self._run_epoch()
        self._told = report.epoch
        self.curve.append(report.metrics)
        if report.diverged is None:
            self._kept.keep(report.epoch, self._state)
        return report

    def _run_epoch(self) -> Report:
        start = time.perf_counter()
        if self.epoch == self.config.warmup and in_second_phase(self.config, self.epoch):
            self.optimizer = self._new_optimizer(self.epoch)
        last = self.epoch + 1 == self.config.training.epochs
        tested = self.test_set if last or (self.epoch + 1) % self.config.training.test_every == 0 else None
        # A trunk keeps them too, for the runs of cross-entropy that may branch from it.
        shared = self._kept.may_share(self.epoch + 1)
        warm = self.objective.estimates and self.epoch < self._kept.shared
        logits: list[Tensor] | None = [] if self.estimates or shared or warm else None
        trained, validated = self._train_epoch(), self._evaluate(self.validation_set, logits)
        tests = self._evaluate(tested)
        # All numbers of the epoch in one copy: on a GPU, nothing before this line waits for the device.
        totals = [trained, validated.totals, tests.totals]
        trained, *evaluated = torch.cat(totals).cpu().split([len(each) for each in totals])
        validation, test = validated.result(evaluated[0]), tests.result(evaluated[1])
        if logits is not None:
            self.held_out.add(validation["accuracy"], torch.cat(logits))
        loss, correct, weighted, *of_known, weight, changed = trained.tolist()
        loss /= len(self.train_set)
        lr = learning_rate(self.config, self.epoch * self.steps, self.steps)
        self.epoch += 1
        accuracy = 100 * (correct / len(self.train_set))
        by_weight = 100 * (weighted / weight) if self.objective.class_weights is not None and weight else None
        size = validation["mean_abs_logit"]
        self.diverged = self._divergence.after(self.epoch, loss, accuracy, validation["loss"], by_weight, size)
        metrics = {
            "train_loss": loss,
            "train_accuracy": accuracy,
            **_by_label(*of_known),
            "train_changed": 100 * changed,
            **{f"val_{name}": validation[name] for name in VALIDATED},
            **{f"test_{name}": test[name] for name in TESTED},
            **(_of_classes(tests, evaluated[1], self.class_names) if last else {}),
            "lr": lr,
            "seconds": time.perf_counter() - start,
        }
        finite = {key: value if value is None or math.isfinite(value) else None for key, value in metrics.items()}
        return Report(self.epoch, finite, self.diverged)

    def _state(self) -> State:
        """State that the next epoch depends on, and the curve so far."""
        return {
            "epoch": self.epoch,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "torch": torch.get_rng_state(),  # dropout draws from it, or from the device's
            "device": torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None,
            "mirrored": self.mirrored,
            "changes": self.changes.state(),
            "at_chance": self._divergence.at_chance,
            "curve": self.curve,
            "held_out": self.held_out.state(),
            "objective": self.objective.state(),
            "spared": self._spared,
        }

    def forget_checkpoint(self) -> None:
        """Remove the run's checkpoint: the trial has ended, and whoever asked for it knows."""
        self._kept.forget_checkpoint()

    def stop(self) -> bool:
        """End the run before its last epoch: True, as nothing of it goes on by itself."""
        return True

    def _resume(self) -> None:
        """Go on from where this run was stopped, else from the longest trunk of its warm-up, else from its start."""
        if (state := self._kept.checkpoint()) is not None:
            self._load(state)
            self.objective.load(state["objective"])  # a trunk's is that of the run that kept it
        elif (state := self._kept.trunk()) is not None:
            self._load(state)
            self._spared = self.epoch

    def _load(self, state: State) -> None:
        self.epoch, self._spared = state["epoch"], state["spared"]
        self.optimizer = self._new_optimizer(max(0, self.epoch - 1))
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])
        torch.set_rng_state(state["torch"])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(state["device"], self.device)
        self.mirrored = state["mirrored"] if state["mirrored"] is None else state["mirrored"].to(self.device)
        self.changes.load(state.get("changes"))
        self._divergence.at_chance = state["at_chance"]
        self.curve = state["curve"]
        self.held_out.load(state["held_out"], self.device)

    def save_weights(self, path: Path) -> None:
        """Write the network as safetensors, with all that is needed to use it on raw examples; whole or not at all.

        A frozen backbone is not in it: `inference.completed` adds it.
        """
        trial = json.dumps(self.config.to_dict())
        inputs = "" if self.preprocessing is None else self.preprocessing.to_json()
        save_weights(path, self.network.state_dict(), trial, self.class_names, inputs)

    def _batches(self, split: Split, data: LevelData, views: int = 1) -> Batches:
        training = self.config.training
        return Batches(split, data, self.device, self.dtype, training.augment, training.crop_padding, views)

    def _new_optimizer(self, epoch: int) -> torch.optim.Optimizer:
        """A fresh optimizer, of the kind that trains `epoch` (from 0)."""
        factor = self.config.network.backbone_lr
        if self.config.network.mode == "finetune" and factor is None:
            factor = BACKBONE_LR
        return new_optimizer(optimizer_of(self.config, epoch), self.network, factor)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.dtype == torch.bfloat16)

    def _train_epoch(self) -> Tensor:
        """Train one epoch.

        Returns [9]: summed loss; predictions that are as the labels say, and their weight; those of them of which the
        label is known to be right, and to be wrong; examples of which it is so known; the weight of all; and the share
        of the predictions that changed.
        """
        self.objective.begin(self.epoch, lambda: self.held_out.transition(self.noisy_labels))
        augment = self.generator if self.config.training.augment != "none" else None
        mirrored = self._mirrored()
        order = self._order()
        losses, predictions = [], []  # of each step: summed at the end, since a step of a small network is short
        self.network.train()
        parts = self.train_set.in_turn(order.split(self.config.training.batch_size))
        for step, index in enumerate(parts, self.epoch * self.steps):
            lr = learning_rate(self.config, step, self.steps)
            for group in self.optimizer.param_groups:
                group["lr"] = lr * group[FACTOR]
            inputs, labels = self.train_set.take(index, augment, mirrored)
            loss, predicted = self._step(inputs, labels, step, index)
            losses.append(loss * len(labels))
            predictions.append(predicted)
        self.objective.end()
        labels, predicted = self.train_set.labels[order], torch.cat(predictions)
        hit, known = predicted == labels, [mask[order] for mask in (self.right, self.flipped)]
        weights = self.objective.weights(labels)
        of_all = torch.ones(len(order), device=self.device) if weights is None else weights
        found = [torch.stack(losses).double().sum(), hit.sum(), (of_all.double() * hit).sum()]
        found += [(hit & each).sum() for each in known] + [each.sum() for each in known] + [of_all.double().sum()]
        found.append(self.changes.after(order, predicted))
        return torch.stack([each.double() for each in found])

    def _order(self) -> Tensor:
        """Examples [n] of an epoch, in their order."""
        if self.draws is not None:
            return self.draws.draw(self.generator)
        return torch.randperm(len(self.train_set), generator=self.generator, device=self.device)

    def _mirrored(self) -> Tensor | None:
        """Mask of the examples [n] that this epoch sees flipped; `None` if each batch draws them."""
        if self.config.training.augment != "crop-altflip":
            return None
        if self.mirrored is None:
            self.mirrored = torch.rand(len(self.train_set), generator=self.generator, device=self.device) < 0.5
        else:  # turned over: two epochs show every image both ways (arXiv 2404.00498)
            self.mirrored = ~self.mirrored
        return self.mirrored

    def _step(self, inputs: Tensor, labels: Tensor, step: int, index: Tensor) -> tuple[Tensor, Tensor]:
        """Take one optimizer step. Returns the loss [] and the predictions [B]."""
        inputs, mixed = self.objective.mixed(inputs, labels)
        with self._autocast():
            logits = self.network(inputs)
        loss = self.objective(inputs, logits, labels, step, index, mixed)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.detach(), logits.detach().argmax(dim=1)

    def _evaluate(self, batches: Batches | None, held: list[Tensor] | None = None) -> Sums:
        """Sums over the predictions for `batches`; their logits [B, K] go to `held` where it is given."""
        sums = Sums(self.device)
        if batches is None:
            return sums
        self.network.eval()
        with torch.inference_mode(), self._autocast():
            parts = torch.arange(len(batches), device=self.device).split(EVALUATION_BATCH[self.device.type])
            for index in batches.in_turn(parts):
                inputs, labels = batches.take(index)
                logits = self.network(inputs)
                sums.add(logits, labels)
                if held is not None:
                    held.append(logits.float())
        return sums


def _by_label(learnt: float, memorised: float, right: float, flipped: float) -> dict[str, float | None]:
    """Compute accuracies, in percent, from counts of predictions that are as the label says.

    `learnt`: of the `right` labels; `memorised`: of the `flipped` ones, which are wrong.
    """
    return {
        "train_accuracy_clean": 100 * learnt / right if right else None,
        "train_accuracy_flipped": 100 * memorised / flipped if flipped else None,
    }


def _of_classes(tests: Sums, totals: Tensor, names: Sequence[str]) -> dict[str, float | None]:
    """Test accuracy of each class, by its name where MLflow takes it, unless they are too many to be looked at."""
    found = tests.of_classes(totals)
    if not 0 < len(found) <= LISTED:  # none without a test set
        return {}
    called = names if names and all(map(NAMED.fullmatch, names)) else [str(k) for k in range(len(found))]
    return {f"test_accuracy_of.{name}": each for name, each in zip(called, found, strict=True)}


def train(
    config: TrialConfig,
    data: LevelData,
    report: Callable[[Report], None],
    device: torch.device | None = None,
    trunks: Trunks | None = None,
    estimate_noise: bool = False,
    checkpoints: tuple[str, float] | None = None,
    criterion: Criterion | None = None,
    start: Weights | None = None,
) -> Trainer:
    """Run a trial to its last epoch, or until it diverges, calling `report` after each epoch."""
    trainer = Trainer(config, data, device, trunks, estimate_noise, checkpoints, criterion, start)
    while not trainer.done:
        report(trainer.run_epoch())
    return trainer
