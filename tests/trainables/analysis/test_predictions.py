"""Predictions of trained networks, and networks that are read back."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from tests.trainables.analysis.tools import CPU, NETWORKS, by_hand, features, images, trained, trial
from tosmooth.trainables.analysis import predictions
from tosmooth.trainables.analysis.predictions import predict, saved_network, saved_trial
from tosmooth.trainables.checkpointing.weights import save_weights
from tosmooth.trainables.errors import InputError


@pytest.mark.parametrize("name", NETWORKS)
def test_saved_network_predicts_the_reported_accuracy(name: Any, tmp_path: Path) -> None:
    data = features(size=300, test_size=200) if name == "mlp" else images(n=15)
    config = trial(name)
    trainer = trained(config, data)
    path = tmp_path / "network.safetensors"
    trainer.save_weights(path)
    assert saved_trial(path) == config
    state = torch.get_rng_state()
    network = saved_network(path, data, CPU)
    assert torch.equal(torch.get_rng_state(), state)
    test = predictions.test_set(data)
    found = predict(network, config, data, test, CPU)
    right = 100 * (found.predicted == found.labels).double().mean().item()
    assert right == pytest.approx(trainer.curve[-1]["test_accuracy"])


def test_network_of_the_version_before_says_which_trial_it_is_of(tmp_path: Path) -> None:
    data, config = features(size=300, test_size=200), dataclasses.replace(trial(), lr_after_warmup=0.5)
    path = tmp_path / "network.safetensors"
    text = json.dumps(config.to_dict()).replace("lr_after_warmup", "lr_factor")
    save_weights(path, trained(config, data).network.state_dict(), text)
    assert saved_trial(path) == config
    assert sum(each.numel() for each in saved_network(path, data, CPU).parameters()) > 0


def test_damaged_weights_and_weights_of_no_trial_are_refused(tmp_path: Path) -> None:
    data, config = features(size=300, test_size=200), trial()
    path = tmp_path / "network.safetensors"
    trained(config, data).save_weights(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(ValueError, match="its digest does not fit"):
        saved_network(path, data, CPU)
    save_file({"weight": torch.ones(1)}, path)
    with pytest.raises(ValueError, match="it does not say which trial it is of"):
        saved_trial(path)


def test_logits_are_those_of_the_network_in_evaluation_in_the_order_of_the_split() -> None:
    data = images()
    config = trial("cnn", precision="float32")
    network = trained(config, data).network
    found = predict(network.train(), config, data, data.validation, CPU)
    with torch.no_grad():
        expected = network.eval()(by_hand(data, data.validation))
    assert found.logits.numpy() == pytest.approx(expected.numpy(), abs=1e-5)
    assert torch.equal(found.labels, data.validation.labels)


def test_data_without_a_test_set_are_refused() -> None:
    data = dataclasses.replace(features(size=100), test=None)
    with pytest.raises(InputError, match=r"^dataset\.test: None is refused: an analysis needs a clean test set$"):
        predictions.test_set(data)
