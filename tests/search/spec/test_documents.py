"""Studies in the documentation are studies: each is read, parts of them as parts of a small one."""

import dataclasses
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import ROOT
from tosmooth.search.spec.loading import read_study
from tosmooth.search.spec.yaml_file import dump, parse_mapping
from tosmooth.trainables.config import TableSource
from tosmooth.trainables.data.datasets import find_dataset

BLOCK = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
FILES = [page.relative_to(ROOT).as_posix() for page in PAGES if BLOCK.search(page.read_text(encoding="utf-8"))]
SMALL: dict[str, Any] = {
    "name": "mine",
    "dataset": {"name": "mine", "noise": ["given"], "table": {"train": "a.csv", "features": ["x"]}},
}


def blocks(file: str) -> Iterator[dict[str, Any]]:
    """Studies in a file of the documentation, where one is only a part filled up to a whole."""
    text = (ROOT / file).read_text(encoding="utf-8")
    for i, block in enumerate(BLOCK.findall(text)):
        values = parse_mapping(block, f"{file}, block {i}")
        dataset = {**SMALL["dataset"], **values["dataset"]} if "dataset" in values else SMALL["dataset"]
        yield {**SMALL, **values, "dataset": dataset}


@pytest.mark.parametrize("file", FILES)
def test_every_study_of_the_documentation_is_one(file: str) -> None:
    found = [read_study(dump(values), file) for values in blocks(file)]
    assert found
    for study in found:
        for noise in study.dataset.noise:
            find_dataset(study.dataset.config(noise, 0))  # which knows the level


def test_the_page_of_own_data_has_every_key_of_a_table_in_its_order() -> None:
    text = (ROOT / "docs/reference/own-data.md").read_text(encoding="utf-8")
    _, _, rest = text.partition("| key | type | default | meaning |\n")
    rows = [re.findall(r"`(\w+)`", row)[0] for row in rest.partition("\n\n")[0].splitlines()[1:]]
    assert rows == [field.name for field in dataclasses.fields(TableSource)]
