"""Formulas as MathML, which browsers draw without a script: made by docutils, which Sphinx has with it."""

import re

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.errors import SphinxError
from sphinx.writers.html5 import HTML5Translator

# TeX sets thin spaces around the name of a function, such as log; browsers set none.
FUNCTION = re.compile(r"(<mi>\w+</mi>\s*<mo>&ApplyFunction;</mo>)")
THIN = '<mspace width="0.17em"></mspace>'


def mathml(tex: str, block: bool = False) -> str:
    """Write a formula of LaTeX as MathML. Raises `SphinxError` where it cannot be read."""
    try:
        text: str = tex2mathml(tex, as_block=block)
    except MathError as error:
        raise SphinxError(f"the formula {tex!r} cannot be read: {error}") from error
    return FUNCTION.sub(rf"{THIN}\1{THIN}", text)


def _inline(translator: HTML5Translator, node: nodes.math) -> None:
    translator.body.append(f'<span class="math">{mathml(node.astext())}</span>')
    raise nodes.SkipNode


def _block(translator: HTML5Translator, node: nodes.math_block) -> None:
    translator.body.append(f'<div class="math">{mathml(node.astext(), block=True)}</div>\n')
    raise nodes.SkipNode


def setup(app: Sphinx) -> None:
    """Register the renderer that `html_math_renderer = "mathml"` names."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
