"""Names of runs: short enough for MLflow's column, and told apart."""

from typing import Any

import pytest

from tests.search.builders import record
from tosmooth.search.records import Cell
from tosmooth.search.tracking.names import Names

SEEDS = (1542091715, 632396611, 499753251)


@pytest.mark.parametrize(
    ("params", "changes", "name"),
    [
        ({"rate": -2.1634, "warmup": 1}, {}, "r -2.16 w 1"),
        ({"rate": 0.0, "warmup": 0}, {}, "r 0 w 0"),
        ({"rate": -0.5, "warmup": 0, "lr_after_warmup": 0.1}, {}, "r -0.5 w 0"),  # beside a rate nothing else fits
        ({"gce.q": 0.71234, "warmup": 2}, {"method": "gce"}, "q 0.712 w 2"),
        ({"training.batch_size": 64}, {}, "batch_size 64"),
        ({}, {"train_seed": 7}, "seed 7"),
        ({"rate": -8, "warmup": 2}, {"phase": "confirmation", "train_seed": SEEDS[2]}, "fresh r -8 w 2 seed 3"),
        ({"rate": -8, "warmup": 2}, {"phase": "confirmation", "train_seed": 5}, "fresh r -8 w 2 seed 5"),  # another's
        ({"gce.q": 0.7}, {"phase": "confirmation", "train_seed": SEEDS[0]}, "fresh q 0.7 seed 1"),
    ],
)
def test_trial_is_named_by_its_parameters(params: dict[str, Any], changes: dict[str, Any], name: str) -> None:
    assert Names(seeds=SEEDS).trial(record(params=params, **changes)) == name


def test_cell_has_its_method_in_its_name_where_a_study_compares_methods() -> None:
    cell = Cell("twonorm/symmetric-0.4", "gce")
    assert Names(("gce",)).cell(cell) == "symmetric-0.4"
    assert Names(("gls", "gce")).cell(cell) == "symmetric-0.4 gce"
