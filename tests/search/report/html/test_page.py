"""The report in a real browser: nothing is fetched, nothing fails, marks answer, and it can be read in every way."""

import base64
import json
import re
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import ActionChains, Chrome, Keys
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from tests.browser import complaints
from tests.search.builders import level
from tests.search.report.html.made_up import analysis, spec_of, study
from tests.tools import wait_for
from tosmooth.search.report.html.report import report

pytestmark = pytest.mark.slow
EVIL = "</script><script>window.hacked = 1</script><b>\"'&amp;ü"
LIGHT, DARK = "rgb(255, 255, 255)", "rgb(22, 25, 29)"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Report of a study whose question and classes are markup, with an analysis."""
    folder = tmp_path_factory.mktemp("report")
    known = level("symmetric-0.4", classes=3, class_names=(EVIL, "dog", "eel"))
    spec = spec_of("dataset.noise=[symmetric-0.4]").model_copy(update={"question": EVIL})
    found = study(folder, spec, [known])
    analysis(found.folder.path, known.name, 3, {"rate": found.rows[0].best_rate, "warmup": found.rows[0].best_warmup})
    file = folder / "a page.html"
    file.write_text(report([found]), encoding="utf-8")
    return file


@pytest.fixture
def opened(browser: Chrome, page: Path) -> Iterator[Chrome]:
    """The page with all of its charts drawn, by day."""
    emulate(browser)
    browser.get_log("performance")
    browser.get(page.as_uri())
    for figure in browser.find_elements(By.TAG_NAME, "figure"):
        browser.execute_script("arguments[0].scrollIntoView()", figure)
        wait_for("the chart", partial(drawn, figure))
    browser.execute_script("window.scrollTo(0, 0)")
    yield browser
    emulate(browser)


def drawn(figure: WebElement) -> bool:
    return "drawn" in (figure.get_attribute("class") or "")


def emulate(browser: Chrome, media: str = "", scheme: str = "light") -> None:
    feature = {"name": "prefers-color-scheme", "value": scheme}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": [feature]})


def over_rate(browser: Chrome) -> WebElement:
    return browser.find_element(By.XPATH, "//figure[contains(., 'over the smoothing rate')]")


def ticks(figure: WebElement) -> list[str]:
    """Labels of all axes."""
    return sorted(text.text for text in figure.find_elements(By.CSS_SELECTOR, ".live .role-axis-label text"))


def colour(browser: Chrome, selector: str, what: str) -> str:
    script = "return getComputedStyle(document.querySelector(arguments[0]))[arguments[1]]"
    return str(browser.execute_script(script, selector, what))


def test_nothing_is_fetched_and_nothing_fails(opened: Chrome, page: Path) -> None:
    messages = [json.loads(entry["message"])["message"] for entry in opened.get_log("performance")]
    asked = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    assert {url for url in asked if not url.startswith(("data:", "chrome:"))} == {page.as_uri()}
    assert complaints(opened) == []
    assert len(opened.find_elements(By.CSS_SELECTOR, "figure.drawn")) == 5


def test_names_are_text(opened: Chrome) -> None:
    assert opened.find_element(By.TAG_NAME, "h1").text == EVIL
    assert opened.title == EVIL
    assert opened.execute_script("return window.hacked") is None
    assert opened.find_elements(By.CSS_SELECTOR, "h1 b, figure b") == []


def test_a_mark_says_its_numbers(opened: Chrome) -> None:
    figure = over_rate(opened)
    mark = figure.find_element(By.CSS_SELECTOR, ".live .mark-symbol.role-mark path")
    opened.execute_script("arguments[0].scrollIntoView({block: 'center'})", mark)
    ActionChains(opened).move_to_element(mark).perform()
    shown = opened.find_element(By.ID, "vg-tooltip-element")
    wait_for("the numbers", lambda: "visible" in (shown.get_attribute("class") or ""))
    told = shown.text.replace("\n", " ")
    assert re.fullmatch(r"(confirmed .* )?rate \S+ noisy validation \(%\) \d\d\.\d .*", told), told


def test_the_wheel_zooms_with_ctrl_alone_and_a_double_click_goes_back(opened: Chrome) -> None:
    figure = over_rate(opened)
    panel = figure.find_element(By.CSS_SELECTOR, ".live svg")
    opened.execute_script("arguments[0].scrollIntoView({block: 'center'})", panel)
    before, height = ticks(figure), opened.execute_script("return window.scrollY")
    wheel = """const box = arguments[0].getBoundingClientRect(), x = box.left + 300, y = box.top + 100;
    document.elementFromPoint(x, y).dispatchEvent(new WheelEvent("wheel",
      {clientX: x, clientY: y, deltaY: -400, ctrlKey: arguments[1], bubbles: true, cancelable: true}))"""
    ActionChains(opened).move_to_element_with_offset(panel, -50, -120).perform()
    opened.execute_script(wheel, panel, False)
    assert ticks(figure) == before
    opened.execute_script(wheel, panel, True)
    wait_for("a zoom", lambda: ticks(figure) != before)
    assert opened.execute_script("return window.scrollY") == height
    ActionChains(opened).double_click(panel).perform()
    wait_for("the way back", lambda: ticks(figure) == before)


def test_buttons_zoom_from_the_keyboard(opened: Chrome) -> None:
    figure = over_rate(opened)
    before = ticks(figure)
    closer, _, back = figure.find_elements(By.TAG_NAME, "button")
    opened.execute_script("arguments[0].focus()", closer)
    ActionChains(opened).send_keys(Keys.ENTER).perform()
    wait_for("a zoom", lambda: ticks(figure) != before)
    opened.execute_script("arguments[0].focus()", back)
    ActionChains(opened).send_keys(Keys.SPACE).perform()
    wait_for("the way back", lambda: ticks(figure) == before)


def test_a_chart_that_does_not_zoom_has_no_buttons_for_it(opened: Chrome) -> None:
    buttons = [len(each.find_elements(By.TAG_NAME, "button")) for each in opened.find_elements(By.TAG_NAME, "figure")]
    assert buttons == [3, 3, 3, 0, 0]  # accuracy over rate, curves, calibration; classes, confusion


def test_numbers_of_a_chart_are_a_table(opened: Chrome) -> None:
    details = over_rate(opened).find_element(By.CSS_SELECTOR, ".numbers")
    opened.execute_script("arguments[0].open = true", details)
    wait_for("tables", lambda: bool(details.find_elements(By.TAG_NAME, "table")))
    heads = [head.text for head in details.find_elements(By.CSS_SELECTOR, "th[scope=col]")]
    assert heads[:4] == ["rate", "noisy validation (%)", "warm-up", "trial"]
    rows = details.find_elements(By.CSS_SELECTOR, "tbody tr")
    assert len(rows) == 2 * 8 + 2 * 3  # trials and what was confirmed, in both panels


def test_it_is_dark_by_night(opened: Chrome) -> None:
    selectors = ("html", ".live .role-axis-label text", ".answer")
    day = [
        colour(opened, selector, what)
        for selector, what in zip(selectors, ("backgroundColor", "fill", "color"), strict=True)
    ]
    emulate(opened, scheme="dark")
    night = [
        colour(opened, selector, what)
        for selector, what in zip(selectors, ("backgroundColor", "fill", "color"), strict=True)
    ]
    assert (day[0], night[0]) == (LIGHT, DARK)
    assert (day[1], night[1]) == ("rgb(68, 68, 68)", "rgb(200, 204, 210)")
    assert contrast(day[2], day[0]) > 7
    assert contrast(night[2], night[0]) > 7
    assert contrast(night[1], night[0]) > 4.5  # WCAG's bound for text


def contrast(one: str, other: str) -> float:
    """Contrast of two colours, as WCAG 2 defines it."""

    def light(text: str) -> float:
        parts = [int(part) / 255 for part in re.findall(r"\d+", text)[:3]]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    low, high = sorted(map(light, (one, other)))
    return (high + 0.05) / (low + 0.05)


def test_it_prints_on_light_paper_with_every_chart_as_a_picture(opened: Chrome) -> None:
    emulate(opened, media="print", scheme="dark")
    assert colour(opened, "html", "backgroundColor") == LIGHT
    stills = opened.find_elements(By.CSS_SELECTOR, ".still")
    assert [still.is_displayed() for still in stills] == [True] * 5
    assert not any(
        part.is_displayed() for part in opened.find_elements(By.CSS_SELECTOR, ".live, nav, .tools, .numbers")
    )
    emulate(opened)
    made: dict[str, Any] = opened.execute_cdp_cmd(
        "Page.printToPDF", {"printBackground": True, "preferCSSPageSize": True}
    )
    pdf = base64.b64decode(made["data"])
    assert pdf.startswith(b"%PDF")
    assert 3 <= len(re.findall(rb"/Type\s*/Page\b", pdf)) <= 12


def test_without_scripts_the_pictures_are_there(browser: Chrome, page: Path) -> None:
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.get(page.as_uri())
        assert [each.is_displayed() for each in browser.find_elements(By.CSS_SELECTOR, ".still")] == [True] * 5
        assert not any(
            each.is_displayed() for each in browser.find_elements(By.CSS_SELECTOR, ".tools, .numbers, .hint.live-only")
        )
        assert "train with r = -1" in browser.find_element(By.CSS_SELECTOR, ".lead").text
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_it_works_in_the_frame_in_which_mlflow_shows_html(browser: Chrome, page: Path) -> None:
    emulate(browser)
    browser.get("about:blank")
    browser.execute_script(
        """const frame = document.createElement("iframe");
        frame.setAttribute("sandbox", "allow-scripts"); frame.width = 1200; frame.height = 800;
        frame.src = URL.createObjectURL(new Blob([arguments[0]], {type: "text/html"}));
        document.body.append(frame)""",
        page.read_text(encoding="utf-8"),
    )
    browser.switch_to.frame(browser.find_element(By.TAG_NAME, "iframe"))
    try:
        wait_for("the page", lambda: bool(browser.find_elements(By.TAG_NAME, "figure")))
        figure = over_rate(browser)
        browser.execute_script("arguments[0].scrollIntoView()", figure)
        wait_for("the chart", lambda: drawn(figure))
    finally:
        browser.switch_to.default_content()
    assert complaints(browser) == []


def test_a_screen_reader_finds_its_way(opened: Chrome) -> None:
    tree = opened.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    known = [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in tree if not node["ignored"]]
    roles = [role for role, _ in known]
    assert {"banner", "navigation", "main", "contentinfo", "table", "figure"} <= set(roles)
    unnamed = [role for role, name in known if role in ("heading", "link", "button", "region", "image") and not name]
    assert unnamed == []
    levels = [int(each.tag_name[1]) for each in opened.find_elements(By.CSS_SELECTOR, "h1, h2, h3, h4, h5")]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))  # none is skipped
    ids = opened.execute_script("return [...document.querySelectorAll('[id]')].map((each) => each.id)")
    assert len(ids) == len(set(ids))
    bare = "th:not([scope]), table:not(:has(caption)):not(.numbers table):not(.vg-tooltip table), img:not([alt])"
    assert opened.find_elements(By.CSS_SELECTOR, bare) == []
    assert opened.find_element(By.TAG_NAME, "html").get_attribute("lang") == "en"


def test_the_keyboard_reaches_the_answer_the_tables_and_the_charts(opened: Chrome) -> None:
    reached = []
    for _ in range(40):
        ActionChains(opened).send_keys(Keys.TAB).perform()
        reached.append(
            opened.execute_script(
                "const a = document.activeElement; return a.className + ' ' + a.tagName + ' ' + a.textContent.trim()"
            )
        )
    assert reached[0] == "skip A Skip to the answer"
    assert any(each.startswith("scroll DIV") for each in reached)
    assert any(each.startswith("chart scroll DIV") for each in reached)
    assert any(each.endswith("BUTTON Zoom in") for each in reached)
