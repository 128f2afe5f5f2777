"""The function `tosmooth.search`, which autodoc takes for the package of that name."""

import inspect

from sphinx.util.inspect import signature, stringify_signature

from tosmooth.search.api.searching import search


def documented() -> str:
    """Markdown: its signature and docstring."""
    text = inspect.getdoc(search) or ""
    parameters = stringify_signature(signature(search), unqualified_typehints=True)
    return f":::{{py:function}} tosmooth.search{parameters}\n{text}\n:::\n"
