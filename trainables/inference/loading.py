"""Files of weights as networks that take raw examples.

Loading a file executes nothing but the factory of the user's that it names, where it names one: weights are read as
safetensors, which hold numbers alone.
"""

import json
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from tosmooth.trainables.checkpointing.weights import BACKBONE, Saved, read_weights, save_weights
from tosmooth.trainables.config import TrialConfig
from tosmooth.trainables.data.datasets import load_level
from tosmooth.trainables.data.preprocessing import Preprocessing
from tosmooth.trainables.errors import InputError, first_line
from tosmooth.trainables.files.folders import Folders
from tosmooth.trainables.former_words import renewed
from tosmooth.trainables.inference.predictor import Predictor
from tosmooth.trainables.networks.backbone import start_of
from tosmooth.trainables.networks.build import backbone_of, build_network
from tosmooth.trainables.networks.inputs import inputs_of
from tosmooth.trainables.networks.prepare import prepared
from tosmooth.trainables.user_code import UserCode, active_digest, collect, use

COMPLETED = "`tosmooth best STUDY --level LEVEL` writes a file that has all of it"


def load_weights(path: str | Path, code: str | Path | None = None) -> Predictor:
    """Load the network of a file of weights, on the CPU, with its preprocessing: it takes raw rows or pictures.

    `code`: folder, or .zip of a study, with the user's code that makes the network (`network.factory`). By default it
    is the .zip beside the file, which `tosmooth best` writes, else what is installed. No other code is executed. Raises
    `InputError` for a file that is damaged or too old, and where its code or libraries are missing or not the same.
    """
    path = Path(path)
    saved = _read(path)
    config = _trial(saved, path)
    if not saved.inputs:
        raise InputError(f"{path}: does not say how raw inputs are prepared, as files of versions before: {COMPLETED}")
    made = _preprocessing(saved, path)
    _use_code(config, path, None if code is None else Path(code))
    _check_inputs(config, made, path)
    network, backbone = _built(config, made)
    state = {name: torch.tensor(array) for name, array in saved.state.items()}
    own = {name.removeprefix(BACKBONE): state.pop(name) for name in list(state) if _of_backbone(name, backbone)}
    if backbone is not None and not own:
        raise InputError(f"{path}: holds the head alone, without its frozen backbone: {COMPLETED}")
    try:
        network.load_state_dict(state)
        if backbone is not None:
            backbone.load_state_dict(own)
    except RuntimeError as error:
        words = " ".join(str(error).split())[:300]
        raise InputError(f"{path}: its weights are not those of {config.network.name}: {words}") from error
    return Predictor(_laid_out(network, made), made, backbone)


def completed(path: Path, output: Path, folders: Folders, weights: str | None = None) -> None:
    """Write the weights in `path` to `output` with all that is needed to use them: what lacks is read from the data.

    That is the preprocessing in a file of the version before, and the weights of a frozen backbone; `weights`: where
    these are now, if not where the trial says. The user's code is to be in use. Raises `InputError` where something
    cannot be had.
    """
    saved = _read(path)
    config = _trial(saved, path)
    if weights is not None:
        config = replace(config, network=replace(config.network, weights=weights))
    state = {name: torch.tensor(array) for name, array in saved.state.items()}
    inputs = saved.inputs or _measured(config, folders).to_json()
    made = Preprocessing.from_json(inputs)
    if not replace(saved, inputs=inputs).whole:
        begun = start_of(config.network, _shape(made), len(made.classes), folders).state
        state |= {f"{BACKBONE}{name}": tensor for name, tensor in begun.items()}
    save_weights(output, state, saved.trial, saved.classes, inputs, saved.versions)


def _measured(config: TrialConfig, folders: Folders) -> Preprocessing:
    """Preprocessing of a trial by its data, which are read anew."""
    ready = prepared(config, load_level(config.data, folders), folders, trained=True)
    if ready.data.preprocessing is None:
        raise InputError(f"dataset.name: {config.data.dataset!r} does not say how its inputs are made")
    return ready.data.preprocessing


def _read(path: Path) -> Saved:
    try:
        return read_weights(path)
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such file") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: damaged, or no file of safetensors: {first_line(error)}") from error


def _trial(saved: Saved, path: Path) -> TrialConfig:
    """Trial of the file. Raises `InputError` where it does not say, or no version of ours wrote it."""
    if not saved.trial:
        raise InputError(f"{path}: does not say which network its weights are of: tosmooth did not write it")
    try:
        return TrialConfig.from_dict(renewed(json.loads(saved.trial)))
    except (ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: damaged, or of a newer version: {first_line(error)}") from error


def _preprocessing(saved: Saved, path: Path) -> Preprocessing:
    try:
        return Preprocessing.from_json(saved.inputs)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: damaged, or of a newer version: {first_line(error)}") from error


def _use_code(config: TrialConfig, path: Path, place: Path | None) -> None:
    """Make the code that the network's factory is in importable. Raises `InputError` where it is not the trial's."""
    if not config.references or (config.code is not None and active_digest() == config.code):
        return
    beside = path.with_suffix(".zip")
    place = beside if place is None and beside.is_file() else place
    if place is None and config.code is None:
        return  # it was trained by what is imported, which is not known by a digest
    if place is not None and place.is_file():
        code = UserCode.from_archive(place.read_bytes(), str(place))
    else:
        advice = "code names the folder or .zip that has it"
        try:
            code = collect(config.references, place)
        except InputError as error:
            raise InputError(f"{path}: {error}; {advice}") from error
    if config.code not in (None, code.digest):
        where = "what is installed" if place is None else str(place)
        raise InputError(f"{path}: its network is made by other code than {where} (digest {code.digest}): name that")
    use(code)


def _check_inputs(config: TrialConfig, made: Preprocessing, path: Path) -> None:
    """Raise `InputError` where a library's network resizes pictures otherwise here than where it was trained."""
    if not made.of_pictures or config.network.own:
        return
    here = inputs_of(config.network)
    if (here.size, here.interpolation) != (made.size, made.interpolation):
        then, now = f"{made.size} ({made.interpolation})", f"{here.size} ({here.interpolation})"
        rule = f"pictures of {then} pixels, here {now}: install the version of the library that trained it"
        raise InputError(f"{path}: {config.network.name} saw {rule}")


def _built(config: TrialConfig, made: Preprocessing) -> tuple[nn.Module, nn.Module | None]:
    """The network with new weights, and its frozen backbone where it has one."""
    classes, backbone = len(made.classes), None
    with torch.random.fork_rng(devices=[]):
        if config.network.mode == "frozen":
            torch.manual_seed(0)  # as where its features were computed: of buffers that are in no state
            backbone, width = backbone_of(config.network, _shape(made), classes)
            torch.manual_seed(config.train_seed)
            return build_network(config.network, (width,), classes), _laid_out(backbone.eval(), made)
        torch.manual_seed(config.train_seed)
        return build_network(config.network, _shape(made), classes), None


def _shape(made: Preprocessing) -> tuple[int, ...]:
    """Shape of an example as networks see it: (C, H, W) of pictures, (D,) of features."""
    *size, channels = made.shape
    return (channels, *size)


def _laid_out(network: nn.Module, made: Preprocessing) -> nn.Module:
    return network.to(memory_format=torch.channels_last) if made.of_pictures else network


def _of_backbone(name: str, backbone: nn.Module | None) -> bool:
    return backbone is not None and name.startswith(BACKBONE)
