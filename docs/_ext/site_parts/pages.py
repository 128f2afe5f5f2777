"""Lists of a folder's pages: first those that are named, in that order, then all others, so that none is left out."""

from typing import Any

from docutils import nodes
from docutils.parsers.rst import directives
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.directives.other import TocTree
from sphinx.util import docname_join

LISTED = "site_parts.listed"  # pages that lists further up on the same page have


class Pages(TocTree):
    """Directive `pages`: a toctree of pages beside this one. Its lines say which come first, in their order.

    With `:listed:` it has these alone; a last list without it has what no list names. Names of pages that are not there
    are passed over: in the end every page that is there is in some list, or Sphinx warns of it.
    """

    option_spec = {"listed": directives.flag}  # noqa: RUF012 - as the class above has it
    content: StringList
    options: dict[str, Any]

    def run(self) -> list[nodes.Node]:
        """Make the toctree of the pages that are there."""
        here = self.env.current_document
        lines: list[str] = list(self.content)
        wanted = [docname_join(here.docname, line) for line in lines if line]
        shown = [page for page in wanted if page in self.env.found_docs]
        before: list[str] = here.get(LISTED) or []
        if "listed" not in self.options:
            folder = here.docname.rpartition("/")[0]
            taken = {*shown, *before, here.docname}
            shown += sorted(p for p in self.env.found_docs if p.rpartition("/")[0] == folder and p not in taken)
        here[LISTED] = [*before, *shown]
        self.content = StringList([f"/{page}" for page in shown], source=here.docname)
        self.options = {"maxdepth": 1}
        return super().run() if shown else []


def setup(app: Sphinx) -> None:
    """Register the directive."""
    app.add_directive("pages", Pages)
