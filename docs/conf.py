"""Configuration of the documentation site: `make docs` builds it into build/docs, without network.

Why these tools. Sphinx reads docstrings and checks every link within. Pages are MyST Markdown, which the git host shows
as well. MyST-NB, not sphinx-gallery, executes the tutorials: theirs are then pages like all others, text first, and
what is executed is kept by jupyter-cache. Formulas become MathML by docutils, which browsers draw themselves: no
script and no font is fetched. The theme furo has dark mode, phones and a search that works from a folder.
"""

import os
import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path.insert(0, str(HERE / "_ext"))

_project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
_urls = {name.lower(): address.rstrip("/") for name, address in _project.get("urls", {}).items()}

project = "tosmooth"
author = "the authors of tosmooth"
release = version = _project["version"]
language = "en"

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx_copybutton", "site_parts"]
exclude_patterns = [
    "_ext",
    "optunahub",  # a package of OptunaHub, with a page of its own there
]

# Markdown as the git host has it: headings have anchors, "$x$" is maths.
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_dmath_double_inline = True
myst_links_external_new_tab = False

# Tutorials run when their cells have changed since they last ran; CI, which keeps no cache, runs them all. After a
# change of the package alone `rm -r build/docs-cells` runs them again. A cell that fails fails the build.
nb_execution_mode = "cache"
nb_execution_cache_path = str(ROOT / "build" / "docs-cells")
nb_execution_timeout = 600  # seconds for a cell
nb_execution_raise_on_error = True
nb_execution_in_temp = True  # what a tutorial writes goes to a folder of its own
nb_merge_streams = True
for _name in [name for name in os.environ if name.startswith(("TOSMOOTH_", "MLFLOW_")) or name == "RAY_ADDRESS"]:
    del os.environ[_name]  # no tutorial may write to the home, the servers or the cluster of whoever builds the site
os.environ["PYTHONWARNINGS"] = "ignore:IProgress not found"  # of tqdm, which misses widgets in a kernel

html_math_renderer = "mathml"

# Names that docstrings mention and other projects document: there is no network to look them up in.
nitpick_ignore_regex = [
    ("py:.*", r"tosmooth\.(search|trainables)\..*"),  # inside the package: no public name
    ("py:class", r"Figure|Folders|StudySpec"),  # imported for type checks alone
    (
        "py:.*",
        r"(altair|collections|matplotlib|mlflow|np|numpy|optuna|pa|pandas|pathlib|pd|pyarrow|ray|sklearn|torch|typing)\..*",
    ),
]
default_role = "code"  # docstrings write `names` as Markdown does
autoclass_content = "both"  # of the class and of `__init__`
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
maximum_signature_line_length = 100  # beyond it a line for each parameter
toc_object_entries_show_parents = "hide"
python_use_unqualified_type_names = True

html_theme = "furo"
html_title = "tosmooth"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
html_theme_options: dict[str, object] = {"navigation_with_keys": True}
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"
copybutton_prompt_text = "$ "

# Where files of the repository are read that are no page: of [project.urls] in pyproject.toml. Without it such a link
# is its text alone.
repository_url = _urls.get("repository") or _urls.get("source")
if repository_url:
    html_theme_options["source_view_link"] = f"{repository_url}/blob/main/docs/{{filename}}"
