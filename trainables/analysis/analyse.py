"""Analysis of one trained network, all of it: numbers by name, and arrays for plots, ready for JSON."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from tosmooth.trainables.analysis.attacks import robustness
from tosmooth.trainables.analysis.calibration import fit_temperature, reliability, scores
from tosmooth.trainables.analysis.distillation import distil
from tosmooth.trainables.analysis.memorisation import memorisation
from tosmooth.trainables.analysis.predictions import Predictions, predict, test_set
from tosmooth.trainables.analysis.projection import last_layer, penultimate, project, tightness
from tosmooth.trainables.analysis.transition import estimates
from tosmooth.trainables.config import TrialConfig
from tosmooth.trainables.data.datasets import LevelData
from tosmooth.trainables.errors import InputError, require
from tosmooth.trainables.training.divergence import UNBOUNDED

CLASSES = (0, 1, 2)  # of the projection, unless others are asked for
PROJECTED = 100  # examples a class of the projection's picture


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Options of the analysis: the costly parts can be left out."""

    attacked: int = 1000  # test examples that are attacked; 0: none. Each costs 42 gradients, or 62
    epsilon: float | None = None  # of the attacks; None: 8/255 for images, 0.1 for features
    student: bool = True  # distil into a student: a training run of its own
    classes: tuple[int, ...] = CLASSES  # of the projection

    def check(self, data: LevelData) -> None:
        """Raise `InputError` if the options do not fit the data, before anything is computed."""
        require(self.attacked >= 0, "attacked", self.attacked, "0 or more examples")
        most = 1.0 if test_set(data).inputs.ndim == 4 else math.inf
        rule = "above 0 and, for pixels of [0, 1], at most 1" if most == 1 else "above 0 and finite"
        fits = self.epsilon is None or (0 < self.epsilon <= most and math.isfinite(self.epsilon))
        require(fits, "epsilon", self.epsilon, rule)


class DivergedError(InputError):
    """Error for a network that has diverged: nothing can be said about it."""


@dataclass(frozen=True, slots=True, eq=False)
class Analysis:
    """Analysis of one network. `numbers` and `arrays` hold plain values; what is not finite is None."""

    numbers: dict[str, float | None]
    arrays: dict[str, Any]
    notes: dict[str, str]
    test: Predictions  # for the bias and variance over seeds

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain values for JSON, without the predictions."""
        return {"numbers": self.numbers, "arrays": self.arrays, "notes": self.notes}


def analyse(
    network: nn.Module,
    config: TrialConfig,
    data: LevelData,
    device: torch.device,
    options: Options | None = None,
    source: nn.Module | None = None,
) -> Analysis:
    """Analyse the `network` that the trial `config` trained on `data`.

    Numbers, as their functions say: those of `calibration.scores` on the clean test set; `temperature`, fitted on the
    noisy validation, and the scores again with it as `scaled_*`; `clean_accuracy`, `memorised`, `corrected`, `other` on
    the training set where clean labels are known; `tightness` over all classes, `plane_tightness` in the projection;
    those of `transition.estimates`; `student_accuracy`; `fgsm_accuracy`, `pgd_accuracy` and what else
    `attacks.Robustness` has. Arrays: `reliability`, `scaled_reliability`, `adaptive_reliability`, `confusion` (counts,
    a row for each class of the test set), `projection`, and the matrices of `transition.estimates`. Notes: `masking`,
    empty where no sign of it was found; `run_away` where the logits have.
    `source` as in `attacks.robustness`. Raises `InputError` where there is no clean test set or the options do not fit,
    `DivergedError` for a network that has diverged.
    """
    wanted = options or Options()
    wanted.check(data)
    validation = predict(network, config, data, data.validation, device)
    tested = predict(network, config, data, test_set(data), device)
    if not torch.cat([validation.logits, tested.logits]).isfinite().all():
        raise DivergedError("network: its logits are not finite: it has diverged")
    temperature = fit_temperature(validation.logits, validation.labels)
    scaled = Predictions(tested.logits / temperature, tested.labels)
    numbers: dict[str, float | None] = {
        **scores(tested.logits, tested.labels),
        "temperature": temperature,
        **{f"scaled_{name}": value for name, value in scores(scaled.logits, scaled.labels).items()},
        **_memorised(network, config, data, device),
    }
    arrays: dict[str, Any] = {
        "reliability": _diagram(tested),
        "adaptive_reliability": _diagram(tested, adaptive=True),
        "scaled_reliability": _diagram(scaled),
        "confusion": _confusion(tested, data.classes),
    }
    size = tested.logits.abs().double().mean().item()
    notes = {} if size <= UNBOUNDED else {"run_away": f"mean |logit| is {size:.0e}"}
    projected, tight = _projected(network, config, data, device, wanted.classes)
    arrays["projection"] = projected
    numbers |= tight
    noise, matrices = estimates(validation, data)
    numbers |= noise
    arrays |= matrices
    if wanted.student:
        numbers["student_accuracy"] = distil(network, config, data, device).metrics["test_accuracy"]
    if wanted.attacked:
        found = robustness(network, data, device, source, wanted.epsilon, wanted.attacked, config.train_seed % 2**63)
        values = found.to_dict()
        notes["masking"] = values.pop("masking")
        values["attacked_accuracy"] = values.pop("accuracy")  # of these examples, without an attack
        numbers |= values
    plain = {key: value if value is None or math.isfinite(value) else None for key, value in numbers.items()}
    return Analysis(plain, arrays, notes, tested)


def _diagram(predictions: Predictions, adaptive: bool = False) -> dict[str, list[float | None]]:
    p = predictions.logits.double().softmax(dim=1)
    bins = min(15, len(predictions.labels)) if adaptive else 15
    return reliability(p, predictions.labels, bins, adaptive).to_dict()


def _confusion(predictions: Predictions, classes: int) -> list[list[int]]:
    """Number of test examples of each class (a row) that are predicted as each class (a column)."""
    pairs = predictions.labels * classes + predictions.logits.argmax(dim=1)
    found: list[list[int]] = torch.bincount(pairs, minlength=classes**2).reshape(classes, classes).tolist()
    return found


def _memorised(
    network: nn.Module, config: TrialConfig, data: LevelData, device: torch.device
) -> dict[str, float | None]:
    if data.train.clean is None:
        return {}
    trained = predict(network, config, data, data.train, device)
    return memorisation(trained.predicted, trained.labels, data.train.clean)


def _projected(
    network: nn.Module, config: TrialConfig, data: LevelData, device: torch.device, classes: tuple[int, ...]
) -> tuple[dict[str, object], dict[str, float | None]]:
    """Project the first examples of each class; also the tightness of all examples, before and in the plane."""
    test = test_set(data)
    activations = penultimate(network, config, data, test, device)
    there = test.labels.unique().tolist()
    shown = tuple(
        sorted([*(k for k in classes if k in there), *(k for k in there if k not in classes)][: len(classes)])
    )
    whole = project(activations, test.labels, last_layer(network), shown)
    first = torch.cat([(whole.labels == k).nonzero()[:PROJECTED, 0] for k in shown])
    picture = whole.to_dict() | {"points": whole.points[first].tolist(), "labels": whole.labels[first].tolist()}
    return picture, {"tightness": tightness(activations, test.labels), "plane_tightness": whole.tightness}
