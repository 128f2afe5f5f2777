"""What the site needs besides Sphinx: parts made from the code, lists of pages, formulas, links to the repository."""

from typing import Any

from sphinx.application import Sphinx

from site_parts import documented, mathml, pages, repository_links


def setup(app: Sphinx) -> dict[str, Any]:
    """Register all parts with Sphinx."""
    for part in (documented, mathml, pages, repository_links):
        part.setup(app)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
