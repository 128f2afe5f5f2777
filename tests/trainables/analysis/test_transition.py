"""What a network's predictions on the noisy validation say of the noise."""

import dataclasses

import numpy as np
import pytest
import torch

from tests.trainables.analysis.tools import features
from tosmooth.trainables.analysis.predictions import Predictions
from tosmooth.trainables.analysis.transition import distance, estimates


def test_distance_is_the_share_that_would_have_to_be_relabelled() -> None:
    one = np.array([[0.9, 0.1, 0.0], [0.0, 1.0, 0.0], [0.2, 0.2, 0.6]])
    other = np.array([[0.7, 0.1, 0.2], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    assert distance(one, other) == pytest.approx((0.2 + 0.0 + 0.4) / 3)
    assert distance(one, one) == 0


def test_a_network_that_knows_the_clean_labels_tells_the_noise_as_it_is() -> None:
    data = features("symmetric-0.3", size=4000, validation_fraction=0.5)
    assert data.validation.clean is not None
    assert data.transition is not None
    sure = 8.0 * torch.nn.functional.one_hot(data.validation.clean, data.classes).float()
    numbers, arrays = estimates(Predictions(sure, data.validation.labels), data)
    share = int((data.validation.labels != data.validation.clean).sum()) / len(data.validation)
    assert numbers["noise_rate_estimate"] == pytest.approx(share, abs=1e-9)
    assert arrays["measured_transition"] == data.transition.round(4).tolist()
    assert np.asarray(arrays["estimated_transition"]) == pytest.approx(data.transition, abs=0.03)
    assert numbers["transition_distance"] == pytest.approx(0, abs=0.03)  # 2,000 labels against all 4,000


def test_where_the_clean_labels_are_unknown_there_is_an_estimate_and_no_distance() -> None:
    data = dataclasses.replace(features("symmetric-0.3", size=400), transition=None)
    logits = torch.randn(len(data.validation), 2, generator=torch.Generator().manual_seed(0))
    numbers, arrays = estimates(Predictions(logits, data.validation.labels), data)
    assert numbers.keys() == {"noise_rate_estimate"}
    assert arrays.keys() == {"estimated_transition"}
