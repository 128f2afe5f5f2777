"""One trial in this process, for debugging and for a bare GPU machine: `python -m tosmooth.trainables --help`."""

import argparse
import contextlib
import dataclasses
import json
import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from tosmooth.trainables.checkpointing.layout import lengths
from tosmooth.trainables.checkpointing.trunks import Trunks, is_plain
from tosmooth.trainables.checkpointing.weights import read_trial
from tosmooth.trainables.config import TrialConfig
from tosmooth.trainables.data.datasets import LevelData, load_level
from tosmooth.trainables.errors import InputError, require, shown
from tosmooth.trainables.files.filesystems import check_place
from tosmooth.trainables.files.folders import Folders
from tosmooth.trainables.former_words import TRIAL, renewed
from tosmooth.trainables.inference import completed
from tosmooth.trainables.networks.device import compute_dtype, default_device
from tosmooth.trainables.networks.prepare import prepared
from tosmooth.trainables.noise.estimate import has_cleanlab
from tosmooth.trainables.own_training import OwnRun
from tosmooth.trainables.training.process import prepare
from tosmooth.trainables.training.setup import check_network
from tosmooth.trainables.training.trainer import Report, train
from tosmooth.trainables.user_code import CodeError, UserCode, collect, resolve, use

HOME = Path(os.environ.get("TOSMOOTH_HOME", "tosmooth-home"))

# Flags for the keys that a person changes most; --set reaches all others.
SHORTHANDS = {
    "dataset": "data.dataset",
    "noise": "data.noise",
    "network": "network.name",
    "method": "method",
    "rate": "rate",
    "warmup": "warmup",
    "lr-after-warmup": "lr_after_warmup",
    "epochs": "training.epochs",
    "train-seed": "train_seed",
}

# What a line of progress shows of a report; --json shows all of it.
COLUMNS = {
    "lr": ".3g",
    "train_loss": ".4f",
    "train_accuracy": ".2f",
    "val_accuracy": ".2f",
    "test_accuracy": ".2f",
    "test_ece": ".4f",
    "seconds": ".2f",
}
WIDTH = 8  # of a column at least
LARGE = 1e6  # from which on a number is written with its power of ten


def main(arguments: Sequence[str] | None = None) -> None:
    """Train one trial and print a line an epoch. A wrong input is one clear message and exit code 2."""
    try:
        run(_parser().parse_args(arguments))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


def run(options: argparse.Namespace) -> None:
    """Train the trial that the `options` of the command line describe. A trial that diverges is a result."""
    require(options.threads is None or options.threads >= 1, "--threads", options.threads, "at least 1")
    require(options.device != "cuda" or torch.cuda.is_available(), "--device", "cuda", "torch finds no GPU here")
    folder = options.weights is not None and os.path.isdir(options.weights)  # noqa: PTH112 - says no where none may look
    require(not folder, "--weights", str(options.weights), "a file to write, not a folder")
    if options.weights is not None:
        rule = "safetensors writes it, and is not installed: pip install safetensors"
        require(find_spec("safetensors") is not None, "--weights", str(options.weights), rule)
        require(_can_be_written(options.weights), "--weights", str(options.weights), "a file that may be written")
    device = torch.device(options.device) if options.device else default_device()
    prepare(options.threads)
    config = with_code(trial_config(options), options.code, options.cache_dir)
    require(not options.estimate_noise or is_plain(config), "--estimate-noise", config.rate, "for gls at rate 0 alone")
    installed = not options.estimate_noise or has_cleanlab()
    require(installed, "--estimate-noise", True, "cleanlab estimates it, and is not installed: pip install cleanlab")
    if config.trainable is not None:
        _run_own(config, options, device)
        return
    trunks, out = _trunks(options.trunks, config), sys.stdout

    def report(epoch: Report) -> None:
        print(json.dumps(dataclasses.asdict(epoch)) if options.json else _line(epoch), file=out, flush=True)

    with contextlib.redirect_stdout(sys.stderr):  # what a network of the user prints is no report
        folders = Folders(data=options.data_dir, cache=options.cache_dir)
        ready = prepared(config, load_level(config.data, folders), folders, device)
        config, data = ready.config, ready.data
        check_network(config, data)
        print(_json_opening(config, data) if options.json else _opening(config, data, device), file=out, flush=True)
        trainer = train(config, data, report, device, trunks, options.estimate_noise, start=ready.start)
        if options.weights is not None:
            trainer.save_weights(options.weights)
            completed(options.weights, options.weights, folders)


def _run_own(config: TrialConfig, options: argparse.Namespace, device: torch.device) -> None:
    """Train by the user's function; what that prints goes to standard error."""
    for key, value in (("--weights", options.weights), ("--trunks", options.trunks)):
        require(value is None, key, str(value), "for networks of ours: the trial is trained by your own code")
    function = resolve(str(config.trainable), "trainable")
    data = load_level(config.data, Folders(data=options.data_dir, cache=options.cache_dir))
    out = sys.stdout
    print(_json_opening(config, data) if options.json else _own_opening(config, data, device), flush=True)
    own = OwnRun(config, data, function, device)
    with contextlib.redirect_stdout(sys.stderr):
        while not own.done:
            try:
                epoch = own.run_epoch()
            except CodeError as error:
                raise InputError(f"trainable {config.trainable!r}: {error}") from error
            line = json.dumps(dataclasses.asdict(epoch)) if options.json else _own_line(epoch)
            print(line, file=out, flush=True)


def _own_opening(config: TrialConfig, data: LevelData, device: torch.device) -> str:
    level, _, _ = _opening(config, data, device).splitlines()
    return f"{level}\n{config.trainable} on {device.type}; r = {config.rate:g}; {config.arguments}"


def _own_line(report: Report) -> str:
    told = "  ".join(f"{name} {value:.5g}" for name, value in report.metrics.items() if value is not None)
    line = f"{report.epoch:>5}  {told}"
    return line if report.diverged is None else f"{line}\ndiverged: {report.diverged}"


def _can_be_written(file: Path) -> bool:
    """True if `file` could be made or replaced: asked before the training, whose result it will hold."""
    folder = next(each for each in file.absolute().parents if os.path.exists(each))  # noqa: PTH110 - as above
    return os.path.isdir(folder) and os.access(folder, os.W_OK | os.X_OK)  # noqa: PTH112


def trial_config(options: argparse.Namespace) -> TrialConfig:
    """The trial file, or the defaults without one, changed by the shorthands and then by --set, in their order."""
    given = vars(options)
    for then, now in TRIAL.items():
        if given[then] is not None:
            raise InputError(f"{_flag(then)}: is now {_flag(now)}")
    shorthands = {key: given[flag.replace("-", "_")] for flag, key in SHORTHANDS.items()}
    changes = {key: text for key, text in shorthands.items() if text is not None} | dict(options.set)
    if options.trial is not None:
        values = _read(options.trial)
    else:
        values = {}
        dataset = changes.get("data.dataset", "twonorm")
        own = any(key.startswith("data.table.") for key in changes)
        pictures = not any(key.startswith("data.table.features") for key in changes) if own else dataset[:5] == "cifar"
        named = {} if "network.factory" in changes else {"network.name": "cnn" if pictures else "mlp"}
        changes = {"data.dataset": dataset} | named | changes
    for key, text in changes.items():
        _put(values, key.split("."), text)
    return TrialConfig.from_dict(values)


def with_code(config: TrialConfig, place: Path, cache: Path) -> TrialConfig:
    """Make the user's code that a trial names importable, from a folder or archive, and say in the trial which it is.

    Raises `InputError` where the trial was of other code.
    """
    if not config.references:
        return config
    if place.is_file():
        code = UserCode.from_archive(place.read_bytes(), str(place))
    else:
        code = collect(config.references, place)
    for note in code.notes:
        print(note, file=sys.stderr)
    rule = f"the trial is of other code than {place} has, whose digest is {code.digest}; --code names its place"
    require(config.code in (None, code.digest), "code", config.code, rule)
    use(code, cache)
    return dataclasses.replace(config, code=code.digest)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tosmooth.trainables",
        description="Train one trial in this process and print a line an epoch. Without a trial file: twonorm, clean "
        "labels, ten epochs of cross-entropy. Exit code 0, also of a trial that diverges; 2 where the input is wrong.",
        allow_abbrev=False,
    )
    parser.add_argument("trial", nargs="?", type=Path, help="a trial's configuration as JSON, or weights it saved")
    for flag, key in SHORTHANDS.items():
        parser.add_argument(f"--{flag}", metavar="VALUE", help=f"short for --set {key}=VALUE")
    for then in TRIAL:
        parser.add_argument(_flag(then), help=argparse.SUPPRESS)
    parser.add_argument(
        "--set",
        metavar="KEY.PATH=VALUE",
        action="append",
        default=[],
        type=_change,
        help="change a key of the trial, such as training.optimizer.lr=0.05; repeatable",
    )
    parser.add_argument("--data-dir", type=Path, default=HOME / "data", help="folder with your datasets [%(default)s]")
    parser.add_argument("--cache-dir", type=Path, default=HOME / "cache", help="for decoded images [%(default)s]")
    parser.add_argument(
        "--code",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="folder with your modules that the trial names, or the study's .zip of them in a home; they are executed "
        "[%(default)s]",
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), help="where to train [a GPU where there is one]")
    parser.add_argument("--threads", type=int, help="CPU threads; another number may change last digits [torch's]")
    parser.add_argument("--weights", type=Path, metavar="FILE.safetensors", help="write the trained weights here")
    parser.add_argument(
        "--trunks",
        metavar="DIR",
        help="share the warm-up: begin where another trial left it in this folder (or URI), and leave it there; what "
        "lies there is yours to delete",
    )
    parser.add_argument(
        "--estimate-noise",
        action="store_true",
        help="at the end of cross-entropy (rate 0), say how many labels its predictions call wrong; needs cleanlab",
    )
    parser.add_argument("--json", action="store_true", help="print JSON lines with all metrics: the trial, then epochs")
    return parser


def _flag(key: str) -> str:
    return f"--{key.replace('_', '-')}"


def _trunks(place: str | None, config: TrialConfig) -> Trunks | None:
    if place is None:
        return None
    place = place if "://" in place else str(Path(place).absolute())
    check_place(place, "--trunks")
    return Trunks(place, lengths(range(config.warmup + 1)))


def _change(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise argparse.ArgumentTypeError(f"{text!r} is no KEY.PATH=VALUE")
    return key, value


def _put(values: dict[str, Any], path: Sequence[str], text: str) -> None:
    """Set the key at `path` to `text`, read as JSON where it is some."""
    *sections, last = path
    for key in sections:
        if not isinstance(values.get(key), dict):
            values[key] = {}
        values = values[key]
    try:
        values[last] = json.loads(text)
    except ValueError:
        if text.lstrip()[:1] in ("{", "["):
            rule = 'a mapping or list is written as JSON here, such as {"name": "sgd"}'
            raise InputError(f"--set {'.'.join(path)}: {shown(text)} is refused: {rule}") from None
        values[last] = text


def _read(path: Path) -> dict[str, Any]:
    """A trial's configuration from JSON, or from the metadata of weights, as training writes them."""
    rule = "a trial file is JSON as TrialConfig.to_dict gives it, or weights that a trial saved"
    saved = path.suffix == ".safetensors"
    try:
        values = json.loads(read_trial(path) if saved else path.read_text(encoding="utf-8"))
    except (OSError, ValueError, ImportError) as error:  # safetensors may not be installed here
        raise InputError(f"{path}: cannot be read: {error}: {rule}") from error
    if not isinstance(values, dict):
        raise InputError(f"{path}: holds a {type(values).__name__}: {rule}")
    return renewed(values) if saved else values  # weights may be of the version before; a file of JSON is the user's


def _sizes(data: LevelData) -> dict[str, int | float | None]:
    test = None if data.test is None else len(data.test)
    sizes = {"train": len(data.train), "validation": len(data.validation), "test": test}
    return {**sizes, "classes": data.classes, "noise_rate": data.noise_rate}


def _json_opening(config: TrialConfig, data: LevelData) -> str:
    return json.dumps({"trial": config.to_dict(), "data": _sizes(data)})


def _opening(config: TrialConfig, data: LevelData, device: torch.device) -> str:
    noise = "not known" if data.noise_rate is None else f"{100 * data.noise_rate:.3f} %"
    test = "no" if data.test is None else f"{len(data.test)}"
    sizes = f"{len(data.train)} train, {len(data.validation)} validation, {test} test examples"
    kind = str(compute_dtype(config, device)).removeprefix("torch.")
    own = ", ".join(f"{name} = {value:g}" for name, value in config.parameters.items())
    method = f"r = {config.rate:g}" if config.method == "gls" else f"{config.method}{own and f' ({own})'}"
    return "\n".join(
        [
            f"{config.data.dataset}/{config.data.noise}: {sizes}, {data.classes} classes, noise rate {noise}",
            f"{config.network.name} on {device.type} in {kind}; {method} after a warm-up of "
            f"{config.warmup} of {config.training.epochs} epochs; seed {config.train_seed}",
            "epoch" + "".join(f"  {key:>{WIDTH}}" for key in COLUMNS),
        ]
    )


def _text(value: float, form: str) -> str:
    return format(value, form if abs(value) < LARGE else ".3g")


def _line(report: Report) -> str:
    cells = [(key, report.metrics[key], form) for key, form in COLUMNS.items()]
    texts = [(key, "-" if value is None else _text(value, form)) for key, value, form in cells]
    line = f"{report.epoch:>5}" + "".join(f"  {text:>{max(WIDTH, len(key))}}" for key, text in texts)
    if (estimate := report.metrics.get("noise_rate_estimate")) is not None:
        line += f"\nnoise rate, estimated from the noisy labels: {100 * estimate:.3f} %"
    return line if report.diverged is None else f"{line}\ndiverged: {report.diverged}"


if __name__ == "__main__":
    main()
