"""What the README must stay: short, and true of this repository's files."""

import re
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.docs.pages import pages

LIMIT = 6000  # bytes: a screen or two
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)")


def test_the_readme_is_short() -> None:
    assert (ROOT / "README.md").stat().st_size <= LIMIT


@pytest.mark.parametrize(
    "page", [*pages(ROOT), ROOT / "docker/README.md"], ids=lambda page: str(page.relative_to(ROOT))
)
def test_links_to_files_lead_to_files(page: Path) -> None:
    text = re.sub(r"^ *```.*?^ *```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    assert [link for link in LINK.findall(text) if not (page.parent / link).exists()] == []
