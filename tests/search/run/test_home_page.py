"""The page on the files of a home names each file that a study leaves."""

import re

import pytest

from tests.conftest import ROOT
from tests.search.conftest import Finished


@pytest.mark.ray
def test_every_file_of_a_finished_study_is_on_the_page(finished: Finished) -> None:
    page = (ROOT / "docs" / "reference" / "home.md").read_text(encoding="utf-8")
    named = {name for row in re.findall(r"^\| (`.*?) \|", page, re.M) for name in re.findall(r"`([^`]+?)/?`", row)}
    left = {path.name for folder in (finished.home, finished.home / "studies" / "tiny") for path in folder.iterdir()}
    assert left - {"studies"} <= named
    assert {"studies/NAME", "journal.log", "history.jsonl", "study.yaml", "mlflow.db"} <= named
