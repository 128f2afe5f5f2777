"""A study made in Python: the same as a study file, checked alike."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tosmooth
from tests.search.tools import TINY, tiny
from tosmooth.search.spec.loading import load_study
from tosmooth.search.spec.yaml_file import parse_mapping
from tosmooth.trainables.errors import InputError

FIELDS = parse_mapping(TINY, "tiny")


def test_it_is_the_study_of_a_file_with_the_same_fields(tmp_path: Path) -> None:
    study = tosmooth.Study(**FIELDS)
    assert study.spec == tiny()
    assert study.training.epochs == 3
    file = study.save(tmp_path / "mine.yaml")
    assert tosmooth.Study.load(file) == study
    assert load_study(file) == study.spec
    assert tosmooth.Study.load("twonorm").spec == load_study("twonorm")


def test_values_of_numpy_tuples_and_paths_are_taken() -> None:
    fields = FIELDS | {
        "dataset": FIELDS["dataset"] | {"noise": ("clean", "symmetric-0.4"), "size": np.int64(600)},
        "trunks": {"folder": Path("/somewhere")},
    }
    study = tosmooth.Study(**fields)
    assert study.spec == tiny("trunks.folder=/somewhere")


def test_changes_are_those_of_the_command_line() -> None:
    changes: dict[str, Any] = {
        "search.trials": 7,
        "training": {"epochs": 5, "batch_size": 50},
        "dataset.noise": ["symmetric-0.2"],
        "network.width": np.int32(12),
        "question": "yes, or no: 1e5?",
        "space.rate.low": -3.5,
    }
    words = ["search.trials=7", "training={epochs: 5, batch_size: 50}", "dataset.noise=[symmetric-0.2]"]
    words += ["network.width=12", "question='yes, or no: 1e5?'", "space.rate.low=-3.5"]
    assert tosmooth.Study(**FIELDS).changed(changes).spec == tiny(*words)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"serach": {}}, "serach: unknown key; did you mean 'search'"),
        ({"training": {"epochs": 0}}, "training.epochs: 0 is refused: at least 1"),
        ({"training": {"epochs": float("nan")}}, "training.epochs: nan is refused"),
        ({"network": {"width": {1}}}, r"network.width: \{1\} is refused: .* not a set"),
        ({"network": "mlp"}, "network: 'mlp' is refused: a mapping"),
        ({"name": "../up"}, "name: '../up' is refused"),
    ],
)
def test_what_is_wrong_is_named(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        tosmooth.Study(**(FIELDS | fields))


def test_an_attribute_that_is_no_field_is_named() -> None:
    with pytest.raises(AttributeError, match="a study has no field 'epochs'"):
        _ = tosmooth.Study(**FIELDS).epochs
