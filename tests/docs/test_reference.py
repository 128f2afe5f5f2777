"""What the reference has of the code: every key, method, command, column, setting and level."""

import math
import re
from typing import Any

import pytest
import yaml
from site_parts.commands import commands
from site_parts.documented import PARTS, PLACE
from site_parts.mathml import mathml
from site_parts.method_list import FORMULAS
from site_parts.study_keys import example_of, keys, type_of, words

from tests.conftest import ROOT
from tests.trainables.training.test_trainer import KEYS
from tosmooth.search.columns import TRIAL
from tosmooth.search.report.row import COLUMNS
from tosmooth.search.settings import SETTINGS
from tosmooth.search.spec.loading import read_study
from tosmooth.search.spec.parameters import own_names
from tosmooth.search.spec.study import known_keys
from tosmooth.trainables.data.cifar import CIFAR_10, CIFAR_100
from tosmooth.trainables.data.noise_levels import ANNOTATOR, LIKE, VOTED
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.methods import METHODS
from tosmooth.trainables.noise.synthetic import RATED

PAGES = ROOT / "docs" / "reference"
BASE: dict[str, Any] = {"name": "mine", "dataset": {"name": "twonorm", "noise": ["symmetric-0.2"]}}
DESCRIBED = [path for path, said in words().items() if said]
BOUNDS = ("least", "most", "above", "below")


def study_with(values: dict[str, Any]) -> None:
    """Read a small study with these values in it. Raises `InputError` where it is none."""
    read_study(yaml.safe_dump(merged(BASE, values), sort_keys=False))


def merged(base: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    both = {key for key in base if isinstance(base[key], dict) and isinstance(values.get(key), dict)}
    return {**base, **values, **{key: merged(base[key], values[key]) for key in both}}


def replaced(path: str, value: object) -> dict[str, Any]:
    """The example of a key, with another value."""
    whole = example_of(path)
    *parents, last = path.replace("space.NAME", f"space.{words()[path].get('name')}").split(".")
    inner = whole
    for parent in parents:
        inner = inner[parent]
    inner[last] = value
    return whole


def test_the_page_has_every_key_that_a_study_file_may_have_and_no_other() -> None:
    assert set(words()) == set(keys())
    of_the_second_optimizer = "training.second_optimizer."  # has the keys of the first, as its entry says
    assert {key for key in known_keys() if not key.startswith(of_the_second_optimizer)} <= set(keys())
    entries = re.findall(r"^:::\{key\} (\S+)$", PARTS["study-keys"](), re.M)
    assert sorted(entries) == sorted(DESCRIBED)


@pytest.mark.parametrize("path", DESCRIBED)
def test_the_example_of_a_key_is_valid(path: str) -> None:
    assert {"says", "example"} <= words()[path].keys()
    study_with(example_of(path))


@pytest.mark.parametrize("path", [path for path in DESCRIBED if words()[path].keys() & set(BOUNDS)])
def test_bounds_are_those_of_the_check(path: str) -> None:
    said = words()[path]
    whole = "whole number" in type_of(keys()[path].kind)
    allowed = [said[bound] for bound in ("least", "most") if bound in said]
    refused = [said[bound] for bound in ("above", "below") if bound in said]
    for bound, way in (("least", -1), ("most", 1)):
        if bound in said:
            refused.append(said[bound] + way if whole else math.nextafter(said[bound], way * math.inf))
    for value in allowed:
        study_with(replaced(path, value))
    for value in refused:
        with pytest.raises(InputError, match=re.escape(path.split(".")[-1])):
            study_with(replaced(path, value))


def test_a_default_in_words_stands_only_where_the_model_has_none() -> None:
    told = [path for path in DESCRIBED if "default" in words()[path]]
    assert [path for path in told if keys()[path].default not in (None, ())] == []


def test_every_method_has_a_formula_that_can_be_drawn_its_source_and_its_parameters() -> None:
    text = PARTS["methods"]()
    assert FORMULAS.keys() == METHODS.keys()
    for name, method in METHODS.items():
        assert "<math" in mathml(FORMULAS[name].tex, block=True)
        section = text.partition(f"\n## `{name}`\n")[2].partition("\n## ")[0]
        assert FORMULAS[name].tex in section
        assert all(f"| `{key}` |" in section for key in own_names(name))
        for number in re.findall(r"arXiv (\d{4}\.\d{5})", method.source):
            assert f"https://arxiv.org/abs/{number}" in section


def test_every_command_is_there_with_every_option() -> None:
    text = PARTS["commands"]()
    assert {"tosmooth run", "tosmooth data fetch"} <= commands().keys()
    for name, command in commands().items():
        section = text.partition(f"\n## `{name}`\n")[2].partition("\n## ")[0]
        assert " ".join(command.help.split())[:60] in " ".join(section.split())
        for option in command.params:
            assert all(word in section for word in option.opts if word.startswith("-")), (name, option.opts)


def test_every_column_and_setting_is_there_with_its_words() -> None:
    for part, columns in (("columns-of-the-table", COLUMNS), ("columns-of-trials", TRIAL)):
        rows = PARTS[part]().splitlines()[2:]
        assert [row.split("`")[1] for row in rows] == list(columns)
        assert all(column.says in row.replace(r"\|", "|") for row, column in zip(rows, columns.values(), strict=True))
    settings = PARTS["settings"]()
    assert all(setting.option in settings and setting.variable in settings for setting in SETTINGS.values())


@pytest.mark.parametrize("part", PARTS)
def test_every_row_of_a_table_has_as_many_cells_as_its_head(part: str) -> None:
    for table in re.findall(r"(?:^\|.*\|$\n?)+", PARTS[part](), re.M):
        head, *rows = [len(re.split(r"(?<!\\)\|", row)) for row in table.splitlines()]  # an escaped bar ends no cell
        assert set(rows) == {head}, table


def test_every_part_has_its_place_on_one_page() -> None:
    places = [name for page in PAGES.glob("*.md") for name in PLACE.findall(page.read_text(encoding="utf-8"))]
    assert sorted(places) == sorted(PARTS)


def test_every_kind_of_level_is_on_its_page() -> None:
    page = (PAGES / "levels.md").read_text(encoding="utf-8")
    people = {key for each in (CIFAR_10, CIFAR_100) for key in each.human.keys}
    kinds = [
        *(f"{kind}-E" for kind in RATED),
        *VOTED,
        f"{ANNOTATOR}NAME",
        f"{LIKE}worst",
        "matrix-NAME",
        "cleaned-NAME",
    ]
    assert [kind for kind in (*kinds, *people, "clean", "given") if f"`{kind}`" not in page] == []


def test_every_metric_of_an_epoch_is_explained() -> None:
    page = (PAGES / "trials.md").read_text(encoding="utf-8")
    table = page.partition("## Metrics of an epoch")[2]
    named = set(re.findall(r"`(\w+)`", table))
    assert {*KEYS, "spared", "noise_rate_estimate", "classes_never_predicted"} <= named
