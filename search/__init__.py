"""Many training runs: studies, their search, their record and the tables made of it.

`tosmooth.search(X, y)` is a call and this a package: Python binds a package to its name in the one above once anything
in it is imported, so the package can be called, and does what `api.searching.search` does.
"""

import sys
from types import ModuleType
from typing import Any


class _Callable(ModuleType):
    """Package that is called as the function is which has its name."""

    def __call__(self, *arguments: Any, **settings: Any) -> Any:
        from tosmooth.search.api.searching import search  # noqa: PLC0415 - NumPy and Arrow, which the commands load late

        return search(*arguments, **settings)


sys.modules[__name__].__class__ = _Callable
