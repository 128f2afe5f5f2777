"""Distillation: how good a teacher a network is. A small student learns from its predictions, never from the labels."""

import dataclasses

import torch
from torch import Tensor, nn
from torch.nn import functional

from tosmooth.trainables.config import NetworkConfig, TrialConfig
from tosmooth.trainables.data.datasets import LevelData
from tosmooth.trainables.errors import require
from tosmooth.trainables.networks.device import compute_dtype
from tosmooth.trainables.training.trainer import Report, train

# Hinton et al. 2015, section 3: for a student much smaller than its teacher, temperatures of 2.5 to 4 are best.
TEMPERATURE = 4.0
SMALLER = 4  # times less width than the teacher
WIDTHS = {"mlp": 64, "cnn": 32, "fastcnn": 64}  # of those teachers that name none


def student_network(teacher: NetworkConfig) -> NetworkConfig:
    """Student for a teacher: the same network of a quarter of its width.

    For a head on frozen features a perceptron of a quarter of 64 units; for any other network the small CNN of width
    32.
    """
    if teacher.mode == "frozen":
        return NetworkConfig(name="mlp", width=WIDTHS["mlp"] // SMALLER)
    if teacher.name not in WIDTHS:
        return NetworkConfig(name="cnn", width=WIDTHS["cnn"])
    return dataclasses.replace(teacher, width=max(1, (teacher.width or WIDTHS[teacher.name]) // SMALLER))


def distillation_loss(logits: Tensor, teacher: Tensor, labels: Tensor, temperature: float, alpha: float) -> Tensor:
    """Loss [] of a student's `logits` [B, K] against those of its `teacher` [B, K] and `labels` [B], in nats.

    `alpha * T^2 * KL(softmax(teacher / T) || softmax(logits / T)) + (1 - alpha) * cross-entropy`. T^2 keeps the
    gradient's size as T changes. Hinton, Vinyals and Dean 2015, "Distilling the Knowledge in a Neural Network"
    (arXiv 1503.02531), section 2; its cross-entropy differs from KL by what the student has no part in.
    """
    log_p, log_q = ((z.float() / temperature).log_softmax(dim=1) for z in (logits, teacher))
    soft = temperature**2 * functional.kl_div(log_p, log_q, reduction="batchmean", log_target=True)
    return soft if alpha == 1 else alpha * soft + (1 - alpha) * functional.cross_entropy(logits.float(), labels)


def distil(
    teacher: nn.Module,
    config: TrialConfig,
    data: LevelData,
    device: torch.device,
    student: NetworkConfig | None = None,
    temperature: float = TEMPERATURE,
    alpha: float = 1.0,
) -> Report:
    """Train a `student` from the `teacher` that the trial `config` trained; returns the report of its last epoch.

    The student has the trial's data, seed, epochs, optimizer, schedule and augmentation, and no labels where `alpha` is
    1: what it knows of them, wrong ones included, the teacher has told it. The teacher sees each batch as the student
    does, cropped and flipped alike (Beyer et al. 2022, "Knowledge distillation: A good teacher is patient and
    consistent"). Of the report `test_accuracy` counts; `train_accuracy` is agreement with the noisy labels.
    """
    require(temperature > 0, "temperature", temperature, "above 0")
    require(0 <= alpha <= 1, "alpha", alpha, "in [0, 1]")
    recipe = dataclasses.replace(config.training, recipe="single", second_optimizer=None)
    network = student if student is not None else student_network(config.network)
    if network.name == "mlp":  # features are not augmented
        recipe = dataclasses.replace(recipe, augment="none", crop_padding=4)
    trial = TrialConfig(data=config.data, network=network, training=recipe, train_seed=config.train_seed)
    dtype = compute_dtype(config, device)
    teacher.eval()

    def criterion(inputs: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=dtype == torch.bfloat16):
            told = teacher(inputs.to(dtype))
        return distillation_loss(logits, told, labels, temperature, alpha)

    reports: list[Report] = []
    train(trial, data, reports.append, device, criterion=criterion)
    return reports[-1]
