"""Files of weights in the forms in which people have them."""

import hashlib
import re
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.trainables.networks.nets import FlatNet, TinyNet
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.files.folders import Folders
from tosmooth.trainables.networks.heads import without_head
from tosmooth.trainables.networks.weights_file import digest_of, matching, read_state_file

State = dict[str, Tensor]


def state(classes: int = 7) -> State:
    torch.manual_seed(3)
    return dict(TinyNet(classes).state_dict())


def wanted() -> State:
    torch.manual_seed(4)
    return dict(without_head(TinyNet(3), "tiny")[0].state_dict())


def prefixed(prefix: str) -> State:
    return {prefix + key: value for key, value in state().items()}


FORMS: dict[str, Callable[[], Any]] = {
    "state dict": state,
    "other classes": lambda: state(1000),
    "checkpoint with an optimizer": lambda: {"epoch": 3, "optimizer": {"lr": 0.1}, "state_dict": state()},
    "model": lambda: {"model": state(), "args": {"lr": 1.0}},
    "averaged weights beside others": lambda: {"model": {k: v + 1 for k, v in state().items()}, "model_ema": state()},
    "DataParallel": lambda: prefixed("module."),
    "torch.compile": lambda: prefixed("_orig_mod."),
    "Lightning": lambda: {"state_dict": prefixed("model."), "global_step": 7},
    "compiled and parallel": lambda: prefixed("module._orig_mod."),
    "MoCo": lambda: {"state_dict": prefixed("module.encoder_q.") | {"module.queue": torch.zeros(4)}},
    "no counters of batches": lambda: {k: v for k, v in state().items() if "num_batches" not in k},
    "no head": lambda: {k: v for k, v in state().items() if not k.startswith("fc.")},
}


@pytest.mark.parametrize("form", FORMS)
def test_weights_are_found_in_each_form(folders: Folders, form: str) -> None:
    folders.data.mkdir()
    torch.save(FORMS[form](), folders.data / "w.pth")
    found, sha256 = read_state_file("w.pth", folders)
    assert sha256 == hashlib.sha256((folders.data / "w.pth").read_bytes()).hexdigest()
    weights = matching(found, wanted(), "tiny")
    for key, value in wanted().items():
        if "num_batches" not in key:
            torch.testing.assert_close(weights[key], state()[key], rtol=0, atol=0)
            assert not torch.equal(weights[key], value) or key.endswith(
                ("running_mean", "running_var", "bias", "1.weight")
            )
    assert not any(key.startswith("fc.") for key in weights)


def flat(seed: int = 3, prefix: str = "") -> State:
    """Weights of a network whose layers share no module; those of one seed differ from those of another everywhere."""
    torch.manual_seed(seed)
    network = FlatNet(7)
    for tensor in (*network.parameters(), *network.buffers()):
        if tensor.is_floating_point():
            tensor.data.uniform_(0.1, 1)
    return {prefix + key: value for key, value in network.state_dict().items()}


# The weights of seed 3 are meant; those of seed 5 lie beside them.
PLACES: dict[str, Any] = {
    "DataParallel": flat(prefix="module."),
    "torch.compile": flat(prefix="_orig_mod."),
    "Lightning": {"state_dict": flat(prefix="model."), "global_step": 7},
    "AveragedModel": {"n_averaged": torch.tensor(3), **flat(prefix="module.")},
    "numbers as tensors": {"epoch": torch.tensor(3), "state_dict": flat()},
    "MoCo": {"state_dict": flat(prefix="module.encoder_q.") | flat(5, "module.encoder_k.")},
    "MoCo v3": {"state_dict": flat(prefix="module.base_encoder.") | flat(5, "module.momentum_encoder.")},
    "SimCLR": {"state_dict": flat(prefix="backbone."), "arch": "resnet18"},
    "BYOL": {"online_network_state_dict": flat(), "target_network_state_dict": flat(5)},
    "DINO": {"student": flat(5, "module.backbone."), "teacher": flat(prefix="backbone."), "optimizer": {"state": {}}},
    "DINOv2": {"teacher": flat(prefix="backbone.")},
    "averaged by Lightning": {"state_dict": flat(5, "model.") | flat(prefix="ema_model.")},
    "averaged by timm": {"state_dict": flat(5), "state_dict_ema": flat()},
    "averaged, of another name": {"state_dict": flat(5), "ema_state_dict": flat()},
    "DeepSpeed": {"module": flat(), "optimizer": None},
    "deep": {"checkpoint": {"base_model": {"trunk": flat(prefix="a.b.")}}},
    "twice the same": {"model": flat(), "best": flat()},
    "half precision": {key: value.half() if value.is_floating_point() else value for key, value in flat().items()},
}


@pytest.mark.parametrize("ours", ["", "net.", "net.body."])
@pytest.mark.parametrize("form", PLACES)
def test_weights_are_found_under_any_prefix_on_either_side(folders: Folders, form: str, ours: str) -> None:
    folders.data.mkdir()
    torch.save(PLACES[form], folders.data / "w.pth")
    names = [key for key in flat(4) if not key.startswith("fc.")]
    weights = matching(read_state_file("w.pth", folders)[0], {ours + key: flat(4)[key] for key in names}, "flat")
    tolerance = 1e-3 if form == "half precision" else 0
    for key in names:
        torch.testing.assert_close(weights[ours + key].float(), flat()[key].float(), rtol=tolerance, atol=0)
    assert len(weights) == len(names)


def test_two_networks_of_which_none_is_said_to_be_meant_are_refused() -> None:
    with pytest.raises(InputError, match="holds flat more than once, under 'd' and 'g': save the one that is meant"):
        matching(flat(3, "g.") | flat(5, "d."), flat(4), "flat")
    found = matching(flat() | flat(5, "d."), flat(4), "flat")  # the one of the same names is meant
    assert torch.equal(found["conv1.weight"], flat()["conv1.weight"])


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (torch.zeros(8, 3, 3, 3, dtype=torch.int8), "is int8, where flat has float32"),
        (torch.zeros(8, 3, 3, 3).to_sparse(), "is sparse"),
        (torch.zeros(8, 3, 3, 3, device="meta"), "is without values"),
    ],
)
def test_tensors_that_are_no_weights_are_refused(value: Tensor, said: str) -> None:
    with pytest.raises(InputError, match=rf"network\.weights: conv1\.weight {said}"):
        matching(flat() | {"conv1.weight": value}, flat(4), "flat")


def test_safetensors_are_read(folders: Folders) -> None:
    folders.data.mkdir()
    save_file(state(), folders.data / "w.safetensors")
    found, _ = read_state_file("w.safetensors", folders)
    torch.testing.assert_close(found["stem.0.weight"], state()["stem.0.weight"])


def test_the_content_tells_what_a_file_is(folders: Folders) -> None:
    folders.data.mkdir()
    save_file(state(), folders.data / "pytorch_model.bin")
    torch.save(state(), folders.data / "model.safetensors")
    torch.save(state(), folders.data / "old.pth", _use_new_zipfile_serialization=False)
    for name in ("pytorch_model.bin", "model.safetensors", "old.pth"):
        assert torch.equal(read_state_file(name, folders)[0]["stem.0.weight"], state()["stem.0.weight"])


def test_arguments_and_scores_may_stand_beside_the_weights(folders: Folders) -> None:
    folders.data.mkdir()
    best = {"best": np.float64(81.5), "epoch": np.int64(3)}
    torch.save({"model": state(), "args": Namespace(lr=0.1), **best}, folders.data / "w.pth")
    assert torch.equal(read_state_file("w.pth", folders)[0]["model.stem.0.weight"], state()["stem.0.weight"])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"version https://git-lfs.github.com/spec/v1", "it begins with b'version https://git-lfs.'"),
        (b"<!DOCTYPE html><html><title>404", "it begins with b'<!DOCTYPE html>"),
        (b'{"weight_map": {"a": "model-1.bin"}}', "it begins with b'{\"weight_map"),
        (b"PK\x03\x04 cut", "it is damaged or cut short"),
    ],
)
def test_a_file_of_another_kind_is_shown_by_its_beginning(folders: Folders, content: bytes, said: str) -> None:
    folders.data.mkdir()
    (folders.data / "w.pth").write_bytes(content)
    with pytest.raises(InputError, match=rf"network\.weights: .*w\.pth: {re.escape(said)}.*: a state dict alone"):
        read_state_file("w.pth", folders)


class Executed:
    """A pickle that writes a file where it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.write_text, (self.path, "executed"))


def test_nothing_in_a_file_is_executed(folders: Folders, tmp_path: Path) -> None:
    folders.data.mkdir()
    torch.save({"state_dict": state(), "hook": Executed(tmp_path / "trace")}, folders.data / "w.pth")
    with pytest.raises(
        InputError, match=r"w\.pth: it would have to execute code \([\w.]+\): a state dict alone is read"
    ):
        read_state_file("w.pth", folders)
    assert not (tmp_path / "trace").exists()


def test_a_whole_module_is_refused_with_advice(folders: Folders) -> None:
    folders.data.mkdir()
    torch.save(TinyNet(3), folders.data / "w.pth")
    with pytest.raises(InputError, match=r"torch\.save\(model\.state_dict\(\), FILE\)"):
        read_state_file("w.pth", folders)


@pytest.mark.parametrize("content", [b"", b"not weights", b"PK\x03\x04 cut"])
@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_a_damaged_file_is_named(folders: Folders, name: str, content: bytes) -> None:
    folders.data.mkdir()
    (folders.data / name).write_bytes(content)
    with pytest.raises(InputError, match=rf"network\.weights: .*{name}"):
        read_state_file(name, folders)


def test_a_missing_file_and_one_without_tensors_are_named(folders: Folders) -> None:
    folders.data.mkdir()
    with pytest.raises(InputError, match=r"absent\.pth: there is no such file"):
        read_state_file("absent.pth", folders)
    torch.save({"epoch": 3}, folders.data / "w.pth")
    with pytest.raises(InputError, match="holds no state dict"):
        read_state_file("w.pth", folders)


def test_half_of_the_weights_are_refused() -> None:
    half = {key: value for key, value in state().items() if not key.startswith("stem.3")}
    with pytest.raises(InputError, match=r"lacks 2 of the \d+ tensors of tiny: stem\.3\.weight, stem\.3\.bias"):
        matching(half, wanted(), "tiny")


def test_another_shape_and_values_that_are_not_finite_are_refused() -> None:
    other = state() | {"stem.3.weight": torch.zeros(16, 8, 3, 3)}
    with pytest.raises(InputError, match=r"stem\.3\.weight is of shape \(16, 8, 3, 3\), where tiny has \(8, 8, 3, 3\)"):
        matching(other, wanted(), "tiny")
    other = state() | {"stem.3.weight": torch.full((8, 8, 3, 3), torch.nan)}
    with pytest.raises(InputError, match="not finite"):
        matching(other, wanted(), "tiny")


def test_a_digest_is_of_names_and_values() -> None:
    one = {"a": torch.zeros(2), "b": torch.ones(3, dtype=torch.bfloat16)}
    assert digest_of(one) == digest_of(dict(reversed(list(one.items()))))
    assert digest_of(one) != digest_of({**one, "a": torch.tensor([0.0, 1e-7])})
    assert digest_of(one) != digest_of({"c": one["a"], "b": one["b"]})
