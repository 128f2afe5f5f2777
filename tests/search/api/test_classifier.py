"""The estimator: scikit-learn's own checks, and what a negative rate does to labels that are partly wrong."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator

import tosmooth
from tosmooth.trainables.errors import InputError

RNG = np.random.default_rng(0)
Y = RNG.integers(0, 3, 300)
X = 2 * np.eye(3, 6)[Y] + RNG.normal(size=(300, 6))
WRONG = np.where(RNG.random(300) < 0.4, RNG.integers(0, 3, 300), Y)
# Checks of scikit-learn that cannot apply, with the reason; none as yet.
EXPECTED_FAILED_CHECKS: dict[str, str] = {}


def made(**settings: Any) -> tosmooth.SmoothedClassifier:
    return tosmooth.SmoothedClassifier(**({"rate": -0.5, "epochs": 15, "random_state": 0} | settings))


CHECKS = [
    check
    for _, check in estimator_checks_generator(made(), expected_failed_checks=EXPECTED_FAILED_CHECKS, mark="xfail")
]


@pytest.mark.parametrize("number", range(len(CHECKS)))
@pytest.mark.filterwarnings("ignore")
def test_it_passes_scikit_learns_checks(number: int) -> None:
    CHECKS[number](made())


def test_classes_may_be_texts_and_the_network_can_be_pickled() -> None:
    names = np.array(["cat", "dog", "fox"])[Y]
    found = made().fit(X, names)
    assert found.classes_.tolist() == ["cat", "dog", "fox"]
    assert found.score(X, names) > 0.8
    again = pickle.loads(pickle.dumps(found))
    assert (again.predict_proba(X) == found.predict_proba(X)).all()
    assert np.allclose(found.predict_proba(X).sum(axis=1), 1)


def test_the_rate_and_the_warm_up_act() -> None:
    entropies = {}
    for rate in (-1.0, 0.0, 0.5):
        p = made(rate=rate).fit(X, WRONG).predict_proba(X)
        entropies[rate] = float(-(p * np.log(p + 1e-30)).sum(axis=1).mean())
    assert entropies[-1.0] < entropies[0.0] < entropies[0.5]
    plain, warm = made(rate=0.0).fit(X, WRONG), made(rate=-1.0, warmup=15).fit(X, WRONG)
    assert (plain.predict_proba(X) == warm.predict_proba(X)).all()


def test_what_the_user_draws_from_torch_is_as_without_it() -> None:
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    made().fit(X, Y)
    assert torch.rand(3).equal(expected)


def test_it_is_a_part_of_pipelines_and_cross_validation() -> None:
    scores = cross_val_score(make_pipeline(StandardScaler(), made()), X, Y, cv=3)
    assert scores.mean() > 0.75


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rate": 2.0}, "rate: 2.0 is refused"),
        ({"rate": "auto"}, "rate: 'auto' is refused: a smoothing rate of at most 1, or search"),
        ({"warmup": 16}, "warmup: 16 is refused: 0 to 15"),
        ({"network": "cnn"}, "network.name: 'cnn' is refused"),
        ({"network": {"name": "mlp", "widht": 3}}, "network.widht: unknown key; did you mean 'width'"),
        ({"epochs": 0}, "training.epochs: 0 is refused"),
    ],
)
def test_wrong_parameters_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        made(**settings).fit(X, Y)


@pytest.mark.slow
@pytest.mark.ray
def test_a_search_finds_the_rate_that_it_then_trains(tmp_path: Path) -> None:
    found = made(rate="search", epochs=3, trials=3, seeds=1, home=tmp_path / "home", progress=False).fit(X, WRONG)
    best = found.result_.best("given").parameters
    assert (found.rate_, found.warmup_) == (best["rate"], best["warmup"])
    assert len(found.result_.trials) >= 5
    assert found.predict(X).shape == (300,)
    assert found.result_.recommendation.words
