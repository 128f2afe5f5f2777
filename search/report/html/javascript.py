"""JavaScript that draws the charts of a page."""

from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache

import vl_convert


@cache
def begun() -> Future[str]:
    """Begin to bundle Vega, Vega-Lite and vega-embed (0.9 MB), which takes a second or two, beside all else."""
    return ThreadPoolExecutor(1).submit(lambda: vl_convert.javascript_bundle(None))  # type: ignore[arg-type]


def script() -> str:
    """JavaScript of Vega, Vega-Lite and vega-embed."""
    return begun().result()
