"""Seconds to 94 % on clean CIFAR-10 with the recipe of studies/cifar10n-fast.yaml, on one GPU.

Run it alone: python tests/benchmarks/bench_speedrun.py [--repeats N] [--json FILE] [--data-dir DIR] [--device cpu|cuda]
On a bare machine with torch, torchvision, numpy, pyarrow and scikit-learn: PYTHONPATH=. before it.

All of the training images but 50; smoothing rate 0.2 from the first epoch, as public records have it. Each repeat is
another training seed. The seconds are those of all epochs, the evaluation after the last one included; data are on the
device before, and a run of two epochs warms it up. `--epochs 9 12` measures runs of both lengths: the answer is the
time of the shortest whose runs reach the goal on average. On a CPU, which is only to try it out, a run of all images
takes ten minutes.
"""

import statistics
from dataclasses import replace

import torch
from cifar import add_options, cifar10, cut
from harness import OURS, Measurement, arguments, keep, report

from tosmooth.trainables.config import NetworkConfig, OptimizerConfig, ScheduleConfig, TrainingConfig, TrialConfig
from tosmooth.trainables.data.datasets import LevelData, load_level
from tosmooth.trainables.networks.device import default_device
from tosmooth.trainables.training.process import prepare
from tosmooth.trainables.training.trainer import Report, train

NETWORK = NetworkConfig(name="fastcnn", width=80)
RECIPE = TrainingConfig(  # the study's: a bare machine cannot read study files; a test of the shipped studies compares
    epochs=9,
    batch_size=512,
    optimizer=OptimizerConfig(name="sgd", lr=1.0, momentum=0.85, nesterov=True, weight_decay=1e-3),
    schedule=ScheduleConfig(name="cosine", lr_rampup=2.0),
    augment="crop-altflip",
    crop_padding=2,
    test_every=9,
)
ALL, HELD_OUT = 50_000, 50  # training images, and those of them that do not train: a trial has some


def recipe(epochs: int) -> TrainingConfig:
    """The recipe over so many epochs, tested after the last one alone."""
    schedule = replace(RECIPE.schedule, lr_rampup=min(RECIPE.schedule.lr_rampup, epochs / 2))
    return replace(RECIPE, epochs=epochs, schedule=schedule, test_every=epochs)


def main() -> None:
    parser = arguments(__doc__, repeats=5)
    add_options(parser)
    parser.add_argument("--device", choices=("cpu", "cuda"), help="[a GPU; without one, nothing is measured]")
    parser.add_argument("--goal", type=float, default=94.0, help="accuracy on the test set, percent [%(default)s]")
    parser.add_argument("--epochs", type=int, nargs="+", default=[RECIPE.epochs], metavar="N", help="[%(default)s]")
    parser.add_argument("--width", type=int, default=NETWORK.width, metavar="N", help="of the network [%(default)s]")
    parser.add_argument("--size", type=int, metavar="N", help="training images [all]")
    options = parser.parse_args()
    device = torch.device(options.device) if options.device else default_device()
    if device.type == "cpu" and options.device is None:
        print("There is no GPU here, so the time to a goal is not measured; `--device cpu` tries it out.")
        return
    prepare()
    title, found = f"time to {options.goal:g} % on {device.type}", list[Measurement]()
    with cifar10(options) as pictures:
        level = cut(
            replace(pictures.config, noise="clean", validation_fraction=HELD_OUT / (options.size or ALL)), options.size
        )
        network, data = replace(NETWORK, width=options.width), load_level(level, pictures.folders)
        config = TrialConfig(data=level, network=network, training=RECIPE, rate=0.2)
        if device.type == "cuda":
            _run(replace(config, training=recipe(2)), data, device)
        for epochs in options.epochs:
            longer = replace(config, training=recipe(epochs))
            runs = [_run(replace(longer, train_seed=seed), data, device) for seed in range(options.repeats)]
            found.append(_measurement(epochs, runs, options.goal, pictures.about))
            keep(title, found, options.json)
    report(title, found, options.json)


def _measurement(epochs: int, runs: list[tuple[float, float]], goal: float, about: str) -> Measurement:
    seconds, accuracies = zip(*runs, strict=True)
    mean = statistics.mean(accuracies)
    facts = {
        "accuracy": f"{mean:.2f} % on average, {min(accuracies):.2f} to {max(accuracies):.2f}",
        f"runs that reached {goal:g} %": f"{sum(a >= goal for a in accuracies)} of {len(runs)}",
        "the goal is reached on average": mean >= goal,
        "data": about,
    }
    what = f"a run of the fast CNN, {epochs} epochs"
    return Measurement(what=what, unit="s", values={OURS: list(seconds)}, facts=facts)


def _run(config: TrialConfig, data: LevelData, device: torch.device) -> tuple[float, float]:
    """Seconds of all epochs, and the accuracy on the test set in percent."""
    reports: list[Report] = []
    train(config, data, reports.append, device)
    seconds = [float(each.metrics["seconds"] or 0) for each in reports]
    return sum(seconds), float(reports[-1].metrics["test_accuracy"] or 0)


if __name__ == "__main__":
    main()
