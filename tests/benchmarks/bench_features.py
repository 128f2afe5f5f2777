"""Cost of a frozen backbone: its features against bare forward passes, and a linear trial on them against a bare loop.

Run it alone: python tests/benchmarks/bench_features.py [--repeats N] [--json FILE] [--pictures N] [--rows N]

The bare sides are what one would write with torch alone: pictures as a tensor of uint8, resized and normalised batch by
batch, and a loop of SGD on features that lie in memory as float32, standardised, with accuracy on validation and test
set once an epoch. Ours reads float16 from a mapped file, standardises each batch, and reports all of its metrics.
"""

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from harness import OURS, Measurement, arguments, in_turn, report
from torch import Tensor, nn
from torch.nn import functional

from tosmooth.trainables.config import DataConfig, NetworkConfig, OptimizerConfig, TrainingConfig, TrialConfig
from tosmooth.trainables.data.datasets import LevelData, Split
from tosmooth.trainables.files.folders import Folders
from tosmooth.trainables.networks.backbone import loaded_backbone
from tosmooth.trainables.networks.feature_cache import kept_features
from tosmooth.trainables.networks.inputs import inputs_of
from tosmooth.trainables.networks.model_zoo import library_network
from tosmooth.trainables.networks.prepare import prepared
from tosmooth.trainables.training.trainer import Trainer

BARE = "bare torch"
CPU = torch.device("cpu")
NAME, FILE, SIZE = "torchvision/mobilenet_v3_large", "weights.pth", 96
WIDTH, CLASSES, BATCH, EPOCHS = 1280, 10, 128, 3
GOAL = 1 / 1.2


def main() -> None:
    parser = arguments(__doc__, repeats=5)
    parser.add_argument("--pictures", type=int, default=1000, help="whose features are computed (%(default)s)")
    parser.add_argument("--rows", type=int, default=50_000, help="of features that are trained on (%(default)s)")
    options = parser.parse_args()
    report("a frozen backbone", [_computing(options), _training(options)], options.json)


def _computing(options: argparse.Namespace) -> Measurement:
    """Features of pictures, by all cores."""
    generator = torch.Generator().manual_seed(0)
    pictures = torch.randint(0, 256, (options.pictures, 32, 32, 3), dtype=torch.uint8, generator=generator)
    data = _level(pictures, (0.5,) * 3, (0.25,) * 3)
    network = NetworkConfig(name=NAME, weights=FILE, mode="frozen", input_size=SIZE)
    trial = TrialConfig(data=DataConfig(dataset="any"), network=network, training=TrainingConfig(precision="float32"))
    with tempfile.TemporaryDirectory() as place:
        torch.save(library_network(NAME, CLASSES).state_dict(), Path(place) / FILE)
        backbone, _ = loaded_backbone(network, (3, 32, 32), CLASSES, Folders(Path(place), Path(place)))
        backbone = backbone.to(memory_format=torch.channels_last)
        runs = iter(range(10**6))

        def ours() -> float:
            folders = Folders(Path(place), Path(place) / f"cache{next(runs)}")
            # What was computed is known by its data; of a test set of the same pictures some would be computed twice.
            fresh = replace(_level(pictures.clone(), data.mean, data.std), test=None)
            start = time.perf_counter()
            prepared(trial, fresh, folders, CPU)
            return time.perf_counter() - start

        def bare() -> float:
            start, inputs = time.perf_counter(), inputs_of(network)
            mean, std = (torch.tensor(each).view(-1, 1, 1) for each in (inputs.mean, inputs.std))
            with torch.inference_mode():
                found = [backbone((some.permute(0, 3, 1, 2).float() / 255 - mean) / std) for some in pictures.split(32)]
            np.save(Path(place) / "bare.npy", torch.cat(found).half().numpy())
            return time.perf_counter() - start

        ours()  # the file of weights is read once a process
        what = f"features of {options.pictures} pictures at {SIZE} pixels by {NAME}, {torch.get_num_threads()} threads"
        return Measurement(what=what, unit="s", values=in_turn({OURS: ours, BARE: bare}, options.repeats), goal=GOAL)


def _training(options: argparse.Namespace) -> Measurement:
    """A linear trial on one thread."""
    torch.set_num_threads(1)
    rows, generator = options.rows, np.random.default_rng(0)
    values = generator.standard_normal((rows, WIDTH), np.float32)
    with tempfile.TemporaryDirectory() as place:
        kept = kept_features(Path(place) / "f.arrow", rows, WIDTH, lambda start: iter([values[start:]]), "any")
        data = _level(kept.values, kept.mean, kept.std)
        training = TrainingConfig(epochs=EPOCHS, batch_size=BATCH, optimizer=OptimizerConfig(lr=0.05))
        trial = TrialConfig(data=DataConfig(dataset="any"), network=NetworkConfig(depth=0), training=training)

        def ours() -> float:
            start = time.perf_counter()
            trainer = Trainer(trial, data, CPU)
            while not trainer.done:
                trainer.run_epoch()
            return time.perf_counter() - start

        def bare() -> float:
            return _bare_loop(torch.from_numpy(values), data)

        what = f"a linear trial of {EPOCHS} epochs on {len(data.train)} x {WIDTH} features, one thread"
        return Measurement(what=what, unit="s", values=in_turn({OURS: ours, BARE: bare}, options.repeats), goal=GOAL)


def _bare_loop(inputs: Tensor, data: LevelData) -> float:
    start = time.perf_counter()
    model = nn.Linear(WIDTH, CLASSES)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, fused=True)
    x, y = inputs[data.train.rows], data.train.labels
    for _ in range(EPOCHS):
        for index in torch.randperm(len(x)).split(BATCH):
            loss = functional.cross_entropy(model(x[index]), y[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.inference_mode():
            for split in (data.validation, data.test):
                assert split is not None
                hits = [
                    (model(inputs[rows]).argmax(dim=1) == labels).sum()
                    for rows, labels in zip(split.rows.split(BATCH), split.labels.split(BATCH), strict=True)
                ]
                float(sum(hits) / len(split))
    return time.perf_counter() - start


def _level(inputs: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> LevelData:
    """A level of these inputs: nine tenths to train on, the rest to validate and, a fifth of all, to test."""
    labels, held = torch.arange(len(inputs)) % CLASSES, len(inputs) // 10
    rows = torch.arange(len(inputs))
    train, validation, test = (
        Split(inputs, each, labels[each]) for each in (rows[held:], rows[:held], rows[: 2 * held])
    )
    return LevelData(train, validation, test, CLASSES, 0.0, True, mean, std, "")


if __name__ == "__main__":
    main()
