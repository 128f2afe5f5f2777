"""The site as `make docs` builds it, but for the cells of tutorials; its pages in a real browser."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome

import tosmooth
from tests.browser import complaints
from tests.conftest import ROOT
from tests.tools import wait_for
from tosmooth.search.report.row import COLUMNS
from tosmooth.search.settings import SETTINGS

DESKTOP, PHONE = (1400, 1000), (390, 844)
# A page of each kind: prose, tables, keys, formulas, a list of pages.
PAGES = ("index", "howto/own-data", "reference/columns", "reference/study-file", "reference/methods", "tutorials/index")
HOST = "https://host.example/owner/name"
LEAST_CONTRAST = 4.5  # WCAG 2, level AA
WARNING = re.compile(r"^(?:.*?/)?docs/(\S+?\.md):\d+: WARNING: (.*?)(?: \[[\w.]+\])?$", re.M)

# The least contrast of a text with what is behind it, and the text.
CONTRAST = """
const channels = colour => (colour.match(/[\\d.]+/g) || []).map(Number);
const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
  .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
  .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
const over = (top, below) => top.slice(0, 3).map((v, i) => v * (top[3] ?? 1) + below[i] * (1 - (top[3] ?? 1)));
const behind = node => {
  const layers = [];
  for (let each = node; each; each = each.parentElement) {
    const colour = channels(getComputedStyle(each).backgroundColor);
    layers.push(colour);
    if ((colour[3] ?? 1) === 1) break;
  }
  return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255]);
};
const found = [];
const texts = document.createTreeWalker(document.querySelector("article"), NodeFilter.SHOW_TEXT);
while (texts.nextNode()) {
  const node = texts.currentNode.parentElement;
  const shown = node.checkVisibility({opacityProperty: true, visibilityProperty: true});
  if (!texts.currentNode.data.trim() || !shown) continue;
  const back = behind(node), front = over(channels(getComputedStyle(node).color), back);
  const [high, low] = [light(front), light(back)].sort((a, b) => b - a);
  found.push([(high + 0.05) / (low + 0.05), texts.currentNode.data.trim(), node.className]);
}
return found.filter(each => each[0] < arguments[0]).slice(0, 5);
"""


def build(docs: Path, output: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Build as `make docs` does, but run no cells: those of a tutorial take a minute, and have tests of their own."""
    words = ["--fail-on-warning", "--keep-going", "--nitpicky", "--fresh-env", "--quiet", *options]
    # Without its output nothing says that a cell is a command of IPython.
    off = ["--define", "nb_execution_mode=off", "--define", "suppress_warnings=misc.highlighting_failure"]
    return subprocess.run(
        [sys.executable, "-m", "sphinx", *words, *off, "--doctree-dir", str(output / "read"), docs, output / "site"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "no_proxy": "", "http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"},
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("site")
    done = build(ROOT / "docs", output)
    assert (done.returncode, done.stderr) == (0, "")
    return output / "site"


def text_of(page: Path) -> str:
    """Words of a page, without its tags."""
    return " ".join(re.sub(r"<[^>]+>", "", page.read_text(encoding="utf-8")).split())


@pytest.mark.slow
def test_the_site_has_every_page_and_what_the_code_says(site: Path) -> None:
    pages = [page for page in (ROOT / "docs").rglob("*.md") if not {"optunahub", "_ext"} & set(page.parts)]
    built = [(site / page.relative_to(ROOT / "docs")).with_suffix(".html") for page in pages]
    assert [page for page in built if not page.is_file()] == []
    columns = text_of(site / "reference" / "columns.html")
    assert [name for name in COLUMNS if name not in columns] == []
    settings = text_of(site / "reference" / "settings.html")
    assert [setting.variable for setting in SETTINGS.values() if setting.variable not in settings] == []
    methods = (site / "reference" / "methods.html").read_text(encoding="utf-8")
    assert methods.count("<math ") > 30
    functions = (site / "reference" / "python.html").read_text(encoding="utf-8")
    public = [name for name in tosmooth.__all__ if name != "losses"]
    public += [f"losses.{name}" for name in tosmooth.losses.__all__] + ["Result.best", "Trial.report", "Trial.seed"]
    assert [name for name in public if f'id="tosmooth.{name}"' not in functions] == []


@pytest.mark.slow
def test_no_page_fetches_anything_from_elsewhere(site: Path) -> None:
    fetched = re.compile(r"""<(?:script|img|iframe|source)[^>]+src="(?:https?:)?//|<link[^>]+href="(?:https?:)?//""")
    assert [page.name for page in site.rglob("*.html") if fetched.search(page.read_text(encoding="utf-8"))] == []
    styles = [
        file for file in site.rglob("*.css") if re.search(r"(@import|url\()\s*['\"]?(https?:)?//", file.read_text())
    ]
    assert styles == []


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A site of one page, with the real configuration, in a repository of its own."""
    docs = tmp_path / "docs"
    for name in ("_ext", "_static"):
        shutil.copytree(ROOT / "docs" / name, docs / name)
    shutil.copy(ROOT / "docs" / "conf.py", docs)
    facts = f'[project]\nversion = "1"\n[project.urls]\nRepository = "{HOST}"\n'
    (tmp_path / "pyproject.toml").write_text(facts, encoding="utf-8")
    (tmp_path / "there.py").touch()
    (docs / "index.md").write_text("# Home\n\n```{pages}\n```\n", encoding="utf-8")
    return docs


@pytest.mark.slow
def test_a_wrong_link_fails_the_build(small: Path, tmp_path: Path) -> None:
    page = "# One\n\n## A part\n\n[good](two.md#other-part), [good](../there.py), [good](#a-part), [good](../docs/)\n"
    (small / "one.md").write_text(page, encoding="utf-8")
    (small / "two.md").write_text("# Two\n\n## Other part\n\n$r < 0$\n", encoding="utf-8")
    done = build(small, tmp_path / "good")
    assert (done.returncode, done.stderr) == (0, "")
    built = (tmp_path / "good" / "site" / "one.html").read_text(encoding="utf-8")
    links = re.findall(r'href="([^"]+)"[^>]*>(?:<span[^>]*>)?good', built)
    assert links == ["two.html#other-part", f"{HOST}/blob/main/there.py", "#a-part", f"{HOST}/tree/main/docs"]

    wrong = ["three.md", "two.md#nowhere", "#nowhere", "../gone.py", "../gone"]
    (small / "one.md").write_text("# One\n\n" + "".join(f"[a]({to})\n\n" for to in wrong), encoding="utf-8")
    done = build(small, tmp_path / "wrong")
    assert done.returncode != 0
    found = WARNING.findall(done.stderr)
    assert [file for file, _ in found] == ["one.md"] * len(wrong), done.stderr
    for to in wrong:
        assert any(to.rpartition("#")[2] in words for _, words in found), to


@pytest.mark.slow
def test_pages_are_listed_in_order_and_none_is_left_out(small: Path, tmp_path: Path) -> None:
    for name in ("alpha", "beta", "gamma", "delta"):
        (small / f"{name}.md").write_text(f"# {name.title()}\n", encoding="utf-8")
    listed = "```{pages}\n:listed:\n\ngamma\nnot-there-yet\n```\n\n```{pages}\ndelta\n```\n"
    (small / "index.md").write_text(f"# Home\n\n{listed}", encoding="utf-8")
    done = build(small, tmp_path / "out")
    assert (done.returncode, done.stderr) == (0, "")
    page = (tmp_path / "out" / "site" / "index.html").read_text(encoding="utf-8")
    article = page.partition("<article")[2].partition("</article>")[0]
    assert re.findall(r'toctree-l1"><a class="reference internal" href="(\w+)', article) == [
        "gamma",
        "delta",
        "alpha",
        "beta",
    ]


def show(browser: Chrome, page: Path, size: tuple[int, int] = DESKTOP, dark: bool = False) -> None:
    """Open a page at a width, in light or dark colours."""
    metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size == PHONE}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    colours = {"features": [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", colours)
    browser.get(page.as_uri())


@pytest.mark.slow
def test_every_page_fits_a_desktop_and_a_phone_without_errors(browser: Chrome, site: Path) -> None:
    for page in sorted(site.rglob("*.html")):
        for size in (DESKTOP, PHONE):
            show(browser, page, size)
            assert browser.execute_script("return document.documentElement.scrollWidth") <= size[0], page
        assert complaints(browser) == [], page


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(900)
def test_a_page_shows_what_its_cells_gave(browser: Chrome, small: Path, tmp_path: Path) -> None:
    head, _, _ = (ROOT / "docs" / "tutorials" / "my-table.md").read_text(encoding="utf-8").partition("\n# ")
    cell = "%matplotlib inline\nimport matplotlib.pyplot as plt\nplt.plot([1, 2], [1, 4])\nprint('x' * 500)"
    (small / "page.md").write_text(f"{head}\n# A page\n\n```{{code-cell}} ipython3\n{cell}\n```\n", encoding="utf-8")
    (small / "index.md").write_text("# Home\n\n```{toctree}\npage\n```\n", encoding="utf-8")
    words = ["-m", "sphinx", "--quiet", str(small), str(tmp_path / "site")]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    page = tmp_path / "site" / "page.html"
    for size in (DESKTOP, PHONE):
        show(browser, page, size)
        assert browser.execute_script("return document.documentElement.scrollWidth") <= size[0]
    widths = browser.execute_script(
        "return [...document.querySelectorAll('.cell_output img')].map(i => i.naturalWidth)"
    )
    assert widths
    assert all(widths)
    assert complaints(browser) == []
    show(browser, page, dark=True)
    assert browser.execute_script(CONTRAST, LEAST_CONTRAST) == []


@pytest.mark.slow
def test_a_wide_table_scrolls_in_its_own_box(browser: Chrome, site: Path) -> None:
    show(browser, site / "reference" / "columns.html", PHONE)
    box = "const box = document.querySelector('article table').parentElement; "
    wide = browser.execute_script(box + "return [box.scrollWidth > box.clientWidth, getComputedStyle(box).overflowX]")
    assert wide == [True, "auto"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("word", "title"),
    [("pairflip", "Noise levels"), ("trial_timeout", "trial_timeout"), ("SmoothedClassifier", "SmoothedClassifier")],
)
def test_search_finds_a_word_without_a_server(browser: Chrome, site: Path, word: str, title: str) -> None:
    browser.get(f"{(site / 'search.html').as_uri()}?q={word}")
    titles = "return [...document.querySelectorAll('#search-results li a')].map(link => link.textContent)"
    # One result after another is shown.
    wait_for(f"{title} among the results", lambda: any(title in found for found in browser.execute_script(titles)))
    assert complaints(browser) == []


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_text_has_contrast(browser: Chrome, site: Path, name: str, dark: bool) -> None:
    show(browser, site / f"{name}.html", dark=dark)
    body: Any = browser.execute_script(
        "return getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
    )
    assert (max(body) < 64) == dark
    assert browser.execute_script(CONTRAST, LEAST_CONTRAST) == []
