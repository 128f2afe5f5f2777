"""What one would do instead on the features of a study's frozen network: classifiers of scikit-learn and cleanlab.

python tests/benchmarks/features_beside.py STUDY [--home DIR] [--data-dir DIR] [--seeds N] [--json FILE] [--set ...]

- logistic regression that ignores the noise (NI-ERM, arXiv 2411.00079), its C tuned
- k nearest neighbours by cosine, k tuned
- cleanlab's CleanLearning around logistic regression: labels that five folds call wrong are left out; C tuned, N seeds

Each is fitted to the training split of each level, tuned by the accuracy on the noisy validation and told by the clean
test set: all three are those of the study's trials, and so are the features, whose scale is the training pictures' own.
The table is Markdown. Intervals (95 %, Wilson's) say how far another test set of this size may differ; tosmooth's
columns, of a study that the home has finished, are its table's.
"""

import argparse
import csv
import json
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import numpy as np
from cleanlab.classification import CleanLearning
from harness import machine
from numpy.typing import NDArray
from scipy.stats import binomtest
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import normalize
from study_data import Opened, add_options, examples, opened

from tosmooth.trainables.data.datasets import LevelData
from tosmooth.trainables.errors import InputError

STRENGTHS = tuple(10 ** (power / 2) for power in range(-12, 1))  # C of scikit-learn, from strong regularisation on
NEIGHBOURS = (1, 2, 5, 10, 20, 50, 100, 200, 500)
WORSE = 2  # a search from strong to weak regularisation ends after so many that are worse than the best
FOLDS, STEPS = 5, 200

Floats = NDArray[np.float32]
Whole = NDArray[np.int64]


class Sides(NamedTuple):
    """Features and labels of a level: training, noisy validation and clean test."""

    x: Floats
    y: Whole
    x_validation: Floats
    y_validation: Whole
    x_test: Floats
    y_test: Whole


@dataclass(frozen=True, slots=True)
class Found:
    """What a method came to on a level; accuracies in percent."""

    tuned: float  # C, or k
    validation: float
    test: list[float]  # one a seed, where it depends on one
    low: float  # 95 % interval of the mean
    high: float
    seconds: float
    facts: dict[str, Any] = field(default_factory=dict)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    parser.add_argument("--seeds", type=int, default=3, help="of CleanLearning's folds (%(default)s); 0 leaves it out")
    options = parser.parse_args()
    try:
        study = opened(options)
        found = {level: _level(study, level, range(options.seeds)) for level in study.levels}
    except InputError as error:
        sys.exit(f"error: {error}")
    print(_table(found, _ours(study)))
    if options.json is not None:
        levels = {level: {name: asdict(each) for name, each in methods.items()} for level, methods in found.items()}
        content = {"study": study.spec.name, "machine": machine(), "levels": levels}
        options.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _level(study: Opened, level: str, seeds: range) -> dict[str, Found]:
    sides, found = _sides(study.ready(level).data), dict[str, Found]()
    ways: dict[str, Callable[[], Found]] = {
        "logistic regression": lambda: _regression(sides),
        "k nearest neighbours": lambda: _neighbours(sides),
    }
    if seeds:
        ways["CleanLearning"] = lambda: _clean_learning(sides, found["logistic regression"].tuned, seeds)
    for name, way in ways.items():
        found[name] = way()
        told = f"{np.mean(found[name].test):.2f} % in {found[name].seconds:.0f} s"
        print(f"{level}: {name} {told}", file=sys.stderr, flush=True)
    return found


def _sides(data: LevelData) -> Sides:
    if data.test is None:
        raise InputError("dataset: has no test set, by which these methods could be told")
    parts = [examples(data, split) for split in (data.train, data.validation, data.test)]
    return Sides(*(each.numpy() for pair in parts for each in pair))


def _regression(sides: Sides) -> Found:
    start = time.perf_counter()
    model = LogisticRegression(max_iter=STEPS, warm_start=True)
    best = (-1.0, 0.0, 0.0)  # validation, C, test
    for strength in _until_worse(STRENGTHS, scores := []):
        _fit(model.set_params(C=strength), sides.x, sides.y)
        scores.append(_percent(model.predict(sides.x_validation), sides.y_validation))
        if scores[-1] > best[0]:
            best = scores[-1], strength, _percent(model.predict(sides.x_test), sides.y_test)
    return _found(best[1], best[0], [best[2]], len(sides.y_test), start)


def _neighbours(sides: Sides) -> Found:
    start = time.perf_counter()
    # By cosine: the same order as Euclid's on unit vectors, for which scikit-learn has its fastest way.
    most = min(NEIGHBOURS[-1], len(sides.y))
    index = NearestNeighbors(n_neighbors=most, algorithm="brute").fit(normalize(sides.x))
    near = [index.kneighbors(normalize(x), return_distance=False) for x in (sides.x_validation, sides.x_test)]
    validation, test = (sides.y[each] for each in near)
    classes = int(sides.y.max()) + 1
    known = [k for k in NEIGHBOURS if k <= most]
    scores = [_percent(_majority(validation[:, :k], classes), sides.y_validation) for k in known]
    k = known[int(np.argmax(scores))]
    told = _percent(_majority(test[:, :k], classes), sides.y_test)
    return _found(k, max(scores), [told], len(sides.y_test), start)


def _majority(labels: Whole, classes: int) -> Whole:
    """Most frequent label of each row [n, k]; the lowest where several are."""
    rows = len(labels)
    counts = np.bincount((np.arange(rows)[:, None] * classes + labels).ravel(), minlength=rows * classes)
    majority: Whole = counts.reshape(rows, classes).argmax(axis=1)
    return majority


def _clean_learning(sides: Sides, around: float, seeds: range) -> Found:
    """Tune C on the first seed, from the logistic regression's on in both directions, then tell it by all seeds."""
    start = time.perf_counter()
    place = STRENGTHS.index(around)
    fitted: dict[float, tuple[float, CleanLearning]] = {}
    for way in (STRENGTHS[place:], STRENGTHS[place - 1 :: -1] if place else ()):
        scores: list[float] = []
        for strength in _until_worse(way, scores):
            model = _cleaned(sides, strength, seeds[0])
            score = _percent(model.predict(sides.x_validation), sides.y_validation)
            scores.append(score)
            fitted[strength] = score, model
    strength = max(fitted, key=lambda each: fitted[each][0])
    models = [fitted[strength][1], *(_cleaned(sides, strength, seed) for seed in seeds[1:])]
    test = [_percent(model.predict(sides.x_test), sides.y_test) for model in models]
    shares = [float(model.get_label_issues()["is_label_issue"].mean()) for model in models]
    return _found(strength, fitted[strength][0], test, len(sides.y_test), start, left_out=shares)


def _cleaned(sides: Sides, strength: float, seed: int) -> CleanLearning:
    # One process: a fork of one that has torch's threads may wait forever.
    issues = {"n_jobs": 1}
    model = CleanLearning(
        LogisticRegression(C=strength, max_iter=STEPS), seed=seed, cv_n_folds=FOLDS, find_label_issues_kwargs=issues
    )
    _fit(model, sides.x, sides.y)
    return model


def _until_worse(values: Sequence[float], scores: Sequence[float]) -> Iterator[float]:
    """Yield values until the last scores, of which there is one a value, are all worse than the best."""
    for value in values:
        if len(scores) > WORSE and max(scores[-WORSE:]) < max(scores):
            return
        yield value


def _fit(model: Any, x: Floats, y: Whole) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the weakest regularisation, which is not chosen
        model.fit(x, y)


def _percent(predicted: Whole, labels: Whole) -> float:
    return 100 * float(np.mean(predicted == labels))


def _found(tuned: float, validation: float, test: list[float], size: int, start: float, **facts: Any) -> Found:
    right = round(np.mean(test) / 100 * size)
    interval = binomtest(right, size).proportion_ci(method="wilson")
    return Found(tuned, validation, test, 100 * interval.low, 100 * interval.high, time.perf_counter() - start, facts)


def _ours(study: Opened) -> dict[str, list[str]]:
    """What the study found, by level: the chosen parameters' accuracy and cross-entropy's."""
    if study.kept is None or not study.kept.table_file.exists():
        return {}
    with study.kept.table_file.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["method"] == "gls" and row["test_accuracy"]]
    return {row["noise"]: [_number(row[name]) for name in ("test_accuracy", "ce_test_accuracy")] for row in rows}


def _number(text: str) -> str:
    return f"{float(text):.2f}" if text else ""


def _table(found: dict[str, dict[str, Found]], ours: dict[str, list[str]]) -> str:
    names = list(next(iter(found.values())))
    heads = ["noise", *(["tosmooth's choice", "cross-entropy"] if ours else []), *names]
    lines = [_line(heads), _line(["---"] * len(heads))]
    for level, methods in found.items():
        cells = [_cell(name, methods[name]) for name in names]
        lines.append(_line([level, *(ours.get(level, ["", ""]) if ours else []), *cells]))
    return "\n".join(lines)


def _cell(name: str, found: Found) -> str:
    by = f"k {found.tuned:g}" if "neighbours" in name else f"C {found.tuned:.2g}"
    return f"{np.mean(found.test):.2f} [{found.low:.2f}, {found.high:.2f}] ({by})"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
