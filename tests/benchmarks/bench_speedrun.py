"""Seconds to 94 % on clean CIFAR-10 with the recipe of studies/cifar10n-fast.yaml, on one GPU.

Run it alone: python tests/benchmarks/bench_speedrun.py [--repeats N] [--json FILE] [--data-dir DIR] [--device cpu|cuda]
On a bare machine with torch, torchvision, numpy, pyarrow and scikit-learn: PYTHONPATH=. before it.

All of the training images but 50; smoothing rate 0.2 from the first epoch, as public records have it. Each repeat is
another training seed. The seconds are those of all epochs, the evaluation after the last one included; data are on the
device before, and a run of two epochs warms it up. On a CPU, which is only to try it out, a run takes ten minutes.
"""

import statistics
from dataclasses import replace

import torch
from cifar import add_options, cifar10
from harness import OURS, Measurement, arguments, report

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


def main() -> None:
    parser = arguments(__doc__, repeats=5)
    add_options(parser)
    parser.add_argument("--device", choices=("cpu", "cuda"), help="[a GPU; without one, nothing is measured]")
    parser.add_argument("--goal", type=float, default=94.0, help="accuracy on the test set, percent [%(default)s]")
    options = parser.parse_args()
    device = torch.device(options.device) if options.device else default_device()
    if device.type == "cpu" and options.device is None:
        print("There is no GPU here, so the time to a goal is not measured; `--device cpu` tries it out.")
        return
    prepare()
    with cifar10(options) as pictures:
        level = replace(pictures.config, noise="clean", validation_fraction=0.001)
        config, data = (
            TrialConfig(data=level, network=NETWORK, training=RECIPE, rate=0.2),
            load_level(level, pictures.folders),
        )
        if device.type == "cuda":
            _run(replace(config, training=replace(RECIPE, epochs=2)), data, device)
        runs = [_run(replace(config, train_seed=seed), data, device) for seed in range(options.repeats)]
        about = pictures.about
    seconds, accuracies = zip(*runs, strict=True)
    facts = {
        "accuracy": f"{statistics.mean(accuracies):.2f} % on average, {min(accuracies):.2f} to {max(accuracies):.2f}",
        f"runs that reached {options.goal:g} %": f"{sum(a >= options.goal for a in accuracies)} of {len(runs)}",
        "epochs": RECIPE.epochs,
        "data": about,
    }
    found = Measurement(what="a run of the fast CNN", unit="s", values={OURS: list(seconds)}, facts=facts)
    report(f"time to {options.goal:g} % on {device.type}", [found], options.json)


def _run(config: TrialConfig, data: LevelData, device: torch.device) -> tuple[float, float]:
    """Seconds of all epochs, and the accuracy on the test set in percent."""
    reports: list[Report] = []
    train(config, data, reports.append, device)
    seconds = [float(each.metrics["seconds"] or 0) for each in reports]
    return sum(seconds), float(reports[-1].metrics["test_accuracy"] or 0)


if __name__ == "__main__":
    main()
