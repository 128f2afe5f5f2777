"""Parts of pages that are generated from the code. A fenced block `{documented} NAME` in a page is their place."""

import re
from collections.abc import Callable

from sphinx.application import Sphinx
from sphinx.errors import SphinxError

from site_parts import callable_search, commands, method_list, study_keys
from tosmooth.search import settings
from tosmooth.search.columns import TRIAL
from tosmooth.search.columns import documented as table_of
from tosmooth.search.report.row import COLUMNS

PARTS: dict[str, Callable[[], str]] = {  # name -> Markdown
    "columns-of-the-table": lambda: table_of(COLUMNS.values()),
    "columns-of-trials": lambda: table_of(TRIAL.values()),
    "commands": commands.documented,
    "methods": method_list.documented,
    "search": callable_search.documented,
    "settings": settings.documented,
    "study-keys": study_keys.documented,
}


PLACE = re.compile(r"^```\{documented\} *(\S*)\n```$", re.M)


def fill_in(app: Sphinx, docname: str, source: list[str]) -> None:
    """Put the parts into the text of a page, before it is read as Markdown."""
    source[0] = PLACE.sub(lambda place: _part(place[1], docname), source[0])


def _part(name: str, docname: str) -> str:
    if name not in PARTS:
        raise SphinxError(f"{docname}: there is no part {name!r} to document; known are {', '.join(PARTS)}")
    return PARTS[name]()


def setup(app: Sphinx) -> None:
    """Register the parts, and keys of a study file as things that are described, found and linked."""
    app.connect("source-read", fill_in)
    app.add_object_type("key", "key", "pair: %s; study file", objname="key of a study file")
