"""Draws epoch-rules.png beside itself: one run on noisy labels, and which of its epochs each of three rules takes.

Trains for some seconds. .venv/bin/python docs/figures/epoch_rules.py
"""

from pathlib import Path

from matplotlib.figure import Figure

from tosmooth.trainables.config import DataConfig, NetworkConfig, OptimizerConfig, TrainingConfig, TrialConfig
from tosmooth.trainables.data.datasets import load_level
from tosmooth.trainables.files.folders import Folders
from tosmooth.trainables.training.process import prepare
from tosmooth.trainables.training.trainer import Report, train

HERE = Path(__file__).parent
NOISY, TEST = "#E69F00", "#0072B2"


def main() -> None:
    prepare(1)
    data = DataConfig(dataset="digits", noise="symmetric-0.4", validation_fraction=0.3)
    training = TrainingConfig(epochs=50, batch_size=32, optimizer=OptimizerConfig(lr=0.005))
    config = TrialConfig(data=data, network=NetworkConfig(name="mlp", width=256), training=training)
    reports: list[Report] = []
    train(config, load_level(data, Folders(data=HERE, cache=HERE)), reports.append)
    epochs = [report.epoch for report in reports]
    noisy, test, wrong = (
        [report.metrics[name] or 0.0 for report in reports]
        for name in ("val_accuracy", "test_accuracy", "train_accuracy_flipped")
    )
    figure = Figure(figsize=(9, 4.6), layout="constrained")
    ax = figure.subplots()
    ax.plot(epochs, test, color=TEST, label="clean test data (nobody with noisy labels has them)")
    ax.plot(epochs, noisy, color=NOISY, label="noisy validation (what you have)")
    ax.plot(epochs, wrong, ":", color="#222222", label="wrong training labels learned by heart")
    rules = (
        ("last", len(epochs) - 1, "o"),
        ("best by noisy validation", noisy.index(max(noisy)), "s"),
        ("oracle", test.index(max(test)), "*"),
    )
    for name, place, marker in rules:
        says = f"{name}: epoch {epochs[place]}, {test[place]:.1f} %"
        ax.plot(epochs[place], test[place], marker, color=TEST, ms=11, label=says)
        ax.axvline(epochs[place], color="#999999", lw=0.8)
    ax.set_xlabel("epoch")
    ax.set_ylabel("accuracy (%)")
    ax.set_ylim(0, 100)
    ax.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    figure.savefig(HERE / "epoch-rules.png", dpi=110)
    print("\n".join(f"{name}: epoch {epochs[place]}, test accuracy {test[place]:.2f} %" for name, place, _ in rules))


if __name__ == "__main__":
    main()
