"""The training loop that most people would write with torchvision, for comparisons with `trainables.training.trainer`.

Images become PIL one by one, torchvision's transforms work on each, a `DataLoader` collates them; float32, NCHW,
`loss.item()` after each step. Network, loss, schedule and statistics are those of `trainables`, so that the two loops
differ in how they train and not in what. Nothing is measured here: bench_training.py and others import it.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from tosmooth.trainables.config import TrialConfig
from tosmooth.trainables.data.datasets import LevelData, Split
from tosmooth.trainables.errors import require
from tosmooth.trainables.losses import gls_loss
from tosmooth.trainables.training.metrics import Sums
from tosmooth.trainables.training.schedule import learning_rate
from tosmooth.trainables.training.setup import fitting_network

EVALUATION_BATCH = 128

Loader = DataLoader[tuple[Tensor, int]]  # an example's type; batches are two tensors


class Pictures(Dataset[tuple[Tensor, int]]):
    """Images in memory and their labels, as torchvision's own `CIFAR10` keeps and returns them."""

    def __init__(self, split: Split, transform: Callable[[Image.Image], Tensor]) -> None:
        self.images = split.inputs[split.rows].numpy()  # uint8 [n, H, W, 3], a copy of our own
        self.labels = split.labels.tolist()
        self.transform = transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.images[index])), self.labels[index]


def train_classic(
    config: TrialConfig,
    data: LevelData,
    report: Callable[[int, dict[str, float]], None],
    device: torch.device,
    workers: int = 0,
) -> None:
    """Train to the last epoch; `report` gets each epoch's number (from 1) and metrics, as `Report` has them.

    Where that has None, a NaN stands here. `workers` are those of the `DataLoader`s: 0 loads in this process.
    """
    torch.manual_seed(config.train_seed)
    network = fitting_network(config, data).to(device)
    optimizer = sgd(config, network)
    training = training_loader(config, data, device, workers)
    validation, test = (evaluation_loader(split, data, device, workers) for split in (data.validation, data.test))
    for epoch in range(config.training.epochs):
        start = time.perf_counter()
        lr, loss, accuracy = train_epoch(config, network, training, optimizer, epoch, device)
        testing = epoch + 1 == config.training.epochs or (epoch + 1) % config.training.test_every == 0
        held_out, tested = evaluate(network, validation, device), evaluate(network, test if testing else None, device)
        metrics = {
            "train_loss": loss,
            "train_accuracy": accuracy,
            "val_loss": held_out["loss"],
            "val_accuracy": held_out["accuracy"],
            **{f"test_{name}": value for name, value in tested.items()},
            "lr": lr,
            "seconds": time.perf_counter() - start,
        }
        report(epoch + 1, metrics)


def sgd(config: TrialConfig, network: nn.Module) -> torch.optim.SGD:
    """The optimizer, built as torch's documentation builds it."""
    training, optimizer = config.training, config.training.optimizer
    require(optimizer.name == "sgd", "training.optimizer.name", optimizer.name, "the classic loop has sgd alone")
    require(training.recipe == "single", "training.recipe", training.recipe, "the classic loop has one optimizer")
    return torch.optim.SGD(
        network.parameters(),
        lr=optimizer.lr,
        momentum=optimizer.momentum,
        weight_decay=optimizer.weight_decay,
        nesterov=optimizer.nesterov,
    )


def training_loader(config: TrialConfig, data: LevelData, device: torch.device, workers: int) -> Loader:
    """Shuffled batches of the training set, augmented where the configuration asks for it."""
    height, width = data.train.inputs.shape[1:3]
    rule = "the classic loop has none or crop-flip, with a padding of 4"
    suits = config.training.augment in ("none", "crop-flip") and config.training.crop_padding == 4
    require(suits, "training.augment", config.training.augment, rule)
    crop_flip = [transforms.RandomCrop((height, width), padding=4), transforms.RandomHorizontalFlip()]
    augmentation = crop_flip if config.training.augment == "crop-flip" else []
    transform = transforms.Compose([*augmentation, *_to_normalised(data)])
    return DataLoader(
        Pictures(data.train, transform),
        config.training.batch_size,
        shuffle=True,
        num_workers=workers,
        pin_memory=device.type == "cuda",
        persistent_workers=workers > 0,
    )


def evaluation_loader(split: Split | None, data: LevelData, device: torch.device, workers: int) -> Loader | None:
    """Batches of a split in its order; None where there is no such split."""
    if split is None:
        return None
    return DataLoader(
        Pictures(split, transforms.Compose(_to_normalised(data))),
        EVALUATION_BATCH,
        num_workers=workers,
        pin_memory=device.type == "cuda",
        persistent_workers=workers > 0,
    )


def _to_normalised(data: LevelData) -> list[Callable[..., Tensor]]:
    return [transforms.ToTensor(), transforms.Normalize(data.mean, data.std)]


@contextmanager
def _fastest_convolutions() -> Iterator[None]:
    """Let cuDNN choose by trying, as loops of this kind do; `Trainer` asks the whole process for deterministic ones."""
    cudnn = torch.backends.cudnn
    before = cudnn.benchmark, cudnn.deterministic
    cudnn.benchmark, cudnn.deterministic = True, False
    try:
        yield
    finally:
        cudnn.benchmark, cudnn.deterministic = before


@_fastest_convolutions()
def train_epoch(
    config: TrialConfig,
    network: nn.Module,
    loader: Loader,
    optimizer: torch.optim.Optimizer,
    epoch: int,
    device: torch.device,
) -> tuple[float, float, float]:
    """Train `epoch` (from 0): the first step's learning rate, the mean loss and the accuracy in percent."""
    rate, steps = config.rate if epoch >= config.warmup else 0.0, len(loader)
    total, correct, seen = 0.0, 0, 0
    network.train()
    for step, (images, labels) in enumerate(loader, epoch * steps):
        images, labels = images.to(device, non_blocking=True), labels.to(device, non_blocking=True)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(config, step, steps)
        optimizer.zero_grad()
        logits = network(images)
        loss = gls_loss(logits, labels, rate)
        loss.backward()
        optimizer.step()
        total += loss.item() * len(labels)
        correct += int((logits.argmax(dim=1) == labels).sum().item())
        seen += len(labels)
    return learning_rate(config, epoch * steps, steps), total / seen, 100 * correct / seen


@_fastest_convolutions()
def evaluate(network: nn.Module, loader: Loader | None, device: torch.device) -> dict[str, float]:
    """The statistics of `trainables.training.metrics` over a split; NaN for what is not defined, or without a split."""
    sums = Sums(device)
    if loader is None:
        return dict.fromkeys(Sums.NAMES, math.nan)
    network.eval()
    with torch.no_grad():
        for images, labels in loader:
            images, labels = images.to(device, non_blocking=True), labels.to(device, non_blocking=True)
            sums.add(network(images), labels)
    return {name: math.nan if value is None else value for name, value in sums.result(sums.totals.cpu()).items()}
