"""The analysis of one trained network as a whole: every number by its name, ready for JSON."""

import dataclasses
import json
from typing import Any

import pytest
import torch

from tests.trainables.analysis.tools import CPU, features, images, trained, trial
from tosmooth.trainables.analysis.analyse import Options, analyse
from tosmooth.trainables.analysis.calibration import scores
from tosmooth.trainables.config import OptimizerConfig
from tosmooth.trainables.errors import InputError

SCORES = {
    *("nll", "accuracy", "ece", "brier", "confidence_right", "confidence_wrong", "mean_abs_logit"),
    *("adaptive_ece", "aurc", "excess_aurc", "balanced_accuracy", "macro_f1"),
}
MEMORY = {"clean_accuracy", "memorised", "corrected", "other"}
ATTACKS = {
    *("examples", "epsilon", "attacked_accuracy", "fgsm_accuracy", "pgd_accuracy", "margin_accuracy"),
    *("transfer_accuracy", "worst_accuracy", "zero_gradients"),
}
REST = {"temperature", "tightness", "plane_tightness", "noise_rate_estimate"}


@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_every_number_is_there_and_all_of_it_is_json(name: Any) -> None:
    data = features(size=600, test_size=300) if name == "mlp" else images()
    config = trial(name, epochs=2, precision="float32")
    trainer = trained(config, data)
    found = analyse(trainer.network, config, data, CPU)
    expected = SCORES | {f"scaled_{each}" for each in SCORES} | MEMORY | ATTACKS | REST | {"student_accuracy"}
    matrices = {"estimated_transition"}
    if data.transition is not None:
        expected |= {"transition_distance"}
        matrices |= {"measured_transition"}
    assert found.numbers.keys() == expected
    diagrams = {"reliability", "adaptive_reliability", "scaled_reliability"}
    assert found.arrays.keys() == {*diagrams, "confusion", "projection"} | matrices
    confusion, test = torch.tensor(found.arrays["confusion"]), found.test
    assert confusion.sum(dim=1).tolist() == test.labels.bincount(minlength=len(confusion)).tolist()
    assert confusion.sum(dim=0).tolist() == test.predicted.bincount(minlength=len(confusion)).tolist()
    assert confusion.trace() == (test.predicted == test.labels).sum()
    assert found.notes.keys() == {"masking"}
    plain = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert plain["numbers"] == found.numbers
    last = trainer.curve[-1]
    for ours, theirs in (("nll", "test_loss"), ("accuracy", "test_accuracy"), ("ece", "test_ece")):
        assert found.numbers[ours] == pytest.approx(last[theirs])
    assert found.numbers["transfer_accuracy"] is None


def test_scaled_scores_are_of_the_temperature_and_accuracy_stays() -> None:
    data = features("symmetric-0.4", size=2000, test_size=1000)
    config = trial(epochs=3, rate=-1.0, optimizer=OptimizerConfig(lr=0.01))
    found = analyse(trained(config, data).network, config, data, CPU, Options(attacked=0, student=False))
    numbers = found.numbers
    again = scores(found.test.logits / (numbers["temperature"] or 1), found.test.labels)
    assert {key.removeprefix("scaled_"): numbers[key] for key in numbers if key.startswith("scaled_")} == again
    assert numbers["scaled_accuracy"] == numbers["accuracy"]
    assert not numbers.keys() & (ATTACKS | {"student_accuracy"})


def test_training_set_without_clean_labels_says_nothing_of_memory() -> None:
    data = features(size=300, test_size=100)
    unknown = dataclasses.replace(data, train=dataclasses.replace(data.train, clean=None))
    config = trial()
    found = analyse(trained(config, unknown).network, config, unknown, CPU, Options(attacked=0, student=False))
    assert not found.numbers.keys() & MEMORY


def test_network_on_which_the_transfer_attack_is_made_is_used() -> None:
    data = features(size=300, test_size=100)
    config = trial(epochs=2)
    network, other = trained(config, data).network, trained(trial(epochs=2, width=4), data).network
    found = analyse(network, config, data, CPU, Options(student=False, attacked=50), source=other)
    assert found.numbers["transfer_accuracy"] is not None
    assert found.numbers["examples"] == 50


def test_network_that_diverged_is_refused() -> None:
    data = features(size=300, test_size=100)
    config = trial()
    network = trained(config, data).network
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(torch.nan)
    with pytest.raises(InputError, match=r"^network: its logits are not finite: it has diverged$"):
        analyse(network, config, data, CPU, Options(student=False))


@pytest.mark.parametrize("lacking", [(0,), (0, 1, 2)])
def test_projection_takes_classes_that_the_test_set_has(lacking: tuple[int, ...]) -> None:
    data = images(n=60, classes=5)
    assert data.test is not None
    kept = ~torch.isin(data.test.labels, torch.tensor(lacking))
    test = dataclasses.replace(data.test, rows=data.test.rows[kept], labels=data.test.labels[kept])
    data, config = dataclasses.replace(data, test=test), trial("cnn", epochs=1, precision="float32")
    found = analyse(trained(config, data).network, config, data, CPU, Options(attacked=0, student=False))
    shown = found.arrays["projection"]
    assert isinstance(shown, dict)
    there = sorted(set(test.labels.tolist()))
    assert shown["classes"] == there[:3]
    assert torch.tensor(shown["points"]).isfinite().all()


def test_data_without_a_test_set_are_refused() -> None:
    data = dataclasses.replace(features(size=300), test=None)
    config = trial()
    with pytest.raises(InputError, match=r"^dataset\.test: None"):
        analyse(trained(config, data).network, config, data, CPU)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (Options(epsilon=0), "epsilon: 0 is refused: above 0 and, for pixels of [0, 1], at most 1"),
        (Options(epsilon=1.5), "epsilon: 1.5 is refused: above 0 and, for pixels of [0, 1], at most 1"),
        (Options(epsilon=float("nan")), "epsilon: nan is refused: above 0 and, for pixels of [0, 1], at most 1"),
        (Options(attacked=-1), "attacked: -1 is refused: 0 or more examples"),
    ],
)
def test_options_that_do_not_fit_the_data_are_refused(options: Options, message: str) -> None:
    with pytest.raises(InputError) as caught:
        options.check(images())
    assert str(caught.value) == message


def test_features_have_no_largest_epsilon_but_infinity() -> None:
    data = features(size=100, test_size=20)
    Options(epsilon=1.5).check(data)
    with pytest.raises(InputError, match=r"^epsilon: inf is refused: above 0 and finite$"):
        Options(epsilon=float("inf")).check(data)
