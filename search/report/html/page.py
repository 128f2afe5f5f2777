"""Page of the report: the content, laid out as one file of HTML that asks nobody for anything."""

import base64
import gzip
import hashlib
import json
import re
import time
from collections.abc import Sequence
from importlib.metadata import version

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from tosmooth.search.report.html.content import StudyPart
from tosmooth.search.report.html.drawing import CONFIG, DARK
from tosmooth.search.report.html.javascript import script

PARTS = PackageLoader("tosmooth.search.report.html", "templates")


def page(title: str, studies: Sequence[StudyPart]) -> str:
    """Lay out the page."""
    environment = Environment(
        loader=PARTS, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["prose"] = _prose
    figures = [figure for part in studies for figure in part.figures]
    specs = ",".join(f'"{figure.number}":{figure.drawing.spec}' for figure in figures)
    vega, own = script() if figures else "", _source(environment, "page.js")
    return environment.get_template("page.html").render(
        title=title,
        studies=studies,
        style=Markup(_source(environment, "page.css") + _dark()),  # noqa: S704 - ours
        vega=_packed(vega),
        specs=_packed(f"{{{specs}}}"),
        script=Markup(own),  # noqa: S704 - ours
        policy=_policy([vega, own]),
        config=_data(json.dumps(CONFIG)),
        date=time.strftime("%Y-%m-%d %H:%M"),
        version=version("tosmooth"),
    )


def _packed(text: str) -> str:
    """Text as gzip in base64: half as long, of charts a quarter; nothing in it ends the element that it stands in."""
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def _source(environment: Environment, name: str) -> str:
    return PARTS.get_source(environment, name)[0]


def _policy(scripts: Sequence[str]) -> str:
    """What a browser may do with the page: run these scripts and no others, and fetch nothing."""
    hashes = (base64.b64encode(hashlib.sha256(each.encode()).digest()).decode() for each in scripts)
    runs = " ".join(f"'sha256-{each}'" for each in hashes)
    rules = (
        *("default-src 'none'", "img-src data: blob:", "style-src 'unsafe-inline'", f"script-src {runs}"),
        *("base-uri 'none'", "form-action 'none'"),
    )
    return "; ".join(rules)


def _dark() -> str:
    """Rules by which drawings get other colours in the dark; paper stays light."""
    rules = (f'svg [{kind}="{light}"]{{{kind}:{dark}}}' for light, dark in DARK.items() for kind in ("fill", "stroke"))
    return f"@media screen and (prefers-color-scheme: dark){{{''.join(rules)}}}\n"


def _data(text: str) -> Markup:
    """JSON within a page: nothing in it ends the element that it stands in."""
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))  # noqa: S704


def _prose(text: str) -> Markup:
    """Text whose `code` and **stress** are shown as such."""
    safe = re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text)))
    return Markup(re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", safe))  # noqa: S704 - escaped before
