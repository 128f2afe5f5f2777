"""Images per second that train: `Trainer` against the classic loop of classic.py, on one CPU thread or on a GPU.

Run it alone: python tests/benchmarks/bench_training.py [--repeats N] [--json FILE] [--data-dir DIR] [--device cpu|cuda]
On a bare machine with torch, torchvision, numpy, pyarrow and scikit-learn: PYTHONPATH=. before it.

CPU: the small CNN at batch 64; the classic loop loads in the training process, since a trial has one core. GPU:
ResNet-34 at batch 128; the classic loop has 8 workers that load. Also: what bfloat16 gives, the augmentation alone, the
share of the matmul rate that is reached, and the share of an epoch that evaluation takes.
"""

import argparse
import statistics
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
import training_sides as sides
from cifar import Pictures, add_options, cifar10
from harness import OURS, Measurement, arguments, in_turn, keep, report
from torch.utils.flop_counter import FlopCounterMode
from training_sides import Job, Processes, Side, Work

from tosmooth.trainables.config import (
    NETWORKS,
    NetworkConfig,
    OptimizerConfig,
    ScheduleConfig,
    TrainingConfig,
    TrialConfig,
)
from tosmooth.trainables.data.datasets import LevelData, load_level
from tosmooth.trainables.networks.device import compute_dtype, default_device
from tosmooth.trainables.training.setup import fitting_network

CLASSIC = "classic loop, float32"
FLOAT32 = f"{OURS} in float32"
TORCHVISION = "DataLoader of torchvision's transforms"
GOAL = {"cpu": 2.5, "cuda": 5.0}
NETWORK = {"cpu": "cnn", "cuda": "resnet34"}
BATCH = {"cpu": 64, "cuda": 128}
BATCHES = {"cpu": 64, "cuda": 351}  # a repeat; 351 of 128 are all of CIFAR-10's 45,000
MATMUL = {"cpu": (1024, 20), "cuda": (8192, 50)}  # rows and columns, times


def main() -> None:
    options = _options()
    if options.device == "cpu":
        torch.set_num_threads(1)  # for the matmul
    title = f"training on {'one CPU thread' if options.device == 'cpu' else 'a GPU'}"
    with cifar10(options) as pictures:
        data = load_level(pictures.config, pictures.folders)  # decodes, once, before there are other processes
        job = _job(options, pictures, len(data.train))
        with Processes(job) as processes:
            found = _training(processes, options.repeats, pictures.about)
            found.append(_share_of_peak(job, data, found[0].values[OURS]))
            keep(title, found, options.json)  # the rest is of less weight
            found.append(_augmentation(processes, options.repeats))
            found.append(_evaluation(processes, options.repeats))
    report(title, found, options.json)


def _options() -> argparse.Namespace:
    parser = arguments(__doc__, repeats=5)
    add_options(parser)
    networks = [name for name in NETWORKS if name != "mlp"]
    parser.add_argument("--device", choices=("cpu", "cuda"), default=default_device().type, help="[%(default)s]")
    parser.add_argument("--network", choices=networks, help="[cnn; on a GPU resnet34]")
    parser.add_argument("--width", type=int, metavar="N", help="of the network [its default]")
    parser.add_argument("--batch-size", type=int, metavar="N", help="[64; on a GPU 128]")
    parser.add_argument("--batches", type=int, metavar="N", help="that train in a repeat [64; on a GPU an epoch]")
    text = "of the epoch whose evaluation is timed; validation and test shrink with it [all]"
    parser.add_argument("--epoch-images", type=int, metavar="N", help=text)
    return parser.parse_args()


def _job(options: argparse.Namespace, pictures: Pictures, available: int) -> Job:
    """The recipe of studies/cifar10n-cpu.yaml, with so many epochs that no repeat comes after the last."""
    size = options.batch_size or BATCH[options.device]
    training = TrainingConfig(
        epochs=10_000,
        batch_size=size,
        optimizer=OptimizerConfig(name="sgd", lr=0.1, momentum=0.9, weight_decay=5e-4),
        schedule=ScheduleConfig(name="cosine"),
        augment="crop-flip",
    )
    network: Any = options.network or NETWORK[options.device]
    return Job(
        TrialConfig(
            data=pictures.config, network=NetworkConfig(name=network, width=options.width), training=training, rate=0.1
        ),
        pictures.folders,
        torch.device(options.device),
        images=min(available, size * (options.batches or BATCHES[options.device])),
        epoch_images=min(available, options.epoch_images or available),
    )


def _training(processes: Processes, repeats: int, about: str) -> list[Measurement]:
    """Training alone, and what precision has to do with it."""
    job, measured = processes.job, {OURS: sides.ours, CLASSIC: sides.classic}
    network, dtype = job.config.network.name, compute_dtype(job.config, job.device)
    if dtype == torch.bfloat16:
        measured[FLOAT32] = sides.ours_float32
    rates = _rates(processes, measured, repeats)
    in_float32 = rates.pop(FLOAT32, None)
    size = job.config.training.batch_size
    facts = {"batch": size, "images a repeat": job.images, "ours computes in": _name(dtype), "data": about}
    found = [_images(f"training {network}", rates, GOAL[job.device.type], facts)]
    if in_float32 is not None:
        found.append(_images("what bfloat16 gives", {OURS: rates[OURS], FLOAT32: in_float32}))
    return found


def _augmentation(processes: Processes, repeats: int) -> Measurement:
    measured = {OURS: sides.our_batches, TORCHVISION: sides.classic_batches}
    return _images("augmentation alone", _rates(processes, measured, repeats))


def _evaluation(processes: Processes, repeats: int) -> Measurement:
    """How much of an epoch of CIFAR-10 is evaluation, of the validation and the test set."""
    measured = {"epoch": sides.our_epoch, "evaluation": sides.our_evaluation}
    seconds = _seconds(processes, measured, repeats)
    both = zip(seconds["evaluation"], seconds["epoch"], strict=True)
    data = processes.job.epoch()
    splits = [split for split in (data.train, data.validation, data.test) if split is not None]
    facts = {
        "to be": "under 10 percent",
        "images": " + ".join(str(len(split)) for split in splits),
        "seconds of the epoch": round(statistics.median(seconds["epoch"]), 3),
    }
    shares = [100 * part / epoch for part, epoch in both]
    return Measurement(what="evaluation's share of an epoch", unit="percent", values={OURS: shares}, facts=facts)


def _seconds(processes: Processes, measured: Mapping[str, Side], repeats: int) -> dict[str, list[float]]:
    return in_turn({name: partial(processes.seconds, side) for name, side in measured.items()}, repeats)


def _rates(processes: Processes, measured: Mapping[str, Side], repeats: int) -> dict[str, list[float]]:
    seconds = _seconds(processes, measured, repeats)
    return {name: [processes.job.images / value for value in values] for name, values in seconds.items()}


def _images(what: str, rates: dict[str, list[float]], goal: float | None = None, facts: Any = None) -> Measurement:
    unit = "images/s"
    return Measurement(what=what, unit=unit, values=rates, more_is_better=True, goal=goal, facts=facts or {})


def _share_of_peak(job: Job, data: LevelData, rates: list[float]) -> Measurement:
    """How near to a large matmul in the same type the training comes."""
    dtype = compute_dtype(job.config, job.device)
    work = 3 * _forward_flops(job.config, data)  # backward is two products for each one of forward
    peak = max(_matmul_rate(dtype, job.device) for _ in range(3))
    facts = {
        "matmul": f"{peak / 1e12:.4g} TFLOP/s in {_name(dtype)}",
        "an image": f"{work / 1e6:.4g} MFLOP, forward and backward",
    }
    shares = [100 * rate * work / peak for rate in rates]
    return Measurement(what="share of the matmul rate", unit="percent", values={OURS: shares}, facts=facts)


def _forward_flops(config: TrialConfig, data: LevelData) -> int:
    """FLOPs of an image, 2 for a multiplication with its addition."""
    height, width, channels = data.train.inputs.shape[1:]
    network = fitting_network(config, data)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, channels, height, width))
    return int(counter.get_total_flops())


def _matmul_rate(dtype: torch.dtype, device: torch.device) -> float:
    """FLOPs per second of large square products."""
    size, times = MATMUL[device.type]
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))

    def multiply() -> None:
        for _ in range(times):
            torch.mm(a, b)

    multiply()  # the first choose their kernels
    return 2 * size**3 * times / (_gpu_seconds(multiply) if device.type == "cuda" else sides.seconds(device, multiply))


def _gpu_seconds(work: Work) -> float:
    """What the GPU itself counts, without the way to it."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    work()
    end.record()
    torch.cuda.synchronize()
    return float(start.elapsed_time(end)) / 1000  # it counts milliseconds


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


if __name__ == "__main__":
    main()
