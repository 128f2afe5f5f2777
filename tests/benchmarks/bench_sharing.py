"""Trials per hour of studies/cifar10n-fast.yaml when 1, 2 or 4 of them share one GPU.

Run it alone: python tests/benchmarks/bench_sharing.py [--repeats N] [--json FILE] [--data-dir DIR] [--share 1 2 4]
On a bare machine with torch, torchvision, numpy, pyarrow and scikit-learn: PYTHONPATH=. before it.

Each share is so many processes that train one trial after another, as Tune's actors do, with their data on the GPU and
a first epoch behind them; the clock runs while all of them train. Beside it: how long the whole table of that study
would take, at the best share. With `--device cpu` it measures how well trials of one thread each share the cores.
"""

import multiprocessing
import statistics
import time
from dataclasses import replace
from functools import partial
from multiprocessing.synchronize import Barrier

import torch
from bench_speedrun import NETWORK, RECIPE
from cifar import Pictures, add_options, cifar10, cut
from harness import Measurement, arguments, in_turn, report

from tosmooth.trainables.config import NetworkConfig, TrainingConfig, TrialConfig
from tosmooth.trainables.data.datasets import load_level
from tosmooth.trainables.networks.device import default_device
from tosmooth.trainables.training.process import prepare
from tosmooth.trainables.training.trainer import train

TABLE = 6 * (30 + 15)  # trials: 6 levels, 30 each, and three arms on 5 fresh seeds
SMALL = TrainingConfig(epochs=2, batch_size=64, augment="crop-flip")  # on a CPU, with the small CNN on few images
PATIENCE = 600  # seconds that processes wait for each other


def main() -> None:
    parser = arguments(__doc__, repeats=3)
    add_options(parser)
    parser.add_argument("--device", choices=("cpu", "cuda"), help="[a GPU; without one, nothing is measured]")
    parser.add_argument("--share", type=int, nargs="+", default=[1, 2, 4], metavar="N", help="trials at once")
    parser.add_argument("--trials", type=int, default=2, metavar="N", help="one after another (%(default)s)")
    parser.add_argument("--size", type=int, metavar="N", help="training images [all; on a CPU 5000]")
    options = parser.parse_args()
    device = torch.device(options.device) if options.device else default_device()
    if device.type == "cpu" and options.device is None:
        print("There is no GPU here, so nothing shares one; `--device cpu` shares the cores instead.")
        return
    with cifar10(options) as pictures:
        config = _config(pictures, device, options.size)
        load_level(config.data, pictures.folders)  # decodes, once
        sides = {f"{n} at once": partial(_rate, config, pictures, device, n, options.trials) for n in options.share}
        values = in_turn(sides, options.repeats)
        about = pictures.about
    best = max(values, key=lambda side: statistics.median(values[side]))
    facts = {"network": config.network.name, "epochs": config.training.epochs, "data": about}
    found = Measurement(what="trials", unit="1/h", values=values, more_is_better=True, facts=facts)
    table = Measurement(
        what=f"{TABLE} such trials, as many as the table of cifar10n-fast has",
        unit="minutes",
        values={best: [60 * TABLE / rate for rate in values[best]]},
        facts={"pruned": "none of them"},
    )
    report(f"trials that share a {device.type}", [found, table], options.json)


def _config(pictures: Pictures, device: torch.device, size: int | None) -> TrialConfig:
    if device.type == "cuda":
        return TrialConfig(data=cut(pictures.config, size), network=NETWORK, training=RECIPE, rate=0.1)
    data = cut(pictures.config, size or 5000)
    return TrialConfig(data=data, network=NetworkConfig(name="cnn"), training=SMALL, rate=0.1)


def _rate(config: TrialConfig, pictures: Pictures, device: torch.device, share: int, trials: int) -> float:
    """Trials per hour of `share` processes together."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(share + 1)
    work = (config, pictures, device, trials, barrier)
    children = [context.Process(target=_trials, args=work) for _ in range(share)]
    for child in children:
        child.start()
    barrier.wait(PATIENCE)
    start = time.perf_counter()
    barrier.wait(PATIENCE)
    seconds = time.perf_counter() - start
    for child in children:
        child.join()
    return 3600 * share * trials / seconds


def _trials(config: TrialConfig, pictures: Pictures, device: torch.device, trials: int, barrier: Barrier) -> None:
    """One actor."""
    try:
        prepare(1 if device.type == "cpu" else None)
        data = load_level(config.data, pictures.folders)
        train(replace(config, training=replace(config.training, epochs=2)), data, lambda _: None, device)
        barrier.wait(PATIENCE)
        for seed in range(trials):
            train(replace(config, train_seed=seed), data, lambda _: None, device)
        barrier.wait(PATIENCE)
    except BaseException:
        barrier.abort()  # the others need not wait
        raise


if __name__ == "__main__":
    main()
