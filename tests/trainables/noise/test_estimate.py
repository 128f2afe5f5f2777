"""The noise rate told from noisy labels alone, against data whose wrong labels are known."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from tests.conftest import ROOT
from tosmooth.trainables.checkpointing.layout import lengths
from tosmooth.trainables.checkpointing.trunks import Trunks
from tosmooth.trainables.config import DataConfig, NetworkConfig, OptimizerConfig, TrainingConfig, TrialConfig
from tosmooth.trainables.data.datasets import LevelData, load_level
from tosmooth.trainables.files.folders import Folders
from tosmooth.trainables.noise.estimate import HeldOut, estimated_noise_rate, estimated_transition
from tosmooth.trainables.noise.synthetic import Synthetic, corrupt, measured_transition, transition_matrix
from tosmooth.trainables.training.trainer import Report, Trainer, train

CPU = torch.device("cpu")
NAME = "noise_rate_estimate"
# Hides cleanlab, as on a bare machine.
BARE = """
import runpy, sys
sys.modules["cleanlab"] = None
runpy.run_module("trainables", run_name="__main__")
"""


def level(noise: str, size: int = 600) -> LevelData:
    config = DataConfig(dataset="twonorm", noise=noise, size=size, validation_fraction=0.5, test_size=100)
    return load_level(config, Folders(Path("unused"), Path("unused")))


def trial(data: DataConfig | None = None, epochs: int = 4, rate: float = 0.0) -> TrialConfig:
    recipe = TrainingConfig(epochs=epochs, batch_size=128, optimizer=OptimizerConfig(lr=0.1, momentum=0.9))
    return TrialConfig(data=data or DataConfig(dataset="twonorm"), network=NetworkConfig(), training=recipe, rate=rate)


def reports(config: TrialConfig, data: LevelData, estimate: bool = True, trunks: Trunks | None = None) -> list[Report]:
    found: list[Report] = []
    train(config, data, found.append, CPU, trunks, estimate)
    return found


def sure(classes: Tensor, k: int, confidence: float = 0.9) -> Tensor:
    """Probabilities [n, k] of a network that gives each of `classes` [n] the `confidence`, others the rest."""
    rest = (1 - confidence) / (k - 1)
    return rest + (confidence - rest) * one_hot(classes, k).double()


@pytest.mark.parametrize("k", [2, 3, 4, 10])
@pytest.mark.parametrize(("kind", "rate"), [("symmetric", 0.0), ("symmetric", 0.3), ("pairflip", 0.2)])
def test_a_perfect_network_tells_the_share_of_wrong_labels_exactly(k: int, kind: str, rate: float) -> None:
    clean = np.arange(4000) % k
    noisy = corrupt(clean, transition_matrix(Synthetic(kind, rate), k), 1)
    found = estimated_noise_rate(sure(torch.from_numpy(clean), k), torch.from_numpy(noisy))
    assert found == pytest.approx(np.mean(noisy != clean), abs=1e-9)


@pytest.mark.parametrize("k", [2, 3, 10])
@pytest.mark.parametrize(("kind", "rate"), [("symmetric", 0.0), ("symmetric", 0.3), ("pairflip", 0.2)])
def test_a_good_network_tells_the_transition_matrix(k: int, kind: str, rate: float) -> None:
    clean = np.arange(4000) % k
    noisy = corrupt(clean, transition_matrix(Synthetic(kind, rate), k), 1)
    measured, given = measured_transition(noisy, clean, k), torch.from_numpy(noisy)
    perfect = estimated_transition(sure(torch.from_numpy(clean), k), given)
    assert perfect is not None
    assert perfect.dtype == np.float64
    np.testing.assert_allclose(perfect, measured, atol=1e-9)
    confidence = torch.from_numpy(np.random.default_rng(0).uniform(0.5, 1, (4000, 1)))
    unsure = estimated_transition(sure(torch.from_numpy(clean), k, 1.0) * confidence + (1 - confidence) / k, given)
    assert unsure is not None
    np.testing.assert_allclose(unsure, measured, atol=0.03)
    np.testing.assert_allclose(unsure.sum(axis=1), 1)


def test_rows_of_an_estimated_transition_are_clean_classes() -> None:
    clean = torch.arange(300) % 3
    found = estimated_transition(sure(clean, 3), torch.where((clean == 2) & (torch.arange(300) < 150), 0, clean))
    assert found is not None
    half = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.5, 0.0, 0.5]]  # of class 2 became 0
    np.testing.assert_allclose(found, half, atol=1e-9)


def test_labels_of_a_class_that_no_example_is_of_stay() -> None:
    clean = torch.arange(300) % 3
    found = estimated_transition(sure(clean, 4), clean)
    assert found is not None
    np.testing.assert_allclose(found, np.eye(4), atol=1e-9)


# The posterior of a perfect classifier that was trained on noisy labels: T' times the clean one. Breiman's Twonorm: the
# log odds of the classes are 4 / sqrt(20) times the sum of the coordinates.
def test_the_transition_of_twonorm_is_recovered_from_noisy_labels() -> None:
    data = level("pairflip-0.3", size=8000)
    held = data.validation
    clean = torch.sigmoid(4 / 20**0.5 * held.inputs[held.rows].double().sum(dim=1))
    p = 0.3 + 0.4 * torch.stack([1 - clean, clean], dim=1)
    found = estimated_transition(p, held.labels)
    assert found is not None
    np.testing.assert_allclose(found, [[0.7, 0.3], [0.3, 0.7]], atol=0.06)


def test_what_a_network_is_unsure_of_is_no_noise_and_what_it_confuses_is() -> None:
    labels = torch.arange(40) % 4
    unsure = sure(labels, 4)
    unsure[:8] = 0.25
    assert estimated_noise_rate(unsure, labels) == 0.0
    confused = torch.cat([(labels[:8] + 1) % 4, labels[8:]])
    assert estimated_noise_rate(sure(confused, 4), labels) == 0.2  # 8 of 40, although no label is wrong


def test_few_classes_are_calibrated_to_the_frequencies_of_the_labels() -> None:
    # Thresholds: class 0 (0.9 * 5 + 0.6 * 2 + 0.1 * 3) / 10 = 0.6, class 1 0.9. The 2 examples of 0.6 reach 0's: of 10
    # labels 0, 7 count as 0 and 3 as 1; of 5 labels 1, all as 1. No example is left out: 3 of 15.
    p = torch.tensor([0.9] * 5 + [0.601] * 2 + [0.1] * 3 + [0.1] * 5, dtype=torch.float64)
    labels = torch.tensor([0] * 10 + [1] * 5)
    assert estimated_noise_rate(torch.stack([p, 1 - p], dim=1), labels) == 0.2
    # Now the two reach neither: 3 of 8 confident labels 0 are wrong, scaled to 10 labels 0: 3.75, rounded 4, of 15.
    p[5:7] = 0.5
    assert estimated_noise_rate(torch.stack([p, 1 - p], dim=1), labels) == pytest.approx(4 / 15)


def test_labels_of_one_class_tell_nothing() -> None:
    assert estimated_noise_rate(torch.full((5, 2), 0.5), torch.ones(5, dtype=torch.int64)) is None
    assert estimated_transition(torch.full((5, 2), 0.5), torch.ones(5, dtype=torch.int64)) is None


# Over four seeds: off by -0.004 to 0.008 up to 0.2, 0.006 to 0.014 at 0.3, 0.005 to 0.042 at 0.4, where the network is
# weakest. The spread of 5,000 labels alone is 0.007.
@pytest.mark.parametrize(
    ("rate", "tolerance"),
    [(0.0, 0.02), (0.1, 0.02), (0.2, 0.02), (0.3, 0.03), (0.4, 0.06)],
)
def test_the_estimate_is_near_the_measured_rate_on_twonorm(rate: float, tolerance: float) -> None:
    data = level(f"symmetric-{rate}", size=10000)
    assert data.noise_rate is not None
    assert reports(trial(), data)[-1].metrics[NAME] == pytest.approx(data.noise_rate, abs=tolerance)


def test_the_first_epoch_of_highest_noisy_validation_counts() -> None:
    labels = torch.arange(40) % 4
    held = HeldOut()
    assert held.noise_rate(labels) is None
    for accuracy, wrong in ((70.0, 4), (80.0, 8), (80.0, 12), (75.0, 16), (None, 20)):
        held.add(accuracy, sure(torch.cat([(labels[:wrong] + 1) % 4, labels[wrong:]]), 4).log())
    assert held.noise_rate(labels) == 0.2  # 8 of 40


def test_the_last_epoch_of_cross_entropy_alone_tells_it_and_nothing_else_changes() -> None:
    data = level("symmetric-0.2")
    asked = [{k: v for k, v in report.metrics.items() if k != "seconds"} for report in reports(trial(), data)]
    assert [NAME in metrics for metrics in asked] == [False, False, False, True]
    plain = [{k: v for k, v in report.metrics.items() if k != "seconds"} for report in reports(trial(), data, False)]
    assert asked == [*plain[:3], {**plain[3], NAME: asked[3][NAME], "classes_never_predicted": 0.0}]


def test_off_means_off_and_so_does_any_other_rate() -> None:
    data = level("symmetric-0.2")
    off = Trainer(trial(), data, CPU)
    while not off.done:
        assert NAME not in off.run_epoch().metrics
    assert off.held_out.logits is None  # nothing is gathered either
    assert all(NAME not in report.metrics for report in reports(trial(rate=-0.4), data))


def test_a_run_that_branches_from_a_trunk_tells_the_same(tmp_path: Path) -> None:
    data = level("symmetric-0.4")
    config = trial(epochs=8)
    alone = reports(config, data)
    accuracies = [report.metrics["val_accuracy"] for report in alone]
    assert max(range(8), key=lambda epoch: accuracies[epoch] or 0) < 7  # the epoch that counts lies in the trunk
    trunks = Trunks(str(tmp_path), lengths([7]))
    reports(config, data, False, trunks)  # makes the trunk, and is not asked
    branched = reports(config, data, True, trunks)
    assert [report.metrics.get("spared") for report in branched] == [1.0] * 7 + [None]
    assert branched[-1].metrics[NAME] == alone[-1].metrics[NAME]


def test_without_cleanlab_the_metric_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("cleanlab", "cleanlab.count"):
        monkeypatch.setitem(sys.modules, name, None)
    found = reports(trial(), level("symmetric-0.2"))
    assert [NAME in report.metrics for report in found] == [False] * 4
    assert estimated_transition(sure(torch.arange(40) % 4, 4), torch.arange(40) % 4) is None


def test_without_cleanlab_the_command_refuses_to_estimate(tmp_path: Path) -> None:
    options = ["--set", "data.size=300", "--set", "data.test_size=100", "--epochs", "1", "--json", "--estimate-noise"]
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-c", BARE, *options],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    rule = "cleanlab estimates it, and is not installed: pip install cleanlab"
    assert (done.returncode, done.stderr) == (2, f"error: --estimate-noise: True is refused: {rule}\n")
    assert done.stdout == ""


def test_classes_that_are_never_predicted_are_counted() -> None:
    held, labels = HeldOut(), torch.arange(40) % 4
    held.add(70.0, sure(labels, 5).log())  # the fifth class has no label here
    assert held.never_predicted(labels) == 0
    held.add(80.0, sure(labels % 2, 5).log())
    assert held.never_predicted(labels) == 2
